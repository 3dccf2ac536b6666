//! Stream: one topic and partition as readers see it, with its newest records in memory.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::shared::lock;

type Listener = Arc<dyn Fn() + Send + Sync>;

/// What a cached record takes beside its bytes: the handle and the allocator's share.
const OVERHEAD_BYTES: usize = 64;

/// Shared between the writer, who moves `next`, the helper, who moves `first`, and any number of readers.
#[derive(Default)]
pub(crate) struct Stream {
    first: AtomicU64,
    next: AtomicU64,
    /// Below it nobody reads any more; 0 keeps everything.
    floor: AtomicU64,
    tail: Mutex<Tail>,
    listener: Mutex<Option<Listener>>,
}

/// The newest records, without gaps, up to `next`.
#[derive(Default)]
struct Tail {
    first: u64,
    records: VecDeque<Bytes>,
}

impl Stream {
    pub(crate) fn new(first: u64, next: u64) -> Self {
        Self {
            first: AtomicU64::new(first),
            next: AtomicU64::new(next),
            tail: Mutex::new(Tail { first: next, records: VecDeque::new() }),
            ..Self::default()
        }
    }

    pub(crate) fn first(&self) -> u64 {
        self.first.load(Ordering::Acquire)
    }

    pub(crate) fn next(&self) -> u64 {
        self.next.load(Ordering::Acquire)
    }

    pub(crate) fn floor(&self) -> u64 {
        self.floor.load(Ordering::Acquire)
    }

    pub(crate) fn set_floor(&self, floor: u64) {
        self.floor.store(floor, Ordering::Release);
    }

    pub(crate) fn set_first(&self, first: u64) {
        self.first.fetch_max(first, Ordering::AcqRel);
    }

    pub(crate) fn set_listener(&self, listener: Listener) {
        *lock(&self.listener) = Some(listener);
    }

    pub(crate) fn notify(&self) {
        // Called outside the lock: a listener may register another one.
        let listener = lock(&self.listener).clone();
        if let Some(listener) = listener {
            listener();
        }
    }

    /// Adds durable records. They are in the tail before the end moves.
    pub(crate) fn publish(&self, records: &mut Vec<Bytes>) {
        let count = records.len() as u64;
        let mut tail = lock(&self.tail);
        tail.records.extend(records.drain(..));
        self.next.fetch_add(count, Ordering::AcqRel);
    }

    /// Forgets the `count` oldest records of the tail; they are freed outside the lock.
    fn forget(&self, count: usize) {
        let mut tail = lock(&self.tail);
        let count = count.min(tail.records.len());
        let forgotten: Vec<Bytes> = tail.records.drain(..count).collect();
        tail.first += count as u64;
        drop(tail);
        drop(forgotten);
    }

    /// Records from `from` on, if the tail reaches back that far: at least one, up to `limit_bytes`.
    pub(crate) fn tail(&self, from: u64, limit_bytes: usize) -> Option<Vec<Bytes>> {
        let tail = lock(&self.tail);
        let skip = usize::try_from(from.checked_sub(tail.first)?).ok()?;
        let mut found = Vec::new();
        let mut bytes = 0_usize;
        for record in tail.records.iter().skip(skip) {
            bytes = bytes.saturating_add(record.len());
            if bytes > limit_bytes && !found.is_empty() {
                break;
            }
            found.push(record.clone());
        }
        Some(found)
    }
}

/// What lies in all tails, in the order in which it came: the writer's account of the tail cache.
pub(crate) struct TailLedger {
    bytes_max: usize,
    bytes: usize,
    entries: VecDeque<LedgerEntry>,
}

struct LedgerEntry {
    slot: usize,
    count: usize,
    bytes: usize,
}

impl TailLedger {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: 0, entries: VecDeque::new() }
    }

    pub(crate) fn add(&mut self, slot: usize, count: usize, value_bytes: usize) {
        let bytes = value_bytes + count * OVERHEAD_BYTES;
        self.bytes += bytes;
        self.entries.push_back(LedgerEntry { slot, count, bytes });
    }

    /// Forgets the oldest records until the rest fits.
    pub(crate) fn shrink(&mut self, streams: &[Stream]) {
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.bytes;
            if let Some(stream) = streams.get(oldest.slot) {
                stream.forget(oldest.count);
            }
        }
    }
}
