//! What ownership is told: by the applier, and by whoever deals partitions out.

use std::time::Duration;

use leadline_connectors::contract::assignment::Owner;
use leadline_schemas::Partition;

use super::applier::AfterApply;
use super::jobs::{LaneKey, Notice, job_id_of};
use super::keys;
use super::limits::DROP_MAX;
use super::ownership::Ownership;
use super::partition::{Position, lock};

/// Wires an applied commit to the worker that owns the partition and to the executor.
impl AfterApply for Ownership {
    fn applied(&self, partition: Partition, position: &Position) {
        self.mailbox(partition).applied(partition, position.number);
        if position.drained {
            lock(&self.progress.drained).insert(partition, *position);
        }
        let mut behind = lock(&self.progress.behind);
        if behind.get(&partition).is_some_and(|end| position.replies_next >= *end) {
            behind.remove(&partition);
            self.tell(Notice::CaughtUp(partition));
        }
    }

    fn job(&self, partition: Partition, ready_key: &[u8], there: bool) {
        let Some(ready) = keys::parse_ready(ready_key) else { return };
        let lane = LaneKey { partition, tenant: ready.tenant.to_owned(), lane: ready.lane.to_owned() };
        let notice = match (there, job_id_of(ready.row_key)) {
            (false, Some(job_id)) => Notice::JobGone(lane, job_id),
            _ => Notice::JobCame(lane),
        };
        self.tell(notice);
    }

    fn left(&self, partition: Partition) {
        self.free(partition);
    }
}

impl Owner for Ownership {
    fn assigned(&self, partitions: &[Partition]) {
        self.want(partitions);
    }

    fn revoked(&self, partitions: &[Partition], patience: Duration) {
        self.release(partitions, false);
        if !self.wait_left(partitions, patience) {
            self.lost(partitions);
        }
    }

    fn lost(&self, partitions: &[Partition]) {
        self.release(partitions, true);
        if !self.wait_left(partitions, DROP_MAX) {
            (self.fatal)(format!("partitions {partitions:?} were not let go within {DROP_MAX:?}"));
        }
    }
}
