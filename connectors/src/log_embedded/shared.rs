//! Shared: what the writer, its helper and all readers see of one log.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use super::config::EmbeddedLogConfig;
use super::pool::Pool;
use super::queue::Queue;
use super::segment::{OpenedCache, Segment};
use super::slots::Slots;
use super::stream::Stream;
use crate::contract::clock::Clock;
use crate::contract::disk::Disk;
use crate::contract::log::LogHealth;

/// A list of segments, oldest first, the newest still being written. Replaced whole when it changes.
pub(crate) type Segments = Arc<Vec<Arc<Segment>>>;

pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: EmbeddedLogConfig,
    pub(crate) slots: Slots,
    pub(crate) streams: Vec<Stream>,
    pub(crate) queue: Queue,
    pub(crate) pool: Pool,
    pub(crate) opened: OpenedCache,
    pub(crate) counts: Counts,
    pub(crate) disk_bytes: AtomicU64,
    segments: RwLock<Segments>,
    full: AtomicBool,
    failed: OnceLock<String>,
}

/// What the log has done since it was opened.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) records: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) groups: AtomicU64,
    pub(crate) written_bytes: AtomicU64,
    pub(crate) segments_opened: AtomicU64,
    pub(crate) segments_dropped: AtomicU64,
    pub(crate) cold_reads: AtomicU64,
}

/// A snapshot of the log's counters since it was opened, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogCounters {
    /// Records appended.
    pub records: u64,
    /// Commits accepted.
    pub commits: u64,
    /// Groups written and synced.
    pub groups: u64,
    /// Bytes of all groups.
    pub written_bytes: u64,
    /// Segments begun.
    pub segments_opened: u64,
    /// Segments dropped by retention.
    pub segments_dropped: u64,
    /// Reads that went to the disk.
    pub cold_reads: u64,
}

impl Shared {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        config: EmbeddedLogConfig,
        streams: Vec<Stream>,
        segments: Vec<Arc<Segment>>,
        disk_bytes: u64,
    ) -> Self {
        Self {
            disk,
            clock,
            slots: Slots { partitions: config.partitions },
            streams,
            queue: Queue::new(config.append_queue_bytes_max, config.commit_queue_bytes_max),
            pool: Pool::default(),
            opened: OpenedCache::new(config.index_cache_bytes_max),
            counts: Counts::default(),
            disk_bytes: AtomicU64::new(disk_bytes),
            segments: RwLock::new(Arc::new(segments)),
            full: AtomicBool::new(false),
            failed: OnceLock::new(),
            config,
        }
    }

    pub(crate) fn segments(&self) -> Segments {
        Arc::clone(&self.segments.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn edit_segments(&self, edit: impl FnOnce(&mut Vec<Arc<Segment>>)) {
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        edit(Arc::make_mut(&mut segments));
    }

    /// Ends the log for good. The first reason stays.
    pub(crate) fn fail(&self, why: String) {
        tracing::error!(why, "the log failed; the process must end");
        // A second failure follows from the first.
        let _ = self.failed.set(why);
    }

    pub(crate) fn failed(&self) -> Option<&str> {
        self.failed.get().map(String::as_str)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    pub(crate) fn set_full(&self, full: bool) {
        if self.full.swap(full, Ordering::AcqRel) != full {
            if full {
                tracing::warn!(
                    "the log has no room: appends are refused, commits go on in reserved segments"
                );
            } else {
                tracing::info!("the log has room again");
            }
        }
    }

    /// Whether another `bytes` stay within the log's budget.
    pub(crate) fn has_budget(&self, bytes: u64) -> bool {
        self.disk_bytes.load(Ordering::Relaxed).saturating_add(bytes) <= self.config.max_bytes
    }

    pub(crate) fn health(&self) -> LogHealth {
        LogHealth {
            full: self.is_full(),
            failed: self.failed().map(str::to_owned),
            disk_bytes: self.disk_bytes.load(Ordering::Relaxed),
            queued_bytes: self.queue.bytes() as u64,
        }
    }

    pub(crate) fn counters(&self) -> LogCounters {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        LogCounters {
            records: read(&self.counts.records),
            commits: read(&self.counts.commits),
            groups: read(&self.counts.groups),
            written_bytes: read(&self.counts.written_bytes),
            segments_opened: read(&self.counts.segments_opened),
            segments_dropped: read(&self.counts.segments_dropped),
            cold_reads: read(&self.counts.cold_reads),
        }
    }
}

/// Locks, also after a panic elsewhere: every critical section of this module leaves its data whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
