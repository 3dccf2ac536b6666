//! EmbeddedLog: the core with a thread that writes and a thread that helps.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use leadline_schemas::{Offset, Partition, Topic};
use ring::rand::{SecureRandom, SystemRandom};

use super::config::EmbeddedLogConfig;
use super::error::OpenError;
use super::handle::LogHandle;
use super::log_core::LogCore;
use super::shared::{LogCounters, Shared, lock};
use super::upkeep::Upkeep;
use super::writer::{Pumped, Writer};
use crate::contract::BoxFuture;
use crate::contract::clock::Clock;
use crate::contract::disk::Disk;
use crate::contract::log::{Append, AppendError, Chunk, Commit, CommitAnswer, Log, LogHealth, ReadError};

/// The embedded log. Dropping it writes what is queued and ends its threads.
pub struct EmbeddedLog {
    handle: LogHandle,
    shared: Arc<Shared>,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    writer: JoinHandle<()>,
    upkeep: JoinHandle<()>,
}

impl EmbeddedLog {
    /// Recovers the log on `disk` and starts its threads. `randomness` gives segments their incarnations:
    /// [`system_randomness`] outside tests.
    pub fn open(
        config: EmbeddedLogConfig,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        randomness: impl FnMut() -> u64 + Send + 'static,
    ) -> Result<Self, OpenError> {
        let core = LogCore::open(config, disk, clock, randomness)?;
        let (handle, shared) = (core.handle(), Arc::clone(&core.shared));
        let LogCore { mut writer, mut upkeep, .. } = core;
        let starting = || OpenError::disk("start its threads");
        let writer_shared = Arc::clone(&shared);
        let writer = Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || guarded(&writer_shared, || run_writer(&writer_shared, &mut writer)))
            .map_err(starting())?;
        let upkeep_shared = Arc::clone(&shared);
        let upkeep = Builder::new()
            .name("log-upkeep".to_owned())
            .spawn(move || guarded(&upkeep_shared, || run_upkeep(&upkeep_shared, &mut upkeep)))
            .map_err(starting())?;
        Ok(Self { handle, shared, threads: Mutex::new(Some(Threads { writer, upkeep })) })
    }

    /// Writes what is queued, answers everybody and ends the threads. Later appends answer `Failed`.
    pub fn close(&self) {
        let Some(threads) = lock(&self.threads).take() else { return };
        self.shared.queue.close();
        // Both threads catch their panics; there is nothing to learn from joining them.
        let _ = threads.writer.join();
        self.shared.pool.close();
        let _ = threads.upkeep.join();
    }

    /// What the log has done since it was opened.
    pub fn counters(&self) -> LogCounters {
        self.handle.counters()
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.close();
    }
}

/// Incarnations from the operating system.
pub fn system_randomness() -> impl FnMut() -> u64 + Send + 'static {
    let system = SystemRandom::new();
    move || {
        let mut bytes = [0; 8];
        match system.fill(&mut bytes) {
            Ok(()) => u64::from_le_bytes(bytes),
            // Without a source of randomness, time-ordered ids still never repeat on one machine.
            Err(_) => uuid::Uuid::now_v7().as_u64_pair().1 ^ uuid::Uuid::now_v7().as_u64_pair().0,
        }
    }
}

/// Runs until `work` returns; after a panic the log has failed, and `work` goes on to say so to everybody.
fn guarded(shared: &Shared, mut work: impl FnMut()) {
    while catch_unwind(AssertUnwindSafe(&mut work)).is_err() {
        shared.fail("a thread of the log panicked".to_owned());
    }
}

fn run_writer(shared: &Shared, writer: &mut Writer) {
    let idle = Duration::from_millis(shared.config.idle_witness_ms);
    let retry = Duration::from_millis(shared.config.upkeep_interval_ms);
    loop {
        let changes = shared.pool.changes();
        match writer.pump() {
            Pumped::Wrote => {}
            Pumped::Waits => shared.pool.wait(changes, retry),
            Pumped::Idle if shared.queue.is_over() => break,
            Pumped::Idle => {
                if !shared.queue.wait(idle) {
                    writer.witness();
                }
            }
        }
    }
    writer.witness();
}

fn run_upkeep(shared: &Shared, upkeep: &mut Upkeep) {
    let interval = Duration::from_millis(shared.config.upkeep_interval_ms);
    while !shared.pool.is_closed() {
        let changes = shared.pool.changes();
        if !upkeep.step() {
            shared.pool.wait(changes, interval);
        }
    }
    upkeep.finish();
}

impl Log for EmbeddedLog {
    fn partitions(&self) -> u16 {
        self.handle.partitions()
    }

    fn append(&self, records: Vec<Append>) -> BoxFuture<'static, Result<Vec<Offset>, AppendError>> {
        self.handle.append(records)
    }

    fn commit(&self, commit: Commit, done: Box<dyn FnOnce(CommitAnswer) + Send>) {
        self.handle.commit(commit, done);
    }

    fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit_bytes: usize,
    ) -> Result<Chunk, ReadError> {
        self.handle.read(topic, partition, from, limit_bytes)
    }

    fn range(&self, topic: Topic, partition: Partition) -> Result<(Offset, Offset), ReadError> {
        self.handle.range(topic, partition)
    }

    fn listen(&self, topic: Topic, partition: Partition, listener: Arc<dyn Fn() + Send + Sync>) {
        self.handle.listen(topic, partition, listener);
    }

    fn set_floor(&self, topic: Topic, partition: Partition, floor: Offset) {
        self.handle.set_floor(topic, partition, floor);
    }

    fn health(&self) -> LogHealth {
        self.handle.health()
    }
}
