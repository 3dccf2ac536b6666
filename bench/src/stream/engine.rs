//! The engine as `leadline run` starts it, with a pipeline of three operators and without record store and jobs.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use leadline::engine::{Engine, EngineParts, Flow, Responders};
use leadline_connectors::blob_folder::FolderBlob;
use leadline_connectors::clock_system::SystemClock;
use leadline_connectors::contract::BoxFuture;
use leadline_connectors::contract::log::{
    Append, AppendError, Chunk, Commit, CommitAnswer, Log, LogHealth, ReadError,
};
use leadline_connectors::state_fjall::{FjallConfig, FjallState};
use leadline_operators::decode::Decode;
use leadline_operators::dedupe::{ContactOut, Dedupe, DedupeIn};
use leadline_operators::leads::{ContactFacts, Counts};
use leadline_operators::publish::Publish;
use leadline_operators::window::Window;
use leadline_schemas::event::Event;
use leadline_schemas::inbound::Inbound;
use leadline_schemas::settings::{Company, Sealed, Settings, Tenant};
use leadline_schemas::{Millis, Offset, Partition, TenantId, Topic};

use super::child::{Variant, cpu_ns_of_thread};
use super::events::{TENANTS, company_id, tenant_name};
use super::fill::{open_log, state_folder};
use super::timed::Timed;

/// Block cache of the store when state fits in memory, and when it does not: there a tenth of the rows' bytes.
const CACHE_BYTES_MEMORY: u64 = 256 << 20;
const CACHE_BYTES_DISK: u64 = 32 << 20;

/// The pipeline under measurement; cf. `topology/src/pipeline.rs`.
fn pipeline(inbound: Flow<Inbound>) {
    let fresh = inbound.operator(Timed(Decode)).take(DedupeIn::of).operator(Timed(Dedupe));
    fresh.publish(Publish::publish);
    fresh.take(facts).operator(Timed(Window)).publish(Publish::publish);
}

/// What a new call adds to its windows; in the whole pipeline that is found out behind the score.
fn facts(out: ContactOut) -> Option<ContactFacts> {
    let contact = out.contact()?;
    let Event::CallEvent(call) = &contact.event else { return None };
    let answered = i64::from(call.answered == Some(true));
    let counts = Counts { calls: 1, answered, missed: 1 - answered, ..Counts::default() };
    Some(ContactFacts { at: contact.event_time, counts, ..ContactFacts::default() })
}

/// The log, watched: how far the commits are.
pub(crate) struct Watched {
    log: Arc<dyn Log>,
    commits: Arc<Commits>,
    read_ns: AtomicU64,
}

/// What was committed so far.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    inner: Mutex<Committed>,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Committed {
    /// Commits, and bytes of their frames.
    pub(crate) count: u64,
    pub(crate) frame_bytes: u64,
    /// The first input that is not committed, per partition.
    pub(crate) inbound_next: Vec<u64>,
    /// When the first commit was durable.
    pub(crate) first: Option<Instant>,
    /// When the newest commit was durable, and the newest with inputs.
    pub(crate) last: Option<Instant>,
    pub(crate) last_input: Option<Instant>,
}

impl Commits {
    pub(crate) fn now(&self) -> Committed {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, partition: Partition, inbound_next: Offset, frame_bytes: usize) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        inner.count += 1;
        inner.frame_bytes += frame_bytes as u64;
        inner.first.get_or_insert(now);
        inner.last = Some(now);
        let at = usize::from(partition.0);
        if inner.inbound_next.len() <= at {
            inner.inbound_next.resize(at + 1, 0);
        }
        if let Some(next) = inner.inbound_next.get_mut(at)
            && *next < inbound_next.0
        {
            *next = inbound_next.0;
            inner.last_input = Some(now);
        }
    }
}

impl Log for Watched {
    fn partitions(&self) -> u16 {
        self.log.partitions()
    }
    fn append(&self, records: Vec<Append>) -> BoxFuture<'static, Result<Vec<Offset>, AppendError>> {
        self.log.append(records)
    }
    fn commit(&self, commit: Commit, done: Box<dyn FnOnce(CommitAnswer) + Send>) {
        let (commits, partition) = (Arc::clone(&self.commits), commit.partition);
        let (next, bytes) = (commit.inbound_next, commit.frame.len());
        self.log.commit(
            commit,
            Box::new(move |answer| {
                if answer == CommitAnswer::Committed {
                    commits.note(partition, next, bytes);
                }
                done(answer);
            }),
        );
    }
    fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit_bytes: usize,
    ) -> Result<Chunk, ReadError> {
        let started = cpu_ns_of_thread();
        let chunk = self.log.read(topic, partition, from, limit_bytes);
        self.read_ns.fetch_add(cpu_ns_of_thread() - started, Ordering::Relaxed);
        chunk
    }
    fn fetch(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit_bytes: usize,
    ) -> Result<Chunk, ReadError> {
        self.log.fetch(topic, partition, from, limit_bytes)
    }
    fn range(&self, topic: Topic, partition: Partition) -> Result<(Offset, Offset), ReadError> {
        self.log.range(topic, partition)
    }
    fn listen(&self, topic: Topic, partition: Partition, listener: Arc<dyn Fn() + Send + Sync>) {
        self.log.listen(topic, partition, listener);
    }
    fn set_floor(&self, topic: Topic, partition: Partition, floor: Offset) {
        self.log.set_floor(topic, partition, floor);
    }
    fn health(&self) -> LogHealth {
        self.log.health()
    }
}

/// A started engine with what is watched of it.
pub(crate) struct Started {
    pub(crate) engine: Engine,
    pub(crate) commits: Arc<Commits>,
    pub(crate) log: Arc<Watched>,
    _runtime: tokio::runtime::Runtime,
}

impl Watched {
    /// CPU seconds of reads.
    pub(crate) fn read_s(&self) -> f64 {
        self.read_ns.load(Ordering::Relaxed) as f64 / 1e9
    }
}

/// Opens log and store of a folder and starts the engine over them.
pub(super) fn start(folder: &Path, variant: Variant) -> Result<Started> {
    let started = start_on(Arc::new(open_log(folder)?), false, 1, folder, variant)?;
    let all: Vec<Partition> = (0..started.log.partitions()).map(Partition).collect();
    started.engine.own(&all)?;
    Ok(started)
}

/// Opens the store of a folder and starts the engine on a log, with so many workers; it owns no partition yet. `shared`
/// says whether other processes may work on the log.
pub(crate) fn start_on(
    log: Arc<dyn Log>,
    shared: bool,
    workers: usize,
    folder: &Path,
    variant: Variant,
) -> Result<Started> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let commits = Arc::new(Commits::default());
    let log = Arc::new(Watched { log, commits: Arc::clone(&commits), read_ns: AtomicU64::new(0) });
    let mut config = FjallConfig::new(state_folder(folder));
    config.cache_bytes = match variant {
        Variant::Memory => CACHE_BYTES_MEMORY,
        Variant::Disk => CACHE_BYTES_DISK,
    };
    let settings = Arc::new(settings()?);
    let engine = Engine::start(EngineParts {
        pipeline,
        pipeline_name: "stream",
        generation: 1,
        origin: None,
        workers,
        shared,
        log: log.clone(),
        state: Arc::new(FjallState::open(&config)?),
        blob: Arc::new(FolderBlob::open(folder.join("blobs"))?),
        clock: Arc::new(SystemClock),
        settings: Arc::new(move || Arc::clone(&settings)),
        responders: Responders::default(),
        writer: None,
        stored: Arc::new(|_| {}),
        runtime: runtime.handle().clone(),
        suspects: None,
        snapshot_interval: Duration::from_secs(3_600),
        fatal: Arc::new(|why| {
            eprintln!("the engine cannot go on: {why}");
            std::process::exit(70);
        }),
    });
    Ok(Started { engine, commits, log, _runtime: runtime })
}

/// Settings of version 1 with all tenants.
fn settings() -> Result<Settings> {
    let mut settings = Settings::default();
    for tenant in 0..TENANTS {
        let tenant = Tenant {
            companies: vec![Company::new(vec![company_id(tenant)], Sealed::default())],
            ..Tenant::new(TenantId::new(&tenant_name(tenant))?, tenant_name(tenant), Millis(0))
        };
        settings = settings.with(tenant, 1);
    }
    Ok(settings)
}
