//! Log on Kafka: the same contract on brokers, for many processes.
//!
//! # What lies where
//!
//! Each topic of the contract is a topic there, named prefix + name. `inbound`, `replies` and `settings` are written by
//! one idempotent producer with `acks=all` and without transactions, so their offsets are Kafka's own and have no gaps
//! (but those that compaction makes in `settings`).
//!
//! An epoch is one Kafka transaction, shared by all epochs that are ready on the same committer: the outputs go to
//! their topics under their keys (no value = tombstone), the frame goes to `state`[p] in parts of at most 1 MiB with
//! headers `commit` (its number) and `part` (`i/k`), and the group's offsets of `inbound`[p] and `replies`[p] move to
//! what the epoch covers, with the commit number as their metadata. So a reader of committed records sees all of an
//! epoch or nothing, the group's lag is right, and **the group's offset says which commit is the last**: asking for it
//! with stable offsets waits for an open transaction, while `state` itself shows commit markers partition by
//! partition. Only if the group has no offset any more, the last frame counts, once no transaction is open.
//!
//! Offsets of `state` in the contract are commit numbers minus one; on the brokers frames have several records and
//! there are markers and aborted parts between them, so [`frames`] finds them by bisection over the headers.
//!
//! # Who does what
//!
//! | thread | what |
//! | --- | --- |
//! | `kafka-fetch` | fills the buffers that `read` takes from ([`fetcher`]) |
//! | `kafka-scout` | asks brokers for readers who do not wait ([`scout`]) |
//! | `kafka-commit-n` | runs the transactions of partitions p % workers = n ([`committer`], [`connected`], [`transaction`]) |
//! | `kafka-hanging` | looks, now and then, for transactions that brokers forgot to end, while its committer goes on ([`hanging`]) |
//! | `kafka-upkeep` | looks whether a broker answers and partitions move ([`standstill`]); deletes frames below the floors ([`upkeep`]) |
//! | `kafka-group` | deals partitions out ([`assignment`], [`group`]), and out anew if one has no owner ([`orphans`]); the group only says who owns what, it fetches nothing |
//!
//! # Who may commit
//!
//! A transactional id (pipeline/instance/worker) belongs to whoever opened it last: the broker fences the one before.
//! Between instances the group's generation decides: offsets sent under an old one are refused, and the transaction
//! with them. A commit whose number does not follow the group's is refused here. What a time-out left unknown is found
//! out by taking the transactional id over and asking for the offset, so `Unknown` is said only by a log that closes. A
//! transaction that brokers forgot to end is ended by whoever has its id ([`hanging`]).

mod admin;
mod all_settings;
mod append;
mod assignment;
mod bounded;
mod buffer;
mod buffers;
mod closing;
mod committer;
mod config;
mod connected;
mod ends;
mod error;
mod failure;
mod fetcher;
mod frames;
mod group;
mod hanging;
mod health;
mod history;
mod link;
mod members;
mod membership;
mod orphans;
mod parts;
mod queue;
mod reader;
mod scout;
mod search;
mod sight;
mod standstill;
pub mod topics;
mod transaction;
mod upkeep;

use std::future::Future;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use leadline_schemas::{Offset, Partition, Topic};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;

use crate::contract::BoxFuture;
use crate::contract::log::{Append, AppendError, Chunk, Commit, CommitAnswer, Log, LogHealth, ReadError};
pub use all_settings::all_settings;
use append::Appender;
pub use assignment::KafkaAssignment;
use buffers::{Buffers, Listener, no_such};
use closing::Closing;
use committer::Committer;
pub use config::{Codec, KafkaConfig, Security};
pub use error::KafkaLogError;
use error::describe;
use fetcher::Fetcher;
use frames::Frames;
use health::Health;
use history::History;
use link::Link;
pub use members::members;
use membership::Membership;
use scout::Scout;
use standstill::{Standstill, Still};
use upkeep::{Floors, Upkeep};

/// The client, for tests that look with a foreign eye; as their own dependency everybody would build it.
#[cfg(feature = "simulation")]
pub use rdkafka;

/// For how long a broker may not have heard of a topic that `topics apply` has seen at another one.
const PROPAGATION_MAX: Duration = Duration::from_secs(5);
/// How long between two looks at topics that are not there, or not yet.
const METADATA_PAUSE: Duration = Duration::from_millis(20);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for a word, at most that long.
fn wait<'g, T>(word: &Condvar, guard: MutexGuard<'g, T>, time: Duration) -> MutexGuard<'g, T> {
    word.wait_timeout(guard, time).unwrap_or_else(PoisonError::into_inner).0
}

/// A log on Kafka, in one process.
pub struct KafkaLog {
    inner: Arc<Inner>,
    threads: Vec<JoinHandle<()>>,
}

/// What the log and the assignment share.
struct Inner {
    config: Arc<KafkaConfig>,
    partitions: u16,
    health: Arc<Health>,
    membership: Arc<Membership>,
    buffers: Arc<Buffers>,
    frames: Arc<Frames>,
    appender: Appender,
    committers: Vec<Arc<Committer>>,
    floors: Arc<Floors>,
    closing: Arc<Closing>,
    still: Arc<Still>,
    link: Link,
}

impl KafkaLog {
    /// Opens it: asks the brokers for the topics, and starts the threads. Nobody is fenced before a partition is
    /// assigned or a commit is sent.
    pub fn open(config: KafkaConfig) -> Result<Self, KafkaLogError> {
        if let Some(fault) = config.fault() {
            return Err(KafkaLogError::Config(fault));
        }
        let config = Arc::new(config);
        let health = Arc::new(Health::default());
        let link = Link { health: Arc::clone(&health), token_file: config.security.oauth_token_file.clone() };
        let wrong = |error: KafkaError| KafkaLogError::Config(error.to_string());
        let consumer: BaseConsumer<Link> =
            config.consumer("fetch").create_with_context(link.clone()).map_err(wrong)?;
        let consumer = Arc::new(consumer);
        consumer.poll(Duration::ZERO); // Hands its token over, where there are tokens.
        let partitions = partitions(&config, &consumer)?;
        let appender = Appender::open(&config, partitions, link.clone()).map_err(wrong)?;
        let buffers = Arc::new(Buffers::new(partitions, config.buffer_bytes_max));
        let history = History::new(Arc::clone(&config), Arc::clone(&consumer), link.clone());
        let frames = Arc::new(Frames::new(Arc::new(history), link.clone()));
        let membership = Arc::new(Membership::default());
        membership.publish(consumer.group_metadata());
        let committer = |worker| {
            Arc::new(Committer {
                worker,
                config: Arc::clone(&config),
                link: link.clone(),
                membership: Arc::clone(&membership),
                frames: Arc::clone(&frames),
                buffers: Arc::clone(&buffers),
                queue: Mutex::default(),
                moved: Condvar::new(),
                connected: Mutex::default(),
            })
        };
        let committers = (0..config.workers).map(committer).collect();
        let (floors, closing, still) = (Arc::default(), Arc::default(), Arc::default());
        let inner = Arc::new(Inner {
            config,
            partitions,
            health,
            membership,
            buffers,
            frames,
            appender,
            committers,
            floors,
            closing,
            still,
            link,
        });
        let threads = start(&inner, consumer)
            .map_err(|error| KafkaLogError::Config(format!("a thread cannot be started: {error}")))?;
        Ok(Self { inner, threads })
    }
}

/// Partitions of `inbound`; all topics of an epoch have to have as many. A topic that a broker does not know yet is
/// asked for until `PROPAGATION_MAX` has passed.
fn partitions(config: &KafkaConfig, consumer: &BaseConsumer<Link>) -> Result<u16, KafkaLogError> {
    let patience = Duration::from_millis(config.fetch_timeout_ms);
    let deadline = Instant::now() + PROPAGATION_MAX;
    let count = |topic: Topic| loop {
        let name = config.topic(topic);
        let asked = consumer.fetch_metadata(Some(&name), patience).map_err(|error| {
            // What the connections have to say has not been heard yet.
            while consumer.poll(Duration::from_millis(10)).is_some() {}
            let why = consumer.context().health.reason_or(describe(&error));
            KafkaLogError::Unavailable { brokers: config.brokers.clone(), why }
        })?;
        let found = asked.topics().iter().find(|found| found.name() == name);
        match found.map_or(0, |found| found.partitions().len()) {
            0 if Instant::now() < deadline => std::thread::sleep(METADATA_PAUSE),
            0 => break Err(KafkaLogError::NoTopic(name)),
            found => break Ok((name, found)),
        }
    };
    let (_, inbound) = count(Topic::Inbound)?;
    for topic in Topic::ALL {
        let expected = if topic == Topic::Settings { 1 } else { inbound };
        let (topic, found) = count(topic)?;
        if found != expected {
            return Err(KafkaLogError::Partitions { topic, found, expected });
        }
    }
    u16::try_from(inbound).map_err(|_| KafkaLogError::Config(format!("{inbound} partitions are too many")))
}

fn start(inner: &Arc<Inner>, consumer: Arc<BaseConsumer<Link>>) -> std::io::Result<Vec<JoinHandle<()>>> {
    let spawn =
        |name: String, work: Box<dyn FnOnce() + Send>| std::thread::Builder::new().name(name).spawn(work);
    let mut threads = Vec::new();
    let (config, buffers) = (Arc::clone(&inner.config), Arc::clone(&inner.buffers));
    let (fetcher, closing) = (Fetcher::new(consumer, config, buffers), Arc::clone(&inner.closing));
    threads.push(spawn("kafka-fetch".to_owned(), Box::new(move || fetcher.run(&closing)))?);
    let scout = Scout { buffers: Arc::clone(&inner.buffers), frames: Arc::clone(&inner.frames) };
    let closing = Arc::clone(&inner.closing);
    threads.push(spawn("kafka-scout".to_owned(), Box::new(move || scout.run(&closing)))?);
    let upkeep = Upkeep {
        frames: Arc::clone(&inner.frames),
        health: Arc::clone(&inner.health),
        floors: Arc::clone(&inner.floors),
        link: inner.link.clone(),
        standstill: Standstill {
            buffers: Arc::clone(&inner.buffers),
            membership: Arc::clone(&inner.membership),
            history: Arc::clone(&inner.frames.history),
            still: Arc::clone(&inner.still),
        },
    };
    let closing = Arc::clone(&inner.closing);
    threads.push(spawn("kafka-upkeep".to_owned(), Box::new(move || upkeep.run(&closing)))?);
    for committer in &inner.committers {
        let (name, committer) = (format!("kafka-commit-{}", committer.worker), Arc::clone(committer));
        threads.push(spawn(name, Box::new(move || committer.run()))?);
    }
    Ok(threads)
}

impl Inner {
    fn committer(&self, partition: Partition) -> Option<&Arc<Committer>> {
        self.committers.get(usize::from(partition.0 % self.config.workers.max(1)))
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        self.inner.closing.close();
        self.inner.committers.iter().for_each(|committer| committer.close());
        self.inner.appender.finish();
        for thread in self.threads.drain(..) {
            // Who listens may hold the log: then its last holder is one of its own threads.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join(); // Its panic has been told already.
            }
        }
    }
}

impl Log for KafkaLog {
    fn partitions(&self) -> u16 {
        self.inner.partitions
    }

    fn append(&self, records: Vec<Append>) -> BoxFuture<'static, Result<Vec<Offset>, AppendError>> {
        self.inner.appender.append(&records)
    }

    fn commit(&self, commit: Commit, done: Box<dyn FnOnce(CommitAnswer) + Send>) {
        let committer = self.inner.committer(commit.partition);
        match committer.filter(|_| commit.partition.0 < self.inner.partitions) {
            Some(committer) => committer.send(commit, done),
            None => done(CommitAnswer::Aborted(format!("there is no partition {}", commit.partition))),
        }
    }

    fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit_bytes: usize,
    ) -> Result<Chunk, ReadError> {
        self.inner.buffers.read((topic, partition), from.0, limit_bytes)
    }

    fn fetch(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit_bytes: usize,
    ) -> Result<Chunk, ReadError> {
        if !self.inner.buffers.has((topic, partition)) {
            return Err(no_such((topic, partition)));
        }
        match topic {
            Topic::State => self.inner.frames.fetch(partition, from, limit_bytes),
            _ => self.inner.frames.history.fetch(topic, partition, from, limit_bytes),
        }
    }

    fn range(&self, topic: Topic, partition: Partition) -> Result<(Offset, Offset), ReadError> {
        if !self.inner.buffers.has((topic, partition)) {
            return Err(no_such((topic, partition)));
        }
        match topic {
            Topic::State => self.inner.frames.range(partition),
            _ => self.inner.frames.history.range(topic, partition),
        }
    }

    fn range_so_far(&self, partition: Partition) -> Result<(Offset, Offset), ReadError> {
        if !self.inner.buffers.has((Topic::State, partition)) {
            return Err(no_such((Topic::State, partition)));
        }
        self.inner.frames.range_so_far(partition)
    }

    fn listen(&self, topic: Topic, partition: Partition, listener: Listener) {
        self.inner.buffers.listen((topic, partition), listener);
    }

    fn set_floor(&self, topic: Topic, partition: Partition, floor: Offset) {
        self.inner.buffers.release((topic, partition), floor.0);
        if topic == Topic::State && partition.0 < self.inner.partitions {
            self.inner.floors.set(partition, floor.0);
        }
    }

    fn health(&self) -> LogHealth {
        let commits: usize = self.inner.committers.iter().map(|committer| committer.queued_bytes()).sum();
        LogHealth {
            full: false,
            failed: self.inner.health.failed(),
            unavailable: self.inner.health.unavailable(),
            disk_bytes: 0,
            queued_bytes: self.inner.appender.queued_bytes().saturating_add(commits) as u64,
        }
    }
}

/// Waits for librdkafka's answer; it answers from a thread of its own.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::task::Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            std::task::Poll::Ready(answer) => return answer,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}
