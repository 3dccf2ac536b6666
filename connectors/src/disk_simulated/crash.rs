//! Crash: what chance makes of changes that were not synced.

use crate::conformance::Seeded;

/// What became of one unsynced change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Lost,
    Torn,
    Kept,
}

/// How a crash treats changes: all alike now and then, for those are the likeliest crashes of real machines.
#[derive(Clone, Copy)]
enum Mood {
    LosesAll,
    KeepsAll,
    Mixed,
}

pub(super) struct Chance<'s> {
    seeded: &'s mut Seeded,
    mood: Mood,
}

impl<'s> Chance<'s> {
    pub(super) fn new(seeded: &'s mut Seeded) -> Self {
        let mood = match seeded.below(5) {
            0 => Mood::LosesAll,
            1 => Mood::KeepsAll,
            _ => Mood::Mixed,
        };
        Self { seeded, mood }
    }

    pub(super) fn fate(&mut self) -> Fate {
        match self.mood {
            Mood::LosesAll => Fate::Lost,
            Mood::KeepsAll => Fate::Kept,
            Mood::Mixed => match self.seeded.below(3) {
                0 => Fate::Lost,
                1 => Fate::Torn,
                _ => Fate::Kept,
            },
        }
    }

    /// The pieces of a torn write that reached the platters: cut at up to three bytes, each piece there or not.
    pub(super) fn pieces(&mut self, bytes: usize) -> Vec<(usize, usize)> {
        let mut cuts = vec![0, bytes];
        for _ in 0..=self.seeded.below(3) {
            cuts.push(usize::try_from(self.seeded.below(bytes as u64)).unwrap_or(0));
        }
        cuts.sort_unstable();
        let pieces = cuts.iter().copied().zip(cuts.iter().copied().skip(1));
        pieces.filter(|(from, to)| from < to && self.seeded.below(2) == 0).collect()
    }
}
