//! Which partitions this process owns: how they come, and how they go.
//!
//! A partition that comes is restored off the worker threads, then installed with its worker. One that goes finishes
//! what is open first, or drops it where somebody else may have it already. It can come again only when nothing of
//! its last stay works on its rows any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use leadline_connectors::contract::blob::Blob;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::Log;
use leadline_connectors::contract::state::State;
use leadline_schemas::layout::Change;
use leadline_schemas::sabotage::{self, Bug};
use leadline_schemas::settings::Settings;
use leadline_schemas::{CommitNumber, Offset, Partition, Topic};

use super::applier::{Retention, ToApply};
use super::handover::Inherited;
use super::jobs::Notice;
use super::lease::Leases;
use super::limits::{LEASE_MS, OWNERSHIP_LOOK, RESTORE_RETRY_MS, RESTORES_MAX};
use super::partition::{Position, lock};
use super::restore::{Owner, RestoreError};
use super::rows::{Rows, Stay};
use super::store_writer::StoreQueue;
use super::worker::{Mailbox, Order, Restored};

/// Where a partition stands with this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is being restored.
    Restoring,
    /// Its worker has it.
    Running,
    /// Its worker was told to let it go.
    Leaving,
    /// No worker has it; the applier may still have commits of it.
    Left,
}

#[derive(Default)]
pub(super) struct Stages {
    /// What the assignment says.
    wanted: BTreeSet<Partition>,
    /// What is; a partition without a stage is free.
    pub(super) of: BTreeMap<Partition, Stage>,
    /// Not to be restored before.
    retry_boot_ms: BTreeMap<Partition, u64>,
    closed: bool,
}

/// Brings partitions up and lets them go; tells the engine's parts.
pub(super) struct Ownership {
    pub(super) log: Arc<dyn Log>,
    pub(super) state: Arc<dyn State>,
    pub(super) blob: Arc<dyn Blob>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) generation: u32,
    /// How rows come from the layout before, if there was one.
    pub(super) origin: Option<Change>,
    pub(super) settings: Arc<dyn Fn() -> Arc<Settings> + Send + Sync>,
    /// Whether other processes may own partitions: then being fenced is no failure, and deliveries need a lease.
    pub(super) shared: bool,
    pub(super) leases: Leases,
    pub(super) fatal: Arc<dyn Fn(String) + Send + Sync>,
    pub(super) mailboxes: Vec<Arc<Mailbox>>,
    pub(super) rows: Arc<Rows>,
    pub(super) retention: Arc<Retention>,
    /// None when nobody here writes records.
    pub(super) queue: Option<Arc<StoreQueue>>,
    pub(super) notices: Mutex<Sender<Notice>>,
    pub(super) to_apply: Arc<Mutex<Option<Sender<ToApply>>>>,
    pub(super) progress: OwnershipProgress,
}

/// What changes as partitions come and go.
#[derive(Default)]
pub(super) struct OwnershipProgress {
    pub(super) stages: Mutex<Stages>,
    changed: Condvar,
    /// Partitions whose replies of before they came are not all applied, and where those end.
    pub(super) behind: Mutex<BTreeMap<Partition, Offset>>,
    /// Partitions that do not get on, and why.
    troubles: Mutex<BTreeMap<Partition, String>>,
    /// Whether what goes is handed over: then nobody waits for what it has started.
    pub(super) handing: AtomicBool,
    /// The last commits of partitions that were let go.
    pub(super) left_at: Mutex<BTreeMap<Partition, CommitNumber>>,
    /// What the owner before has told.
    pub(super) inherited: Mutex<Inherited>,
    /// Where partitions stand whose rows were brought up before they came.
    pub(super) warm: Mutex<BTreeMap<Partition, Position>>,
    /// Partitions that have done everything of their layout, and where they stand.
    pub(super) drained: Mutex<BTreeMap<Partition, Position>>,
    /// Stays of which no job runs any more, though not all were answered.
    pub(super) jobless: Mutex<BTreeMap<Partition, Stay>>,
}

impl Ownership {
    /// Restores partitions and hands them to their workers, now.
    pub(super) fn own(&self, partitions: &[Partition]) -> Result<(), RestoreError> {
        for partition in partitions {
            lock(&self.progress.stages).of.insert(*partition, Stage::Restoring);
            let restored = self.restore(*partition)?;
            lock(&self.progress.stages).wanted.insert(*partition);
            self.install(restored)?;
        }
        Ok(())
    }

    /// Has partitions restored by [`Ownership::turn`].
    pub(super) fn want(&self, partitions: &[Partition]) {
        lock(&self.progress.stages).wanted.extend(partitions);
        self.progress.changed.notify_all();
    }

    /// Asks workers to let partitions go; `now` drops what is open. Otherwise deliveries that run are waited for, so
    /// that the next owner need not.
    pub(super) fn release(&self, partitions: &[Partition], now: bool) {
        let mut stages = lock(&self.progress.stages);
        for partition in partitions {
            stages.wanted.remove(partition);
            let stage = stages.of.get(partition).copied();
            if stage == Some(Stage::Running) || (now && stage == Some(Stage::Leaving)) {
                stages.of.insert(*partition, Stage::Leaving);
                if now {
                    self.mailbox(*partition).order(Order::Drop(*partition));
                } else {
                    self.order_release(*partition);
                }
            }
        }
    }

    /// Whether no worker has any of them.
    pub(super) fn have_left(&self, partitions: &[Partition]) -> bool {
        let stages = lock(&self.progress.stages);
        let has = |partition| matches!(stages.of.get(partition), Some(Stage::Running | Stage::Leaving));
        !partitions.iter().any(has)
    }

    /// Waits until no worker has any of them, at most `patience`; answers whether that is so.
    pub(super) fn wait_left(&self, partitions: &[Partition], patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while !self.have_left(partitions) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let stages = lock(&self.progress.stages);
            drop(self.progress.changed.wait_timeout(stages, left.min(OWNERSHIP_LOOK)));
        }
        true
    }

    /// Waits until all of them run here, at most `patience`; answers whether they do.
    pub(super) fn wait_running(&self, partitions: &BTreeSet<Partition>, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut stages = lock(&self.progress.stages);
        while !partitions.iter().all(|partition| stages.of.get(partition) == Some(&Stage::Running)) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.progress.changed.wait_timeout(stages, left.min(OWNERSHIP_LOOK));
            stages = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
        true
    }

    /// Restores one partition that is wanted and free. Answers whether there was one.
    pub(super) fn turn(&self) -> bool {
        let Some(partition) = self.next_to_restore() else { return false };
        let result = self.restore(partition).and_then(|restored| self.install(restored));
        match result {
            Ok(()) => self.note_trouble(partition, None),
            Err(error) if self.shared && error.is_temporary() => {
                tracing::warn!(partition = partition.0, %error, "a partition cannot be restored; trying again");
                self.note_trouble(partition, Some(&error.to_string()));
                self.pause(partition);
                self.free(partition);
            }
            Err(error) => (self.fatal)(error.to_string()),
        }
        true
    }

    /// Restores what is wanted, several at once, for most of it is waiting for the log; until closed.
    pub(super) fn run(&self) {
        loop {
            std::thread::scope(|threads| {
                for _ in 1..self.count_waiting().min(RESTORES_MAX) {
                    let turns = || while self.turn() {};
                    let spawned = std::thread::Builder::new().spawn_scoped(threads, turns);
                    drop(spawned); // Without it the others take longer.
                }
                while self.turn() {}
            });
            let stages = lock(&self.progress.stages);
            if stages.closed {
                return;
            }
            drop(self.progress.changed.wait_timeout(stages, OWNERSHIP_LOOK));
        }
    }

    /// Nothing more comes.
    pub(super) fn close(&self) {
        let mut stages = lock(&self.progress.stages);
        stages.closed = true;
        stages.wanted.clear();
        self.progress.changed.notify_all();
    }

    /// Partitions that are wanted and not here.
    fn count_waiting(&self) -> usize {
        let stages = lock(&self.progress.stages);
        stages.wanted.iter().filter(|partition| !stages.of.contains_key(*partition)).count()
    }

    fn next_to_restore(&self) -> Option<Partition> {
        let boot_ms = self.clock.boot_ms();
        let mut stages = lock(&self.progress.stages);
        let due = |partition: &Partition| stages.retry_boot_ms.get(partition).is_none_or(|at| *at <= boot_ms);
        let is_free = |partition: &&Partition| !stages.of.contains_key(*partition) && due(partition);
        let partition = *stages.wanted.iter().find(is_free)?;
        stages.retry_boot_ms.remove(&partition);
        stages.of.insert(partition, Stage::Restoring);
        Some(partition)
    }

    fn pause(&self, partition: Partition) {
        let at = self.clock.boot_ms() + RESTORE_RETRY_MS;
        lock(&self.progress.stages).retry_boot_ms.insert(partition, at);
    }

    /// Nothing works on its rows any more.
    pub(super) fn free(&self, partition: Partition) {
        lock(&self.progress.stages).of.remove(&partition);
        self.progress.changed.notify_all();
    }

    fn restore(&self, partition: Partition) -> Result<Restored, RestoreError> {
        let (position, store) = self.rows_of_newest(partition, Owner::This)?;
        Ok(Restored { id: partition, position, store })
    }

    /// Wires a restored partition, if it is still wanted.
    fn install(&self, restored: Restored) -> Result<(), RestoreError> {
        let (id, position) = (restored.id, restored.position);
        let (_, replies_end) = self.log.range(Topic::Replies, id)?;
        let is_behind = position.replies_next < replies_end;
        let mut stages = lock(&self.progress.stages);
        if !stages.wanted.contains(&id) {
            stages.of.remove(&id);
            return Ok(());
        }
        stages.of.insert(id, Stage::Running);
        self.progress.changed.notify_all();
        let stay = self.rows.insert(id, Arc::clone(&restored.store));
        self.retention.committed(id, position);
        match &self.queue {
            Some(queue) => queue.expect(id, position.number),
            None => self.retention.stored(id, CommitNumber(u64::MAX)),
        }
        if is_behind {
            lock(&self.progress.behind).insert(id, replies_end);
        }
        // Another owner may still be sending, unless it said that it is not, or what.
        let inheritance = self.inheritance(id, position.number);
        let is_told = position.released || inheritance.is_whole;
        let holds = self.shared && position.number != CommitNumber(0) && !is_told;
        let holds = holds && !sabotage::on(Bug::LeaseIgnored);
        let deliveries_from_boot_ms = if holds { self.clock.boot_ms() + LEASE_MS } else { 0 };
        let held = inheritance.held;
        if position.drained {
            lock(&self.progress.drained).insert(id, position);
        } else {
            self.tell(Notice::Came { partition: id, stay, is_behind, deliveries_from_boot_ms, held });
        }
        let mailbox = self.mailbox(id);
        mailbox.order(Order::Install(restored));
        for topic in [Topic::Inbound, Topic::Replies] {
            let mailbox = Arc::clone(mailbox);
            self.log.listen(topic, id, Arc::new(move || mailbox.wake()));
        }
        Ok(())
    }

    /// Its worker has let a partition go behind this commit.
    pub(super) fn let_go(&self, partition: Partition, number: CommitNumber) {
        lock(&self.progress.left_at).insert(partition, number);
        let mut stages = lock(&self.progress.stages);
        stages.of.insert(partition, Stage::Left);
        self.rows.remove(partition);
        lock(&self.progress.behind).remove(&partition);
        self.forget_drained(partition);
        self.note_trouble(partition, None);
        self.retention.forget(partition);
        self.leases.end(partition);
        for topic in [Topic::Inbound, Topic::Replies] {
            self.log.listen(topic, partition, Arc::new(|| {}));
        }
        self.tell(Notice::Left(partition));
        // The applier is gone only at shutdown.
        if let Some(to_apply) = lock(&self.to_apply).as_ref() {
            let _ = to_apply.send(ToApply::Left(partition));
        }
        self.progress.changed.notify_all();
    }

    /// No delivery of a partition that is leaving runs any more.
    pub(super) fn is_quiet(&self, partition: Partition) {
        self.mailbox(partition).order(Order::Quiet(partition));
    }

    /// A commit that was sent then was accepted.
    pub(super) fn committed(&self, partition: Partition, sent_boot_ms: u64) {
        // Alone on its log nobody asks for a lease.
        if self.shared {
            self.leases.renew(partition, sent_boot_ms);
        }
    }

    /// Asks for a commit that renews the lease.
    pub(super) fn ask_renewal(&self, partition: Partition) {
        self.mailbox(partition).order(Order::Renew(partition));
    }

    pub(super) fn tell(&self, notice: Notice) {
        // The executor is gone only at shutdown.
        let _ = lock(&self.notices).send(notice);
    }

    /// A commit of it was fenced, or nobody knows what became of it: another process has it, this one was taken for
    /// dead, or the log cannot be asked. What the log has in the end is what it is restored from.
    pub(super) fn fenced(&self, partition: Partition, why: &str) {
        if !self.shared {
            (self.fatal)(format!("partition {partition}: {why}"));
            return;
        }
        tracing::warn!(
            partition = partition.0,
            why,
            "a commit was not accepted; what was uncommitted is dropped"
        );
        metrics::counter!("leadline_partitions_fenced_total").increment(1);
        self.pause(partition);
        let mut stages = lock(&self.progress.stages);
        if stages.of.get(&partition) == Some(&Stage::Running) {
            // Wanted still: it is restored again, until the assignment says that it has gone.
            stages.of.insert(partition, Stage::Leaving);
            self.mailbox(partition).order(Order::Drop(partition));
        }
    }

    /// Why a partition does not get on; none when it does again.
    pub(super) fn note_trouble(&self, partition: Partition, why: Option<&str>) {
        let mut troubles = lock(&self.progress.troubles);
        match why {
            Some(why) => _ = troubles.insert(partition, why.to_owned()),
            None => _ = troubles.remove(&partition),
        }
        metrics::gauge!("leadline_partitions_troubled").set(troubles.len() as f64);
    }

    /// What is wrong with the first partition that does not get on.
    pub(super) fn trouble(&self) -> Option<String> {
        let troubles = lock(&self.progress.troubles);
        troubles.iter().next().map(|(partition, why)| format!("partition {partition}: {why}"))
    }

    pub(super) fn mailbox(&self, partition: Partition) -> &Arc<Mailbox> {
        // There is at least one, or there would be no engine.
        #[expect(clippy::indexing_slicing, reason = "a remainder is below the length")]
        &self.mailboxes[usize::from(partition.0) % self.mailboxes.len()]
    }
}
