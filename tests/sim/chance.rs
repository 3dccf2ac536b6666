//! All that is left to chance comes from the run's seed.

use leadline_connectors::conformance::Seeded;

/// What the simulator asks of its seed.
pub trait Chance {
    /// True `permille` times out of a thousand.
    fn happens(&mut self, permille: u64) -> bool;
    /// A number from `low` to `high`, both included.
    fn between(&mut self, low: u64, high: u64) -> u64;
    /// One of these.
    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T;
}

impl Chance for Seeded {
    fn happens(&mut self, permille: u64) -> bool {
        self.below(1_000) < permille
    }
    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }
    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

/// A seed of its own for something that may be asked at any time, so that the answer does not depend on when.
pub fn derived(seed: u64, of: &[u8]) -> Seeded {
    let mut hash = seed ^ 0x6C65_6164_6C69_6E65;
    for byte in of {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
    }
    Seeded::new(hash)
}
