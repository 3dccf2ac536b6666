//! score, with a chain of providers: they are asked in order until one answer holds together, and every answer is paid for.

use leadline_operators::dedupe::ContactOut;
use leadline_operators::score::{ASKED, ScoreContact, WAITING};
use leadline_operators::spending::{KEY, SPENT};
use leadline_schemas::contact::{Contact, Transcript};
use leadline_schemas::event::{Event, Speaker, Turn};
use leadline_schemas::reply::{Answered, FailureKind, JobFailed};
use leadline_schemas::score::{ScoreInput, ScoreJob};
use leadline_schemas::settings::{Policy, Tenant};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::driver::{Driver, Job, cases, failed};
use crate::inputs::{NOON, call_contact, call_event, contact, event_id, tenant, text_event};
use crate::stages::scoring::good_score;

/// How a provider answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Good,
    /// With nothing but the output, as an endpoint of one's own may.
    Bare,
    Blocked,
    Cut,
    Made,
    Nonsense,
    Fails,
}

fn any_way() -> impl Strategy<Value = Way> {
    use Way::*;
    prop::sample::select(vec![Good, Bare, Blocked, Cut, Made, Nonsense, Fails, Fails])
}

fn any_chain() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "rules"]), 1..5)
}

fn tenant_of(chain: &[&str]) -> Tenant {
    let mut tenant = tenant();
    tenant.policy = Policy {
        score_provider: chain[0].to_owned(),
        score_fallbacks: chain[1..].iter().map(|name| (*name).to_owned()).collect(),
        prompt_version: Some("v1".to_owned()),
        ..Policy::default()
    };
    tenant
}

fn the_text() -> Contact {
    contact(1, Event::TextEvent(text_event("SCI1", "We need a new kitchen")))
}

/// The answer of a provider, for so many millionths.
fn answer(way: Way, cost_micros: i64) -> Result<Answered, JobFailed> {
    let mut output = good_score();
    let whole = |outcome: Value| json!({ "outcome": outcome, "model": "m-1", "prompt_version": "v1", "cost_micros": cost_micros });
    let body = match way {
        Way::Good => whole(json!({ "scored": output })),
        Way::Bare => output,
        Way::Blocked => whole(json!({ "blocked": "SPII" })),
        Way::Cut => whole(json!("cut")),
        Way::Made => {
            output["evidence"][0]["quote"] = json!("money is no object");
            whole(json!({ "scored": output }))
        }
        Way::Nonsense => json!("certainly!"),
        Way::Fails => return failed(FailureKind::Exhausted),
    };
    Ok(Answered { body: body.to_string().into(), attempts: 1, cost_micros })
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn providers_are_asked_in_order_until_one_holds_together_and_all_are_paid(
        chain in any_chain(),
        ways in prop::collection::vec((any_way(), 0_i64..5_000), 4),
    ) {
        let mut expected: Vec<&str> = Vec::new();
        if chain[0] != "rules" {
            for name in &chain {
                if *name != "rules" && !expected.contains(name) {
                    expected.push(name);
                }
            }
        }
        let mut driver = Driver::<ScoreContact>::new(tenant_of(&chain), NOON);
        let mut done = driver.record(event_id(1), the_text()).unwrap();
        let (mut cost, mut tried, mut by) = (0, 0, "rules");
        for (name, (way, micros)) in expected.iter().zip(&ways) {
            let [job] = done.jobs.as_slice() else { panic!("{name} was not asked: {done:?}") };
            prop_assert_eq!(&job.request.target, name);
            let asked: ScoreJob = serde_json::from_slice(&job.request.payload).unwrap();
            prop_assert_eq!(asked.prompt_version.as_deref(), Some("v1"));
            prop_assert_eq!((driver.rows(&WAITING), driver.rows(&ASKED)), (1, 1));
            done = driver.reply(job.id, answer(*way, *micros)).unwrap().unwrap();
            cost += if *way == Way::Fails { 0 } else { *micros };
            if matches!(way, Way::Good | Way::Bare) {
                by = name;
                break;
            }
            tried += 1;
        }
        prop_assert!(done.jobs.is_empty(), "nobody else is asked");
        let [ContactOut::Contact(after)] = done.out.as_slice() else { panic!("{done:?}") };
        let score = after.score.as_ref().unwrap();
        prop_assert_eq!((score.provider.as_str(), score.cost_micros), (by, cost));
        prop_assert_eq!(score.fallback.is_some(), tried > 0, "{:?}", &score.fallback);
        for name in &expected[..tried] {
            prop_assert!(score.fallback.as_ref().unwrap().contains(name), "{:?} says why {} was not enough", &score.fallback, name);
        }
        let good = by != "rules" && ways[tried].0 == Way::Good;
        prop_assert_eq!(score.model.as_deref(), good.then_some("m-1"));
        let version = if good { "v1" } else if by == "rules" { leadline_operators::rules::RULES_VERSION } else { "unversioned" };
        prop_assert_eq!(score.prompt_version.as_str(), version);
        prop_assert_eq!((driver.rows(&WAITING), driver.rows(&ASKED)), (0, 0));
        let spent = driver.row(&SPENT, KEY).unwrap_or_default();
        prop_assert_eq!(spent.days.iter().map(|day| day.micros).sum::<i64>(), cost);
        prop_assert_eq!(spent.reserved_micros, 0, "what was kept for answers is free again");
    }
}

/// The only job.
fn asked(driver: &Driver<ScoreContact>) -> Job {
    let mut jobs = driver.pending();
    assert_eq!(jobs.len(), 1);
    jobs.remove(0)
}

#[test]
fn who_takes_back_consent_meanwhile_is_scored_by_rules() {
    let mut driver = Driver::<ScoreContact>::new(tenant_of(&["a", "b"]), NOON);
    driver.record(event_id(1), the_text()).unwrap();
    let mut tenant = tenant_of(&["a", "b"]);
    tenant.policy.no_ai_processing = true;
    driver.set_tenant(tenant);
    let job = asked(&driver);
    let done = driver.reply(job.id, answer(Way::Fails, 0)).unwrap().unwrap();
    let [ContactOut::Contact(after)] = done.out.as_slice() else { panic!("{done:?}") };
    let score = after.score.as_ref().unwrap();
    assert_eq!(score.provider, "rules");
    assert!(score.fallback.as_ref().unwrap().contains("AI processing"), "{:?}", score.fallback);
}

#[test]
fn an_answer_to_what_an_earlier_leadline_asked_is_the_tenants_providers() {
    let mut driver = Driver::<ScoreContact>::new(tenant_of(&["a", "b"]), NOON);
    driver.record(event_id(1), the_text()).unwrap();
    let job = asked(&driver);
    driver.forget(&ASKED, job.id.as_bytes());
    let done = driver.reply(job.id, answer(Way::Good, 5)).unwrap().unwrap();
    let [ContactOut::Contact(after)] = done.out.as_slice() else { panic!("{done:?}") };
    let score = after.score.as_ref().unwrap();
    assert_eq!((score.provider.as_str(), score.cost_micros), ("a", 5));
}

#[test]
fn card_and_social_security_numbers_do_not_leave() {
    let mut driver = Driver::<ScoreContact>::new(tenant_of(&["a"]), NOON);
    let mut call = call_contact(1, call_event("CAL1"));
    let turn = |text: &str| Turn { speaker: Speaker::Caller, text: text.to_owned() };
    call.transcript = Some(Transcript {
        turns: vec![
            turn("My card number is 4111 1111 1111 1111."),
            turn("And my social is 078-05-1120, call 303 555 0142"),
        ],
        provider: "speech".to_owned(),
        cost_micros: 40,
    });
    driver.record(event_id(1), call).unwrap();
    let payload = asked(&driver).request.payload;
    let input: ScoreInput = serde_json::from_slice(&payload).unwrap();
    let said: String = input.transcript.iter().map(|turn| turn.text.as_str()).collect();
    assert!(!said.contains("1111") && !said.contains("05-1120") && said.contains("303 555 0142"), "{said}");
    let spent = driver.row(&SPENT, KEY).unwrap();
    assert_eq!(spent.days, [], "the transcript was paid for with its answer, not here once more");
}
