//! window: every record is counted once in its windows, late ones too, and each change is a higher revision.

use std::collections::BTreeMap;

use leadline_operators::leads::{ContactFacts, Counts};
use leadline_operators::window::{PANE_MS, Window, WindowOut};
use leadline_schemas::Millis;
use leadline_schemas::window::{Sketch, WindowKind, WindowMetrics};
use proptest::prelude::*;

use crate::driver::{Driver, cases};
use crate::inputs::{NOON, event_id, tenant};

/// Windows are closed a little before their rows may expire.
const MARGIN_MS: i64 = 2 * Millis::MINUTE;
/// A second for the minute, a second for the windows that it lies in.
const SETTLED_MS: i64 = 2 * Millis::SECOND;
const KINDS: [(WindowKind, i64, i64); 4] = [
    // Kind, step, how long after its start a window takes late records.
    (WindowKind::Minute, Millis::MINUTE, 2 * Millis::DAY - MARGIN_MS),
    (WindowKind::Hour, Millis::HOUR, 35 * Millis::DAY - MARGIN_MS),
    (WindowKind::Day, Millis::DAY, 25 * 31 * Millis::DAY - MARGIN_MS),
    (WindowKind::Sliding2h, PANE_MS, 2 * Millis::DAY - MARGIN_MS),
];

#[derive(Clone, Debug)]
enum Step {
    /// How long before now it happened.
    Record {
        age_ms: i64,
        calls: i64,
        score: i64,
        first_contact_ms: Option<i64>,
    },
    Wait {
        ms: i64,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    let age_ms = prop_oneof![
        6 => -Millis::MINUTE..Millis::MINUTE,
        3 => 0..2 * Millis::HOUR,
        // Around the ends of retention, and before 1970.
        2 => (2 * Millis::DAY - Millis::HOUR)..(2 * Millis::DAY + Millis::HOUR),
        1 => (35 * Millis::DAY - Millis::HOUR)..(35 * Millis::DAY + Millis::HOUR),
        1 => Just(800 * Millis::DAY),
        1 => Just(NOON.0 + 12_345),
    ];
    let wait = prop_oneof![
        4 => 0..3 * Millis::SECOND,
        1 => 0..3 * Millis::HOUR,
        1 => 0..3 * Millis::DAY,
    ];
    prop_oneof![
        4 => (age_ms, -1..3_i64, -50..100_i64, prop::option::of(0..Millis::DAY))
            .prop_map(|(age_ms, calls, score, first_contact_ms)| {
                Step::Record { age_ms, calls, score, first_contact_ms }
            }),
        2 => wait.prop_map(|ms| Step::Wait { ms }),
    ]
}

/// Calls, sum of scores, number and sum of first contacts.
type Sums = (i64, i64, i64, f64);

#[derive(Default)]
struct Model {
    sums: BTreeMap<(WindowKind, Millis), Sums>,
    late: usize,
    published: BTreeMap<(WindowKind, Millis), WindowMetrics>,
    published_at: BTreeMap<(WindowKind, Millis), Millis>,
    told_late: usize,
    records: u64,
}

impl Model {
    fn record(&mut self, driver: &mut Driver<Window>, facts: ContactFacts) {
        for (kind, step, kept) in KINDS {
            let start = Millis(facts.at.0.div_euclid(step) * step);
            if driver.now.since(start) > kept {
                self.late += 1;
                continue;
            }
            let (calls, score, contacts, contact_ms) = self.sums.entry((kind, start)).or_default();
            *calls += facts.counts.calls;
            *score += facts.counts.score_sum;
            if let Some(ms) = facts.first_contact_ms {
                *contacts += 1;
                *contact_ms += ms as f64;
            }
        }
        self.records += 1;
        let done = driver.record(event_id(self.records), facts).unwrap();
        self.take(driver.now, done.out);
    }

    fn take(&mut self, now: Millis, out: Vec<WindowOut>) {
        for out in out {
            match out {
                WindowOut::Late(_) => self.told_late += 1,
                WindowOut::Metrics(row) => {
                    let key = (row.window, row.start);
                    let before = self.published.get(&key).map_or(0, |row| row.revision);
                    assert_eq!(row.revision, before + 1, "each change of a window is its next revision");
                    let at = self.published_at.insert(key, now);
                    assert!(at.is_none_or(|at| now.since(at) >= Millis::SECOND), "more than once a second");
                    self.published.insert(key, row);
                }
            }
        }
    }

    fn wait(&mut self, driver: &mut Driver<Window>, ms: i64) {
        let until = driver.now.plus(ms);
        // Timer by timer, so that each publication is seen at its own time.
        while let Some(at) = driver.next_timer().map(|(at, _)| at).filter(|at| *at <= until) {
            let done = driver.advance(at.since(driver.now).max(0));
            let out = done.into_iter().flat_map(|done| done.out).collect();
            self.take(driver.now, out);
        }
        driver.advance(until.since(driver.now));
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn each_record_counts_once_in_each_of_its_windows_and_what_is_too_late_is_told_of(
        steps in prop::collection::vec(any_step(), 1..40)
    ) {
        let (mut model, mut driver) = (Model::default(), Driver::<Window>::new(tenant(), NOON));
        for step in steps {
            match step {
                Step::Wait { ms } => model.wait(&mut driver, ms),
                Step::Record { age_ms, calls, score, first_contact_ms } => {
                    let counts = Counts { calls, score_sum: score, ..Counts::default() };
                    let at = driver.now.plus(-age_ms);
                    let facts = ContactFacts { at, counts, first_contact_ms, score_latency_ms: None };
                    model.record(&mut driver, facts);
                }
            }
        }
        model.wait(&mut driver, SETTLED_MS);
        prop_assert_eq!(model.told_late, model.late, "nothing is dropped in silence");
        prop_assert_eq!(model.published.len(), model.sums.len());
        for (key, (calls, score, contacts, contact_ms)) in &model.sums {
            let row = &model.published[key];
            prop_assert_eq!((row.calls, row.score_sum), (*calls, *score), "{:?}", key);
            let Sketch { count, sum, .. } = row.first_contact_ms;
            prop_assert_eq!(count, *contacts);
            prop_assert!((sum - contact_ms).abs() < 1.0);
            prop_assert_eq!(&row.tenant, &tenant().tenant);
        }
    }
}

/// All counts are added, each to its own.
#[test]
fn every_count_of_a_record_reaches_its_window() {
    let mut driver = Driver::<Window>::new(tenant(), NOON);
    let counts = Counts {
        calls: 1,
        answered: 2,
        missed: 3,
        texts: 4,
        forms: 5,
        leads: 6,
        hot_or_warm: 7,
        scored: 8,
        score_sum: 9,
        cost_micros: 10,
    };
    let facts =
        ContactFacts { at: NOON, counts, first_contact_ms: Some(2_000), score_latency_ms: Some(3_000) };
    driver.record(event_id(1), facts).unwrap();
    driver.record(event_id(2), facts).unwrap();
    let rows: Vec<WindowOut> = driver.advance(SETTLED_MS).into_iter().flat_map(|done| done.out).collect();
    assert_eq!(rows.len(), 4, "{rows:?}");
    for row in rows {
        let WindowOut::Metrics(row) = row else { panic!("{row:?}") };
        let counted = [
            row.calls,
            row.answered,
            row.missed,
            row.texts,
            row.forms,
            row.leads,
            row.hot_or_warm,
            row.scored,
            row.score_sum,
            row.cost_micros,
        ];
        assert_eq!(counted, [2, 4, 6, 8, 10, 12, 14, 16, 18, 20]);
        assert_eq!((row.first_contact_ms.sum, row.score_latency_ms.sum), (4_000.0, 6_000.0));
    }
}

/// A timer of another binary, or a damaged one, is poison and not a panic.
#[test]
fn a_timer_that_names_no_window_is_poison() {
    use crate::driver::is_poison;
    let mut driver = Driver::<Window>::new(tenant(), NOON);
    for name in [&b""[..], &[9, 0, 0], &[0]] {
        let fault = driver.timer(name).unwrap_err();
        assert!(is_poison(&fault), "{fault}");
    }
    assert!(driver.timer(&[1, 0]).unwrap().out.is_empty(), "its window is gone: nothing to publish");
}

/// A record may lie a minute ahead of the clock. Its row is written before its window starts, and must not expire
/// before the window is closed: a late record would open it anew, with a lower revision and everything before lost.
#[test]
fn a_window_that_was_opened_ahead_of_its_time_keeps_its_counts_to_the_end() {
    let (mut model, mut driver) = (Model::default(), Driver::<Window>::new(tenant(), NOON.plus(-58_000)));
    let counts = Counts { calls: 1, ..Counts::default() };
    let at = |at| ContactFacts { at, counts, ..ContactFacts::default() };
    model.record(&mut driver, at(NOON.plus(1_000)));
    model.wait(&mut driver, 2 * Millis::DAY + Millis::SECOND);
    for _ in 0..60 {
        model.wait(&mut driver, Millis::SECOND);
        model.record(&mut driver, at(NOON.plus(2_000)));
    }
    model.wait(&mut driver, Millis::SECOND);
    let key = (WindowKind::Minute, NOON);
    assert_eq!(model.published[&key].calls, model.sums[&key].0);
    assert_eq!(model.told_late, model.late);
}

/// A pane is closed up to nine minutes before the last of its minutes is. What comes then is not gathered, and yet the
/// minute is published once a second and not for each record.
#[test]
fn a_minute_whose_pane_is_closed_is_published_once_a_second() {
    let (mut model, mut driver) = (Model::default(), Driver::<Window>::new(tenant(), NOON));
    let counts = Counts { calls: 1, ..Counts::default() };
    let at = NOON.plus(5 * Millis::MINUTE - 2 * Millis::DAY);
    for _ in 0..30 {
        model.record(&mut driver, ContactFacts { at, counts, ..ContactFacts::default() });
        model.wait(&mut driver, 100);
    }
    model.wait(&mut driver, SETTLED_MS);
    let minute = &model.published[&(WindowKind::Minute, at)];
    assert_eq!((minute.calls, minute.revision), (30, 3));
    assert_eq!((model.told_late, model.published.len()), (30, 3), "of the pane each, and of no other");
}
