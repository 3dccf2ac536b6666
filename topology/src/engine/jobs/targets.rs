//! All targets that are called.

use std::collections::HashMap;

use super::super::limits::*;
use super::attempt::Outcome;
use super::target::Target;
use super::{LaneKey, Responders};

/// What is known of each target.
#[derive(Default)]
pub(super) struct Targets {
    by_name: HashMap<String, Target>,
    /// Calls that run of those that tenants share.
    shared_running: usize,
}

impl Targets {
    /// What a lane's jobs call.
    pub(super) fn of(&mut self, lane: &LaneKey, responders: &Responders, boot_ms: u64) -> &mut Target {
        self.by_name.entry(lane.target()).or_insert_with(|| {
            let provider = if lane.is_delivery() { None } else { lane.kind_and_name() };
            let provider = provider.and_then(|(kind, name)| responders.provider(kind, name));
            Target::new(provider.and_then(|provider| provider.limits()), boot_ms)
        })
    }

    /// Whether a call of this lane may start now. A probe of a target that had failed is taken with it.
    pub(super) fn let_start(
        &mut self,
        lane: &LaneKey,
        responders: &Responders,
        share: f64,
        boot_ms: u64,
    ) -> bool {
        let is_full = self.shared_running >= SHARED_JOBS_RUNNING_MAX;
        let target = self.of(lane, responders, boot_ms);
        !(is_full && target.is_shared()) && target.is_smooth(boot_ms) && target.lets_start(share, boot_ms)
    }

    /// A call of this lane starts.
    pub(super) fn start(&mut self, lane: &LaneKey, responders: &Responders, boot_ms: u64) {
        let target = self.of(lane, responders, boot_ms);
        target.start(boot_ms);
        if target.is_shared() {
            self.shared_running += 1;
        }
    }

    /// A call of this lane has ended, after so long; answers whether its target is shared by tenants.
    pub(super) fn end(&mut self, lane: &LaneKey, outcome: &Outcome, took_ms: u64, boot_ms: u64) -> bool {
        let name = lane.target();
        let Some(target) = self.by_name.get_mut(&name) else { return false };
        target.end(outcome, took_ms, boot_ms);
        let is_shared = target.is_shared();
        if is_shared {
            self.shared_running = self.shared_running.saturating_sub(1);
            metrics::gauge!("leadline_target_calls_max", "target" => name).set(target.window() as f64);
        } else if target.is_idle() {
            self.by_name.remove(&name);
        }
        is_shared
    }
}
