//! Transcripts in their tenant's budget of the day: what one will cost is kept before anybody is asked, and becomes what it
//! has cost with the answer, whatever that is.

use std::collections::BTreeMap;
use std::sync::Arc;

use leadline_operators::dedupe::ContactOut;
use leadline_operators::spending::{KEY, SPENT};
use leadline_operators::transcribe::Transcribe;
use leadline_schemas::reply::{Answered, FailureKind, JobFailed};
use leadline_schemas::settings::{SpeechPrice, Tenant};
use leadline_schemas::state::{Spent, SpentDay};
use leadline_schemas::{JobId, Millis};
use proptest::prelude::*;

use crate::driver::{Done, Driver, cases, failed};
use crate::inputs::{NOON, event_id, tenant};
use crate::transcribing::{goes_on, recorded, with_chain};

/// What a recording of the tests costs: 412 s of two channels, each third one a backfill.
fn price_of(provider: &str, number: u64) -> i64 {
    match (provider, number.is_multiple_of(3)) {
        ("google", false) => 219_734,
        ("google", true) => 41_200,
        ("whisper", _) => 41_200,
        _ => 0,
    }
}

fn driver(tenant: &Tenant) -> Driver<Transcribe> {
    let price = |micros_per_minute, backfill_micros_per_minute, is_per_channel| SpeechPrice {
        micros_per_minute,
        backfill_micros_per_minute,
        is_per_channel,
    };
    let prices = [
        ("google", price(16_000, 3_000, true)),
        ("whisper", price(6_000, 6_000, false)),
        ("local", SpeechPrice::default()),
    ];
    let mut driver = Driver::<Transcribe>::new(tenant.clone(), NOON);
    let prices = prices.map(|(name, price)| (name.to_owned(), price)).into();
    driver.settings = Arc::new(driver.settings.with_speech_prices(prices));
    driver
}

fn tenant_with(soft: Option<i64>, hard: Option<i64>, chain: &[&str]) -> Tenant {
    let mut tenant = tenant();
    with_chain(&mut tenant, chain);
    (tenant.policy.ai_budget_soft_micros, tenant.policy.ai_budget_hard_micros) = (soft, hard);
    tenant
}

#[test]
fn over_the_soft_budget_the_cheapest_is_asked_first_and_over_the_hard_one_nobody() {
    for (micros, wanted) in [(9_999, Some("google")), (10_000, Some("whisper")), (900_000, None)] {
        let mut driver = driver(&tenant_with(Some(10_000), Some(900_000), &["google", "whisper"]));
        let days = vec![SpentDay { day: NOON.0 / Millis::DAY, micros, answers: 1, speech_micros: 0 }];
        driver.seed(&SPENT, KEY, &Spent { days, ..Spent::default() });
        let done = driver.record(event_id(2), recorded(2)).unwrap();
        assert_eq!(done.jobs.first().map(|job| job.request.target.as_str()), wanted, "{micros} spent");
        if wanted.is_none() {
            let skip = goes_on(&done).transcript_skip.clone().unwrap();
            assert!(skip.contains("budget of the day for AI services is used up"), "for the audit: {skip}");
        }
    }
}

/// A thousand calls come at once, and none has an answer yet.
#[test]
fn calls_at_once_cannot_outrun_the_budget() {
    let mut driver = driver(&tenant_with(None, Some(1_000_000), &["google"]));
    let mut asked = 0;
    for number in (1..=1_000).filter(|number| number % 3 != 0) {
        let done = driver.record(event_id(number), recorded(number)).unwrap();
        asked += done.jobs.len();
        if done.jobs.is_empty() {
            let skip = goes_on(&done).transcript_skip.clone().unwrap();
            assert!(skip.contains("does not pay for its transcript"), "{skip}");
        }
    }
    assert_eq!(asked, 4, "4 x 0.219734 of 1.00");
    assert_eq!(driver.row(&SPENT, KEY).unwrap().reserved_micros, 4 * 219_734);
}

#[test]
fn whom_the_rest_does_not_pay_for_is_left_out_and_whoever_costs_less_is_asked() {
    let mut driver = driver(&tenant_with(None, Some(100_000), &["google", "whisper", "local"]));
    let asked: Vec<String> = [1, 2, 4]
        .into_iter()
        .map(|number| {
            driver.record(event_id(number), recorded(number)).unwrap().jobs[0].request.target.clone()
        })
        .collect();
    assert_eq!(asked, ["whisper", "whisper", "local"]);
}

#[test]
fn an_operation_keeps_its_part_until_it_ends_and_a_failure_gives_it_back() {
    let mut driver = driver(&tenant_with(None, Some(250_000), &["google"]));
    driver.record(event_id(2), recorded(2)).unwrap();
    let kept = |driver: &Driver<Transcribe>| driver.row(&SPENT, KEY).unwrap().reserved_micros;
    let operation = br#"{"operation":{"name":"op/1","poll_after_ms":5000,"ends_within_ms":3600000}}"#;
    for answer in [paid(operation, 0), failed(FailureKind::Exhausted), paid(operation, 0)] {
        let job = driver.pending().remove(0);
        driver.reply(job.id, answer).unwrap().unwrap();
        assert_eq!(kept(&driver), 219_734, "it was started, and will be billed");
    }
    let job = driver.pending().remove(0);
    let done = driver.reply(job.id, failed(FailureKind::Rejected)).unwrap().unwrap();
    assert!(goes_on(&done).transcript_skip.is_some());
    assert_eq!((kept(&driver), driver.row(&SPENT, KEY).unwrap().days.len()), (0, 0));
}

fn paid(body: &'static [u8], cost_micros: i64) -> Result<Answered, JobFailed> {
    Ok(Answered { body: body.into(), attempts: 1, cost_micros })
}

#[derive(Clone, Debug)]
enum Step {
    Call,
    Reply { pending: usize, answer: u8, cost: i64 },
    Chain(Vec<&'static str>),
    Budgets(Option<i64>, Option<i64>),
    Day,
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let chain = prop::collection::vec(prop::sample::select(vec!["google", "whisper", "local"]), 1..4);
    let budgets = (prop::option::of(0..500_000_i64), prop::option::of(0..900_000_i64));
    let step = prop_oneof![
        5 => Just(Step::Call),
        6 => (any::<usize>(), 0..4_u8, 0..300_000_i64)
            .prop_map(|(pending, answer, cost)| Step::Reply { pending, answer, cost }),
        1 => chain.prop_map(Step::Chain),
        1 => budgets.prop_map(|(soft, hard)| Step::Budgets(soft, hard)),
        1 => Just(Step::Day),
    ];
    prop::collection::vec(step, 1..60)
}

/// One call that waits.
#[derive(Clone, Debug)]
struct Call {
    number: u64,
    asked: Vec<String>,
    kept: i64,
    /// When what was started is given up.
    ends_at: Option<Millis>,
}

/// What is to be so.
struct Model {
    tenant: Tenant,
    calls: BTreeMap<JobId, Call>,
    today: i64,
    /// What could be spent of the day if every answer cost what was kept for it, and never more than the budget.
    kept: i64,
}

impl Model {
    /// Who is to be asked next.
    fn next(&self, number: u64, asked: &[String]) -> Option<String> {
        let policy = &self.tenant.policy;
        let used = self.today + self.kept;
        let over = |budget: Option<i64>| budget.is_some_and(|budget| used >= budget);
        if over(policy.ai_budget_hard_micros) {
            return None;
        }
        let mut chain: Vec<&String> =
            policy.transcribe_provider.iter().chain(&policy.transcribe_fallbacks).collect();
        if over(policy.ai_budget_soft_micros) {
            chain.reverse();
        }
        let fits = |name: &String| {
            policy.ai_budget_hard_micros.is_none_or(|hard| used + price_of(name, number) <= hard)
        };
        chain.into_iter().find(|name| !asked.contains(name) && fits(name)).cloned()
    }

    fn follow(&mut self, done: &Done<ContactOut>, number: u64, mut asked: Vec<String>) {
        let wanted = self.next(number, &asked);
        let found = done.jobs.first().map(|job| job.request.target.clone());
        assert_eq!(found, wanted, "{} + {} of {:?}", self.today, self.kept, self.tenant.policy);
        match (found, done.jobs.first()) {
            (Some(provider), Some(job)) => {
                let kept = price_of(&provider, number);
                asked.push(provider);
                self.kept += kept;
                self.calls.insert(job.id, Call { number, asked, kept, ends_at: None });
            }
            _ => assert!(goes_on(done).transcript_skip.is_some(), "the tenant sees why"),
        }
    }

    fn reply(&mut self, driver: &mut Driver<Transcribe>, id: JobId, answer: u8, cost: i64) {
        let mut call = self.calls.remove(&id).expect("each job has its call");
        let reply = match answer {
            0 => paid(br#"{"turns":[{"speaker":"caller","text":"Hello"}]}"#, cost),
            1 => paid(br#"{"failed":"it is no sound"}"#, cost),
            2 => paid(br#"{"operation":{"name":"op/1","poll_after_ms":1000,"ends_within_ms":172800000}}"#, 0),
            _ => failed(FailureKind::Rejected),
        };
        self.today += reply.as_ref().map_or(0, |answered| answered.cost_micros);
        let done = driver.reply(id, reply).unwrap().unwrap();
        if answer == 2 && call.ends_at.is_none_or(|ends_at| driver.now < ends_at) {
            call.ends_at.get_or_insert(driver.now.plus(2 * Millis::DAY));
            self.calls.insert(done.jobs[0].id, call);
            return;
        }
        self.kept -= call.kept;
        match answer {
            0 => assert!(goes_on(&done).transcript_skip.is_none()),
            _ => self.follow(&done, call.number, call.asked),
        }
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn what_waits_is_kept_what_was_answered_is_paid_and_nobody_is_asked_beyond_the_budget(steps in any_steps()) {
        let tenant = tenant_with(None, Some(500_000), &["google", "whisper"]);
        let mut driver = driver(&tenant);
        let mut model = Model { tenant, calls: BTreeMap::new(), today: 0, kept: 0 };
        for (number, step) in (1..).zip(steps) {
            match step {
                Step::Call => {
                    let done = driver.record(event_id(number), recorded(number)).unwrap();
                    model.follow(&done, number, Vec::new());
                }
                Step::Reply { pending, answer, cost } => {
                    let jobs = driver.pending();
                    if let Some(job) = jobs.get(pending % jobs.len().max(1)) {
                        model.reply(&mut driver, job.id, answer, cost);
                    }
                }
                Step::Chain(chain) => {
                    with_chain(&mut model.tenant, &chain);
                    driver.set_tenant(model.tenant.clone());
                }
                Step::Budgets(soft, hard) => {
                    let policy = &mut model.tenant.policy;
                    (policy.ai_budget_soft_micros, policy.ai_budget_hard_micros) = (soft, hard);
                    driver.set_tenant(model.tenant.clone());
                }
                Step::Day => {
                    driver.advance(Millis::DAY);
                    model.today = 0;
                }
            }
            let spent = driver.row(&SPENT, KEY).unwrap_or_default();
            let day = driver.now.0.div_euclid(Millis::DAY);
            let today: i64 = spent.days.iter().filter(|one| one.day == day).map(|one| one.micros).sum();
            prop_assert_eq!((today, spent.reserved_micros), (model.today, model.kept));
            prop_assert!(spent.days.iter().all(|one| one.speech_micros == one.micros && one.answers == 0));
        }
    }
}
