//! What a day usually costs, and whether today costs much more.

use std::collections::BTreeMap;

use leadline_schemas::baseline::{DAYS, exceeded};
use serde::{Deserialize, Serialize};

/// The days before today, in UTC since 1970.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Baseline {
    /// What each has cost, in millionths; absent where that was nothing.
    days: BTreeMap<i64, i64>,
    /// The first day on which anything was spent.
    first_day: Option<i64>,
    /// When was last told of.
    alerted_day: Option<i64>,
}

impl Baseline {
    /// A day has ended.
    pub(super) fn ended(&mut self, day: i64, micros: i64) {
        if micros > 0 {
            self.first_day.get_or_insert(day);
            self.days.insert(day, micros);
        }
    }

    /// What a day has usually cost, if today costs half as much again; once a day.
    pub(super) fn is_exceeded(&mut self, today: i64, micros: i64) -> Option<i64> {
        self.days.retain(|day, _| (today - DAYS..today).contains(day));
        if self.alerted_day == Some(today) {
            return None;
        }
        let days = self.days.iter().map(|(day, micros)| (*day, *micros));
        let usual = exceeded((today, micros), self.first_day?, days)?;
        self.alerted_day = Some(today);
        Some(usual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_that_costs_half_as_much_again_as_those_of_the_last_week_is_told_once() {
        let mut baseline = Baseline::default();
        let told = |baseline: &mut Baseline, today, micros| baseline.is_exceeded(today, micros);
        assert_eq!(told(&mut baseline, 100, 90_000_000), None, "nothing is usual yet");
        baseline.ended(100, 4_000_000);
        baseline.ended(101, 0);
        assert_eq!(told(&mut baseline, 102, 90_000_000), None, "two days are no week");
        baseline.ended(102, 2_000_000);
        assert_eq!(told(&mut baseline, 103, 3_000_000), None, "2 a day, and half of it");
        assert_eq!(told(&mut baseline, 103, 3_000_001), Some(2_000_000));
        assert_eq!(told(&mut baseline, 103, 9_000_000), None, "once a day");
        assert_eq!(told(&mut baseline, 104, 2_500_000), Some(1_500_000));
        assert_eq!(told(&mut baseline, 120, 999_999), None, "small sums are nobody's trouble");
        assert_eq!(told(&mut baseline, 120, 1_000_000), Some(0), "a week without any is a baseline too");
    }
}
