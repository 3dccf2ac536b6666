//! Store: the records, by topic and partition.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use leadline_schemas::{Offset, Partition, Topic};

use crate::contract::log::{Chunk, ReadError, Record};

pub(super) type Listener = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Stream {
    first: u64,
    records: VecDeque<Bytes>,
    floor: u64,
    listener: Option<Listener>,
}

pub(super) struct Store {
    streams: HashMap<(Topic, Partition), Stream>,
    bytes: u64,
}

impl Store {
    pub(super) fn new(partitions: u16) -> Self {
        let of = |topic| {
            (0..if topic == Topic::Settings { 1 } else { partitions }).map(move |p| (topic, Partition(p)))
        };
        let streams = Topic::ALL.into_iter().flat_map(of).map(|at| (at, Stream::default())).collect();
        Self { streams, bytes: 0 }
    }

    /// Adds a record; the listener is to be called without the lock. The place was checked before.
    pub(super) fn push(
        &mut self,
        topic: Topic,
        partition: Partition,
        value: Bytes,
    ) -> (Offset, Option<Listener>) {
        self.bytes += value.len() as u64;
        let stream = self.streams.entry((topic, partition)).or_default();
        let offset = stream.next();
        stream.records.push_back(value);
        (offset, stream.listener.clone())
    }

    pub(super) fn next(&self, topic: Topic, partition: Partition) -> Option<Offset> {
        self.streams.get(&(topic, partition)).map(Stream::next)
    }

    pub(super) fn range(&self, topic: Topic, partition: Partition) -> Result<(Offset, Offset), ReadError> {
        let stream = self.stream(topic, partition)?;
        Ok((Offset(stream.first), stream.next()))
    }

    pub(super) fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit_bytes: usize,
    ) -> Result<Chunk, ReadError> {
        let stream = self.stream(topic, partition)?;
        let Some(skip) = from.0.checked_sub(stream.first) else {
            return Err(ReadError::Dropped { topic, partition, asked: from, first: Offset(stream.first) });
        };
        let mut chunk = Chunk { records: Vec::new(), next: from, end: stream.next() };
        let mut bytes = 0_usize;
        for value in stream.records.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX)) {
            bytes = bytes.saturating_add(value.len());
            if bytes > limit_bytes && !chunk.records.is_empty() {
                break;
            }
            chunk.records.push(Record { offset: chunk.next, value: value.clone() });
            chunk.next = chunk.next.next();
        }
        Ok(chunk)
    }

    pub(super) fn listen(&mut self, topic: Topic, partition: Partition, listener: Listener) {
        if let Some(stream) = self.streams.get_mut(&(topic, partition)) {
            stream.listener = Some(listener);
        }
    }

    pub(super) fn set_floor(&mut self, topic: Topic, partition: Partition, floor: Offset) {
        if let Some(stream) = self.streams.get_mut(&(topic, partition)) {
            stream.floor = floor.0;
        }
    }

    pub(super) fn drop_below_floors(&mut self) {
        for stream in self.streams.values_mut() {
            while stream.first < stream.floor {
                let Some(dropped) = stream.records.pop_front() else { break };
                stream.first += 1;
                self.bytes -= dropped.len() as u64;
            }
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn stream(&self, topic: Topic, partition: Partition) -> Result<&Stream, ReadError> {
        self.streams
            .get(&(topic, partition))
            .ok_or_else(|| ReadError::Unavailable(format!("the log has no partition {topic}/{partition}")))
    }
}

impl Stream {
    fn next(&self) -> Offset {
        Offset(self.first + self.records.len() as u64)
    }
}
