//! The job executor: takes pending jobs from the state store, fairly by tenant, and appends their results.
//!
//! A backlog lies on disk as rows; in memory are at most 64 jobs per lane (a tenant's jobs of one kind and target)
//! and 256 running ones. Nothing of the engine waits for it: a call that hangs holds its own lane only.

mod attempt;
mod lane;

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::Log;
use leadline_connectors::contract::provider::Provider;
use leadline_connectors::contract::sink::Sink;
use leadline_connectors::contract::state::PartitionState;
use leadline_schemas::reply::PendingJob;
use leadline_schemas::sabotage::{self, Bug};
use leadline_schemas::settings::Settings;
use leadline_schemas::{JobId, Partition};

use self::attempt::{Attempt, Outcome};
use self::lane::Lane;
pub(super) use self::lane::{LaneKey, job_id_of};
use super::keys;
use super::limits::*;

/// Who answers jobs.
#[derive(Clone, Default)]
pub struct Responders {
    /// By kind of job, then by name; a name of `*` answers for all names of its kind.
    pub providers: HashMap<String, HashMap<String, Arc<dyn Provider>>>,
    /// By kind of integration.
    pub sinks: HashMap<String, Arc<dyn Sink>>,
}

/// What the executor is told.
pub(super) enum Notice {
    /// A job row has come.
    Came(LaneKey),
    /// A job row has gone: its reply is committed.
    Gone(LaneKey, JobId),
    /// All replies that a partition had at the start are applied.
    CaughtUp(Partition),
    /// An attempt has ended.
    Ended(LaneKey, Box<PendingJob>, i32, Outcome),
    /// Start nothing more.
    Stop,
}

/// What the executor needs of the process.
pub(super) struct ExecutorParts {
    /// Partitions whose replies of before the start are not all applied: a job that looks pending there may have
    /// its answer in the log, or note of an attempt that must not be repeated.
    pub(super) behind: BTreeSet<Partition>,
    pub(super) partitions: BTreeMap<Partition, Arc<dyn PartitionState>>,
    pub(super) log: Arc<dyn Log>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) settings: Arc<dyn Fn() -> Arc<Settings> + Send + Sync>,
    pub(super) responders: Responders,
    pub(super) runtime: tokio::runtime::Handle,
}

/// The executor's thread and what it knows.
pub(super) struct Executor {
    parts: ExecutorParts,
    notices: Receiver<Notice>,
    sender: Sender<Notice>,
    lanes: HashMap<LaneKey, Lane>,
    /// Lanes that may have something to start, in turn.
    rota: VecDeque<LaneKey>,
    retries: BinaryHeap<Retry>,
    /// Running jobs per kind and target, over all tenants.
    running_by_target: HashMap<String, usize>,
    running: usize,
    started: bool,
    stopping: bool,
}

/// A job that waits for its next attempt; the heap's top is the one due first.
struct Retry {
    at_boot_ms: u64,
    lane: LaneKey,
    job: Box<PendingJob>,
    attempt: i32,
}

impl PartialEq for Retry {
    fn eq(&self, other: &Self) -> bool {
        self.at_boot_ms == other.at_boot_ms
    }
}
impl Eq for Retry {}
impl PartialOrd for Retry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Retry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.at_boot_ms.cmp(&self.at_boot_ms)
    }
}

impl Executor {
    pub(super) fn new(parts: ExecutorParts) -> (Self, Sender<Notice>) {
        let (sender, notices) = channel();
        let executor = Self {
            parts,
            notices,
            sender: sender.clone(),
            lanes: HashMap::new(),
            rota: VecDeque::new(),
            retries: BinaryHeap::new(),
            running_by_target: HashMap::new(),
            running: 0,
            started: false,
            stopping: false,
        };
        (executor, sender)
    }

    /// Runs until told to stop; running calls are left to the runtime, their replies come again after a restart.
    pub(super) fn run(mut self) {
        while !self.stopping {
            self.turn();
            match self.notices.recv_timeout(self.wait()) {
                Ok(notice) => self.take(notice),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Takes in what it was told and starts what may start. Answers whether it was told anything or has started
    /// something.
    pub(super) fn turn(&mut self) -> bool {
        if !self.started {
            self.started = true;
            self.find_lanes();
        }
        let mut told = false;
        while let Ok(notice) = self.notices.try_recv() {
            self.take(notice);
            told = true;
        }
        if self.stopping {
            return told;
        }
        let running = self.running;
        self.start_retries();
        self.start_jobs();
        metrics::gauge!("leadline_jobs_running").set(self.running as f64);
        told || self.running != running
    }

    /// The lanes that the store has jobs of from before the start.
    fn find_lanes(&mut self) {
        if sabotage::on(Bug::PendingJobsForgotten) {
            return;
        }
        for (partition, store) in self.parts.partitions.clone() {
            let mut from = vec![keys::READY];
            let end = keys::behind(&from);
            loop {
                let mut found = None;
                let scanned = store.scan(&from, Some(&end), &mut |key, _| {
                    found =
                        keys::parse_ready(key).map(|ready| (ready.tenant.to_owned(), ready.lane.to_owned()));
                    std::ops::ControlFlow::Break(())
                });
                if let Err(error) = scanned {
                    tracing::error!(partition = partition.0, %error, "pending jobs could not be listed");
                }
                let Some((tenant, lane)) = found else { break };
                from = keys::behind(&keys::ready_prefix(&tenant, &lane));
                self.wake_lane(LaneKey { partition, tenant, lane });
            }
        }
    }

    fn take(&mut self, notice: Notice) {
        match notice {
            Notice::Came(key) => self.wake_lane(key),
            Notice::CaughtUp(partition) => {
                self.parts.behind.remove(&partition);
            }
            Notice::Gone(key, job_id) => {
                if let Some(lane) = self.lanes.get_mut(&key) {
                    lane.forget(job_id);
                    if lane.is_idle() {
                        self.lanes.remove(&key);
                    }
                }
            }
            Notice::Ended(key, job, attempt, outcome) => self.ended(key, job, attempt, outcome),
            Notice::Stop => self.stopping = true,
        }
    }

    fn wake_lane(&mut self, key: LaneKey) {
        let lane = self.lanes.entry(key.clone()).or_default();
        lane.more = true;
        if !lane.in_turn {
            lane.in_turn = true;
            self.rota.push_back(key);
        }
    }

    /// Starts what may start: one job of each lane in turn.
    fn start_jobs(&mut self) {
        let mut skipped = 0;
        while self.running < JOBS_RUNNING_MAX && skipped < self.rota.len() {
            let Some(key) = self.rota.pop_front() else { return };
            let target_running = self.running_by_target.get(&key.target()).copied().unwrap_or(0);
            let now = (self.parts.clock.wall(), self.parts.clock.boot_ms());
            let store = self.parts.partitions.get(&key.partition).cloned();
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            let next = match store {
                Some(_) if self.parts.behind.contains(&key.partition) => None,
                Some(store) if target_running < TARGET_JOBS_RUNNING_MAX => lane.next(&key, &*store, now),
                _ => None,
            };
            if let Some(job) = next {
                self.rota.push_back(key.clone());
                self.start(key, Box::new(job), 1);
                skipped = 0;
            } else if lane.may_have_more() {
                self.rota.push_back(key);
                skipped += 1;
            } else {
                lane.in_turn = false;
            }
        }
    }

    fn start(&mut self, key: LaneKey, job: Box<PendingJob>, attempt: i32) {
        self.running += 1;
        *self.running_by_target.entry(key.target()).or_default() += 1;
        let attempt_parts = Attempt {
            partition: key.partition,
            responders: self.parts.responders.clone(),
            settings: (self.parts.settings)(),
            log: Arc::clone(&self.parts.log),
            clock: Arc::clone(&self.parts.clock),
        };
        let sender = self.sender.clone();
        self.parts.runtime.spawn(async move {
            let outcome = attempt_parts.run(&job, attempt).await;
            // The executor may be gone at shutdown: the job is started again after it.
            let _ = sender.send(Notice::Ended(key, job, attempt, outcome));
        });
    }

    fn ended(&mut self, key: LaneKey, job: Box<PendingJob>, attempt: i32, outcome: Outcome) {
        self.running = self.running.saturating_sub(1);
        if let Some(running) = self.running_by_target.get_mut(&key.target()) {
            *running = running.saturating_sub(1);
        }
        let boot_ms = self.parts.clock.boot_ms();
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        match outcome {
            Outcome::Replied { reached } => {
                lane.running = lane.running.saturating_sub(1);
                lane.circuit.note(reached, boot_ms);
            }
            Outcome::Abandoned => lane.running = lane.running.saturating_sub(1),
            Outcome::Retry { after } => {
                lane.circuit.note(false, boot_ms);
                let pause = after
                    .map_or_else(|| lane::backoff(job.job_id, attempt), |after| after.min(JOB_BACKOFF_MAX));
                self.retries.push(Retry {
                    at_boot_ms: boot_ms + u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                    lane: key.clone(),
                    job,
                    attempt: attempt + 1,
                });
            }
        }
        self.wake_lane(key);
    }

    fn start_retries(&mut self) {
        let boot_ms = self.parts.clock.boot_ms();
        while self.running < JOBS_RUNNING_MAX
            && self.retries.peek().is_some_and(|retry| retry.at_boot_ms <= boot_ms)
        {
            let Some(retry) = self.retries.pop() else { return };
            self.start(retry.lane, retry.job, retry.attempt);
        }
    }

    /// Until the next retry or delayed job is due.
    fn wait(&self) -> Duration {
        let boot_ms = self.parts.clock.boot_ms();
        let retry_ms = self.retries.peek().map(|retry| retry.at_boot_ms.saturating_sub(boot_ms));
        let look_ms = if self.rota.is_empty() { 1_000 } else { 100 };
        Duration::from_millis(retry_ms.map_or(look_ms, |retry_ms| retry_ms.min(look_ms)))
    }
}
