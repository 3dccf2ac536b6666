//! What goes wrong, and what was seen.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// What a client hears that sends a commit again, whose answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The answer of the first: Spanner knows its transactions for a while.
    Remembered,
    /// ABORTED: the whole transaction runs again, and has to find that it was done.
    Aborted,
    /// NOT_FOUND: the client gives up without knowing.
    Gone,
}

/// Faults that are about to happen; none at the start.
#[derive(Default)]
pub struct Faults {
    aborts: AtomicI64,
    lost: Mutex<(u64, Option<Lost>)>,
    refused: Mutex<(u64, u64)>,
    twice: AtomicI64,
    delay_ms: AtomicU64,
}

impl Faults {
    /// The next commits are aborted.
    pub fn abort_commits(&self, count: i64) {
        self.aborts.store(count, Ordering::SeqCst);
    }

    /// The next commits are done, and their connections cut before the answer.
    pub fn lose_answers(&self, count: u64, then: Lost) {
        *self.lost.lock().unwrap() = (count, Some(then));
    }

    /// Behind the next `after` commits, so many are refused (INTERNAL), and nothing of them is written.
    pub fn refuse_commits(&self, after: u64, count: u64) {
        *self.refused.lock().unwrap() = (after, count);
    }

    /// The next commits come twice, as a transport may send them.
    pub fn send_commits_twice(&self, count: i64) {
        self.twice.store(count, Ordering::SeqCst);
    }

    /// Every commit takes this much longer.
    pub fn delay_commits(&self, time: Duration) {
        self.delay_ms.store(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub(super) fn aborts(&self) -> bool {
        self.aborts.fetch_sub(1, Ordering::SeqCst) > 0
    }

    pub(super) fn sends_twice(&self) -> bool {
        self.twice.fetch_sub(1, Ordering::SeqCst) > 0
    }

    pub(super) fn loses(&self) -> Option<Lost> {
        let mut lost = self.lost.lock().unwrap();
        lost.0 = lost.0.checked_sub(1)?;
        lost.1
    }

    pub(super) fn refuses(&self) -> bool {
        let mut refused = self.refused.lock().unwrap();
        match *refused {
            (0, 0) => false,
            (0, count) => {
                refused.1 = count - 1;
                true
            }
            (after, _) => {
                refused.0 = after - 1;
                false
            }
        }
    }

    pub(super) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms.load(Ordering::SeqCst))
    }
}

/// Counts of what was asked.
#[derive(Default)]
pub struct Seen {
    pub(super) commits: AtomicU64,
    pub(super) aborted: AtomicU64,
    pub(super) single_use_commits: AtomicU64,
    pub(super) stale_reads: AtomicU64,
    pub(super) mutations_max: AtomicU64,
    pub(super) indexes: Mutex<std::collections::BTreeSet<String>>,
}

impl Seen {
    /// Transactions that were committed.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }

    /// Times that a client heard ABORTED, for whatever reason.
    pub fn aborted(&self) -> u64 {
        self.aborted.load(Ordering::SeqCst)
    }

    /// Commits without a transaction, which may take effect twice.
    pub fn single_use_commits(&self) -> u64 {
        self.single_use_commits.load(Ordering::SeqCst)
    }

    /// Questions that allowed an older answer.
    pub fn stale_reads(&self) -> u64 {
        self.stale_reads.load(Ordering::SeqCst)
    }

    /// Mutations of the largest commit.
    pub fn mutations_max(&self) -> u64 {
        self.mutations_max.load(Ordering::SeqCst)
    }

    /// Indexes that queries were forced to.
    pub fn indexes(&self) -> Vec<String> {
        self.indexes.lock().unwrap().iter().cloned().collect()
    }
}
