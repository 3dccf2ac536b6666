//! Buffers: what was read ahead, for each topic and partition that somebody reads.
//!
//! `read` takes from here and never waits. A place is read on from where its reader stands: whoever asks for another
//! offset moves it there, and finds an empty chunk until the records have come.
//!
//! Inputs stay here until they are committed: an epoch in which one is poison reads them once more, and does not wait.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use leadline_schemas::{Offset, Partition, Topic};

use super::buffer::Buffer;
use super::{lock, wait};
use crate::contract::log::{Chunk, ReadError};

pub(super) type Listener = Arc<dyn Fn() + Send + Sync>;
pub(super) type Place = (Topic, Partition);

/// All places that can be read.
pub(super) struct Buffers {
    partitions: u16,
    bytes_max: usize,
    places: Vec<Mutex<Buffer>>,
    wishes: Wishes,
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
    /// Nobody reads here any more.
    Leave,
    /// Nothing.
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
        buffer.stand_at(from);
        if !matches!(topic, Topic::Inbound | Topic::Replies) {
            buffer.committed = from;
        }
        buffer.drop_old();
        let chunk = buffer.take(from, limit_bytes);
        let resume = buffer.full && buffer.ahead_bytes <= self.bytes_max / 2;
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

    /// Nobody reads below any more: it is committed.
    pub(super) fn release(&self, place: Place, committed: u64) {
        let Some(buffer) = self.at(place) else { return };
        let mut buffer = lock(buffer);
        buffer.committed = buffer.committed.max(committed);
        buffer.drop_old();
    }

    /// Nobody reads here any more: the partition is another process's.
    pub(super) fn leave(&self, place: Place) {
        let Some(buffer) = self.at(place) else { return };
        let mut buffer = lock(buffer);
        buffer.move_to(0);
        (buffer.placed, buffer.first, buffer.listener) = (false, 0, None);
        drop(buffer);
        self.wish(place);
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

    /// Whether somebody listens here.
    pub(super) fn is_heard(&self, place: Place) -> bool {
        self.at(place).is_some_and(|buffer| lock(buffer).listener.is_some())
    }

    /// Whether a reader stands here.
    pub(super) fn is_placed(&self, place: Place) -> bool {
        self.at(place).is_some_and(|buffer| lock(buffer).placed)
    }

    /// Below which offset everything is committed where a reader stands, and up to which it was read.
    pub(super) fn position(&self, place: Place) -> Option<(u64, u64)> {
        let buffer = lock(self.at(place)?);
        buffer.placed.then_some((buffer.committed, buffer.next))
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
        if buffer.ahead_bytes >= self.bytes_max && !buffer.full {
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
            buffer.full = buffer.ahead_bytes >= self.bytes_max;
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
            wishes = wait(&self.wishes.scout_wakes, wishes, patience);
        }
        std::mem::take(&mut wishes)
    }

    /// What the fetcher is to do about a place; from now on it brings what is wanted there.
    pub(super) fn grant(&self, place: Place) -> Wish {
        let Some(buffer) = self.at(place) else { return Wish::Nothing };
        let mut buffer = lock(buffer);
        if !buffer.placed {
            return Wish::Leave;
        }
        if buffer.full {
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

#[cfg(test)]
mod tests {
    use super::super::buffer::KEPT_BYTES_MAX;
    use super::*;

    const HERE: Place = (Topic::Inbound, Partition(0));

    /// Buffers with records 0 to 9, of 100 bytes each, that a reader at 0 waited for.
    fn filled(bytes_max: usize) -> Buffers {
        let buffers = Buffers::new(1, bytes_max);
        assert!(buffers.read(HERE, 0, 0).unwrap().records.is_empty());
        assert_eq!(buffers.push(HERE, 7, Bytes::new()), Pushed::Stale, "of the place before");
        assert_eq!((buffers.fetcher_wishes(), buffers.grant(HERE)), (vec![HERE], Wish::Seek(0)));
        for offset in 0..10 {
            assert_ne!(buffers.push(HERE, offset, Bytes::from(vec![0; 100])), Pushed::Stale);
        }
        buffers
    }

    fn offsets(buffers: &Buffers, from: u64) -> Vec<u64> {
        let chunk = buffers.read(HERE, from, 200).unwrap();
        chunk.records.iter().map(|record| record.offset.0).collect()
    }

    #[test]
    fn what_was_read_stays_until_it_is_committed() {
        let buffers = filled(1 << 20);
        assert_eq!((offsets(&buffers, 0), offsets(&buffers, 6)), (vec![0, 1], vec![6, 7]));
        assert_eq!(offsets(&buffers, 1), [1, 2], "not committed: read once more, at once");
        buffers.release(HERE, 5);
        assert_eq!(offsets(&buffers, 8), [8, 9]);
        assert_eq!(offsets(&buffers, 5), [5, 6], "the first that is not committed");
        assert!(buffers.fetcher_wishes().is_empty(), "nobody had to move");
        assert!(offsets(&buffers, 4).is_empty(), "committed and dropped: it is fetched again");
        assert_eq!((buffers.fetcher_wishes(), buffers.grant(HERE)), (vec![HERE], Wish::Seek(4)));
        assert_eq!(buffers.push(HERE, 4, Bytes::new()), Pushed::Kept);
        assert_eq!(offsets(&buffers, 4), [4]);
    }

    #[test]
    fn only_what_is_ahead_of_the_reader_fills_a_buffer() {
        let buffers = filled(1_001);
        assert_eq!(buffers.push(HERE, 10, Bytes::from(vec![0; 100])), Pushed::Full);
        assert_eq!(buffers.grant(HERE), Wish::Nothing);
        assert_eq!(offsets(&buffers, 5), [5, 6]);
        assert!(buffers.fetcher_wishes().is_empty(), "more than half is ahead still");
        assert_eq!(offsets(&buffers, 6), [6, 7]);
        assert_eq!((buffers.fetcher_wishes(), buffers.grant(HERE)), (vec![HERE], Wish::Resume(11)));
    }

    #[test]
    fn a_reader_that_commits_nothing_does_not_fill_the_memory() {
        let buffers = filled(usize::MAX);
        for offset in 10..50 {
            buffers.push(HERE, offset, Bytes::from(vec![0; 1 << 20]));
            let chunk = buffers.read(HERE, offset, 0).unwrap();
            assert_eq!(chunk.records.len(), 1);
        }
        let kept = lock(buffers.at(HERE).unwrap()).read_bytes;
        assert!((KEPT_BYTES_MAX / 2..=KEPT_BYTES_MAX).contains(&kept), "{kept}");
    }
}
