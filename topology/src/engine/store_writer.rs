//! Writes committed output into the record store, in order, many commits to a transaction.
//!
//! Commits come through memory; what does not fit there, or was committed before the start, is read back from topic
//! `state`. So the record store may be slow, or away, and the pipeline goes on.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::Log;
use leadline_connectors::contract::store::{Batch, RecordWriter, StoreError};
use leadline_connectors::contract::tenants::TenantRow;
use leadline_schemas::frame::Output;
use leadline_schemas::sabotage::{self, Bug};
use leadline_schemas::settings::{Settings, Tenant};
use leadline_schemas::{CommitNumber, Partition};

use super::applier::Retention;
use super::limits::{STORE_BATCH_COMMITS_MAX, STORE_LOOK_MS, STORE_QUEUE_BYTES_MAX, STORE_RETRY_MS};
use super::partition::{Committed, lock};
use super::reading_back::Commits;
use super::rows::Rows;

/// How long an idle writer waits before it looks again.
const IDLE_LOOK: Duration = Duration::from_secs(1);

/// Commits on their way to the writer.
#[derive(Default)]
pub(super) struct StoreQueue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

/// A commit's output on its way.
type Queued = (Partition, CommitNumber, Arc<Vec<Output>>);

#[derive(Default)]
struct Waiting {
    commits: VecDeque<Queued>,
    bytes: usize,
    /// The newest commit of each partition, queued or not.
    newest: BTreeMap<Partition, CommitNumber>,
    closed: bool,
}

impl StoreQueue {
    /// Takes a commit; when the queue is full the writer will find it in the log.
    pub(super) fn push(&self, committed: &Committed) {
        let mut waiting = lock(&self.waiting);
        let number = committed.position.number;
        waiting.newest.insert(committed.partition, number);
        if waiting.bytes < STORE_QUEUE_BYTES_MAX {
            waiting.bytes += committed.bytes;
            waiting.commits.push_back((committed.partition, number, Arc::clone(&committed.outputs)));
        }
        self.changed.notify_one();
    }

    /// Makes the writer look for what was committed before the start.
    pub(super) fn expect(&self, partition: Partition, number: CommitNumber) {
        lock(&self.waiting).newest.insert(partition, number);
        self.changed.notify_one();
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        lock(&self.waiting).closed = true;
        self.changed.notify_one();
    }

    /// Takes what waits; none when nothing does.
    fn take(&self) -> Option<Taken> {
        let mut waiting = lock(&self.waiting);
        if waiting.commits.is_empty() && waiting.newest.is_empty() {
            return None;
        }
        let count = waiting.commits.len().min(STORE_BATCH_COMMITS_MAX);
        let commits: Vec<_> = waiting.commits.drain(..count).collect();
        // Only with the last of the queue is it known what did not fit into it.
        let newest = match waiting.commits.is_empty() {
            true => std::mem::take(&mut waiting.newest),
            false => BTreeMap::new(),
        };
        if waiting.commits.is_empty() {
            waiting.bytes = 0;
        }
        Some(Taken { commits, newest })
    }

    /// Waits for commits, at most `pause`; answers whether any can still come.
    fn wait(&self, pause: Duration) -> bool {
        let waiting = lock(&self.waiting);
        if !waiting.closed && waiting.commits.is_empty() && waiting.newest.is_empty() {
            drop(self.changed.wait_timeout(waiting, pause));
            return true;
        }
        !waiting.closed || !waiting.commits.is_empty() || !waiting.newest.is_empty()
    }
}

/// What was taken out of the queue.
struct Taken {
    commits: Vec<Queued>,
    /// The newest commit of each partition, when the queue is empty now.
    newest: BTreeMap<Partition, CommitNumber>,
}

/// Who is told that rows can be read: requests that wait, the demo's terminal.
pub type Stored = Arc<dyn Fn(&[Output]) + Send + Sync>;

/// Writes commits in order.
pub(super) struct StoreWriter {
    pub(super) writer: Box<dyn RecordWriter>,
    pub(super) log: Arc<dyn Log>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rows: Arc<Rows>,
    pub(super) generation: u32,
    /// Whether the partitions' first rows come from the layout before.
    pub(super) is_handed_over: bool,
    pub(super) settings: Arc<dyn Fn() -> Arc<Settings> + Send + Sync>,
    pub(super) retention: Arc<Retention>,
    pub(super) stored: Stored,
    pub(super) progress: StoreProgress,
}

/// What the store has, and what it still has to get.
#[derive(Debug, Default)]
pub(super) struct StoreProgress {
    at: BTreeMap<Partition, CommitNumber>,
    /// Batches that the store did not take yet.
    refused: Vec<Batch>,
    /// Commits that must be read from the log.
    missing: BTreeMap<Partition, CommitNumber>,
    retry_boot_ms: Option<u64>,
    /// When the store was last asked where it stands with every partition.
    asked_boot_ms: u64,
    told: Told,
}

/// What the store was told of tenants.
#[derive(Debug, Default)]
struct Told {
    settings: Option<Arc<Settings>>,
    /// Not to be tried before.
    retry_boot_ms: u64,
}

impl StoreWriter {
    /// Writes until the queue is closed and empty.
    pub(super) fn run(mut self, queue: &StoreQueue) {
        loop {
            while self.turn(queue) {}
            if self.progress.retry_boot_ms.is_some() {
                std::thread::sleep(Duration::from_millis(STORE_RETRY_MS));
            } else if !queue.wait(IDLE_LOOK) {
                return;
            }
        }
    }

    /// Writes one transaction, if there is something to write. Answers whether there was.
    pub(super) fn turn(&mut self, queue: &StoreQueue) -> bool {
        if self.progress.retry_boot_ms.is_some_and(|at| self.clock.boot_ms() < at) {
            return false;
        }
        self.progress.retry_boot_ms = None;
        if self.tell_tenants() {
            return true;
        }
        if !self.progress.refused.is_empty() {
            let batches = std::mem::take(&mut self.progress.refused);
            self.write(batches);
        } else if let Some((partition, number)) = self.progress.missing.pop_first() {
            self.catch_up(partition, number);
        } else if let Some(taken) = queue.take() {
            for (partition, number) in taken.newest {
                self.miss(partition, number);
            }
            self.write_commits(taken.commits);
        } else if self.clock.boot_ms() >= self.progress.asked_boot_ms + STORE_LOOK_MS {
            self.ask_again();
        } else {
            return false;
        }
        true
    }

    /// Tells the store what tenants are called, where that has changed. Who has the first partition does it, so that it is
    /// one; whoever takes over tells all once more. Answers whether it did.
    fn tell_tenants(&mut self) -> bool {
        if self.rows.of(Partition(0)).is_none() {
            self.progress.told = Told::default();
            return false;
        }
        let settings = (self.settings)();
        let Told { settings: before, retry_boot_ms } = &self.progress.told;
        let is_told = before.as_ref().is_some_and(|before| before.version == settings.version);
        if is_told || self.clock.boot_ms() < *retry_boot_ms {
            return false;
        }
        let is_new = |tenant: &&Arc<Tenant>| {
            before.as_ref().and_then(|before| before.tenant(&tenant.tenant)) != Some(*tenant)
        };
        let changed: Vec<TenantRow> = settings.tenants().filter(is_new).map(|one| (&**one).into()).collect();
        if !changed.is_empty()
            && let Err(error) = self.writer.put_tenants(settings.version, &changed)
        {
            // Records do not wait for names.
            tracing::warn!(%error, "the record store was not told of tenants; trying again");
            self.progress.told.retry_boot_ms = self.clock.boot_ms() + STORE_RETRY_MS;
            return false;
        }
        self.progress.told = Told { settings: Some(settings), retry_boot_ms: 0 };
        !changed.is_empty()
    }

    /// Trusts nothing that was heard of the store: whoever was away may have lost something, and one that is behind in
    /// one partition may be behind in all (a restored backup). What it lacks comes from the log.
    fn ask_again(&mut self) {
        self.progress.asked_boot_ms = self.clock.boot_ms();
        for (partition, number) in std::mem::take(&mut self.progress.at) {
            self.miss(partition, number);
        }
    }

    /// Notes that the store must come up to `number`, however that is read.
    fn miss(&mut self, partition: Partition, number: CommitNumber) {
        let missing = self.progress.missing.entry(partition).or_insert(number);
        *missing = number.max(*missing);
    }

    /// Where the store stands with a partition; none when it does not say.
    fn at(&mut self, partition: Partition) -> Option<CommitNumber> {
        if let Some(number) = self.progress.at.get(&partition) {
            return Some(*number);
        }
        match self.writer.progress(self.generation, partition) {
            Ok(number) => {
                self.progress.at.insert(partition, number);
                Some(number)
            }
            Err(error) => {
                self.is_away(&error);
                None
            }
        }
    }

    /// Writes commits that follow what the store has; others are read from the log.
    fn write_commits(&mut self, commits: Vec<Queued>) {
        let mut batches: BTreeMap<Partition, Batch> = BTreeMap::new();
        for (partition, number, outputs) in commits {
            let at = match batches.get(&partition) {
                Some(batch) => Some(batch.to),
                None => self.at(partition),
            };
            let Some(at) = at.filter(|at| number == at.next()) else {
                self.miss(partition, number);
                continue;
            };
            let generation = self.generation;
            let batch = batches.entry(partition).or_insert_with(|| Batch {
                generation,
                partition,
                from: at,
                to: at,
                commits: Vec::new(),
            });
            batch.to = number;
            batch.commits.push((number, outputs));
        }
        self.write(batches.into_values().collect());
    }

    /// Reads one batch of what is missing up to `number`: from the log, or what the log has dropped from the state
    /// store.
    fn catch_up(&mut self, partition: Partition, number: CommitNumber) {
        if self.rows.of(partition).is_none() {
            return; // Its new owner writes what is missing.
        }
        let Some(at) = self.at(partition) else { return self.miss(partition, number) };
        if at >= number {
            // Nothing is written, and yet others wait for the word: the log's floors, and a layout that ends.
            return self.retention.stored(partition, at);
        }
        match self.missing(partition, at) {
            Ok(Some(batch)) => {
                if batch.to < number {
                    self.miss(partition, number);
                }
                self.write(vec![batch]);
            }
            Ok(None) => {}
            Err(why) => {
                self.miss(partition, number);
                self.pause(&why);
            }
        }
    }

    /// The store has not answered, or not well.
    fn is_away(&mut self, error: &StoreError) {
        self.ask_again();
        self.pause(&error.to_string());
    }

    fn pause(&mut self, why: &str) {
        tracing::error!(why, "the record store is behind; trying again");
        metrics::counter!("leadline_store_errors_total").increment(1);
        self.progress.retry_boot_ms = Some(self.clock.boot_ms() + STORE_RETRY_MS);
    }

    fn missing(&self, partition: Partition, at: CommitNumber) -> Result<Option<Batch>, String> {
        let state = self.rows.of(partition).ok_or("the partition has left")?;
        let (generation, is_handed_over) = (self.generation, self.is_handed_over);
        Commits { log: &*self.log, state: &*state, partition, generation, is_handed_over }.behind(at)
    }

    /// Writes batches in one transaction; those that are refused are kept and tried again.
    fn write(&mut self, mut batches: Vec<Batch>) {
        if batches.is_empty() {
            return;
        }
        if sabotage::on(Bug::ProgressPastGap) {
            batches.iter_mut().filter(|batch| batch.commits.len() > 1).for_each(|batch| {
                batch.commits.remove(0);
            });
        }
        let started = Instant::now();
        match self.writer.write(&batches) {
            Ok(()) => {}
            Err(StoreError::Behind { partition, progress, .. }) => {
                self.ask_again();
                self.progress.at.insert(partition, progress);
                batches.iter().for_each(|batch| self.miss(batch.partition, batch.to));
                return;
            }
            Err(error) => {
                self.is_away(&error);
                self.progress.refused = batches;
                return;
            }
        }
        metrics::histogram!("leadline_store_write_ms").record(started.elapsed().as_secs_f64() * 1e3);
        for batch in batches {
            self.progress.at.insert(batch.partition, batch.to);
            self.retention.stored(batch.partition, batch.to);
            for (_, outputs) in &batch.commits {
                (self.stored)(outputs);
            }
        }
    }
}
