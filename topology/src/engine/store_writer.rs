//! Writes committed output into the record store, in order, many commits to a transaction.
//!
//! Commits come through memory; what does not fit there, or was committed before the start, is read back from topic
//! `state`. So the record store may be slow, or away, and the pipeline goes on.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use leadline_connectors::contract::log::Log;
use leadline_connectors::contract::state::PartitionState;
use leadline_connectors::contract::store::{Batch, RecordWriter, StoreError};
use leadline_schemas::frame::Output;
use leadline_schemas::{CommitNumber, Offset, Partition, Topic};

use super::applier::Retention;
use super::keys;
use super::limits::{STORE_BATCH_COMMITS_MAX, STORE_QUEUE_BYTES_MAX};
use super::partition::{Committed, lock};
use super::restore::decode_frame;

/// Pause before a store that is away is asked again.
const RETRY: Duration = Duration::from_millis(500);
/// Frames read back at a time.
const CATCH_UP_BYTES: usize = 4 << 20;

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

    /// Waits for commits; none when closed and empty.
    fn take(&self) -> Option<(Vec<Queued>, BTreeMap<Partition, CommitNumber>)> {
        let mut waiting = lock(&self.waiting);
        loop {
            if !waiting.commits.is_empty() || !waiting.newest.is_empty() {
                let count = waiting.commits.len().min(STORE_BATCH_COMMITS_MAX);
                let taken: Vec<_> = waiting.commits.drain(..count).collect();
                if waiting.commits.is_empty() {
                    waiting.bytes = 0;
                }
                let newest = if waiting.commits.is_empty() {
                    std::mem::take(&mut waiting.newest)
                } else {
                    BTreeMap::new()
                };
                return Some((taken, newest));
            }
            if waiting.closed {
                return None;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }
}

/// Who is told that rows can be read: requests that wait, the demo's terminal.
pub type Stored = Arc<dyn Fn(&[Output]) + Send + Sync>;

/// The writer's thread.
pub(super) struct StoreWriter {
    pub(super) writer: Box<dyn RecordWriter>,
    pub(super) log: Arc<dyn Log>,
    pub(super) states: HashMap<Partition, Arc<dyn PartitionState>>,
    pub(super) generation: u32,
    pub(super) retention: Arc<Retention>,
    pub(super) stored: Stored,
    pub(super) progress: HashMap<Partition, CommitNumber>,
}

impl StoreWriter {
    /// Writes until the queue is closed and empty.
    pub(super) fn run(mut self, queue: &StoreQueue) {
        while let Some((commits, newest)) = queue.take() {
            self.write_commits(commits);
            for (partition, number) in newest {
                self.catch_up(partition, number);
            }
        }
    }

    /// Where the store stands with a partition.
    fn at(&mut self, partition: Partition) -> CommitNumber {
        if let Some(number) = self.progress.get(&partition) {
            return *number;
        }
        loop {
            match self.writer.progress(self.generation, partition) {
                Ok(number) => {
                    self.progress.insert(partition, number);
                    return number;
                }
                Err(error) => pause(&error),
            }
        }
    }

    /// Writes commits that follow what the store has; others are left to `catch_up`.
    fn write_commits(&mut self, commits: Vec<Queued>) {
        let mut batches: BTreeMap<Partition, Batch> = BTreeMap::new();
        for (partition, number, outputs) in commits {
            let at = batches.get(&partition).map_or_else(|| self.at(partition), |batch| batch.to);
            if number != at.next() {
                continue;
            }
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
        self.write(&batches.into_values().collect::<Vec<_>>());
    }

    /// Reads what is missing up to `number` from the log; what the log has dropped, from the state store.
    pub(super) fn catch_up(&mut self, partition: Partition, number: CommitNumber) {
        let mut at = self.at(partition);
        while at < number {
            let batch = match self.missing(partition, at) {
                Ok(Some(batch)) => batch,
                Ok(None) => return,
                Err(why) => {
                    tracing::error!(
                        partition = partition.0,
                        why,
                        "the record store cannot catch up; trying again"
                    );
                    std::thread::sleep(RETRY);
                    continue;
                }
            };
            self.write(std::slice::from_ref(&batch));
            at = self.at(partition);
        }
    }

    fn missing(&self, partition: Partition, at: CommitNumber) -> Result<Option<Batch>, String> {
        let (first, end) = self.log.range(Topic::State, partition).map_err(|error| error.to_string())?;
        if at.0 >= end.0 {
            return Ok(None);
        }
        if at.0 < first.0 {
            return self.whole_state(partition, at).map(Some);
        }
        let chunk = self
            .log
            .read(Topic::State, partition, Offset(at.0), CATCH_UP_BYTES)
            .map_err(|error| error.to_string())?;
        let mut commits = Vec::with_capacity(chunk.records.len());
        for record in &chunk.records {
            let frame =
                decode_frame(partition, record.offset, &record.value).map_err(|error| error.to_string())?;
            commits.push((frame.number, Arc::new(frame.outputs)));
        }
        let Some((to, _)) = commits.last() else { return Ok(None) };
        Ok(Some(Batch { generation: self.generation, partition, from: at, to: *to, commits }))
    }

    /// All records of the compacted topics as the state store has them: what dropped frames came to.
    fn whole_state(&self, partition: Partition, at: CommitNumber) -> Result<Batch, String> {
        let state = self.states.get(&partition).ok_or("the partition has no state store")?;
        let view = state.view().map_err(|error| error.to_string())?;
        let applied = view.applied().map_err(|error| error.to_string())?;
        let (from, to) = ([keys::OUTPUTS], keys::behind(&[keys::OUTPUTS]));
        let mut outputs = Vec::new();
        view.scan(&from, Some(&to), &mut |key, value| {
            if let (Some(topic), Some(key)) =
                (key.get(1).and_then(|number| Topic::from_number(*number)), key.get(2..))
            {
                let (key, value) = (bytes::Bytes::copy_from_slice(key), bytes::Bytes::copy_from_slice(value));
                outputs.push(Output { topic, key, value });
            }
            std::ops::ControlFlow::Continue(())
        })
        .map_err(|error| error.to_string())?;
        let commits = vec![(applied, Arc::new(outputs))];
        Ok(Batch { generation: self.generation, partition, from: at, to: applied, commits })
    }

    /// Writes until it is written: the store may be away, the log keeps what it lacks.
    fn write(&mut self, batches: &[Batch]) {
        if batches.is_empty() {
            return;
        }
        let started = Instant::now();
        loop {
            match self.writer.write(batches) {
                Ok(()) => break,
                Err(StoreError::Behind { partition, progress, .. }) => {
                    // Somebody moved the store back (a restored backup): what is missing comes from the log.
                    self.progress.insert(partition, progress);
                    return;
                }
                Err(error) => pause(&error),
            }
        }
        metrics::histogram!("leadline_store_write_ms").record(started.elapsed().as_secs_f64() * 1e3);
        for batch in batches {
            self.progress.insert(batch.partition, batch.to);
            self.retention.stored(batch.partition, batch.to);
            for (_, outputs) in &batch.commits {
                (self.stored)(outputs);
            }
        }
    }
}

fn pause(error: &StoreError) {
    tracing::error!(%error, "the record store did not take a batch; trying again");
    metrics::counter!("leadline_store_errors_total").increment(1);
    std::thread::sleep(RETRY);
}
