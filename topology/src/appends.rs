//! Events on their way into the log: those that come within one turn of the runtime go together.
//!
//! The log syncs all that waits in one go, but hands over and answers each append by itself: a lock, a wake of its
//! writer and a wake of the runtime for every one. Under load a webhook costs as much for that as for its signature.
//! Here the first event of a turn wakes a task, which the runtime runs after whatever else is ready; by then the
//! turn's other events have joined it, and the log sees one append. An event that comes alone waits for nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use leadline_connectors::contract::log::{Append, AppendError, Log, RECORD_BYTES_MAX};
use leadline_schemas::{Offset, Partition, Topic};
use tokio::sync::{Notify, oneshot};

/// Bytes that go together at most: a small part of the log's queue, so that a batch finds room as a record does.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// Records that go to the log together, and who is told.
#[derive(Default)]
struct Batch {
    appends: Vec<Append>,
    answers: Vec<oneshot::Sender<Result<Offset, AppendError>>>,
    bytes: usize,
}

/// What waits for the task.
#[derive(Default)]
struct Waiting {
    /// Full ones first; only the last one is joined.
    batches: Vec<Batch>,
    is_running: bool,
    is_closed: bool,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    came: Notify,
}

/// The way of events into topic `inbound`.
pub(crate) struct Appends {
    log: Arc<dyn Log>,
    shared: Arc<Shared>,
}

impl Appends {
    pub(crate) fn new(log: Arc<dyn Log>) -> Self {
        Self { log, shared: Arc::default() }
    }

    /// Makes a record durable. It has its place in the order when this returns; dropping the future does not take it back.
    pub(crate) fn append(
        &self,
        partition: Partition,
        key: Bytes,
        value: Bytes,
    ) -> impl Future<Output = Result<Offset, AppendError>> + Send + use<> {
        // It is refused here, or the log would refuse the others with it.
        let bytes = value.len();
        let answered = (bytes <= RECORD_BYTES_MAX).then(|| {
            let (answer, answered) = oneshot::channel();
            let must_start =
                self.shared.join(Append { topic: Topic::Inbound, partition, key, value }, answer);
            if must_start {
                tokio::spawn(run(Running(Arc::clone(&self.shared)), Arc::clone(&self.log)));
            }
            answered
        });
        async move {
            let answered = answered.ok_or(AppendError::TooLarge { bytes })?;
            let stopped = || AppendError::Failed("the log was stopped before it answered".to_owned());
            answered.await.unwrap_or_else(|_| Err(stopped()))
        }
    }
}

impl Drop for Appends {
    fn drop(&mut self) {
        self.shared.waiting().is_closed = true;
        self.shared.came.notify_one();
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the last batch, or begins another if it is full. Answers whether there is no task to write it.
    fn join(&self, append: Append, answer: oneshot::Sender<Result<Offset, AppendError>>) -> bool {
        let bytes = append.value.len();
        let mut waiting = self.waiting();
        let is_first = waiting.batches.is_empty();
        match waiting.batches.last_mut() {
            Some(batch) if batch.bytes + bytes <= BATCH_BYTES_MAX => batch.add(append, answer),
            _ => {
                let mut batch = Batch::default();
                batch.add(append, answer);
                waiting.batches.push(batch);
            }
        }
        let must_start = !std::mem::replace(&mut waiting.is_running, true);
        drop(waiting);
        if is_first && !must_start {
            self.came.notify_one();
        }
        must_start
    }
}

impl Batch {
    fn add(&mut self, append: Append, answer: oneshot::Sender<Result<Offset, AppendError>>) {
        self.bytes += append.value.len();
        self.appends.push(append);
        self.answers.push(answer);
    }

    /// Appends the batch at once; what is returned waits for the log and tells each of its records' senders.
    fn write(self, log: &dyn Log) -> impl Future<Output = ()> + use<> {
        let (appended, answers) = (log.append(self.appends), self.answers);
        async move {
            match appended.await {
                Ok(offsets) => {
                    // A client that went away has its record all the same.
                    for (answer, offset) in answers.into_iter().zip(offsets) {
                        let _ = answer.send(Ok(offset));
                    }
                }
                Err(error) => {
                    for answer in answers {
                        let _ = answer.send(Err(error.clone()));
                    }
                }
            }
        }
    }
}

/// The task's hold on what is shared. A runtime that ends drops it; then what waits is given up, and the next append
/// starts a task anew.
struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        waiting.is_running = false;
        waiting.batches.clear();
    }
}

/// Writes what comes until there is nobody left who appends.
async fn run(shared: Running, log: Arc<dyn Log>) {
    let mut writing = FuturesUnordered::new();
    loop {
        // The rest of the turn joins.
        tokio::task::yield_now().await;
        let batches = {
            let mut waiting = shared.0.waiting();
            if waiting.is_closed {
                return;
            }
            std::mem::take(&mut waiting.batches)
        };
        writing.extend(batches.into_iter().map(|batch| batch.write(&*log)));
        loop {
            tokio::select! {
                () = shared.0.came.notified() => break,
                Some(()) = writing.next() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use leadline_connectors::contract::BoxFuture;
    use leadline_connectors::contract::log::{Chunk, Commit, CommitAnswer, LogHealth, ReadError};

    use super::*;

    /// Notes what it is given; refuses a number of appends as busy first.
    #[derive(Default)]
    struct Noting {
        records: Mutex<Vec<Bytes>>,
        appends: AtomicUsize,
        largest: AtomicUsize,
        busy: AtomicUsize,
    }

    impl Log for Noting {
        fn partitions(&self) -> u16 {
            1
        }
        fn append(&self, records: Vec<Append>) -> BoxFuture<'static, Result<Vec<Offset>, AppendError>> {
            self.appends.fetch_add(1, Ordering::SeqCst);
            let bytes = records.iter().map(|record| record.value.len()).sum();
            self.largest.fetch_max(bytes, Ordering::SeqCst);
            if self.busy.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
            {
                return Box::pin(async { Err(AppendError::Busy { queue_bytes_max: 1 }) });
            }
            let mut kept = self.records.lock().unwrap();
            let first = kept.len() as u64;
            kept.extend(records.into_iter().map(|record| record.value));
            let offsets = (first..kept.len() as u64).map(Offset).collect();
            Box::pin(async move { Ok(offsets) })
        }
        fn commit(&self, _: Commit, done: Box<dyn FnOnce(CommitAnswer) + Send>) {
            done(CommitAnswer::Aborted("not asked for here".to_owned()));
        }
        fn read(&self, _: Topic, _: Partition, _: Offset, _: usize) -> Result<Chunk, ReadError> {
            Ok(Chunk::default())
        }
        fn range(&self, _: Topic, _: Partition) -> Result<(Offset, Offset), ReadError> {
            Ok((Offset(0), Offset(0)))
        }
        fn listen(&self, _: Topic, _: Partition, _: Arc<dyn Fn() + Send + Sync>) {}
        fn set_floor(&self, _: Topic, _: Partition, _: Offset) {}
        fn health(&self) -> LogHealth {
            LogHealth::default()
        }
    }

    /// Appends all at once, on one thread.
    fn append_all(log: &Arc<Noting>, values: Vec<Vec<u8>>) -> Vec<Result<Offset, AppendError>> {
        let appends = Arc::new(Appends::new(log.clone()));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let task = |value: Vec<u8>| {
                let appends = Arc::clone(&appends);
                tokio::spawn(async move { appends.append(Partition(0), Bytes::new(), value.into()).await })
            };
            let mut answers = Vec::new();
            for running in values.into_iter().map(task).collect::<Vec<_>>() {
                answers.push(running.await.unwrap());
            }
            answers
        })
    }

    #[test]
    fn events_of_one_turn_are_one_append_and_each_hears_its_own_offset() {
        let log = Arc::new(Noting::default());
        let values: Vec<Vec<u8>> = (0..100_u8).map(|value| vec![value; 8]).collect();
        let answers = append_all(&log, values.clone());
        assert_eq!(log.appends.load(Ordering::SeqCst), 1);
        let records = log.records.lock().unwrap();
        for (value, answer) in values.iter().zip(answers) {
            assert_eq!(records[answer.unwrap().0 as usize], value[..]);
        }
    }

    #[test]
    fn a_refusal_reaches_everybody_and_a_record_that_is_too_large_only_itself() {
        let log = Arc::new(Noting::default());
        log.busy.store(1, Ordering::SeqCst);
        let answers = append_all(&log, vec![vec![1], vec![2]]);
        assert!(answers.iter().all(|answer| *answer == Err(AppendError::Busy { queue_bytes_max: 1 })));
        let answers = append_all(&log, vec![vec![1], vec![0; RECORD_BYTES_MAX + 1], vec![2]]);
        assert_eq!(answers[1], Err(AppendError::TooLarge { bytes: RECORD_BYTES_MAX + 1 }));
        assert!(answers[0].is_ok() && answers[2].is_ok());
    }

    #[test]
    fn another_runtime_goes_on_where_one_has_ended_and_nothing_keeps_the_log() {
        let log = Arc::new(Noting::default());
        let appends = Appends::new(log.clone());
        for expected in 0..2 {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let append =
                async || appends.append(Partition(0), Bytes::new(), Bytes::from_static(b"event")).await;
            let answer = runtime.block_on(append());
            assert_eq!(answer, Ok(Offset(expected)));
        }
        drop(appends);
        assert_eq!(Arc::strong_count(&log), 1);
    }

    #[test]
    fn a_batch_is_bounded_and_nothing_of_it_is_lost() {
        let log = Arc::new(Noting::default());
        let answers = append_all(&log, (0..50).map(|_| vec![7; 100 << 10]).collect());
        let offsets: HashSet<u64> = answers.into_iter().map(|answer| answer.unwrap().0).collect();
        assert_eq!(offsets.len(), 50);
        assert!(log.largest.load(Ordering::SeqCst) <= BATCH_BYTES_MAX);
        assert!(append_all(&log, vec![vec![7; 3 << 20]])[0].is_ok(), "one larger record goes by itself");
    }
}
