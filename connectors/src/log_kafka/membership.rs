//! Membership: which partitions this process may commit, and how it proves that.
//!
//! Written by the assignment's thread alone, read by the committers. A transaction carries the group's metadata of
//! the moment at which it began; a broker refuses offsets under any other than the group's present generation.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use leadline_schemas::Partition;
use rdkafka::consumer::ConsumerGroupMetadata;

use super::{lock, wait};

/// The shared copy.
#[derive(Default)]
pub(super) struct Membership {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    /// None while this process is in no generation.
    metadata: Option<Arc<ConsumerGroupMetadata>>,
    version: u64,
    /// None until somebody joins: then this process is alone in its group and owns everything.
    owned: Option<BTreeSet<Partition>>,
    /// Partitions whose producer was fenced though the group has not taken them away.
    fenced: BTreeSet<Partition>,
}

/// What a transaction needs.
pub(super) struct Ticket {
    pub(super) metadata: Arc<ConsumerGroupMetadata>,
    /// Which copy it is.
    pub(super) version: u64,
}

impl Membership {
    /// A generation of this process: from now on transactions carry it.
    pub(super) fn publish(&self, metadata: Option<ConsumerGroupMetadata>) {
        let mut inner = lock(&self.inner);
        inner.metadata = metadata.map(Arc::new);
        inner.version += 1;
        self.changed.notify_all();
    }

    /// From now on partitions are dealt out; none is owned yet.
    pub(super) fn join(&self) {
        let mut inner = lock(&self.inner);
        inner.owned = Some(BTreeSet::new());
        inner.metadata = None;
        inner.version += 1;
    }

    pub(super) fn add(&self, partitions: &[Partition]) {
        let mut inner = lock(&self.inner);
        for partition in partitions {
            inner.fenced.remove(partition);
            inner.owned.get_or_insert_default().insert(*partition);
        }
    }

    pub(super) fn remove(&self, partitions: &[Partition]) {
        let mut inner = lock(&self.inner);
        for partition in partitions {
            inner.fenced.remove(partition);
            inner.owned.get_or_insert_default().remove(partition);
        }
        self.changed.notify_all();
    }

    pub(super) fn owned(&self) -> Vec<Partition> {
        lock(&self.inner).owned.iter().flatten().copied().collect()
    }

    /// Whether others may own what this process does not.
    pub(super) fn is_dealt_out(&self) -> bool {
        lock(&self.inner).owned.is_some()
    }

    /// Why a commit of this partition can only be fenced.
    pub(super) fn refusal(&self, partition: Partition) -> Option<String> {
        let inner = lock(&self.inner);
        if inner.fenced.contains(&partition) {
            return Some(format!(
                "partition {partition} waits for a new assignment: its producer was fenced"
            ));
        }
        let owned = inner.owned.as_ref().is_none_or(|owned| owned.contains(&partition));
        (!owned).then(|| format!("partition {partition} is not assigned to this process"))
    }

    /// A producer was fenced: its partitions commit nothing until they are assigned again.
    pub(super) fn fence(&self, partitions: impl IntoIterator<Item = Partition>) {
        lock(&self.inner).fenced.extend(partitions);
    }

    /// Whether a producer was fenced whose partitions have not been assigned again.
    pub(super) fn has_fenced(&self) -> bool {
        let inner = lock(&self.inner);
        let owned = |partition| inner.owned.as_ref().is_none_or(|owned| owned.contains(partition));
        inner.fenced.iter().any(owned)
    }

    /// Partitions that are owned and fenced.
    pub(super) fn fenced(&self) -> Vec<Partition> {
        let inner = lock(&self.inner);
        let owned =
            |partition: &&Partition| inner.owned.as_ref().is_some_and(|owned| owned.contains(*partition));
        inner.fenced.iter().filter(owned).copied().collect()
    }

    /// The present copy.
    pub(super) fn ticket(&self) -> Option<Ticket> {
        let inner = lock(&self.inner);
        let metadata = inner.metadata.clone()?;
        Some(Ticket { metadata, version: inner.version })
    }

    /// Waits until there is another copy than this one, a bounded time: a broker knows of a new generation a moment
    /// before its members do.
    pub(super) fn wait_beyond(&self, version: u64, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut inner = lock(&self.inner);
        while inner.version == version {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            inner = wait(&self.changed, inner, left);
        }
    }
}
