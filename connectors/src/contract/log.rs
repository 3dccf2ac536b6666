//! Log: the durable message log that everything else is derived from.
//!
//! Sources append to `inbound`, the job executor to `replies`, the settings service to `settings`. The engine
//! reads the first two by partition and ends each epoch with one `commit`: input offsets, changed rows and output
//! records together, or nothing. Committed frames can be read back as topic `state`, for restore and for the
//! record store; frame number n lies at offset n - 1.

use std::sync::Arc;

use bytes::Bytes;
use leadline_schemas::frame::Output;
use leadline_schemas::{CommitNumber, Offset, Partition, Topic};

use super::BoxFuture;

/// A message log. All implementations pass `conformance::log`.
pub trait Log: Send + Sync + 'static {
    /// Partitions of each co-partitioned topic (`settings` always has one).
    fn partitions(&self) -> u16;

    /// Appends records, in order within each topic and partition. Resolves when all of them are durable; then
    /// `fetch` shows them, and `read` as soon as the listener was called. Dropping the future does not take the
    /// records back.
    ///
    /// Never waits for room: when its queue is full it answers `Busy` at once.
    fn append(&self, records: Vec<Append>) -> BoxFuture<'static, Result<Vec<Offset>, AppendError>>;

    /// Commits one epoch of a partition; `done` is called exactly once, from a thread of the log or before this
    /// returns, and must not block. Numbers of a partition must be contiguous, from 1; any other number is `Fenced`.
    /// Commits may be sent without waiting for the one before. A commit is never refused for want of room by appends.
    fn commit(&self, commit: Commit, done: Box<dyn FnOnce(CommitAnswer) + Send>);

    /// Reads records from `from` on, whole ones, at least one if there is any, up to `limit_bytes`.
    /// Never waits: an empty chunk says that the reader is at the end, or beyond it. A log on other machines knows
    /// only what it has received: its `end` is behind that, and what lies at `from` is sent for; the listener tells
    /// when it is there. But inputs of a partition that were read and are not committed yet, as much as two open
    /// epochs hold, can be read again at once: one of them may be poison.
    fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit_bytes: usize,
    ) -> Result<Chunk, ReadError>;

    /// As [`Log::read`], but waits for what lies between `from` and the end that `range` names: for whoever reads
    /// history. A log on other machines asks them, so this is never called on a worker thread.
    fn fetch(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit_bytes: usize,
    ) -> Result<Chunk, ReadError> {
        self.read(topic, partition, from, limit_bytes)
    }

    /// The first offset that is still kept and the first that is not written (durably) yet. Of topic `state` the
    /// end is behind the newest commit, and no later one can come from an earlier owner of the partition. A log on
    /// other machines asks them and waits for the answer, a bounded time.
    fn range(&self, topic: Topic, partition: Partition) -> Result<(Offset, Offset), ReadError>;

    /// As [`Log::range`] of topic `state`, for whoever follows another owner of the partition: what that has committed so
    /// far. It waits for nothing that is under way, and more may come.
    fn range_so_far(&self, partition: Partition) -> Result<(Offset, Offset), ReadError> {
        self.range(Topic::State, partition)
    }

    /// Registers who is called, from a thread of the log and without blocking, whenever the end of this topic and
    /// partition has moved; `read` and `range` then show it. One listener per topic and partition; a new one replaces
    /// the old.
    fn listen(&self, topic: Topic, partition: Partition, listener: Arc<dyn Fn() + Send + Sync>);

    /// Says that nobody will read this topic and partition below `floor` any more. What lies below the floors of
    /// all may be dropped; a topic and partition without a floor is kept whole. Floors do not outlive the process.
    fn set_floor(&self, topic: Topic, partition: Partition, floor: Offset);

    /// How the log is, for health and metrics.
    fn health(&self) -> LogHealth;
}

/// A record to append.
#[derive(Clone, Debug)]
pub struct Append {
    /// `inbound`, `replies` or `settings`.
    pub topic: Topic,
    /// The partition, as `Layout::partition` computes it.
    pub partition: Partition,
    /// What it is about: the tenant. For compaction of `settings` and for foreign readers; the embedded log does
    /// not keep it.
    pub key: Bytes,
    /// The record; at most [`RECORD_BYTES_MAX`].
    pub value: Bytes,
}

/// The largest record: a larger body goes to the blob store first, by reference (design section 3).
pub const RECORD_BYTES_MAX: usize = 4 << 20;

/// Why records were not appended. In all cases but `Failed` and `Unavailable` nothing of them was
/// written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The disk has no room for another segment. The caller answers 503; commits go on in reserved room.
    #[error("the log has no room: free disk space in the data folder or raise log.max_bytes")]
    Full,
    /// The queue to the log is full. The caller waits a little or answers 503.
    #[error("the log is busy: its queue of {queue_bytes_max} bytes is full")]
    Busy {
        /// The queue's bound.
        queue_bytes_max: usize,
    },
    /// The log is on other machines and cannot be reached, or did not answer in time; in the second case nobody
    /// knows whether the records were written. The caller answers 503, or appends the same again later: a record
    /// that is there twice takes effect once.
    #[error("the log cannot be reached: {0}")]
    Unavailable(String),
    /// A record is larger than a record may be.
    #[error("a record of {bytes} bytes is larger than the log takes ({RECORD_BYTES_MAX})")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The topic refuses records, even small ones: it was closed by a change of layout, or its limit is set wrongly.
    /// Nothing was written. Whoever knows of a newer layout appends there.
    #[error("{0}")]
    Refused(String),
    /// The log is closed or broken; whether the records were written is unknown, and the process must end. Also the
    /// answer to a topic and partition that cannot be appended to: then nothing was written, and the log goes on.
    #[error("the log failed: {0}")]
    Failed(String),
}

/// One epoch of one partition.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The partition.
    pub partition: Partition,
    /// Its number.
    pub number: CommitNumber,
    /// The first inbound offset that it does not cover.
    pub inbound_next: Offset,
    /// The first replies offset that it does not cover.
    pub replies_next: Offset,
    /// Records for the output topics; also part of `frame`. A log with real topics writes them there.
    pub outputs: Arc<Vec<Output>>,
    /// The whole frame, encoded (`leadline_schemas::frame`); cut into parts of 1 MiB by the log.
    pub frame: Bytes,
}

/// How a commit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitAnswer {
    /// It is durable and visible.
    Committed,
    /// It left nothing behind; the epoch runs again from the last commit.
    Aborted(String),
    /// Another owner has the partition; drop it and everything uncommitted.
    Fenced(String),
    /// Nobody knows. `range` of topic `state` tells; never commit the same number again blindly. A log that has to
    /// wait for that answer finds it out by itself and does not say this.
    Unknown(String),
}

/// Records that were read.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    /// The records, in order, without gaps.
    pub records: Vec<Record>,
    /// Where to read on.
    pub next: Offset,
    /// The first offset that was not readable yet.
    pub end: Offset,
}

/// A record that was read.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its place.
    pub offset: Offset,
    /// Its value.
    pub value: Bytes,
}

/// Why records could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// They were dropped by retention; read on at `first` or restore from a snapshot.
    #[error("{topic}/{partition} starts at offset {first}; offset {asked} was dropped by retention")]
    Dropped {
        /// Topic.
        topic: Topic,
        /// Partition.
        partition: Partition,
        /// What was asked for.
        asked: Offset,
        /// What is there.
        first: Offset,
    },
    /// Bytes on disk are not what was written. Nothing is skipped: a person must decide.
    #[error("{0}")]
    Damaged(String),
    /// No such partition, or the log is closed.
    #[error("{0}")]
    Unavailable(String),
}

/// How the log is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogHealth {
    /// Whether appends are refused for want of room.
    pub full: bool,
    /// Why the log no longer works, if so.
    pub failed: Option<String>,
    /// Why it cannot be reached at the moment, if so: it goes on by itself when it can.
    pub unavailable: Option<String>,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Bytes waiting for a write.
    pub queued_bytes: u64,
}
