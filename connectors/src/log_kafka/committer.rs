//! Committer: the thread that commits what waits, one epoch of each partition in one transaction.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use leadline_schemas::{CommitNumber, Partition, Topic};

use super::buffers::Buffers;
use super::config::KafkaConfig;
use super::connected::Connected;
use super::ends::Ends;
use super::failure::Failure;
use super::frames::Frames;
use super::hanging::Held;
use super::link::Link;
use super::membership::{Membership, Ticket};
use super::queue::{Done, Queue, Waiting};
use super::transaction::Transactions;
use super::{lock, wait};
use crate::contract::log::{Commit, CommitAnswer};

/// How many commits wait for a committer; the engine has one open for each partition.
const COMMITS_MAX: usize = 4_096;
/// How often an idle producer's events are served, and how long between attempts at an unknown outcome.
const TURN: Duration = Duration::from_millis(500);
/// How long the assignment's thread may take to hear of a generation that the broker knows already.
const GENERATION_PATIENCE: Duration = Duration::from_secs(3);

/// One worker's commits.
pub(super) struct Committer {
    pub(super) worker: u16,
    pub(super) config: Arc<KafkaConfig>,
    pub(super) link: Link,
    pub(super) membership: Arc<Membership>,
    pub(super) frames: Arc<Frames>,
    pub(super) buffers: Arc<Buffers>,
    pub(super) queue: Mutex<Queue>,
    pub(super) moved: Condvar,
    /// Until the first producer is opened, where it was prepared for.
    pub(super) connected: Mutex<Option<Connected>>,
}

impl Committer {
    pub(super) fn send(&self, commit: Commit, done: Done) {
        let mut queue = lock(&self.queue);
        let refused = match queue.closed {
            true => Some("the log is closed"),
            false if queue.waiting.len() >= COMMITS_MAX => Some("too many commits wait"),
            false => None,
        };
        if let Some(why) = refused {
            drop(queue);
            return done(CommitAnswer::Aborted(why.to_owned()));
        }
        queue.waiting.push_back(Waiting { commit, done });
        drop(queue);
        self.moved.notify_all();
    }

    pub(super) fn queued_bytes(&self) -> usize {
        lock(&self.queue).waiting.iter().map(|waiting| waiting.commit.frame.len()).sum()
    }

    /// A partition is this process's from now on.
    pub(super) fn assigned(&self, partitions: &[Partition]) {
        let mut queue = lock(&self.queue);
        for partition in partitions {
            queue.last.remove(partition);
        }
        queue.prepare = true;
        drop(queue);
        self.moved.notify_all();
    }

    /// Partitions are gone: what waits of them is fenced. Returns when no transaction has them, or after `patience`.
    pub(super) fn let_go(&self, partitions: &[Partition], patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut queue = lock(&self.queue);
        let waiting = std::mem::take(&mut queue.waiting);
        let (gone, kept): (VecDeque<_>, VecDeque<_>) =
            waiting.into_iter().partition(|waiting| partitions.contains(&waiting.commit.partition));
        queue.waiting = kept;
        for partition in partitions {
            queue.last.remove(partition);
        }
        while queue.busy.iter().any(|busy| partitions.contains(busy)) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            queue = wait(&self.moved, queue, left);
        }
        drop(queue);
        for waiting in gone {
            let why = format!("partition {} was taken away", waiting.commit.partition);
            (waiting.done)(CommitAnswer::Fenced(why));
        }
    }

    pub(super) fn close(&self) {
        lock(&self.queue).closed = true;
        self.moved.notify_all();
    }

    /// Runs until the log is closed.
    pub(super) fn run(&self) {
        let (mut producer, mut held) = (None, Held::default());
        let mut had_one = false;
        loop {
            had_one |= producer.is_some();
            self.tend(&mut producer, &mut held, had_one);
            let mut queue = lock(&self.queue);
            if queue.closed {
                break;
            }
            if queue.waiting.is_empty() && !queue.prepare {
                drop(wait(&self.moved, queue, TURN));
                match (&producer, &*lock(&self.connected)) {
                    (Some(producer), _) => producer.idle(),
                    (None, Some(connected)) => connected.idle(),
                    (None, None) => {}
                }
                continue;
            }
            if let Some(left) = queue.to_gather(|| self.owned()) {
                drop(wait(&self.moved, queue, left));
                continue;
            }
            let batch = queue.batch();
            queue.prepare = false;
            queue.busy = batch.iter().map(|waiting| waiting.commit.partition).collect();
            drop(queue);
            if batch.is_empty() && producer.is_none() {
                producer = self.prepared();
                had_one = true;
            }
            let frame_bytes = batch.iter().map(|waiting| waiting.commit.frame.len()).sum();
            self.commit(batch, &mut producer, &mut held);
            lock(&self.queue).ended(frame_bytes);
            self.moved.notify_all();
        }
        let waiting = std::mem::take(&mut lock(&self.queue).waiting);
        for waiting in waiting {
            (waiting.done)(CommitAnswer::Aborted("the log is closed".to_owned()));
        }
    }

    /// What is done between two transactions, now and then. A producer that was given up is replaced, whether anybody commits
    /// or not: others may wait for what it left open.
    fn tend(&self, producer: &mut Option<Transactions>, held: &mut Held, had_one: bool) {
        match producer {
            Some(ready) => self.look_for_hanging(held, ready),
            None if had_one && self.is_at_home() => *producer = self.prepared(),
            None => {}
        }
        if producer.as_ref().is_some_and(Transactions::is_given_up) {
            *producer = None;
        }
    }

    /// A producer before anybody commits; none where that cannot be yet: it is tried again.
    fn prepared(&self) -> Option<Transactions> {
        let opened = self.open();
        opened.inspect_err(|failure| tracing::debug!(?failure, "a producer cannot be opened yet")).ok()
    }

    /// Whether the transactional id is this process's: who is in the group has its name, and nobody has fenced it.
    fn is_at_home(&self) -> bool {
        lock(&self.queue).waiting.is_empty()
            && !self.membership.has_fenced()
            && self.membership.ticket().is_some()
    }

    /// Judges each commit, and runs those that follow in one transaction.
    fn commit(&self, batch: Vec<Waiting>, producer: &mut Option<Transactions>, held: &mut Held) {
        // First: whoever opens the id of partitions that are another's by now would fence it.
        let batch = kept(batch, |commit| self.membership.refusal(commit.partition).map(CommitAnswer::Fenced));
        if batch.is_empty() {
            return;
        }
        // Then: what is still open under the id would be waited for.
        let (began, mut came) = (Instant::now(), None);
        let opened = match producer {
            Some(_) => Ok(()),
            None => self.open().map(|ready| *producer = Some(ready)),
        };
        let batch = match opened {
            Ok(()) => {
                let partitions = batch.iter().map(|waiting| waiting.commit.partition);
                let come = partitions.filter(|partition| !lock(&self.queue).last.contains_key(partition));
                let ends = self.frames.ends(come);
                came = (!ends.is_empty()).then(|| (ends.len(), began.elapsed()));
                kept(batch, |commit| self.refusal(commit, &ends))
            }
            Err(_) => batch,
        };
        if batch.is_empty() {
            return;
        }
        let (commits, dones): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|waiting| (waiting.commit, waiting.done)).unzip();
        let answers = match opened.and_then(|()| self.transact(&commits, producer)) {
            Ok(()) => commits.iter().map(|commit| self.committed(commit)).collect(),
            Err(failure) => self.failed(&commits, producer, held, failure),
        };
        if let Some((came, asked)) = came {
            let (asked_ms, took_ms) = (asked.as_millis() as u64, began.elapsed().as_millis() as u64);
            tracing::debug!(
                worker = self.worker,
                came,
                asked_ms,
                took_ms,
                "the first commits of partitions that came"
            );
        }
        for ((commit, done), answer) in commits.into_iter().zip(dones).zip(answers) {
            if answer != CommitAnswer::Committed {
                self.drop_followers(commit.partition, &answer);
            }
            done(answer);
        }
    }

    /// Why a commit of a partition that is owned cannot be tried.
    fn refusal(&self, commit: &Commit, ends: &Ends) -> Option<CommitAnswer> {
        let partition = commit.partition;
        let known = lock(&self.queue).last.get(&partition).copied();
        let last = match known {
            Some(last) => last,
            None => match ends.get(&partition) {
                Some(Ok(number)) => CommitNumber(*number),
                Some(Err(error)) => return Some(CommitAnswer::Aborted(error.to_string())),
                None => {
                    return Some(CommitAnswer::Aborted("where the partition ends was not asked".to_owned()));
                }
            },
        };
        if last.0.checked_add(1) == Some(commit.number.0) {
            lock(&self.queue).last.insert(partition, last);
            return None;
        }
        // Others may have committed meanwhile, and the group is asked again next time.
        lock(&self.queue).last.remove(&partition);
        let number = commit.number;
        Some(CommitAnswer::Fenced(format!("commit {number} of {partition} comes behind commit {last}")))
    }

    fn transact(&self, commits: &[Commit], producer: &mut Option<Transactions>) -> Result<(), Failure> {
        let Some(ready) = producer else {
            return Err(Failure::Aborted("there is no producer".to_owned()));
        };
        let Some(ticket) = self.membership.ticket() else {
            return Err(Failure::Aborted("this process is in no generation of its group".to_owned()));
        };
        let answer = ready.run(&self.config, &ticket, commits);
        if ready.is_given_up() {
            *producer = None;
        }
        if let Err(Failure::Stale(_)) = &answer {
            self.wait_for_generation(commits, &ticket);
        }
        answer
    }

    /// Between two generations a commit is refused though the partition is still owned.
    fn wait_for_generation(&self, commits: &[Commit], ticket: &Ticket) {
        if commits.iter().any(|commit| self.membership.refusal(commit.partition).is_none()) {
            self.membership.wait_beyond(ticket.version, GENERATION_PATIENCE);
        }
    }

    fn committed(&self, commit: &Commit) -> CommitAnswer {
        let place = (Topic::State, commit.partition);
        lock(&self.queue).last.insert(commit.partition, commit.number);
        self.frames.committed(commit.partition, commit.number);
        self.link.health.back();
        self.buffers.release((Topic::Inbound, commit.partition), commit.inbound_next.0);
        self.buffers.release((Topic::Replies, commit.partition), commit.replies_next.0);
        let offset = commit.number.0.saturating_sub(1);
        if self.buffers.push_if_next(place, offset, &commit.frame) {
            self.buffers.tell(place);
        } else if self.buffers.is_placed(place) {
            self.buffers.ask_scout(place);
        }
        CommitAnswer::Committed
    }

    fn failed(
        &self,
        commits: &[Commit],
        producer: &mut Option<Transactions>,
        held: &mut Held,
        failure: Failure,
    ) -> Vec<CommitAnswer> {
        tracing::debug!(worker = self.worker, ?failure, "a transaction failed");
        let all = |answer: CommitAnswer| commits.iter().map(|_| answer.clone()).collect();
        match failure {
            Failure::Aborted(why) => all(CommitAnswer::Aborted(why)),
            Failure::Stale(why) => {
                let answer = |commit: &Commit| match self.membership.refusal(commit.partition) {
                    Some(refusal) => CommitAnswer::Fenced(refusal),
                    None if self.membership.is_dealt_out() => CommitAnswer::Aborted(why.clone()),
                    None => CommitAnswer::Fenced(why.clone()),
                };
                commits.iter().map(answer).collect()
            }
            Failure::Fenced(why) => {
                *producer = None;
                self.membership.fence(self.partitions());
                all(CommitAnswer::Fenced(why))
            }
            Failure::Unknown(why) => self.find_out(commits, producer, held, &why),
        }
    }

    /// How many partitions may commit here.
    fn owned(&self) -> usize {
        self.partitions().filter(|partition| self.membership.refusal(*partition).is_none()).count()
    }

    /// All partitions of this committer: they share the producer that was fenced.
    pub(super) fn partitions(&self) -> impl Iterator<Item = Partition> + use<> {
        let (workers, worker) = (self.config.workers, self.worker);
        (0..self.buffers.partitions()).filter(move |partition| partition % workers == worker).map(Partition)
    }

    /// Finds out what became of a transaction: whoever takes over its id waits for it or aborts it, and then the
    /// group's offsets tell.
    fn find_out(
        &self,
        commits: &[Commit],
        producer: &mut Option<Transactions>,
        held: &mut Held,
        why: &str,
    ) -> Vec<CommitAnswer> {
        tracing::warn!(worker = self.worker, why, "the outcome of a transaction is unknown; asking");
        *producer = None; // Two producers of one id would fence each other.
        loop {
            match self.open() {
                Ok(ready) => *producer = Some(ready),
                Err(Failure::Fenced(why)) => {
                    self.membership.fence(self.partitions());
                    return commits.iter().map(|_| CommitAnswer::Fenced(why.clone())).collect();
                }
                Err(_) => {}
            }
            let outcome = producer.is_some().then(|| self.outcome(commits)).flatten();
            if let Some(answers) = outcome {
                return answers;
            }
            // It may be this very transaction that hangs.
            if let Some(ready) = producer {
                self.look_for_hanging(held, ready);
            }
            let queue = lock(&self.queue);
            if queue.closed {
                return commits.iter().map(|_| CommitAnswer::Unknown(why.to_owned())).collect();
            }
            drop(wait(&self.moved, queue, TURN));
            *producer = None;
        }
    }

    fn outcome(&self, commits: &[Commit]) -> Option<Vec<CommitAnswer>> {
        let ends = self.frames.ends(commits.iter().map(|commit| commit.partition));
        let answer = |commit: &Commit| {
            let end = ends.get(&commit.partition)?.as_ref().ok()?;
            if *end >= commit.number.0 {
                return Some(self.committed(commit));
            }
            Some(CommitAnswer::Aborted("the transaction was given up".to_owned()))
        };
        commits.iter().map(answer).collect()
    }

    /// What was sent behind a commit that failed cannot follow it any more; which is the last, the group is asked again.
    fn drop_followers(&self, partition: Partition, answer: &CommitAnswer) {
        let mut queue = lock(&self.queue);
        queue.last.remove(&partition);
        let waiting = std::mem::take(&mut queue.waiting);
        let (gone, kept): (VecDeque<_>, VecDeque<_>) =
            waiting.into_iter().partition(|waiting| waiting.commit.partition == partition);
        queue.waiting = kept;
        drop(queue);
        gone.into_iter().for_each(|waiting| (waiting.done)(answer.clone()));
    }
}

/// Answers the commits that are refused; what is left.
fn kept(batch: Vec<Waiting>, refusal: impl Fn(&Commit) -> Option<CommitAnswer>) -> Vec<Waiting> {
    let mut kept = Vec::with_capacity(batch.len());
    for waiting in batch {
        match refusal(&waiting.commit) {
            Some(answer) => (waiting.done)(answer),
            None => kept.push(waiting),
        }
    }
    kept
}
