//! Budgets of a day: what was spent, and is waited for, decides whom to ask; the tenant hears of a day that is dear.

use leadline_operators::dedupe::ContactOut;
use leadline_operators::score::ScoreContact;
use leadline_operators::spending::{KEY, SPENT};
use leadline_schemas::Millis;
use leadline_schemas::command::Command;
use leadline_schemas::event::Event;
use leadline_schemas::reply::Answered;
use leadline_schemas::settings::{Policy, Tenant};
use proptest::prelude::*;
use serde_json::json;

use crate::driver::{Driver, cases};
use crate::inputs::{NOON, contact, event_id, tenant, text_event};
use crate::stages::scoring::good_score;

fn tenant_with(soft: Option<i64>, hard: Option<i64>) -> Tenant {
    let mut tenant = tenant();
    tenant.policy = Policy {
        score_provider: "dear".to_owned(),
        score_fallbacks: vec!["cheap".to_owned()],
        ai_budget_soft_micros: soft,
        ai_budget_hard_micros: hard,
        ..Policy::default()
    };
    tenant
}

fn driver(soft: Option<i64>, hard: Option<i64>) -> Driver<ScoreContact> {
    Driver::new(tenant_with(soft, hard), NOON)
}

/// A contact comes in; answers who is asked about it.
fn arrive(driver: &mut Driver<ScoreContact>, number: u64) -> Option<String> {
    let event = Event::TextEvent(text_event(&format!("SCI{number}"), "We need a new kitchen"));
    let done = driver.record(event_id(number), contact(number, event)).unwrap();
    let asked = done.jobs.first().map(|job| job.request.target.clone());
    if asked.is_none() {
        let [ContactOut::Contact(after)] = done.out.as_slice() else { panic!("{done:?}") };
        let score = after.score.as_ref().unwrap();
        assert_eq!(score.provider, "rules");
        assert!(score.fallback.as_ref().unwrap().contains("budget"), "the reason is for the audit");
    }
    asked
}

/// The oldest question is answered for this sum; answers what the tenant is told.
fn settle(driver: &mut Driver<ScoreContact>, cost_micros: i64) -> Vec<String> {
    let job = driver.pending().remove(0);
    let body = json!({ "outcome": { "scored": good_score() } }).to_string().into();
    let done = driver.reply(job.id, Ok(Answered { body, attempts: 1, cost_micros })).unwrap().unwrap();
    let told = done.out.iter().filter_map(ContactOut::notice).map(|notice| match notice {
        Command::Notice { text, is_trouble: true, subject, .. } => {
            assert_eq!(subject, "ai:cost");
            text
        }
        other => panic!("{other:?}"),
    });
    told.collect()
}

#[test]
fn over_the_soft_budget_the_cheapest_is_first_over_the_hard_one_nobody_until_tomorrow() {
    let mut driver = driver(Some(10_000), Some(20_000));
    assert_eq!(arrive(&mut driver, 1).as_deref(), Some("dear"));
    settle(&mut driver, 10_000);
    assert_eq!(arrive(&mut driver, 2).as_deref(), Some("cheap"));
    settle(&mut driver, 10_000);
    assert_eq!(arrive(&mut driver, 3), None);
    driver.advance(12 * Millis::HOUR);
    assert_eq!(arrive(&mut driver, 4).as_deref(), Some("dear"), "a new day in UTC");
}

#[test]
fn a_tenant_that_is_spread_has_its_budget_split() {
    let mut tenant = tenant_with(None, Some(20_000));
    tenant.policy.spread = 4;
    let mut driver = Driver::<ScoreContact>::new(tenant, NOON);
    arrive(&mut driver, 1).unwrap();
    settle(&mut driver, 5_000);
    assert_eq!(arrive(&mut driver, 2), None, "a quarter of the budget is this slot's");
}

#[test]
fn a_backfill_cannot_outrun_its_budget() {
    let mut driver = driver(None, Some(100_000));
    let asked = (1..=1_000).filter(|number| arrive(&mut driver, *number).is_some()).count();
    // Nothing has been answered yet; each is counted at 3,000 until something is known.
    assert_eq!(asked, 34);
    while !driver.pending().is_empty() {
        settle(&mut driver, 3_000);
    }
    assert_eq!(arrive(&mut driver, 2_000), None);
    let spent = driver.row(&SPENT, KEY).unwrap();
    assert_eq!((spent.days[0].micros, spent.reserved_micros), (102_000, 0));
}

#[test]
fn the_tenant_hears_once_a_day_of_half_as_much_again_as_usual() {
    let mut driver = driver(None, None);
    let mut number = 0;
    let mut spend = |driver: &mut Driver<ScoreContact>, micros: i64| {
        number += 1;
        arrive(driver, number).unwrap();
        settle(driver, micros)
    };
    // On the first days nothing is usual yet, however much it is.
    for micros in [9_000_000, 1_000_000, 2_000_000] {
        assert_eq!(spend(&mut driver, micros), Vec::<String>::new());
        driver.advance(Millis::DAY);
    }
    // 12.00 on three days: 4.00 a day, so up to 6.00 is as usual.
    assert_eq!(spend(&mut driver, 6_000_000), Vec::<String>::new());
    let told = spend(&mut driver, 1_000);
    assert!(told.len() == 1 && told[0].contains("6.00") && told[0].contains("4.00"), "{told:?}");
    assert_eq!(spend(&mut driver, 5_000_000), Vec::<String>::new(), "once a day");
    driver.advance(Millis::DAY);
    // 23.00 on four days.
    assert_eq!(spend(&mut driver, 8_600_000), Vec::<String>::new());
    assert_eq!(spend(&mut driver, 400_000).len(), 1);
    // Eight days on, the week before is empty, and cents are not worth a word.
    driver.advance(8 * Millis::DAY);
    assert_eq!(spend(&mut driver, 900_000), Vec::<String>::new());
    assert_eq!(spend(&mut driver, 200_000).len(), 1);
}

proptest! {
    #![proptest_config(cases(150))]

    /// In any order of questions, answers and days: the row is the sum of what was paid today, no answer stays reserved,
    /// and what is spent goes past the hard budget by no more than what was under way when it was reached.
    #[test]
    fn budgets_hold_in_any_order(
        steps in prop::collection::vec((0_u8..5, 0_i64..20_000), 1..80), hard in 1_000_i64..200_000,
    ) {
        let mut driver = driver(None, Some(hard));
        let (mut number, mut today, mut under_way) = (0, 0, 0_usize);
        for (what, micros) in steps {
            match what {
                0 | 1 => {
                    number += 1;
                    let reserved = driver.row(&SPENT, KEY).map_or(0, |spent| spent.reserved_micros);
                    let asked = arrive(&mut driver, number).is_some();
                    prop_assert_eq!(asked, today + reserved < hard, "{} + {} of {}", today, reserved, hard);
                    under_way += usize::from(asked);
                }
                2 | 3 if under_way > 0 => {
                    settle(&mut driver, micros);
                    (today, under_way) = (today + micros, under_way - 1);
                }
                4 => {
                    driver.advance(Millis::DAY);
                    today = 0;
                }
                _ => {}
            }
        }
        while !driver.pending().is_empty() {
            settle(&mut driver, 1);
            today += 1;
        }
        let spent = driver.row(&SPENT, KEY).unwrap_or_default();
        let day = driver.now.0.div_euclid(Millis::DAY);
        let of_today: i64 = spent.days.iter().filter(|one| one.day == day).map(|one| one.micros).sum();
        prop_assert_eq!((of_today, spent.reserved_micros), (today, 0));
        prop_assert!(spent.days.len() <= 8, "the row stays small");
    }
}
