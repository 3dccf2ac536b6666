//! One partition: feeds its dataflow, closes epochs, commits them.
//!
//! While one epoch is in commit, the next is processed on top of it; never more. An epoch closes as soon as the
//! one before is committed and it has an input, so that an idle partition answers within one commit and a busy one
//! commits in batches.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use leadline_connectors::contract::blob::Blob;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::{Commit, CommitAnswer, Log, ReadError};
use leadline_operators::contract::{Fault, TimerKind};
use leadline_schemas::avro::{self, AvroError};
use leadline_schemas::frame::{FrameParts, Output};
use leadline_schemas::inbound::Inbound;
use leadline_schemas::reply::Reply;
use leadline_schemas::sabotage::{self, Bug};
use leadline_schemas::settings::Settings;
use leadline_schemas::{CommitNumber, Millis, Offset, Partition as PartitionId, Topic};
use timely::worker::Worker;

use super::changes::Changes;
use super::clock::{EpochClock, Watermark};
use super::effects::Epoch;
use super::feed::{Fed, Operators, What, recall, timer_bytes};
use super::graph::{self, BuildPipeline, Inputs, Tick};
use super::keys;
use super::limits::*;
use super::overlay::Overlay;
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

/// What a fetch has brought: the record's offset, and the body or why there is none.
type Fetched = Arc<Mutex<Option<(Offset, Result<Bytes, String>)>>>;

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
    /// Whether the last read has left something that can be read at once.
    behind: bool,
    opened_boot_ms: Option<u64>,
    /// A large body that is being fetched, by the offset of its record.
    fetched: Fetched,
    fetching: Option<Offset>,
    sweep_from: Bytes,
    swept_boot_ms: u64,
    /// After an unclean stop the first epoch runs one input at a time, each noted on disk before.
    careful: bool,
    retry_boot_ms: Option<u64>,
    /// An engine fault has happened; what is open is lost.
    stumbled: bool,
    /// Another owner has it, or nobody knows what was committed: it does nothing more in this process.
    lost: bool,
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
            behind: false,
            opened_boot_ms: None,
            fetched: Arc::default(),
            fetching: None,
            sweep_from: Bytes::from_static(&[keys::ROWS]),
            swept_boot_ms,
            careful,
            retry_boot_ms: None,
            stumbled: false,
            lost: false,
        }
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
        let mut turn = Turn { progressed: self.poll_commit(worker), wake_at: None };
        if self.lost {
            return Turn::default();
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
        if !stopping && self.may_feed(boot_ms) {
            match self.feed(boot_ms) {
                Ok(from) if from < self.fed.len() => {
                    turn.progressed = true;
                    self.run_fed(worker, from);
                }
                Ok(_) => {}
                Err(fault) => self.stumble(&fault),
            }
        }
        if !self.fed.is_empty() && !self.stumbled && self.may_close(boot_ms, stopping) {
            self.close();
            turn.progressed = true;
        }
        turn.wake_at = earlier(turn.wake_at, self.next_timer());
        turn
    }

    /// The one gate: what is open and what waits for the store are bounded.
    fn may_feed(&self, boot_ms: u64) -> bool {
        let open_ms = self.opened_boot_ms.map_or(0, |opened| boot_ms.saturating_sub(opened));
        let waits_too_long = self.in_commit.is_some() && u128::from(open_ms) > EPOCH_DURATION_MAX.as_millis();
        !waits_too_long
            && self.fed_bytes < EPOCH_BYTES_MAX
            && self.fed.len() < EPOCH_INPUTS_MAX
            && self.epoch.borrow().overlay.unapplied_bytes() < UNAPPLIED_BYTES_MAX
            && !(self.careful && self.in_commit.is_some())
    }

    /// At the end of its input an epoch closes as soon as the one before is committed. Behind it the epoch fills up
    /// first: a commit per read would write hot rows over and over.
    fn may_close(&self, boot_ms: u64, stopping: bool) -> bool {
        let open_ms = self.opened_boot_ms.map_or(0, |opened| boot_ms.saturating_sub(opened));
        let waits_long = u128::from(open_ms) > EPOCH_DURATION_MAX.as_millis();
        self.in_commit.is_none() && (stopping || waits_long || !self.behind || !self.may_feed(boot_ms))
    }

    // ---------------------------------------------------------------- feeding

    /// Reads what has come in and what is due. Answers from where in `fed` the new inputs stand.
    fn feed(&mut self, boot_ms: u64) -> Result<usize, Fault> {
        let from = self.fed.len();
        let opening = self.opened_boot_ms.is_none();
        if opening {
            let mut epoch = self.epoch.borrow_mut();
            epoch.now = self.clock.now(&*self.around.clock);
            epoch.settings = (self.around.settings)();
            if epoch.settings.version < self.base.settings_version {
                return Ok(from); // A new owner never runs below the settings of the last commit.
            }
        }
        self.behind = false;
        self.feed_replies()?;
        self.feed_inbound()?;
        if opening {
            self.feed_timers()?;
            self.sweep(boot_ms)?;
        }
        if self.fed.len() > from && opening {
            self.opened_boot_ms = Some(boot_ms);
        }
        Ok(from)
    }

    fn room(&self) -> usize {
        READ_BYTES_MAX.min(EPOCH_BYTES_MAX.saturating_sub(self.fed_bytes)).max(1)
    }

    fn push(&mut self, fed: Fed) {
        self.fed_bytes += fed.bytes_len();
        self.fed.push(fed);
    }

    fn feed_replies(&mut self) -> Result<(), Fault> {
        let chunk = self
            .around
            .log
            .read(Topic::Replies, self.id, self.replies_next, self.room())
            .map_err(read_fault)?;
        for record in chunk.records {
            if self.fed.len() >= EPOCH_INPUTS_MAX {
                return Ok(());
            }
            let what = match avro::decode::<Reply>(&record.value) {
                Ok(reply) => What::Reply(Box::new(reply)),
                Err(AvroError::Malformed { why, .. }) => What::Malformed { why },
                Err(unknown) => return self.wait_for_newer_binary(&unknown),
            };
            self.replies_next = record.offset.next();
            self.push(Fed {
                offset: i64::try_from(record.offset.0).unwrap_or(i64::MAX),
                bytes: record.value,
                what,
            });
        }
        self.behind |= chunk.next < chunk.end;
        Ok(())
    }

    fn feed_inbound(&mut self) -> Result<(), Fault> {
        let chunk = self
            .around
            .log
            .read(Topic::Inbound, self.id, self.inbound_next, self.room())
            .map_err(read_fault)?;
        let settings_version = self.epoch.borrow().settings.version;
        for record in chunk.records {
            if self.fed.len() >= EPOCH_INPUTS_MAX {
                return Ok(());
            }
            let fed = match Inbound::decode(&record.value) {
                Ok(mut inbound) => {
                    if inbound.settings_version > settings_version {
                        return Ok(()); // The next epoch takes it, with newer settings.
                    }
                    if !self.body_is_here(record.offset, &mut inbound)? {
                        return Ok(());
                    }
                    Fed::record(record.offset, record.value, inbound)
                }
                Err(AvroError::Malformed { why, .. }) => Fed {
                    offset: i64::try_from(record.offset.0).unwrap_or(i64::MAX),
                    bytes: record.value,
                    what: What::Malformed { why },
                },
                Err(unknown) => return self.wait_for_newer_binary(&unknown),
            };
            self.inbound_next = record.offset.next();
            self.push(fed);
        }
        self.behind |= chunk.next < chunk.end;
        Ok(())
    }

    /// A record of an unknown schema is never poison: the partition waits, and says so.
    fn wait_for_newer_binary(&self, error: &AvroError) -> Result<(), Fault> {
        Err(Fault::Engine(format!("partition {} waits: {error}; start a leadline that knows it", self.id)))
    }

    /// Whether the record's body is here; a body by reference is fetched without holding the worker.
    fn body_is_here(&mut self, offset: Offset, inbound: &mut Inbound) -> Result<bool, Fault> {
        let Some(name) = inbound.body_ref.clone() else { return Ok(true) };
        if self.fetching == Some(offset) {
            let Some((_, result)) = lock(&self.fetched).take() else { return Ok(false) };
            self.fetching = None;
            inbound.body = result.map_err(|why| Fault::Engine(format!("body {name}: {why}")))?;
            return Ok(true);
        }
        self.fetching = Some(offset);
        let (blob, slot, wake) =
            (Arc::clone(&self.around.blob), Arc::clone(&self.fetched), Arc::clone(&self.around.wake));
        self.around.runtime.spawn(async move {
            let result = match blob.read(&name).await {
                Ok(Some(body)) => Ok(body),
                Ok(None) => Err("there is no such blob".to_owned()),
                Err(error) => Err(error.to_string()),
            };
            *lock(&slot) = Some((offset, result));
            wake();
        });
        Ok(false)
    }

    fn feed_timers(&mut self) -> Result<(), Fault> {
        let (now, watermark) = self.epoch.borrow_mut().times();
        for (kind, bound) in [(TimerKind::Now, now), (TimerKind::Event, watermark)] {
            let slot = kind as usize;
            let due = self.epoch.borrow().next_due.get(slot).copied().flatten();
            let Some(due) = due.filter(|due| *due <= bound.0) else { continue };
            // Nothing is due before; a scan from the very first would pass over the remains of all that was.
            let (first, behind) =
                (keys::due_bound(kind, due), keys::due_bound(kind, bound.0.saturating_add(1)));
            let mut entries = self.epoch.borrow().overlay.scan(&first, &behind, EPOCH_TIMERS_MAX + 1)?;
            let mut waits = entries.split_off(EPOCH_TIMERS_MAX.min(entries.len()));
            if waits.is_empty() {
                let end = keys::behind(&[keys::DUE, keys::timer_table(kind)]);
                waits = self.epoch.borrow().overlay.scan(&behind, &end, 1)?;
            }
            for (entry, _) in &entries {
                let Some((at, row_key)) = keys::parse_due(entry) else { continue };
                let row_key = Bytes::copy_from_slice(row_key);
                let bytes = timer_bytes(kind, Millis(at), &row_key);
                self.push(Fed { offset: -1, bytes, what: What::Timer { kind, at: Millis(at), row_key } });
            }
            let next = waits.first().and_then(|(entry, _)| keys::parse_due(entry)).map(|(at, _)| at);
            if let Some(due) = self.epoch.borrow_mut().next_due.get_mut(slot) {
                *due = next;
            }
        }
        Ok(())
    }

    /// Deletes a bounded piece of the rows whose time to live has passed.
    fn sweep(&mut self, boot_ms: u64) -> Result<(), Fault> {
        // Only on the back of an epoch that is open anyway, or an idle partition would commit for ever.
        let due = u128::from(boot_ms.saturating_sub(self.swept_boot_ms)) >= SWEEP_INTERVAL.as_millis();
        if !due || self.fed.is_empty() {
            return Ok(());
        }
        self.swept_boot_ms = boot_ms;
        let mut epoch = self.epoch.borrow_mut();
        let rows = epoch.overlay.scan(&self.sweep_from, &keys::behind(&[keys::ROWS]), SWEEP_ROWS_MAX)?;
        let now_ms = epoch.now.0;
        let mut swept = 0_u64;
        for (key, value) in &rows {
            let (expires_ms, _, _) = super::overlay::split_value(value)?;
            if expires_ms != 0 && expires_ms <= now_ms {
                epoch.overlay.put_raw(key.to_vec(), None);
                swept += 1;
            }
        }
        metrics::counter!("leadline_rows_expired_total").increment(swept);
        self.sweep_from = match rows.last() {
            Some((last, _)) if rows.len() == SWEEP_ROWS_MAX => {
                let mut next = last.to_vec();
                next.push(0);
                Bytes::from(next)
            }
            _ => Bytes::from_static(&[keys::ROWS]),
        };
        Ok(())
    }

    // ---------------------------------------------------------------- running

    /// Runs the inputs from `from` on; on poison the whole epoch again, one input at a time.
    fn run_fed(&mut self, worker: &mut Worker, from: usize) {
        let fault = if self.careful {
            Some(Fault::poison("after an unclean stop"))
        } else {
            self.run_together(worker, from)
        };
        match fault {
            None => {}
            Some(Fault::Engine(why)) => self.stumble(&Fault::Engine(why)),
            Some(Fault::Poison(_)) => {
                if let Err(fault) = self.run_alone(worker) {
                    self.stumble(&fault);
                }
            }
        }
    }

    fn run_together(&mut self, worker: &mut Worker, from: usize) -> Option<Fault> {
        let number = self.base.number.next();
        {
            let mut epoch = self.epoch.borrow_mut();
            for fed in self.fed.iter_mut().skip(from) {
                if let Err(fault) = fed.send(&mut epoch, &mut self.inputs, &self.names, number) {
                    epoch.fail("source", fault);
                }
            }
        }
        self.drain(worker);
        self.epoch.borrow_mut().fault.take().map(|(_, fault)| fault)
    }

    /// Ends the tick and steps until everything fed has left the graph.
    fn drain(&mut self, worker: &mut Worker) {
        self.tick += 1;
        self.inputs.inbound.advance_to(self.tick);
        self.inputs.signals.advance_to(self.tick);
        while self.inputs.probe.less_than(&self.tick) {
            worker.step();
        }
    }

    /// Runs the open epoch's inputs one by one, each under a savepoint; the bad ones become dead letters.
    fn run_alone(&mut self, worker: &mut Worker) -> Result<(), Fault> {
        let number = self.base.number.next();
        {
            let mut epoch = self.epoch.borrow_mut();
            epoch.overlay.undo();
            epoch.outputs.clear();
            epoch.finish();
        }
        recall(&*self.around.log, self.id, &mut self.fed)?;
        for mut fed in std::mem::take(&mut self.fed) {
            let outputs = self.epoch.borrow().outputs.len();
            let aborts = self.around.suspects.note(self.id, fed.offset);
            let fault = if aborts >= ABORTS_MAX {
                Some((
                    "process",
                    Fault::poison(format!("took the process down {aborts} times, running alone")),
                ))
            } else {
                self.run_one(worker, &mut fed, number)
            };
            let mut epoch = self.epoch.borrow_mut();
            match fault {
                None => epoch.overlay.settle()?,
                Some((_, Fault::Engine(why))) => return Err(Fault::Engine(why)),
                Some((operator, Fault::Poison(why))) => {
                    epoch.overlay.undo();
                    epoch.outputs.truncate(outputs);
                    fed.bury(&mut epoch, self.id, operator, &why)?;
                }
            }
            epoch.overlay.accept();
            drop(epoch);
            self.fed.push(fed);
        }
        self.around.suspects.clear(self.id);
        Ok(())
    }

    fn run_one(
        &mut self,
        worker: &mut Worker,
        fed: &mut Fed,
        number: CommitNumber,
    ) -> Option<(&'static str, Fault)> {
        let sent = fed.send(&mut self.epoch.borrow_mut(), &mut self.inputs, &self.names, number);
        if let Err(fault) = sent {
            return Some(("source", fault));
        }
        self.drain(worker);
        self.epoch.borrow_mut().fault.take()
    }

    // ---------------------------------------------------------------- committing

    /// Closes the open epoch and sends it to the log.
    fn close(&mut self) {
        let mut epoch = self.epoch.borrow_mut();
        if let Err(fault) = epoch.overlay.settle() {
            drop(epoch);
            self.stumble(&fault);
            return;
        }
        let outputs = std::mem::take(&mut epoch.outputs);
        for output in outputs.iter().filter(|output| is_compacted(output.topic)) {
            let value = (!output.value.is_empty()).then(|| output.value.clone());
            epoch.overlay.put_raw(keys::output(output.topic, &output.key), value);
        }
        let number = self.base.number.next();
        let (now, watermark) = epoch.times();
        let position = Position {
            number,
            inbound_next: self.inbound_next,
            replies_next: self.replies_next,
            now,
            settings_version: epoch.settings.version,
            watermark,
        };
        let changes = epoch.overlay.close(number);
        epoch.finish();
        drop(epoch);
        metrics::histogram!("leadline_epoch_inputs").record(self.fed.len() as f64);
        let frame = self.frame(&position, &changes, &outputs);
        self.fed.clear();
        self.fed_bytes = 0;
        self.opened_boot_ms = None;
        self.careful = false;
        match frame {
            Ok(frame) => self.send_commit(position, changes, Arc::new(outputs), frame),
            Err(error) => (self.around.fatal)(format!("a commit frame could not be encoded: {error}")),
        }
    }

    fn frame(&self, position: &Position, changes: &Changes, outputs: &[Output]) -> Result<Bytes, AvroError> {
        // Rows sort before the indexes derived from them and before outputs.
        let rows = changes.rows();
        let count = rows.partition_point(|row| row.key.first() <= Some(&keys::ROWS));
        let count = if sabotage::on(Bug::OffsetsBeforeState) { 0 } else { count };
        let frame = FrameParts {
            generation: self.around.generation,
            partition: self.id,
            number: position.number,
            inbound_next: position.inbound_next,
            replies_next: position.replies_next,
            now: position.now,
            settings_version: position.settings_version,
            watermark: position.watermark,
            rows: rows.get(..count).unwrap_or_default(),
            outputs,
        };
        Ok(Bytes::from(frame.encode()?))
    }

    fn send_commit(
        &mut self,
        position: Position,
        changes: Arc<Changes>,
        outputs: Arc<Vec<Output>>,
        frame: Bytes,
    ) {
        let answer = Arc::new(Mutex::new(None));
        let (slot, wake) = (Arc::clone(&answer), Arc::clone(&self.around.wake));
        let bytes = frame.len();
        let commit = Commit {
            partition: self.id,
            number: position.number,
            inbound_next: position.inbound_next,
            replies_next: position.replies_next,
            outputs: Arc::clone(&outputs),
            frame,
        };
        let committed = Committed { partition: self.id, position, changes, outputs, bytes };
        if sabotage::on(Bug::ApplyBeforeCommit) {
            (self.around.committed)(committed.clone());
        }
        let asked_boot_ms = self.around.clock.boot_ms();
        self.in_commit = Some(InCommit { position, answer, committed, asked_boot_ms });
        self.base = position;
        let done = Box::new(move |answer| {
            *lock(&slot) = Some(answer);
            wake();
        });
        self.around.log.commit(commit, done);
    }

    /// Takes the answer to the commit that is out, if it is there.
    fn poll_commit(&mut self, worker: &mut Worker) -> bool {
        let Some(out) = &self.in_commit else { return false };
        let Some(answer) = lock(&out.answer).take() else { return false };
        let answer = match answer {
            CommitAnswer::Unknown(why) => self.resolve(out.position.number, &why),
            known => known,
        };
        let Some(out) = self.in_commit.take() else { return false };
        match answer {
            CommitAnswer::Committed => {
                let took_ms = self.around.clock.boot_ms().saturating_sub(out.asked_boot_ms);
                metrics::histogram!("leadline_commit_ms").record(took_ms as f64);
                metrics::counter!("leadline_commits_total").increment(1);
                self.committed = out.position;
                (self.around.committed)(out.committed);
            }
            CommitAnswer::Aborted(why) => {
                tracing::warn!(
                    partition = self.id.0,
                    number = out.position.number.0,
                    why,
                    "commit aborted; running again"
                );
                self.restart(worker);
                self.retry_boot_ms = Some(self.around.clock.boot_ms() + ABORT_PAUSE_MS);
            }
            CommitAnswer::Fenced(why) | CommitAnswer::Unknown(why) => {
                self.lost = true;
                (self.around.fatal)(format!("partition {}: {why}", self.id));
            }
        }
        true
    }

    /// Finds out by reading whether a commit is in the log.
    fn resolve(&self, number: CommitNumber, why: &str) -> CommitAnswer {
        match self.around.log.range(Topic::State, self.id) {
            _ if sabotage::on(Bug::UnknownIsCommitted) => CommitAnswer::Committed,
            Ok((_, end)) if end.0 >= number.0 => CommitAnswer::Committed,
            Ok(_) => CommitAnswer::Aborted(why.to_owned()),
            Err(error) => CommitAnswer::Unknown(format!("{why}; {error}")),
        }
    }

    // ---------------------------------------------------------------- failing

    /// An engine fault: the partition goes back to its last commit and tries again after a pause.
    fn stumble(&mut self, fault: &Fault) {
        tracing::error!(partition = self.id.0, %fault, "the partition goes back to its last commit");
        metrics::counter!("leadline_partition_faults_total").increment(1);
        self.stumbled = true;
    }

    /// Goes back once nothing is out: what is in commit may have happened, and that must be known before anything
    /// is built on it again. Answers whether it has.
    fn get_up(&mut self, worker: &mut Worker, boot_ms: u64) -> bool {
        if self.in_commit.is_some() {
            return false;
        }
        self.stumbled = false;
        self.restart(worker);
        self.retry_boot_ms = Some(boot_ms + STUMBLE_PAUSE_MS);
        true
    }

    /// Drops everything uncommitted and the dataflow, and starts behind the last commit.
    fn restart(&mut self, worker: &mut Worker) {
        {
            let mut epoch = self.epoch.borrow_mut();
            epoch.overlay.abandon(self.committed.number);
            epoch.rewind(self.committed.watermark);
            epoch.outputs.clear();
            epoch.finish();
            epoch.next_due = [Some(i64::MIN); 2];
        }
        worker.drop_dataflow(self.dataflow);
        let (dataflow, inputs, topology) = install_graph(worker, &self.epoch, self.around.pipeline);
        (self.dataflow, self.inputs, self.names) = (dataflow, inputs, Names(topology));
        self.tick = 0;
        self.base = self.committed;
        self.inbound_next = self.committed.inbound_next;
        self.replies_next = self.committed.replies_next;
        self.in_commit = None;
        self.fed.clear();
        self.fed_bytes = 0;
        self.opened_boot_ms = None;
        self.fetching = None;
        *lock(&self.fetched) = None;
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

fn read_fault(error: ReadError) -> Fault {
    Fault::Engine(error.to_string())
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
