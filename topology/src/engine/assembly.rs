//! What an engine is made of: its parts wired, not yet running, and owning nothing.
//!
//! `start.rs` gives each part a thread, `stepped.rs` gives them turns in one.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leadline_connectors::contract::blob::Blob;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::Log;
use leadline_connectors::contract::state::State;
use leadline_connectors::contract::store::RecordWriter;
use leadline_schemas::layout::Change;
use leadline_schemas::settings::Settings;

use super::applier::{Applier, ApplyProgress, Retention, ToApply};
use super::graph::BuildPipeline;
use super::jobs::{Executor, ExecutorParts, Notice, Responders};
use super::lease::Leases;
use super::ownership::{Ownership, OwnershipProgress};
use super::partition::{Committed, Surroundings, lock};
use super::rows::Rows;
use super::snapshots::{Round, Snapshots};
use super::store_writer::{StoreProgress, StoreQueue, StoreWriter, Stored};
use super::suspects::Suspects;
use super::worker::Mailbox;

/// What an engine is given.
pub struct EngineParts {
    /// The data path.
    pub pipeline: BuildPipeline,
    /// Its name: part of every job's id.
    pub pipeline_name: &'static str,
    /// The generation of the layout.
    pub generation: u32,
    /// How rows come from the layout before, if there was one.
    pub origin: Option<Change>,
    /// Worker threads; partitions are dealt out among them.
    pub workers: usize,
    /// Whether other processes may own partitions of the same log: then one that is fenced is restored, for as long
    /// as it is this process's; else it is a failure.
    pub shared: bool,
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

/// The parts of an engine, wired.
pub(super) struct Assembly {
    /// What each worker runs in.
    pub(super) hands: Vec<(Arc<Mailbox>, Surroundings)>,
    pub(super) applier: Applier,
    pub(super) commits: Receiver<ToApply>,
    pub(super) executor: Executor,
    pub(super) store: Option<StoreWriter>,
    pub(super) snapshots: Snapshots,
    pub(super) handles: Handles,
}

/// What directs the parts and stops them, one after the other.
pub(super) struct Handles {
    pub(super) ownership: Arc<Ownership>,
    pub(super) mailboxes: Vec<Arc<Mailbox>>,
    pub(super) notices: Sender<Notice>,
    pub(super) queue: Arc<StoreQueue>,
    /// Taken away at the end: then nobody can commit any more.
    pub(super) to_apply: Arc<Mutex<Option<Sender<ToApply>>>>,
}

/// Wires the parts.
pub(super) fn assemble(mut parts: EngineParts) -> Assembly {
    let (rows, retention, queue) = (Arc::<Rows>::default(), Arc::<Retention>::default(), Arc::default());
    let (to_apply, commits) = channel();
    let to_apply = Arc::new(Mutex::new(Some(to_apply)));
    let workers = parts.workers.clamp(1, usize::from(parts.log.partitions()).max(1));
    let mailboxes: Vec<Arc<Mailbox>> = (0..workers).map(|_| Arc::default()).collect();
    let (notices, noticed) = channel();
    let writer = parts.writer.take();
    let ownership = Arc::new(Ownership {
        log: Arc::clone(&parts.log),
        state: Arc::clone(&parts.state),
        blob: Arc::clone(&parts.blob),
        clock: Arc::clone(&parts.clock),
        runtime: parts.runtime.clone(),
        generation: parts.generation,
        origin: parts.origin.clone(),
        settings: Arc::clone(&parts.settings),
        shared: parts.shared,
        leases: Leases::default(),
        fatal: Arc::clone(&parts.fatal),
        mailboxes: mailboxes.clone(),
        rows: Arc::clone(&rows),
        retention: Arc::clone(&retention),
        queue: writer.is_some().then(|| Arc::clone(&queue)),
        notices: Mutex::new(notices.clone()),
        to_apply: Arc::clone(&to_apply),
        progress: OwnershipProgress::default(),
    });
    let executor_parts = ExecutorParts {
        ownership: Arc::clone(&ownership),
        log: Arc::clone(&parts.log),
        clock: Arc::clone(&parts.clock),
        settings: Arc::clone(&parts.settings),
        responders: parts.responders.clone(),
        runtime: parts.runtime.clone(),
    };
    let executor = Executor::new(executor_parts, notices.clone(), noticed);
    let applier = Applier {
        state: Arc::clone(&parts.state),
        rows: Arc::clone(&rows),
        log: Arc::clone(&parts.log),
        clock: Arc::clone(&parts.clock),
        retention: Arc::clone(&retention),
        after: ownership.clone(),
        progress: ApplyProgress::default(),
    };
    let store = writer.map(|writer| StoreWriter {
        writer,
        log: Arc::clone(&parts.log),
        clock: Arc::clone(&parts.clock),
        rows: Arc::clone(&rows),
        generation: parts.generation,
        is_handed_over: parts.origin.is_some(),
        settings: Arc::clone(&parts.settings),
        retention: Arc::clone(&retention),
        stored: Arc::clone(&parts.stored),
        progress: StoreProgress::default(),
    });
    let snapshots = Snapshots {
        rows,
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
    let hands = mailboxes.iter().map(|mailbox| {
        let queue = store.is_some().then(|| Arc::clone(&queue));
        (Arc::clone(mailbox), surroundings(&parts, mailbox, queue, &ownership))
    });
    let hands = hands.collect();
    let handles = Handles { ownership, mailboxes, notices, queue, to_apply };
    Assembly { hands, applier, commits, executor, store, snapshots, handles }
}

fn surroundings(
    parts: &EngineParts,
    mailbox: &Arc<Mailbox>,
    queue: Option<Arc<StoreQueue>>,
    ownership: &Arc<Ownership>,
) -> Surroundings {
    let (mailbox, to_apply) = (Arc::clone(mailbox), Arc::clone(&ownership.to_apply));
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
            if let Some(to_apply) = lock(&to_apply).as_ref() {
                // The applier ends after everybody who commits.
                let _ = to_apply.send(ToApply::Committed(committed));
            }
        }),
        fatal: Arc::clone(&parts.fatal),
        ownership: Arc::clone(ownership),
        wake: Arc::new(move || mailbox.wake()),
        suspects: Suspects::new(folder.as_deref(), after_abort.unwrap_or(false)),
        pipeline: parts.pipeline,
        pipeline_name: parts.pipeline_name,
        generation: parts.generation,
    }
}
