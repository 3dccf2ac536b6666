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

/// A lane's part in memory.
#[derive(Debug, Default)]
pub(super) struct Lane {
    queue: VecDeque<PendingJob>,
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

    /// The next job, which starts now.
    pub(super) fn take(&mut self) -> Option<PendingJob> {
        let job = self.queue.pop_front()?;
        self.running += 1;
        Some(job)
    }

    /// Takes jobs from the store that are due and not known.
    fn refill(&mut self, key: &LaneKey, store: &dyn PartitionState, now: Millis) {
        let prefix = keys::ready_prefix(&key.tenant, &key.lane);
        let (mut row_keys, mut delayed) = (Vec::new(), None);
        let scanned = store.scan(&prefix, Some(&keys::behind(&prefix)), &mut |entry, _| {
            let Some(ready) = keys::parse_ready(entry) else { return ControlFlow::Continue(()) };
            if ready.not_before_ms > now.0 {
                delayed = Some(Millis(ready.not_before_ms));
                return ControlFlow::Break(());
            }
            if !job_id_of(ready.row_key).is_some_and(|id| self.known.contains(&id)) {
                row_keys.push(ready.row_key.to_vec());
            }
            if row_keys.len() < TENANT_JOBS_IN_MEMORY_MAX {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        if let Err(error) = scanned {
            tracing::error!(tenant = key.tenant, lane = key.lane, %error, "pending jobs could not be read");
        }
        self.more = row_keys.len() >= TENANT_JOBS_IN_MEMORY_MAX;
        self.delayed_until = delayed;
        for row_key in row_keys {
            match store.get(&row_key).map(|stored| stored.map(|stored| decode_job(&stored))) {
                Ok(Some(Ok(job))) => {
                    self.known.insert(job.job_id);
                    self.queue.push_back(job);
                }
                Ok(None) => {} // Answered since the scan.
                Ok(Some(Err(error))) => {
                    tracing::error!(lane = key.lane, %error, "a pending job cannot be read")
                }
                Err(error) => tracing::error!(lane = key.lane, %error, "a pending job could not be read"),
            }
        }
    }

    /// The job's reply is committed.
    pub(super) fn forget(&mut self, job_id: JobId) {
        self.known.remove(&job_id);
        self.queue.retain(|job| job.job_id != job_id);
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
    use super::*;

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
