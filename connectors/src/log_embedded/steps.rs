//! Steps: the log's own work, one piece at a time and without waiting.
//!
//! Two threads run them for as long as a process lives; a simulator runs them itself, in its one thread and its own
//! time. What is due is decided by the clock alone, so both do the same.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::queue::{Queue, Took, Work};
use super::upkeep::UpkeepSteps;
use super::writer::{Broken, Writer};
use crate::contract::clock::Clock;
use crate::contract::log::{AppendError, CommitAnswer};

/// The work of a log that has no threads of its own.
///
/// Dropping it is a crash of the process: nothing more is written and nobody who waits is answered.
pub struct LogSteps {
    pub(crate) writer: WriterSteps,
    pub(crate) upkeep: UpkeepSteps,
}

impl LogSteps {
    /// Does at most one piece of work and says whether there was one: writes and answers one group, makes one spare
    /// segment, or, when the clock says that it is due, writes the witness of the last group or drops an old segment.
    ///
    /// After `close`, turns write what still waits and then answer false for ever.
    pub fn turn(&mut self) -> bool {
        matches!(self.writer.turn(), Turn::Worked) || matches!(self.upkeep.turn(), Turn::Worked)
    }

    /// The boot time at which a turn has work though nothing is appended; none once the log has ended.
    /// Meaningful after a turn that had nothing to do.
    pub fn wake_at_ms(&self) -> Option<u64> {
        let upkeep = self.upkeep.wake_at_ms(self.upkeep.clock.boot_ms());
        (!self.writer.ended).then(|| self.writer.due_ms().map_or(upkeep, |due| due.min(upkeep)))
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

/// Groups as they come, and a witness when it is quiet.
pub(crate) struct WriterSteps {
    writer: Writer,
    queue: Arc<Queue>,
    clock: Arc<dyn Clock>,
    /// When the last group was written.
    quiet_since_ms: u64,
    /// While a commit has no room: when it is tried again.
    stalled_until_ms: Option<u64>,
    ended: bool,
}

impl WriterSteps {
    pub(crate) fn new(writer: Writer, queue: Arc<Queue>) -> Self {
        let clock = Arc::clone(&writer.clock);
        let quiet_since_ms = clock.boot_ms();
        Self { writer, queue, clock, quiet_since_ms, stalled_until_ms: None, ended: false }
    }

    /// Runs in a thread of its own until the log ends.
    pub(crate) fn run(mut self) {
        /// Nothing to do but what comes, and that wakes it.
        const UNTIL_WORK_COMES: Duration = Duration::from_secs(3_600);
        loop {
            // A listener or whoever waits for a commit may panic in here: nobody else must wait for ever then.
            let turn = catch_unwind(AssertUnwindSafe(|| self.turn()));
            match turn.unwrap_or_else(|_| self.broke(Broken("its thread panicked".to_owned()))) {
                Turn::Worked => {}
                Turn::Idle { until_ms } if self.stalled_until_ms.is_some() => {
                    self.queue.wait_for_close(wait(&*self.clock, until_ms));
                }
                Turn::Idle { until_ms: u64::MAX } => self.queue.wait(UNTIL_WORK_COMES),
                Turn::Idle { until_ms } => self.queue.wait(wait(&*self.clock, until_ms)),
                Turn::Ended => return,
            }
        }
    }

    fn turn(&mut self) -> Turn {
        if self.ended {
            return Turn::Ended;
        }
        self.piece().unwrap_or_else(|broken| self.broke(broken))
    }

    fn broke(&mut self, broken: Broken) -> Turn {
        tracing::error!(why = broken.0, "the log has ended");
        self.writer.break_off(&broken);
        self.end(&AppendError::Failed(broken.0.clone()), &CommitAnswer::Unknown(broken.0));
        Turn::Worked
    }

    fn piece(&mut self) -> Result<Turn, Broken> {
        let now_ms = self.clock.boot_ms();
        match self.stalled_until_ms {
            Some(until_ms) if now_ms < until_ms && !self.queue.is_closed() => {
                return Ok(Turn::Idle { until_ms });
            }
            _ => {}
        }
        match self.queue.take(self.writer.config.group_bytes_max) {
            Took::Work(group) => {
                let left = self.writer.write(group)?;
                self.quiet_since_ms = now_ms;
                self.stall(left, now_ms);
            }
            Took::Closed => {
                self.ended = true;
                self.writer.witness()?;
            }
            Took::Nothing => match self.due_ms() {
                Some(due_ms) if now_ms >= due_ms => self.writer.witness()?,
                due_ms => return Ok(Turn::Idle { until_ms: due_ms.unwrap_or(u64::MAX) }),
            },
        }
        Ok(Turn::Worked)
    }

    /// Commits that found no room, not even in the reserve, wait for it, first in the queue; appends are refused.
    fn stall(&mut self, left: Vec<Work>, now_ms: u64) {
        let stalls = !left.is_empty();
        self.writer.shared.stalled.store(stalls, Relaxed);
        self.stalled_until_ms = None;
        if !stalls {
            return;
        }
        self.writer.shared.full.store(true, Relaxed);
        self.queue.put_back(left);
        for append in self.queue.take_appends() {
            append.refuse(&AppendError::Full, &CommitAnswer::Aborted(String::new()));
        }
        if self.queue.is_closed() {
            let why = "the log was closed while the disk had no room".to_owned();
            self.end(&AppendError::Full, &CommitAnswer::Aborted(why));
        } else {
            self.stalled_until_ms = Some(now_ms.saturating_add(self.writer.config.upkeep_interval_ms));
        }
    }

    /// When there is something to do though nothing is appended.
    fn due_ms(&self) -> Option<u64> {
        let witness_ms = self.quiet_since_ms.saturating_add(self.writer.config.idle_witness_ms);
        self.stalled_until_ms.or_else(|| self.writer.wants_witness().then_some(witness_ms))
    }

    /// Answers everything that still waits.
    fn end(&mut self, append: &AppendError, commit: &CommitAnswer) {
        self.ended = true;
        self.queue.close();
        while let Took::Work(group) = self.queue.take(usize::MAX) {
            group.into_iter().for_each(|work| work.refuse(append, commit));
        }
    }
}

/// How long to wait for a boot time; a clock that stands still is asked again and again, not in a tight loop.
pub(crate) fn wait(clock: &dyn Clock, until_ms: u64) -> Duration {
    Duration::from_millis(until_ms.saturating_sub(clock.boot_ms()).max(1))
}
