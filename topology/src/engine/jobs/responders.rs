//! Who answers jobs.

use std::collections::HashMap;
use std::sync::Arc;

use leadline_connectors::contract::provider::Provider;
use leadline_connectors::contract::sink::Sink;

/// Who answers jobs.
#[derive(Clone, Default)]
pub struct Responders {
    /// By kind of job, then by name; a name of `*` answers for all names of its kind.
    pub providers: HashMap<String, HashMap<String, Arc<dyn Provider>>>,
    /// By kind of integration.
    pub sinks: HashMap<String, Arc<dyn Sink>>,
}

impl Responders {
    /// Who answers jobs of this kind and target.
    pub(super) fn provider(&self, kind: &str, target: &str) -> Option<&Arc<dyn Provider>> {
        let of_kind = self.providers.get(kind)?;
        of_kind.get(target).or_else(|| of_kind.get("*"))
    }
}
