//! Partitions whose layout ends: their jobs run out.

use leadline_schemas::Partition;

use super::super::limits::DRAIN_JOBS_MAX;
use super::Executor;

impl Executor {
    /// Nothing of it starts any more: what waits is the next layout's.
    pub(super) fn drain(&mut self, partition: Partition) {
        let boot_ms = self.parts.clock.boot_ms();
        if let Some(guest) = self.guests.get_mut(&partition) {
            guest.draining_boot_ms.get_or_insert(boot_ms);
            self.retries.retain(|retry| retry.lane.partition != partition);
        }
    }

    /// Tells of partitions whose layout ends when nothing of them runs any more, or nothing that is waited for.
    pub(super) fn look_at_draining(&self) {
        let boot_ms = self.parts.clock.boot_ms();
        for (partition, guest) in &self.guests {
            let Some(since) = guest.draining_boot_ms else { continue };
            let runs = self.handover.running.values().any(|running| running.partition == *partition);
            let waited = u128::from(boot_ms.saturating_sub(since)) >= DRAIN_JOBS_MAX.as_millis();
            // Whoever had it before may still send, as long as his lease lasts; what he notes of that is read here.
            let others_may = guest.deliveries_from_boot_ms > boot_ms;
            let delivers = others_may
                || self.delivering.contains_key(partition)
                || self.handover.holds(*partition, boot_ms);
            if !delivers && (!runs || waited) {
                self.parts.ownership.no_job_runs(*partition, guest.stay);
            }
        }
    }
}
