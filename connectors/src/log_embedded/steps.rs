//! Steps: the log's own work, one piece at a time and without waiting.
//!
//! Two threads run them for as long as a process lives; a simulator runs them itself, in its one thread and its own
//! time. What is due is decided by the clock alone, so both do the same.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::queue::{Queue, Took};
use super::shared::Shared;
use super::spares::{Made, Spares};
use super::writer::{Broken, Writer, refuse};
use crate::contract::clock::Clock;

/// The work of a log that has no threads of its own.
///
/// Dropping it is a crash of the process: nothing more is written and nobody who waits is answered.
pub struct LogSteps {
    pub(crate) writer: WriterSteps,
    pub(crate) spares: SpareSteps,
}

impl LogSteps {
    /// Does at most one piece of work and says whether there was one: writes and answers one group, makes one spare
    /// segment, or, when the clock says that it is due, writes the witness of the last group or drops old segments.
    ///
    /// After `close`, turns write what still waits and then answer false for ever.
    pub fn turn(&mut self) -> bool {
        matches!(self.writer.turn(), Turn::Worked) || matches!(self.spares.turn(), Turn::Worked)
    }

    /// The boot time at which a turn has work though nothing is appended; none once the log has ended.
    /// Meaningful after a turn that had nothing to do.
    pub fn wake_at_ms(&self) -> Option<u64> {
        self.writer.wake_at_ms()
    }
}

/// What a turn did.
pub(crate) enum Turn {
    Worked,
    /// Nothing; there will be something at this boot time, if not before.
    Idle {
        until_ms: u64,
    },
    Ended,
}

/// Groups as they come, a witness when it is quiet, old segments now and then.
pub(crate) struct WriterSteps {
    writer: Writer,
    queue: Arc<Queue>,
    clock: Arc<dyn Clock>,
    group_bytes_max: usize,
    witness_after_ms: u64,
    upkeep_interval_ms: u64,
    /// When the last group was written.
    quiet_since_ms: u64,
    upkeep_at_ms: u64,
    ended: bool,
}

impl WriterSteps {
    pub(crate) fn new(writer: Writer, queue: Arc<Queue>) -> Self {
        let (clock, config) = (Arc::clone(&writer.clock), &writer.config);
        let now_ms = clock.boot_ms();
        Self {
            group_bytes_max: config.group_bytes_max,
            witness_after_ms: config.idle_witness_ms,
            upkeep_interval_ms: config.upkeep_interval_ms,
            quiet_since_ms: now_ms,
            upkeep_at_ms: now_ms.saturating_add(config.upkeep_interval_ms),
            ended: false,
            clock,
            queue,
            writer,
        }
    }

    /// Runs in a thread of its own until the log ends.
    pub(crate) fn run(mut self) {
        loop {
            match self.turn() {
                Turn::Worked => {}
                Turn::Idle { until_ms } => self.queue.wait(wait(&*self.clock, until_ms)),
                Turn::Ended => return,
            }
        }
    }

    fn turn(&mut self) -> Turn {
        if self.ended {
            return Turn::Ended;
        }
        self.piece().unwrap_or_else(|broken| {
            tracing::error!(why = broken.0, "the log has ended");
            self.ended = true;
            drain(&self.queue, &broken);
            Turn::Worked
        })
    }

    fn piece(&mut self) -> Result<Turn, Broken> {
        let now_ms = self.clock.boot_ms();
        if now_ms >= self.upkeep_at_ms {
            self.upkeep_at_ms = now_ms.saturating_add(self.upkeep_interval_ms);
            self.writer.drop_old();
            return Ok(Turn::Worked);
        }
        match self.queue.take(self.group_bytes_max) {
            Took::Work(group) => {
                self.writer.write(group)?;
                self.quiet_since_ms = now_ms;
            }
            Took::Closed => {
                self.ended = true;
                self.writer.witness()?;
            }
            Took::Nothing => {
                let until_ms = self.due_ms();
                if now_ms < until_ms {
                    return Ok(Turn::Idle { until_ms });
                }
                self.writer.witness()?;
            }
        }
        Ok(Turn::Worked)
    }

    fn due_ms(&self) -> u64 {
        if self.writer.wants_witness() {
            self.upkeep_at_ms.min(self.quiet_since_ms.saturating_add(self.witness_after_ms))
        } else {
            self.upkeep_at_ms
        }
    }

    fn wake_at_ms(&self) -> Option<u64> {
        (!self.ended).then(|| self.due_ms())
    }
}

/// Keeps the spare segments at their number, and lets appends in again when there is room.
pub(crate) struct SpareSteps {
    spares: Arc<Spares>,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    interval_ms: u64,
    /// After a disk without room: when it is asked again.
    again_at_ms: u64,
}

impl SpareSteps {
    pub(crate) fn new(
        spares: Arc<Spares>,
        shared: Arc<Shared>,
        clock: Arc<dyn Clock>,
        interval_ms: u64,
    ) -> Self {
        Self { spares, shared, clock, interval_ms, again_at_ms: 0 }
    }

    /// Runs in a thread of its own until the log is closed.
    pub(crate) fn run(mut self) {
        loop {
            match self.turn() {
                Turn::Worked => {}
                Turn::Idle { until_ms } => {
                    let refused = until_ms == self.again_at_ms;
                    self.spares.wait(wait(&*self.clock, until_ms), refused);
                }
                Turn::Ended => return,
            }
        }
    }

    fn turn(&mut self) -> Turn {
        if self.spares.is_closed() {
            return Turn::Ended;
        }
        let now_ms = self.clock.boot_ms();
        let until_ms = now_ms.saturating_add(self.interval_ms);
        let turn = if now_ms < self.again_at_ms {
            Turn::Idle { until_ms: self.again_at_ms }
        } else {
            match self.spares.make_one() {
                Ok(Made::One) => Turn::Worked,
                Ok(Made::NoneMissing) => Turn::Idle { until_ms },
                Ok(Made::NoRoom) => {
                    self.again_at_ms = until_ms;
                    Turn::Worked
                }
                Err(error) => {
                    tracing::error!(%error, "a spare log segment could not be made");
                    self.again_at_ms = until_ms;
                    Turn::Worked
                }
            }
        };
        if self.shared.full.load(Relaxed) && self.spares.has_room() {
            self.shared.full.store(false, Relaxed);
        }
        turn
    }
}

/// How long to wait for a boot time; a clock that stands still is asked again and again, not in a tight loop.
fn wait(clock: &dyn Clock, until_ms: u64) -> Duration {
    Duration::from_millis(until_ms.saturating_sub(clock.boot_ms()).max(1))
}

/// Answers everything that still waits in a log that has broken.
fn drain(queue: &Queue, broken: &Broken) {
    queue.close();
    while let Took::Work(group) = queue.take(usize::MAX) {
        group.into_iter().for_each(|work| refuse(work, broken));
    }
}
