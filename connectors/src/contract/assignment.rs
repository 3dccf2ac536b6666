//! Assignment: which partitions a process owns.
//!
//! The embedded log has one process, which owns all of them from start to end. On Kafka a consumer group deals them
//! out and takes them back while the process runs. Its thread tells the owner of each change, one at a time and in
//! order: a partition is `assigned`, then either `revoked` (in peace, with time to finish) or `lost` (somebody else may
//! have it already), and after that perhaps assigned again.

use std::sync::Arc;
use std::time::Duration;

use leadline_schemas::Partition;

/// Deals out partitions.
pub trait Assignment: Send + Sync + 'static {
    /// Gets ready to take part, without taking part yet: a later [`Assignment::join`] takes little, and
    /// so does the first commit. Only once.
    fn prepare(&self, owner: Arc<dyn Owner>) -> Result<(), AssignmentError>;

    /// Takes part from now on; `owner` is told what comes of it until [`Assignment::leave`] returns.
    fn join(&self, owner: Arc<dyn Owner>) -> Result<(), AssignmentError>;

    /// Ends taking part: what the owner has is revoked first. Waits for that, bounded by the owner's patience. Where
    /// the group knows the process by a name, its partitions wait for a successor of that name, for as long as the group
    /// waits for anybody who is silent.
    fn leave(&self);

    /// The names under which this process commits to the log: whoever takes its place takes them over.
    fn producers(&self) -> Vec<String>;

    /// Takes over the names of the process before, which has let go: whatever it had left open is given up. Of names
    /// that are this process's own as well, that may go on beside a `join`; nothing is committed before it is done.
    fn take_over(&self, producers: &[String]) -> Result<(), AssignmentError>;

    /// Why this process may not get its share at the moment; none when it does.
    fn trouble(&self) -> Option<String>;
}

/// Who owns partitions: the engine.
pub trait Owner: Send + Sync + 'static {
    /// They are this process's now. Returns at once; they are restored and run beside.
    fn assigned(&self, partitions: &[Partition]);

    /// They are to go. Returns when their open commits are answered, or after `patience`; what is uncommitted then
    /// is dropped, and commits that are still out can only be fenced.
    fn revoked(&self, partitions: &[Partition], patience: Duration);

    /// They are gone: nothing of them can be committed any more. Everything uncommitted is dropped.
    fn lost(&self, partitions: &[Partition]);
}

/// Why a process cannot take part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("partitions cannot be had: {0}")]
pub struct AssignmentError(pub String);
