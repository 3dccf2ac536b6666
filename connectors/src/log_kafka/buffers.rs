//! Buffers: what was read ahead, for each topic and partition that somebody reads.
//!
//! `read` takes from here and never waits. A place is read on from where its reader stands: whoever asks for another
//! offset moves it there, and finds an empty chunk until the records have come.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use leadline_schemas::{Offset, Partition, Topic};

use super::lock;
use crate::contract::log::{Chunk, ReadError, Record};

pub(super) type Listener = Arc<dyn Fn() + Send + Sync>;
pub(super) type Place = (Topic, Partition);

/// All places that can be read.
pub(super) struct Buffers {
    partitions: u16,
    bytes_max: usize,
    places: Vec<Mutex<Buffer>>,
    wishes: Wishes,
}

/// What was read ahead of one topic and partition.
#[derive(Default)]
struct Buffer {
    listener: Option<Listener>,
    /// Whether a reader stands anywhere; until then nothing is fetched.
    placed: bool,
    /// Whether the fetcher has not heard yet where the reader stands; what it brings meanwhile is of another place.
    moving: bool,
    records: VecDeque<Record>,
    bytes: usize,
    /// Behind the newest record that was dropped from here: between it and the first that is here nothing is missing,
    /// though compaction leaves gaps.
    taken: u64,
    /// Behind the newest record that is here, or where the reader stands.
    next: u64,
    /// Whether no more is fetched until some is taken.
    full: bool,
    /// The first offset that is still there, as far as is known.
    first: u64,
}

/// What the threads behind the buffers are asked to do, each place at most once.
#[derive(Default)]
struct Wishes {
    fetcher: Mutex<Vec<Place>>,
    scout: Mutex<Vec<Place>>,
    scout_wakes: Condvar,
}

/// What the fetcher is to do about a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Read on from here.
    Seek(u64),
    /// There is room again, from here.
    Resume(u64),
    /// Nothing any more.
    Nothing,
}

/// What became of a record that was fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It is readable.
    Kept,
    /// It is readable, and it is the last that has room.
    Full,
    /// Nobody waits for it.
    Stale,
}

impl Buffers {
    pub(super) fn new(partitions: u16, bytes_max: usize) -> Self {
        let places = (0..=usize::from(partitions) * 3).map(|_| Mutex::default()).collect();
        Self { partitions, bytes_max, places, wishes: Wishes::default() }
    }

    /// `inbound`, `replies` and `state` lie one behind the other, and last `settings`.
    fn at(&self, (topic, partition): Place) -> Option<&Mutex<Buffer>> {
        let (row, partitions) = match topic {
            Topic::Inbound => (0, self.partitions),
            Topic::Replies => (1, self.partitions),
            Topic::State => (2, self.partitions),
            Topic::Settings => (3, 1),
            _ => return None,
        };
        let index = row * usize::from(self.partitions) + usize::from(partition.0);
        (partition.0 < partitions).then(|| self.places.get(index)).flatten()
    }

    pub(super) fn partitions(&self) -> u16 {
        self.partitions
    }

    pub(super) fn has(&self, place: Place) -> bool {
        self.at(place).is_some()
    }

    pub(super) fn read(&self, place: Place, from: u64, limit_bytes: usize) -> Result<Chunk, ReadError> {
        let (topic, partition) = place;
        let buffer = self.at(place).ok_or_else(|| no_such(place))?;
        let mut buffer = lock(buffer);
        if from < buffer.first {
            let (asked, first) = (Offset(from), Offset(buffer.first));
            return Err(ReadError::Dropped { topic, partition, asked, first });
        }
        if !buffer.covers(from) {
            buffer.move_to(from);
            drop(buffer);
            self.wish(place);
            return Ok(Chunk { records: Vec::new(), next: Offset(from), end: Offset(from) });
        }
        buffer.drop_below(from);
        let chunk = buffer.take(from, limit_bytes);
        let resume = buffer.full && buffer.bytes <= self.bytes_max / 2;
        if resume {
            buffer.full = false;
        }
        drop(buffer);
        if resume {
            self.wish(place);
        }
        Ok(chunk)
    }

    pub(super) fn listen(&self, place: Place, listener: Listener) {
        let Some(buffer) = self.at(place) else { return };
        let mut buffer = lock(buffer);
        buffer.listener = Some(listener);
        let placed = buffer.placed;
        drop(buffer);
        if !placed {
            self.ask_scout(place);
        }
    }

    /// Tells who listens. Never with a lock held: they may read.
    pub(super) fn tell(&self, place: Place) {
        let listener = self.at(place).and_then(|buffer| lock(buffer).listener.clone());
        if let Some(listener) = listener {
            listener();
        }
    }

    /// Nobody reads below; what lies there needs no memory.
    pub(super) fn trim(&self, place: Place, floor: u64) {
        let Some(buffer) = self.at(place) else { return };
        let mut buffer = lock(buffer);
        if buffer.placed && floor <= buffer.next {
            buffer.drop_below(floor);
        }
    }

    /// Puts a reader where nobody stands yet; false if somebody does.
    pub(super) fn place_at(&self, place: Place, next: u64) -> bool {
        let Some(buffer) = self.at(place) else { return false };
        let mut buffer = lock(buffer);
        if buffer.placed {
            return false;
        }
        buffer.move_to(next);
        drop(buffer);
        self.wish(place);
        true
    }

    /// Whether a reader stands here.
    pub(super) fn is_placed(&self, place: Place) -> bool {
        self.at(place).is_some_and(|buffer| lock(buffer).placed)
    }

    /// What lies below `first` is gone.
    pub(super) fn dropped(&self, place: Place, first: u64) {
        let Some(buffer) = self.at(place) else { return };
        let mut buffer = lock(buffer);
        buffer.first = buffer.first.max(first);
    }

    /// Takes what was fetched.
    pub(super) fn push(&self, place: Place, offset: u64, value: Bytes) -> Pushed {
        let Some(buffer) = self.at(place) else { return Pushed::Stale };
        let mut buffer = lock(buffer);
        if !buffer.placed || buffer.moving || offset < buffer.next {
            return Pushed::Stale;
        }
        buffer.push(offset, value);
        if buffer.bytes >= self.bytes_max && !buffer.full {
            buffer.full = true;
            return Pushed::Full;
        }
        Pushed::Kept
    }

    /// Takes a record that somebody has in hand, if it is the next that a reader waits for.
    pub(super) fn push_if_next(&self, place: Place, offset: u64, value: &Bytes) -> bool {
        let Some(buffer) = self.at(place) else { return false };
        let mut buffer = lock(buffer);
        let next = buffer.placed && !buffer.moving && !buffer.full && buffer.next == offset;
        if next {
            buffer.push(offset, value.clone());
            buffer.full = buffer.bytes >= self.bytes_max;
        }
        next
    }

    /// Fetches once more from where the reader stands: what was under way is lost.
    pub(super) fn retry(&self, place: Place) {
        let Some(buffer) = self.at(place) else { return };
        lock(buffer).moving = true;
        self.wish(place);
    }

    /// Asks the fetcher, or for `state` the scout, to look at a place.
    fn wish(&self, place: Place) {
        if place.0 == Topic::State {
            return self.ask_scout(place);
        }
        note(&mut lock(&self.wishes.fetcher), place);
    }

    pub(super) fn ask_scout(&self, place: Place) {
        note(&mut lock(&self.wishes.scout), place);
        self.wishes.scout_wakes.notify_one();
    }

    /// The places that the fetcher is to look at.
    pub(super) fn fetcher_wishes(&self) -> Vec<Place> {
        std::mem::take(&mut *lock(&self.wishes.fetcher))
    }

    /// The places that the scout is to look at; waits for some, a bounded time.
    pub(super) fn scout_wishes(&self, patience: Duration) -> Vec<Place> {
        let mut wishes = lock(&self.wishes.scout);
        if wishes.is_empty() {
            wishes = self
                .wishes
                .scout_wakes
                .wait_timeout(wishes, patience)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(wishes, _)| wishes);
        }
        std::mem::take(&mut wishes)
    }

    /// What the fetcher is to do about a place; from now on it brings what is wanted there.
    pub(super) fn grant(&self, place: Place) -> Wish {
        let Some(buffer) = self.at(place) else { return Wish::Nothing };
        let mut buffer = lock(buffer);
        if !buffer.placed || buffer.full {
            return Wish::Nothing;
        }
        let next = buffer.next;
        if std::mem::take(&mut buffer.moving) { Wish::Seek(next) } else { Wish::Resume(next) }
    }
}

fn note(wishes: &mut Vec<Place>, place: Place) {
    if !wishes.contains(&place) {
        wishes.push(place);
    }
}

pub(super) fn no_such((topic, partition): Place) -> ReadError {
    ReadError::Unavailable(format!("there is no {topic}/{partition}"))
}

impl Buffer {
    /// Whether a reader at `from` finds here what comes next.
    fn covers(&self, from: u64) -> bool {
        let front = self.records.front().map_or(self.next, |record| record.offset.0);
        self.placed && from <= self.next && from >= front.min(self.taken)
    }

    fn move_to(&mut self, from: u64) {
        self.records.clear();
        self.bytes = 0;
        self.taken = from;
        self.next = from;
        self.placed = true;
        self.moving = true;
        self.full = false;
    }

    fn push(&mut self, offset: u64, value: Bytes) {
        self.bytes = self.bytes.saturating_add(value.len());
        self.next = offset.saturating_add(1);
        self.records.push_back(Record { offset: Offset(offset), value });
    }

    fn drop_below(&mut self, from: u64) {
        while self.records.front().is_some_and(|record| record.offset.0 < from) {
            let Some(record) = self.records.pop_front() else { return };
            self.taken = record.offset.0.saturating_add(1);
            self.bytes = self.bytes.saturating_sub(record.value.len());
        }
    }

    fn take(&self, from: u64, limit_bytes: usize) -> Chunk {
        let (mut bytes, mut records) = (0_usize, Vec::new());
        for record in &self.records {
            bytes = bytes.saturating_add(record.value.len());
            if !records.is_empty() && bytes > limit_bytes {
                break;
            }
            records.push(record.clone());
        }
        let next = records.last().map_or(from, |record: &Record| record.offset.0.saturating_add(1));
        Chunk { records, next: Offset(next), end: Offset(self.next) }
    }
}
