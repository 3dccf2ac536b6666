//! What the executor is told.

use std::sync::mpsc::Sender;

use leadline_schemas::reply::PendingJob;
use leadline_schemas::{JobId, Partition};

use super::super::handover::RunningJob;
use super::super::rows::Stay;
use super::LaneKey;
use super::attempt::Outcome;

/// What the executor is told.
pub(in super::super) enum Notice {
    /// A partition has come. While it is behind with the replies of before, a job that looks pending may have its
    /// answer in the log, or note of an attempt that must not be repeated.
    Came {
        /// Which.
        partition: Partition,
        /// Tells this stay from earlier ones: their attempts end, but count for nothing.
        stay: Stay,
        /// Whether none of its jobs may start before `CaughtUp`.
        is_behind: bool,
        /// When its deliveries may start: until then an owner before this one may be sending.
        deliveries_from_boot_ms: u64,
        /// Jobs that another process runs, and until when.
        held: Vec<(JobId, u64)>,
    },
    /// A partition is leaving: none of its deliveries starts any more.
    Leaving(Partition),
    /// A partition's layout ends: none of its jobs starts any more.
    Draining(Partition),
    /// All replies that a partition had when it came are applied.
    CaughtUp(Partition),
    /// A partition has left: its jobs are its next owner's.
    Left(Partition),
    /// A job row has come.
    JobCame(LaneKey),
    /// A job row has gone: its reply is committed.
    JobGone(LaneKey, JobId),
    /// An attempt has ended.
    Ended(Ended),
    /// Say what runs; with `last`, start nothing from then on.
    Name {
        /// Whether others take over.
        last: bool,
        /// Who is told.
        tell: Sender<Vec<RunningJob>>,
    },
    /// Say when nothing runs.
    TellQuiet(Sender<()>),
    /// Start nothing more.
    Stop,
}

/// An attempt that has ended.
pub(in super::super) struct Ended {
    pub(super) lane: LaneKey,
    pub(super) job: Box<PendingJob>,
    pub(super) attempt: i32,
    pub(super) stay: Stay,
    /// Of the call.
    pub(super) number: u64,
    pub(super) outcome: Outcome,
}
