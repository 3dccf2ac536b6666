//! One suite per contract, run against every implementation of it.
//!
//! A suite is a function that takes a factory. It panics on the first promise that is not kept, with the promise
//! in its message, and so is called from a `#[test]`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod blob;
pub mod disk;
pub mod log;
pub mod other_side;
pub mod provider;
pub mod registry;
pub mod secrets;
pub mod sink;
pub mod state;
pub mod store;

/// Numbers that a seed decides (SplitMix64), so that a failing run can be run again.
#[derive(Clone, Debug)]
pub struct Seeded(u64);

impl Seeded {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    #[allow(clippy::should_implement_trait, reason = "it never ends, so it is no iterator to collect")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// A key of 1 to 3 bytes out of few, so that keys repeat and prefix each other.
    pub fn key(&mut self) -> Vec<u8> {
        let length = 1 + self.below(3);
        (0..length).map(|_| [0, 1, 0x61, 0xFE, 0xFF][self.below(5) as usize]).collect()
    }
}
