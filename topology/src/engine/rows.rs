//! The rows of the partitions that this process owns now.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use leadline_connectors::contract::state::PartitionState;
use leadline_schemas::Partition;

use super::partition::lock;

/// Tells one stay of a partition with this process from others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stay(u64);

/// The rows of the partitions that this process owns now.
#[derive(Default)]
pub(super) struct Rows(Mutex<OwnedRows>);

#[derive(Default)]
struct OwnedRows {
    of: BTreeMap<Partition, (Stay, Arc<dyn PartitionState>)>,
    stays: u64,
}

impl Rows {
    pub(super) fn of(&self, partition: Partition) -> Option<Arc<dyn PartitionState>> {
        lock(&self.0).of.get(&partition).map(|(_, rows)| Arc::clone(rows))
    }

    /// The rows of a partition, if its stay is still this one.
    pub(super) fn of_stay(&self, partition: Partition, stay: Stay) -> Option<Arc<dyn PartitionState>> {
        let rows = lock(&self.0);
        rows.of.get(&partition).filter(|(now, _)| *now == stay).map(|(_, rows)| Arc::clone(rows))
    }

    /// The stay of a partition that is here.
    pub(super) fn stay(&self, partition: Partition) -> Option<Stay> {
        lock(&self.0).of.get(&partition).map(|(stay, _)| *stay)
    }

    /// The partitions that are owned.
    pub(super) fn partitions(&self) -> Vec<Partition> {
        lock(&self.0).of.keys().copied().collect()
    }

    /// The partitions that are owned, each with its stay.
    pub(super) fn stays(&self) -> BTreeMap<Partition, Stay> {
        lock(&self.0).of.iter().map(|(partition, (stay, _))| (*partition, *stay)).collect()
    }

    /// A partition has come.
    pub(super) fn insert(&self, partition: Partition, rows: Arc<dyn PartitionState>) -> Stay {
        let mut owned = lock(&self.0);
        owned.stays += 1;
        let stay = Stay(owned.stays);
        owned.of.insert(partition, (stay, rows));
        metrics::gauge!("leadline_partitions_owned").set(owned.of.len() as f64);
        stay
    }

    /// A partition has left.
    pub(super) fn remove(&self, partition: Partition) {
        let mut owned = lock(&self.0);
        owned.of.remove(&partition);
        metrics::gauge!("leadline_partitions_owned").set(owned.of.len() as f64);
    }
}
