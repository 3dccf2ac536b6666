//! Late: a log that is opened when its brokers come.
//!
//! A process whose settings are kept and whose events are spooled need not wait for brokers to start. Until somebody
//! answers, this log takes nothing and says why; then it is the log that was opened, and whoever listens is told.

use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use leadline_schemas::{Offset, Partition, Topic};

use super::{SpoolError, lock};
use crate::contract::BoxFuture;
use crate::contract::log::{Append, AppendError, Chunk, Commit, CommitAnswer, Log, LogHealth, ReadError};

/// How long it is waited between two attempts.
const AGAIN: Duration = Duration::from_secs(1);

type Listener = Arc<dyn Fn() + Send + Sync>;

/// A log that may not be there yet.
pub struct LateLog {
    partitions: u16,
    opened: OnceLock<Arc<dyn Log>>,
    waiting: Mutex<Waiting>,
    tried: Condvar,
}

#[derive(Default)]
struct Waiting {
    listeners: Vec<(Topic, Partition, Listener)>,
    /// Why it is not there, as the last attempt said.
    why: Option<String>,
    failed: Option<String>,
}

impl LateLog {
    /// Opens a log again and again until it is there, in a thread of its own. `partitions` is how many it had when it
    /// was last seen: with another number it fails, for events were given places by it.
    pub fn open(
        partitions: u16,
        open: impl Fn() -> Result<Arc<dyn Log>, String> + Send + 'static,
    ) -> Result<Arc<Self>, SpoolError> {
        let waiting = Waiting { why: Some("nobody has answered yet".to_owned()), ..Waiting::default() };
        let late = Arc::new(Self {
            partitions,
            opened: OnceLock::new(),
            waiting: Mutex::new(waiting),
            tried: Condvar::new(),
        });
        let weak = Arc::downgrade(&late);
        let run = move || {
            loop {
                // While it tries, whoever needs the log may go.
                let opened = open();
                let Some(late) = weak.upgrade() else { return };
                if late.take(opened) {
                    return;
                }
                drop(late);
                std::thread::sleep(AGAIN);
            }
        };
        std::thread::Builder::new()
            .name("late-log".to_owned())
            .spawn(run)
            .map_err(|error| SpoolError::Thread(error.to_string()))?;
        Ok(late)
    }

    /// Waits until it is there, at most that long; whether it is.
    pub fn wait(&self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        let mut waiting = lock(&self.waiting);
        while self.opened.get().is_none() && waiting.failed.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            waiting = self.tried.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        self.opened.get().is_some()
    }

    /// Takes what an attempt came to; whether it was the last.
    fn take(&self, opened: Result<Arc<dyn Log>, String>) -> bool {
        let mut waiting = lock(&self.waiting);
        let log = match opened {
            Ok(log) if log.partitions() == self.partitions => log,
            Ok(log) => {
                waiting.failed = Some(format!(
                    "the log has {} partitions and had {}: start again to take that in",
                    log.partitions(),
                    self.partitions
                ));
                self.tried.notify_all();
                return true;
            }
            Err(why) => {
                waiting.why = Some(why);
                return false;
            }
        };
        let listeners = std::mem::take(&mut waiting.listeners);
        for (topic, partition, listener) in &listeners {
            log.listen(*topic, *partition, Arc::clone(listener));
        }
        let _ = self.opened.set(log); // Only this thread sets it.
        self.tried.notify_all();
        drop(waiting);
        // What came before they could listen is news too.
        listeners.iter().for_each(|(_, _, listener)| listener());
        true
    }

    fn there(&self) -> Result<&Arc<dyn Log>, String> {
        let why = || lock(&self.waiting).why.clone().unwrap_or_default();
        self.opened.get().ok_or_else(why)
    }

    fn readable(&self) -> Result<&Arc<dyn Log>, ReadError> {
        self.there().map_err(ReadError::Unavailable)
    }
}

impl Log for LateLog {
    fn partitions(&self) -> u16 {
        self.partitions
    }

    fn append(&self, records: Vec<Append>) -> BoxFuture<'static, Result<Vec<Offset>, AppendError>> {
        match self.there() {
            Ok(log) => log.append(records),
            Err(why) => Box::pin(std::future::ready(Err(AppendError::Unavailable(why)))),
        }
    }

    fn commit(&self, commit: Commit, done: Box<dyn FnOnce(CommitAnswer) + Send>) {
        match self.there() {
            Ok(log) => log.commit(commit, done),
            Err(why) => done(CommitAnswer::Aborted(why)),
        }
    }

    fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit_bytes: usize,
    ) -> Result<Chunk, ReadError> {
        self.readable()?.read(topic, partition, from, limit_bytes)
    }

    fn fetch(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit_bytes: usize,
    ) -> Result<Chunk, ReadError> {
        self.readable()?.fetch(topic, partition, from, limit_bytes)
    }

    fn range(&self, topic: Topic, partition: Partition) -> Result<(Offset, Offset), ReadError> {
        self.readable()?.range(topic, partition)
    }

    fn range_so_far(&self, partition: Partition) -> Result<(Offset, Offset), ReadError> {
        self.readable()?.range_so_far(partition)
    }

    fn listen(&self, topic: Topic, partition: Partition, listener: Listener) {
        let mut waiting = lock(&self.waiting);
        if let Some(log) = self.opened.get() {
            let log = Arc::clone(log);
            drop(waiting);
            return log.listen(topic, partition, listener);
        }
        waiting.listeners.retain(|(t, p, _)| (*t, *p) != (topic, partition));
        waiting.listeners.push((topic, partition, listener));
    }

    fn set_floor(&self, topic: Topic, partition: Partition, floor: Offset) {
        // Who reads nothing holds nothing back.
        if let Some(log) = self.opened.get() {
            log.set_floor(topic, partition, floor);
        }
    }

    fn health(&self) -> LogHealth {
        if let Some(log) = self.opened.get() {
            return log.health();
        }
        let waiting = lock(&self.waiting);
        LogHealth { failed: waiting.failed.clone(), unavailable: waiting.why.clone(), ..LogHealth::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::sync::mpsc;
    use std::task::{Context, Poll, Waker};

    use bytes::Bytes;
    use leadline_tests::until;

    use super::*;
    use crate::log_memory::MemoryLog;

    const P0: Partition = Partition(0);

    /// What an append is answered at once.
    fn appended(log: &dyn Log) -> Result<Vec<Offset>, AppendError> {
        let record = Append { topic: Topic::Inbound, partition: P0, key: Bytes::new(), value: Bytes::new() };
        match log.append(vec![record]).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => answer,
            Poll::Pending => panic!("nobody has to wait for this"),
        }
    }

    #[test]
    fn a_log_that_comes_late_is_listened_to_and_must_be_the_one_that_was_known() {
        let (let_in, door) = mpsc::channel::<Result<Arc<dyn Log>, String>>();
        let door = Mutex::new(door);
        let late = LateLog::open(2, move || door.lock().unwrap().recv().unwrap()).unwrap();
        let heard = Arc::new(AtomicUsize::new(0));
        let listener = Arc::clone(&heard);
        late.listen(Topic::Settings, P0, Arc::new(move || _ = listener.fetch_add(1, SeqCst)));
        assert!(matches!(late.range(Topic::Settings, P0), Err(ReadError::Unavailable(_))));
        assert!(matches!(appended(&*late), Err(AppendError::Unavailable(_))));
        assert!(!late.wait(Duration::ZERO) && late.health().unavailable.is_some());
        let log = MemoryLog::new(2);
        let_in.send(Err("nobody at 127.0.0.1:9092".to_owned())).unwrap();
        let_in.send(Ok(Arc::new(log.clone()))).unwrap();
        assert!(late.wait(Duration::from_secs(10)));
        until("who listens is told", Duration::from_secs(10), || heard.load(SeqCst) == 1);
        log.push(Topic::Settings, P0, Bytes::from_static(b"new"));
        assert_eq!((heard.load(SeqCst), late.range(Topic::Settings, P0)), (2, Ok((Offset(0), Offset(1)))));
        assert_eq!(late.health(), log.health());

        let other = LateLog::open(2, || Ok(Arc::new(MemoryLog::new(3)) as Arc<dyn Log>)).unwrap();
        assert!(!other.wait(Duration::from_secs(10)));
        assert!(other.health().failed.unwrap().contains("3 partitions and had 2"));
    }
}
