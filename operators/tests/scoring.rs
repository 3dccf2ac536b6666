//! Whether the rule-based scorer is good enough: bands, leads against the rest, fields and invented fields, on every
//! labelled set. `cargo test -p leadline-operators --test scoring -- --nocapture` prints the reports.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)] // tests may
#![allow(unreachable_pub)] // the modules of a test crate have nobody outside

#[path = "scoring/cases.rs"]
mod cases;
#[path = "scoring/report.rs"]
mod report;

use cases::{Case, cases};
use report::Report;

/// What issue 3 asks for, on each set by itself.
const BAND_MIN: f64 = 0.80;
const AUC_MIN: f64 = 0.95;
const INVENTED_MAX: f64 = 0.01;

fn hold_to_the_gates(name: &str, cases: &[Case]) {
    let report = Report::of(cases);
    println!("{}", report.summary(name));
    // The cases that a set must not be tuned on are not even shown unless asked for.
    if std::env::var("SCORING_SHOW").is_ok_and(|shown| shown == name) {
        println!("{}", report.details());
    }
    assert!(report.band() >= BAND_MIN, "{name}: band accuracy {:.3}", report.band());
    assert!(report.auc() >= AUC_MIN, "{name}: AUC {:.3}", report.auc());
    assert!(report.invented() <= INVENTED_MAX, "{name}: invented {:.4}", report.invented());
}

#[test]
fn the_tuning_set_passes_the_gates() {
    hold_to_the_gates("tuning", &cases(include_str!("scoring/tuning.jsonl")));
}

#[test]
fn the_holdout_passes_the_gates() {
    hold_to_the_gates("holdout", &cases(include_str!("scoring/holdout.jsonl")));
}

#[test]
fn the_blind_half_that_was_tuned_on_passes_the_gates() {
    let (tuned_on, _) = halves();
    hold_to_the_gates("blind A", &tuned_on);
}

#[test]
fn the_blind_half_that_was_only_reported_passes_the_gates() {
    let (_, reported) = halves();
    hold_to_the_gates("blind B", &reported);
}

#[test]
fn the_later_set_that_was_tuned_on_passes_the_gates() {
    hold_to_the_gates("dev", &cases(include_str!("scoring/dev.jsonl")));
}

#[test]
fn the_last_set_written_passes_the_gates() {
    hold_to_the_gates("blind2", &cases(include_str!("scoring/blind2.jsonl")));
}

#[test]
fn the_set_written_after_the_last_change_passes_the_gates() {
    hold_to_the_gates("blind3", &cases(include_str!("scoring/blind3.jsonl")));
}

/// Odd and even lines: neighbours are alike, so the halves are too.
fn halves() -> (Vec<Case>, Vec<Case>) {
    let (odd, even): (Vec<_>, Vec<_>) =
        cases(include_str!("scoring/blind.jsonl")).into_iter().enumerate().partition(|(i, _)| i % 2 == 0);
    let strip = |half: Vec<(usize, Case)>| half.into_iter().map(|(_, case)| case).collect();
    (strip(odd), strip(even))
}
