//! Jobs between two attempts.

use leadline_schemas::reply::PendingJob;

use super::LaneKey;

/// A job that waits for its next attempt; the heap's top is the one due first.
pub(super) struct Retry {
    pub(super) at_boot_ms: u64,
    pub(super) lane: LaneKey,
    pub(super) job: Box<PendingJob>,
    pub(super) attempt: i32,
}

impl PartialEq for Retry {
    fn eq(&self, other: &Self) -> bool {
        self.at_boot_ms == other.at_boot_ms
    }
}
impl Eq for Retry {}
impl PartialOrd for Retry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Retry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.at_boot_ms.cmp(&self.at_boot_ms)
    }
}
