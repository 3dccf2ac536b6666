//! Starting and stopping an engine: a thread for each part, and the order in which they end.

use std::collections::BTreeSet;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use leadline_connectors::contract::assignment::Owner;
use leadline_schemas::{CommitNumber, Partition};

use super::assembly::{Assembly, EngineParts, Handles, assemble};
use super::drain::{Drain, Fence};
use super::handover::Handed;
use super::jobs::Notice;
use super::limits::STOP_MAX;
use super::partition::lock;
use super::restore::RestoreError;
use super::worker;

/// A running engine.
pub struct Engine {
    handles: Handles,
    workers: Mutex<Vec<JoinHandle<()>>>,
    others: Mutex<Vec<JoinHandle<()>>>,
    stop_snapshots: Sender<()>,
    draining: Mutex<Option<Draining>>,
}

/// The thread that brings a layout to its end.
struct Draining {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Engine {
    /// Starts the threads; it owns no partition yet.
    pub fn start(parts: EngineParts) -> Self {
        let Assembly { hands, applier, commits, executor, store, snapshots, handles } = assemble(parts);
        let (stop_snapshots, stop) = channel();
        let ownership = Arc::clone(&handles.ownership);
        let mut others = vec![
            spawn("applier", move || applier.run(&commits)),
            spawn("ownership", move || ownership.run()),
            spawn("executor", move || executor.run()),
            spawn("snapshots", move || snapshots.run(&stop)),
        ];
        let queue = Arc::clone(&handles.queue);
        others.extend(store.map(|store| spawn("store", move || store.run(&queue))));
        let workers = hands.into_iter().enumerate().map(|(index, (mailbox, around))| {
            spawn(&format!("worker-{index}"), move || worker::run(&mailbox, around))
        });
        let draining = Mutex::default();
        let (workers, others) = (Mutex::new(workers.collect()), Mutex::new(others));
        Self { workers, others, stop_snapshots, draining, handles }
    }

    /// Restores partitions and runs them; returns when they run.
    pub fn own(&self, partitions: &[Partition]) -> Result<(), RestoreError> {
        self.handles.ownership.own(partitions)
    }

    /// Brings this layout to its end: each partition that is here, and each that comes, is drained and hands its rows
    /// over. Asked again it changes nothing.
    pub fn drain(&self, fence: impl FnOnce() -> Arc<dyn Fence>) {
        let mut draining = lock(&self.draining);
        if draining.is_none() {
            let (stop, stopped) = channel();
            let drain = Drain::new(Arc::clone(&self.handles.ownership), fence());
            let thread = spawn("drain", move || drain.run(&stopped));
            *draining = Some(Draining { stop, thread });
        }
    }

    /// Who is told of partitions that come and go while it runs.
    pub fn owner(&self) -> Arc<dyn Owner> {
        self.handles.ownership.clone()
    }

    /// Brings the rows of a partition that others own up to its newest commit; answers that. It waits for the log.
    pub fn warm(&self, partition: Partition) -> Result<CommitNumber, RestoreError> {
        self.handles.ownership.warm(partition)
    }

    /// Whether a partition runs here. Cheap, and waits for nobody.
    pub fn owns(&self, partition: Partition) -> bool {
        self.handles.ownership.rows.of(partition).is_some()
    }

    /// Says what is owned, its last applied commits, and what runs.
    pub fn holding(&self) -> impl Fn() -> Handed + Send + Sync + 'static {
        let ownership = Arc::clone(&self.handles.ownership);
        move || ownership.holding()
    }

    /// Has every partition finish its open epoch and go; calls that run are not waited for. Returns at once.
    pub fn begin_hand_over(&self) {
        self.handles.ownership.begin_hand_over();
    }

    /// What was let go and what runs on, once the assignment has ended. From now on nothing is started.
    pub fn hand_over(&self) -> Handed {
        self.handles.ownership.hand_over()
    }

    /// Waits until no call runs any more; answers whether that is so.
    pub fn wait_quiet(&self, patience: Duration) -> bool {
        self.handles.ownership.wait_quiet(patience)
    }

    /// What the owner before has told of partitions that are about to come.
    pub fn inherit(&self, handed: Handed) {
        self.handles.ownership.inherit(handed);
    }

    /// Waits until all of them run here; answers whether they do.
    pub fn wait_running(&self, partitions: &BTreeSet<Partition>, patience: Duration) -> bool {
        self.handles.ownership.wait_running(partitions, patience)
    }

    /// Why a partition does not get on; none when all do.
    pub fn trouble(&self) -> impl Fn() -> Option<String> + Send + Sync + 'static {
        let ownership = Arc::clone(&self.handles.ownership);
        move || ownership.trouble()
    }

    /// A handle that tells the workers that something they look at has changed (settings).
    pub fn waker(&self) -> impl Fn() + Send + Sync + 'static {
        let mailboxes = self.handles.mailboxes.clone();
        move || mailboxes.iter().for_each(|mailbox| mailbox.wake())
    }

    #[cfg(test)]
    pub(super) fn handles_for_tests(&self) -> &Handles {
        &self.handles
    }

    /// Finishes the open epochs and what follows from them, at most 5 s; what is left comes again from the log.
    /// Answers whether everything came to its end.
    pub fn stop(&self) -> bool {
        let deadline = Instant::now() + STOP_MAX;
        // Both may have ended by themselves.
        let _ = self.handles.notices.send(Notice::Stop);
        let _ = self.stop_snapshots.send(());
        let draining = lock(&self.draining).take();
        if let Some(Draining { stop, .. }) = &draining {
            let _ = stop.send(());
        }
        self.handles.ownership.close();
        for mailbox in &self.handles.mailboxes {
            mailbox.stop();
        }
        let workers = join_all(std::mem::take(&mut *lock(&self.workers)), deadline);
        lock(&self.handles.to_apply).take(); // The applier ends when nobody can commit any more.
        self.handles.queue.close();
        let drain = draining.map(|draining| draining.thread);
        let mut others = std::mem::take(&mut *lock(&self.others));
        others.extend(drain);
        let others = join_all(others, deadline);
        workers && others
    }
}

fn join_all(threads: Vec<JoinHandle<()>>, deadline: Instant) -> bool {
    let mut all = true;
    for thread in threads {
        while !thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        all &= thread.is_finished() && thread.join().is_ok();
    }
    all
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    match std::thread::Builder::new().name(name.to_owned()).spawn(run) {
        Ok(thread) => thread,
        Err(error) => {
            // Without its threads the process can do nothing; this happens at start, before anything is accepted.
            tracing::error!(%error, name, "a thread could not be started");
            std::process::exit(70)
        }
    }
}
