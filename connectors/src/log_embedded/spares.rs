//! Spare segments: zero-filled files that wait to be written, some of them for commits only.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::config::{EmbeddedLogConfig, RESERVED_SEGMENTS, SPARE_SEGMENTS};
use super::error::is_full;
use super::segment::create_zeroed;
use super::shared::Shared;
use crate::contract::disk::Disk;

/// Who a new segment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// Appends leave the reserve alone.
    Appends,
    /// Commits may use it: what was accepted must be able to end.
    Commits,
}

/// What an attempt to make a spare came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    One,
    NoneMissing,
    /// The disk has no room for one.
    NoRoom,
}

/// Names of the spare files.
#[derive(Default)]
struct Pool {
    ready: Vec<String>,
    next_name: u64,
    closed: bool,
}

pub(crate) struct Spares {
    disk: Arc<dyn Disk>,
    shared: Arc<Shared>,
    segment_bytes: u64,
    log_bytes_max: u64,
    pool: Mutex<Pool>,
    wanted: Condvar,
}

/// How many there are when nothing is missing.
const SPARES_MAX: usize = SPARE_SEGMENTS + RESERVED_SEGMENTS;

const SPARE: &str = "spare-";

/// Files of segments that are made when no spare will do.
pub(crate) const FIRST: &str = "first";
const LARGE: &str = "large-";

/// Removes what a crash has left of files that were to become segments, and spares too many; answers the names of the
/// spares.
pub(crate) fn clean(disk: &dyn Disk, segment_bytes: u64) -> io::Result<Vec<String>> {
    let mut spares = Vec::new();
    for name in disk.list()? {
        if name.starts_with(SPARE) && !name.ends_with(".tmp") && disk.open(&name)?.length()? == segment_bytes
        {
            spares.push(name);
        } else if [SPARE, FIRST, LARGE].iter().any(|prefix| name.starts_with(prefix)) {
            disk.remove(&name)?;
        }
    }
    spares.sort_unstable();
    Ok(spares)
}

impl Spares {
    /// Takes over the spares of before.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        shared: Arc<Shared>,
        config: &EmbeddedLogConfig,
        ready: Vec<String>,
    ) -> Self {
        let numbers = ready.iter().filter_map(|name| name.strip_prefix(SPARE)?.parse::<u64>().ok());
        let next_name = numbers.max().unwrap_or(0).saturating_add(1);
        let pool = Mutex::new(Pool { ready, next_name, closed: false });
        let (segment_bytes, log_bytes_max) = (config.segment_bytes, config.max_bytes);
        Self { disk, shared, segment_bytes, log_bytes_max, pool, wanted: Condvar::new() }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there should be. The reserve is there whatever the log's size: commits must be able to end.
    fn target(&self) -> usize {
        let within = self.allows(SPARES_MAX as u64 * self.segment_bytes);
        if within { SPARES_MAX } else { RESERVED_SEGMENTS }
    }

    /// Whether so much beside the segments keeps the log within its bound.
    fn allows(&self, bytes: u64) -> bool {
        self.shared.segments_bytes.load(Relaxed).saturating_add(bytes) <= self.log_bytes_max
    }

    /// Whether the log's bound, not the disk, keeps appends from getting a segment.
    pub(crate) fn is_bounded(&self) -> bool {
        self.target() == RESERVED_SEGMENTS
    }

    /// A spare file's name; none when there is none for this purpose.
    pub(crate) fn take(&self, purpose: For) -> Option<String> {
        let mut pool = self.pool();
        let kept = if purpose == For::Appends { RESERVED_SEGMENTS } else { 0 };
        let taken = if pool.ready.len() > kept { pool.ready.pop() } else { None };
        self.wanted.notify_all();
        taken
    }

    /// A file of `bytes` for the next segment: a spare, or a new one where none will do. None without room.
    pub(crate) fn file(&self, bytes: u64, segment: u64, purpose: For) -> io::Result<Option<String>> {
        if bytes > self.segment_bytes {
            let with_reserve = bytes.saturating_add(RESERVED_SEGMENTS as u64 * self.segment_bytes);
            if purpose == For::Appends && !self.allows(with_reserve) {
                return Ok(None);
            }
            let name = format!("{LARGE}{segment:020}");
            return match create_zeroed(&*self.disk, &name, bytes) {
                Ok(()) => Ok(Some(name)),
                Err(error) if is_full(&error) => Ok(None),
                Err(error) => Err(error),
            };
        }
        if let Some(name) = self.take(purpose) {
            return Ok(Some(name));
        }
        // None is ready: more than one may be missing before one is left over for this purpose.
        while self.make_one()? == Made::One {
            if let Some(name) = self.take(purpose) {
                return Ok(Some(name));
            }
        }
        Ok(self.take(purpose))
    }

    /// Whether appends could get a segment.
    pub(crate) fn has_room(&self) -> bool {
        self.pool().ready.len() > RESERVED_SEGMENTS
    }

    /// What they take on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.pool().ready.len() as u64 * self.segment_bytes
    }

    /// Makes one more spare if one is missing.
    pub(crate) fn make_one(&self) -> io::Result<Made> {
        let name = {
            let mut pool = self.pool();
            if pool.ready.len() >= self.target() {
                return Ok(Made::NoneMissing);
            }
            let name = format!("{SPARE}{:020}", pool.next_name);
            pool.next_name += 1;
            name
        };
        match create_zeroed(&*self.disk, &name, self.segment_bytes) {
            Ok(()) => {
                self.pool().ready.push(name);
                Ok(Made::One)
            }
            Err(error) if is_full(&error) => Ok(Made::NoRoom),
            Err(error) => Err(error),
        }
    }

    /// Waits until one is taken or the log is closed, at most `idle`; not at all if one is missing already, unless
    /// it could not be made a moment ago.
    pub(crate) fn wait(&self, idle: Duration, though_missing: bool) {
        let pool = self.pool();
        if !pool.closed && (though_missing || pool.ready.len() >= self.target()) {
            drop(self.wanted.wait_timeout(pool, idle).unwrap_or_else(PoisonError::into_inner));
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.pool().closed
    }

    pub(crate) fn close(&self) {
        self.pool().closed = true;
        self.wanted.notify_all();
    }
}
