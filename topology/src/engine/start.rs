//! Starting and stopping an engine: restore, threads, and the order in which they end.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use leadline_connectors::contract::blob::Blob;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::Log;
use leadline_connectors::contract::state::{PartitionState, State};
use leadline_connectors::contract::store::RecordWriter;
use leadline_schemas::settings::Settings;
use leadline_schemas::{CommitNumber, Partition, Topic};

use super::applier::{AfterApply, Applier, Retention};
use super::graph::BuildPipeline;
use super::jobs::{Executor, ExecutorParts, LaneKey, Notice, Responders, job_id_of};
use super::keys;
use super::limits::STOP_MAX;
use super::partition::{Committed, Surroundings, lock};
use super::restore::{RestoreError, catch_up};
use super::snapshot;
use super::store_writer::{StoreQueue, StoreWriter, Stored};
use super::suspects::Suspects;
use super::worker::{self, Mailbox, Restored};

/// What an engine is given.
pub struct EngineParts {
    /// The data path.
    pub pipeline: BuildPipeline,
    /// Its name: part of every job's id.
    pub pipeline_name: &'static str,
    /// The generation of the layout.
    pub generation: u32,
    /// Worker threads; partitions are dealt out among them.
    pub workers: usize,
    /// The log.
    pub log: Arc<dyn Log>,
    /// The state store.
    pub state: Arc<dyn State>,
    /// Where snapshots and large bodies lie.
    pub blob: Arc<dyn Blob>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The current settings.
    pub settings: Arc<dyn Fn() -> Arc<Settings> + Send + Sync>,
    /// Who answers jobs.
    pub responders: Responders,
    /// The record store's writer, if this process writes one.
    pub writer: Option<Box<dyn RecordWriter>>,
    /// Who is told of rows that can be read.
    pub stored: Stored,
    /// Where calls run.
    pub runtime: tokio::runtime::Handle,
    /// Where suspect inputs are noted, and whether the process before this one died.
    pub suspects: Option<(PathBuf, bool)>,
    /// How often snapshots are taken.
    pub snapshot_interval: Duration,
    /// Ends the process: something is broken that a restart must mend.
    pub fatal: Arc<dyn Fn(String) + Send + Sync>,
}

/// A running engine.
pub struct Engine {
    mailboxes: Vec<Arc<Mailbox>>,
    workers: Vec<JoinHandle<()>>,
    applier: Option<JoinHandle<()>>,
    executor: Option<JoinHandle<()>>,
    store: Option<JoinHandle<()>>,
    snapshots: Option<JoinHandle<()>>,
    notices: Sender<Notice>,
    queue: Arc<StoreQueue>,
    commits: Arc<Mutex<Option<Sender<Committed>>>>,
    stop_snapshots: Sender<()>,
}

/// Wires an applied commit to the worker that owns the partition and to the executor.
struct Fanout {
    mailboxes: HashMap<Partition, Arc<Mailbox>>,
    notices: Mutex<Sender<Notice>>,
}

impl AfterApply for Fanout {
    fn applied(&self, partition: Partition, number: CommitNumber) {
        if let Some(mailbox) = self.mailboxes.get(&partition) {
            mailbox.applied(partition, number);
        }
    }

    fn job(&self, partition: Partition, ready_key: &[u8], there: bool) {
        let Some(ready) = keys::parse_ready(ready_key) else { return };
        let lane = LaneKey { partition, tenant: ready.tenant.to_owned(), lane: ready.lane.to_owned() };
        let notice = match (there, job_id_of(ready.row_key)) {
            (false, Some(job_id)) => Notice::Gone(lane, job_id),
            _ => Notice::Came(lane),
        };
        // The executor is gone only at shutdown; its jobs are found again at the next start.
        let _ = lock(&self.notices).send(notice);
    }
}

impl Engine {
    /// Restores every partition and starts the threads.
    pub fn start(mut parts: EngineParts) -> Result<Self, RestoreError> {
        let restored = restore_all(&parts)?;
        let states: HashMap<_, _> = restored.iter().map(|r| (r.id, Arc::clone(&r.store))).collect();
        let retention = Arc::new(Retention::default());
        for r in &restored {
            retention.committed(r.id, r.position);
        }
        let queue = Arc::new(StoreQueue::default());
        let (commit_sender, commit_receiver) = channel();
        let commits = Arc::new(Mutex::new(Some(commit_sender)));

        let workers_count = parts.workers.clamp(1, restored.len().max(1));
        let mailboxes: Vec<Arc<Mailbox>> = (0..workers_count).map(|_| Arc::default()).collect();
        let owner = |id: Partition| usize::from(id.0) % workers_count;

        let (executor, notices) = Executor::new(ExecutorParts {
            partitions: states.clone(),
            log: Arc::clone(&parts.log),
            clock: Arc::clone(&parts.clock),
            settings: Arc::clone(&parts.settings),
            responders: parts.responders.clone(),
            runtime: parts.runtime.clone(),
        });
        let of_partition =
            restored.iter().filter_map(|r| Some((r.id, Arc::clone(mailboxes.get(owner(r.id))?))));
        let after =
            Arc::new(Fanout { mailboxes: of_partition.collect(), notices: Mutex::new(notices.clone()) });
        let applier = Applier {
            state: Arc::clone(&parts.state),
            partitions: states.clone(),
            log: Arc::clone(&parts.log),
            retention: Arc::clone(&retention),
            after,
        };
        let applier = spawn("applier", move || applier.run(&commit_receiver));
        let executor = spawn("executor", move || executor.run());
        let has_store = parts.writer.is_some();
        let store = start_store(&mut parts, &restored, &states, &queue, &retention);
        let (stop_snapshots, stop_receiver) = channel();
        let snapshots = start_snapshots(&parts, states, retention, stop_receiver);

        let mut dealt: Vec<Vec<Restored>> = mailboxes.iter().map(|_| Vec::new()).collect();
        for r in restored {
            let index = owner(r.id);
            for topic in [Topic::Inbound, Topic::Replies] {
                if let Some(mailbox) = mailboxes.get(index).cloned() {
                    parts.log.listen(topic, r.id, Arc::new(move || mailbox.wake()));
                }
            }
            if let Some(hand) = dealt.get_mut(index) {
                hand.push(r);
            }
        }
        let mut workers = Vec::new();
        for (index, (mailbox, hand)) in mailboxes.iter().zip(dealt).enumerate() {
            let around = surroundings(&parts, mailbox, has_store.then(|| Arc::clone(&queue)), &commits);
            let mailbox = Arc::clone(mailbox);
            workers.push(spawn(&format!("worker-{index}"), move || worker::run(&mailbox, hand, &around)));
        }
        Ok(Self {
            mailboxes,
            workers,
            applier: Some(applier),
            executor: Some(executor),
            store,
            snapshots: Some(snapshots),
            notices,
            queue,
            commits,
            stop_snapshots,
        })
    }

    /// Tells the workers that something they look at has changed (settings).
    pub fn wake(&self) {
        for mailbox in &self.mailboxes {
            mailbox.wake();
        }
    }

    /// A handle that only wakes, for listeners.
    pub fn waker(&self) -> impl Fn() + Send + Sync + 'static {
        let mailboxes = self.mailboxes.clone();
        move || mailboxes.iter().for_each(|mailbox| mailbox.wake())
    }

    /// Finishes the open epochs and what follows from them, at most 5 s; what is left comes again from the log.
    /// Answers whether everything came to its end.
    pub fn stop(mut self) -> bool {
        let deadline = Instant::now() + STOP_MAX;
        let _ = self.notices.send(Notice::Stop);
        let _ = self.stop_snapshots.send(());
        for mailbox in &self.mailboxes {
            mailbox.stop();
        }
        let mut ended = join_all(self.workers.drain(..), deadline);
        lock(&self.commits).take(); // The applier ends when nobody can commit any more.
        self.queue.close();
        let rest = [self.applier.take(), self.store.take(), self.executor.take(), self.snapshots.take()];
        ended &= join_all(rest.into_iter().flatten(), deadline);
        ended
    }
}

fn join_all(threads: impl Iterator<Item = JoinHandle<()>>, deadline: Instant) -> bool {
    let mut all = true;
    for thread in threads {
        while !thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        all &= thread.is_finished() && thread.join().is_ok();
    }
    all
}

/// Brings every partition up to the end of the log.
fn restore_all(parts: &EngineParts) -> Result<Vec<Restored>, RestoreError> {
    (0..parts.log.partitions()).map(|number| restore_one(parts, Partition(number))).collect()
}

fn restore_one(parts: &EngineParts, id: Partition) -> Result<Restored, RestoreError> {
    let mut store = parts.state.open(id)?;
    let position = match catch_up(&*parts.log, id, &store) {
        Err(RestoreError::Gap { store: at, log_from, partition }) => {
            tracing::warn!(
                partition = id.0,
                store = at.0,
                log_from = log_from.0,
                "rebuilding from a snapshot"
            );
            drop(store);
            parts.state.clear(id)?;
            store = parts.state.open(id)?;
            let restored = parts.runtime.block_on(snapshot::restore(&*parts.blob, id, &store))?;
            match restored {
                Some(_) => catch_up(&*parts.log, id, &store)?,
                None => return Err(RestoreError::Gap { store: at, log_from, partition }),
            }
        }
        other => other?,
    };
    Ok(Restored { id, position, store })
}

fn surroundings(
    parts: &EngineParts,
    mailbox: &Arc<Mailbox>,
    queue: Option<Arc<StoreQueue>>,
    commits: &Arc<Mutex<Option<Sender<Committed>>>>,
) -> Surroundings {
    let (mailbox, commits) = (Arc::clone(mailbox), Arc::clone(commits));
    let (folder, after_abort) = parts.suspects.clone().unzip();
    Surroundings {
        log: Arc::clone(&parts.log),
        clock: Arc::clone(&parts.clock),
        blob: Arc::clone(&parts.blob),
        runtime: parts.runtime.clone(),
        settings: Arc::clone(&parts.settings),
        committed: Arc::new(move |committed: Committed| {
            if let Some(queue) = &queue {
                queue.push(&committed);
            }
            if let Some(sender) = lock(&commits).as_ref() {
                let _ = sender.send(committed);
            }
        }),
        fatal: Arc::clone(&parts.fatal),
        wake: Arc::new(move || mailbox.wake()),
        suspects: Suspects::new(folder.as_deref(), after_abort.unwrap_or(false)),
        pipeline: parts.pipeline,
        pipeline_name: parts.pipeline_name,
        generation: parts.generation,
    }
}

fn start_store(
    parts: &mut EngineParts,
    restored: &[Restored],
    states: &HashMap<Partition, Arc<dyn PartitionState>>,
    queue: &Arc<StoreQueue>,
    retention: &Arc<Retention>,
) -> Option<JoinHandle<()>> {
    let Some(writer) = parts.writer.take() else {
        // Nobody here writes records, so nothing is kept for them.
        restored.iter().for_each(|r| retention.stored(r.id, CommitNumber(u64::MAX)));
        return None;
    };
    for r in restored {
        queue.expect(r.id, r.position.number);
    }
    let store = StoreWriter {
        writer,
        log: Arc::clone(&parts.log),
        states: states.clone(),
        generation: parts.generation,
        retention: Arc::clone(retention),
        stored: Arc::clone(&parts.stored),
        progress: HashMap::new(),
    };
    let queue = Arc::clone(queue);
    Some(spawn("store", move || store.run(&queue)))
}

/// Takes a snapshot of every partition that has moved, each interval.
fn start_snapshots(
    parts: &EngineParts,
    states: HashMap<Partition, Arc<dyn PartitionState>>,
    retention: Arc<Retention>,
    stop: Receiver<()>,
) -> JoinHandle<()> {
    let (blob, runtime) = (Arc::clone(&parts.blob), parts.runtime.clone());
    let (state, log) = (Arc::clone(&parts.state), Arc::clone(&parts.log));
    let (generation, interval) = (parts.generation, parts.snapshot_interval);
    spawn("snapshots", move || {
        let mut newest: HashMap<Partition, CommitNumber> = HashMap::new();
        for partition in states.keys() {
            if let Ok(Some(manifest)) = runtime.block_on(snapshot::read_manifest(&*blob, *partition)) {
                note_snapshot(&retention, *partition, &manifest);
            }
        }
        while stop.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
            for (partition, store) in &states {
                let applied = store.applied().unwrap_or_default();
                if newest.get(partition) == Some(&applied) || applied == CommitNumber(0) {
                    continue;
                }
                let taken = store.view().map_err(RestoreError::from).and_then(|view| {
                    runtime.block_on(snapshot::take(&*blob, generation, *partition, &*view))
                });
                match taken {
                    Ok(manifest) => {
                        newest.insert(*partition, applied);
                        note_snapshot(&retention, *partition, &manifest);
                        metrics::counter!("leadline_snapshots_total").increment(1);
                    }
                    Err(error) => {
                        tracing::error!(partition = partition.0, %error, "a snapshot could not be taken")
                    }
                }
            }
            if state.sync().is_ok() {
                retention.publish(&*log);
            }
        }
    })
}

fn note_snapshot(retention: &Retention, partition: Partition, manifest: &snapshot::Manifest) {
    // The second-newest: the log can then still mend a newest one that turns out to be unreadable.
    if let Some(entry) = manifest.snapshots.get(1) {
        retention.snapshot(partition, entry.number);
    }
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
