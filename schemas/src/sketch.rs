//! DDSketch in the form that records carry: mergeable quantiles with 1% relative error.
//!
//! Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees", VLDB
//! 2019. Bin i counts values in (gamma^(i-1), gamma^i]. The `sketches-ddsketch` crate hides its bins and so cannot
//! be a record; it is the oracle of the tests here.

use crate::window::Sketch;

/// Relative error of a quantile.
const ALPHA: f64 = 0.01;
/// gamma = (1 + alpha) / (1 - alpha).
const GAMMA: f64 = (1.0 + ALPHA) / (1.0 - ALPHA);
/// Bins kept: values from 1 ms to over 300 days. Below the first, values fall into it.
const BINS_MAX: usize = 1_200;

impl Sketch {
    /// Adds a value.
    pub fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        if value < 1.0 {
            self.zeros += 1;
            return;
        }
        let index = (value.ln() / GAMMA.ln()).ceil() as i32;
        add_bin(self, index, 1);
    }

    /// Adds all values of another sketch.
    pub fn merge(&mut self, from: &Self) {
        self.count += from.count;
        self.sum += from.sum;
        self.zeros += from.zeros;
        for (index, count) in (from.first_bin..).zip(&from.bins) {
            if *count != 0 {
                add_bin(self, index, *count);
            }
        }
    }

    /// The value that a share `q` (0 to 1) of all values does not exceed; none without values.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if self.count <= 0 {
            return None;
        }
        let rank = (q.clamp(0.0, 1.0) * (self.count - 1) as f64) as i64;
        let mut seen = self.zeros;
        if rank < seen {
            return Some(0.0);
        }
        for (index, count) in (self.first_bin..).zip(&self.bins) {
            seen += count;
            if rank < seen {
                return Some(2.0 * GAMMA.powi(index) / (GAMMA + 1.0));
            }
        }
        None
    }
}

fn add_bin(sketch: &mut Sketch, index: i32, count: i64) {
    if sketch.bins.is_empty() {
        sketch.first_bin = index;
    }
    if index < sketch.first_bin {
        let missing = usize::try_from(sketch.first_bin - index).unwrap_or(0);
        let room = BINS_MAX.saturating_sub(sketch.bins.len());
        let grown = missing.min(room);
        sketch.bins.splice(0..0, std::iter::repeat_n(0, grown));
        sketch.first_bin -= i32::try_from(grown).unwrap_or(0);
    }
    let at = usize::try_from(index - sketch.first_bin).unwrap_or(0).min(BINS_MAX - 1);
    if at >= sketch.bins.len() {
        sketch.bins.resize(at + 1, 0);
    }
    if let Some(bin) = sketch.bins.get_mut(at) {
        *bin += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sketches_ddsketch::{Config, DDSketch};

    proptest! {
        #[test]
        fn quantiles_agree_with_the_library_within_the_error(values in prop::collection::vec(1.0..1e7_f64, 1..300)) {
            let (mut ours, mut left, mut right) = (Sketch::default(), Sketch::default(), Sketch::default());
            let mut theirs = DDSketch::new(Config::new(ALPHA, 4_096, 1.0));
            for (n, value) in values.iter().enumerate() {
                ours.add(*value);
                if n % 2 == 0 { left.add(*value) } else { right.add(*value) }
                theirs.add(*value);
            }
            left.merge(&right);
            for q in [0.0, 0.5, 0.95, 0.99, 1.0] {
                let (got, want) = (ours.quantile(q).unwrap(), theirs.quantile(q).unwrap().unwrap());
                prop_assert!((got - want).abs() <= want * 3.0 * ALPHA, "q {q}: {got} against {want}");
                prop_assert_eq!(left.quantile(q), Some(got), "merged halves are the whole");
            }
        }
    }

    #[test]
    fn bins_are_bounded() {
        let mut sketch = Sketch::default();
        for exponent in 0..600 {
            sketch.add(1.1_f64.powi(exponent));
        }
        assert!(sketch.bins.len() <= BINS_MAX);
        assert_eq!(sketch.bins.iter().sum::<i64>() + sketch.zeros, 600);
    }
}
