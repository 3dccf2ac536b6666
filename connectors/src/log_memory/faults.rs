//! Faults: how operations end when they are told to, or by chance.

use std::collections::VecDeque;

use crate::contract::log::CommitAnswer;

/// How a commit ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFault {
    /// Nothing of it is left.
    Aborted,
    /// Another owner has the partition; nothing of it is left.
    Fenced,
    /// Nobody knows; it is there.
    UnknownDone,
    /// Nobody knows; nothing of it is left.
    UnknownLost,
}

/// How an append ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendFault {
    /// No room; nothing of it is left.
    Full,
    /// Too much is waiting; nothing of it is left.
    Busy,
    /// The log broke after writing it.
    FailedDone,
    /// The log broke before writing it.
    FailedLost,
}

/// How often operations fail by chance, in a thousand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultRates {
    /// Commits that are aborted.
    pub aborted_permille: u32,
    /// Commits whose end is unknown; every second one is there.
    pub unknown_permille: u32,
    /// Appends that find no room.
    pub full_permille: u32,
    /// Appends that find the queue full.
    pub busy_permille: u32,
}

#[derive(Default)]
pub(super) struct Faults {
    pub(super) commits: VecDeque<CommitFault>,
    pub(super) appends: VecDeque<AppendFault>,
    rates: FaultRates,
    random: u64,
}

impl Faults {
    pub(super) fn seed(&mut self, seed: u64, rates: FaultRates) {
        self.random = seed;
        self.rates = rates;
    }

    pub(super) fn next_commit(&mut self) -> Option<CommitFault> {
        if let Some(scripted) = self.commits.pop_front() {
            return Some(scripted);
        }
        let (aborted, unknown) = (self.rates.aborted_permille, self.rates.unknown_permille);
        match self.permille() {
            hit if hit < aborted => Some(CommitFault::Aborted),
            hit if hit < aborted + unknown && hit % 2 == 0 => Some(CommitFault::UnknownDone),
            hit if hit < aborted + unknown => Some(CommitFault::UnknownLost),
            _ => None,
        }
    }

    pub(super) fn next_append(&mut self) -> Option<AppendFault> {
        if let Some(scripted) = self.appends.pop_front() {
            return Some(scripted);
        }
        let (full, busy) = (self.rates.full_permille, self.rates.busy_permille);
        match self.permille() {
            hit if hit < full => Some(AppendFault::Full),
            hit if hit < full + busy => Some(AppendFault::Busy),
            _ => None,
        }
    }

    /// SplitMix64 (Steele, Lea, Flood 2014): one number of state, good enough to choose faults.
    fn permille(&mut self) -> u32 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        u32::try_from((mixed ^ (mixed >> 31)) % 1_000).unwrap_or(999)
    }
}

pub(super) fn answer(fault: Option<CommitFault>) -> CommitAnswer {
    match fault {
        None => CommitAnswer::Committed,
        Some(CommitFault::Aborted) => CommitAnswer::Aborted("injected".to_owned()),
        Some(CommitFault::Fenced) => CommitAnswer::Fenced("injected".to_owned()),
        Some(CommitFault::UnknownDone | CommitFault::UnknownLost) => {
            CommitAnswer::Unknown("injected".to_owned())
        }
    }
}
