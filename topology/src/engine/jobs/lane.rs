//! A lane: the jobs of one tenant for one kind and target.

use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;
use std::time::Duration;

use leadline_connectors::contract::state::PartitionState;
use leadline_schemas::reply::PendingJob;
use leadline_schemas::{JobId, Millis, Partition};

use super::super::effects::decode_job;
use super::super::keys;
use super::super::limits::*;

/// What a lane is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in super::super) struct LaneKey {
    pub(in super::super) partition: Partition,
    pub(in super::super) tenant: String,
    pub(in super::super) lane: String,
}

impl LaneKey {
    /// Whether its jobs are deliveries: of one key one at a time, whoever owns the partition.
    pub(super) fn is_delivery(&self) -> bool {
        self.lane.starts_with("deliver:")
    }

    /// The kind of its jobs and who answers them.
    pub(super) fn kind_and_name(&self) -> Option<(&str, &str)> {
        self.lane.split_once(':')
    }

    /// What is called: a provider is shared by all tenants, an integration is the tenant's own.
    pub(super) fn target(&self) -> String {
        if self.is_delivery() { format!("{}/{}", self.tenant, self.lane) } else { self.lane.clone() }
    }
}

/// A job that waits for its turn: where its row is. What it asks may be large, and stays on disk until it is asked.
#[derive(Debug)]
struct Waiting {
    job_id: JobId,
    row_key: Box<[u8]>,
}

/// A lane's part in memory.
#[derive(Debug, Default)]
pub(super) struct Lane {
    queue: VecDeque<Waiting>,
    /// Queued, running, waiting for a retry, or answered and not committed yet: not to be started again.
    known: HashSet<JobId>,
    pub(super) running: usize,
    /// The store may have jobs that are not known.
    pub(super) more: bool,
    pub(super) in_turn: bool,
    delayed_until: Option<Millis>,
    pub(super) circuit: Circuit,
}

impl Lane {
    /// Whether there is a job that could start now, where so many of the lane may run at once.
    pub(super) fn has_next(
        &mut self,
        key: &LaneKey,
        store: &dyn PartitionState,
        running_max: usize,
        now: Millis,
    ) -> bool {
        if self.running >= self.circuit.running_max(running_max, key.is_delivery()) {
            return false;
        }
        if self.queue.is_empty() && (self.more || self.delayed_until.is_some_and(|at| at <= now)) {
            self.refill(key, store, now);
        }
        !self.queue.is_empty()
    }

    /// The next job, which starts now; none when all that were known have been answered since.
    pub(super) fn take(&mut self, key: &LaneKey, store: &dyn PartitionState) -> Option<PendingJob> {
        while let Some(Waiting { job_id, row_key }) = self.queue.pop_front() {
            match store.get(&row_key).map(|stored| stored.map(|stored| decode_job(&stored))) {
                Ok(Some(Ok(job))) => {
                    self.running += 1;
                    return Some(job);
                }
                Ok(None) => {
                    self.known.remove(&job_id);
                }
                // It stays known: reading it again and again would bring nothing else.
                Ok(Some(Err(error))) => {
                    tracing::error!(lane = key.lane, job = %job_id, %error, "a pending job cannot be read");
                }
                Err(error) => {
                    self.known.remove(&job_id);
                    tracing::error!(lane = key.lane, job = %job_id, %error, "a pending job could not be read");
                }
            }
        }
        None
    }

    /// Takes jobs from the store that are due and not known.
    fn refill(&mut self, key: &LaneKey, store: &dyn PartitionState, now: Millis) {
        let prefix = keys::ready_prefix(&key.tenant, &key.lane);
        let (mut found, mut delayed) = (Vec::new(), None);
        let scanned = store.scan(&prefix, Some(&keys::behind(&prefix)), &mut |entry, _| {
            let Some(ready) = keys::parse_ready(entry) else { return ControlFlow::Continue(()) };
            if ready.not_before_ms > now.0 {
                delayed = Some(Millis(ready.not_before_ms));
                return ControlFlow::Break(());
            }
            if let Some(job_id) = job_id_of(ready.row_key).filter(|job_id| !self.known.contains(job_id)) {
                found.push(Waiting { job_id, row_key: ready.row_key.into() });
            }
            if found.len() < TENANT_JOBS_IN_MEMORY_MAX {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        if let Err(error) = scanned {
            tracing::error!(tenant = key.tenant, lane = key.lane, %error, "pending jobs could not be read");
        }
        self.more = found.len() >= TENANT_JOBS_IN_MEMORY_MAX;
        self.delayed_until = delayed;
        self.known.extend(found.iter().map(|waiting| waiting.job_id));
        self.queue.extend(found);
    }

    /// The job's reply is committed.
    pub(super) fn forget(&mut self, job_id: JobId) {
        self.known.remove(&job_id);
        self.queue.retain(|waiting| waiting.job_id != job_id);
    }

    pub(super) fn may_have_more(&self) -> bool {
        self.more || !self.queue.is_empty() || self.delayed_until.is_some()
    }

    pub(super) fn is_idle(&self) -> bool {
        !self.in_turn && !self.may_have_more() && self.known.is_empty() && self.running == 0
    }
}

/// The job id at the end of a job's row key.
pub(in super::super) fn job_id_of(row_key: &[u8]) -> Option<JobId> {
    let bytes = keys::parse_row(row_key)?.key.try_into().ok()?;
    Some(JobId(uuid::Uuid::from_bytes(bytes)))
}

/// Stops calling a target that fails again and again; after a pause one probe decides.
#[derive(Debug, Default)]
pub(super) struct Circuit {
    failures: u32,
    open_until_boot_ms: Option<u64>,
    /// The target has answered since the lane is here.
    has_answered: bool,
}

impl Circuit {
    /// How many calls of a lane may be under way that may have so many. One that fails has one, and so has an integration
    /// that has not answered yet: hundreds that hang leave room for the others, also before anybody knows that they do.
    fn running_max(&self, most: usize, is_delivery: bool) -> usize {
        let is_proven = self.has_answered || !is_delivery;
        if self.failures > 0 || !is_proven { 1 } else { most }
    }

    pub(super) fn lets_pass(&mut self, boot_ms: u64) -> bool {
        match self.open_until_boot_ms {
            Some(until) if boot_ms < until => false,
            Some(_) => {
                // Half open: this one probes, the next waits for what it finds.
                self.open_until_boot_ms = Some(boot_ms + CIRCUIT_OPEN_MS);
                true
            }
            None => true,
        }
    }

    pub(super) fn note(&mut self, reached: bool, boot_ms: u64) {
        self.note_of(reached, CIRCUIT_FAILURES_MAX, boot_ms);
    }

    /// The same where it takes more failures in a row.
    pub(super) fn note_of(&mut self, reached: bool, failures_max: u32, boot_ms: u64) {
        if reached {
            *self = Self { has_answered: true, ..Self::default() };
            return;
        }
        self.failures += 1;
        if self.failures >= failures_max {
            self.open_until_boot_ms = Some(boot_ms + CIRCUIT_OPEN_MS);
        }
    }
}

/// The pause before the next attempt: doubling, with jitter of up to a half. The jitter comes from the job's id, so
/// that jobs of one burst spread out and a run can be repeated.
pub(super) fn backoff(job_id: JobId, attempt: i32) -> Duration {
    let doublings = u32::try_from(attempt.clamp(1, 16) - 1).unwrap_or(0);
    let full = JOB_BACKOFF_FIRST.saturating_mul(1 << doublings).min(JOB_BACKOFF_MAX);
    let spread = u32::from(job_id.as_bytes().get(doublings as usize % 16).copied().unwrap_or(0));
    full / 2 + full / 2 * spread / 255
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use leadline_connectors::contract::state::{Change, State as _};
    use leadline_connectors::state_memory::MemoryState;
    use leadline_schemas::partitioning::Key;
    use leadline_schemas::reply::JobRequest;
    use leadline_schemas::{CommitNumber, TenantId};

    use super::super::super::effects::job_value;
    use super::*;

    const LANE: &str = "score:slow";

    fn job(home: &Key, number: u8) -> PendingJob {
        PendingJob {
            job_id: JobId::of(&[&[number]]),
            tenant: home.tenant.clone(),
            key_group: home.key_group,
            bucket: home.bucket,
            operator: "score".to_owned(),
            request: JobRequest {
                kind: "score".to_owned(),
                target: "slow".to_owned(),
                payload: Bytes::from(vec![b'x'; 100_000]),
                not_before: Millis(0),
                revision: 1,
            },
            asked_at: Millis(0),
            event_time: Millis(0),
            started_attempt: 0,
        }
    }

    #[test]
    fn what_a_job_asks_is_read_when_it_starts_and_what_was_answered_meanwhile_is_left_out() {
        let store = MemoryState::new().open(Partition(0)).unwrap();
        let home = Key::new(TenantId::new("summit").unwrap(), "a caller", 1);
        let mut commits = 0;
        let mut apply = |changes: &[Change]| {
            commits += 1;
            store.apply(changes, CommitNumber(commits)).unwrap();
        };
        let row = |job: &PendingJob| Bytes::from(keys::job(&home, job.job_id));
        let put = |job: &PendingJob| Change { key: row(job), value: Some(job_value(job).unwrap().into()) };
        let ready =
            |job: &PendingJob, value| Change { key: keys::ready("summit", LANE, 0, &row(job)).into(), value };
        let jobs: Vec<PendingJob> = (0..3).map(|number| job(&home, number)).collect();
        for job in &jobs {
            apply(&[put(job), ready(job, Some(Bytes::new()))]);
        }
        let key = LaneKey { partition: Partition(0), tenant: "summit".to_owned(), lane: LANE.to_owned() };
        let mut lane = Lane { more: true, ..Lane::default() };
        assert!(lane.has_next(&key, &*store, 8, Millis(1)));
        let held: usize = lane.queue.iter().map(|waiting| waiting.row_key.len()).sum();
        assert!(lane.queue.len() == 3 && held < 300, "{held} bytes of three jobs of 100 KB");

        let started = PendingJob { started_attempt: 7, ..jobs[0].clone() };
        apply(&[put(&started), Change { key: row(&jobs[1]), value: None }, ready(&jobs[1], None)]);
        let mut taken: Vec<PendingJob> = std::iter::from_fn(|| lane.take(&key, &*store)).collect();
        taken.sort_by_key(|job| job.started_attempt);
        assert_eq!(taken, [jobs[2].clone(), started]);
        assert_eq!((lane.running, lane.known.len()), (2, 2));
        lane.more = true;
        assert!(!lane.has_next(&key, &*store, 8, Millis(1)), "what runs is not started again");
    }

    #[test]
    fn the_pause_doubles_and_is_bounded() {
        let job_id = JobId::of(&[b"a job"]);
        for attempt in 1..20 {
            let full = JOB_BACKOFF_FIRST.saturating_mul(1 << (attempt - 1).min(15)).min(JOB_BACKOFF_MAX);
            let pause = backoff(job_id, attempt);
            assert!(pause >= full / 2 && pause <= full, "attempt {attempt}: {pause:?} of {full:?}");
        }
    }

    #[test]
    fn an_integration_that_fails_or_has_not_answered_yet_has_one_call_under_way() {
        let mut circuit = Circuit::default();
        assert_eq!(circuit.running_max(8, true), 1, "nobody knows yet whether it answers");
        assert_eq!(circuit.running_max(8, false), 8, "a provider takes its time");
        circuit.note(true, 1_000);
        assert_eq!(circuit.running_max(8, true), 8);
        circuit.note(false, 1_000);
        assert_eq!((circuit.running_max(8, true), circuit.running_max(8, false)), (1, 1));
        circuit.note(true, 1_000);
        assert_eq!(circuit.running_max(8, true), 8);
    }

    #[test]
    fn a_circuit_opens_after_failures_and_lets_one_probe_pass() {
        let (mut circuit, start) = (Circuit::default(), 1_000);
        for _ in 0..CIRCUIT_FAILURES_MAX {
            assert!(circuit.lets_pass(start));
            circuit.note(false, start);
        }
        assert!(!circuit.lets_pass(start));
        let later = start + CIRCUIT_OPEN_MS;
        assert!(circuit.lets_pass(later), "one probe");
        assert!(!circuit.lets_pass(later), "not a second one");
        circuit.note(true, later);
        assert!(circuit.lets_pass(later));
    }
}
