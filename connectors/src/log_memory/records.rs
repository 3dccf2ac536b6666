//! Records: what is written, by topic and partition.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use leadline_schemas::{Offset, Partition, Topic};

use crate::contract::log::{Append, Chunk, Commit, ReadError, Record};

type Place = (Topic, Partition);

#[derive(Default)]
pub(super) struct Records {
    places: BTreeMap<Place, Kept>,
}

/// One topic and partition: what is kept of it, and the offset of the first.
#[derive(Default)]
struct Kept {
    first: u64,
    values: VecDeque<Bytes>,
}

impl Kept {
    fn end(&self) -> u64 {
        self.first.saturating_add(self.values.len() as u64)
    }
}

impl Records {
    pub(super) fn has(&self, place: Place) -> bool {
        self.places.contains_key(&place)
    }

    pub(super) fn push(&mut self, place: Place, value: Bytes) -> Offset {
        let kept = self.places.entry(place).or_default();
        let offset = Offset(kept.end());
        kept.values.push_back(value);
        offset
    }

    pub(super) fn push_all(&mut self, records: Vec<Append>) -> Vec<Offset> {
        records.into_iter().map(|record| self.push((record.topic, record.partition), record.value)).collect()
    }

    pub(super) fn range(&self, place: Place) -> (Offset, Offset) {
        self.places
            .get(&place)
            .map_or((Offset(0), Offset(0)), |kept| (Offset(kept.first), Offset(kept.end())))
    }

    /// Whether it is the commit that its partition waits for.
    pub(super) fn is_next(&self, commit: &Commit) -> bool {
        let (_, end) = self.range((Topic::State, commit.partition));
        commit.number.0 == end.0.saturating_add(1)
    }

    pub(super) fn all(&self, place: Place) -> Vec<Bytes> {
        self.places.get(&place).map(|kept| kept.values.iter().cloned().collect()).unwrap_or_default()
    }

    pub(super) fn read(&self, place: Place, from: Offset, limit_bytes: usize) -> Result<Chunk, ReadError> {
        let (first, end) = self.range(place);
        if from < first {
            return Err(ReadError::Dropped { topic: place.0, partition: place.1, asked: from, first });
        }
        let skipped = usize::try_from(from.0.saturating_sub(first.0)).unwrap_or(usize::MAX);
        let values = self.places.get(&place).into_iter().flat_map(|kept| kept.values.iter().skip(skipped));
        let (mut bytes, mut records) = (0_usize, Vec::new());
        for (offset, value) in (from.0..).map(Offset).zip(values) {
            bytes = bytes.saturating_add(value.len());
            if !records.is_empty() && bytes > limit_bytes {
                break;
            }
            records.push(Record { offset, value: value.clone() });
        }
        let next = Offset(from.0.saturating_add(records.len() as u64));
        Ok(Chunk { records, next, end })
    }

    pub(super) fn drop_below(&mut self, place: Place, floor: Offset) {
        let Some(kept) = self.places.get_mut(&place) else { return };
        while kept.first < floor.0 && kept.values.pop_front().is_some() {
            kept.first += 1;
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.places.values().flat_map(|kept| &kept.values).map(Bytes::len).sum()
    }
}
