//! A running instance: what `leadline run` puts together, and how it ends.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use leadline_connectors::contract::store::RecordReader;
use leadline_connectors::http_server::{ServerLimits, serve};
use leadline_schemas::partitioning::Layout;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::sync::{mpsc, oneshot};

use crate::blobs::{self, keep_retention, watch_folder};
use crate::callrail;
use crate::config::{Config, LogKind};
use crate::control;
use crate::descriptors;
use crate::engine::{HANDED_CALLS_MAX, Handed, Stored};
use crate::following::follow_settings;
use crate::guard;
use crate::handover::{
    self, Footing, Giver, Identity, LEAVE_MAX, Phase, Phases, SayIdentity, Standby, StandbyEnd,
};
use crate::layout::follow::{Follower, Following, Running, Workplace};
use crate::listening::listener;
use crate::logs::LogOf;
use crate::notify;
use crate::parts::Parts;
use crate::serving::{Shown, dataflow_trouble, router};
use crate::stop::{Fatal, Stop, fatal, wait_for_signals};
use crate::work::{engine_starter, open_records};

/// How long the log may take to close at the end.
const CLOSE_MAX: Duration = Duration::from_secs(2);
/// How long a process that has handed over takes events, if its successor never says that it does.
const SUCCESSOR_MAX: Duration = Duration::from_secs(60);
/// How long it goes on listening when its successor takes events: whoever shares requests out between them looks at
/// `/ready` only every few seconds.
const LISTEN_ON: Duration = Duration::from_secs(5);
/// How often one that waits for its calls, or for its spool, looks whether it was told to end.
const STOP_LOOK: Duration = Duration::from_millis(200);

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
    /// The admin address of the process whose place it is to take.
    pub standby: Option<String>,
}

/// Runs until SIGTERM, SIGINT, a hand-over or a fault that only a restart can mend.
pub fn run(options: RunOptions) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("tokio").build()?;
    let metrics = PrometheusBuilder::new().install_recorder().context("metrics cannot be recorded")?;
    let RunOptions { config, stored, ready, standby } = options;
    if standby.is_some() && config.log_kind == LogKind::Embedded {
        return Err(anyhow!(
            "--standby needs --log kafka: an embedded log has one process; restart it behind a socket (--listen fd:3)"
        ));
    }
    if let Some(away) = blobs::look(&config, &runtime)? {
        tracing::warn!(away, "the blob store does not answer: events are taken, and recordings wait for it");
    }
    let descriptors = descriptors::take(&config)?;
    let limits = ServerLimits { connections_max: descriptors.connections_max, ..ServerLimits::default() };
    let mut opening = Some(Opening { listener: listener(&config.listen)?, limits, ready });
    let process = Process { runtime: &runtime, config: &config, stored: &stored, metrics: &metrics, standby };
    let mut result = process.run(&mut opening);
    if result.is_err() && opening.is_some() && guard::is_marked(&config.data) {
        // The damage was found while starting: the second start moves the store aside. Connections wait meanwhile.
        result = process.run(&mut opening);
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

/// What a process is given.
struct Process<'p> {
    runtime: &'p tokio::runtime::Runtime,
    config: &'p Config,
    stored: &'p Stored,
    metrics: &'p PrometheusHandle,
    standby: Option<String>,
}

impl Process<'_> {
    fn run(&self, opening: &mut Option<Opening>) -> anyhow::Result<()> {
        let (mut live, reader) = self.open()?;
        follow_settings(&live.parts, live.follower.workplace());
        keep_retention(self.runtime, &live.parts, self.config);
        let control = control::serve(self.runtime, self.config.control_socket(), &live.parts)?;
        handover::serve(self.runtime, self.config, &live.giver, live.stop.told())?;
        let opening = opening.take().context("it was started already")?;
        let Served { address, task: serving, ready } = self.serve(&live, reader, opening)?;
        watch_folder(self.runtime, &live.parts, self.config, &live.phases)?;
        watch_log(self.runtime, &live.parts, fatal(&live.stop));
        let interval = Duration::from_secs(self.config.callrail_watch_interval_s);
        callrail::watch(self.runtime, &live.parts, live.follower.workplace(), interval);
        let interval = Duration::from_secs(self.config.callrail_pull_interval_s);
        callrail::keep_rounds(self.runtime, &live.parts, live.follower.workplace(), interval);
        live.parts.crms.keep_grants(self.runtime, live.follower.workplace());
        self.runtime.spawn(wait_for_signals(Arc::clone(&live.stop)));
        match self.stand_by(&live) {
            Ok(true) => {
                let (data, role) = (self.config.data.display(), self.config.role);
                tracing::info!(%address, %data, ?role, "ready");
                notify::tell(notify::READY);
                ready(address, &live.parts);
            }
            Ok(false) => {}
            // What was wrong is told, and was no crash.
            Err(error) => return live.running.clear().and(Err(error)),
        }
        live.follower.follow()?;
        let handed_over_at = self.wait_for_end(&mut live);
        live.follower.hold();
        live.phases.set(Phase::Stopping);
        notify::tell(notify::STOPPING);
        let served = self.runtime.block_on(serving);
        served.context("the HTTP server ended badly")?.context("the HTTP server failed")?;
        drop(control);
        let Live { parts, follower, stop, running, .. } = live;
        if handed_over_at.is_some() {
            forward_rest(&parts, &stop, &self.config.data);
        }
        let all_ended = end(follower.workplace().now(), handed_over_at, &stop);
        drop(follower);
        parts.close();
        // Brokers that are away are told nothing: what is uncommitted is theirs to give up.
        ends_within(CLOSE_MAX, move || drop(parts));
        match stop.why() {
            Some(why) => Err(anyhow!("stopped: {why}")),
            None if all_ended => running.clear(),
            None => {
                tracing::warn!("some work did not end in time; it goes on after the next start");
                Ok(())
            }
        }
    }

    /// Opens everything; it owns its share then, unless it stands by.
    fn open(&self) -> anyhow::Result<(Live, Option<Arc<dyn RecordReader>>)> {
        let config = self.config;
        let parts = Parts::open(config)?;
        crate::plan::refuse_incompatible(&config.data)?;
        let running = Mark::set(config)?;
        let (stop, phases) = (Arc::<Stop>::default(), Arc::<Phases>::default());
        let fatal = fatal(&stop);
        parts.state.on_end(Arc::clone(&fatal));
        let (writer, reader) = open_records(config)?;
        let after_abort = running.after_abort;
        let start = config
            .role
            .works()
            .then(|| engine_starter(&parts, config, self.runtime, writer, self.stored, &fatal, after_abort));
        let follower = Follower::open(Following {
            settings: Arc::clone(&parts.settings),
            logs: Arc::clone(&parts.logs),
            state: parts.state.clone(),
            blob: parts.blob.clone(),
            runtime: self.runtime.handle().clone(),
            start,
            fatal,
        })?;
        if self.standby.is_none() {
            follower.own()?;
            phases.set(Phase::Running);
        }
        let who = identity(config, &parts, follower.workplace());
        let (giver, asks) = Giver::new(who, follower.workplace(), &parts.logs, Arc::clone(&phases));
        Ok((Live { parts, follower, phases, stop, running, giver, asks }, reader))
    }

    /// Answers HTTP from now on.
    fn serve(
        &self,
        live: &Live,
        reader: Option<Arc<dyn RecordReader>>,
        opening: Opening,
    ) -> anyhow::Result<Served> {
        let Opening { listener, limits, ready } = opening;
        let (parts, phases) = (&live.parts, &live.phases);
        let shown = Shown {
            reader,
            metrics: self.metrics.clone(),
            phases: Arc::clone(phases),
            stopping: live.stop.stopping(),
            dataflow: self.config.role.works().then(|| dataflow_trouble(live.follower.workplace(), phases)),
            stands_by: self.standby.is_some(),
        };
        let address = listener.local_addr()?;
        let served = serve(listener, router(parts, self.config, shown), limits, live.stop.told());
        Ok(Served { address, task: self.runtime.spawn(served), ready })
    }

    /// Takes the other process's place, if there is one. Answers whether this one works now.
    fn stand_by(&self, live: &Live) -> anyhow::Result<bool> {
        let Some(url) = &self.standby else { return Ok(true) };
        let stopped = || live.stop.is_told();
        let running = live.follower.workplace().now();
        let footing = Footing {
            runtime: self.runtime,
            assignment: running.as_ref().and_then(|running| running.log.assignment.as_ref()),
            engine: running.as_ref().map(|running| &*running.engine),
            phases: &live.phases,
            stopped: &stopped,
        };
        let standby = Standby::new(url, self.config, live.giver.identity(), footing)?;
        if standby.run()? == StandbyEnd::Stopped {
            return Ok(false);
        }
        live.phases.set(Phase::Running);
        standby.tell_ready();
        Ok(true)
    }

    /// Runs until it is told to end, or has handed over and its successor takes events. Answers when it has
    /// handed over, if it has.
    fn wait_for_end(&self, live: &mut Live) -> Option<Instant> {
        let (stop, phases, giver) = (&live.stop, &live.phases, &live.giver);
        let asked = self.runtime.block_on(async {
            tokio::select! {
                () = stop.told() => None,
                asked = live.asks.recv() => asked,
            }
        });
        let tell = asked?;
        let handed_over_at = Instant::now();
        phases.set(Phase::HandedOver);
        live.follower.hold();
        // A standby that is gone asks again, or the group gives the partitions to others.
        let _ = tell.send(handover::give(live.follower.workplace().now()));
        let is_asked_by_clients = self.config.role.takes_events() || self.config.role.answers();
        let listen_on = if is_asked_by_clients { LISTEN_ON } else { Duration::ZERO };
        self.runtime.block_on(async {
            tokio::select! {
                () = giver.wait_for_successor() => {}
                () = tokio::time::sleep(SUCCESSOR_MAX) => tracing::warn!("no successor has come"),
                () = stop.told() => {}
            }
            phases.set(Phase::Replaced);
            tokio::select! {
                () = tokio::time::sleep(listen_on) => {}
                () = stop.told() => {}
            }
        });
        stop.tell(String::new());
        Some(handed_over_at)
    }
}

/// A process with everything open.
struct Live {
    parts: Parts,
    follower: Follower,
    phases: Arc<Phases>,
    stop: Arc<Stop>,
    running: Mark,
    giver: Arc<Giver>,
    asks: mpsc::Receiver<oneshot::Sender<Handed>>,
}

/// A process that answers HTTP.
struct Served {
    address: std::net::SocketAddr,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
    ready: Ready,
}

/// Who this process is: its layout is that of its engine, else that which its events go to.
fn identity(config: &Config, parts: &Parts, workplace: &Arc<Workplace>) -> SayIdentity {
    let (group, instance) = (config.kafka.group.clone(), config.kafka.instance.clone());
    let (settings, workplace) = (Arc::clone(&parts.settings), Arc::clone(workplace));
    Box::new(move || {
        let of_log = |log: &LogOf| Layout { generation: log.generation, partitions: log.log.partitions() };
        let working = workplace.now().map(|running| of_log(&running.log));
        Identity {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            group: group.clone(),
            instance: instance.clone(),
            layout: working.unwrap_or_else(|| settings.layout()),
        }
    })
}

/// Ends the work; answers whether all of it came to its end. What was handed over has gone, but for calls that run:
/// the successor leaves those alone that it was told of, for as long as it was told.
fn end(running: Option<Running>, handed_over_at: Option<Instant>, stop: &Stop) -> bool {
    let Some(Running { engine, log }) = running else { return true };
    if let Some(at) = handed_over_at {
        let mut quiet = false;
        while !quiet && !stop.was_signalled() && at.elapsed() < HANDED_CALLS_MAX {
            quiet = engine.wait_quiet(STOP_LOOK);
        }
        return engine.stop() && quiet;
    }
    let has_left = ends_within(LEAVE_MAX, move || log.leave());
    engine.stop() && has_left
}

/// Forwards what was accepted since the hand-over and could not be written at once: it is spooled in this process's
/// folder, where its successor does not look. Waits for the brokers, until somebody outside wants it to end.
fn forward_rest(parts: &Parts, stop: &Stop, data: &Path) {
    let spooled = || parts.logs.spooled();
    if spooled() == 0 {
        return;
    }
    tracing::warn!(
        events = spooled(),
        "events were spooled since the hand-over: this process ends when they are forwarded"
    );
    while spooled() > 0 && !stop.was_signalled() && parts.log.health().failed.is_none() {
        std::thread::sleep(STOP_LOOK);
    }
    match spooled() {
        0 => tracing::info!("all that was spooled is forwarded"),
        events => tracing::error!(
            events,
            data = %data.display(),
            "accepted events wait in the spool: start leadline on this folder again, without --standby, to forward them"
        ),
    }
}

/// Does something that may wait for others; answers whether it came to its end in time. If not, it is left behind.
pub(crate) fn ends_within(limit: Duration, what: impl FnOnce() + Send + 'static) -> bool {
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

/// A log that has failed ends the process: what it would still answer could not be trusted.
fn watch_log(runtime: &tokio::runtime::Runtime, parts: &Parts, fatal: Fatal) {
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

/// A mark in the data folder while a process runs: left behind, it says that the process did not end by itself.
struct Mark {
    path: std::path::PathBuf,
    after_abort: bool,
}

impl Mark {
    fn set(config: &Config) -> anyhow::Result<Self> {
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
