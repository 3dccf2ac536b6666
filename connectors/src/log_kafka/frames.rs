//! Frames: topic `state` read by commit number.
//!
//! Kafka's offsets there have gaps (commit markers, aborted parts) and frames have several records, so a frame is
//! found by bisection over the headers; where the last ones were found is remembered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use leadline_schemas::{CommitNumber, Offset, Partition, Topic};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::history::History;
use super::link::Link;
use super::lock;
use super::reader::{Next, Reader, unavailable};
use super::search::{LAST_OFFSETS, bisect, last_from, next_frame, part_of};
use crate::contract::log::{Chunk, ReadError, Record};

/// How many places are remembered for each partition.
const HINTS_MAX: usize = 256;

/// The frames of all partitions.
pub(super) struct Frames {
    pub(super) history: Arc<History>,
    pub(super) link: Link,
    known: Mutex<BTreeMap<Partition, Known>>,
}

/// What is known of a partition's frames.
#[derive(Default)]
struct Known {
    /// A number that was committed; later ones may be there.
    end: u64,
    /// The low watermark when it was last looked at, and the first whole frame from there.
    first: Option<(u64, u64)>,
    /// Frame -> an offset that it does not lie below, while all earlier frames do.
    hints: BTreeMap<u64, u64>,
}

impl Frames {
    pub(super) fn new(history: Arc<History>, link: Link) -> Self {
        Self { history, link, known: Mutex::default() }
    }

    /// The topic and partition on the brokers.
    pub(super) fn place(&self, partition: Partition) -> (String, i32) {
        (self.history.config.topic(Topic::State), i32::from(partition.0))
    }

    fn with_known<T>(&self, partition: Partition, work: impl FnOnce(&mut Known) -> T) -> T {
        work(lock(&self.known).entry(partition).or_default())
    }

    /// A commit of this process is there.
    pub(super) fn committed(&self, partition: Partition, number: CommitNumber) {
        self.with_known(partition, |known| known.end = known.end.max(number.0));
    }

    fn hint(&self, partition: Partition, frame: u64, offset: u64) {
        self.with_known(partition, |known| {
            known.hints.insert(frame, offset);
            if known.hints.len() > HINTS_MAX {
                known.hints.pop_first();
            }
        });
    }

    /// The newest commit of a partition: what the group's offset says, as soon as no transaction can change it. A frame
    /// that is seen counts though the group has lost its offset (see `hanging`).
    pub(super) fn end(&self, partition: Partition) -> Result<u64, ReadError> {
        let number = match self.group_number(&self.history.asked, partition, self.history.patience())? {
            Some(number) => number.max(self.seen_behind(partition, number)?),
            None => self.last(partition)?,
        };
        self.with_known(partition, |known| known.end = known.end.max(number));
        Ok(number)
    }

    /// The commit number beside the group's offset in `inbound`. Stable offsets are asked for, so an open transaction
    /// is waited for.
    pub(super) fn group_number(
        &self,
        asked: &BaseConsumer<Link>,
        partition: Partition,
        patience: Duration,
    ) -> Result<Option<u64>, ReadError> {
        let topic = self.history.config.topic(Topic::Inbound);
        let mut list = TopicPartitionList::new();
        list.add_partition(&topic, i32::from(partition.0));
        let asked = asked.committed_offsets(list, patience);
        let answered = asked.map_err(|error| unavailable(&error))?;
        let element = answered.find_partition(&topic, i32::from(partition.0));
        let element = element.ok_or_else(|| ReadError::Unavailable("the group did not answer".to_owned()))?;
        element.error().map_err(|error| unavailable(&error))?;
        Ok(match element.offset() {
            // An offset without a number was set by hand: the frames are what counts.
            rdkafka::Offset::Offset(_) => element.metadata().parse().ok(),
            _ => None,
        })
    }

    /// The last frame that readers see; `number` if it is known that nothing lies behind that.
    fn seen_behind(&self, partition: Partition, number: u64) -> Result<u64, ReadError> {
        let (first, stable) = self.history.watermarks(Topic::State, partition)?;
        let behind = self.with_known(partition, |known| known.hints.get(&(number + 1)).copied());
        // The end of its transaction, and nothing else.
        if behind.is_some_and(|behind| stable <= behind.saturating_add(1)) {
            return Ok(number);
        }
        self.last_below(partition, first, stable)
    }

    /// The last frame of a partition whose group has no offset any more: first no transaction may be open.
    fn last(&self, partition: Partition) -> Result<u64, ReadError> {
        let (topic, number) = self.place(partition);
        let deadline = Instant::now() + self.history.patience();
        loop {
            let (first, stable) = self.history.watermarks(Topic::State, partition)?;
            if stable >= self.high_watermark(&topic, number)? {
                return self.last_below(partition, first, stable);
            }
            if Instant::now() >= deadline {
                let why = format!("a transaction in {topic}/{number} is still open");
                return Err(ReadError::Unavailable(why));
            }
        }
    }

    fn last_below(&self, partition: Partition, first: u64, end: u64) -> Result<u64, ReadError> {
        let (topic, number) = self.place(partition);
        let deadline = Instant::now() + self.history.patience();
        self.history.with_reader(&topic, number, None, |reader| {
            let mut back = LAST_OFFSETS;
            loop {
                let from = end.saturating_sub(back).max(first);
                if let Some(last) = last_from(reader, &topic, number, from, end, deadline)? {
                    return Ok(last.0);
                }
                if from == first {
                    return Ok(0);
                }
                back = back.saturating_mul(8);
            }
        })
    }

    /// A consumer that sees what is not committed, too.
    pub(super) fn impatient(&self) -> Result<BaseConsumer<Link>, ReadError> {
        self.asked_anew("read_uncommitted")
    }

    /// A new consumer, which knows what the brokers say now.
    pub(super) fn asked_anew(&self, isolation: &str) -> Result<BaseConsumer<Link>, ReadError> {
        let mut client = self.history.config.consumer("watermark");
        client.set("isolation.level", isolation);
        let consumer = self.link.clone().asks(&client).map_err(|error| unavailable(&error))?;
        // Where something ends is asked of a partition's leader. Who that is librdkafka asks of whoever is connected by then,
        // and where that is nobody, as one time in seven, more than half a second later. This waits for a connection; a failure
        // here is one there.
        let _ =
            consumer.fetch_metadata(Some(&self.history.config.topic(Topic::State)), self.history.patience());
        Ok(consumer)
    }

    /// The end of all records, committed or not.
    fn high_watermark(&self, topic: &str, partition: i32) -> Result<u64, ReadError> {
        let asked = self.impatient()?.fetch_watermarks(topic, partition, self.history.patience());
        asked.map(|(_, end)| u64::try_from(end).unwrap_or(0)).map_err(|error| unavailable(&error))
    }

    /// The range of the contract: frame n lies at offset n - 1.
    pub(super) fn range(&self, partition: Partition) -> Result<(Offset, Offset), ReadError> {
        let end = self.end(partition)?;
        self.range_to(partition, end)
    }

    /// The range of the contract up to the newest frame that readers see. The group is not asked: with an owner at work its
    /// offset is hardly ever stable, and whoever asks for it may do so for seconds.
    pub(super) fn range_so_far(&self, partition: Partition) -> Result<(Offset, Offset), ReadError> {
        let known = self.with_known(partition, |known| known.end);
        let end = self.seen_behind(partition, known)?;
        let end = self.with_known(partition, |known| {
            known.end = known.end.max(end);
            known.end
        });
        self.range_to(partition, end)
    }

    fn range_to(&self, partition: Partition, end: u64) -> Result<(Offset, Offset), ReadError> {
        let first = self.first(partition)?.map_or(end, |first| first.saturating_sub(1)).min(end);
        Ok((Offset(first), Offset(end)))
    }

    /// The first frame that is kept whole.
    fn first(&self, partition: Partition) -> Result<Option<u64>, ReadError> {
        let (low, high) = self.history.watermarks(Topic::State, partition)?;
        let before = self.with_known(partition, |known| known.first);
        if let Some((_, first)) = before.filter(|(at, _)| *at == low) {
            return Ok(Some(first));
        }
        if low == high {
            return Ok(None);
        }
        let (topic, number) = self.place(partition);
        let first = self.history.with_reader(&topic, number, None, |reader| {
            let deadline = Instant::now() + self.history.patience();
            reader.seek(&topic, number, low)?;
            loop {
                match reader.next(deadline)? {
                    Next::Record(fetched) => {
                        let place = part_of(&fetched)?;
                        if place.is_first() {
                            return Ok(Some(place.number.0));
                        }
                    }
                    Next::End | Next::OutOfRange => return Ok(None),
                }
            }
        })?;
        if let Some(first) = first {
            self.with_known(partition, |known| known.first = Some((low, first)));
        }
        Ok(first)
    }

    /// Frames from `from` on, whole ones, at least one before the end, up to the limit.
    pub(super) fn fetch(
        &self,
        partition: Partition,
        from: Offset,
        limit_bytes: usize,
    ) -> Result<Chunk, ReadError> {
        let known = self.with_known(partition, |known| known.end);
        let end = if from.0 < known { known } else { self.end(partition)? };
        if from.0 >= end {
            return Ok(Chunk { records: Vec::new(), next: from, end: Offset(end) });
        }
        let (topic, number) = self.place(partition);
        let hint = self.with_known(partition, |known| known.hints.get(&(from.0 + 1)).copied());
        let records = self.history.with_reader(&topic, number, hint, |reader| {
            let deadline = Instant::now() + self.history.patience();
            if !self.seek(reader, partition, from.0 + 1, deadline)? {
                return Ok(None);
            }
            self.collect(reader, partition, from, end, limit_bytes, deadline).map(Some)
        })?;
        let Some(records) = records else {
            let (first, _) = self.range(partition)?;
            return Err(ReadError::Dropped { topic: Topic::State, partition, asked: from, first });
        };
        let next = records.last().map_or(from, |last: &Record| Offset(last.offset.0.saturating_add(1)));
        Ok(Chunk { records, next, end: Offset(end) })
    }

    /// The Kafka offset of a frame's first part; none if it was dropped.
    pub(super) fn offset_of(&self, partition: Partition, frame: u64) -> Result<Option<u64>, ReadError> {
        let (topic, number) = self.place(partition);
        self.history.with_reader(&topic, number, None, |reader| {
            let deadline = Instant::now() + self.history.patience();
            if !self.seek(reader, partition, frame, deadline)? {
                return Ok(None);
            }
            let fetched = reader.next_record(deadline)?;
            let offset = fetched.offset;
            reader.give_back(fetched);
            Ok(Some(offset))
        })
    }

    /// Puts a reader before the first part of a frame that is committed; false if it was dropped.
    fn seek(
        &self,
        reader: &mut Reader,
        partition: Partition,
        frame: u64,
        deadline: Instant,
    ) -> Result<bool, ReadError> {
        let (topic, number) = self.place(partition);
        let hint = self.with_known(partition, |known| {
            known.hints.range(..=frame).next_back().map(|(&frame, &offset)| (frame, offset))
        });
        let from = match hint {
            Some((hinted, offset)) if hinted == frame => offset,
            _ => {
                let (low, high) = self.history.watermarks(Topic::State, partition)?;
                let low = low.max(hint.map_or(0, |(_, offset)| offset));
                bisect(reader, (&topic, number), frame, (low, high), deadline)?
            }
        };
        if !reader.stands_at(&topic, number, from) {
            reader.seek(&topic, number, from)?;
        }
        loop {
            match reader.next(deadline)? {
                Next::OutOfRange => return Ok(false),
                Next::End => {} // It is committed, so it becomes visible.
                Next::Record(fetched) => {
                    let place = part_of(&fetched)?;
                    if place.number.0 < frame {
                        continue;
                    }
                    let found = place.number.0 == frame && place.is_first();
                    if found {
                        self.hint(partition, frame, fetched.offset);
                    }
                    reader.give_back(fetched);
                    return Ok(found);
                }
            }
        }
    }

    fn collect(
        &self,
        reader: &mut Reader,
        partition: Partition,
        from: Offset,
        end: u64,
        limit_bytes: usize,
        deadline: Instant,
    ) -> Result<Vec<Record>, ReadError> {
        let (mut records, mut bytes) = (Vec::new(), 0_usize);
        for offset in from.0..end {
            let (parts, frame) = next_frame(reader, offset + 1, deadline)?;
            bytes = bytes.saturating_add(frame.len());
            if !records.is_empty() && bytes > limit_bytes {
                parts.into_iter().rev().for_each(|part| reader.give_back(part));
                break;
            }
            let behind = parts.last().map_or(0, |part| part.offset.saturating_add(1));
            self.hint(partition, offset + 2, behind);
            records.push(Record { offset: Offset(offset), value: frame });
        }
        Ok(records)
    }
}
