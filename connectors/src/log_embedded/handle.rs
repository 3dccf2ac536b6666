//! Handle: the log as the engine and the sources see it.

use std::future::ready;
use std::sync::Arc;

use leadline_schemas::{Offset, Partition, Topic};
use tokio::sync::oneshot;

use super::config::COMMIT_BYTES_MAX;
use super::frame::FRAME_HEADER_BYTES;
use super::queue::{AppendAnswer, AppendJob, CommitJob, Done, Job, Refused};
use super::shared::{LogCounters, Shared};
use crate::contract::BoxFuture;
use crate::contract::log::{
    Append, AppendError, Chunk, Commit, CommitAnswer, Log, LogHealth, RECORD_BYTES_MAX, ReadError,
};

/// A clonable handle; whoever holds the `LogCore` does the work.
#[derive(Clone)]
pub struct LogHandle {
    shared: Arc<Shared>,
}

impl LogHandle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// What the log has done since it was opened.
    pub fn counters(&self) -> LogCounters {
        self.shared.counters()
    }

    fn enqueue(&self, records: Vec<Append>) -> Result<oneshot::Receiver<AppendAnswer>, AppendError> {
        if let Some(why) = self.shared.failed() {
            return Err(AppendError::Failed(why.to_owned()));
        }
        let mut disk_bytes = 0_usize;
        for record in &records {
            let appendable = matches!(record.topic, Topic::Inbound | Topic::Replies | Topic::Settings);
            if !appendable || self.shared.slots.of(record.topic, record.partition).is_none() {
                let (topic, partition) = (record.topic, record.partition);
                return Err(AppendError::Failed(format!("nothing can be appended to {topic}/{partition}")));
            }
            if record.value.len() > RECORD_BYTES_MAX {
                return Err(AppendError::TooLarge { bytes: record.value.len() });
            }
            disk_bytes += FRAME_HEADER_BYTES + record.value.len();
        }
        if self.shared.is_full() {
            return Err(AppendError::Full);
        }
        let queue_bytes_max = self.shared.queue.append_bytes_max();
        if disk_bytes > queue_bytes_max {
            return Err(AppendError::TooLarge { bytes: disk_bytes });
        }
        let (answer, answered) = oneshot::channel();
        match self.shared.queue.push(Job::Append(AppendJob { records, disk_bytes, answer })) {
            Ok(()) => Ok(answered),
            Err(Refused::Busy) => Err(AppendError::Busy { queue_bytes_max }),
            Err(Refused::Closed(_)) => Err(closed()),
        }
    }
}

fn closed() -> AppendError {
    AppendError::Failed("it is closed".to_owned())
}

fn too_large(bytes: usize) -> String {
    format!("a commit of {bytes} bytes is larger than the log takes ({COMMIT_BYTES_MAX})")
}

impl Log for LogHandle {
    fn partitions(&self) -> u16 {
        self.shared.config.partitions
    }

    fn append(&self, records: Vec<Append>) -> BoxFuture<'static, AppendAnswer> {
        if records.is_empty() {
            return Box::pin(ready(Ok(Vec::new())));
        }
        match self.enqueue(records) {
            Ok(answered) => Box::pin(async move { answered.await.unwrap_or_else(|_| Err(closed())) }),
            Err(error) => Box::pin(ready(Err(error))),
        }
    }

    fn commit(&self, commit: Commit, done: Box<dyn FnOnce(CommitAnswer) + Send>) {
        let bytes = commit.frame.len();
        let parts = u16::try_from(bytes.div_ceil(self.shared.config.part_bytes).max(1));
        let (frame, parts, refusal) = match parts {
            Ok(parts) if bytes <= COMMIT_BYTES_MAX => (commit.frame, parts, None),
            _ => (bytes::Bytes::new(), 1, Some(too_large(bytes))),
        };
        let (partition, number, done) = (commit.partition, commit.number, Done::new(done));
        let job = CommitJob { partition, number, frame, parts, refusal, done };
        if let Err(Refused::Closed(Job::Commit(job))) = self.shared.queue.push(Job::Commit(job)) {
            job.done.answer(CommitAnswer::Aborted("the log is closed".to_owned()));
        }
    }

    fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit_bytes: usize,
    ) -> Result<Chunk, ReadError> {
        self.shared.read(topic, partition, from, limit_bytes)
    }

    fn range(&self, topic: Topic, partition: Partition) -> Result<(Offset, Offset), ReadError> {
        self.shared.range(topic, partition)
    }

    fn listen(&self, topic: Topic, partition: Partition, listener: Arc<dyn Fn() + Send + Sync>) {
        if let Some(stream) =
            self.shared.slots.of(topic, partition).and_then(|slot| self.shared.streams.get(slot))
        {
            stream.set_listener(listener);
        }
    }

    fn set_floor(&self, topic: Topic, partition: Partition, floor: Offset) {
        if let Some(stream) =
            self.shared.slots.of(topic, partition).and_then(|slot| self.shared.streams.get(slot))
        {
            stream.set_floor(floor.0);
        }
    }

    fn health(&self) -> LogHealth {
        self.shared.health()
    }
}
