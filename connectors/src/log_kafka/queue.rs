//! Queue: the commits that wait for a committer, and which of them go together.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use leadline_schemas::{CommitNumber, Partition};

use crate::contract::log::{Commit, CommitAnswer};

/// How long after a transaction the next one waits for partitions that have no commit yet. Those that were answered close
/// their next epochs at once, but one after the other: without this the first of them would go alone, and the others wait
/// for a whole transaction. The broker writes the markers of the last one meanwhile, before which it takes no other.
const GATHER: Duration = Duration::from_millis(10);
/// Above how many bytes of frames nobody is waited for: then what a transaction costs is its records, and a pause would
/// only be lost (a stream at full speed takes a fifth longer with it).
const SMALL_BYTES_MAX: usize = 256 << 10;

pub(super) type Done = Box<dyn FnOnce(CommitAnswer) + Send>;

/// What waits, and what is under way.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) waiting: VecDeque<Waiting>,
    /// Partitions whose commits are in a transaction now.
    pub(super) busy: Vec<Partition>,
    /// The last commit of each partition under its present assignment.
    pub(super) last: BTreeMap<Partition, CommitNumber>,
    /// Whether a partition was assigned: the producer is made before its first commit comes.
    pub(super) prepare: bool,
    pub(super) closed: bool,
    /// When the last transaction ended, if it was small.
    small_ended: Option<Instant>,
}

/// A commit and who is told of its end.
pub(super) struct Waiting {
    pub(super) commit: Commit,
    pub(super) done: Done,
}

impl Queue {
    /// How long commits of others of the `owned` partitions are waited for; none when those that are here may go. They
    /// are counted only where that matters: at full speed nobody is waited for.
    pub(super) fn to_gather(&self, owned: impl FnOnce() -> usize) -> Option<Duration> {
        if self.prepare {
            return None;
        }
        let left = GATHER.saturating_sub(self.small_ended?.elapsed());
        if left.is_zero() {
            return None;
        }
        let here: BTreeSet<Partition> = self.waiting.iter().map(|waiting| waiting.commit.partition).collect();
        (here.len() < owned()).then_some(left)
    }

    /// A transaction with that many bytes of frames is over.
    pub(super) fn ended(&mut self, frame_bytes: usize) {
        self.busy.clear();
        self.small_ended = (frame_bytes <= SMALL_BYTES_MAX).then(Instant::now);
    }

    /// The oldest commit of each partition.
    pub(super) fn batch(&mut self) -> Vec<Waiting> {
        let (mut batch, mut rest) = (Vec::<Waiting>::new(), VecDeque::new());
        for waiting in self.waiting.drain(..) {
            if batch.iter().any(|other| other.commit.partition == waiting.commit.partition) {
                rest.push_back(waiting);
            } else {
                batch.push(waiting);
            }
        }
        self.waiting = rest;
        batch
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use leadline_schemas::Offset;

    use super::*;

    fn waiting(partition: u16) -> Waiting {
        let commit = Commit {
            partition: Partition(partition),
            number: CommitNumber(1),
            inbound_next: Offset(0),
            replies_next: Offset(0),
            outputs: Arc::default(),
            frame: Bytes::new(),
        };
        Waiting { commit, done: Box::new(|_| {}) }
    }

    #[test]
    fn partitions_that_were_answered_together_commit_together_again() {
        let mut queue = Queue { waiting: VecDeque::from([waiting(0)]), ..Queue::default() };
        assert_eq!(queue.to_gather(|| 2), None, "the first transaction waits for nobody");
        queue.ended(SMALL_BYTES_MAX);
        assert!(queue.to_gather(|| 2).is_some_and(|left| left <= GATHER), "the other one has a moment");
        queue.waiting.push_back(waiting(1));
        assert_eq!(queue.to_gather(|| 2), None, "all are here");
        assert_eq!(queue.batch().len(), 2);
        queue.waiting.push_back(waiting(0));
        queue.small_ended = Instant::now().checked_sub(GATHER);
        assert_eq!(queue.to_gather(|| 2), None, "a partition without events is not waited for");
        queue.ended(SMALL_BYTES_MAX + 1);
        let nobody = || panic!("at full speed nobody is waited for, or counted");
        assert_eq!(queue.to_gather(nobody), None);
    }
}
