//! The epochs' clock and the watermark: the only two times that operators see.

use leadline_connectors::contract::clock::Clock;
use leadline_schemas::Millis;
use leadline_schemas::sabotage::{self, Bug};

use super::limits::{WATERMARK_BACKFILL_MS, WATERMARK_IDLE_MS, WATERMARK_LATENESS_MS};

/// Turns the wall clock into a `now` that never goes back.
#[derive(Debug, Clone)]
pub(super) struct EpochClock {
    last: Millis,
    last_boot_ms: u64,
    /// Whether the wall clock was behind when last looked at.
    behind: bool,
}

impl EpochClock {
    /// `committed` is the `now` of the last commit, from this process or another.
    pub(super) fn new(committed: Millis, clock: &dyn Clock) -> Self {
        Self { last: committed, last_boot_ms: clock.boot_ms(), behind: false }
    }

    /// The next epoch's `now`: the wall clock; while that is behind, half the speed of the boot-time clock, so
    /// that timers go on firing and the wall clock catches up.
    pub(super) fn now(&mut self, clock: &dyn Clock) -> Millis {
        let (wall, boot_ms) = (clock.wall(), clock.boot_ms());
        let passed_ms = boot_ms.saturating_sub(self.last_boot_ms);
        let behind = wall < self.last;
        self.tell(behind, wall);
        if behind && sabotage::on(Bug::ClockGoesBack) {
            self.last = wall;
        } else if behind {
            let half = i64::try_from(passed_ms / 2).unwrap_or(0);
            if half > 0 {
                // Whole steps only, or an epoch a millisecond would never advance at all.
                self.last = self.last.plus(half);
                self.last_boot_ms = boot_ms;
            }
        } else {
            self.last = wall;
            self.last_boot_ms = boot_ms;
        }
        self.last
    }

    /// Only a clock that is or was behind speaks: partitions that have nothing to compare with know nothing.
    fn tell(&mut self, behind: bool, wall: Millis) {
        if behind && !self.behind {
            let behind_ms = self.last.since(wall);
            tracing::warn!(
                behind_ms,
                "the wall clock was set back; time goes on at half speed until it has caught up"
            );
        }
        if behind || self.behind {
            let behind_ms = if behind { self.last.since(wall) } else { 0 };
            metrics::gauge!("leadline_clock_behind_ms").set(behind_ms as f64);
        }
        self.behind = behind;
    }
}

/// Up to where event time is complete, in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Watermark {
    complete: Millis,
    last_record: Millis,
}

impl Watermark {
    pub(super) fn new(committed: Millis, now: Millis) -> Self {
        Self { complete: committed, last_record: now }
    }

    /// Goes back to what was committed: the records since then come again.
    pub(super) fn rewind(&mut self, committed: Millis) {
        self.complete = committed;
    }

    /// A record has come in.
    pub(super) fn observe(&mut self, event_time: Millis, received_at: Millis, now: Millis) {
        self.last_record = now;
        if received_at.since(event_time) <= WATERMARK_BACKFILL_MS {
            self.complete = self.complete.max(event_time.plus(-WATERMARK_LATENESS_MS));
        }
    }

    /// The watermark at `now`; without records it follows the clock.
    pub(super) fn at(&mut self, now: Millis) -> Millis {
        if now.since(self.last_record) >= WATERMARK_IDLE_MS {
            self.complete = self.complete.max(now.plus(-WATERMARK_IDLE_MS));
        }
        self.complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

    #[derive(Default)]
    struct Hands(AtomicI64, AtomicU64);

    impl Clock for Hands {
        fn wall(&self) -> Millis {
            Millis(self.0.load(Relaxed))
        }
        fn boot_ms(&self) -> u64 {
            self.1.load(Relaxed)
        }
    }

    #[test]
    fn a_wall_clock_set_back_slows_now_down_and_never_turns_it_back() {
        let hands = Hands(AtomicI64::new(10_000), AtomicU64::new(0));
        let mut clock = EpochClock::new(Millis(0), &hands);
        assert_eq!(clock.now(&hands), Millis(10_000));
        hands.0.store(4_000, Relaxed);
        for step in 1..=6_000_u64 {
            hands.0.store(4_000 + step as i64, Relaxed);
            hands.1.store(step, Relaxed);
            clock.now(&hands);
        }
        assert_eq!(clock.now(&hands), Millis(13_000), "half of 6 s on top of 10 s");
        hands.0.store(13_500, Relaxed);
        assert_eq!(clock.now(&hands), Millis(13_500), "caught up");
    }

    #[test]
    fn backfills_do_not_move_the_watermark_and_idle_time_does() {
        let mut watermark = Watermark::new(Millis(0), Millis(0));
        let now = Millis(30 * Millis::DAY);
        watermark.observe(Millis(Millis::DAY), now, now);
        assert_eq!(watermark.at(now), Millis(0));
        watermark.observe(now, now, now);
        assert_eq!(watermark.at(now), now.plus(-WATERMARK_LATENESS_MS));
        assert_eq!(watermark.at(now.plus(2 * WATERMARK_IDLE_MS)), now.plus(WATERMARK_IDLE_MS));
    }
}
