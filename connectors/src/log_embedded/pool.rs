//! Pool: segment files made ahead of need, and the hand-over between the writer and its helper.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::config::{RESERVED_SEGMENTS, SPARE_SEGMENTS};
use super::segment::{Opened, Segment};
use super::shared::lock;
use crate::contract::disk::{Disk, DiskFile};

/// How much is zeroed at once.
const ZERO_BYTES: usize = 1 << 20;

/// A file full of synced zeros, so that writing into it changes no metadata and `fdatasync` writes data alone.
pub(crate) struct Prepared {
    pub(crate) name: String,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) bytes: u64,
}

/// Makes a file of zeros. It gets its final name only once it is whole; a half-made one is removed at start.
pub(crate) fn prepare(disk: &dyn Disk, number: u64, bytes: u64) -> io::Result<Prepared> {
    let making = format!("spare-{number:020}.new");
    match fill(disk, &making, bytes) {
        Ok(file) => {
            let name = format!("spare-{number:020}.log");
            disk.rename(&making, &name)?;
            Ok(Prepared { name, file, bytes })
        }
        Err(error) => {
            // It may not exist, and the first error is the one that matters; the next start removes it as well.
            let _ = disk.remove(&making);
            Err(error)
        }
    }
}

fn fill(disk: &dyn Disk, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
    let file: Arc<dyn DiskFile> = disk.create(name)?.into();
    let zeros = vec![0; ZERO_BYTES.min(usize::try_from(bytes).unwrap_or(ZERO_BYTES))];
    let mut position = 0;
    while position < bytes {
        let count = usize::try_from(bytes - position).unwrap_or(ZERO_BYTES).min(zeros.len());
        file.write_at(zeros.get(..count).unwrap_or(&zeros), position)?;
        position += count as u64;
    }
    file.sync_data()?;
    Ok(file)
}

/// The number in a spare's name, and whether it was finished.
pub(crate) fn spare_number(name: &str) -> Option<(u64, bool)> {
    let (digits, kind) = name.strip_prefix("spare-")?.split_once('.')?;
    Some((digits.parse().ok()?, kind == "log"))
}

/// Why no segment can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// The helper is at it.
    Soon,
    /// The disk, or the log's budget on it, has no room.
    Room,
}

/// A sealed segment whose footer is still to be written.
pub(crate) struct Unsealed {
    pub(crate) segment: Arc<Segment>,
    pub(crate) opened: Arc<Opened>,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Prepared>,
    unsealed: VecDeque<Unsealed>,
    no_room: bool,
    closed: bool,
    /// Counts changes, so that nobody sleeps through one.
    changes: u64,
}

#[derive(Default)]
pub(crate) struct Pool {
    state: Mutex<State>,
    changed: Condvar,
}

impl Pool {
    fn change<T>(&self, edit: impl FnOnce(&mut State) -> T) -> T {
        let mut state = lock(&self.state);
        let result = edit(&mut state);
        state.changes += 1;
        drop(state);
        self.changed.notify_all();
        result
    }

    /// Takes a segment for the log; only commits may go below the reserve.
    pub(crate) fn take(&self, use_reserve: bool) -> Result<Prepared, Lack> {
        self.change(|state| {
            let keep = if use_reserve && state.no_room { 0 } else { RESERVED_SEGMENTS };
            if state.ready.len() > keep {
                return state.ready.pop_front().ok_or(Lack::Soon);
            }
            Err(if state.no_room { Lack::Room } else { Lack::Soon })
        })
    }

    pub(crate) fn put(&self, prepared: Prepared) {
        self.change(|state| {
            state.ready.push_back(prepared);
            state.no_room = false;
        });
    }

    pub(crate) fn set_no_room(&self, no_room: bool) {
        if lock(&self.state).no_room != no_room {
            self.change(|state| state.no_room = no_room);
        }
    }

    pub(crate) fn no_room(&self) -> bool {
        lock(&self.state).no_room
    }

    pub(crate) fn ready(&self) -> usize {
        lock(&self.state).ready.len()
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.ready() >= RESERVED_SEGMENTS + SPARE_SEGMENTS
    }

    pub(crate) fn push_unsealed(&self, unsealed: Unsealed) {
        self.change(|state| state.unsealed.push_back(unsealed));
    }

    pub(crate) fn pop_unsealed(&self) -> Option<Unsealed> {
        lock(&self.state).unsealed.pop_front()
    }

    pub(crate) fn close(&self) {
        self.change(|state| state.closed = true);
    }

    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.state).closed
    }

    pub(crate) fn changes(&self) -> u64 {
        lock(&self.state).changes
    }

    /// Waits until something has changed since `seen`, or the time is over.
    pub(crate) fn wait(&self, seen: u64, timeout: Duration) {
        let state = lock(&self.state);
        // A poisoned lock is taken over like everywhere in this module, and a time-out is no error here.
        let _ = self.changed.wait_timeout_while(state, timeout, |state| state.changes == seen);
    }
}
