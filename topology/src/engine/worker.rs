//! A worker thread: one timely worker with the dataflows of its partitions, parked when there is nothing to do.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::Thread;
use std::time::Duration;

use leadline_connectors::contract::state::PartitionState;
use leadline_schemas::{CommitNumber, Millis, Offset, Partition as PartitionId};
use timely::WorkerConfig;
use timely::communication::Allocator;
use timely::worker::Worker;

use super::graph::BuildPipeline;
use super::partition::{Partition, Position, Surroundings, lock};
use super::topology::Topology;

/// The longest park: a listener that was missed costs at most this.
const PARK_MAX: Duration = Duration::from_secs(1);

/// What other threads hand to a worker.
#[derive(Default)]
pub(super) struct Mailbox {
    thread: OnceLock<Thread>,
    signalled: AtomicBool,
    stopping: AtomicBool,
    applied: Mutex<Vec<(PartitionId, CommitNumber)>>,
    orders: Mutex<Vec<Order>>,
}

/// What a worker is told about a partition.
pub(super) enum Order {
    /// Run it.
    Install(Restored),
    /// Finish what is open and let it go, once it is quiet.
    Release(PartitionId),
    /// Finish what is open and let it go, whatever of what it has started still runs.
    HandOver(PartitionId),
    /// Nothing that it has started runs any more.
    Quiet(PartitionId),
    /// Its `inbound` ends there.
    EndInbound(PartitionId, Offset),
    /// Its `replies` end there, and with them its layout.
    EndReplies(PartitionId, Offset),
    /// Commit, if only to show that it is still owned.
    Renew(PartitionId),
    /// Let it go at once, with all that is uncommitted.
    Drop(PartitionId),
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

    /// Orders are followed in their order.
    pub(super) fn order(&self, order: Order) {
        lock(&self.orders).push(order);
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
    around: Surroundings,
    worker: Worker,
    partitions: Vec<Partition>,
}

impl PartitionWorker {
    pub(super) fn new(mailbox: Arc<Mailbox>, around: Surroundings) -> Self {
        let thread = timely::communication::allocator::Thread::default();
        let worker = Worker::new(WorkerConfig::default(), Allocator::Thread(thread), None);
        Self { mailbox, around, worker, partitions: Vec::new() }
    }

    /// Gives every partition a turn. Never waits.
    pub(super) fn pass(&mut self) -> Pass {
        self.mailbox.signalled.store(false, Ordering::Release);
        let orders = std::mem::take(&mut *lock(&self.mailbox.orders));
        for order in orders {
            self.follow(order);
        }
        let applied = std::mem::take(&mut *lock(&self.mailbox.applied));
        for (id, number) in applied {
            self.of(id).for_each(|partition| partition.applied(number));
        }
        let stopping = self.mailbox.stopping.load(Ordering::Acquire);
        let mut pass = Pass::default();
        for partition in &mut self.partitions {
            let turn = partition.turn(&mut self.worker, stopping);
            pass.progressed |= turn.progressed;
            pass.wake_at = [pass.wake_at, turn.wake_at].into_iter().flatten().min();
        }
        self.let_go(Partition::may_go);
        pass.ended = stopping && self.partitions.iter().all(Partition::is_settled);
        pass
    }

    fn follow(&mut self, order: Order) {
        match order {
            Order::Install(Restored { id, position, store }) => {
                let around = self.around.clone();
                self.partitions.push(Partition::install(&mut self.worker, id, position, store, around));
            }
            Order::Release(id) => self.of(id).for_each(Partition::leave),
            Order::HandOver(id) => self.of(id).for_each(Partition::hand_over),
            Order::Quiet(id) => self.of(id).for_each(Partition::is_quiet),
            Order::EndInbound(id, at) => self.of(id).for_each(|partition| partition.ends_at(at)),
            Order::EndReplies(id, at) => self.of(id).for_each(|partition| partition.replies_end_at(at)),
            Order::Renew(id) => self.of(id).for_each(Partition::renew),
            Order::Drop(id) => self.let_go(|partition| partition.id() == id),
        }
    }

    fn of(&mut self, id: PartitionId) -> impl Iterator<Item = &mut Partition> {
        self.partitions.iter_mut().filter(move |partition| partition.id() == id)
    }

    /// Uninstalls the partitions that may go, and says so.
    fn let_go(&mut self, may_go: impl Fn(&Partition) -> bool) {
        for partition in self.partitions.extract_if(.., |partition| may_go(partition)) {
            let (id, number) = (partition.id(), partition.number());
            partition.uninstall(&mut self.worker);
            self.around.ownership.let_go(id, number);
        }
    }
}

/// Runs the partitions until asked to stop and nothing is open.
pub(super) fn run(mailbox: &Arc<Mailbox>, around: Surroundings) {
    let _ = mailbox.thread.set(std::thread::current());
    let clock = Arc::clone(&around.clock);
    let mut worker = PartitionWorker::new(Arc::clone(mailbox), around);
    loop {
        let pass = worker.pass();
        if pass.ended {
            return;
        }
        if !pass.progressed {
            let until_timer = pass.wake_at.map_or(PARK_MAX, |at| {
                let wait_ms = at.since(clock.wall()).max(1);
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
