//! An engine without threads, for the simulator: its parts take turns when they are told to.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use leadline_connectors::contract::assignment::Owner;
use leadline_schemas::{CommitNumber, Millis, Partition};

use super::applier::{Applier, ToApply};
use super::assembly::{Assembly, EngineParts, Handles, assemble};
use super::drain::{Drain, Fence};
use super::handover::Handed;
use super::jobs::{Executor, Notice};
use super::partition::lock;
use super::restore::RestoreError;
use super::snapshots::Snapshots;
use super::store_writer::StoreWriter;
use super::worker::PartitionWorker;

/// A part of the engine that can be given a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The dataflows: feeds, runs and commits epochs.
    Worker,
    /// Brings committed rows into the state store.
    Applier,
    /// Starts jobs.
    Executor,
    /// Writes the record store.
    Store,
    /// Takes snapshots.
    Snapshots,
    /// Restores partitions that have come.
    Ownership,
    /// Brings the layout to its end, once it was told to.
    Drain,
}

impl Part {
    /// All of them.
    pub const ALL: [Part; 7] = [
        Part::Worker,
        Part::Applier,
        Part::Executor,
        Part::Store,
        Part::Snapshots,
        Part::Ownership,
        Part::Drain,
    ];
}

/// An engine in steps. Dropping it is a crash: whatever has not had its turn does not happen.
pub struct SteppedEngine {
    workers: Vec<PartitionWorker>,
    applier: Applier,
    commits: Receiver<ToApply>,
    executor: Executor,
    store: Option<StoreWriter>,
    snapshots: Snapshots,
    handles: Handles,
    drain: Option<Drain>,
    wake_at: Option<Millis>,
    ended: bool,
}

impl SteppedEngine {
    /// It owns no partition yet, and nothing runs until it is given a turn.
    pub fn start(parts: EngineParts) -> Self {
        let Assembly { hands, applier, commits, executor, store, snapshots, handles } = assemble(parts);
        let workers = hands.into_iter().map(|(mailbox, around)| PartitionWorker::new(mailbox, around));
        Self {
            workers: workers.collect(),
            applier,
            commits,
            executor,
            store,
            snapshots,
            handles,
            drain: None,
            wake_at: None,
            ended: false,
        }
    }

    /// Restores partitions now.
    pub fn own(&self, partitions: &[Partition]) -> Result<(), RestoreError> {
        self.handles.ownership.own(partitions)
    }

    /// They come, when [`Part::Ownership`] has its turns.
    pub fn assigned(&self, partitions: &[Partition]) {
        self.handles.ownership.assigned(partitions);
    }

    /// They are to go, when [`Part::Worker`] has its turns; `now` drops what is open.
    pub fn release(&self, partitions: &[Partition], now: bool) {
        self.handles.ownership.release(partitions, now);
    }

    /// Whether none of them runs here any more.
    pub fn have_left(&self, partitions: &[Partition]) -> bool {
        self.handles.ownership.have_left(partitions)
    }

    /// As [`Self::release`] of all, to a successor that is told of what runs.
    pub fn begin_hand_over(&self) {
        self.handles.ownership.begin_hand_over();
    }

    /// What was let go and what runs on; from now on nothing is started.
    pub fn hand_over(&mut self) -> Handed {
        let told = self.handles.ownership.ask_running(true);
        self.executor.turn();
        Handed { commits: self.handles.ownership.left_at(), jobs: told.try_recv().unwrap_or_default() }
    }

    /// Whether no call runs.
    pub fn is_quiet(&self) -> bool {
        self.executor.is_quiet()
    }

    /// What the owner before has told.
    pub fn inherit(&self, handed: Handed) {
        self.handles.ownership.inherit(handed);
    }

    /// Brings up the rows of a partition that is not here.
    pub fn warm(&self, partition: Partition) -> Result<CommitNumber, RestoreError> {
        self.handles.ownership.warm(partition)
    }

    /// Gives a part one turn. Answers whether it had something to do.
    pub fn turn(&mut self, part: Part) -> bool {
        match part {
            Part::Worker => self.turn_workers(),
            Part::Applier => {
                while let Ok(what) = self.commits.try_recv() {
                    self.applier.take(what);
                }
                self.applier.turn()
            }
            Part::Executor => self.executor.turn(),
            Part::Store => {
                let queue = Arc::clone(&self.handles.queue);
                self.store.as_mut().is_some_and(|store| store.turn(&queue))
            }
            Part::Snapshots => self.snapshots.turn(),
            Part::Ownership => self.handles.ownership.turn(),
            Part::Drain => self.drain.as_mut().is_some_and(Drain::turn),
        }
    }

    /// As `Engine::drain`: [`Part::Drain`] has its turns from now on.
    pub fn drain(&mut self, fence: impl FnOnce() -> Arc<dyn Fence>) {
        let ownership = &self.handles.ownership;
        self.drain.get_or_insert_with(|| Drain::new(Arc::clone(ownership), fence()));
    }

    fn turn_workers(&mut self) -> bool {
        let (mut progressed, mut ended, mut wake_at) = (false, true, None);
        for worker in &mut self.workers {
            let pass = worker.pass();
            progressed |= pass.progressed;
            ended &= pass.ended;
            wake_at = [wake_at, pass.wake_at].into_iter().flatten().min();
        }
        self.wake_at = wake_at;
        if ended {
            self.ended = true;
            lock(&self.handles.to_apply).take();
        }
        progressed
    }

    /// Why a partition does not get on; none when all do.
    pub fn trouble(&self) -> Option<String> {
        self.handles.ownership.trouble()
    }

    /// When the dataflows next have something to do by themselves, as of their last turn.
    pub fn wake_at(&self) -> Option<Millis> {
        self.wake_at
    }

    /// Asks for a graceful stop: the parts go on being given turns until [`Self::has_ended`].
    pub fn stop(&self) {
        // The executor is part of this engine.
        let _ = self.handles.notices.send(Notice::Stop);
        for mailbox in &self.handles.mailboxes {
            mailbox.stop();
        }
    }

    /// Whether a stop that was asked for has finished the open epochs.
    pub fn has_ended(&self) -> bool {
        self.ended
    }
}
