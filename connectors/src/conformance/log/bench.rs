//! What the parts of the suite have in hand: the log, and ways to wait for it.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use leadline_schemas::{CommitNumber, Offset, Partition, Topic};

use super::{LogUnderTest, Values};
use crate::contract::BoxFuture;
use crate::contract::log::{
    Append, AppendError, Commit, CommitAnswer, Log, RECORD_BYTES_MAX, ReadError, Record,
};

/// How long a log may take to answer on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) const P0: Partition = Partition(0);
pub(super) const P1: Partition = Partition(1);

pub(super) type Appended = Result<Vec<Offset>, AppendError>;

pub(super) struct Bench<'t> {
    pub(super) test: &'t mut dyn LogUnderTest,
    pub(super) log: Option<Arc<dyn Log>>,
    pub(super) values: Arc<dyn Values>,
}

pub(super) struct Unpark(pub(super) Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

pub(super) fn epoch(partition: Partition, number: u64, frame: Bytes) -> Commit {
    Commit {
        partition,
        number: CommitNumber(number),
        inbound_next: Offset(0),
        replies_next: Offset(0),
        outputs: Arc::default(),
        frame,
    }
}

/// Waits for an append in a thread beside the suite's own.
pub(super) fn block_on(mut appending: BoxFuture<'static, Appended>) -> Appended {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match appending.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => std::thread::park(),
        }
    }
}

impl<'t> Bench<'t> {
    pub(super) fn new(test: &'t mut dyn LogUnderTest) -> Self {
        let (log, values) = (Some(test.start()), test.values());
        Self { test, log, values }
    }

    pub(super) fn log(&self) -> &dyn Log {
        self.log.as_deref().unwrap()
    }

    /// A record of this text.
    pub(super) fn record(&self, topic: Topic, partition: Partition, text: impl AsRef<[u8]>) -> Append {
        let value = self.values.make((topic, partition), text.as_ref());
        Append { topic, partition, key: Bytes::new(), value }
    }

    /// An event of the largest size that a log takes.
    pub(super) fn largest(&self) -> Append {
        let mut content = vec![7; RECORD_BYTES_MAX];
        loop {
            let largest = self.record(Topic::Inbound, P0, &content);
            let excess = largest.value.len() - RECORD_BYTES_MAX;
            if excess == 0 {
                return largest;
            }
            content.truncate(content.len() - excess);
        }
    }

    /// What a record that was read carries; nothing has nothing around it, and frames are the log's own.
    pub(super) fn content(&self, topic: Topic, record: &Record) -> Bytes {
        match topic == Topic::State || record.value.is_empty() {
            true => record.value.clone(),
            false => self.values.content(topic, &record.value),
        }
    }

    /// Waits until something is there, doing the log's work meanwhile.
    pub(super) fn wait<T>(&mut self, what: &str, mut ready: impl FnMut(&Waker) -> Option<T>) -> T {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = ready(&waker) {
                return found;
            }
            if !self.test.work() {
                assert!(Instant::now() < deadline, "{what} never came");
                std::thread::park_timeout(Duration::from_millis(100));
            }
        }
    }

    pub(super) fn answer(&mut self, mut appending: BoxFuture<'static, Appended>) -> Appended {
        self.wait("the answer to an append", |waker| {
            match appending.as_mut().poll(&mut Context::from_waker(waker)) {
                Poll::Ready(answer) => Some(answer),
                Poll::Pending => None,
            }
        })
    }

    pub(super) fn append(&mut self, records: Vec<Append>) -> Appended {
        let appending = self.log().append(records);
        self.answer(appending)
    }

    /// Appends one record that the log has to take.
    pub(super) fn put(&mut self, topic: Topic, partition: Partition, text: impl AsRef<[u8]>) -> Offset {
        let record = self.record(topic, partition, text);
        self.append(vec![record]).unwrap()[0]
    }

    /// Sends a commit; the answer comes into the slot that is given back.
    pub(super) fn send(&mut self, commit: Commit) -> Arc<Mutex<Vec<CommitAnswer>>> {
        let (answers, thread) = (Arc::new(Mutex::new(Vec::new())), std::thread::current());
        let slot = Arc::clone(&answers);
        let done = move |answer| {
            slot.lock().unwrap().push(answer);
            thread.unpark();
        };
        self.log().commit(commit, Box::new(done));
        answers
    }

    pub(super) fn commit(&mut self, partition: Partition, number: u64, frame: Bytes) -> CommitAnswer {
        let answers = self.send(epoch(partition, number, frame));
        self.committed(&answers)
    }

    pub(super) fn committed(&mut self, answers: &Mutex<Vec<CommitAnswer>>) -> CommitAnswer {
        self.wait("the answer to a commit", |_| answers.lock().unwrap().first().cloned())
    }

    pub(super) fn range(&self, topic: Topic, partition: Partition) -> (u64, u64) {
        let (first, end) = self.log().range(topic, partition).unwrap();
        (first.0, end.0)
    }

    /// What all records carry that are kept, read in small chunks; checks that they have no gaps.
    pub(super) fn all(&self, topic: Topic, partition: Partition) -> Vec<Bytes> {
        self.try_all(topic, partition).unwrap()
    }

    /// The same of a log that may drop what is asked for meanwhile.
    pub(super) fn try_all(&self, topic: Topic, partition: Partition) -> Result<Vec<Bytes>, ReadError> {
        let (mut from, end) = self.log().range(topic, partition)?;
        let mut found = Vec::new();
        while from < end {
            let chunk = self.log().fetch(topic, partition, from, 3_000)?;
            assert!(!chunk.records.is_empty(), "a reader before the end gets at least one record");
            for record in chunk.records {
                assert_eq!(record.offset, from, "records have no gaps");
                from.0 += 1;
                found.push(self.content(topic, &record));
            }
            assert_eq!(chunk.next, from, "a chunk says where to read on");
        }
        Ok(found)
    }

    /// The same log, ended and started again.
    pub(super) fn restart(&mut self) {
        // The suite holds the only one; the next is opened when it is gone.
        self.log = None;
        self.log = Some(self.test.start());
    }
}
