//! Spool: events go on being accepted while the brokers of the log are away.
//!
//! A [`SpooledLog`] stands before a log on other machines. What that log does not take, because nobody answers or its
//! queue is full, is appended to a log on this machine's disk and acknowledged once it is durable there. A thread
//! forwards it, in order and under the same event ids, when somebody answers again. Until the spool is empty new
//! events queue behind it, so that an event never overtakes one that was acknowledged before it came. Under load it
//! would never be: while the last batch is under way, new events wait for its answer instead, and then go past.
//!
//! An event may reach the log behind twice: its append there took effect and the answer was lost, or the process ended
//! between forwarding and noting it. Dedupe takes an event id once, so that is harmless.
//!
//! # What lies where
//!
//! All in partition 0 of the spool, so that one number says how far it was forwarded: events in `inbound` as they
//! were, and in `state` the [`cursor`]. The partition that an event belongs to is computed when it is forwarded, from
//! its envelope. Only `inbound` is spooled; everything else goes to the log behind and hears its answer.

mod cursor;
mod forwarder;
mod late;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use leadline_schemas::inbound::Inbound;
use leadline_schemas::{Offset, Partition, Topic};
use tokio::sync::Notify;

use crate::contract::BoxFuture;
use crate::contract::clock::Clock;
use crate::contract::log::{Append, AppendError, Chunk, Commit, CommitAnswer, Log, LogHealth, ReadError};
use cursor::Cursor;
pub use cursor::{Kept, kept};
pub use forwarder::{Forwarder, Turn};
pub use late::LateLog;

/// Where everything lies in the spool.
const P0: Partition = Partition(0);
/// How much of the spool is read at a time.
const READ_BYTES: usize = 1 << 20;
/// `oldest` when nothing waits.
const NOTHING: i64 = i64::MAX;

/// Why a spool cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpoolError {
    /// It cannot be read.
    #[error("the spool: {0}")]
    Read(#[from] ReadError),
    /// How far it was forwarded cannot be read.
    #[error("the spool: its cursor is not one of this leadline ({0} bytes): start the version that wrote it")]
    Cursor(usize),
    /// A thread cannot be started.
    #[error("the spool: its thread cannot be started: {0}")]
    Thread(String),
}

/// A log with a spool before it.
pub struct SpooledLog {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What appends and the forwarder share.
struct Shared {
    behind: Arc<dyn Log>,
    spool: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    /// Behind the last event that was acknowledged from the spool.
    spooled: AtomicU64,
    /// Behind the last event that was forwarded.
    forwarded: AtomicU64,
    /// Bytes of the events between.
    bytes: AtomicU64,
    /// When the oldest of them was accepted, in ms; [`NOTHING`] when there is none.
    oldest: AtomicI64,
    /// Whether nobody answers behind, as the forwarder last heard: appends do not ask by themselves.
    away: AtomicBool,
    /// Whether the last batch is under way: events wait for its end.
    is_ending: AtomicBool,
    /// Why forwarding does not get on, if so.
    stuck: Mutex<Option<String>>,
    /// There is something to forward.
    came: Notify,
    /// The last batch has been answered, one way or the other.
    ended: Notify,
    closed: Notify,
}

impl SpooledLog {
    /// Puts a spool before a log and starts to forward what lies in it. Reads it through once, to know how much that is.
    pub fn open(
        behind: Arc<dyn Log>,
        spool: Arc<dyn Log>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SpoolError> {
        let (log, forwarder) = Self::open_stepped(behind, spool, clock)?;
        let thread = forwarder::spawn(forwarder).map_err(|error| SpoolError::Thread(error.to_string()))?;
        *lock(&log.thread) = Some(thread);
        Ok(log)
    }

    /// As `open`, without a thread: whoever holds the forwarder gives it its turns.
    pub fn open_stepped(
        behind: Arc<dyn Log>,
        spool: Arc<dyn Log>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Forwarder), SpoolError> {
        let mut cursor = Cursor::open(Arc::clone(&spool))?;
        let (end, bytes) = measure(&*spool, cursor.next)?;
        if end > cursor.next.0 {
            tracing::info!(events = end - cursor.next.0, bytes, "events of before wait in the spool");
        }
        cursor.note_partitions(behind.partitions());
        let away = behind.health().unavailable.is_some();
        let shared = Arc::new(Shared {
            behind,
            spool,
            clock,
            spooled: AtomicU64::new(end),
            forwarded: AtomicU64::new(cursor.next.0),
            bytes: AtomicU64::new(bytes),
            oldest: AtomicI64::new(NOTHING),
            away: AtomicBool::new(away),
            is_ending: AtomicBool::new(false),
            stuck: Mutex::default(),
            came: Notify::new(),
            ended: Notify::new(),
            closed: Notify::new(),
        });
        let forwarder = Forwarder::new(Arc::clone(&shared), cursor);
        Ok((Self { shared, thread: Mutex::default() }, forwarder))
    }

    /// How many events wait to be forwarded.
    pub fn waiting(&self) -> u64 {
        self.shared.waiting()
    }

    /// Ends forwarding; what is left stays in the spool. The logs themselves are closed by whoever opened them.
    pub fn close(&self) {
        self.shared.closed.notify_one();
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the spool panicked");
        }
    }
}

impl Drop for SpooledLog {
    fn drop(&mut self) {
        self.close();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the spool ends, and how many bytes lie between there and `from`.
fn measure(spool: &dyn Log, from: Offset) -> Result<(u64, u64), SpoolError> {
    let (_, end) = spool.range(Topic::Inbound, P0)?;
    let (mut next, mut bytes) = (from, 0);
    while next < end {
        let chunk = spool.fetch(Topic::Inbound, P0, next, READ_BYTES)?;
        if chunk.records.is_empty() {
            break;
        }
        bytes += chunk.records.iter().map(|record| record.value.len() as u64).sum::<u64>();
        next = chunk.next;
    }
    Ok((end.0.max(from.0), bytes))
}

impl Shared {
    /// How many events wait.
    fn waiting(&self) -> u64 {
        let forwarded = self.forwarded.load(Ordering::Acquire);
        self.spooled.load(Ordering::Acquire).saturating_sub(forwarded)
    }

    /// Whether new events queue behind others, or need not ask whether somebody answers.
    fn is_spooling(&self) -> bool {
        self.waiting() > 0 || self.away.load(Ordering::Relaxed)
    }

    /// Sends events where they belong now.
    fn dispatch(
        self: Arc<Self>,
        records: Vec<Append>,
    ) -> BoxFuture<'static, Result<Vec<Offset>, AppendError>> {
        if self.is_spooling() {
            return self.spool(records);
        }
        let kept = records.clone();
        let appending = self.behind.append(records);
        Box::pin(async move {
            match appending.await {
                Err(AppendError::Unavailable(_) | AppendError::Busy { .. }) => self.spool(kept).await,
                answer => answer,
            }
        })
    }

    /// Waits while the last batch is under way.
    async fn wait_for_end(&self) {
        while self.is_ending.load(Ordering::Acquire) {
            let mut ended = std::pin::pin!(self.ended.notified());
            // From here on it hears of the end, so it looks once more.
            ended.as_mut().enable();
            if self.is_ending.load(Ordering::Acquire) {
                ended.await;
            }
        }
    }

    /// Makes events durable here. They have their order when this returns, before anybody waits for the answer.
    fn spool(self: Arc<Self>, records: Vec<Append>) -> BoxFuture<'static, Result<Vec<Offset>, AppendError>> {
        // The forwarder could not say where it belongs, and everything behind it would wait.
        if let Some(error) = records.iter().find_map(|record| Inbound::decode(&record.value).err()) {
            let refused = AppendError::Failed(format!("only events can be spooled: {error}"));
            return Box::pin(std::future::ready(Err(refused)));
        }
        let bytes = bytes_of(&records);
        let here = |record: Append| Append { partition: P0, key: Bytes::new(), ..record };
        // Counted before the forwarder can see them.
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let appending = self.spool.append(records.into_iter().map(here).collect());
        Box::pin(async move {
            let offsets = appending.await.inspect_err(|_| self.less(bytes))?;
            if let Some(last) = offsets.last() {
                // Before anybody hears that they were accepted: what comes after that goes behind them.
                self.spooled.fetch_max(last.0 + 1, Ordering::AcqRel);
            }
            metrics::counter!("leadline_spooled_total").increment(offsets.len() as u64);
            self.came.notify_one();
            Ok(offsets)
        })
    }

    fn less(&self, bytes: u64) {
        let less = |known: u64| Some(known.saturating_sub(bytes));
        // It always has a value.
        let _ = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// How long forwarding has kept the oldest event waiting, in ms; none when nothing waits.
    fn oldest_age_ms(&self) -> Option<i64> {
        let oldest = self.oldest.load(Ordering::Relaxed);
        (oldest != NOTHING && self.waiting() > 0).then(|| (self.clock.wall().0 - oldest).max(0))
    }

    /// Why the log cannot be reached, and what waits for it.
    fn unavailable(&self, behind: Option<String>) -> Option<String> {
        let why = behind.or_else(|| lock(&self.stuck).clone())?;
        let (waiting, age_s) = (self.waiting(), self.oldest_age_ms().unwrap_or_default() / 1_000);
        Some(format!("{why}; new events are spooled: {waiting} wait, the oldest for {age_s} s"))
    }
}

fn bytes_of(records: &[Append]) -> u64 {
    records.iter().map(|record| record.value.len() as u64).sum()
}

impl Log for SpooledLog {
    fn partitions(&self) -> u16 {
        self.shared.behind.partitions()
    }

    fn append(&self, records: Vec<Append>) -> BoxFuture<'static, Result<Vec<Offset>, AppendError>> {
        let shared = Arc::clone(&self.shared);
        let partitions = shared.behind.partitions();
        let is_event = |record: &Append| record.topic == Topic::Inbound && record.partition.0 < partitions;
        if records.is_empty() || !records.iter().all(is_event) {
            return shared.behind.append(records);
        }
        if !shared.is_ending.load(Ordering::Acquire) {
            return shared.dispatch(records);
        }
        Box::pin(async move {
            shared.wait_for_end().await;
            shared.dispatch(records).await
        })
    }

    fn commit(&self, commit: Commit, done: Box<dyn FnOnce(CommitAnswer) + Send>) {
        self.shared.behind.commit(commit, done);
    }

    fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit_bytes: usize,
    ) -> Result<Chunk, ReadError> {
        self.shared.behind.read(topic, partition, from, limit_bytes)
    }

    fn fetch(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit_bytes: usize,
    ) -> Result<Chunk, ReadError> {
        self.shared.behind.fetch(topic, partition, from, limit_bytes)
    }

    fn range(&self, topic: Topic, partition: Partition) -> Result<(Offset, Offset), ReadError> {
        self.shared.behind.range(topic, partition)
    }

    fn range_so_far(&self, partition: Partition) -> Result<(Offset, Offset), ReadError> {
        self.shared.behind.range_so_far(partition)
    }

    fn listen(&self, topic: Topic, partition: Partition, listener: Arc<dyn Fn() + Send + Sync>) {
        self.shared.behind.listen(topic, partition, listener);
    }

    fn set_floor(&self, topic: Topic, partition: Partition, floor: Offset) {
        self.shared.behind.set_floor(topic, partition, floor);
    }

    fn health(&self) -> LogHealth {
        let (behind, spool) = (self.shared.behind.health(), self.shared.spool.health());
        LogHealth {
            full: behind.full || (spool.full && self.shared.is_spooling()),
            failed: behind.failed.or(spool.failed),
            unavailable: self.shared.unavailable(behind.unavailable),
            disk_bytes: behind.disk_bytes.saturating_add(spool.disk_bytes),
            queued_bytes: behind.queued_bytes.saturating_add(spool.queued_bytes),
        }
    }
}
