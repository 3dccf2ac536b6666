//! Hand-over: what an owner that lets go in order to hand over tells its successor, and what the successor makes of it.
//!
//! The old owner does not wait for its calls: it names those that run and until when they may, and starts nothing more.
//! The new one starts everything at once but those. So no partition waits for a slow provider, and no call runs twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use leadline_connectors::contract::state::PartitionState;
use leadline_schemas::{CommitNumber, JobId, Partition, Topic};
use serde::{Deserialize, Serialize};

use super::jobs::Notice;
use super::limits::EXECUTOR_ANSWER_MAX;
use super::moving::{Origin, brought_up};
use super::ownership::Ownership;
use super::partition::{Position, lock};
use super::restore::{Owner, RestoreError};
use super::worker::Order;

/// A job whose call runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningJob {
    /// Where its row and its reply lie.
    pub partition: Partition,
    /// The job.
    pub job_id: JobId,
    /// For how long it may still run, in milliseconds from when this was said; then its reply is there, or never comes.
    pub left_ms: u64,
}

/// What an owner says when it hands over, and before, when it is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handed {
    /// Its partitions and their last commits.
    pub commits: BTreeMap<Partition, CommitNumber>,
    /// What runs on with it.
    pub jobs: Vec<RunningJob>,
}

/// What a successor was told.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    commits: BTreeMap<Partition, CommitNumber>,
    /// Jobs that run elsewhere, and until when by the boot-time clock.
    jobs: BTreeMap<JobId, (Partition, u64)>,
}

/// What a partition that comes was told of by its old owner.
#[derive(Debug, Default)]
pub(super) struct Inheritance {
    /// The old owner has answered, and nobody has committed since: of its deliveries run only those that it has named.
    pub(super) is_whole: bool,
    /// Jobs not to be started before, by the boot-time clock.
    pub(super) held: Vec<(JobId, u64)>,
}

impl Ownership {
    /// Has all partitions committed and let go, without waiting for what they have started.
    pub(super) fn begin_hand_over(&self) {
        lock(&self.progress.left_at).clear();
        self.progress.handing.store(true, Ordering::Release);
        self.release(&self.rows.partitions(), false);
    }

    /// Orders a worker to finish what is open of a partition and let it go: at a hand-over at once, else when nothing
    /// that was started runs any more.
    pub(super) fn order_release(&self, partition: Partition) {
        if self.progress.handing.load(Ordering::Acquire) {
            self.mailbox(partition).order(Order::HandOver(partition));
        } else {
            self.mailbox(partition).order(Order::Release(partition));
            self.tell(Notice::Leaving(partition));
        }
    }

    /// What is owned now, and what runs.
    pub(super) fn holding(&self) -> Handed {
        let applied = |partition: Partition| Some((partition, self.rows.of(partition)?.applied().ok()?));
        let commits = self.rows.partitions().into_iter().filter_map(applied).collect();
        Handed { commits, jobs: self.running_jobs(false) }
    }

    /// What was let go, and what runs on. From now on nothing is started.
    pub(super) fn hand_over(&self) -> Handed {
        Handed { commits: self.left_at(), jobs: self.running_jobs(true) }
    }

    /// The last commits of what was let go.
    pub(super) fn left_at(&self) -> BTreeMap<Partition, CommitNumber> {
        lock(&self.progress.left_at).clone()
    }

    fn running_jobs(&self, last: bool) -> Vec<RunningJob> {
        let mut jobs = self.ask_running(last).recv_timeout(EXECUTOR_ANSWER_MAX).unwrap_or_default();
        jobs.extend(self.inherited_jobs());
        jobs
    }

    /// What the owner before this one still runs: it is not the next one's to start either.
    fn inherited_jobs(&self) -> Vec<RunningJob> {
        let boot_ms = self.clock.boot_ms();
        let inherited = lock(&self.progress.inherited);
        let of = |(job_id, (partition, until)): (&JobId, &(Partition, u64))| {
            let left_ms = until.checked_sub(boot_ms).filter(|left_ms| *left_ms > 0)?;
            Some(RunningJob { partition: *partition, job_id: *job_id, left_ms })
        };
        inherited.jobs.iter().filter_map(of).collect()
    }

    /// Asks the executor what runs; with `last` it starts nothing from then on.
    pub(super) fn ask_running(&self, last: bool) -> Receiver<Vec<RunningJob>> {
        let (tell, told) = channel();
        self.tell(Notice::Name { last, tell });
        told
    }

    /// Waits until no call runs any more; answers whether that is so.
    pub(super) fn wait_quiet(&self, patience: Duration) -> bool {
        let (tell, told) = channel();
        self.tell(Notice::TellQuiet(tell));
        told.recv_timeout(patience).is_ok()
    }

    /// What the owner before has told of the partitions that come.
    pub(super) fn inherit(&self, handed: Handed) {
        let boot_ms = self.clock.boot_ms();
        let mut inherited = lock(&self.progress.inherited);
        inherited.commits = handed.commits;
        inherited.jobs = handed
            .jobs
            .into_iter()
            .map(|job| (job.job_id, (job.partition, boot_ms.saturating_add(job.left_ms))))
            .collect();
    }

    /// What a partition that has come was told of.
    pub(super) fn inheritance(&self, partition: Partition, number: CommitNumber) -> Inheritance {
        let boot_ms = self.clock.boot_ms();
        let mut inherited = lock(&self.progress.inherited);
        inherited.jobs.retain(|_, (_, until)| *until > boot_ms);
        let of_it = inherited.jobs.iter().filter(|(_, (of, _))| *of == partition);
        let held = of_it.map(|(job_id, (_, until))| (*job_id, *until)).collect();
        // Once: when it comes again, others may have sent meanwhile.
        Inheritance { is_whole: inherited.commits.remove(&partition) == Some(number), held }
    }

    /// Brings the rows of a partition that is not here up to its newest commit, so that its coming takes little. Answers
    /// that commit.
    pub(super) fn warm(&self, partition: Partition) -> Result<CommitNumber, RestoreError> {
        if lock(&self.progress.stages).of.contains_key(&partition) {
            return Ok(CommitNumber(0));
        }
        let (position, _) = self.rows_of_newest(partition, Owner::Another)?;
        lock(&self.progress.warm).insert(partition, position);
        // A log on other machines has its inputs sent for, so that they are here when the partition comes.
        self.log.read(Topic::Inbound, partition, position.inbound_next, 0)?;
        self.log.read(Topic::Replies, partition, position.replies_next, 0)?;
        Ok(position.number)
    }

    /// A partition's rows at its newest commit: the store's, else a snapshot's, and the frames behind them.
    pub(super) fn rows_of_newest(
        &self,
        partition: Partition,
        owner: Owner,
    ) -> Result<(Position, Arc<dyn PartitionState>), RestoreError> {
        match self.rows_behind_store(partition, owner) {
            // A broker may forget a transaction that it had confirmed: what the log has counts, and is read anew. Where
            // that is ahead as well, a snapshot is, and nothing is left to begin from.
            Err(RestoreError::Ahead { store: at, log_end, .. }) if self.shared => {
                let (at, end) = (at.0, log_end.0);
                tracing::warn!(
                    partition = partition.0,
                    store = at,
                    log_end = end,
                    "commits are not in the log any more"
                );
                self.state.clear(partition)?;
                self.rows_behind_store(partition, owner)
            }
            found => found,
        }
    }

    fn rows_behind_store(
        &self,
        partition: Partition,
        owner: Owner,
    ) -> Result<(Position, Arc<dyn PartitionState>), RestoreError> {
        let known = lock(&self.progress.warm).remove(&partition);
        let parts = (&*self.log, &*self.state, &*self.blob, &self.runtime);
        let (generation, origin, settings) = (self.generation, self.origin.as_ref(), (self.settings)());
        brought_up(parts, &Origin { generation, origin, settings: &settings }, partition, known, owner)
    }
}
