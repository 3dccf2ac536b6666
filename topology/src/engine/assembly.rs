//! What an engine is made of: its parts restored and wired, not yet running.
//!
//! `start.rs` gives each part a thread, `stepped.rs` gives them turns in one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leadline_connectors::contract::blob::Blob;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::Log;
use leadline_connectors::contract::state::{PartitionState, State};
use leadline_connectors::contract::store::RecordWriter;
use leadline_schemas::settings::Settings;
use leadline_schemas::{CommitNumber, Offset, Partition, Topic};

use super::applier::{AfterApply, Applier, ApplyProgress, Retention};
use super::graph::BuildPipeline;
use super::jobs::{Executor, ExecutorParts, LaneKey, Notice, Responders, job_id_of};
use super::keys;
use super::partition::{Committed, Position, Surroundings, lock};
use super::restore::{RestoreError, catch_up};
use super::snapshot;
use super::snapshots::{Round, Snapshots};
use super::store_writer::{StoreProgress, StoreQueue, StoreWriter, Stored};
use super::suspects::Suspects;
use super::worker::{Mailbox, Restored};

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

/// One worker's part.
pub(super) struct Hand {
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) restored: Vec<Restored>,
    pub(super) around: Surroundings,
}

/// The parts of an engine, wired.
pub(super) struct Assembly {
    pub(super) hands: Vec<Hand>,
    pub(super) applier: Applier,
    pub(super) commits: Receiver<Committed>,
    pub(super) executor: Executor,
    pub(super) store: Option<StoreWriter>,
    pub(super) snapshots: Snapshots,
    pub(super) handles: Handles,
}

/// What stops the parts, one after the other.
pub(super) struct Handles {
    pub(super) mailboxes: Vec<Arc<Mailbox>>,
    pub(super) notices: Sender<Notice>,
    pub(super) queue: Arc<StoreQueue>,
    /// Taken away at the end: then nobody can commit any more.
    pub(super) committer: Arc<Mutex<Option<Sender<Committed>>>>,
}

/// Wires an applied commit to the worker that owns the partition and to the executor.
struct Fanout {
    mailboxes: BTreeMap<Partition, Arc<Mailbox>>,
    notices: Mutex<Sender<Notice>>,
    /// Partitions whose replies of before the start are not all applied, and where those end.
    behind: Mutex<BTreeMap<Partition, Offset>>,
}

impl AfterApply for Fanout {
    fn applied(&self, partition: Partition, position: &Position) {
        if let Some(mailbox) = self.mailboxes.get(&partition) {
            mailbox.applied(partition, position.number);
        }
        let mut behind = lock(&self.behind);
        if behind.get(&partition).is_some_and(|end| position.replies_next >= *end) {
            behind.remove(&partition);
            let _ = lock(&self.notices).send(Notice::CaughtUp(partition));
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

/// Restores every partition and wires the parts.
pub(super) fn assemble(mut parts: EngineParts) -> Result<Assembly, RestoreError> {
    let restored = restore_all(&parts)?;
    let states: BTreeMap<_, _> = restored.iter().map(|r| (r.id, Arc::clone(&r.store))).collect();
    let retention = Arc::new(Retention::default());
    for r in &restored {
        retention.committed(r.id, r.position);
    }
    let queue = Arc::new(StoreQueue::default());
    let (committer, commits) = channel();
    let committer = Arc::new(Mutex::new(Some(committer)));
    let workers = parts.workers.clamp(1, restored.len().max(1));
    let mailboxes: Vec<Arc<Mailbox>> = (0..workers).map(|_| Arc::default()).collect();
    let owner = |id: Partition| usize::from(id.0) % workers;
    let owners = restored.iter().filter_map(|r| Some((r.id, Arc::clone(mailboxes.get(owner(r.id))?))));
    let owners: BTreeMap<Partition, Arc<Mailbox>> = owners.collect();

    let behind = replies_behind(&parts, &restored)?;
    let (executor, notices) = Executor::new(ExecutorParts {
        behind: behind.keys().copied().collect(),
        partitions: states.clone(),
        log: Arc::clone(&parts.log),
        clock: Arc::clone(&parts.clock),
        settings: Arc::clone(&parts.settings),
        responders: parts.responders.clone(),
        runtime: parts.runtime.clone(),
    });
    let applier = Applier {
        state: Arc::clone(&parts.state),
        partitions: states.clone(),
        log: Arc::clone(&parts.log),
        clock: Arc::clone(&parts.clock),
        retention: Arc::clone(&retention),
        after: Arc::new(Fanout {
            mailboxes: owners.clone(),
            notices: Mutex::new(notices.clone()),
            behind: Mutex::new(behind),
        }),
        progress: ApplyProgress::default(),
    };
    let store = store_writer(&mut parts, &restored, &states, &queue, &retention);
    let snapshots = Snapshots {
        states,
        state: Arc::clone(&parts.state),
        blob: Arc::clone(&parts.blob),
        log: Arc::clone(&parts.log),
        clock: Arc::clone(&parts.clock),
        runtime: parts.runtime.clone(),
        retention,
        generation: parts.generation,
        interval: parts.snapshot_interval,
        round: Round::default(),
    };
    listen(&parts, &owners);
    let mut hands: Vec<Hand> = mailboxes
        .iter()
        .map(|mailbox| Hand {
            mailbox: Arc::clone(mailbox),
            restored: Vec::new(),
            around: surroundings(&parts, mailbox, store.is_some().then(|| Arc::clone(&queue)), &committer),
        })
        .collect();
    for r in restored {
        if let Some(hand) = hands.get_mut(owner(r.id)) {
            hand.restored.push(r);
        }
    }
    let handles = Handles { mailboxes, notices, queue, committer };
    Ok(Assembly { hands, applier, commits, executor, store, snapshots, handles })
}

/// Partitions with replies that no commit covers yet, and where those end.
fn replies_behind(
    parts: &EngineParts,
    restored: &[Restored],
) -> Result<BTreeMap<Partition, Offset>, RestoreError> {
    let mut behind = BTreeMap::new();
    for r in restored {
        let (_, end) = parts.log.range(Topic::Replies, r.id)?;
        if r.position.replies_next < end {
            behind.insert(r.id, end);
        }
    }
    Ok(behind)
}

/// Has each worker woken when its partitions' input has moved.
fn listen(parts: &EngineParts, owners: &BTreeMap<Partition, Arc<Mailbox>>) {
    for (partition, mailbox) in owners {
        for topic in [Topic::Inbound, Topic::Replies] {
            let mailbox = Arc::clone(mailbox);
            parts.log.listen(topic, *partition, Arc::new(move || mailbox.wake()));
        }
    }
}

fn store_writer(
    parts: &mut EngineParts,
    restored: &[Restored],
    states: &BTreeMap<Partition, Arc<dyn PartitionState>>,
    queue: &StoreQueue,
    retention: &Arc<Retention>,
) -> Option<StoreWriter> {
    let Some(writer) = parts.writer.take() else {
        // Nobody here writes records, so nothing is kept for them.
        restored.iter().for_each(|r| retention.stored(r.id, CommitNumber(u64::MAX)));
        return None;
    };
    for r in restored {
        queue.expect(r.id, r.position.number);
    }
    Some(StoreWriter {
        writer,
        log: Arc::clone(&parts.log),
        clock: Arc::clone(&parts.clock),
        states: states.clone(),
        generation: parts.generation,
        retention: Arc::clone(retention),
        stored: Arc::clone(&parts.stored),
        progress: StoreProgress::default(),
    })
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
