//! Who answers jobs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use leadline_connectors::contract::provider::Provider;
use leadline_connectors::contract::share::Share;
use leadline_connectors::contract::sink::Sink;

use super::super::limits::JOB_ATTEMPT_TIMEOUT;
use super::LaneKey;

/// Who answers jobs.
#[derive(Clone, Default)]
pub struct Responders {
    /// By kind of job, then by name; a name of `*` answers for all names of its kind.
    pub providers: HashMap<String, HashMap<String, Arc<dyn Provider>>>,
    /// By kind of integration.
    pub sinks: HashMap<String, Arc<dyn Sink>>,
    /// This process's part of all partitions, for those of them who keep to what processes share.
    pub share: Arc<Share>,
}

impl Responders {
    /// Who answers jobs of this kind and target.
    pub(super) fn provider(&self, kind: &str, target: &str) -> Option<&Arc<dyn Provider>> {
        let of_kind = self.providers.get(kind)?;
        of_kind.get(target).or_else(|| of_kind.get("*"))
    }

    /// How long an attempt of a job of this lane may take.
    pub(super) fn attempt_timeout(&self, lane: &LaneKey) -> Duration {
        let provider = if lane.is_delivery() { None } else { lane.kind_and_name() };
        let provider = provider.and_then(|(kind, name)| self.provider(kind, name));
        provider.and_then(|provider| provider.attempt_timeout()).unwrap_or(JOB_ATTEMPT_TIMEOUT)
    }
}
