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

/// Runs the partitions until asked to stop and nothing is open.
pub(super) fn run(mailbox: &Arc<Mailbox>, restored: Vec<Restored>, around: &Surroundings) {
    let _ = mailbox.thread.set(std::thread::current());
    let thread = timely::communication::allocator::Thread::default();
    let mut worker = Worker::new(WorkerConfig::default(), Allocator::Thread(thread), None);
    let mut partitions: Vec<Partition> = restored
        .into_iter()
        .map(|r| Partition::install(&mut worker, r.id, r.position, r.store, around.clone()))
        .collect();
    loop {
        mailbox.signalled.store(false, Ordering::Release);
        for (id, number) in std::mem::take(&mut *lock(&mailbox.applied)) {
            if let Some(partition) = partitions.iter_mut().find(|partition| partition.id() == id) {
                partition.applied(number);
            }
        }
        let stopping = mailbox.stopping.load(Ordering::Acquire);
        let (mut progressed, mut wake_at) = (false, None);
        for partition in &mut partitions {
            let turn = partition.turn(&mut worker, stopping);
            progressed |= turn.progressed;
            wake_at = [wake_at, turn.wake_at].into_iter().flatten().min();
        }
        if stopping && partitions.iter().all(Partition::is_settled) {
            return;
        }
        if !progressed {
            let until_timer = wake_at.map_or(PARK_MAX, |at| {
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
