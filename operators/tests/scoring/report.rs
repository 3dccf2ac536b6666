//! The figures of a labelled set.

use crate::cases::{Case, Outcome};
use std::fmt::Write as _;

/// Fields that a label gives a value or leaves null. `language` is left out (the labels name Spanish only), as is
/// `appointment_window` (a form of words, not a value).
const FIELDS: &[&str] = &[
    "project_type",
    "budget_min",
    "budget_max",
    "timeline",
    "decision_maker",
    "urgency",
    "caller_name",
    "phone",
    "email",
    "address",
    "city",
    "postcode",
    "year_built",
    "hoa",
    "insurance_claim",
    "financing_interest",
    "competing_bids",
];

/// What became of each field of each case.
pub struct Report<'a> {
    cases: &'a [Case],
    lines: Vec<(&'static str, Tally)>,
}

#[derive(Default)]
struct Tally {
    silent: usize,
    right: usize,
    wrong: usize,
    missed: usize,
    invented: usize,
}

impl Tally {
    fn of(cases: &[Case], field: &str) -> Self {
        let mut tally = Self::default();
        for case in cases {
            *match case.outcome(field) {
                Outcome::Silent => &mut tally.silent,
                Outcome::Right => &mut tally.right,
                Outcome::Wrong => &mut tally.wrong,
                Outcome::Missed => &mut tally.missed,
                Outcome::Invented => &mut tally.invented,
            } += 1;
        }
        tally
    }

    fn accuracy(&self) -> f64 {
        let all = self.silent + self.right + self.wrong + self.missed + self.invented;
        ratio(self.silent + self.right, all)
    }
}

impl<'a> Report<'a> {
    /// Compares every case with its label.
    pub fn of(cases: &'a [Case]) -> Self {
        Self { cases, lines: FIELDS.iter().map(|field| (*field, Tally::of(cases, field))).collect() }
    }

    /// Share of the cases in the labelled band.
    pub fn band(&self) -> f64 {
        self.share_right("band")
    }

    fn share_right(&self, field: &str) -> f64 {
        ratio(
            self.cases.iter().filter(|case| case.outcome(field) == Outcome::Right).count(),
            self.cases.len(),
        )
    }

    /// How surely a hot or warm lead scores above the rest: 0.5 is chance, 1 never fails.
    pub fn auc(&self) -> f64 {
        let (leads, rest): (Vec<&Case>, Vec<&Case>) =
            self.cases.iter().partition(|case| case.is_hot_or_warm());
        let wins: f64 = leads
            .iter()
            .flat_map(|lead| rest.iter().map(|other| lead.output.score.cmp(&other.output.score)))
            .map(|order| match order {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            })
            .sum();
        wins / (leads.len() * rest.len()).max(1) as f64
    }

    /// Share of invented values among all values given.
    pub fn invented(&self) -> f64 {
        let sum =
            |count: fn(&Tally) -> usize| self.lines.iter().map(|(_, tally)| count(tally)).sum::<usize>();
        ratio(sum(|tally| tally.invented), sum(|tally| tally.right + tally.wrong + tally.invented))
    }

    /// The figures.
    pub fn summary(&self, name: &str) -> String {
        let mut text = format!(
            "\n{name}: {} cases  band {:.3}  class {:.3}  AUC {:.3}  invented {:.4}  appointment {:.3}\n",
            self.cases.len(),
            self.band(),
            self.share_right("class"),
            self.auc(),
            self.invented(),
            self.share_right("appointment_set"),
        );
        for (field, tally) in &self.lines {
            let Tally { right, wrong, missed, invented, .. } = tally;
            let accuracy = tally.accuracy();
            let _ = writeln!(
                text,
                "  {field:19} accuracy {accuracy:.3}  right {right:3}  wrong {wrong:2}  missed {missed:2}  invented {invented:2}"
            );
        }
        text
    }

    /// What went wrong, case by case.
    pub fn details(&self) -> String {
        self.cases.iter().map(worst).collect()
    }
}

/// One line for a case that went wrong somewhere.
fn worst(case: &Case) -> String {
    let off = ["band", "class", "appointment_set"].iter().chain(FIELDS).filter_map(|field| {
        let outcome = case.outcome(field);
        let good = matches!(outcome, Outcome::Right | Outcome::Silent);
        (!good).then(|| format!("{field} {} for {}", case.answer(field), case.label(field)))
    });
    let off: Vec<_> = off.collect();
    if off.is_empty() {
        return String::new();
    }
    let factors = case.output.factors;
    let (budget, timeline, scope, authority) =
        (factors.budget, factors.timeline, factors.scope_area, factors.authority);
    let labelled =
        ["budget", "timeline", "scope_area", "authority"].map(|name| case.label("factors")[name].to_string());
    format!(
        "  {} {} ({budget} {timeline} {scope} {authority}; label {}): {}\n",
        case.id,
        case.output.score,
        labelled.join(" "),
        off.join("; "),
    )
}

fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}
