//! Log in memory, with the answers that a log may give and seldom does: for tests and simulation.
//!
//! Left alone it answers at once. [`MemoryLog::hold`] makes it wait, so that a test decides when each append and
//! commit is answered; `fail_append` and `fail_commit` plan the next answers; [`MemoryLog::crash`] gives what the
//! next process would find. Nothing happens but inside calls, so one thread and one seed give one run.

mod plan;
mod records;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use leadline_schemas::{Offset, Partition, Topic};
use tokio::sync::oneshot;

use crate::contract::BoxFuture;
use crate::contract::log::{
    Append, AppendError, Chunk, Commit, CommitAnswer, Log, LogHealth, RECORD_BYTES_MAX, ReadError,
};
use plan::Work;
pub use plan::{AppendFault, CommitFault};
use records::Records;

type Listener = Arc<dyn Fn() + Send + Sync>;

/// How many bytes wait, while answers are held, before `Busy`; commits have as much again.
const QUEUE_BYTES_MAX: usize = 64 << 20;

/// Why it cannot be reached.
const AWAY: &str = "taken away by the test";

/// A log in one life of its process. Clones are the same log.
#[derive(Clone)]
pub struct MemoryLog {
    partitions: u16,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    records: Records,
    listeners: HashMap<(Topic, Partition), Listener>,
    waiting: VecDeque<Work>,
    append_faults: VecDeque<AppendFault>,
    commit_faults: VecDeque<CommitFault>,
    held: bool,
    full: bool,
    away: bool,
    failed: Option<String>,
}

impl MemoryLog {
    /// An empty log.
    pub fn new(partitions: u16) -> Self {
        Self { partitions, shared: Arc::default() }
    }

    /// Plans the answer of an append to come; several are used up in the order in which they were planned.
    pub fn fail_append(&self, fault: AppendFault) {
        self.lock().append_faults.push_back(fault);
    }

    /// Plans the answer of a commit to come; several are used up in the order in which they were planned.
    pub fn fail_commit(&self, fault: CommitFault) {
        self.lock().commit_faults.push_back(fault);
    }

    /// From now on appends and commits wait to be answered by `release`. What waits is not readable.
    pub fn hold(&self) {
        self.lock().held = true;
    }

    /// From now on appends and commits are answered at once; what waits is answered now.
    pub fn let_go(&self) {
        self.lock().held = false;
        while self.release() {}
    }

    /// Answers the oldest append or commit that waits; false if none does.
    pub fn release(&self) -> bool {
        let Some(work) = self.lock().waiting.pop_front() else { return false };
        self.perform(work);
        true
    }

    /// How many appends and commits wait.
    pub fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Takes all room away from appends, or gives it back.
    pub fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    /// From now on nobody answers appends, as if it were on other machines; or somebody does again.
    pub fn set_away(&self, away: bool) {
        self.lock().away = away;
    }

    /// Appends one record at once, whatever is planned or held, and tells the listener. A place that does not exist
    /// comes into being.
    pub fn push(&self, topic: Topic, partition: Partition, value: Bytes) -> Offset {
        let offset = self.lock().records.push((topic, partition), value);
        self.tell(&[(topic, partition)]);
        offset
    }

    /// All records that are kept.
    pub fn all(&self, topic: Topic, partition: Partition) -> Vec<Bytes> {
        self.lock().records.all((topic, partition))
    }

    /// The log as the next process finds it: everything that was acknowledged and the oldest `kept` of the appends
    /// and commits that wait, whole. Nobody who waits is answered, and this value fails from now on.
    #[must_use]
    pub fn crash(&self, kept: usize) -> Self {
        let mut shared = self.lock();
        let waiting = std::mem::take(&mut shared.waiting);
        for work in waiting.into_iter().take(kept) {
            match work {
                Work::Append { records, .. } => {
                    for record in records {
                        shared.records.push((record.topic, record.partition), record.value);
                    }
                }
                Work::Commit { commit, .. } if shared.records.is_next(&commit) => {
                    shared.records.push((Topic::State, commit.partition), commit.frame);
                }
                Work::Commit { .. } => {}
            }
        }
        let records = std::mem::take(&mut shared.records);
        shared.failed = Some("the log has crashed".to_owned());
        shared.listeners.clear();
        let next = Shared { records, ..Shared::default() };
        Self { partitions: self.partitions, shared: Arc::new(Mutex::new(next)) }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, topic: Topic, partition: Partition) -> bool {
        match topic {
            Topic::Settings => partition.0 == 0,
            Topic::Inbound | Topic::Replies | Topic::State => partition.0 < self.partitions,
            _ => false,
        }
    }

    /// Locks it for a read of a place that has to exist.
    fn place(&self, topic: Topic, partition: Partition) -> Result<MutexGuard<'_, Shared>, ReadError> {
        let shared = self.lock();
        if let Some(why) = &shared.failed {
            return Err(ReadError::Unavailable(why.clone()));
        }
        if !self.has(topic, partition) && !shared.records.has((topic, partition)) {
            return Err(ReadError::Unavailable(format!("there is no {topic}/{partition}")));
        }
        Ok(shared)
    }

    /// Why these records cannot even wait.
    fn refusal(&self, shared: &mut Shared, records: &[Append]) -> Option<AppendError> {
        if let Some(why) = &shared.failed {
            return Some(AppendError::Failed(why.clone()));
        }
        for record in records {
            let (topic, partition, bytes) = (record.topic, record.partition, record.value.len());
            if bytes > RECORD_BYTES_MAX {
                return Some(AppendError::TooLarge { bytes });
            }
            if topic == Topic::State || !self.has(topic, partition) {
                return Some(AppendError::Failed(format!("nothing can be appended to {topic}/{partition}")));
            }
        }
        if shared.away {
            return Some(AppendError::Unavailable(AWAY.to_owned()));
        }
        if shared.full {
            return Some(AppendError::Full);
        }
        let bytes: usize = records.iter().map(|record| record.value.len()).sum();
        let waiting: usize = shared.waiting.iter().map(Work::append_bytes).sum();
        if waiting.saturating_add(bytes) > QUEUE_BYTES_MAX {
            return Some(AppendError::Busy { queue_bytes_max: QUEUE_BYTES_MAX });
        }
        match shared.append_faults.front()? {
            AppendFault::Failed { .. } | AppendFault::Unavailable { .. } => None,
            AppendFault::Busy => {
                shared.append_faults.pop_front();
                Some(AppendError::Busy { queue_bytes_max: QUEUE_BYTES_MAX })
            }
            AppendFault::Full => {
                shared.append_faults.pop_front();
                Some(AppendError::Full)
            }
        }
    }

    /// Writes, tells the listeners, answers; the lock is not held while others are called.
    fn perform(&self, work: Work) {
        match work {
            Work::Append { records, fault, done } => {
                let (mut places, mut offsets) = (Vec::new(), Vec::new());
                if fault.is_none_or(AppendFault::is_written) {
                    places = records.iter().map(|record| (record.topic, record.partition)).collect();
                    offsets = self.lock().records.push_all(records);
                }
                self.tell(&places);
                let failed = fault.map(AppendFault::error);
                let _ = done.send(failed.map_or(Ok(offsets), Err)); // Whoever asked may have gone.
            }
            Work::Commit { commit, fault, done } => {
                let place = (Topic::State, commit.partition);
                let (answer, written) = self.lock().take(commit, fault);
                if written {
                    self.tell(&[place]);
                }
                done(answer);
            }
        }
    }

    fn tell(&self, moved: &[(Topic, Partition)]) {
        let listeners: Vec<Listener> = {
            let shared = self.lock();
            let mut places = moved.to_vec();
            places.sort_unstable();
            places.dedup();
            places.iter().filter_map(|place| shared.listeners.get(place).cloned()).collect()
        };
        listeners.iter().for_each(|listener| listener());
    }
}

impl Shared {
    /// Writes a commit, or does not; how it ends, and whether it was written.
    fn take(&mut self, commit: Commit, fault: Option<CommitFault>) -> (CommitAnswer, bool) {
        let (_, end) = self.records.range((Topic::State, commit.partition));
        let (answer, written) = match fault {
            Some(fault) => (fault.answer(), matches!(fault, CommitFault::Unknown { written: true })),
            None if self.records.is_next(&commit) => (CommitAnswer::Committed, true),
            None => {
                let why = format!("commit {} comes behind commit {end}", commit.number);
                (CommitAnswer::Fenced(why), false)
            }
        };
        if written {
            self.records.push((Topic::State, commit.partition), commit.frame);
        }
        (answer, written)
    }
}

impl Log for MemoryLog {
    fn partitions(&self) -> u16 {
        self.partitions
    }

    fn append(&self, records: Vec<Append>) -> BoxFuture<'static, Result<Vec<Offset>, AppendError>> {
        let (done, answered) = oneshot::channel();
        let work = {
            let mut shared = self.lock();
            if let Some(refused) = self.refusal(&mut shared, &records) {
                return Box::pin(std::future::ready(Err(refused)));
            }
            let work = Work::Append { records, fault: shared.append_faults.pop_front(), done };
            if shared.held {
                shared.waiting.push_back(work);
                None
            } else {
                Some(work)
            }
        };
        if let Some(work) = work {
            self.perform(work);
        }
        Box::pin(async move {
            answered.await.unwrap_or_else(|_| Err(AppendError::Failed("the log has crashed".to_owned())))
        })
    }

    fn commit(&self, commit: Commit, done: Box<dyn FnOnce(CommitAnswer) + Send>) {
        let mut shared = self.lock();
        let refused = match &shared.failed {
            Some(why) => Some(why.clone()),
            None if commit.partition.0 >= self.partitions => {
                Some(format!("there is no partition {}", commit.partition))
            }
            None => None,
        };
        if let Some(why) = refused {
            drop(shared);
            return done(CommitAnswer::Aborted(why));
        }
        let work = Work::Commit { commit, fault: shared.commit_faults.pop_front(), done };
        if shared.held {
            shared.waiting.push_back(work);
        } else {
            drop(shared);
            self.perform(work);
        }
    }

    fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit_bytes: usize,
    ) -> Result<Chunk, ReadError> {
        self.place(topic, partition)?.records.read((topic, partition), from, limit_bytes)
    }

    fn range(&self, topic: Topic, partition: Partition) -> Result<(Offset, Offset), ReadError> {
        Ok(self.place(topic, partition)?.records.range((topic, partition)))
    }

    fn listen(&self, topic: Topic, partition: Partition, listener: Listener) {
        self.lock().listeners.insert((topic, partition), listener);
    }

    fn set_floor(&self, topic: Topic, partition: Partition, floor: Offset) {
        self.lock().records.drop_below((topic, partition), floor);
    }

    fn health(&self) -> LogHealth {
        let shared = self.lock();
        LogHealth {
            full: shared.full,
            failed: shared.failed.clone(),
            disk_bytes: shared.records.bytes() as u64,
            unavailable: shared.away.then(|| AWAY.to_owned()),
            queued_bytes: shared.waiting.iter().map(Work::bytes).sum::<usize>() as u64,
        }
    }
}
