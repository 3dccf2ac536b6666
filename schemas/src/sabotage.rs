//! Deliberate bugs, to prove that the simulator finds them. It lives here because all rooms share this crate.
//!
//! Without feature `simulation` every question is answered `false` at compile time, so that no build for users has
//! a trace of it. With it, a test turns one bug on, for its own thread.

/// A bug that the simulator must find. Each names the promise it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// An append is answered before it is synced (promise 1).
    AckBeforeSync,
    /// The tail of the newest segment is cut at the last record a reader had, not at the last whole frame (promise 1).
    TailCutTooFar,
    /// An epoch's offsets are committed without its rows (promise 2).
    OffsetsBeforeState,
    /// A job's answer is taken though its pending row is gone (promise 2).
    ReplyTwice,
    /// Rows reach the state store before their commit is durable (promise 2).
    ApplyBeforeCommit,
    /// An aborted epoch leaves its rows in the overlay (promise 2).
    AbortKeepsOverlay,
    /// Poison is skipped without a dead letter (promise 1).
    PoisonSkipped,
    /// The record store's progress moves past a commit whose rows were not written (promise 1).
    ProgressPastGap,
    /// Pending jobs are not started again after a restart (promise 1).
    PendingJobsForgotten,
    /// All jobs that one cause asks for in an operator get one id (promise 1).
    JobIdReused,
    /// A revised window keeps the revision of before, so that stores ignore it (promise 2).
    WindowRevisionLost,
    /// A timer that is due is fired and not removed (promise 2).
    TimerNotRemoved,
    /// The log drops segments that only a snapshot that was never verified covers (promise 4).
    FloorTooHigh,
    /// The epoch's clock follows the wall clock back (promise 2).
    ClockGoesBack,
    /// An unknown commit is taken for committed without a look into the log (promise 1).
    UnknownIsCommitted,
    /// Half a snapshot is restored as if it were whole (promise 4).
    HalfSnapshot,
    /// Deliveries start without a lease, and a new owner does not wait for that of the old one (promise 2).
    LeaseIgnored,
    /// A new owner starts what the old one has named as running (promise 2).
    NamedJobsStarted,
    /// A layout's `inbound` is taken for ended while it still takes events (promise 1).
    FenceSkipped,
    /// Rows whose key group is another in the next layout are not brought over (promise 4).
    RowsLeftBehind,
    /// Pending jobs are not brought over into the next layout (promise 4).
    MovedJobsForgotten,
}

impl Bug {
    /// All of them.
    pub const ALL: [Bug; 21] = [
        Bug::AckBeforeSync,
        Bug::TailCutTooFar,
        Bug::OffsetsBeforeState,
        Bug::ReplyTwice,
        Bug::ApplyBeforeCommit,
        Bug::AbortKeepsOverlay,
        Bug::PoisonSkipped,
        Bug::ProgressPastGap,
        Bug::PendingJobsForgotten,
        Bug::JobIdReused,
        Bug::WindowRevisionLost,
        Bug::TimerNotRemoved,
        Bug::FloorTooHigh,
        Bug::ClockGoesBack,
        Bug::UnknownIsCommitted,
        Bug::HalfSnapshot,
        Bug::LeaseIgnored,
        Bug::NamedJobsStarted,
        Bug::FenceSkipped,
        Bug::RowsLeftBehind,
        Bug::MovedJobsForgotten,
    ];
}

#[cfg(feature = "simulation")]
mod switch {
    use super::Bug;
    use std::cell::Cell;

    thread_local!(static ON: Cell<Option<Bug>> = const { Cell::new(None) });

    /// Whether this thread has turned the bug on.
    pub fn on(bug: Bug) -> bool {
        ON.get() == Some(bug)
    }

    /// Turns one bug on for this thread, or all off.
    pub fn set(bug: Option<Bug>) {
        ON.set(bug);
    }
}

#[cfg(feature = "simulation")]
pub use switch::{on, set};

/// Never: this build has no bugs on purpose.
#[cfg(not(feature = "simulation"))]
#[inline(always)]
pub const fn on(_bug: Bug) -> bool {
    false
}
