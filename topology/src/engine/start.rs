//! Starting and stopping an engine: a thread for each part, and the order in which they end.

use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::assembly::{Assembly, EngineParts, Handles, assemble};
use super::jobs::Notice;
use super::limits::STOP_MAX;
use super::partition::lock;
use super::restore::RestoreError;
use super::worker;

/// A running engine.
pub struct Engine {
    handles: Handles,
    workers: Vec<JoinHandle<()>>,
    others: Vec<JoinHandle<()>>,
    stop_snapshots: Sender<()>,
}

impl Engine {
    /// Restores every partition and starts the threads.
    pub fn start(parts: EngineParts) -> Result<Self, RestoreError> {
        let Assembly { hands, applier, commits, executor, store, snapshots, handles } = assemble(parts)?;
        let (stop_snapshots, stop) = channel();
        let mut others = vec![
            spawn("applier", move || applier.run(&commits)),
            spawn("executor", move || executor.run()),
            spawn("snapshots", move || snapshots.run(&stop)),
        ];
        let queue = std::sync::Arc::clone(&handles.queue);
        others.extend(store.map(|store| spawn("store", move || store.run(&queue))));
        let workers = hands.into_iter().enumerate().map(|(index, hand)| {
            let run = move || worker::run(&hand.mailbox, hand.restored, &hand.around);
            spawn(&format!("worker-{index}"), run)
        });
        Ok(Self { workers: workers.collect(), others, stop_snapshots, handles })
    }

    /// A handle that tells the workers that something they look at has changed (settings).
    pub fn waker(&self) -> impl Fn() + Send + Sync + 'static {
        let mailboxes = self.handles.mailboxes.clone();
        move || mailboxes.iter().for_each(|mailbox| mailbox.wake())
    }

    /// Finishes the open epochs and what follows from them, at most 5 s; what is left comes again from the log.
    /// Answers whether everything came to its end.
    pub fn stop(self) -> bool {
        let deadline = Instant::now() + STOP_MAX;
        // Both may have ended by themselves.
        let _ = self.handles.notices.send(Notice::Stop);
        let _ = self.stop_snapshots.send(());
        for mailbox in &self.handles.mailboxes {
            mailbox.stop();
        }
        let workers = join_all(self.workers, deadline);
        lock(&self.handles.committer).take(); // The applier ends when nobody can commit any more.
        self.handles.queue.close();
        let others = join_all(self.others, deadline);
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
