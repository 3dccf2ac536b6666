//! A process's part of what processes share: of partitions, and so of limits and budgets for all of them.

use std::sync::atomic::{AtomicU64, Ordering};

/// A part of 1. The engine sets it whenever partitions come or go; whoever keeps to a limit for all processes asks it.
#[derive(Debug)]
pub struct Share(AtomicU64);

impl Default for Share {
    /// All of it: a process alone.
    fn default() -> Self {
        Self(AtomicU64::new(1.0_f64.to_bits()))
    }
}

impl Share {
    /// The part of now.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    /// Partitions have come or gone.
    pub fn set(&self, part: f64) {
        self.0.store(part.to_bits(), Ordering::Relaxed);
    }

    /// The part of a sum, rounded down.
    pub fn of(&self, sum: i64) -> i64 {
        let part = self.get();
        if part >= 1.0 { sum } else { (sum as f64 * part) as i64 }
    }
}
