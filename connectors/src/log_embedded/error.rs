//! Why a log does not open.

use std::fmt;
use std::io;

use super::config::InvalidConfig;

/// A place on disk where the bytes are not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file, inside the log's folder.
    pub file: String,
    /// The byte from which on the file cannot be trusted.
    pub position: u64,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the log is damaged: {} at byte {}: {}; nothing was changed: restore the file from a copy of the \
             disk, or the data folder from a snapshot",
            self.file, self.position, self.what
        )
    }
}

/// Why a log does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A limit cannot be.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// Bytes that were acknowledged are not what was written.
    #[error("{0}")]
    Damaged(Damage),
    /// The number of partitions never changes in place.
    #[error(
        "the log has {found} partitions and the configuration asks for {asked}: set partitions = {found}, or \
         move to a new layout with `leadline layout plan`"
    )]
    Partitions {
        /// What the log has.
        found: u16,
        /// What the configuration asks for.
        asked: u16,
    },
    /// Not even one segment can be made, and none was left in reserve.
    #[error("the disk has no room for a log segment of {bytes} bytes: free disk space in the data folder")]
    NoRoom {
        /// The size of a segment.
        bytes: u64,
    },
    /// The disk refused.
    #[error("the log cannot {what}: {error}")]
    Disk {
        /// What was tried.
        what: String,
        /// The system's answer.
        #[source]
        error: io::Error,
    },
}

impl OpenError {
    pub(crate) fn disk(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Disk { what, error }
    }
}

/// Whether the disk, or the quota on it, has no room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
