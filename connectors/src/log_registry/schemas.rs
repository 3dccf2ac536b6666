//! Schemas: which id the registry gave to which schema.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use leadline_schemas::Topic;

/// Ids by fingerprint for what is written, fingerprints by id for what is read.
#[derive(Default)]
pub(super) struct Schemas {
    ids: HashMap<(Topic, u64), u32>,
    fingerprints: RwLock<HashMap<u32, u64>>,
}

impl Schemas {
    /// Of what was registered: topic, fingerprint and id of each.
    pub(super) fn new(registered: &[(Topic, u64, u32)]) -> Self {
        let ids = registered.iter().map(|(topic, fingerprint, id)| ((*topic, *fingerprint), *id));
        let fingerprints = registered.iter().map(|(_, fingerprint, id)| (*id, *fingerprint));
        Self { ids: ids.collect(), fingerprints: RwLock::new(fingerprints.collect()) }
    }

    /// The id under which values of a topic with this schema go out.
    pub(super) fn id(&self, topic: Topic, fingerprint: u64) -> Option<u32> {
        self.ids.get(&(topic, fingerprint)).copied()
    }

    /// The fingerprint of the schema with this id, if it is known yet.
    pub(super) fn fingerprint(&self, id: u32) -> Option<u64> {
        self.fingerprints.read().unwrap_or_else(PoisonError::into_inner).get(&id).copied()
    }

    pub(super) fn learn(&self, id: u32, fingerprint: u64) {
        self.fingerprints.write().unwrap_or_else(PoisonError::into_inner).insert(id, fingerprint);
    }
}
