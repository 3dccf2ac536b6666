//! Sight: what one look at the brokers shows of transactions that are open.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use leadline_schemas::{Partition, Topic};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::frames::Frames;
use super::link::Link;
use super::reader::{Next, Reader, unavailable};
use crate::contract::log::ReadError;

/// How long a group may take to tell an offset: longer than a transaction that goes on lasts.
const TOLD_WITHIN: Duration = Duration::from_millis(500);

/// What all looks of one time have seen held back, and where it begins.
pub(super) struct Seen {
    /// Of these topic `state` is.
    pub(super) open: BTreeMap<Partition, u64>,
    /// Outputs are, beside a `state` that goes on.
    pub(super) outputs: BTreeMap<Place, u64>,
    /// The group's offset is, and nothing else.
    pub(super) untold: BTreeMap<Partition, u64>,
}

impl Seen {
    /// Looks at everything. It takes its time: a group that does not tell an offset is waited for.
    pub(super) fn now(frames: &Frames, partitions: &[Partition]) -> Result<Self, ReadError> {
        let sight = Sight::new(frames)?;
        let open = sight.open(partitions)?;
        let is_closed = |partition: &&Partition| !open.contains_key(*partition);
        let closed: Vec<Partition> = partitions.iter().filter(is_closed).copied().collect();
        let (outputs, untold) = (sight.open_outputs(&closed)?, sight.untold(&closed)?);
        Ok(Self { open, outputs, untold })
    }
}

/// A partition of a topic.
pub(super) type Place = (Topic, Partition);

/// One look. Its consumers are new: after a broker's restart one of before asks under an epoch of the leader that is over,
/// and is refused (`FENCED_LEADER_EPOCH`).
pub(super) struct Sight<'a> {
    frames: &'a Frames,
    /// Sees what is committed.
    committed: BaseConsumer<Link>,
    /// Sees what is not committed, too.
    all: BaseConsumer<Link>,
}

impl<'a> Sight<'a> {
    pub(super) fn new(frames: &'a Frames) -> Result<Self, ReadError> {
        Ok(Self { frames, committed: frames.asked_anew("read_committed")?, all: frames.impatient()? })
    }

    /// Partitions in whose `state` a transaction is open, and where it begins.
    pub(super) fn open(&self, partitions: &[Partition]) -> Result<BTreeMap<Partition, u64>, ReadError> {
        let open = self.open_at(&states(partitions))?;
        Ok(open.into_iter().map(|((_, partition), begin)| (partition, begin)).collect())
    }

    /// Where a transaction is open in outputs of partitions, and where it begins.
    fn open_outputs(&self, partitions: &[Partition]) -> Result<BTreeMap<Place, u64>, ReadError> {
        let of = |partition: &Partition| outputs().map(|topic| (topic, *partition)).collect::<Vec<_>>();
        let places: Vec<Place> = partitions.iter().flat_map(of).collect();
        self.open_at(&places)
    }

    fn open_at(&self, places: &[Place]) -> Result<BTreeMap<Place, u64>, ReadError> {
        let (committed, all) = (self.ends(&self.committed, places)?, self.ends(&self.all, places)?);
        let is_open = |(place, end): &(Place, u64)| all.get(place).is_some_and(|all| end < all);
        Ok(committed.into_iter().filter(is_open).collect())
    }

    /// Partitions whose offset the group does not tell, for a transaction is open in the offsets; and where their frames end.
    fn untold(&self, partitions: &[Partition]) -> Result<BTreeMap<Partition, u64>, ReadError> {
        let mut untold = BTreeMap::new();
        for ((_, partition), end) in self.ends(&self.committed, &states(partitions))? {
            if self.frames.group_number(&self.frames.history.asked, partition, TOLD_WITHIN).is_err() {
                // Whoever waits for nothing is answered, or the group is away.
                self.frames.group_number(&self.all, partition, TOLD_WITHIN)?;
                untold.insert(partition, end);
            }
        }
        Ok(untold)
    }

    /// Where topics end, as that consumer sees them.
    fn ends(&self, asked: &BaseConsumer<Link>, places: &[Place]) -> Result<BTreeMap<Place, u64>, ReadError> {
        let history = &self.frames.history;
        let mut list = TopicPartitionList::new();
        for (topic, partition) in places {
            list.add_partition_offset(&history.config.topic(*topic), i32::from(partition.0), Offset::End)
                .map_err(|error| unavailable(&error))?;
        }
        let ends = asked.offsets_for_times(list, history.patience()).map_err(|error| unavailable(&error))?;
        let mut found = BTreeMap::new();
        for place in places {
            let (topic, partition) = (history.config.topic(place.0), i32::from(place.1.0));
            let Some(element) = ends.find_partition(&topic, partition) else { continue };
            element.error().map_err(|error| unavailable(&error))?;
            let end = element.offset().to_raw().and_then(|raw| u64::try_from(raw).ok()).unwrap_or(0);
            found.insert(*place, end);
        }
        Ok(found)
    }

    /// Whether the group's offset shows nothing of the epoch whose frame begins there and is open: it is behind the
    /// group's, or somebody has committed another of its number since.
    pub(super) fn is_hidden(&self, partition: Partition, begin: u64) -> Result<bool, ReadError> {
        let patience = self.frames.history.patience();
        let group = self.frames.group_number(&self.all, partition, patience)?.unwrap_or(0);
        let (topic, number) = self.frames.place(partition);
        let mut reader = Reader::of_all(&self.frames.history.config, self.frames.link.clone())?;
        reader.seek(&topic, number, begin)?;
        let deadline = Instant::now() + patience;
        let mut open = None;
        while let Next::Record(fetched) = reader.next(deadline)? {
            match (open, fetched.part) {
                (None, Some(part)) if part.number.0 <= group => open = Some(part.number),
                // It comes behind, or is an attempt to end another.
                (None, _) => return Ok(true),
                (Some(open), Some(part)) if part.number == open && part.is_first() => return Ok(true),
                _ => {}
            }
        }
        Ok(false)
    }
}

/// The topics that epochs write to beside their frames.
pub(super) fn outputs() -> impl Iterator<Item = Topic> {
    Topic::ALL.into_iter().filter(|topic| topic.is_output())
}

fn states(partitions: &[Partition]) -> Vec<Place> {
    partitions.iter().map(|partition| (Topic::State, *partition)).collect()
}
