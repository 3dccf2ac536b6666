//! The embedded log: one write-ahead sequence of segment files; topics and partitions are indexes over it.
//!
//! It is durable to the byte: an append or commit is answered after `fdatasync`. It is not distributed, and one
//! process owns its folder. `frame.rs` and `header.rs` say what stands on disk, `recovery.rs` what a crash may leave
//! behind and how it is told from damage, `writer.rs` how appends and commits share one write and one sync.

mod codec;
mod cold;
mod config;
mod error;
mod footer;
mod frame;
mod group;
mod header;
mod index;
mod index_cache;
mod inspect;
mod queue;
mod recovery;
mod scan;
mod segment;
mod shared;
mod slots;
mod spares;
mod start;
mod steps;
mod tail;
#[cfg(test)]
pub(crate) mod tests;
mod upkeep;
mod writer;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use leadline_schemas::{Offset, Partition, Topic};
use tokio::sync::oneshot;

pub use config::{EmbeddedLogConfig, InvalidConfig, Retention};
pub use error::{Damage, OpenError};
pub use inspect::{SegmentReport, inspect};
pub use steps::LogSteps;

use self::queue::{Queue, Work, append_bytes};
use self::recovery::recover;
use self::shared::Shared;
use self::spares::Spares;
use self::start::start;
use self::steps::WriterSteps;
use self::upkeep::UpkeepSteps;
use crate::contract::BoxFuture;
use crate::contract::clock::Clock;
use crate::contract::disk::Disk;
use crate::contract::log::{
    Append, AppendError, Chunk, Commit, CommitAnswer, Log, LogHealth, RECORD_BYTES_MAX, ReadError,
};

/// The embedded log.
pub struct EmbeddedLog {
    config: EmbeddedLogConfig,
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    spares: Arc<Spares>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    cut_bytes: u64,
}

impl EmbeddedLog {
    /// Opens or makes the log in `disk` and starts its threads. `random` gives incarnations: 64 bits that do not
    /// repeat.
    pub fn open(
        config: EmbeddedLogConfig,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        random: impl FnMut() -> u64 + Send + 'static,
    ) -> Result<Self, OpenError> {
        let (mut log, LogSteps { writer, upkeep }) = Self::open_stepped(config, disk, clock, random)?;
        log.threads =
            Mutex::new(vec![spawn("log-writer", || writer.run())?, spawn("log-upkeep", || upkeep.run())?]);
        Ok(log)
    }

    /// Opens or makes the log in `disk` without threads: whoever holds the steps does its work, turn by turn.
    /// Between turns nothing happens, so one thread and one seed give one run.
    pub fn open_stepped(
        config: EmbeddedLogConfig,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        random: impl FnMut() -> u64 + Send + 'static,
    ) -> Result<(Self, LogSteps), OpenError> {
        config.validate()?;
        let recovered = recover(&*disk, config.partitions)?;
        let cut_bytes = recovered.cut_bytes;
        let (writer, spares) = start(&config, &disk, Arc::clone(&clock), recovered, Box::new(random))?;
        let (shared, queue) = (Arc::clone(&writer.shared), Arc::new(Queue::default()));
        let upkeep = UpkeepSteps {
            disk,
            drop_at_ms: clock.boot_ms().saturating_add(config.upkeep_interval_ms),
            make_at_ms: 0,
            clock,
            config: config.clone(),
            shared: Arc::clone(&shared),
            spares: Arc::clone(&spares),
        };
        let steps = LogSteps { writer: WriterSteps::new(writer, Arc::clone(&queue)), upkeep };
        let log = Self { config, shared, queue, spares, threads: Mutex::new(Vec::new()), cut_bytes };
        Ok((log, steps))
    }

    /// Bytes of a torn tail that the start has cut off; they were never acknowledged.
    pub fn cut_bytes(&self) -> u64 {
        self.cut_bytes
    }

    /// Writes what waits, then ends the threads; without threads, the turns that follow do. Later appends answer `Failed`.
    pub fn close(&self) {
        self.queue.close();
        self.spares.close();
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the log panicked");
            }
        }
    }

    fn slot(&self, topic: Topic, partition: Partition) -> Result<usize, String> {
        self.shared.slots.of(topic, partition).ok_or_else(|| {
            format!(
                "the embedded log has no {topic}/{partition}: it has {} partitions",
                self.config.partitions
            )
        })
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.close();
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, OpenError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(OpenError::disk("start its threads"))
}

impl Log for EmbeddedLog {
    fn partitions(&self) -> u16 {
        self.config.partitions
    }

    fn append(&self, records: Vec<Append>) -> BoxFuture<'static, Result<Vec<Offset>, AppendError>> {
        for record in &records {
            if record.value.len() > RECORD_BYTES_MAX {
                let bytes = record.value.len();
                return Box::pin(std::future::ready(Err(AppendError::TooLarge { bytes })));
            }
            let known = self.slot(record.topic, record.partition);
            if let Err(why) = known.and_then(|slot| match record.topic {
                Topic::State => Err("commit frames are written by commit, not by append".to_owned()),
                _ => Ok(slot),
            }) {
                return Box::pin(std::future::ready(Err(AppendError::Failed(why))));
            }
        }
        if self.shared.full.load(Relaxed) {
            return Box::pin(std::future::ready(Err(AppendError::Full)));
        }
        let bytes = append_bytes(&records);
        let (done, answered) = oneshot::channel();
        let work = Work::Append { records, bytes, done };
        if let Err(error) = self.queue.push_append(work, self.config.append_queue_bytes_max) {
            return Box::pin(std::future::ready(Err(error)));
        }
        Box::pin(async move {
            answered
                .await
                .unwrap_or_else(|_| Err(AppendError::Failed("the log ended without an answer".to_owned())))
        })
    }

    fn commit(&self, commit: Commit, done: Box<dyn FnOnce(CommitAnswer) + Send>) {
        let bytes = commit.frame.len();
        let work = Work::Commit { commit, bytes, done };
        if let Err(Work::Commit { done, .. }) =
            self.queue.push_commit(work, self.config.commit_queue_bytes_max)
        {
            done(CommitAnswer::Aborted("the log is closed, or its queue of commits is full".to_owned()));
        }
    }

    fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit_bytes: usize,
    ) -> Result<Chunk, ReadError> {
        let slot = self.slot(topic, partition).map_err(ReadError::Unavailable)?;
        self.shared.read((topic, partition), slot, from, limit_bytes)
    }

    fn range(&self, topic: Topic, partition: Partition) -> Result<(Offset, Offset), ReadError> {
        self.shared.range(self.slot(topic, partition).map_err(ReadError::Unavailable)?)
    }

    fn listen(&self, topic: Topic, partition: Partition, listener: Arc<dyn Fn() + Send + Sync>) {
        if let Ok(slot) = self.slot(topic, partition) {
            self.shared.listen(slot, listener);
        }
    }

    fn set_floor(&self, topic: Topic, partition: Partition, floor: Offset) {
        let Ok(slot) = self.slot(topic, partition) else { return };
        if let Some(known) = self.shared.write_state().floors.get_mut(slot) {
            *known = Some(known.map_or(floor.0, |known| known.max(floor.0)));
        }
    }

    fn health(&self) -> LogHealth {
        LogHealth {
            full: self.shared.full.load(Relaxed),
            failed: self.shared.read_state().failed.clone(),
            disk_bytes: self.shared.segments_bytes.load(Relaxed).saturating_add(self.spares.bytes()),
            unavailable: None,
            queued_bytes: self.queue.queued_bytes() as u64,
        }
    }
}
