//! Closing: how threads hear that the log is closed.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

use super::lock;

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
        let waited = self.changed.wait_timeout(closed, time);
        waited.map_or_else(|poisoned| *poisoned.into_inner().0, |(closed, _)| *closed)
    }
}
