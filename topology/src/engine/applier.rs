//! Brings committed frames into the state store, off the worker threads, and keeps the log's floors.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use leadline_connectors::contract::log::Log;
use leadline_connectors::contract::state::{PartitionState, State};
use leadline_schemas::{CommitNumber, Offset, Partition, Topic};

use super::keys;
use super::limits::{SYNC_BYTES, SYNC_INTERVAL};
use super::overlay::to_store;
use super::partition::{Committed, Position, lock};

/// What others learn from an applied commit.
pub(super) trait AfterApply: Send + Sync {
    /// The store holds the partition's rows up to this commit.
    fn applied(&self, partition: Partition, number: CommitNumber);
    /// A job row has come (`true`) or gone.
    fn job(&self, partition: Partition, ready_key: &[u8], there: bool);
}

/// What must stay in the log, per partition.
#[derive(Debug, Default)]
pub(super) struct Retention {
    marks: Mutex<HashMap<Partition, Marks>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Marks {
    committed: Option<Position>,
    durable: CommitNumber,
    stored: CommitNumber,
    /// The second-newest verified snapshot; without one the log is the only full copy and is kept whole.
    snapshot: CommitNumber,
}

impl Retention {
    /// The partition has committed up to here.
    pub(super) fn committed(&self, partition: Partition, position: Position) {
        lock(&self.marks).entry(partition).or_default().committed = Some(position);
    }

    /// The state store would survive a crash of the machine up to here.
    pub(super) fn durable(&self, partition: Partition, number: CommitNumber) {
        lock(&self.marks).entry(partition).or_default().durable = number;
    }

    /// The record store holds everything up to here.
    pub(super) fn stored(&self, partition: Partition, number: CommitNumber) {
        lock(&self.marks).entry(partition).or_default().stored = number;
    }

    /// Two verified snapshots hold everything up to here.
    pub(super) fn snapshot(&self, partition: Partition, number: CommitNumber) {
        lock(&self.marks).entry(partition).or_default().snapshot = number;
    }

    /// Tells the log what nobody will read again.
    pub(super) fn publish(&self, log: &dyn Log) {
        for (partition, marks) in lock(&self.marks).iter() {
            let Some(position) = marks.committed else { continue };
            log.set_floor(Topic::Inbound, *partition, position.inbound_next);
            log.set_floor(Topic::Replies, *partition, position.replies_next);
            // Frame n lies at offset n - 1; the last frame always stays: it says where the partition stands.
            let frames = marks.durable.min(marks.stored).min(marks.snapshot).min(position.number);
            log.set_floor(Topic::State, *partition, Offset(frames.0.saturating_sub(1)));
        }
    }
}

/// The applier's thread.
pub(super) struct Applier {
    pub(super) state: Arc<dyn State>,
    pub(super) partitions: HashMap<Partition, Arc<dyn PartitionState>>,
    pub(super) log: Arc<dyn Log>,
    pub(super) retention: Arc<Retention>,
    pub(super) after: Arc<dyn AfterApply>,
}

impl Applier {
    /// Applies what comes until the channel closes, then syncs.
    pub(super) fn run(self, commits: &Receiver<Committed>) {
        let mut applied: HashMap<Partition, CommitNumber> = HashMap::new();
        let (mut unsynced_bytes, mut synced_at) = (0, Instant::now());
        loop {
            match commits.recv_timeout(Duration::from_secs(1)) {
                Ok(committed) => {
                    self.apply(&committed);
                    applied.insert(committed.partition, committed.position.number);
                    unsynced_bytes += committed.bytes;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if unsynced_bytes >= SYNC_BYTES || (!applied.is_empty() && synced_at.elapsed() >= SYNC_INTERVAL) {
                self.sync(&mut applied);
                (unsynced_bytes, synced_at) = (0, Instant::now());
            }
        }
        self.sync(&mut applied);
    }

    /// Applies one commit; a store that stalls or is full is tried again, for the log has the commit already.
    fn apply(&self, committed: &Committed) {
        let Some(store) = self.partitions.get(&committed.partition) else { return };
        let changes = to_store(&committed.changes);
        let started = Instant::now();
        while let Err(error) = store.apply(&changes, committed.position.number) {
            tracing::error!(partition = committed.partition.0, %error, "the state store refused a commit; trying again");
            metrics::counter!("leadline_state_apply_errors_total").increment(1);
            std::thread::sleep(Duration::from_secs(1));
        }
        metrics::histogram!("leadline_state_apply_ms").record(started.elapsed().as_secs_f64() * 1e3);
        self.retention.committed(committed.partition, committed.position);
        self.after.applied(committed.partition, committed.position.number);
        for (key, value) in committed.changes.iter() {
            if key.first() == Some(&keys::READY) {
                self.after.job(committed.partition, key, value.is_some());
            }
        }
    }

    fn sync(&self, applied: &mut HashMap<Partition, CommitNumber>) {
        match self.state.sync() {
            Ok(()) => {
                for (partition, number) in applied.drain() {
                    self.retention.durable(partition, number);
                }
                self.retention.publish(&*self.log);
            }
            Err(error) => {
                tracing::error!(%error, "the state store could not be synced; the log keeps what it would need")
            }
        }
    }
}
