//! Time that only the simulator moves.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use leadline_connectors::contract::clock::Clock;
use leadline_schemas::Millis;

/// When every run begins: 2026-03-04T16:00:00Z.
pub const BEGIN: Millis = Millis(1_772_640_000_000);

/// Both clocks of a machine. They survive crashes of the process.
pub struct SimClock {
    wall: AtomicI64,
    boot: AtomicU64,
}

impl SimClock {
    pub fn new() -> Self {
        Self { wall: AtomicI64::new(BEGIN.0), boot: AtomicU64::new(1_000) }
    }

    /// Lets time pass.
    pub fn advance(&self, ms: u64) {
        self.boot.fetch_add(ms, Relaxed);
        self.wall.fetch_add(ms as i64, Relaxed);
    }

    /// Somebody sets the wall clock.
    pub fn set_wall(&self, delta_ms: i64) {
        self.wall.fetch_add(delta_ms, Relaxed);
    }
}

impl Clock for SimClock {
    fn wall(&self) -> Millis {
        Millis(self.wall.load(Relaxed))
    }
    fn boot_ms(&self) -> u64 {
        self.boot.load(Relaxed)
    }
}
