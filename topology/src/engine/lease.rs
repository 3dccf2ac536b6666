//! Until when a process may take for granted that a partition is its own.
//!
//! A commit that was accepted proves that the partition was this process's when it was sent. For [`LEASE_MS`] from
//! then on no other process starts deliveries of it: a new owner waits so long, unless the old one has let go in
//! peace. So a delivery starts only while the lease outlives it, and one key is never served by two processes, not
//! even by one that was frozen and does not know that it was taken for dead.

use std::collections::BTreeMap;
use std::sync::Mutex;

use leadline_schemas::Partition;

use super::limits::{JOB_ATTEMPT_TIMEOUT, LEASE_MS};
use super::partition::lock;

/// The leases of the owned partitions, by the boot-time clock.
#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<BTreeMap<Partition, u64>>);

impl Leases {
    /// A commit that was sent then was accepted.
    pub(super) fn renew(&self, partition: Partition, sent_boot_ms: u64) {
        lock(&self.0).insert(partition, sent_boot_ms + LEASE_MS);
    }

    /// The partition has left.
    pub(super) fn end(&self, partition: Partition) {
        lock(&self.0).remove(&partition);
    }

    /// Whether a call that starts now ends before the lease does.
    pub(super) fn covers_call(&self, partition: Partition, boot_ms: u64) -> bool {
        let ends = u128::from(boot_ms) + JOB_ATTEMPT_TIMEOUT.as_millis();
        lock(&self.0).get(&partition).is_some_and(|until| u128::from(*until) >= ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_must_end_before_the_lease() {
        let (leases, partition) = (Leases::default(), Partition(3));
        let timeout_ms = u64::try_from(JOB_ATTEMPT_TIMEOUT.as_millis()).unwrap();
        assert!(!leases.covers_call(partition, 0), "nothing was committed yet");
        leases.renew(partition, 1_000);
        assert!(leases.covers_call(partition, 1_000 + LEASE_MS - timeout_ms));
        assert!(!leases.covers_call(partition, 1_001 + LEASE_MS - timeout_ms));
        assert!(!leases.covers_call(Partition(4), 1_000), "each partition has its own");
        leases.end(partition);
        assert!(!leases.covers_call(partition, 1_000));
    }
}
