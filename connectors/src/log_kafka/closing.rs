//! Closing: how threads hear that the log is closed.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

use super::{lock, wait};

/// Set once.
#[derive(Default)]
pub(super) struct Closing {
    closed: Mutex<bool>,
    changed: Condvar,
}

impl Closing {
    pub(super) fn close(&self) {
        *lock(&self.closed) = true;
        self.changed.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        *lock(&self.closed)
    }

    /// Waits that long, or until it is closed; whether it is.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let closed = lock(&self.closed);
        if *closed {
            return true;
        }
        *wait(&self.changed, closed, time)
    }
}
