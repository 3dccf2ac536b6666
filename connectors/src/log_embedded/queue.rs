//! Queue: appends and commits waiting for the next group.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use leadline_schemas::{CommitNumber, Offset, Partition};
use tokio::sync::oneshot;

use super::frame::FRAME_HEADER_BYTES;
use super::shared::lock;
use crate::contract::log::{Append, AppendError, CommitAnswer};

pub(crate) type AppendAnswer = Result<Vec<Offset>, AppendError>;

pub(crate) enum Job {
    Append(AppendJob),
    Commit(CommitJob),
}

pub(crate) struct AppendJob {
    pub(crate) records: Vec<Append>,
    pub(crate) disk_bytes: usize,
    pub(crate) answer: oneshot::Sender<AppendAnswer>,
}

pub(crate) struct CommitJob {
    pub(crate) partition: Partition,
    pub(crate) number: CommitNumber,
    pub(crate) frame: Bytes,
    /// In how many frames it is written; an empty commit still has one.
    pub(crate) parts: u16,
    /// Set if it is refused already; it is queued nevertheless, because answers come from the log's thread.
    pub(crate) refusal: Option<String>,
    pub(crate) done: Done,
}

/// A commit's callback: called exactly once, even if the writer goes down with it.
pub(crate) struct Done(Option<Box<dyn FnOnce(CommitAnswer) + Send>>);

impl Done {
    pub(crate) fn new(done: Box<dyn FnOnce(CommitAnswer) + Send>) -> Self {
        Self(Some(done))
    }

    pub(crate) fn answer(mut self, answer: CommitAnswer) {
        if let Some(done) = self.0.take() {
            done(answer);
        }
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(CommitAnswer::Unknown("the log ended before it could answer".to_owned()));
        }
    }
}

impl Job {
    /// Bytes of its frames.
    pub(crate) fn disk_bytes(&self) -> usize {
        match self {
            Self::Append(append) => append.disk_bytes,
            Self::Commit(commit) => commit.frame.len() + usize::from(commit.parts) * FRAME_HEADER_BYTES,
        }
    }
}

/// Why a job did not get into the queue; it comes back with the reason.
pub(crate) enum Refused {
    Busy,
    Closed(Job),
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    append_bytes: usize,
    commit_bytes: usize,
    writer_waits: bool,
    closed: bool,
}

pub(crate) struct Queue {
    append_bytes_max: usize,
    commit_bytes_max: usize,
    state: Mutex<State>,
    filled: Condvar,
}

impl Queue {
    pub(crate) fn new(append_bytes_max: usize, commit_bytes_max: usize) -> Self {
        Self { append_bytes_max, commit_bytes_max, state: Mutex::default(), filled: Condvar::new() }
    }

    pub(crate) fn push(&self, mut job: Job) -> Result<(), Refused> {
        let bytes = job.disk_bytes();
        let mut state = lock(&self.state);
        if state.closed {
            return Err(Refused::Closed(job));
        }
        match &mut job {
            Job::Append(_) if state.append_bytes + bytes > self.append_bytes_max => {
                return Err(Refused::Busy);
            }
            Job::Append(_) => state.append_bytes += bytes,
            Job::Commit(commit) if state.commit_bytes + bytes > self.commit_bytes_max => {
                commit.frame = Bytes::new();
                commit.parts = 1;
                commit.refusal = Some("too many commits wait for the log".to_owned());
                state.commit_bytes += job.disk_bytes();
            }
            Job::Commit(_) => state.commit_bytes += bytes,
        }
        state.jobs.push_back(job);
        // Waking costs a system call; while the writer works it looks into the queue by itself.
        let wake = mem::take(&mut state.writer_waits);
        drop(state);
        if wake {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Moves the next group into `group`, which is empty: all there is, up to `bytes_max`, at least one job.
    pub(crate) fn take(&self, group: &mut VecDeque<Job>, bytes_max: usize) {
        let mut state = lock(&self.state);
        if state.append_bytes + state.commit_bytes <= bytes_max {
            mem::swap(&mut state.jobs, group);
            state.append_bytes = 0;
            state.commit_bytes = 0;
            return;
        }
        let mut taken = 0_usize;
        while let Some(job) = state.jobs.front() {
            let bytes = job.disk_bytes();
            if !group.is_empty() && taken + bytes > bytes_max {
                break;
            }
            taken += bytes;
            match job {
                Job::Append(_) => state.append_bytes -= bytes,
                Job::Commit(_) => state.commit_bytes -= bytes,
            }
            group.extend(state.jobs.pop_front());
        }
    }

    /// Waits for work. False: none came in time.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let mut state = lock(&self.state);
        state.writer_waits = true;
        let waited =
            self.filled.wait_timeout_while(state, timeout, |state| state.jobs.is_empty() && !state.closed);
        let mut state = match waited {
            Ok((state, _)) => state,
            Err(poisoned) => poisoned.into_inner().0,
        };
        state.writer_waits = false;
        !state.jobs.is_empty()
    }

    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.filled.notify_one();
    }

    /// Whether it is closed and empty.
    pub(crate) fn is_over(&self) -> bool {
        let state = lock(&self.state);
        state.closed && state.jobs.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        let state = lock(&self.state);
        state.append_bytes + state.commit_bytes
    }

    pub(crate) fn append_bytes_max(&self) -> usize {
        self.append_bytes_max
    }
}
