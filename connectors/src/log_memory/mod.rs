//! The log in memory: for tests and simulations, with every answer a log may give at hand.
//!
//! It is a `Log` like the others, output topics included. It is not durable: it ends with the process.
//! Callbacks and answers come from the thread that calls `append`, `commit` or `release`.

mod faults;
mod store;

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use leadline_schemas::{Offset, Partition, Topic};
use tokio::sync::oneshot;

use faults::Faults;
pub use faults::{AppendFault, CommitFault, FaultRates};
use store::{Listener, Store};

use crate::contract::BoxFuture;
use crate::contract::log::{
    Append, AppendError, Chunk, Commit, CommitAnswer, Log, LogHealth, RECORD_BYTES_MAX, ReadError,
};

/// What a queue would hold; only named in `Busy`.
const QUEUE_BYTES_MAX: usize = 64 << 20;

type Done = Box<dyn FnOnce(CommitAnswer) + Send>;
type Answer = oneshot::Sender<Result<Vec<Offset>, AppendError>>;

/// An in-memory log with fault injection.
pub struct MemoryLog {
    partitions: u16,
    state: Mutex<State>,
}

struct State {
    store: Store,
    faults: Faults,
    /// While held, operations wait here and nothing of them is done.
    held: Option<VecDeque<Held>>,
}

enum Held {
    Append(Vec<Append>, Answer),
    Commit(Commit, Done),
}

/// What is left to do once the lock is released: listeners and callbacks may call the log again.
#[derive(Default)]
struct After {
    moved: Vec<Listener>,
    answer: Option<Box<dyn FnOnce() + Send>>,
}

impl MemoryLog {
    /// An empty log that answers everything well.
    pub fn new(partitions: u16) -> Self {
        let state = State { store: Store::new(partitions), faults: Faults::default(), held: None };
        Self { partitions, state: Mutex::new(state) }
    }

    /// The next commit that is not scripted yet ends like this.
    pub fn script_commit(&self, fault: CommitFault) {
        self.lock().faults.commits.push_back(fault);
    }

    /// The next append that is not scripted yet ends like this.
    pub fn script_append(&self, fault: AppendFault) {
        self.lock().faults.appends.push_back(fault);
    }

    /// From now on, what is not scripted fails by chance; one seed gives one sequence of faults.
    pub fn seed_faults(&self, seed: u64, rates: FaultRates) {
        self.lock().faults.seed(seed, rates);
    }

    /// From now on nothing is done or answered until it is released.
    pub fn hold(&self) {
        self.lock().held.get_or_insert_default();
    }

    /// Lets one held operation go on; false if there is none.
    pub fn release_one(&self) -> bool {
        let mut state = self.lock();
        let Some(next) = state.held.as_mut().and_then(VecDeque::pop_front) else { return false };
        let after = state.run(next);
        drop(state);
        after.run();
        true
    }

    /// Lets everything go on and holds no longer.
    pub fn release(&self) {
        while self.release_one() {}
        // What arrived since then is let go as well, in its order, before anything new.
        let late = self.lock().held.take().unwrap_or_default();
        for held in late {
            let after = self.lock().run(held);
            after.run();
        }
    }

    /// Operations that are held.
    pub fn held(&self) -> usize {
        self.lock().held.as_ref().map_or(0, VecDeque::len)
    }

    /// Drops what lies below the floors, as retention would.
    pub fn drop_below_floors(&self) {
        self.lock().store.drop_below_floors();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(&self, operation: Held) {
        let mut state = self.lock();
        if let Some(held) = state.held.as_mut() {
            held.push_back(operation);
            return;
        }
        let after = state.run(operation);
        drop(state);
        after.run();
    }
}

impl State {
    fn run(&mut self, operation: Held) -> After {
        match operation {
            Held::Append(records, answer) => self.run_append(records, answer),
            Held::Commit(commit, done) => self.run_commit(&commit, done),
        }
    }

    fn run_append(&mut self, records: Vec<Append>, answer: Answer) -> After {
        let fault = self.faults.next_append();
        let (write, error) = match fault {
            None => (true, None),
            Some(AppendFault::Full) => (false, Some(AppendError::Full)),
            Some(AppendFault::Busy) => (false, Some(AppendError::Busy { queue_bytes_max: QUEUE_BYTES_MAX })),
            Some(AppendFault::FailedDone) => (true, Some(AppendError::Failed("injected".to_owned()))),
            Some(AppendFault::FailedLost) => (false, Some(AppendError::Failed("injected".to_owned()))),
        };
        let mut after = After::default();
        let mut offsets = Vec::with_capacity(records.len());
        for record in records.into_iter().filter(|_| write) {
            let (offset, moved) = self.store.push(record.topic, record.partition, record.value);
            offsets.push(offset);
            after.moved.extend(moved);
        }
        let result = error.map_or(Ok(offsets), Err);
        // The caller may have gone; its records stay.
        after.answer = Some(Box::new(move || drop(answer.send(result))));
        after
    }

    fn run_commit(&mut self, commit: &Commit, done: Done) -> After {
        let mut after = After::default();
        let next = self.store.next(Topic::State, commit.partition);
        let result = if next.is_none_or(|next| next.0 + 1 != commit.number.0) {
            CommitAnswer::Aborted(format!("commit {} is not the next one", commit.number))
        } else {
            let fault = self.faults.next_commit();
            if matches!(fault, None | Some(CommitFault::UnknownDone)) {
                let (_, moved) = self.store.push(Topic::State, commit.partition, commit.frame.clone());
                after.moved.extend(moved);
                for output in commit.outputs.iter() {
                    let (_, moved) = self.store.push(output.topic, commit.partition, output.value.clone());
                    after.moved.extend(moved);
                }
            }
            faults::answer(fault)
        };
        after.answer = Some(Box::new(move || done(result)));
        after
    }
}

impl After {
    fn run(self) {
        if let Some(answer) = self.answer {
            answer();
        }
        self.moved.iter().for_each(|listener| listener());
    }
}

impl Log for MemoryLog {
    fn partitions(&self) -> u16 {
        self.partitions
    }

    fn append(&self, records: Vec<Append>) -> BoxFuture<'static, Result<Vec<Offset>, AppendError>> {
        for record in &records {
            let appendable = matches!(record.topic, Topic::Inbound | Topic::Replies | Topic::Settings);
            if !appendable || self.lock().store.next(record.topic, record.partition).is_none() {
                let why = format!("nothing can be appended to {}/{}", record.topic, record.partition);
                return Box::pin(std::future::ready(Err(AppendError::Failed(why))));
            }
            if record.value.len() > RECORD_BYTES_MAX {
                let error = AppendError::TooLarge { bytes: record.value.len() };
                return Box::pin(std::future::ready(Err(error)));
            }
        }
        let (answer, answered) = oneshot::channel();
        self.submit(Held::Append(records, answer));
        Box::pin(async move {
            answered.await.unwrap_or_else(|_| Err(AppendError::Failed("the log is closed".to_owned())))
        })
    }

    fn commit(&self, commit: Commit, done: Done) {
        self.submit(Held::Commit(commit, done));
    }

    fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit_bytes: usize,
    ) -> Result<Chunk, ReadError> {
        self.lock().store.read(topic, partition, from, limit_bytes)
    }

    fn range(&self, topic: Topic, partition: Partition) -> Result<(Offset, Offset), ReadError> {
        self.lock().store.range(topic, partition)
    }

    fn listen(&self, topic: Topic, partition: Partition, listener: Listener) {
        self.lock().store.listen(topic, partition, listener);
    }

    fn set_floor(&self, topic: Topic, partition: Partition, floor: Offset) {
        self.lock().store.set_floor(topic, partition, floor);
    }

    fn health(&self) -> LogHealth {
        LogHealth { disk_bytes: self.lock().store.bytes(), ..LogHealth::default() }
    }
}
