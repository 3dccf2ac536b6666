//! One partition: feeds its dataflow, closes epochs, commits them.
//!
//! While one epoch is in commit, the next is processed on top of it; never more. An epoch closes as soon as the
//! one before is committed and it has an input, so that an idle partition answers within one commit and a busy one
//! commits in batches.

mod bodies;
mod committing;
mod ending;
mod feeding;
mod retelling;
mod running;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use leadline_connectors::contract::blob::Blob;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::{CommitAnswer, Log};
use leadline_schemas::frame::Output;
use leadline_schemas::settings::Settings;
use leadline_schemas::{CommitNumber, Millis, Offset, Partition as PartitionId, Topic};
use timely::worker::Worker;

use self::bodies::Bodies;
use self::ending::Ends;
use super::changes::Changes;
use super::clock::{EpochClock, Watermark};
use super::effects::Epoch;
use super::feed::{Fed, Operators};
use super::graph::{self, BuildPipeline, Inputs, Tick};
use super::keys;
use super::limits::*;
use super::overlay::Overlay;
use super::ownership::Ownership;
use super::suspects::Suspects;
use super::topology::Topology;

/// Where a partition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The last commit.
    pub number: CommitNumber,
    /// The first inbound offset not covered.
    pub inbound_next: Offset,
    /// The first replies offset not covered.
    pub replies_next: Offset,
    /// The epoch's clock.
    pub now: Millis,
    /// The settings it ran under.
    pub settings_version: u64,
    /// Up to where event time is complete.
    pub watermark: Millis,
    /// Whether its owner let the partition go with this commit.
    pub released: bool,
    /// Whether it is the last commit of its layout: nothing runs behind it any more.
    pub drained: bool,
}

/// What is told of every commit: the applier, the record store and the job executor live on it.
#[derive(Clone, Debug)]
pub(super) struct Committed {
    pub(super) partition: PartitionId,
    pub(super) position: Position,
    pub(super) changes: Arc<Changes>,
    pub(super) outputs: Arc<Vec<Output>>,
    pub(super) bytes: usize,
}

/// What a partition needs of the process.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub(super) log: Arc<dyn Log>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) blob: Arc<dyn Blob>,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) settings: Arc<dyn Fn() -> Arc<Settings> + Send + Sync>,
    pub(super) committed: Arc<dyn Fn(Committed) + Send + Sync>,
    pub(super) fatal: Arc<dyn Fn(String) + Send + Sync>,
    pub(super) ownership: Arc<Ownership>,
    pub(super) wake: Arc<dyn Fn() + Send + Sync>,
    pub(super) suspects: Suspects,
    pub(super) pipeline: BuildPipeline,
    pub(super) pipeline_name: &'static str,
    pub(super) generation: u32,
}

/// What a turn of a partition has done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turn {
    /// Whether it should have another turn at once.
    pub(super) progressed: bool,
    /// When its next timer is due, by the wall clock.
    pub(super) wake_at: Option<Millis>,
}

/// A commit that is out.
struct InCommit {
    position: Position,
    answer: Arc<Mutex<Option<CommitAnswer>>>,
    committed: Committed,
    asked_boot_ms: u64,
}

/// The operators of a built graph, by number and name.
struct Names(Topology);

impl Operators for Names {
    fn name_of(&self, number: u8) -> Option<&'static str> {
        self.0.nodes.iter().find(|node| node.id.number == number).map(|node| node.id.name)
    }
    fn known(&self, name: &str) -> Option<&'static str> {
        self.0.nodes.iter().find(|node| node.id.name == name).map(|node| node.id.name)
    }
}

/// A partition that this worker owns.
pub(super) struct Partition {
    id: PartitionId,
    around: Surroundings,
    dataflow: usize,
    inputs: Inputs,
    names: Names,
    epoch: Rc<RefCell<Epoch>>,
    tick: Tick,
    clock: EpochClock,
    /// The last commit, the one in commit or the committed one: what the open epoch builds on.
    base: Position,
    committed: Position,
    inbound_next: Offset,
    replies_next: Offset,
    in_commit: Option<InCommit>,
    fed: Vec<Fed>,
    fed_bytes: usize,
    /// What the open epoch's outputs hold.
    output_bytes: usize,
    /// Whether the last read has left something that can be read at once.
    behind: bool,
    opened_boot_ms: Option<u64>,
    bodies: Bodies,
    sweep_from: Bytes,
    swept_boot_ms: u64,
    /// After an unclean stop the first epoch runs one input at a time, each noted on disk before.
    careful: bool,
    retry_boot_ms: Option<u64>,
    /// An engine fault has happened; what is open is lost.
    stumbled: bool,
    /// Another owner has it, or nobody knows what was committed: it does nothing more.
    lost: bool,
    /// It goes as soon as nothing is open, nothing that it has started runs, and that is committed.
    leaving: bool,
    quiet: bool,
    /// Its next owner is told what it has started: it need not wait for that.
    handing_over: bool,
    /// A commit is asked for, even of nothing.
    renew: bool,
    /// It is known not to get on.
    troubled: bool,
    /// Where its inputs end, once the layout has.
    ends: Ends,
    /// Records of layouts before may have to be told again.
    retells: bool,
    /// Inputs had the last commit.
    retells_next: bool,
}

impl Partition {
    /// Installs the dataflow of a restored partition.
    pub(super) fn install(
        worker: &mut Worker,
        id: PartitionId,
        position: Position,
        store: Arc<dyn leadline_connectors::contract::state::PartitionState>,
        around: Surroundings,
    ) -> Self {
        let watermark = Watermark::new(position.watermark, around.clock.wall());
        let epoch = Epoch::new(Overlay::new(store), watermark, around.pipeline_name);
        let epoch = Rc::new(RefCell::new(epoch));
        let (dataflow, inputs, topology) = install_graph(worker, &epoch, around.pipeline);
        let clock = EpochClock::new(position.now, &*around.clock);
        let careful = around.suspects.after_abort();
        let swept_boot_ms = around.clock.boot_ms();
        let around_generation = around.generation;
        Self {
            id,
            around,
            dataflow,
            inputs,
            names: Names(topology),
            epoch,
            tick: 0,
            clock,
            base: position,
            committed: position,
            inbound_next: position.inbound_next,
            replies_next: position.replies_next,
            in_commit: None,
            fed: Vec::new(),
            fed_bytes: 0,
            output_bytes: 0,
            behind: false,
            opened_boot_ms: None,
            bodies: Bodies::default(),
            sweep_from: Bytes::from_static(&[keys::ROWS]),
            swept_boot_ms,
            careful,
            retry_boot_ms: None,
            stumbled: false,
            lost: false,
            leaving: false,
            quiet: false,
            handing_over: false,
            // What was handed over is shown to be there: the first commit says that the partition runs.
            renew: position.was_handed_over(),
            troubled: false,
            ends: Ends::default(),
            retells: around_generation > 1,
            retells_next: true,
        }
    }

    /// Takes the dataflow down; what is uncommitted is gone.
    pub(super) fn uninstall(self, worker: &mut Worker) {
        drop(self.inputs);
        worker.drop_dataflow(self.dataflow);
    }

    /// Reads no more, and goes when what is open is committed.
    pub(super) fn leave(&mut self) {
        self.leaving = true;
    }

    /// As [`Self::leave`], without waiting for what it has started.
    pub(super) fn hand_over(&mut self) {
        self.leaving = true;
        self.handing_over = true;
    }

    /// Nothing that it has started runs any more.
    pub(super) fn is_quiet(&mut self) {
        self.quiet = true;
    }

    /// Commits soon, even nothing.
    pub(super) fn renew(&mut self) {
        self.renew = true;
    }

    /// Whether it was told to leave and has said in its last commit that it did, or somebody else will.
    pub(super) fn may_go(&self) -> bool {
        self.leaving && self.is_settled() && (self.committed.released || self.lost || self.handing_over)
    }

    /// The last commit.
    pub(super) fn number(&self) -> CommitNumber {
        self.committed.number
    }

    pub(super) fn id(&self) -> PartitionId {
        self.id
    }

    /// Whether nothing is open or in commit.
    pub(super) fn is_settled(&self) -> bool {
        self.lost || (self.in_commit.is_none() && self.fed.is_empty() && !self.stumbled)
    }

    /// The state store holds everything up to this commit.
    pub(super) fn applied(&mut self, up_to: CommitNumber) {
        self.epoch.borrow_mut().overlay.applied(up_to);
    }

    /// Does what there is to do. With `stopping` it reads no more and only finishes what is open.
    pub(super) fn turn(&mut self, worker: &mut Worker, stopping: bool) -> Turn {
        let stopping = stopping || self.leaving;
        let mut turn = Turn { progressed: self.poll_commit(worker), wake_at: None };
        if self.lost || self.base.drained {
            return turn;
        }
        let boot_ms = self.around.clock.boot_ms();
        if self.stumbled {
            turn.progressed |= self.get_up(worker, boot_ms);
            return turn;
        }
        if let Some(at) = self.retry_boot_ms {
            if boot_ms < at {
                turn.wake_at =
                    Some(self.around.clock.wall().plus(i64::try_from(at - boot_ms).unwrap_or(1_000)));
                return turn;
            }
            self.retry_boot_ms = None;
        }
        let retells = self.retells && self.retells_next && self.fed.is_empty() && !stopping;
        if !stopping && !retells {
            turn.progressed |= self.fill(worker, boot_ms);
        }
        if !self.fed.is_empty() && !self.stumbled && self.may_close(boot_ms, stopping) {
            self.close(false);
            self.retells_next = true;
            turn.progressed = true;
        } else if self.is_settled() && self.has_ended() {
            turn.progressed |= self.close_last();
        } else if self.is_settled() && self.retells && !stopping {
            self.retells_next = false;
            turn.progressed |= self.retell();
        } else if self.is_settled() && self.must_show() {
            turn.progressed |= self.close_empty();
        }
        turn.wake_at = earlier(turn.wake_at, self.next_timer());
        turn
    }

    /// Whether a commit is due although there is nothing to commit.
    fn must_show(&self) -> bool {
        self.renew || (self.leaving && self.quiet && !self.committed.released)
    }

    /// The one gate: what is open and what waits for the store are bounded.
    fn may_feed(&self, boot_ms: u64) -> bool {
        let open_ms = self.opened_boot_ms.map_or(0, |opened| boot_ms.saturating_sub(opened));
        let waits_too_long = self.in_commit.is_some() && u128::from(open_ms) > EPOCH_DURATION_MAX.as_millis();
        !waits_too_long
            && self.fed_bytes < EPOCH_BYTES_MAX
            && self.output_bytes < EPOCH_OUTPUT_BYTES_MAX
            && self.fed.len() < EPOCH_INPUTS_MAX
            && self.epoch.borrow().overlay.unapplied_bytes() < UNAPPLIED_BYTES_MAX
            && !(self.careful && self.in_commit.is_some())
    }

    /// Feeds and runs what there is, up to a turn's share. Answers whether there was anything.
    fn fill(&mut self, worker: &mut Worker, boot_ms: u64) -> bool {
        let (mut progressed, share) = (false, self.fed_bytes + TURN_BYTES_MAX);
        while self.may_feed(boot_ms) && self.fed_bytes < share && !self.stumbled {
            match self.feed(boot_ms) {
                Ok(from) if from < self.fed.len() => {
                    progressed = true;
                    self.run_fed(worker, from);
                    self.output_bytes = self.epoch.borrow().output_bytes();
                }
                Ok(_) => {}
                Err(fault) => self.stumble(&fault),
            }
            if !self.behind {
                break;
            }
        }
        progressed
    }

    /// At the end of its input an epoch closes as soon as the one before is committed. Behind it the epoch fills up
    /// first: a commit per read would write hot rows over and over.
    fn may_close(&self, boot_ms: u64, stopping: bool) -> bool {
        let open_ms = self.opened_boot_ms.map_or(0, |opened| boot_ms.saturating_sub(opened));
        let waits_long = u128::from(open_ms) > EPOCH_DURATION_MAX.as_millis();
        // What ran alone is committed at once, or each further read would run all of it again.
        let closes = stopping || waits_long || self.careful || !self.behind || !self.may_feed(boot_ms);
        self.in_commit.is_none() && closes
    }

    /// When the wall clock will have made a timer due.
    fn next_timer(&mut self) -> Option<Millis> {
        let epoch = self.epoch.borrow();
        let [now_due, event_due] = epoch.next_due;
        let by_event = event_due.map(|at| Millis(at).plus(WATERMARK_IDLE_MS));
        earlier(now_due.map(Millis), by_event)
    }
}

fn install_graph(
    worker: &mut Worker,
    epoch: &Rc<RefCell<Epoch>>,
    pipeline: BuildPipeline,
) -> (usize, Inputs, Topology) {
    let dataflow = worker.next_dataflow_index();
    let (inputs, topology) =
        worker.dataflow::<Tick, _, _>(|scope| graph::build(scope, Rc::clone(epoch), pipeline));
    (dataflow, inputs, topology)
}

/// Topics of which the newest record per key is kept.
pub(super) fn is_compacted(topic: Topic) -> bool {
    topic.is_output()
}

fn earlier(a: Option<Millis>, b: Option<Millis>) -> Option<Millis> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// A lock that a panicking thread may have left behind still guards whole values here.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
