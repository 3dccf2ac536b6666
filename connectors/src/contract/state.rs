//! State: the rows of each partition, on disk and bigger than memory.
//!
//! The engine reads while it runs an epoch and applies a committed frame afterwards, in order; so the store never
//! holds a row that was not committed. It may lose the newest applied frames in a crash (they come again from the
//! log), but never a part of one: rows, derived indexes and the applied marker move together.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use leadline_schemas::{CommitNumber, Partition};

/// A store of partitions. All implementations pass `conformance::state`.
pub trait State: Send + Sync + 'static {
    /// Opens a partition's rows, empty when there are none yet.
    fn open(&self, partition: Partition) -> Result<Arc<dyn PartitionState>, StateError>;

    /// Removes a partition's rows, so that the next `open` finds none.
    fn clear(&self, partition: Partition) -> Result<(), StateError>;

    /// Makes everything applied so far durable. Slow; called every 64 MiB or 60 s and before a snapshot.
    fn sync(&self) -> Result<(), StateError>;

    /// Bytes on disk and in memory, for metrics.
    fn disk_bytes(&self) -> u64;
}

/// What a visitor of rows does: sees key and value, says whether to go on.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// One partition's rows.
pub trait PartitionState: Send + Sync {
    /// The row's value.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StateError>;

    /// Shows the rows from `from` (inclusive) to `to` (exclusive; none = to the end) in the order of their keys.
    fn scan(&self, from: &[u8], to: Option<&[u8]>, visit: Visit<'_>) -> Result<(), StateError>;

    /// Changes rows and moves the applied marker to `applied`, all or nothing. In the order of commits.
    fn apply(&self, changes: &[Change], applied: CommitNumber) -> Result<(), StateError>;

    /// The commit up to which changes were applied; 0 = none.
    fn applied(&self) -> Result<CommitNumber, StateError>;

    /// A view that later changes do not reach, for snapshots.
    fn view(&self) -> Result<Box<dyn StateView>, StateError>;
}

/// A partition's rows at one instant.
pub trait StateView: Send {
    /// As [`PartitionState::scan`].
    fn scan(&self, from: &[u8], to: Option<&[u8]>, visit: Visit<'_>) -> Result<(), StateError>;

    /// The applied marker of that instant.
    fn applied(&self) -> Result<CommitNumber, StateError>;
}

/// A row to put or, without a value, to delete: as it stands in a commit frame.
pub use leadline_schemas::frame::RowChange as Change;

/// Why the store did not do it. The engine stops the partition and, after a restart, rebuilds what will not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The files are damaged or of an unknown format; they are moved aside and rebuilt from snapshot and log.
    #[error("the state store cannot be read: {0}")]
    Damaged(String),
    /// The disk is full. The same call may be made again.
    #[error("the state store has no room: {0}")]
    Full(String),
    /// An earlier write or sync failed, and the store takes nothing more until it is opened again.
    #[error("the state store has closed itself: {0}")]
    Closed(String),
    /// Anything else.
    #[error("the state store failed: {0}")]
    Failed(String),
}
