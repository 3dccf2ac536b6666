//! A worker thread: one timely worker with the dataflows of its partitions, parked when there is nothing to do.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::Thread;
use std::time::Duration;

use leadline_connectors::contract::state::PartitionState;
use leadline_schemas::{CommitNumber, Millis, Partition as PartitionId};
use timely::WorkerConfig;
use timely::communication::Allocator;
use timely::worker::Worker;

use super::graph::BuildPipeline;
use super::partition::{Partition, Position, Surroundings, lock};
use super::topology::Topology;

/// The longest park: a listener that was missed costs at most this.
const PARK_MAX: Duration = Duration::from_secs(1);

/// What other threads hand to a worker.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    thread: OnceLock<Thread>,
    signalled: AtomicBool,
    stopping: AtomicBool,
    applied: Mutex<Vec<(PartitionId, CommitNumber)>>,
}

impl Mailbox {
    /// Wakes the worker, if it is parked.
    pub(super) fn wake(&self) {
        if !self.signalled.swap(true, Ordering::AcqRel)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// The state store holds a partition's rows up to here.
    pub(super) fn applied(&self, partition: PartitionId, number: CommitNumber) {
        lock(&self.applied).push((partition, number));
        self.wake();
    }

    /// Asks the worker to finish what is open and return.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.wake();
    }
}

/// A restored partition, ready to be installed.
pub(super) struct Restored {
    pub(super) id: PartitionId,
    pub(super) position: Position,
    pub(super) store: Arc<dyn PartitionState>,
}

/// What one pass over the partitions has come to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pass {
    /// Whether another pass should follow at once.
    pub(super) progressed: bool,
    /// When the next timer is due, by the wall clock.
    pub(super) wake_at: Option<Millis>,
    /// Whether it was asked to stop and nothing is open.
    pub(super) ended: bool,
}

/// A worker with its partitions; stays on the thread that made it.
pub(super) struct PartitionWorker {
    mailbox: Arc<Mailbox>,
    worker: Worker,
    partitions: Vec<Partition>,
}

impl PartitionWorker {
    pub(super) fn new(mailbox: Arc<Mailbox>, restored: Vec<Restored>, around: &Surroundings) -> Self {
        let thread = timely::communication::allocator::Thread::default();
        let mut worker = Worker::new(WorkerConfig::default(), Allocator::Thread(thread), None);
        let partitions = restored
            .into_iter()
            .map(|r| Partition::install(&mut worker, r.id, r.position, r.store, around.clone()))
            .collect();
        Self { mailbox, worker, partitions }
    }

    /// Gives every partition a turn. Never waits.
    pub(super) fn pass(&mut self) -> Pass {
        self.mailbox.signalled.store(false, Ordering::Release);
        for (id, number) in std::mem::take(&mut *lock(&self.mailbox.applied)) {
            if let Some(partition) = self.partitions.iter_mut().find(|partition| partition.id() == id) {
                partition.applied(number);
            }
        }
        let stopping = self.mailbox.stopping.load(Ordering::Acquire);
        let mut pass = Pass::default();
        for partition in &mut self.partitions {
            let turn = partition.turn(&mut self.worker, stopping);
            pass.progressed |= turn.progressed;
            pass.wake_at = [pass.wake_at, turn.wake_at].into_iter().flatten().min();
        }
        pass.ended = stopping && self.partitions.iter().all(Partition::is_settled);
        pass
    }
}

/// Runs the partitions until asked to stop and nothing is open.
pub(super) fn run(mailbox: &Arc<Mailbox>, restored: Vec<Restored>, around: &Surroundings) {
    let _ = mailbox.thread.set(std::thread::current());
    let mut worker = PartitionWorker::new(Arc::clone(mailbox), restored, around);
    loop {
        let pass = worker.pass();
        if pass.ended {
            return;
        }
        if !pass.progressed {
            let until_timer = pass.wake_at.map_or(PARK_MAX, |at| {
                let wait_ms = at.since(around.clock.wall()).max(1);
                Duration::from_millis(u64::try_from(wait_ms).unwrap_or(1)).min(PARK_MAX)
            });
            std::thread::park_timeout(until_timer);
        }
    }
}

/// The shape of a pipeline, without running it.
pub fn describe(pipeline: BuildPipeline) -> Topology {
    let thread = timely::communication::allocator::Thread::default();
    let mut worker = Worker::new(WorkerConfig::default(), Allocator::Thread(thread), None);
    let nothing: Arc<dyn PartitionState> = Arc::new(super::topology::NoRows);
    let epoch = super::effects::Epoch::new(
        super::overlay::Overlay::new(nothing),
        super::clock::Watermark::new(Millis(0), Millis(0)),
        "",
    );
    let epoch = Rc::new(RefCell::new(epoch));
    worker.dataflow(|scope| super::graph::build(scope, epoch, pipeline).1)
}
