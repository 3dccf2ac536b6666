//! The job executor: takes pending jobs from the state store, fairly by tenant, and appends their results.
//!
//! A backlog lies on disk as rows; in memory are the keys of at most 64 jobs per lane (a tenant's jobs of one kind and
//! target), and what running ones ask. Nothing of the engine waits for it: a call that hangs holds its own lane only.

mod attempt;
mod draining;
mod handover;
mod lane;
mod notice;
mod responders;
mod retry;
mod spacing;
mod starting;
mod target;
mod targets;

use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::Log;
use leadline_connectors::contract::state::PartitionState;
use leadline_schemas::Partition;
use leadline_schemas::sabotage::{self, Bug};
use leadline_schemas::settings::Settings;

use self::attempt::Outcome;
use self::handover::Handover;
use self::lane::Lane;
pub(super) use self::lane::{LaneKey, job_id_of};
use self::notice::Ended;
pub(super) use self::notice::Notice;
pub use self::responders::Responders;
use self::retry::Retry;
use self::targets::Targets;
use super::keys;
use super::limits::*;
use super::ownership::Ownership;
use super::rows::Stay;

/// What the executor needs of the process.
pub(super) struct ExecutorParts {
    pub(super) ownership: Arc<Ownership>,
    pub(super) log: Arc<dyn Log>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) settings: Arc<dyn Fn() -> Arc<Settings> + Send + Sync>,
    pub(super) responders: Responders,
    pub(super) runtime: tokio::runtime::Handle,
}

/// What the executor knows of a partition that is here.
struct Guest {
    stay: Stay,
    is_behind: bool,
    is_leaving: bool,
    /// Since when its layout ends.
    draining_boot_ms: Option<u64>,
    deliveries_from_boot_ms: u64,
}

impl Guest {
    /// Whether a job of a lane may start.
    fn lets_start(&self, lane: &LaneKey, boot_ms: u64) -> bool {
        let may_deliver = !self.is_leaving && self.deliveries_from_boot_ms <= boot_ms;
        !self.is_behind && self.draining_boot_ms.is_none() && (!lane.is_delivery() || may_deliver)
    }
}

/// The executor's thread and what it knows.
pub(super) struct Executor {
    parts: ExecutorParts,
    notices: Receiver<Notice>,
    sender: Sender<Notice>,
    guests: BTreeMap<Partition, Guest>,
    /// Deliveries that run, also of earlier stays of their partitions.
    delivering: BTreeMap<Partition, usize>,
    lanes: HashMap<LaneKey, Lane>,
    /// Lanes that may have something to start, in turn.
    rota: VecDeque<LaneKey>,
    retries: BinaryHeap<Retry>,
    targets: Targets,
    running: usize,
    handover: Handover,
    stopping: bool,
}

impl Executor {
    pub(super) fn new(parts: ExecutorParts, sender: Sender<Notice>, notices: Receiver<Notice>) -> Self {
        Self {
            parts,
            notices,
            sender,
            guests: BTreeMap::new(),
            delivering: BTreeMap::new(),
            lanes: HashMap::new(),
            rota: VecDeque::new(),
            retries: BinaryHeap::new(),
            targets: Targets::default(),
            running: 0,
            handover: Handover::default(),
            stopping: false,
        }
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
        let mut told = false;
        while let Ok(notice) = self.notices.try_recv() {
            self.take(notice);
            told = true;
        }
        if self.stopping || self.handover.is_over {
            return told;
        }
        let running = self.running;
        self.look_at_draining();
        self.start_retries();
        self.start_jobs();
        metrics::gauge!("leadline_jobs_running").set(self.running as f64);
        told || self.running != running
    }

    /// The lanes that a partition that has come has jobs of.
    fn find_lanes(&mut self, partition: Partition) {
        let Some(store) = self.rows_of(partition) else { return };
        if sabotage::on(Bug::PendingJobsForgotten) {
            return;
        }
        let mut from = vec![keys::READY];
        let end = keys::behind(&from);
        loop {
            let mut found = None;
            let scanned = store.scan(&from, Some(&end), &mut |key, _| {
                found = keys::parse_ready(key).map(|ready| (ready.tenant.to_owned(), ready.lane.to_owned()));
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

    fn rows_of(&self, partition: Partition) -> Option<Arc<dyn PartitionState>> {
        let guest = self.guests.get(&partition)?;
        self.parts.ownership.rows.of_stay(partition, guest.stay)
    }

    /// No delivery of it starts any more; when the last one has ended, its worker is told.
    fn hush(&mut self, partition: Partition) {
        let Some(guest) = self.guests.get_mut(&partition) else { return };
        guest.is_leaving = true;
        self.retries.retain(|retry| retry.lane.partition != partition || !retry.lane.is_delivery());
        self.tell_quiet(partition);
    }

    /// Tells the worker of a leaving partition when none of its deliveries runs any more.
    fn tell_quiet(&self, partition: Partition) {
        let is_leaving = self.guests.get(&partition).is_some_and(|guest| guest.is_leaving);
        if is_leaving && !self.delivering.contains_key(&partition) {
            self.parts.ownership.is_quiet(partition);
        }
    }

    /// Its waiting jobs are its next owner's; what runs ends, and its replies are as good as any.
    fn forget(&mut self, partition: Partition) {
        self.guests.remove(&partition);
        self.set_share();
        self.handover.forget(partition);
        self.lanes.retain(|key, _| key.partition != partition);
        self.rota.retain(|key| key.partition != partition);
        self.retries.retain(|retry| retry.lane.partition != partition);
    }

    fn take(&mut self, notice: Notice) {
        match notice {
            Notice::Came { partition, stay, is_behind, deliveries_from_boot_ms, held } => {
                self.handover.hold(partition, held);
                let (is_leaving, draining_boot_ms) = (false, None);
                let guest = Guest { stay, is_behind, is_leaving, draining_boot_ms, deliveries_from_boot_ms };
                self.guests.insert(partition, guest);
                self.set_share();
                self.find_lanes(partition);
            }
            Notice::CaughtUp(partition) => {
                if let Some(guest) = self.guests.get_mut(&partition) {
                    guest.is_behind = false;
                }
            }
            Notice::Leaving(partition) => self.hush(partition),
            Notice::Draining(partition) => self.drain(partition),
            Notice::Left(partition) => self.forget(partition),
            Notice::JobCame(key) => self.wake_lane(key),
            Notice::JobGone(key, job_id) => {
                self.answered_elsewhere(&key, job_id);
                if let Some(lane) = self.lanes.get_mut(&key) {
                    lane.forget(job_id);
                    if lane.is_idle() {
                        self.lanes.remove(&key);
                    }
                }
            }
            Notice::Ended(ended) => self.ended(ended),
            Notice::Name { last, tell } => {
                self.handover.is_over |= last;
                // Who asked may have lost patience.
                let _ = tell.send(self.handover.name(self.parts.clock.boot_ms()));
            }
            Notice::TellQuiet(tell) => self.handover.wait(tell),
            Notice::Stop => self.stopping = true,
        }
    }

    fn wake_lane(&mut self, key: LaneKey) {
        if !self.guests.contains_key(&key.partition) {
            return;
        }
        let lane = self.lanes.entry(key.clone()).or_default();
        lane.more = true;
        if !lane.in_turn {
            lane.in_turn = true;
            self.rota.push_back(key);
        }
    }

    fn ended(&mut self, ended: Ended) {
        let Ended { lane: key, job, attempt, stay, number, outcome } = ended;
        self.running = self.running.saturating_sub(1);
        let boot_ms = self.parts.clock.boot_ms();
        if key.is_delivery() {
            self.delivered(key.partition);
        }
        let began = self.handover.end(number);
        let took_ms = boot_ms.saturating_sub(began.unwrap_or(boot_ms));
        let is_shared = self.targets.end(&key, &outcome, took_ms, boot_ms);
        let Some(guest) = self.guests.get(&key.partition).filter(|guest| guest.stay == stay) else { return };
        let lets_go = guest.draining_boot_ms.is_some() || (guest.is_leaving && key.is_delivery());
        if lets_go && matches!(outcome, Outcome::Retry { .. }) {
            return; // The next owner tries again.
        }
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        match outcome {
            Outcome::Replied { reached } => {
                lane.running = lane.running.saturating_sub(1);
                if !is_shared {
                    lane.circuit.note(reached, boot_ms);
                }
            }
            Outcome::Abandoned => lane.running = lane.running.saturating_sub(1),
            Outcome::Retry { after } => {
                if !is_shared {
                    lane.circuit.note(false, boot_ms);
                }
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

    /// A delivery of a partition has ended.
    fn delivered(&mut self, partition: Partition) {
        if let Some(running) = self.delivering.get_mut(&partition) {
            *running -= 1;
            if *running == 0 {
                self.delivering.remove(&partition);
                self.tell_quiet(partition);
            }
        }
    }

    /// Partitions have come or gone. This process's part of all of them is its part of what processes share.
    fn set_share(&self) {
        let all = f64::from(self.parts.log.partitions().max(1));
        self.parts.responders.share.set(self.guests.len() as f64 / all);
    }

    /// Until the next retry or delayed job is due.
    fn wait(&self) -> Duration {
        let boot_ms = self.parts.clock.boot_ms();
        let retry_ms = self.retries.peek().map(|retry| retry.at_boot_ms.saturating_sub(boot_ms));
        let is_draining = self.guests.values().any(|guest| guest.draining_boot_ms.is_some());
        let look_ms = if self.rota.is_empty() && !is_draining { 1_000 } else { 100 };
        Duration::from_millis(retry_ms.map_or(look_ms, |retry_ms| retry_ms.min(look_ms)))
    }
}
