//! Brings committed frames into the state store, off the worker threads, and keeps the log's floors.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::Log;
use leadline_connectors::contract::state::State;
use leadline_schemas::sabotage::{self, Bug};
use leadline_schemas::{CommitNumber, Offset, Partition, Topic};

use super::keys;
use super::limits::{APPLY_RETRY_MS, SYNC_BYTES, SYNC_INTERVAL_MS};
use super::partition::{Committed, Position, lock};
use super::rows::Rows;

/// How often an idle applier looks whether a sync is due.
const SYNC_LOOK_MS: u64 = 1_000;

/// What others learn from an applied commit.
pub(super) trait AfterApply: Send + Sync {
    /// The store holds the partition's rows up to this commit.
    fn applied(&self, partition: Partition, position: &Position);
    /// A job row has come (`true`) or gone.
    fn job(&self, partition: Partition, ready_key: &[u8], there: bool);
    /// The store will see nothing more of a partition that its worker has let go.
    fn left(&self, partition: Partition);
}

/// What the applier is told, in this order.
pub(super) enum ToApply {
    /// Rows to bring in.
    Committed(Committed),
    /// The partition has left: what still waits of it comes from the log when it comes again.
    Left(Partition),
}

/// What must stay in the log, per partition.
#[derive(Debug, Default)]
pub(super) struct Retention {
    marks: Mutex<BTreeMap<Partition, Marks>>,
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
        let mut marks = lock(&self.marks);
        let mark = &mut marks.entry(partition).or_default().durable;
        // Two threads sync the store; the later word may be of an earlier commit.
        *mark = number.max(*mark);
    }

    /// The record store holds everything up to here.
    pub(super) fn stored(&self, partition: Partition, number: CommitNumber) {
        lock(&self.marks).entry(partition).or_default().stored = number;
    }

    /// What the record store holds of a partition.
    pub(super) fn stored_up_to(&self, partition: Partition) -> CommitNumber {
        lock(&self.marks).get(&partition).map_or(CommitNumber(0), |marks| marks.stored)
    }

    /// Two verified snapshots hold everything up to here.
    pub(super) fn snapshot(&self, partition: Partition, number: CommitNumber) {
        lock(&self.marks).entry(partition).or_default().snapshot = number;
    }

    /// The partition has left this process.
    pub(super) fn forget(&self, partition: Partition) {
        lock(&self.marks).remove(&partition);
    }

    /// Tells the log what nobody will read again.
    pub(super) fn publish(&self, log: &dyn Log) {
        for (partition, marks) in lock(&self.marks).iter() {
            let Some(position) = marks.committed else { continue };
            log.set_floor(Topic::Inbound, *partition, position.inbound_next);
            log.set_floor(Topic::Replies, *partition, position.replies_next);
            // Frame n lies at offset n - 1; the last frame always stays: it says where the partition stands.
            let snapshot =
                if sabotage::on(Bug::FloorTooHigh) { CommitNumber(u64::MAX) } else { marks.snapshot };
            let frames = marks.durable.min(marks.stored).min(snapshot).min(position.number);
            log.set_floor(Topic::State, *partition, Offset(frames.0.saturating_sub(1)));
        }
    }
}

/// Applies commits one by one, in order.
pub(super) struct Applier {
    pub(super) state: Arc<dyn State>,
    pub(super) rows: Arc<Rows>,
    pub(super) log: Arc<dyn Log>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) retention: Arc<Retention>,
    pub(super) after: Arc<dyn AfterApply>,
    pub(super) progress: ApplyProgress,
}

/// What waits to be applied, and what is not synced yet.
#[derive(Debug, Default)]
pub(super) struct ApplyProgress {
    waiting: VecDeque<Committed>,
    /// The store refused the first of them: not to be asked before.
    retry_boot_ms: Option<u64>,
    unsynced: BTreeMap<Partition, CommitNumber>,
    unsynced_bytes: usize,
    synced_boot_ms: u64,
}

impl Applier {
    /// Applies what comes until the channel closes, then syncs.
    pub(super) fn run(mut self, commits: &Receiver<ToApply>) {
        let mut open = true;
        while open || !self.progress.waiting.is_empty() {
            match commits.recv_timeout(self.wait()) {
                Ok(what) => self.take(what),
                Err(RecvTimeoutError::Timeout) => {}
                // What the store still refuses is waited for; the stop's deadline bounds that.
                Err(RecvTimeoutError::Disconnected) if open => open = false,
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(self.wait()),
            }
            while self.turn() {}
        }
        self.sync();
    }

    /// Queues a commit, or forgets a partition.
    pub(super) fn take(&mut self, what: ToApply) {
        match what {
            ToApply::Committed(committed) => self.progress.waiting.push_back(committed),
            ToApply::Left(partition) => {
                self.progress.waiting.retain(|committed| committed.partition != partition);
                self.progress.unsynced.remove(&partition);
                self.after.left(partition);
            }
        }
    }

    /// Applies the next commit, or syncs when that is due. Answers whether it did either.
    pub(super) fn turn(&mut self) -> bool {
        let boot_ms = self.clock.boot_ms();
        let since_sync_ms = boot_ms.saturating_sub(self.progress.synced_boot_ms);
        let by_time = !self.progress.unsynced.is_empty() && since_sync_ms >= SYNC_INTERVAL_MS;
        if self.progress.unsynced_bytes >= SYNC_BYTES || by_time {
            self.sync();
            return true;
        }
        if self.progress.retry_boot_ms.is_some_and(|at| boot_ms < at) {
            return false;
        }
        let Some(committed) = self.progress.waiting.pop_front() else { return false };
        self.progress.retry_boot_ms = None;
        if self.apply(&committed) {
            self.progress.unsynced.insert(committed.partition, committed.position.number);
            self.progress.unsynced_bytes += committed.bytes;
        } else {
            self.progress.waiting.push_front(committed);
            self.progress.retry_boot_ms = Some(boot_ms + APPLY_RETRY_MS);
        }
        true
    }

    fn wait(&self) -> Duration {
        let pause_ms = if self.progress.waiting.is_empty() { SYNC_LOOK_MS } else { APPLY_RETRY_MS };
        Duration::from_millis(pause_ms)
    }

    /// Applies one commit; a store that stalls or is full is tried again, for the log has the commit already.
    fn apply(&self, committed: &Committed) -> bool {
        let Some(store) = self.rows.of(committed.partition) else { return true };
        let started = Instant::now();
        if let Err(error) = store.apply(committed.changes.rows(), committed.position.number) {
            tracing::error!(partition = committed.partition.0, %error, "the state store refused a commit; trying again");
            metrics::counter!("leadline_state_apply_errors_total").increment(1);
            return false;
        }
        metrics::histogram!("leadline_state_apply_ms").record(started.elapsed().as_secs_f64() * 1e3);
        self.retention.committed(committed.partition, committed.position);
        self.after.applied(committed.partition, &committed.position);
        let (ready, end) = ([keys::READY], keys::behind(&[keys::READY]));
        for job in committed.changes.range(&ready..&end).iter() {
            self.after.job(committed.partition, &job.key, job.value.is_some());
        }
        true
    }

    fn sync(&mut self) {
        self.progress.unsynced_bytes = 0;
        self.progress.synced_boot_ms = self.clock.boot_ms();
        match self.state.sync() {
            Ok(()) => {
                for (partition, number) in std::mem::take(&mut self.progress.unsynced) {
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
