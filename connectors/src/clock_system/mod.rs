//! The machine's own clocks.

use std::time::{SystemTime, UNIX_EPOCH};

use leadline_schemas::Millis;
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::contract::clock::Clock;

/// Wall clock and boot-time clock of this machine. Both are read without a system call (vDSO), in some 20 ns.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    /// By way of the C library, which a test of the whole binary preloads a wrong clock before.
    fn wall(&self) -> Millis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        // A machine whose clock stands before 1970 has not been told the time.
        Millis(since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
    }

    fn boot_ms(&self) -> u64 {
        u64::try_from(millis(clock_gettime(ClockId::Boottime))).unwrap_or(0)
    }
}

fn millis(time: Timespec) -> i64 {
    time.tv_sec.saturating_mul(1_000).saturating_add(time.tv_nsec / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_is_the_one_that_std_shows_and_the_boot_clock_never_goes_back() {
        let clock = SystemClock;
        let std_ms = || {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            i64::try_from(since.as_millis()).unwrap()
        };
        let (before, now, after) = (std_ms(), clock.wall().0, std_ms());
        assert!(before <= now && now <= after, "{before} <= {now} <= {after}");

        let mut last = clock.boot_ms();
        assert!(last > 0);
        for _ in 0..1_000 {
            let next = clock.boot_ms();
            assert!(next >= last);
            last = next;
        }
    }
}
