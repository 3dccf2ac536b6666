//! Spacing: calls of a provider that takes its time start one after the other and not all at once.
//!
//! Answers that come together would let as many calls start together, which come back together, and so on: a burst that
//! never ends. Vendors whose quota is shared answer bursts with 429 and ask for smooth traffic (Vertex AI's dynamic shared
//! quota), and here a burst of answers is a commit and a write to the record store for which all others wait.

/// In this time no more than a part of the window starts.
const SLICE_MS: u64 = 100;
/// So many times what starts in a slice where starts are evenly spread: the window may still double in one turn.
const STEADY: f64 = 3.0;
/// As many may start in a slice in any case: a few at once are no burst.
const STARTS_MIN: f64 = 8.0;

/// How many calls have started lately.
#[derive(Debug, Default)]
pub(super) struct Spacing {
    slice: u64,
    starts: f64,
}

impl Spacing {
    /// Whether another may start, of so many at once, each of which takes so long.
    pub(super) fn has_room(&self, window: f64, usual_ms: f64, boot_ms: u64) -> bool {
        let even = window * SLICE_MS as f64 / usual_ms.max(1.0);
        self.slice != boot_ms / SLICE_MS || self.starts < (STEADY * even).max(STARTS_MIN)
    }

    /// One starts.
    pub(super) fn start(&mut self, boot_ms: u64) {
        let slice = boot_ms / SLICE_MS;
        if self.slice != slice {
            (self.slice, self.starts) = (slice, 0.0);
        }
        self.starts += 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Starts what may start within so long, at most so many at once; the most of any 100 ms, and how many came back.
    fn run(window: usize, takes_ms: u64, for_ms: u64) -> (usize, usize) {
        let mut spacing = Spacing::default();
        let mut ends: Vec<u64> = Vec::new();
        let mut starts: Vec<u64> = Vec::new();
        let mut ended = 0;
        for boot_ms in (1_000..1_000 + for_ms).step_by(10) {
            ended += ends.extract_if(.., |end| *end <= boot_ms).count();
            while ends.len() < window && spacing.has_room(window as f64, takes_ms as f64, boot_ms) {
                spacing.start(boot_ms);
                starts.push(boot_ms);
                ends.push(boot_ms + takes_ms);
            }
        }
        let most =
            starts.iter().map(|from| starts.iter().filter(|at| (*from..from + 100).contains(at)).count());
        (most.max().unwrap_or(0), ended)
    }

    #[test]
    fn calls_that_take_long_are_spread_and_none_is_lost_by_it() {
        let (most, ended) = run(500, 5_000, 60_000);
        assert!(most <= 60, "{most} starts in 100 ms, where 10 would be even");
        assert!(ended >= 500 * 60 / 5 * 8 / 10, "{ended} calls in a minute, where 6,000 are the most");
    }

    #[test]
    fn calls_that_take_no_time_are_not_spread() {
        let (most, ended) = run(64, 20, 10_000);
        assert!(most >= 64 && ended > 64 * 10_000 / 20 * 9 / 10, "{most} at once, {ended} in all");
    }
}
