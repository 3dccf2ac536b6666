//! Slots: every stored topic and partition as a small number, for tables instead of maps.

use leadline_schemas::{Partition, Topic};

/// Slot 0 is `settings`; then the partitions of `inbound`, `replies` and `state`. The order is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slots {
    pub(crate) partitions: u16,
}

impl Slots {
    pub(crate) fn count(self) -> usize {
        3 * usize::from(self.partitions) + 1
    }

    /// `None` for a partition that is not there and for output topics, which live in the commit frames.
    pub(crate) fn of(self, topic: Topic, partition: Partition) -> Option<usize> {
        let group = match topic {
            Topic::Settings => return (partition.0 == 0).then_some(0),
            Topic::Inbound => 0,
            Topic::Replies => 1,
            Topic::State => 2,
            _ => return None,
        };
        (partition.0 < self.partitions)
            .then(|| 1 + group * usize::from(self.partitions) + usize::from(partition.0))
    }

    pub(crate) fn place(self, slot: usize) -> (Topic, Partition) {
        let Some(behind) = slot.checked_sub(1) else { return (Topic::Settings, Partition(0)) };
        let per = usize::from(self.partitions).max(1);
        let topic = match behind / per {
            0 => Topic::Inbound,
            1 => Topic::Replies,
            _ => Topic::State,
        };
        (topic, Partition(u16::try_from(behind % per).unwrap_or(u16::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slot_is_one_place() {
        let slots = Slots { partitions: 3 };
        for slot in 0..slots.count() {
            let (topic, partition) = slots.place(slot);
            assert_eq!(slots.of(topic, partition), Some(slot));
        }
        assert_eq!(slots.of(Topic::Inbound, Partition(3)), None);
        assert_eq!(slots.of(Topic::Settings, Partition(1)), None);
        assert_eq!(slots.of(Topic::Calls, Partition(0)), None);
    }
}
