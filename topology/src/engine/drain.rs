//! Drain: how the partitions of a layout come to their end when the next one takes over.
//!
//! For each partition that is here: `inbound` takes nothing more (the fence), so its end is known; no job of it starts
//! any more; when none runs, the end of `replies` is known too. With everything below both ends done, the partition
//! commits its last frame, and its rows are handed over. Each step can be done again by whoever gets the partition.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use leadline_connectors::contract::log::ReadError;
use leadline_schemas::sabotage::{self, Bug};
use leadline_schemas::{Offset, Partition, Topic};

use super::jobs::Notice;
use super::limits::DRAIN_LOOK;
use super::moving;
use super::ownership::Ownership;
use super::partition::{Position, lock};
use super::rows::Stay;
use super::worker::Order;

/// Knows where the inputs of a layout end.
pub trait Fence: Send + Sync + 'static {
    /// The first offset of each partition's `inbound` that nothing lies at and nothing will: the topic refuses records
    /// by now. Those are left out of which that is not sure yet. May wait for the log, a bounded time.
    fn ends(&self, partitions: &[Partition]) -> Result<BTreeMap<Partition, Offset>, String>;
}

/// How far a partition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The end of its `inbound` is not known.
    Open,
    /// Its jobs come to their end.
    Ending,
    /// It knows both ends.
    Finishing,
    /// Its rows are handed over.
    HandedOver,
}

/// Drains the partitions that are here.
pub(super) struct Drain {
    ownership: Arc<Ownership>,
    fence: Arc<dyn Fence>,
    steps: BTreeMap<Partition, (Stay, Step)>,
}

impl Drain {
    pub(super) fn new(ownership: Arc<Ownership>, fence: Arc<dyn Fence>) -> Self {
        Self { ownership, fence, steps: BTreeMap::new() }
    }

    /// Drains until told to stop.
    pub(super) fn run(mut self, stop: &Receiver<()>) {
        while stop.recv_timeout(DRAIN_LOOK) == Err(RecvTimeoutError::Timeout) {
            let _ = self.turn(); // It is looked again either way.
        }
    }

    /// Brings every partition one step on. Answers whether any has come on.
    pub(super) fn turn(&mut self) -> bool {
        let (open, mut progressed) = (self.find_ends(), false);
        for partition in self.ownership.rows.partitions() {
            let Some(stay) = self.ownership.rows.stay(partition) else { continue };
            let known = self.steps.get(&partition).filter(|(of, _)| *of == stay);
            let step = known.map_or(Step::Open, |(_, step)| *step);
            let stepped = match (step, &open) {
                (Step::Open, Err(why)) => Err(why.clone()),
                (_, ends) => {
                    let end = ends.as_ref().ok().and_then(|ends| ends.get(&partition)).copied();
                    self.step(partition, stay, step, end)
                }
            };
            match stepped {
                Ok(next) => {
                    if next != step {
                        self.ownership.note_trouble(partition, None);
                        progressed = true;
                    }
                    self.steps.insert(partition, (stay, next));
                }
                Err(why) => {
                    tracing::warn!(
                        partition = partition.0,
                        why,
                        "the layout does not come to its end; trying again"
                    );
                    self.ownership.note_trouble(partition, Some(&why));
                }
            }
        }
        progressed
    }

    /// The ends of the partitions that are new here.
    fn find_ends(&self) -> Result<BTreeMap<Partition, Offset>, String> {
        let rows = &self.ownership.rows;
        let is_open = |partition: &Partition| {
            let known = self.steps.get(partition).filter(|(of, _)| rows.stay(*partition) == Some(*of));
            known.is_none_or(|(_, step)| *step == Step::Open) && self.ownership.drained(*partition).is_none()
        };
        let open: Vec<Partition> = rows.partitions().into_iter().filter(is_open).collect();
        if open.is_empty() {
            return Ok(BTreeMap::new());
        }
        if sabotage::on(Bug::FenceSkipped) {
            let end = |partition| Ok((partition, self.ownership.log.range(Topic::Inbound, partition)?.1));
            let ends = open.into_iter().map(end).collect::<Result<_, ReadError>>();
            return ends.map_err(|error| error.to_string());
        }
        self.fence.ends(&open)
    }

    /// `end` is that of `inbound`, once it is known.
    fn step(
        &self,
        partition: Partition,
        stay: Stay,
        step: Step,
        end: Option<Offset>,
    ) -> Result<Step, String> {
        let ownership = &self.ownership;
        if step == Step::HandedOver {
            return Ok(step);
        }
        if let Some(position) = ownership.drained(partition) {
            return self.hand_over(partition, &position, step);
        }
        match step {
            Step::Open => {
                let Some(end) = end else { return Ok(step) };
                ownership.end_inbound(partition, end);
                Ok(Step::Ending)
            }
            Step::Ending if ownership.jobs_have_ended(partition, stay) => {
                let range = ownership.log.range(Topic::Replies, partition);
                let (_, end) = range.map_err(|error| error.to_string())?;
                ownership.end_replies(partition, end);
                Ok(Step::Finishing)
            }
            waiting => Ok(waiting),
        }
    }

    fn hand_over(&self, partition: Partition, position: &Position, step: Step) -> Result<Step, String> {
        let ownership = &self.ownership;
        // Records of this layout are written before those of the next.
        let is_stored =
            ownership.queue.is_none() || ownership.retention.stored_up_to(partition) >= position.number;
        let Some(store) = ownership.rows.of(partition).filter(|_| is_stored) else { return Ok(step) };
        let view = store.view().map_err(|error| error.to_string())?;
        let write = moving::write(&*ownership.blob, ownership.generation, partition, position, &*view);
        ownership.runtime.block_on(write).map_err(|error| error.to_string())?;
        tracing::info!(partition = partition.0, commit = position.number.0, "rows are handed over");
        Ok(Step::HandedOver)
    }
}

/// What an owner knows of partitions whose layout ends.
impl Ownership {
    /// None of its jobs runs any more, or none that is waited for.
    pub(super) fn no_job_runs(&self, partition: Partition, stay: Stay) {
        lock(&self.progress.jobless).insert(partition, stay);
    }

    /// Whether that was said of this stay.
    pub(super) fn jobs_have_ended(&self, partition: Partition, stay: Stay) -> bool {
        lock(&self.progress.jobless).get(&partition) == Some(&stay)
    }

    /// Nothing of its `inbound` counts from there on, and no job of it starts any more.
    pub(super) fn end_inbound(&self, partition: Partition, at: Offset) {
        self.tell(Notice::Draining(partition));
        self.mailbox(partition).order(Order::EndInbound(partition, at));
    }

    /// Nothing of its `replies` comes from there on.
    pub(super) fn end_replies(&self, partition: Partition, at: Offset) {
        self.mailbox(partition).order(Order::EndReplies(partition, at));
    }

    /// Where a partition stands that has done everything of its layout; its rows are in the store.
    pub(super) fn drained(&self, partition: Partition) -> Option<Position> {
        lock(&self.progress.drained).get(&partition).copied()
    }

    /// The partition has left.
    pub(super) fn forget_drained(&self, partition: Partition) {
        lock(&self.progress.drained).remove(&partition);
        lock(&self.progress.jobless).remove(&partition);
    }
}
