//! When snapshots are taken: of every partition that has moved, each interval.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use leadline_connectors::contract::blob::Blob;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::Log;
use leadline_connectors::contract::state::{PartitionState, State};
use leadline_schemas::{CommitNumber, Partition};

use super::applier::Retention;
use super::restore::RestoreError;
use super::rows::{Rows, Stay};
use super::snapshot::{self, Shelf};

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
    /// The snapshots of each owned partition, once they were looked up in its present stay; none where that failed
    /// and is tried again before one is taken.
    shelves: BTreeMap<Partition, (Stay, Option<Shelf>)>,
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
        let stays = self.rows.stays();
        // What others have done to the snapshots in between, the shelf of a former stay does not say.
        self.round.shelves.retain(|partition, (stay, _)| stays.get(partition) == Some(stay));
        let new = stays.into_iter().find(|(partition, _)| !self.round.shelves.contains_key(partition));
        let Some((partition, stay)) = new else { return false };
        let shelf = self.find(partition);
        self.round.shelves.insert(partition, (stay, shelf));
        true
    }

    /// Which snapshots there are.
    fn find(&self, partition: Partition) -> Option<Shelf> {
        match self.runtime.block_on(Shelf::find(&*self.blob, self.generation, partition)) {
            Ok(shelf) => {
                self.note(partition, &shelf);
                Some(shelf)
            }
            Err(error) => {
                tracing::error!(partition = partition.0, %error, "the list of snapshots cannot be read");
                None
            }
        }
    }

    fn take(&mut self, partition: Partition) {
        let Some((stay, shelf)) = self.round.shelves.remove(&partition) else { return };
        let Some(store) = self.rows.of_stay(partition, stay) else { return };
        let applied = store.applied().unwrap_or_default();
        self.round.seen.insert(partition, applied);
        // Without the others nothing is taken: they would be swept away.
        let mut shelf = shelf.or_else(|| self.find(partition));
        if let Some(shelf) = &mut shelf
            && applied != CommitNumber(0)
            && shelf.numbers().first() != Some(&applied)
        {
            self.add(partition, &*store, shelf);
        }
        self.round.shelves.insert(partition, (stay, shelf));
    }

    fn add(&self, partition: Partition, store: &dyn PartitionState, shelf: &mut Shelf) {
        let taken = store.view().map_err(RestoreError::from).and_then(|view| {
            let take = snapshot::take(&*self.blob, self.generation, partition, &*view, shelf);
            self.runtime.block_on(take)
        });
        match taken {
            Ok(()) => {
                self.note(partition, shelf);
                metrics::counter!("leadline_snapshots_total").increment(1);
            }
            Err(error) => {
                tracing::error!(partition = partition.0, %error, "a snapshot could not be taken");
            }
        }
    }

    /// The second-newest counts: the log can then still mend a newest one that turns out to be unreadable.
    fn note(&self, partition: Partition, shelf: &Shelf) {
        if let Some(second) = shelf.numbers().get(1) {
            self.retention.snapshot(partition, *second);
        }
    }
}
