//! Plan: how appends and commits end, and those that wait for it.

use leadline_schemas::Offset;
use tokio::sync::oneshot;

use crate::contract::log::{Append, AppendError, Commit, CommitAnswer};

/// How an append ends, if not well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendFault {
    /// It is refused at once: the queue is full.
    Busy,
    /// It is refused at once: the disk is full.
    Full,
    /// It fails, and nobody tells whether it was written.
    Failed {
        /// Whether it was.
        written: bool,
    },
    /// Nobody answers in time, and nobody tells whether it was written.
    Unavailable {
        /// Whether it was.
        written: bool,
    },
}

impl AppendFault {
    /// Whether it was written all the same.
    pub(super) fn is_written(self) -> bool {
        matches!(self, Self::Failed { written: true } | Self::Unavailable { written: true })
    }

    pub(super) fn error(self) -> AppendError {
        let why = "planned by the test".to_owned();
        match self {
            Self::Unavailable { .. } => AppendError::Unavailable(why),
            _ => AppendError::Failed(why),
        }
    }
}

/// How a commit ends, if not well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFault {
    /// It leaves nothing behind.
    Aborted,
    /// Another owner has the partition; it leaves nothing behind.
    Fenced,
    /// Nobody tells whether it was written.
    Unknown {
        /// Whether it was.
        written: bool,
    },
}

impl CommitFault {
    pub(super) fn answer(self) -> CommitAnswer {
        let why = "planned by the test".to_owned();
        match self {
            Self::Aborted => CommitAnswer::Aborted(why),
            Self::Fenced => CommitAnswer::Fenced(why),
            Self::Unknown { .. } => CommitAnswer::Unknown(why),
        }
    }
}

/// An append or commit that is not answered yet.
pub(super) enum Work {
    Append {
        records: Vec<Append>,
        fault: Option<AppendFault>,
        done: oneshot::Sender<Result<Vec<Offset>, AppendError>>,
    },
    Commit {
        commit: Commit,
        fault: Option<CommitFault>,
        done: Box<dyn FnOnce(CommitAnswer) + Send>,
    },
}

impl Work {
    /// What it takes of the room for appends.
    pub(super) fn append_bytes(&self) -> usize {
        match self {
            Self::Append { records, .. } => records.iter().map(|record| record.value.len()).sum(),
            Self::Commit { .. } => 0,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Append { .. } => self.append_bytes(),
            Self::Commit { commit, .. } => commit.frame.len(),
        }
    }
}
