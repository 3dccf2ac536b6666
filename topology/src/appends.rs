//! Events on their way into the log: those that come within one turn of the runtime go together.
//!
//! The log syncs all that waits in one go, but hands over and answers each append by itself: a lock, a wake of its
//! writer and a wake of the runtime for every one. Under load a webhook costs as much for that as for its signature.
//! Here the first event of a turn starts a task, which the runtime runs after whatever else is ready; by then the
//! turn's other events have joined it, and the log sees one append. An event that comes alone waits for nothing.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use leadline_connectors::contract::log::{Append, AppendError, Log, RECORD_BYTES_MAX};
use leadline_schemas::{Offset, Partition, Topic};
use tokio::sync::oneshot;

/// Bytes that go together at most: a small part of the log's queue, so that a batch finds room as a record does.
const BATCH_BYTES_MAX: usize = 1 << 20;

type Answer = oneshot::Sender<Result<Offset, AppendError>>;

/// What goes to the log with the next append.
#[derive(Default)]
struct Batch {
    appends: Vec<Append>,
    answers: Vec<Answer>,
    bytes: usize,
}

/// The way of events into topic `inbound`.
pub(crate) struct Appends {
    log: Arc<dyn Log>,
    next: Arc<Mutex<Batch>>,
}

impl Appends {
    pub(crate) fn new(log: Arc<dyn Log>) -> Self {
        Self { log, next: Arc::default() }
    }

    /// Makes a record durable. Dropping the future does not take it back.
    pub(crate) async fn append(&self, partition: Partition, value: Bytes) -> Result<Offset, AppendError> {
        // It is refused here, or the log would refuse the others with it.
        let bytes = value.len();
        if bytes > RECORD_BYTES_MAX {
            return Err(AppendError::TooLarge { bytes });
        }
        let (answer, answered) = oneshot::channel();
        if let Some(full) = self.join(Append { topic: Topic::Inbound, partition, value }, answer) {
            tokio::spawn(write(Arc::clone(&self.log), full));
        }
        answered.await.unwrap_or_else(|_| {
            Err(AppendError::Failed("the log was stopped before it answered".to_owned()))
        })
    }

    /// Joins the next batch; the first of it starts the task that writes it. Answers the batch before, if this record
    /// does not fit it.
    fn join(&self, append: Append, answer: Answer) -> Option<Batch> {
        let bytes = append.value.len();
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = next.bytes > 0 && next.bytes + bytes > BATCH_BYTES_MAX;
        let full = is_full.then(|| std::mem::take(&mut *next));
        // A full batch leaves its task behind, which takes this one.
        let is_first = next.appends.is_empty() && full.is_none();
        next.appends.push(append);
        next.answers.push(answer);
        next.bytes += bytes;
        drop(next);
        if is_first {
            tokio::spawn(write_next(Arc::clone(&self.log), Arc::clone(&self.next)));
        }
        full
    }
}

/// Writes what has joined until this task has its turn.
async fn write_next(log: Arc<dyn Log>, next: Arc<Mutex<Batch>>) {
    tokio::task::yield_now().await;
    let batch = std::mem::take(&mut *next.lock().unwrap_or_else(PoisonError::into_inner));
    write(log, batch).await;
}

/// Appends a batch and tells each of its records' senders.
async fn write(log: Arc<dyn Log>, batch: Batch) {
    match log.append(batch.appends).await {
        Ok(offsets) => {
            // A client that went away has its record all the same.
            for (answer, offset) in batch.answers.into_iter().zip(offsets) {
                let _ = answer.send(Ok(offset));
            }
        }
        Err(error) => {
            for answer in batch.answers {
                let _ = answer.send(Err(error.clone()));
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
            if self.busy.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
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
                tokio::spawn(async move { appends.append(Partition(0), value.into()).await })
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
    fn a_batch_is_bounded_and_nothing_of_it_is_lost() {
        let log = Arc::new(Noting::default());
        let answers = append_all(&log, (0..50).map(|_| vec![7; 100 << 10]).collect());
        let offsets: HashSet<u64> = answers.into_iter().map(|answer| answer.unwrap().0).collect();
        assert_eq!(offsets.len(), 50);
        assert!(log.largest.load(Ordering::SeqCst) <= BATCH_BYTES_MAX);
        assert!(append_all(&log, vec![vec![7; 3 << 20]])[0].is_ok(), "one larger record goes by itself");
    }
}
