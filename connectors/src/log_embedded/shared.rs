//! What readers and the writer share: where everything stands, and the newest records in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use leadline_schemas::{Offset, Partition, Topic};

use super::header::{SegmentHeader, segment_name};
use super::index::{Entry, Index};
use super::segment::{Segment, read_entry};
use super::slots::Slots;
use crate::contract::disk::DiskFile;
use crate::contract::log::{Chunk, ReadError, Record};

pub(crate) type Listener = Arc<dyn Fn() + Send + Sync>;

/// The segment that is written.
pub(crate) struct Active {
    pub(crate) header: SegmentHeader,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) index: Index,
}

/// Everything that a read needs; changed by the writer after each sync.
pub(crate) struct State {
    /// Sealed segments, oldest first.
    pub(crate) sealed: VecDeque<Arc<Segment>>,
    pub(crate) active: Active,
    /// The next offset of each slot.
    pub(crate) next: Vec<u64>,
    tail: Tail,
    pub(crate) floors: Vec<Option<u64>>,
    pub(crate) failed: Option<String>,
    pub(crate) disk_bytes: u64,
}

/// The newest records, by slot.
struct Tail {
    slots: Vec<VecDeque<Bytes>>,
    /// Slots in the order of their records, oldest first.
    order: VecDeque<u32>,
    bytes: usize,
    bytes_max: usize,
}

pub(crate) struct Shared {
    pub(crate) slots: Slots,
    state: RwLock<State>,
    /// Whether appends are refused for want of room; beside the state, for every append asks.
    pub(crate) full: AtomicBool,
    listeners: Mutex<HashMap<usize, Listener>>,
    index_cache_bytes_max: usize,
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
        let count = slots.count();
        let tail = Tail {
            slots: vec![VecDeque::new(); count],
            order: VecDeque::new(),
            bytes: 0,
            bytes_max: tail_bytes_max,
        };
        let state =
            State { sealed, active, next, tail, floors: vec![None; count], failed: None, disk_bytes: 0 };
        Self {
            slots,
            state: RwLock::new(state),
            full: AtomicBool::new(false),
            listeners: Mutex::new(HashMap::new()),
            index_cache_bytes_max,
        }
    }

    pub(crate) fn read_state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write_state(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn listen(&self, slot: usize, listener: Listener) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).insert(slot, listener);
    }

    /// Makes synced records readable, then tells the listeners of their slots.
    pub(crate) fn publish(&self, written: Written) {
        let mut touched: Vec<usize> = Vec::new();
        {
            let mut state = self.write_state();
            for (slot, entry, value) in written {
                if touched.last() != Some(&slot) && !touched.contains(&slot) {
                    touched.push(slot);
                }
                state.active.index.push(slot, entry);
                if let Some(next) = state.next.get_mut(slot) {
                    *next += 1;
                }
                state.tail.push(slot, value);
            }
        }
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let woken: Vec<Listener> = touched.iter().filter_map(|slot| listeners.get(slot).cloned()).collect();
        drop(listeners);
        for listener in woken {
            listener();
        }
    }

    /// The first offset kept and the next one.
    pub(crate) fn range(&self, slot: usize) -> (Offset, Offset) {
        let state = self.read_state();
        (Offset(first(&state, slot)), Offset(state.next.get(slot).copied().unwrap_or(0)))
    }

    pub(crate) fn read(
        &self,
        (topic, partition): (Topic, Partition),
        slot: usize,
        from: Offset,
        limit_bytes: usize,
    ) -> Result<Chunk, ReadError> {
        let state = self.read_state();
        let end = state.next.get(slot).copied().unwrap_or(0);
        let kept_from = first(&state, slot);
        if from.0 < kept_from {
            return Err(ReadError::Dropped { topic, partition, asked: from, first: Offset(kept_from) });
        }
        if from.0 >= end {
            return Ok(Chunk { records: Vec::new(), next: from, end: Offset(end) });
        }
        if let Some(records) = state.tail.read(slot, from.0, end, limit_bytes) {
            let next = Offset(from.0 + records.len() as u64);
            return Ok(Chunk { records, next, end: Offset(end) });
        }
        let (file, name, entries) = cold_entries(&state, slot, from.0, limit_bytes, self)?;
        drop(state);
        let mut records = Vec::with_capacity(entries.len());
        for (index, entry) in entries.into_iter().enumerate() {
            let value =
                read_entry(&*file, &name, entry).map_err(|damage| ReadError::Damaged(damage.to_string()))?;
            records.push(Record { offset: Offset(from.0 + index as u64), value });
        }
        let next = Offset(from.0 + records.len() as u64);
        Ok(Chunk { records, next, end: Offset(end) })
    }

    /// Keeps the sealed segments' indexes within their bound, by forgetting all but the one just used.
    fn bound_indexes(&self, state: &State, used: &Arc<Segment>) {
        let held: usize = state.sealed.len() * used.index().map_or(0, |index| index.memory_bytes());
        if held > self.index_cache_bytes_max {
            for segment in state.sealed.iter().filter(|segment| !Arc::ptr_eq(segment, used)) {
                segment.forget_index();
            }
        }
    }
}

fn first(state: &State, slot: usize) -> u64 {
    state.sealed.front().map_or_else(|| state.active.header.base(slot), |segment| segment.header.base(slot))
}

type Cold = (Arc<dyn DiskFile>, String, Vec<Entry>);

/// Where the records from `from` on stand, as many as fit the limit and lie in one segment.
fn cold_entries(
    state: &State,
    slot: usize,
    from: u64,
    limit_bytes: usize,
    shared: &Shared,
) -> Result<Cold, ReadError> {
    let active = &state.active;
    if from >= active.header.base(slot) {
        let entries = active.index.entries(slot).iter().skip(to_usize(from - active.header.base(slot)));
        return Ok((
            Arc::clone(&active.file),
            segment_name(active.header.number),
            within(entries, limit_bytes),
        ));
    }
    // The last sealed segment that begins at or before the offset and is not empty for this slot there.
    let at = state.sealed.partition_point(|segment| segment.header.base(slot) <= from);
    let found = at.checked_sub(1).and_then(|at| state.sealed.get(at));
    let Some(segment) = found else {
        return Err(ReadError::Unavailable("no segment holds this offset".to_owned()));
    };
    let index = segment.index().map_err(|damage| ReadError::Damaged(damage.to_string()))?;
    shared.bound_indexes(state, segment);
    let entries = index.entries(slot).iter().skip(to_usize(from - segment.header.base(slot)));
    Ok((Arc::clone(&segment.file), segment.name(), within(entries, limit_bytes)))
}

fn within<'e>(entries: impl Iterator<Item = &'e Entry>, limit_bytes: usize) -> Vec<Entry> {
    let (mut bytes, mut taken) = (0, Vec::new());
    for entry in entries {
        bytes += entry.bytes as usize;
        if !taken.is_empty() && bytes > limit_bytes {
            break;
        }
        taken.push(*entry);
    }
    taken
}

fn to_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

impl Tail {
    fn push(&mut self, slot: usize, value: Bytes) {
        self.bytes += value.len();
        if let Some(records) = self.slots.get_mut(slot) {
            records.push_back(value);
            self.order.push_back(u32::try_from(slot).unwrap_or(u32::MAX));
        }
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.order.pop_front() else { return };
            let dropped = self.slots.get_mut(oldest as usize).and_then(VecDeque::pop_front);
            self.bytes -= dropped.map_or(0, |value| value.len());
        }
    }

    /// Records from memory; none when the first is no longer there.
    fn read(&self, slot: usize, from: u64, end: u64, limit_bytes: usize) -> Option<Vec<Record>> {
        let records = self.slots.get(slot)?;
        let begins = end - records.len() as u64;
        let skip = to_usize(from.checked_sub(begins)?);
        let (mut bytes, mut taken) = (0, Vec::new());
        for (index, value) in records.iter().skip(skip).enumerate() {
            bytes += value.len();
            if !taken.is_empty() && bytes > limit_bytes {
                break;
            }
            taken.push(Record { offset: Offset(from + index as u64), value: value.clone() });
        }
        Some(taken)
    }
}
