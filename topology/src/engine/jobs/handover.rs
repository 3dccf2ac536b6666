//! What runs here, for whoever takes over; and what runs elsewhere, not to be started meanwhile.

use std::collections::HashMap;
use std::sync::mpsc::Sender;
use std::time::Duration;

use leadline_schemas::reply::PendingJob;
use leadline_schemas::sabotage::{self, Bug};
use leadline_schemas::{JobId, Partition};

use super::super::handover::RunningJob;
use super::super::limits::{HANDED_CALLS_MAX, REPLY_MARGIN_MS};
use super::retry::Retry;
use super::{Executor, LaneKey};

/// A call that runs.
pub(super) struct Running {
    pub(super) partition: Partition,
    pub(super) job_id: JobId,
    pub(super) is_delivery: bool,
    pub(super) since_boot_ms: u64,
    /// What its provider takes at most: of recognition that is billed by the start, minutes.
    pub(super) timeout: Duration,
}

impl Running {
    /// For how long it may still run. A delivery may wait for its lease first, and only until its partition has left; no
    /// call outlives the process that has handed over.
    fn left_ms(&self, boot_ms: u64) -> u64 {
        let begins = if self.is_delivery { boot_ms } else { self.since_boot_ms };
        let left_ms = begins.saturating_add(millis(self.timeout)).saturating_sub(boot_ms);
        left_ms.min(millis(HANDED_CALLS_MAX)).saturating_add(REPLY_MARGIN_MS)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What is known of calls in both directions.
#[derive(Default)]
pub(super) struct Handover {
    /// Calls that run here, by their numbers.
    pub(super) running: HashMap<u64, Running>,
    begun: u64,
    /// Jobs that another process runs: they wait among the retries until then.
    held: HashMap<JobId, (Partition, u64)>,
    /// Nothing is started any more.
    pub(super) is_over: bool,
    /// Who waits until nothing runs.
    waiting: Option<Sender<()>>,
}

impl Handover {
    /// A call begins; answers its number.
    pub(super) fn begin(&mut self, running: Running) -> u64 {
        self.begun += 1;
        self.running.insert(self.begun, running);
        self.begun
    }

    /// A call has ended; answers when it began.
    pub(super) fn end(&mut self, number: u64) -> Option<u64> {
        let ended = self.running.remove(&number);
        self.tell_quiet();
        ended.map(|running| running.since_boot_ms)
    }

    /// All that run, with the time that each may still take.
    pub(super) fn name(&self, boot_ms: u64) -> Vec<RunningJob> {
        let of = |running: &Running| RunningJob {
            partition: running.partition,
            job_id: running.job_id,
            left_ms: running.left_ms(boot_ms),
        };
        self.running.values().map(of).collect()
    }

    /// Who is told, once, when nothing runs.
    pub(super) fn wait(&mut self, tell: Sender<()>) {
        self.waiting = Some(tell);
        self.tell_quiet();
    }

    fn tell_quiet(&mut self) {
        if self.running.is_empty()
            && let Some(tell) = self.waiting.take()
        {
            let _ = tell.send(()); // Who asked may have lost patience.
        }
    }

    /// Another process runs these jobs of a partition that has come.
    pub(super) fn hold(&mut self, partition: Partition, jobs: Vec<(JobId, u64)>) {
        self.held.extend(jobs.into_iter().map(|(job_id, until)| (job_id, (partition, until))));
    }

    /// Whether another process may still run one of them; it may be a delivery.
    pub(super) fn holds(&self, partition: Partition, boot_ms: u64) -> bool {
        self.held.values().any(|(of, until)| *of == partition && *until > boot_ms)
    }

    /// A partition has left.
    pub(super) fn forget(&mut self, partition: Partition) {
        self.held.retain(|_, (of, _)| *of != partition);
    }

    /// From now on it is like any other; answers whether another process had it.
    pub(super) fn free(&mut self, job_id: JobId) -> bool {
        self.held.remove(&job_id).is_some()
    }
}

impl Executor {
    /// Starts a job, or lets it wait while another process runs it. It takes a place in its lane all the same: its
    /// target is called.
    pub(super) fn start_or_hold(&mut self, lane: LaneKey, job: Box<PendingJob>, boot_ms: u64) {
        match self.handover.held.get(&job.job_id) {
            Some((_, at)) if *at > boot_ms && !sabotage::on(Bug::NamedJobsStarted) => {
                self.retries.push(Retry { at_boot_ms: *at, lane, job, attempt: 1 });
            }
            _ => self.start(lane, job, 1),
        }
    }

    /// Whether no call runs.
    #[cfg(feature = "simulation")]
    pub(in super::super) fn is_quiet(&self) -> bool {
        self.handover.running.is_empty()
    }

    /// A job that waited for another process has its answer: its place is free.
    pub(super) fn answered_elsewhere(&mut self, key: &LaneKey, job_id: JobId) {
        if !self.handover.free(job_id) {
            return;
        }
        let waiting = self.retries.len();
        self.retries.retain(|retry| retry.job.job_id != job_id);
        if self.retries.len() < waiting
            && let Some(lane) = self.lanes.get_mut(key)
        {
            lane.running = lane.running.saturating_sub(1);
        }
    }
}
