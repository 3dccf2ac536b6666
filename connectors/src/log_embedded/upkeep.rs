//! Upkeep: spare segments made ahead of need, and old ones dropped, beside the writer and never in its way.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use leadline_schemas::Millis;

use super::config::EmbeddedLogConfig;
use super::header::{SegmentHeader, segment_name};
use super::segment::Segment;
use super::shared::{Shared, State};
use super::spares::{Made, Spares};
use super::steps::{Turn, wait};
use crate::contract::clock::Clock;
use crate::contract::disk::Disk;

pub(crate) struct UpkeepSteps {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: EmbeddedLogConfig,
    pub(crate) shared: Arc<Shared>,
    pub(crate) spares: Arc<Spares>,
    /// After a disk without room: when it is asked again.
    pub(crate) make_at_ms: u64,
    /// When old segments are looked for.
    pub(crate) drop_at_ms: u64,
}

impl UpkeepSteps {
    /// Runs in a thread of its own until the log is closed.
    pub(crate) fn run(mut self) {
        loop {
            match self.turn() {
                Turn::Worked => {}
                Turn::Idle { until_ms } => {
                    let idle = wait(&*self.clock, until_ms);
                    let refused = self.clock.boot_ms() < self.make_at_ms;
                    self.spares.wait(idle, refused);
                }
                Turn::Ended => return,
            }
        }
    }

    pub(crate) fn turn(&mut self) -> Turn {
        if self.spares.is_closed() {
            return Turn::Ended;
        }
        let now_ms = self.clock.boot_ms();
        let worked = self.make_spare(now_ms) || self.drop_oldest(now_ms);
        if self.shared.full.load(Relaxed) && !self.shared.stalled.load(Relaxed) && self.spares.has_room() {
            self.shared.full.store(false, Relaxed);
        }
        if worked { Turn::Worked } else { Turn::Idle { until_ms: self.wake_at_ms(now_ms) } }
    }

    /// When there will be something to do though nothing is appended.
    pub(crate) fn wake_at_ms(&self, now_ms: u64) -> u64 {
        if now_ms < self.make_at_ms { self.drop_at_ms.min(self.make_at_ms) } else { self.drop_at_ms }
    }

    fn make_spare(&mut self, now_ms: u64) -> bool {
        if now_ms < self.make_at_ms {
            return false;
        }
        match self.spares.make_one() {
            Ok(Made::NoneMissing) => false,
            Ok(Made::One) => true,
            Ok(Made::NoRoom) => {
                self.make_at_ms = now_ms.saturating_add(self.config.upkeep_interval_ms);
                true
            }
            Err(error) => {
                tracing::error!(%error, "a spare log segment could not be made");
                self.make_at_ms = now_ms.saturating_add(self.config.upkeep_interval_ms);
                true
            }
        }
    }

    /// Drops the oldest segment if nobody needs it: below every floor, and past its time or the log's size. One at a
    /// time and each for certain, so that a crash never leaves a gap.
    fn drop_oldest(&mut self, now_ms: u64) -> bool {
        if now_ms < self.drop_at_ms {
            return false;
        }
        let Some(oldest) = self.take_oldest() else {
            self.drop_at_ms = now_ms.saturating_add(self.config.upkeep_interval_ms);
            return false;
        };
        let name = segment_name(oldest.header.number);
        if let Err(error) = self.remove(&name) {
            tracing::warn!(%error, segment = name, "an old log segment could not be removed");
            // It stays what it is, the oldest: were the next one removed, a start would find a gap.
            self.shared.write_state().sealed.push_front(oldest);
            self.drop_at_ms = now_ms.saturating_add(self.config.upkeep_interval_ms);
            return true;
        }
        self.shared.indexes.forget(oldest.header.number);
        self.shared.segments_bytes.fetch_sub(oldest.bytes, Relaxed);
        self.make_at_ms = now_ms; // There may be room again.
        true
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match self.disk.remove(name) {
            // An attempt before this one got so far and no further.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
        self.disk.sync_folder()
    }

    /// Takes the oldest segment from readers, if nobody needs it.
    fn take_oldest(&self) -> Option<Arc<Segment>> {
        let now = self.clock.wall();
        let is_due = |state: &State| {
            let oldest = &state.sealed.front()?.header;
            let next = state.sealed.get(1).map_or(&state.active.header, |segment| &segment.header);
            // On a full disk the history of what was done is worth less than the next event.
            let full = self.spares.is_bounded() || self.shared.full.load(Relaxed);
            let due = full || self.is_past(oldest, next, now);
            (due && is_below_floors(oldest, next, &state.floors)).then_some(())
        };
        // Looked at without keeping readers out; nobody else takes from the front.
        is_due(&self.shared.read_state())?;
        self.shared.write_state().sealed.pop_front()
    }

    fn is_past(&self, segment: &SegmentHeader, next: &SegmentHeader, now: Millis) -> bool {
        (0..segment.base.len()).all(|slot| {
            let (topic, _) = self.shared.slots.place(slot);
            next.base(slot) == segment.base(slot)
                || now.since(next.created_at) >= self.config.retention.of(topic)
        })
    }
}

/// Whether every slot that has records in the segment has its floor behind them.
fn is_below_floors(segment: &SegmentHeader, next: &SegmentHeader, floors: &[Option<u64>]) -> bool {
    (0..segment.base.len()).all(|slot| {
        let end = next.base(slot);
        end == segment.base(slot) || floors.get(slot).copied().flatten().is_some_and(|floor| floor >= end)
    })
}
