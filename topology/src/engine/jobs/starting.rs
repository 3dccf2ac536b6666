//! Starting what may start: jobs of lanes in turn, and jobs again.

use std::sync::Arc;

use leadline_schemas::reply::PendingJob;

use super::super::limits::*;
use super::Executor;
use super::attempt::Attempt;
use super::handover::Running;
use super::lane::LaneKey;
use super::notice::{Ended, Notice};
use super::retry::Retry;

impl Executor {
    /// Starts what may start: one job of each lane in turn.
    pub(super) fn start_jobs(&mut self) {
        let mut skipped = 0;
        // Providers that take nothing now: thousands of tenants may wait for one, and are not looked at one by one.
        let mut closed: Vec<String> = Vec::new();
        while self.running < JOBS_RUNNING_MAX && skipped < self.rota.len() {
            let Some(key) = self.rota.pop_front() else { return };
            if closed.contains(&key.lane) {
                self.rota.push_back(key);
                skipped += 1;
                continue;
            }
            let now = (self.parts.clock.wall(), self.parts.clock.boot_ms());
            let lets_start =
                self.guests.get(&key.partition).is_some_and(|guest| guest.lets_start(&key, now.1));
            let store = if lets_start { self.rows_of(key.partition) } else { None };
            let share = self.parts.responders.share.get();
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            let next = store.and_then(|store| {
                let targets = &mut self.targets;
                let tenant_max = targets.of(&key, &self.parts.responders, now.1).tenant_max();
                if !lane.has_next(&key, &*store, tenant_max, now.0) {
                    return None;
                }
                if !targets.let_start(&key, &self.parts.responders, share, now.1) {
                    // A delivery's is its tenant's own.
                    closed.extend((!key.is_delivery()).then(|| key.lane.clone()));
                    return None;
                }
                lane.circuit.lets_pass(now.1).then(|| lane.take(&key, &*store)).flatten()
            });
            if let Some(job) = next {
                self.rota.push_back(key.clone());
                self.start_or_hold(key, Box::new(job), now.1);
                skipped = 0;
            } else if lane.may_have_more() {
                self.rota.push_back(key);
                skipped += 1;
            } else {
                lane.in_turn = false;
            }
        }
    }

    pub(super) fn start(&mut self, key: LaneKey, job: Box<PendingJob>, attempt: i32) {
        let Some(stay) = self.guests.get(&key.partition).map(|guest| guest.stay) else { return };
        if key.is_delivery() {
            *self.delivering.entry(key.partition).or_default() += 1;
        }
        self.running += 1;
        let boot_ms = self.parts.clock.boot_ms();
        self.targets.start(&key, &self.parts.responders, boot_ms);
        let number = self.handover.begin(Running {
            partition: key.partition,
            job_id: job.job_id,
            is_delivery: key.is_delivery(),
            since_boot_ms: boot_ms,
            timeout: self.parts.responders.attempt_timeout(&key),
        });
        let attempt_parts = Attempt {
            partition: key.partition,
            stay,
            ownership: Arc::clone(&self.parts.ownership),
            responders: self.parts.responders.clone(),
            settings: (self.parts.settings)(),
            log: Arc::clone(&self.parts.log),
            clock: Arc::clone(&self.parts.clock),
        };
        let sender = self.sender.clone();
        self.parts.runtime.spawn(async move {
            let outcome = attempt_parts.run(&job, attempt).await;
            // The executor may be gone at shutdown: the job is started again after it.
            let _ = sender.send(Notice::Ended(Ended { lane: key, job, attempt, stay, number, outcome }));
        });
    }

    /// Starts retries that are due, and jobs that waited for another process.
    pub(super) fn start_retries(&mut self) {
        let boot_ms = self.parts.clock.boot_ms();
        while self.running < JOBS_RUNNING_MAX
            && self.retries.peek().is_some_and(|retry| retry.at_boot_ms <= boot_ms)
        {
            let Some(retry) = self.retries.pop() else { return };
            let (lane, share) = (&retry.lane, self.parts.responders.share.get());
            // A lane that failed holds its slot; a target for all may have been closed meanwhile, or be full.
            let is_shared = self.targets.of(lane, &self.parts.responders, boot_ms).is_shared();
            if is_shared && !self.targets.let_start(lane, &self.parts.responders, share, boot_ms) {
                self.retries.push(Retry { at_boot_ms: boot_ms + RETRY_LOOK_MS, ..retry });
                continue;
            }
            self.handover.free(retry.job.job_id);
            self.start(retry.lane, retry.job, retry.attempt);
        }
    }
}
