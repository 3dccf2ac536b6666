//! A running instance: what `leadline run` puts together, and how it ends.

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use axum::Router;
use leadline_connectors::api_http::{self, ApiParts, Health, Probes};
use leadline_connectors::contract::provider::Provider;
use leadline_connectors::contract::secrets::Secrets;
use leadline_connectors::contract::sink::Sink;
use leadline_connectors::contract::source::Intake;
use leadline_connectors::contract::store::{RecordReader, RecordWriter};
use leadline_connectors::http_client::Client;
use leadline_connectors::http_server::{ServerLimits, serve};
use leadline_connectors::provider_http::HttpProvider;
use leadline_connectors::sink_http::HttpSink;
use leadline_connectors::source_http::{self, HttpSourceParts, Stopping};
use leadline_connectors::store_sqlite::{SqliteConfig, SqliteReader, SqliteWriter};
use leadline_schemas::Partition;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::sync::watch;

use crate::config::{Config, RecordsStore};
use crate::control;
use crate::descriptors;
use crate::engine::{Engine, EngineParts, Responders, Stored};
use crate::guard;
use crate::listening::listener;
use crate::notify;
use crate::parts::{GENERATION, Parts};
use crate::pipeline;

/// The provider that `AI_MODEL_ENDPOINT` makes; a tenant's `score_provider` names it.
pub const HTTP_PROVIDER: &str = "http";

/// How long partitions may take to be let go at the end; then whoever gets them waits for the session's time-out.
const LEAVE_MAX: Duration = Duration::from_secs(6);
/// How long the log may take to close at the end.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// Who is told of the address, once.
pub type Ready = Box<dyn FnOnce(std::net::SocketAddr, &Parts) + Send>;

/// What `run` is asked to do.
pub struct RunOptions {
    /// Everything configured.
    pub config: Config,
    /// Who is told of records that can be read (the demo's terminal).
    pub stored: Stored,
    /// Called once with the address, when events are accepted.
    pub ready: Ready,
}

/// Runs until SIGTERM, SIGINT or a fault that only a restart can mend.
pub fn run(options: RunOptions) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("tokio").build()?;
    let metrics = PrometheusBuilder::new().install_recorder().context("metrics cannot be recorded")?;
    let RunOptions { config, stored, ready } = options;
    let descriptors = descriptors::take(&config)?;
    let limits = ServerLimits { connections_max: descriptors.connections_max, ..ServerLimits::default() };
    let mut opening = Some(Opening { listener: listener(&config.listen)?, limits, ready });
    let mut result = run_on(&runtime, &config, &stored, &mut opening, &metrics);
    if result.is_err() && opening.is_some() && guard::is_marked(&config.data) {
        // The damage was found while starting: the second start moves the store aside. Connections wait meanwhile.
        result = run_on(&runtime, &config, &stored, &mut opening, &metrics);
    }
    // Calls that still run are left: their jobs are started again by the next process.
    runtime.shutdown_timeout(Duration::from_millis(200));
    result
}

/// What a start needs once everything else is up.
struct Opening {
    listener: TcpListener,
    limits: ServerLimits,
    ready: Ready,
}

fn run_on(
    runtime: &tokio::runtime::Runtime,
    config: &Config,
    stored: &Stored,
    opening: &mut Option<Opening>,
    metrics: &PrometheusHandle,
) -> anyhow::Result<()> {
    let parts = Parts::open(config)?;
    crate::plan::refuse_incompatible(&config.data)?;
    let running = Running::mark(config)?;
    let (stop_sender, stop) = watch::channel(None::<String>);
    let fatal_sender = stop_sender.clone();
    let fatal: Arc<dyn Fn(String) + Send + Sync> = Arc::new(move |why| {
        // The first word counts: what follows are its consequences.
        fatal_sender.send_if_modified(|stop| {
            let first = stop.is_none();
            if first {
                tracing::error!(why, "leadline must stop");
                *stop = Some(why);
            }
            first
        });
    });
    parts.state.on_end(Arc::clone(&fatal));
    let (writer, reader) = open_records(config)?;
    let engine = match config.role.works() {
        true => {
            let stored = Arc::clone(stored);
            Some(start_engine(&parts, config, runtime, writer, stored, &fatal, running.after_abort)?)
        }
        false => None,
    };
    let ready = Arc::new(AtomicBool::new(false));
    follow_settings(&parts, engine.as_ref());
    let told = stop.clone();
    let stopping: Stopping = Arc::new(move || Box::pin(wait_for_stop(told.clone())));
    let dataflow = engine.as_ref().map(|engine| dataflow_trouble(engine, &parts));
    let router =
        router(&parts, config, reader.clone(), metrics.clone(), Arc::clone(&ready), stopping, dataflow);
    let control = control::serve(runtime, config.control_socket(), &parts)?;

    let http_stop = wait_for_stop(stop.clone());
    let Opening { listener, limits, ready: tell_ready } = opening.take().context("it was started already")?;
    let address = listener.local_addr()?;
    let serving = runtime.spawn(serve(listener, router, limits, Box::pin(http_stop)));
    watch_log(runtime, &parts, fatal);
    ready.store(true, Ordering::Release);
    tracing::info!(%address, data = %config.data.display(), role = ?config.role, "ready");
    notify::tell(notify::READY);
    tell_ready(address, &parts);

    runtime.block_on(wait_for_signal(&stop_sender, stop.clone()));
    ready.store(false, Ordering::Release);
    notify::tell(notify::STOPPING);
    runtime.block_on(serving).context("the HTTP server ended badly")?.context("the HTTP server failed")?;
    drop(control);
    let assignment = parts.assignment.clone().filter(|_| engine.is_some());
    let has_left = assignment.is_none_or(|assignment| ends_within(LEAVE_MAX, move || assignment.leave()));
    let all_ended = engine.is_none_or(Engine::stop) && has_left;
    parts.close();
    // Brokers that are away are told nothing: what is uncommitted is theirs to give up.
    ends_within(CLOSE_MAX, move || drop(parts));
    let why = stop.borrow().clone().filter(|why| !why.is_empty());
    match why {
        Some(why) => Err(anyhow!("stopped: {why}")),
        None if all_ended => running.clear(),
        None => {
            tracing::warn!("some work did not end in time; it goes on after the next start");
            Ok(())
        }
    }
}

/// Does something that may wait for others; answers whether it came to its end in time. If not, it is left behind.
fn ends_within(limit: Duration, what: impl FnOnce() + Send + 'static) -> bool {
    let (ended, end) = std::sync::mpsc::channel();
    let work = move || {
        what();
        // Nobody waits any more when it took too long.
        let _ = ended.send(());
    };
    match std::thread::Builder::new().name("ending".to_owned()).spawn(work) {
        Ok(_) => end.recv_timeout(limit).is_ok(),
        Err(error) => {
            tracing::warn!(%error, "a thread could not be started");
            false
        }
    }
}

type Records = (Option<Box<dyn RecordWriter>>, Option<Arc<dyn RecordReader>>);

fn open_records(config: &Config) -> anyhow::Result<Records> {
    let asked = config.role.works() || config.role.answers();
    if !asked || config.records_store == RecordsStore::None {
        return Ok((None, None));
    }
    let sqlite = SqliteConfig::new(config.records_file());
    let writer = SqliteWriter::open(sqlite.clone())?;
    let reader = SqliteReader::open(sqlite)?;
    let writer: Option<Box<dyn RecordWriter>> = config.role.works().then(|| Box::new(writer) as _);
    Ok((writer, Some(Arc::new(reader))))
}

fn start_engine(
    parts: &Parts,
    config: &Config,
    runtime: &tokio::runtime::Runtime,
    writer: Option<Box<dyn RecordWriter>>,
    stored: Stored,
    fatal: &Arc<dyn Fn(String) + Send + Sync>,
    after_abort: bool,
) -> anyhow::Result<Engine> {
    leadline_operators::rules::warm_up();
    let settings = Arc::clone(&parts.settings);
    let engine = Engine::start(EngineParts {
        pipeline: pipeline::pipeline,
        pipeline_name: pipeline::NAME,
        generation: GENERATION,
        workers: config.workers,
        shared: parts.assignment.is_some(),
        log: parts.log.clone(),
        state: parts.state.clone(),
        blob: parts.blob.clone(),
        clock: Arc::clone(&parts.clock),
        settings: Arc::new(move || settings.current()),
        responders: responders(parts, config)?,
        writer,
        stored,
        runtime: runtime.handle().clone(),
        suspects: Some((config.data.clone(), after_abort)),
        snapshot_interval: Duration::from_secs(config.snapshot_interval_s),
        fatal: Arc::clone(fatal),
    });
    match &parts.assignment {
        Some(assignment) => assignment.join(engine.owner())?,
        // Restored before anything is accepted: what is wrong with the data folder is told at once.
        None => engine.own(&(0..parts.log.partitions()).map(Partition).collect::<Vec<_>>())?,
    }
    Ok(engine)
}

fn responders(parts: &Parts, config: &Config) -> anyhow::Result<Responders> {
    let client = Client::new()?;
    let mut providers: HashMap<String, HashMap<String, Arc<dyn Provider>>> = HashMap::new();
    if let Some(url) = &config.ai_model_endpoint {
        let provider: Arc<dyn Provider> = Arc::new(HttpProvider::new(HTTP_PROVIDER, url, client.clone()));
        providers.entry("score".to_owned()).or_default().insert(HTTP_PROVIDER.to_owned(), provider);
    }
    let secrets: Arc<dyn Secrets> = parts.secrets.clone();
    let sink: Arc<dyn Sink> = Arc::new(HttpSink::new(client, secrets, Arc::clone(&parts.clock)));
    Ok(Responders { providers, sinks: HashMap::from([("http".to_owned(), sink)]) })
}

/// Settings are taken in as they come, by a thread of their own; then the workers look again.
fn follow_settings(parts: &Parts, engine: Option<&Engine>) {
    let (sender, receiver) = std::sync::mpsc::channel();
    let sender = Mutex::new(sender);
    parts.settings.on_change(move || {
        // The thread is gone only at shutdown.
        let _ = crate::engine::lock(&sender).send(());
    });
    let settings = Arc::downgrade(&parts.settings);
    let wake = engine.map(Engine::waker);
    let follow = move || {
        while receiver.recv().is_ok() {
            let Some(settings) = settings.upgrade() else { return };
            if let Err(error) = settings.refresh() {
                tracing::error!(%error, "settings cannot be taken in");
            }
            if let Some(wake) = &wake {
                wake();
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("settings".to_owned()).spawn(follow) {
        tracing::error!(%error, "settings are only read on demand");
    }
}

/// Why a part does not get on; none when it does.
type Trouble = Box<dyn Fn() -> Option<String> + Send + Sync>;

fn dataflow_trouble(engine: &Engine, parts: &Parts) -> Trouble {
    let (partitions, assignment) = (engine.trouble(), parts.assignment.clone());
    Box::new(move || assignment.as_ref().and_then(|assignment| assignment.trouble()).or_else(&partitions))
}

fn router(
    parts: &Parts,
    config: &Config,
    reader: Option<Arc<dyn RecordReader>>,
    metrics: PrometheusHandle,
    ready: Arc<AtomicBool>,
    stopping: Stopping,
    dataflow: Option<Trouble>,
) -> Router {
    let intake: Arc<dyn Intake> = parts.settings.clone();
    let probes = Probes {
        health: health(parts, reader.clone(), dataflow),
        ready: Arc::new(move || ready.load(Ordering::Acquire)),
        metrics: Arc::new(move || metrics.render()),
        clock: Arc::clone(&parts.clock),
    };
    let mut router = api_http::probe_routes(probes);
    if config.role.takes_events() {
        let sources = HttpSourceParts {
            intake: Arc::clone(&intake),
            secrets: parts.secrets.clone(),
            blob: parts.blob.clone(),
            clock: Arc::clone(&parts.clock),
            records: reader.clone(),
            requests_max: config.requests_max,
            process_timeout: Duration::from_secs(config.process_timeout_s),
        };
        router = router.merge(source_http::routes_until(sources, stopping));
    }
    if let (true, Some(records)) = (config.role.answers(), reader) {
        router =
            router.merge(api_http::routes(ApiParts { records, intake, clock: Arc::clone(&parts.clock) }));
    }
    api_http::with_fallbacks(router)
}

fn health(
    parts: &Parts,
    reader: Option<Arc<dyn RecordReader>>,
    dataflow: Option<Trouble>,
) -> Arc<dyn Fn() -> Health + Send + Sync> {
    let log = parts.log.clone();
    Arc::new(move || {
        let mut health = Health::default();
        let state = log.health();
        let full = state.full.then(|| "no room for another segment: free disk space".to_owned());
        health.dependencies.insert("log", state.failed.or(state.unavailable).or(full));
        if let Some(reader) = &reader {
            health.dependencies.insert("records", reader.ping().err().map(|error| error.to_string()));
        }
        if let Some(dataflow) = &dataflow {
            health.dependencies.insert("dataflow", dataflow());
        }
        health
    })
}

/// A log that has failed ends the process: what it would still answer could not be trusted.
fn watch_log(runtime: &tokio::runtime::Runtime, parts: &Parts, fatal: Arc<dyn Fn(String) + Send + Sync>) {
    let log = Arc::downgrade(&parts.log);
    runtime.spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let Some(log) = log.upgrade() else { return };
            let health = log.health();
            // By way of the runtime that answers requests: one that hangs is started again.
            notify::tell(notify::WATCHDOG);
            metrics::gauge!("leadline_log_disk_bytes").set(health.disk_bytes as f64);
            metrics::gauge!("leadline_log_queued_bytes").set(health.queued_bytes as f64);
            metrics::gauge!("leadline_log_full").set(if health.full { 1.0 } else { 0.0 });
            metrics::gauge!("leadline_log_unavailable")
                .set(f64::from(u8::from(health.unavailable.is_some())));
            if let Some(why) = health.failed {
                fatal(why);
                return;
            }
        }
    });
}

async fn wait_for_stop(mut stop: watch::Receiver<Option<String>>) {
    // The sender lives as long as the process.
    let _ = stop.wait_for(Option::is_some).await;
}

/// Waits for SIGTERM, SIGINT or a fatal fault, and tells everybody.
async fn wait_for_signal(stop: &watch::Sender<Option<String>>, mut stopped: watch::Receiver<Option<String>>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be waited for");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = stopped.wait_for(Option::is_some) => return,
    }
    tracing::info!("stopping");
    stop.send_replace(Some(String::new()));
}

/// A mark in the data folder while a process runs: left behind, it says that the process did not end by itself.
struct Running {
    path: std::path::PathBuf,
    after_abort: bool,
}

impl Running {
    fn mark(config: &Config) -> anyhow::Result<Self> {
        let path = config.data.join("running");
        let after_abort = path.exists();
        std::fs::write(&path, std::process::id().to_string())
            .with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Self { path, after_abort })
    }

    fn clear(self) -> anyhow::Result<()> {
        std::fs::remove_file(&self.path).with_context(|| format!("{} cannot be removed", self.path.display()))
    }
}
