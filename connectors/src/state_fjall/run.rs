//! Runs: sorted rows in one allocation, with an index by hash. A run never changes, so readers need no lock for it.

use std::hash::BuildHasher as _;
use std::ops::Range;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::contract::state::{Change, StateError};

/// What a row has in place of its value's length when it is deleted.
const DELETED: u32 = u32::MAX;

/// Where a row's key and value stand in the data.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: u32,
    value_bytes: u32,
    key_bytes: u16,
}

/// A row: its key, and its value; none = deleted.
pub(super) type Row<'a> = (&'a [u8], Option<&'a [u8]>);

/// Sorted rows, at most one per key.
#[derive(Debug)]
pub(super) struct Run {
    data: Vec<u8>,
    places: Vec<Place>,
    /// Places by the hash of their keys.
    index: HashTable<u32>,
}

impl Run {
    /// A run of rows that come in the order of their keys, each key once.
    fn new<'a>(
        rows: impl Iterator<Item = Row<'a>>,
        (count, bytes): (usize, usize),
        hasher: &DefaultHashBuilder,
    ) -> Result<Self, StateError> {
        let mut run = Self {
            data: Vec::with_capacity(bytes),
            places: Vec::with_capacity(count),
            index: HashTable::with_capacity(count),
        };
        for (key, value) in rows {
            let too_large = |_| StateError::Failed(format!("a run of over {} bytes", u32::MAX));
            let place = Place {
                at: u32::try_from(run.data.len()).map_err(too_large)?,
                key_bytes: u16::try_from(key.len()).map_err(too_large)?,
                value_bytes: value
                    .map_or(Ok(DELETED), |value| u32::try_from(value.len()))
                    .map_err(too_large)?,
            };
            let number = u32::try_from(run.places.len()).map_err(too_large)?;
            run.data.extend_from_slice(key);
            run.data.extend_from_slice(value.unwrap_or_default());
            run.places.push(place);
            let (data, places) = (&run.data, &run.places);
            let rehash = |number: &u32| hasher.hash_one(key_of(data, places, *number));
            run.index.insert_unique(hasher.hash_one(key), number, rehash);
        }
        // Of hot rows a merge leaves one in many.
        if run.data.len() < run.data.capacity() / 2 {
            run.data.shrink_to_fit();
            run.places.shrink_to_fit();
        }
        Ok(run)
    }

    /// The changes of one apply; of several to one key the last counts.
    pub(super) fn of_changes(changes: &[Change], hasher: &DefaultHashBuilder) -> Result<Self, StateError> {
        let bytes =
            changes.iter().map(|change| change.key.len() + change.value.as_ref().map_or(0, |v| v.len()));
        let size = (changes.len(), bytes.sum());
        // Frames come sorted and without repeats; whatever else comes is brought into that form.
        if changes.is_sorted_by(|left, right| left.key < right.key) {
            return Self::new(changes.iter().map(row_of), size, hasher);
        }
        let by_key: std::collections::BTreeMap<&[u8], Option<&[u8]>> = changes.iter().map(row_of).collect();
        Self::new(by_key.into_iter(), size, hasher)
    }

    /// One run of several, oldest first: of rows with the same key the newest stays.
    pub(super) fn merged(
        runs: &[std::sync::Arc<Self>],
        hasher: &DefaultHashBuilder,
    ) -> Result<Self, StateError> {
        let size = (runs.iter().map(|run| run.len()).sum(), runs.iter().map(|run| run.data.len()).sum());
        Self::new(Merge::new(runs, None), size, hasher)
    }

    /// The row of a key, if this run has one.
    pub(super) fn get(&self, hash: u64, key: &[u8]) -> Option<Option<&[u8]>> {
        let number = self.index.find(hash, |number| key_of(&self.data, &self.places, *number) == key)?;
        self.row(*number as usize).map(|(_, value)| value)
    }

    fn row(&self, number: usize) -> Option<Row<'_>> {
        let place = self.places.get(number)?;
        let (at, key_bytes) = (place.at as usize, usize::from(place.key_bytes));
        let key = self.data.get(at..at + key_bytes)?;
        if place.value_bytes == DELETED {
            return Some((key, None));
        }
        let from = at + key_bytes;
        Some((key, Some(self.data.get(from..from + place.value_bytes as usize)?)))
    }

    /// Rows.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// What it takes in memory, roughly: data, places, and two bytes of index to a place's four at its fullest.
    pub(super) fn memory_bytes(&self) -> usize {
        self.data.capacity() + self.places.capacity() * (size_of::<Place>() + 8)
    }

    /// Numbers of the rows from a key on to before another.
    fn numbers(&self, from: &[u8], to: &[u8]) -> Range<usize> {
        let before = |bound: &[u8]| {
            self.places.partition_point(|place| {
                let at = place.at as usize;
                self.data.get(at..at + usize::from(place.key_bytes)).is_some_and(|key| key < bound)
            })
        };
        before(from)..before(to)
    }
}

fn row_of(change: &Change) -> Row<'_> {
    (&change.key, change.value.as_deref())
}

fn key_of<'a>(data: &'a [u8], places: &[Place], number: u32) -> &'a [u8] {
    let place = places.get(number as usize);
    place
        .and_then(|place| data.get(place.at as usize..place.at as usize + usize::from(place.key_bytes)))
        .unwrap_or_default()
}

/// The rows of several runs in the order of their keys; of rows with the same key the newest.
///
/// There are few runs (`buffer.rs`), so the next row is found by looking at all of them.
pub(super) struct Merge<'a> {
    /// Newest first: what is left of each run.
    rest: Vec<(&'a Run, Range<usize>, Option<Row<'a>>)>,
}

impl<'a> Merge<'a> {
    /// Of runs that come oldest first; with a range, only the rows from its first key to before its second.
    pub(super) fn new(runs: &'a [std::sync::Arc<Run>], range: Option<(&[u8], &[u8])>) -> Self {
        let rest = runs.iter().rev().map(|run| {
            let mut numbers = range.map_or(0..run.len(), |(from, to)| run.numbers(from, to));
            let first = numbers.next().and_then(|number| run.row(number));
            (&**run, numbers, first)
        });
        Self { rest: rest.collect() }
    }
}

impl<'a> Iterator for Merge<'a> {
    type Item = Row<'a>;

    fn next(&mut self) -> Option<Row<'a>> {
        let mut least: Option<Row<'a>> = None;
        for (_, _, head) in &self.rest {
            if let Some(row) = head
                && least.is_none_or(|(key, _)| row.0 < key)
            {
                least = Some(*row);
            }
        }
        let (key, value) = least?;
        for (run, numbers, head) in &mut self.rest {
            if head.is_some_and(|row| row.0 == key) {
                *head = numbers.next().and_then(|number| run.row(number));
            }
        }
        Some((key, value))
    }
}
