//! When snapshots are taken: of every partition that has moved, each interval.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use leadline_connectors::contract::blob::Blob;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::Log;
use leadline_connectors::contract::state::State;
use leadline_schemas::{CommitNumber, Partition};

use super::applier::Retention;
use super::restore::RestoreError;
use super::rows::Rows;
use super::snapshot;

/// Takes snapshots, one partition a turn.
pub(super) struct Snapshots {
    pub(super) rows: Arc<Rows>,
    pub(super) state: Arc<dyn State>,
    pub(super) blob: Arc<dyn Blob>,
    pub(super) log: Arc<dyn Log>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) retention: Arc<Retention>,
    pub(super) generation: u32,
    pub(super) interval: Duration,
    pub(super) round: Round,
}

/// How far the current round is.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// The last commit in the newest snapshot of each owned partition, once that was looked up.
    newest: BTreeMap<Partition, CommitNumber>,
    /// Partitions that this round still has to look at.
    left: Vec<Partition>,
    /// What each partition had applied when this round looked at it: durable with the round's sync.
    seen: BTreeMap<Partition, CommitNumber>,
    /// When the next round begins; none before the first turn.
    next_boot_ms: Option<u64>,
}

impl Snapshots {
    /// Takes them until told to stop.
    pub(super) fn run(mut self, stop: &Receiver<()>) {
        self.turn();
        while stop.recv_timeout(self.wait()) == Err(RecvTimeoutError::Timeout) {
            while self.turn() {
                // The word to stop comes once: it must not be heard here and forgotten.
                if stop.try_recv() != Err(TryRecvError::Empty) {
                    return;
                }
            }
        }
    }

    /// Takes the next snapshot, if it is time. Answers whether it did something.
    pub(super) fn turn(&mut self) -> bool {
        let boot_ms = self.clock.boot_ms();
        if self.look_up() {
            return true;
        }
        let Some(next_boot_ms) = self.round.next_boot_ms else {
            self.round.next_boot_ms = Some(boot_ms + self.interval_ms());
            return true;
        };
        if self.round.left.is_empty() {
            if boot_ms < next_boot_ms {
                return false;
            }
            self.round.left = self.rows.partitions();
            self.round.left.reverse();
            self.round.next_boot_ms = Some(boot_ms + self.interval_ms());
        }
        if let Some(partition) = self.round.left.pop() {
            self.take(partition);
        }
        if self.round.left.is_empty() && self.state.sync().is_ok() {
            for (partition, applied) in std::mem::take(&mut self.round.seen) {
                self.retention.durable(partition, applied);
            }
            self.retention.publish(&*self.log);
        }
        true
    }

    fn interval_ms(&self) -> u64 {
        u64::try_from(self.interval.as_millis()).unwrap_or(u64::MAX)
    }

    fn wait(&self) -> Duration {
        let next = self.round.next_boot_ms.unwrap_or(0);
        Duration::from_millis(next.saturating_sub(self.clock.boot_ms()).max(1))
    }

    /// Looks up the snapshots of a partition that has come since the last turn. Answers whether there was one.
    fn look_up(&mut self) -> bool {
        let owned = self.rows.partitions();
        self.round.newest.retain(|partition, _| owned.contains(partition));
        let Some(partition) = owned.into_iter().find(|partition| !self.round.newest.contains_key(partition))
        else {
            return false;
        };
        let mut newest = CommitNumber(0);
        match self.runtime.block_on(snapshot::numbers(&*self.blob, self.generation, partition)) {
            Ok(numbers) => {
                newest = numbers.first().copied().unwrap_or(newest);
                self.note(partition, &numbers);
            }
            Err(error) => {
                tracing::error!(partition = partition.0, %error, "the list of snapshots cannot be read");
            }
        }
        self.round.newest.insert(partition, newest);
        true
    }

    fn take(&mut self, partition: Partition) {
        let Some(store) = self.rows.of(partition) else { return };
        let applied = store.applied().unwrap_or_default();
        self.round.seen.insert(partition, applied);
        if self.round.newest.get(&partition) == Some(&applied) || applied == CommitNumber(0) {
            return;
        }
        let taken = store.view().map_err(RestoreError::from).and_then(|view| {
            self.runtime.block_on(snapshot::take(&*self.blob, self.generation, partition, &*view))
        });
        match taken {
            Ok(numbers) => {
                self.round.newest.insert(partition, applied);
                self.note(partition, &numbers);
                metrics::counter!("leadline_snapshots_total").increment(1);
            }
            Err(error) => {
                tracing::error!(partition = partition.0, %error, "a snapshot could not be taken");
            }
        }
    }

    /// The second-newest counts: the log can then still mend a newest one that turns out to be unreadable.
    fn note(&self, partition: Partition, numbers: &[CommitNumber]) {
        if let Some(second) = numbers.get(1) {
            self.retention.snapshot(partition, *second);
        }
    }
}
