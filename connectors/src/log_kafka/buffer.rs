//! Buffer: what was read ahead of one topic and partition, and what was read and may be read once more.

use std::collections::VecDeque;

use bytes::Bytes;
use leadline_schemas::Offset;

use super::buffers::Listener;
use crate::contract::log::{Chunk, Record};

/// How much is kept of what was read and is not committed: two epochs are open at most, each of 4 MiB and a record. A
/// reader that commits nothing finds that much when it goes back.
pub(super) const KEPT_BYTES_MAX: usize = 12 << 20;

/// What was read ahead of one topic and partition.
#[derive(Default)]
pub(super) struct Buffer {
    pub(super) listener: Option<Listener>,
    /// Whether a reader stands anywhere; until then nothing is fetched.
    pub(super) placed: bool,
    /// Whether the fetcher has not heard yet where the reader stands; what it brings meanwhile is of another place.
    pub(super) moving: bool,
    pub(super) records: VecDeque<Record>,
    /// How many of them lie before where the reader stands, and their bytes.
    pub(super) read: usize,
    pub(super) read_bytes: usize,
    /// Bytes of those that it has not read.
    pub(super) ahead_bytes: usize,
    /// What lies below is committed: nobody goes back there.
    pub(super) committed: u64,
    /// Behind the newest record that was dropped from here: between it and the first that is here nothing is missing,
    /// though compaction leaves gaps.
    pub(super) dropped: u64,
    /// Behind the newest record that is here, or where the reader stands.
    pub(super) next: u64,
    /// Whether no more is fetched until some is taken.
    pub(super) full: bool,
    /// The first offset that is still there, as far as is known.
    pub(super) first: u64,
}

impl Buffer {
    /// Whether a reader at `from` finds here what comes next.
    pub(super) fn covers(&self, from: u64) -> bool {
        self.placed && (self.dropped..=self.next).contains(&from)
    }

    pub(super) fn move_to(&mut self, from: u64) {
        self.records.clear();
        (self.read, self.read_bytes, self.ahead_bytes) = (0, 0, 0);
        (self.committed, self.dropped, self.next) = (from, from, from);
        (self.placed, self.moving, self.full) = (true, true, false);
    }

    pub(super) fn push(&mut self, offset: u64, value: Bytes) {
        self.ahead_bytes = self.ahead_bytes.saturating_add(value.len());
        self.next = offset.saturating_add(1);
        self.records.push_back(Record { offset: Offset(offset), value });
    }

    /// Moves the reader among what is here.
    pub(super) fn stand_at(&mut self, from: u64) {
        while let Some(record) = self.records.get(self.read).filter(|record| record.offset.0 < from) {
            self.read_bytes = self.read_bytes.saturating_add(record.value.len());
            self.ahead_bytes = self.ahead_bytes.saturating_sub(record.value.len());
            self.read += 1;
        }
        while let Some(before) = self.read.checked_sub(1) {
            let Some(record) = self.records.get(before).filter(|record| record.offset.0 >= from) else {
                break;
            };
            self.read_bytes = self.read_bytes.saturating_sub(record.value.len());
            self.ahead_bytes = self.ahead_bytes.saturating_add(record.value.len());
            self.read = before;
        }
    }

    /// Drops what was read and is committed, or too much.
    pub(super) fn drop_old(&mut self) {
        while self.read > 0 {
            let old = |record: &&Record| record.offset.0 < self.committed || self.read_bytes > KEPT_BYTES_MAX;
            if self.records.front().filter(old).is_none() {
                return;
            }
            let Some(record) = self.records.pop_front() else { return };
            self.read -= 1;
            self.read_bytes = self.read_bytes.saturating_sub(record.value.len());
            self.dropped = record.offset.0.saturating_add(1);
        }
    }

    pub(super) fn take(&self, from: u64, limit_bytes: usize) -> Chunk {
        let (mut bytes, mut records) = (0_usize, Vec::new());
        for record in self.records.iter().skip(self.read) {
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
