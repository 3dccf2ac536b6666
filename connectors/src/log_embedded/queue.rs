//! The one queue into the log: appends and commits wait here for the next write.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use leadline_schemas::Offset;
use tokio::sync::oneshot;

use super::frame::FRAME_HEADER_BYTES;
use crate::contract::log::{Append, AppendError, Commit, CommitAnswer};

/// What waits.
pub(crate) enum Work {
    Append { records: Vec<Append>, bytes: usize, done: oneshot::Sender<Result<Vec<Offset>, AppendError>> },
    Commit { commit: Commit, bytes: usize, done: Box<dyn FnOnce(CommitAnswer) + Send> },
}

impl Work {
    /// Answers work that was not begun.
    pub(crate) fn refuse(self, append: &AppendError, commit: &CommitAnswer) {
        match self {
            Self::Append { done, .. } => {
                let _ = done.send(Err(append.clone())); // Whoever asked may have gone.
            }
            Self::Commit { done, .. } => done(commit.clone()),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Append { bytes, .. } | Self::Commit { bytes, .. } => *bytes,
        }
    }
}

#[derive(Default)]
struct Waiting {
    work: VecDeque<Work>,
    append_bytes: usize,
    commit_bytes: usize,
    /// Whether somebody waits for work: waking nobody is a system call too.
    awaited: bool,
    closed: bool,
}

/// A bounded queue with room for commits that appends cannot take.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    came: Condvar,
}

/// What there was to take.
pub(crate) enum Took {
    Work(Vec<Work>),
    Nothing,
    /// Nothing, and nothing will come any more.
    Closed,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes appends in, if there is room.
    pub(crate) fn push_append(&self, work: Work, bytes_max: usize) -> Result<(), AppendError> {
        let mut waiting = self.waiting();
        if waiting.closed {
            return Err(AppendError::Failed("the log is closed".to_owned()));
        }
        if waiting.append_bytes + work.bytes() > bytes_max {
            return Err(AppendError::Busy { queue_bytes_max: bytes_max });
        }
        waiting.append_bytes += work.bytes();
        self.push(waiting, work);
        Ok(())
    }

    /// Takes a commit in; hands it back when the log is closed or commits have filled their own room.
    pub(crate) fn push_commit(&self, work: Work, bytes_max: usize) -> Result<(), Work> {
        let mut waiting = self.waiting();
        if waiting.closed || waiting.commit_bytes + work.bytes() > bytes_max {
            return Err(work);
        }
        waiting.commit_bytes += work.bytes();
        self.push(waiting, work);
        Ok(())
    }

    fn push(&self, mut waiting: MutexGuard<'_, Waiting>, work: Work) {
        waiting.work.push_back(work);
        let awaited = std::mem::take(&mut waiting.awaited);
        drop(waiting); // Or whoever wakes would wait for this lock next.
        if awaited {
            self.came.notify_one();
        }
    }

    /// Waits until there is something to take, at most `idle`.
    pub(crate) fn wait(&self, idle: Duration) {
        let mut waiting = self.waiting();
        if waiting.work.is_empty() && !waiting.closed {
            waiting.awaited = true;
            drop(self.came.wait_timeout(waiting, idle).unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Takes what waits, up to about `bytes_max`, at least one; never waits for it.
    pub(crate) fn take(&self, bytes_max: usize) -> Took {
        let mut waiting = self.waiting();
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(work) = waiting.work.front() {
            if !taken.is_empty() && bytes + work.bytes() > bytes_max {
                break;
            }
            bytes += work.bytes();
            match work {
                Work::Append { bytes, .. } => waiting.append_bytes -= *bytes,
                Work::Commit { bytes, .. } => waiting.commit_bytes -= *bytes,
            }
            taken.extend(waiting.work.pop_front());
        }
        match (taken.is_empty(), waiting.closed) {
            (false, _) => Took::Work(taken),
            (true, true) => Took::Closed,
            (true, false) => Took::Nothing,
        }
    }

    /// Gives work back that could not be done: it is the next to be taken.
    pub(crate) fn put_back(&self, work: Vec<Work>) {
        let mut waiting = self.waiting();
        for work in work.into_iter().rev() {
            match &work {
                Work::Append { bytes, .. } => waiting.append_bytes += *bytes,
                Work::Commit { bytes, .. } => waiting.commit_bytes += *bytes,
            }
            waiting.work.push_front(work);
        }
    }

    /// Takes out the appends that wait, and nothing else.
    pub(crate) fn take_appends(&self) -> Vec<Work> {
        let mut waiting = self.waiting();
        waiting.append_bytes = 0;
        let (appends, commits) = waiting.work.drain(..).partition(|work| matches!(work, Work::Append { .. }));
        let appends: VecDeque<Work> = appends;
        waiting.work = commits;
        appends.into()
    }

    /// Waits until the log is closed, at most `idle`.
    pub(crate) fn wait_for_close(&self, idle: Duration) {
        let waiting = self.waiting();
        let open = |waiting: &mut Waiting| !waiting.closed;
        drop(self.came.wait_timeout_while(waiting, idle, open).unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.waiting().closed
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        let waiting = self.waiting();
        waiting.append_bytes + waiting.commit_bytes
    }

    pub(crate) fn close(&self) {
        self.waiting().closed = true;
        self.came.notify_all();
    }
}

/// What records take in the queue and in a segment.
pub(crate) fn append_bytes(records: &[Append]) -> usize {
    records.iter().map(|record| record.value.len() + FRAME_HEADER_BYTES).sum()
}
