//! Tail: the newest records in memory, so that readers who keep up never touch the disk.

use std::collections::VecDeque;

use bytes::Bytes;
use leadline_schemas::Offset;

use crate::contract::log::Record;

/// What a record takes beside its bytes: its handle, its place in the order, its allocation's own share.
const RECORD_OVERHEAD_BYTES: usize = 96;

/// The newest records, by slot.
pub(crate) struct Tail {
    slots: Vec<VecDeque<Bytes>>,
    /// Slots in the order of their records, oldest first.
    order: VecDeque<u32>,
    bytes: usize,
    bytes_max: usize,
}

impl Tail {
    pub(crate) fn new(slots: usize, bytes_max: usize) -> Self {
        Self { slots: vec![VecDeque::new(); slots], order: VecDeque::new(), bytes: 0, bytes_max }
    }

    pub(crate) fn push(&mut self, slot: usize, value: Bytes) {
        let Some(records) = self.slots.get_mut(slot) else { return };
        self.bytes += value.len() + RECORD_OVERHEAD_BYTES;
        records.push_back(value);
        self.order.push_back(u32::try_from(slot).unwrap_or(u32::MAX));
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.order.pop_front() else { return };
            let dropped = self.slots.get_mut(oldest as usize).and_then(VecDeque::pop_front);
            self.bytes -= dropped.map_or(0, |value| value.len() + RECORD_OVERHEAD_BYTES);
        }
    }

    /// Records from memory, of a slot whose next offset is `end`; none when the first is no longer there.
    pub(crate) fn read(&self, slot: usize, from: u64, end: u64, limit_bytes: usize) -> Option<Vec<Record>> {
        let records = self.slots.get(slot)?;
        let begins = end - records.len() as u64;
        let skip = usize::try_from(from.checked_sub(begins)?).ok()?;
        let (mut bytes, mut taken) = (0, Vec::new());
        for (offset, value) in (from..).zip(records.range(skip.min(records.len())..)) {
            bytes += value.len();
            if !taken.is_empty() && bytes > limit_bytes {
                break;
            }
            taken.push(Record { offset: Offset(offset), value: value.clone() });
        }
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_within_its_bound_however_small_the_records_are() {
        let mut tail = Tail::new(2, 10_000);
        for n in 0..10_000_u32 {
            tail.push((n % 2) as usize, Bytes::from(n.to_le_bytes().to_vec()));
        }
        let records: usize = tail.slots.iter().map(VecDeque::len).sum();
        assert!(records <= 100, "{records} records of 4 bytes and their handles");
        assert_eq!(tail.order.len(), records);
        assert!(tail.read(0, 0, 5_000, 100).is_none(), "the oldest are gone");
        let newest = tail.read(0, 4_998, 5_000, 100).unwrap();
        assert_eq!(newest[1].value[..], 9_998_u32.to_le_bytes());
        tail.push(0, Bytes::from(vec![0; 20_000]));
        assert!(tail.order.is_empty() && tail.bytes == 0, "a record above the bound is not kept");
        assert!(tail.read(0, 5_000, 5_001, 100).is_none());
    }
}
