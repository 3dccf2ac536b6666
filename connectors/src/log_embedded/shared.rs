//! What readers and the log's own work share: where everything stands, and the newest records in memory.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use leadline_schemas::{Offset, Partition, Topic};

use super::cold::{Cold, Wanted};
use super::header::SegmentHeader;
use super::index::{Entry, Index};
use super::index_cache::IndexCache;
use super::segment::Segment;
use super::slots::Slots;
use super::tail::Tail;
use crate::contract::disk::DiskFile;
use crate::contract::log::{Chunk, ReadError};

pub(crate) type Listener = Arc<dyn Fn() + Send + Sync>;

/// The segment that is written.
pub(crate) struct Active {
    pub(crate) header: SegmentHeader,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) index: Index,
}

/// Everything that a read needs; changed by the writer after each sync. Its lock is never held over the disk.
pub(crate) struct State {
    /// Sealed segments, oldest first.
    pub(crate) sealed: VecDeque<Arc<Segment>>,
    pub(crate) active: Active,
    /// The next offset of each slot.
    pub(crate) next: Vec<u64>,
    pub(crate) tail: Tail,
    pub(crate) floors: Vec<Option<u64>>,
    pub(crate) failed: Option<String>,
}

pub(crate) struct Shared {
    pub(crate) slots: Slots,
    state: RwLock<State>,
    pub(crate) indexes: IndexCache,
    listeners: Mutex<Vec<Option<Listener>>>,
    /// Whether appends are refused for want of room; beside the state, for every append asks.
    pub(crate) full: AtomicBool,
    /// Whether a commit waits for room.
    pub(crate) stalled: AtomicBool,
    /// What all segments take on disk; spares come on top.
    pub(crate) segments_bytes: AtomicU64,
}

/// Records of one sync: slot, entry, value.
pub(crate) type Written = Vec<(usize, Entry, Bytes)>;

impl Shared {
    pub(crate) fn new(
        slots: Slots,
        sealed: VecDeque<Arc<Segment>>,
        active: Active,
        next: Vec<u64>,
        (tail_bytes_max, index_cache_bytes_max): (usize, usize),
    ) -> Self {
        let sealed_bytes: u64 = sealed.iter().map(|segment| segment.bytes).sum();
        let segments_bytes = AtomicU64::new(sealed_bytes + active.header.file_bytes);
        let tail = Tail::new(slots.count(), tail_bytes_max);
        let floors = vec![None; slots.count()];
        let state = State { sealed, active, next, tail, floors, failed: None };
        Self {
            slots,
            state: RwLock::new(state),
            indexes: IndexCache::new(index_cache_bytes_max),
            listeners: Mutex::new(vec![None; slots.count()]),
            full: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            segments_bytes,
        }
    }

    pub(crate) fn read_state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write_state(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn listen(&self, slot: usize, listener: Listener) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = listeners.get_mut(slot) {
            *place = Some(listener);
        }
    }

    /// Makes synced records readable, then tells the listeners of their slots.
    pub(crate) fn publish(&self, written: &mut Written) {
        let mut moved = vec![false; self.slots.count()];
        {
            let mut state = self.write_state();
            for (slot, entry, value) in written.drain(..) {
                state.active.index.push(slot, entry);
                if let (Some(next), Some(moved)) = (state.next.get_mut(slot), moved.get_mut(slot)) {
                    *next += 1;
                    *moved = true;
                }
                state.tail.push(slot, value);
            }
        }
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let moved = listeners.iter().zip(moved).filter(|(_, moved)| *moved);
        let woken: Vec<Listener> = moved.filter_map(|(listener, _)| listener.clone()).collect();
        drop(listeners);
        for listener in woken {
            listener();
        }
    }

    /// The first offset kept and the next one. Once the log has failed nobody knows the next one: what was being
    /// written may be there after a restart.
    pub(crate) fn range(&self, slot: usize) -> Result<(Offset, Offset), ReadError> {
        let state = self.read_state();
        if let Some(why) = &state.failed {
            return Err(ReadError::Unavailable(format!("the log failed: {why}")));
        }
        Ok((Offset(first(&state, slot)), Offset(state.next.get(slot).copied().unwrap_or(0))))
    }

    pub(crate) fn read(
        &self,
        place: (Topic, Partition),
        slot: usize,
        from: Offset,
        limit_bytes: usize,
    ) -> Result<Chunk, ReadError> {
        let state = self.read_state();
        let end = state.next.get(slot).copied().unwrap_or(0);
        let kept_from = first(&state, slot);
        if from.0 < kept_from {
            let (topic, partition) = place;
            return Err(ReadError::Dropped { topic, partition, asked: from, first: Offset(kept_from) });
        }
        if from.0 >= end {
            return match &state.failed {
                None => Ok(Chunk { records: Vec::new(), next: from, end: Offset(end) }),
                Some(why) => Err(ReadError::Unavailable(format!("the log failed: {why}"))),
            };
        }
        if let Some(records) = state.tail.read(slot, from.0, end, limit_bytes) {
            let next = Offset(from.0 + records.len() as u64);
            return Ok(Chunk { records, next, end: Offset(end) });
        }
        let cold = self.cold(state, slot, (place, from), limit_bytes)?;
        let records = cold.read().map_err(|damage| ReadError::Damaged(damage.to_string()))?;
        if records.is_empty() {
            let what = "its index has fewer records than its successor says";
            return Err(ReadError::Damaged(cold.damage(0, what).to_string()));
        }
        let next = Offset(from.0 + records.len() as u64);
        Ok(Chunk { records, next, end: Offset(end) })
    }

    /// Where the records from `from` on stand, as many as fit the limit and lie in one segment.
    fn cold(
        &self,
        state: RwLockReadGuard<'_, State>,
        slot: usize,
        (place, from): ((Topic, Partition), Offset),
        limit_bytes: usize,
    ) -> Result<Cold, ReadError> {
        let active = &state.active;
        let wanted = |header: &SegmentHeader| {
            let skipped = usize::try_from(from.0 - header.base(slot)).unwrap_or(usize::MAX);
            Wanted { place, slot, from, skipped, limit_bytes }
        };
        if from.0 >= active.header.base(slot) {
            return Ok(Cold::new(&active.file, &active.header, &active.index, wanted(&active.header)));
        }
        // The last sealed segment that begins at or before the offset and is not empty for this slot there.
        let at = state.sealed.partition_point(|segment| segment.header.base(slot) <= from.0);
        let found = at.checked_sub(1).and_then(|at| state.sealed.get(at)).cloned();
        drop(state);
        let Some(segment) = found else {
            return Err(ReadError::Unavailable("no segment holds this offset".to_owned()));
        };
        let index = self.indexes.get(&segment).map_err(|damage| ReadError::Damaged(damage.to_string()))?;
        Ok(Cold::new(&segment.file, &segment.header, &index, wanted(&segment.header)))
    }
}

fn first(state: &State, slot: usize) -> u64 {
    state.sealed.front().map_or_else(|| state.active.header.base(slot), |segment| segment.header.base(slot))
}
