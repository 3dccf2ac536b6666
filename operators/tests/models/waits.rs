//! deliveries: what must wait does, is sent when its time has come, and is the newest then.

use leadline_operators::deliveries::{DeliverJob, Deliveries, DeliveryIn, DeliveryRequest, LATER_MS};
use leadline_schemas::command::Command;
use leadline_schemas::delivery::{Delivery, DeliveryStatus, Exchanged};
use leadline_schemas::reply::{Answered, FailureKind, JobFailed};
use leadline_schemas::settings::Tenant;
use leadline_schemas::{JobId, Millis};
use proptest::prelude::*;

use crate::driver::{Done, Driver, answered, cases, failed};
use crate::inputs::{NOON, event_id, integration, tenant};

/// 2026-03-08 09:00 UTC: clocks in Denver go from 02:00 to 03:00.
const SUMMER: i64 = 1_772_960_400_000;

/// A tenant in Denver whose integration hears nothing from 21:00 to 08:00.
fn denver(kind: &str, from_to_min: Option<(i32, i32)>) -> Tenant {
    let mut tenant = tenant();
    "America/Denver".clone_into(&mut tenant.profile.time_zone);
    let mut integration = integration("slack", "cold");
    kind.clone_into(&mut integration.kind);
    (integration.quiet_from_min, integration.quiet_to_min) = from_to_min.unzip();
    tenant.integrations = vec![integration];
    tenant
}

fn is_quiet(at: Millis) -> bool {
    let hours_behind = if at.0 < SUMMER { 7 } else { 6 };
    let minute = (at.0 / Millis::MINUTE - hours_behind * 60).rem_euclid(24 * 60);
    !(8 * 60..21 * 60).contains(&minute)
}

struct Scene {
    driver: Driver<Deliveries>,
    events: u64,
    revision: i64,
    /// What is sent next: what a person skips is not sent behind it.
    newest: i64,
    line: Option<Delivery>,
    in_flight: Option<JobId>,
}

impl Scene {
    fn new(tenant: Tenant) -> Self {
        Self {
            driver: Driver::new(tenant, NOON),
            events: 0,
            revision: 0,
            newest: 0,
            line: None,
            in_flight: None,
        }
    }

    fn took(&mut self, done: Done<Delivery>, by_hand: bool) {
        self.line = done.out.into_iter().next_back().or(self.line.take());
        for job in done.jobs {
            assert_eq!(self.in_flight, None, "two in flight");
            assert!(by_hand || !is_quiet(self.driver.now) || self.is_loud(), "sent in quiet hours");
            let work: DeliverJob = serde_json::from_slice(&job.request.payload).unwrap();
            assert_eq!(work.payload, format!("{{\"revision\":{}}}", self.newest), "not the newest");
            self.in_flight = Some(job.id);
        }
    }

    fn is_loud(&self) -> bool {
        let tenant = self.driver.settings.tenants().next().unwrap();
        tenant.integrations[0].quiet_from_min.is_none()
    }

    fn feed(&mut self, record: DeliveryIn, by_hand: bool) {
        self.events += 1;
        let done = self.driver.record(event_id(self.events), record).unwrap();
        self.took(done, by_hand);
    }

    fn queue(&mut self) {
        self.revision += 1;
        self.newest = self.revision;
        let request = DeliveryRequest {
            integration: "slack".to_owned(),
            subject: "lead-1".to_owned(),
            lead_id: None,
            kind: "lead".to_owned(),
            revision: self.revision,
            payload: format!("{{\"revision\":{}}}", self.revision),
        };
        self.feed(DeliveryIn::Request(request), false);
    }

    fn retry(&mut self) {
        let (integration, subject) = ("slack".to_owned(), "lead-1".to_owned());
        self.feed(DeliveryIn::Command(Command::RetryDelivery { integration, subject }), true);
    }

    fn reply(&mut self, answer: Result<Answered, JobFailed>) {
        let Some(job_id) = self.in_flight.take() else { return };
        let done = self.driver.reply(job_id, answer).unwrap().unwrap();
        self.took(done, false);
    }

    /// Step by step, so that a job that a timer has started is seen at its time.
    fn advance(&mut self, by_ms: i64) {
        let until = self.driver.now.plus(by_ms);
        while let Some((at, _)) = self.driver.next_timer().filter(|(at, _)| *at <= until) {
            for done in self.driver.advance(at.since(self.driver.now).max(0)) {
                self.took(done, false);
            }
        }
        self.driver.advance(until.since(self.driver.now));
    }

    fn status(&self) -> DeliveryStatus {
        self.line.as_ref().unwrap().status
    }

    fn check(&self) {
        let Some(line) = &self.line else { return };
        let waits = line.status == DeliveryStatus::Queued;
        assert_eq!(waits, line.held_until != Millis(0), "{line:?}");
        assert_eq!(
            waits,
            self.driver.next_timer().is_some(),
            "what waits has a time, and nothing else: {line:?}"
        );
        assert!(!waits || line.reason.is_some(), "the ledger says what it waits for");
        assert!(line.tries.len() <= 10);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Queue,
    Retry,
    Skip,
    Reply(Option<FailureKind>),
    Advance(i64),
}

fn any_step() -> impl Strategy<Value = Step> {
    use FailureKind::{Exhausted, Rejected, Unclear};
    let failure = prop::sample::select(vec![Exhausted, Exhausted, Rejected, Unclear]);
    prop_oneof![
        3 => Just(Step::Queue),
        1 => Just(Step::Retry),
        1 => Just(Step::Skip),
        3 => prop::option::weighted(0.6, failure).prop_map(Step::Reply),
        4 => (1..40 * Millis::HOUR).prop_map(Step::Advance),
    ]
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn nothing_is_sent_in_quiet_hours_and_the_newest_is_when_they_end(
        steps in prop::collection::vec(any_step(), 1..40)
    ) {
        let mut scene = Scene::new(denver("slack", Some((21 * 60, 8 * 60))));
        for step in steps {
            match step {
                Step::Queue => scene.queue(),
                Step::Retry => scene.retry(),
                Step::Skip => {
                    let line = scene.line.as_ref();
                    let is_done = line.is_none_or(|line| line.status == DeliveryStatus::Done);
                    scene.newest = line.filter(|_| !is_done).map_or(scene.newest, |line| line.revision);
                    let (integration, subject) = ("slack".to_owned(), "lead-1".to_owned());
                    scene.feed(DeliveryIn::Command(Command::SkipDelivery { integration, subject }), true);
                }
                Step::Reply(None) => scene.reply(answered("{}")),
                Step::Reply(Some(kind)) => scene.reply(failed(kind)),
                Step::Advance(by_ms) => scene.advance(by_ms),
            }
            scene.check();
        }
        scene.queue();
        for _ in 0..3 {
            scene.advance(25 * Millis::HOUR);
            scene.reply(answered("{}"));
        }
        prop_assert_eq!(scene.status(), DeliveryStatus::Done);
        prop_assert_eq!(scene.line.unwrap().revision, scene.revision);
    }
}

#[test]
fn quiet_hours_end_by_the_clock_on_the_wall_also_on_the_day_it_is_set() {
    // Saturday 22:00 in Denver; on Sunday clocks go forward.
    let mut scene = Scene::new(denver("slack", Some((21 * 60, 8 * 60))));
    scene.driver.now = Millis(SUMMER - 4 * Millis::HOUR);
    scene.queue();
    let line = scene.line.clone().unwrap();
    assert_eq!(line.held_until, Millis(SUMMER + 5 * Millis::HOUR), "08:00 is nine hours later, not ten");
    assert_eq!(line.reason.as_deref(), Some("quiet hours until 08:00"));
    scene.advance(9 * Millis::HOUR - 1);
    assert_eq!(scene.status(), DeliveryStatus::Queued);
    scene.advance(1);
    assert_eq!(scene.status(), DeliveryStatus::Sending);
}

#[test]
fn who_is_away_is_tried_again_for_three_days_and_then_a_person_decides() {
    let mut scene = Scene::new(denver("slack", None));
    scene.queue();
    for pause_ms in LATER_MS {
        scene.reply(failed(FailureKind::Exhausted));
        assert_eq!(scene.status(), DeliveryStatus::Queued);
        scene.advance(pause_ms - 1);
        assert_eq!(scene.in_flight, None);
        scene.advance(1);
        let job = scene.driver.pending().remove(0);
        let work: DeliverJob = serde_json::from_slice(&job.request.payload).unwrap();
        assert_eq!(work.failing_since, Some(NOON), "a sink is told since when");
    }
    scene.reply(failed(FailureKind::Exhausted));
    assert_eq!(scene.status(), DeliveryStatus::Parked);
    assert_eq!(scene.driver.next_timer(), None);
    scene.retry();
    scene.reply(failed(FailureKind::Exhausted));
    assert_eq!(scene.status(), DeliveryStatus::Queued, "a person begins anew");
    scene.advance(LATER_MS[0]);
    scene.reply(answered("{}"));
    assert_eq!(scene.status(), DeliveryStatus::Done);
    scene.queue();
    let work: DeliverJob = serde_json::from_slice(&scene.driver.pending()[0].request.payload).unwrap();
    assert_eq!(work.failing_since, None);
}

#[test]
fn a_receiver_of_plain_http_is_parked_at_once() {
    let mut scene = Scene::new(denver("http", None));
    scene.queue();
    scene.reply(failed(FailureKind::Exhausted));
    assert_eq!((scene.status(), scene.driver.next_timer()), (DeliveryStatus::Parked, None));
}

/// The most that one delivery can come twice by itself.
#[test]
fn an_unclear_one_is_sent_again_once_where_the_tenant_wants_it() {
    for (option, sent) in [(None, 1), (Some("again"), 2)] {
        let mut tenant = denver("slack", None);
        let options = option.map(|what| ("unclear".to_owned(), what.to_owned()));
        tenant.integrations[0].options = options.into_iter().collect();
        let mut scene = Scene::new(tenant);
        scene.queue();
        let mut count = 0;
        while scene.in_flight.is_some() {
            count += 1;
            scene.reply(failed(FailureKind::Unclear));
        }
        assert_eq!((count, scene.status()), (sent, DeliveryStatus::Unclear));
    }
}

/// What was sent and heard is in the ledger, whatever came of it, and so are the last jobs.
#[test]
fn the_ledger_keeps_the_last_exchange_and_the_last_jobs() {
    let mut scene = Scene::new(denver("http", None));
    let exchange = |text: &str| Exchanged { request: text.to_owned(), answer: text.to_owned(), at: NOON };
    scene.queue();
    let mut rejected = failed(FailureKind::Rejected).unwrap_err();
    rejected.exchange = Some(exchange("refused"));
    scene.reply(Err(rejected));
    assert_eq!(scene.line.as_ref().unwrap().exchange, Some(exchange("refused")));
    scene.queue();
    let body = serde_json::json!({ "remote_id": "R1", "exchange": exchange("taken") });
    scene.reply(answered(body.to_string()));
    let line = scene.line.clone().unwrap();
    assert_eq!((line.exchange, line.remote_id.as_deref()), (Some(exchange("taken")), Some("R1")));
    let tries: Vec<_> = line.tries.iter().map(|one| (one.revision, one.attempts, one.status)).collect();
    assert_eq!(tries, [(1, 3, DeliveryStatus::Parked), (2, 1, DeliveryStatus::Done)]);
    assert_eq!(line.attempts, 4);
}
