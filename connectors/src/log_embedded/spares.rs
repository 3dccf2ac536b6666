//! Spare segments: zero-filled files that wait to be written, some of them for commits only.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::config::{RESERVED_SEGMENTS, SPARE_SEGMENTS};
use super::error::is_full;
use super::segment::create_zeroed;
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
    segment_bytes: u64,
    pool: Mutex<Pool>,
    wanted: Condvar,
}

/// How many files the pool holds when it is full.
const SPARES_WANTED: usize = SPARE_SEGMENTS + RESERVED_SEGMENTS;

const PREFIX: &str = "spare-";

impl Spares {
    /// Takes over the spares of before.
    pub(crate) fn open(disk: Arc<dyn Disk>, segment_bytes: u64) -> io::Result<Self> {
        let mut pool = Pool { next_name: 1, ..Pool::default() };
        for name in disk.list()? {
            if name.ends_with(".tmp") {
                disk.remove(&name)?;
            } else if let Some(number) = name.strip_prefix(PREFIX) {
                if disk.open(&name)?.length()? == segment_bytes {
                    pool.next_name = pool.next_name.max(number.parse::<u64>().unwrap_or(0) + 1);
                    pool.ready.push(name);
                } else {
                    disk.remove(&name)?;
                }
            }
        }
        Ok(Self { disk, segment_bytes, pool: Mutex::new(pool), wanted: Condvar::new() })
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A spare file's name; none when there is none for this purpose.
    pub(crate) fn take(&self, purpose: For) -> Option<String> {
        let mut pool = self.pool();
        let kept = if purpose == For::Appends { RESERVED_SEGMENTS } else { 0 };
        let taken = if pool.ready.len() > kept { pool.ready.pop() } else { None };
        self.wanted.notify_all();
        taken
    }

    /// Whether appends could get a segment.
    pub(crate) fn has_room(&self) -> bool {
        self.pool().ready.len() > RESERVED_SEGMENTS
    }

    pub(crate) fn count(&self) -> usize {
        self.pool().ready.len()
    }

    /// Makes one more spare if one is missing.
    pub(crate) fn make_one(&self) -> io::Result<Made> {
        let name = {
            let mut pool = self.pool();
            if pool.ready.len() >= SPARES_WANTED {
                return Ok(Made::NoneMissing);
            }
            let name = format!("{PREFIX}{:020}", pool.next_name);
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
        if !pool.closed && (though_missing || pool.ready.len() >= SPARES_WANTED) {
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
