//! The embedded log: one write-ahead sequence of segment files; topics and partitions are indexes over it.
//!
//! It is durable to the byte: an append or commit is answered after `fdatasync`. It is not distributed, and one
//! process owns its folder. `frame.rs` and `header.rs` say what stands on disk, `recovery.rs` what a crash may leave
//! behind and how it is told from damage, `writer.rs` how appends and commits share one write and one sync.

mod codec;
mod config;
mod error;
mod footer;
mod frame;
mod header;
mod index;
mod inspect;
mod queue;
mod recovery;
mod scan;
mod segment;
mod shared;
mod slots;
mod spares;
mod steps;
#[cfg(test)]
mod tests;
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

use self::error::is_full;
use self::index::Index;
use self::queue::{Queue, Work, append_bytes};
use self::recovery::recover;
use self::segment::create_zeroed;
use self::shared::{Active, Shared};
use self::spares::{For, Spares};
use self::steps::{SpareSteps, WriterSteps};
use self::writer::{Writer, begin_segment};
use crate::contract::BoxFuture;
use crate::contract::clock::Clock;
use crate::contract::disk::Disk;
use crate::contract::log::{
    Append, AppendError, Chunk, Commit, CommitAnswer, Log, LogHealth, RECORD_BYTES_MAX, ReadError,
};

/// The first segment of a new log is small: it has to be zero-filled before the first start can go on.
const FIRST_SEGMENT_BYTES_MAX: u64 = 8 << 20;

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
        let (mut log, LogSteps { writer, spares }) = Self::open_stepped(config, disk, clock, random)?;
        log.threads =
            Mutex::new(vec![spawn("log-writer", || writer.run())?, spawn("log-spares", || spares.run())?]);
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
        let spares =
            Spares::open(Arc::clone(&disk), config.segment_bytes).map_err(OpenError::disk("list spares"))?;
        let spares = Arc::new(spares);
        let writer = start_writer(&config, &disk, Arc::clone(&clock), &spares, recovered, Box::new(random))?;
        let shared = Arc::clone(&writer.shared);
        let queue = Arc::new(Queue::default());
        let steps = LogSteps {
            writer: WriterSteps::new(writer, Arc::clone(&queue)),
            spares: SpareSteps::new(
                Arc::clone(&spares),
                Arc::clone(&shared),
                clock,
                config.upkeep_interval_ms,
            ),
        };
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

/// Opens a new segment behind what was recovered.
fn start_writer(
    config: &EmbeddedLogConfig,
    disk: &Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    spares: &Arc<Spares>,
    recovered: recovery::Recovered,
    mut random: writer::Random,
) -> Result<Writer, OpenError> {
    let newest = recovered.sealed.back();
    let predecessor = newest
        .map(|segment| header::Predecessor { incarnation: segment.header.incarnation, end: segment.end });
    let number = newest.map_or(1, |segment| segment.header.number + 1);
    let name = first_file(config, disk, spares)?;
    let header = header::SegmentHeader {
        number,
        incarnation: random(),
        first_sequence: recovered.next_sequence,
        created_at: clock.wall(),
        predecessor,
        partitions: config.partitions,
        base: recovered.next.clone(),
    };
    let begun = begin_segment(&**disk, &name, header);
    let (file, header) = begun.map_err(OpenError::disk("begin a segment"))?;
    let segment_bytes = file.length().map_err(OpenError::disk("measure a segment"))?;
    let slots = slots::Slots { partitions: config.partitions };
    let active = Active { header: header.clone(), file: Arc::clone(&file), index: Index::new(slots.count()) };
    let caches = (config.tail_cache_bytes_max, config.index_cache_bytes_max);
    let shared = Arc::new(Shared::new(slots, recovered.sealed, active, recovered.next.clone(), caches));
    Ok(Writer {
        disk: Arc::clone(disk),
        clock,
        shared,
        spares: Arc::clone(spares),
        config: config.clone(),
        random,
        file,
        position: header.frames_at(),
        header,
        segment_bytes,
        sequence: recovered.next_sequence,
        known_synced: recovered.next_sequence - 1,
        next: recovered.next,
        unwitnessed: false,
        buffer: Vec::new(),
        written: Vec::new(),
        answers: Vec::new(),
    })
}

/// A file for the segment that a start opens: a spare of before, else a small new one.
fn first_file(
    config: &EmbeddedLogConfig,
    disk: &Arc<dyn Disk>,
    spares: &Spares,
) -> Result<String, OpenError> {
    if let Some(name) = spares.take(For::Commits) {
        return Ok(name);
    }
    let bytes = config.segment_bytes.min(FIRST_SEGMENT_BYTES_MAX);
    match create_zeroed(&**disk, "first", bytes) {
        Ok(()) => Ok("first".to_owned()),
        Err(error) if is_full(&error) => Err(OpenError::NoRoom { bytes }),
        Err(error) => Err(OpenError::disk("make a segment")(error)),
    }
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
        if let Err((_, error)) = self.queue.push_append(work, self.config.append_queue_bytes_max) {
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
        Ok(self.shared.range(self.slot(topic, partition).map_err(ReadError::Unavailable)?))
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
        let state = self.shared.read_state();
        LogHealth {
            full: self.shared.full.load(Relaxed),
            failed: state.failed.clone(),
            disk_bytes: state.disk_bytes,
            queued_bytes: self.queue.queued_bytes() as u64,
        }
    }
}
