//! deliveries: leads that are gathered are told of in one message at its time, each once and in its newest form.

use std::collections::{BTreeMap, BTreeSet};

use leadline_operators::deliveries::digest::{DIGEST_LEADS_MAX, MESSAGE_LEADS_MAX, WAITING};
use leadline_operators::deliveries::{DeliverJob, Deliveries, DeliveryIn, DeliveryRequest, LATER_MS, LINES};
use leadline_schemas::command::Command;
use leadline_schemas::delivery::{Delivery, DeliveryStatus, escalated};
use leadline_schemas::reply::{Answered, FailureKind, JobFailed};
use leadline_schemas::settings::Tenant;
use leadline_schemas::{JobId, Millis};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::driver::{Done, Driver, Job, answered, cases, failed};
use crate::inputs::{NOON, event_id, integration, tenant};

/// A tenant in Denver, whose mail gathers.
fn gathering(digest: &str, options: &[(&str, &str)]) -> Tenant {
    let mut tenant = tenant();
    "America/Denver".clone_into(&mut tenant.profile.time_zone);
    let mut mail = integration("mail", "cold");
    "email".clone_into(&mut mail.kind);
    let digest = [("digest", digest)];
    let options = options.iter().chain(&digest);
    mail.options = options.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    tenant.integrations = vec![mail];
    tenant
}

fn subject(lead: u16) -> String {
    format!("lead-{lead}")
}

fn lead_of(subject: &str) -> u16 {
    subject.strip_prefix("lead-").unwrap().parse().unwrap()
}

/// What a job carries: its payload, if it is a digest.
fn work_of(job: &Job) -> (DeliverJob, Value) {
    let work: DeliverJob = serde_json::from_slice(&job.request.payload).unwrap();
    let payload = serde_json::from_str(&work.payload).unwrap();
    (work, payload)
}

struct Scene {
    driver: Driver<Deliveries>,
    events: u64,
    /// Newest revision and score by lead, and whether it was skipped since.
    newest: BTreeMap<u16, (i64, i64, bool)>,
    ledger: BTreeMap<String, Delivery>,
    /// Which message or mail has a lead.
    out: BTreeMap<u16, JobId>,
    replied: BTreeSet<JobId>,
    /// Leads that could not be told once: they are overdue.
    overdue: BTreeSet<u16>,
    /// Digests in order: subject, leads.
    messages: Vec<(String, Vec<u16>)>,
    alerts: usize,
}

impl Scene {
    fn new(tenant: Tenant) -> Self {
        Self {
            driver: Driver::new(tenant, NOON.plus(17 * Millis::MINUTE + 5)),
            events: 0,
            newest: BTreeMap::new(),
            ledger: BTreeMap::new(),
            out: BTreeMap::new(),
            replied: BTreeSet::new(),
            overdue: BTreeSet::new(),
            messages: Vec::new(),
            alerts: 0,
        }
    }

    fn took(&mut self, done: Done<Delivery>) {
        for line in done.out {
            if let Some(lead) =
                self.newest.contains_key(&lead_or(&line.subject)).then(|| lead_or(&line.subject))
            {
                let is_back = self.out.get(&lead).is_some_and(|job| self.replied.contains(job));
                if is_back && line.status != DeliveryStatus::Sending {
                    self.out.remove(&lead);
                }
                if line.tries.last().is_some_and(|one| one.status == DeliveryStatus::Parked) {
                    self.overdue.insert(lead);
                }
                if line.status == DeliveryStatus::Done {
                    self.overdue.remove(&lead);
                }
            }
            self.ledger.insert(line.subject.clone(), line);
        }
        for job in done.jobs {
            self.started(&job);
        }
    }

    fn started(&mut self, job: &Job) {
        let (work, payload) = work_of(job);
        match payload["type"].as_str().unwrap() {
            "missed_call" => self.alerts += 1,
            "lead" => {
                let lead = lead_of(&work.subject);
                assert_eq!(self.out.insert(lead, job.id), None, "in flight twice");
            }
            _ => self.message(job.id, work.subject, &payload),
        }
    }

    fn message(&mut self, id: JobId, subject: String, payload: &Value) {
        let again = self.messages.iter().any(|(known, _)| *known == subject);
        let told = payload["leads"].as_array().unwrap();
        assert!((1..=MESSAGE_LEADS_MAX).contains(&told.len()), "{} leads", told.len());
        let scores: Vec<i64> = told.iter().map(|lead| lead["score"].as_i64().unwrap()).collect();
        assert!(scores.is_sorted_by(|one, other| one >= other), "the best first: {scores:?}");
        let leads: Vec<u16> = told.iter().map(|lead| lead_of(lead["lead_id"].as_str().unwrap())).collect();
        for (lead, score) in leads.iter().zip(&scores) {
            let before = self.out.insert(*lead, id);
            if again {
                assert!(before.is_some_and(|before| self.replied.contains(&before)));
                continue;
            }
            assert_eq!(before, None, "in flight twice, or twice in a digest");
            let (_, newest, skipped) = self.newest[lead];
            assert!(*score == newest && !skipped, "{lead} is told as {score}, not {newest}");
            let step = if self.overdue.contains(lead) { Millis::MINUTE } else { Millis::HOUR };
            assert!(self.driver.now.0 % step < 10, "at no time of a digest: {:?}", self.driver.now);
        }
        self.messages.push((subject, leads));
    }

    fn feed(&mut self, caller: u16, record: DeliveryIn) {
        self.events += 1;
        self.driver.of_caller(caller);
        let done = self.driver.record(event_id(self.events), record).unwrap();
        self.took(done);
    }

    fn queue(&mut self, lead: u16, score: i64) {
        let revision = self.newest.get(&lead).map_or(0, |newest| newest.0) + 1;
        self.newest.insert(lead, (revision, score, false));
        let reasons = ["Budget.", "Soon.", "Near.", "Too much."];
        let payload = json!({"type": "lead", "lead_id": subject(lead), "score": score, "band": "hot", "reasons": reasons});
        self.request(lead, &subject(lead), "lead", revision, &payload);
    }

    fn request(&mut self, caller: u16, subject: &str, kind: &str, revision: i64, payload: &Value) {
        let request = DeliveryRequest {
            integration: "mail".to_owned(),
            subject: subject.to_owned(),
            lead_id: None,
            kind: kind.to_owned(),
            revision,
            payload: payload.to_string(),
        };
        self.feed(caller, DeliveryIn::Request(request));
    }

    fn alert(&mut self, caller: u16) {
        let (before, subject) = (self.alerts, format!("missed:CAL{}", self.events));
        self.request(caller, &subject, "missed_call", 1, &json!({"type": "missed_call"}));
        assert_eq!(self.alerts, before + 1, "an alert never waits in a digest");
    }

    fn by_hand(&mut self, lead: u16, is_skip: bool) {
        let (integration, subject) = ("mail".to_owned(), subject(lead));
        if is_skip {
            let is_done = self.ledger.get(&subject).is_none_or(|line| line.status == DeliveryStatus::Done);
            if let Some(newest) = self.newest.get_mut(&lead).filter(|_| !is_done) {
                newest.2 = true;
            }
            return self.feed(lead, DeliveryIn::Command(Command::SkipDelivery { integration, subject }));
        }
        self.feed(lead, DeliveryIn::Command(Command::RetryDelivery { integration, subject }));
    }

    fn reply(&mut self, job: JobId, answer: Result<Answered, JobFailed>) {
        self.replied.insert(job);
        let done = self.driver.reply(job, answer).unwrap().unwrap();
        self.took(done);
    }

    /// Timer by timer, so that what one has started is seen at its time.
    fn advance(&mut self, by_ms: i64) {
        let until = self.driver.now.plus(by_ms);
        while let Some((at, _)) = self.driver.next_timer().filter(|(at, _)| *at <= until) {
            for done in self.driver.advance(at.since(self.driver.now).max(0)) {
                self.took(done);
            }
        }
        self.driver.advance(until.since(self.driver.now));
        let late = |line: &&Delivery| line.held_until != Millis(0) && line.held_until <= self.driver.now;
        assert_eq!(self.ledger.values().find(late), None, "what waits is sent at its time");
    }

    fn line(&self, lead: u16) -> (DeliveryStatus, String) {
        let line = &self.ledger[&subject(lead)];
        (line.status, line.reason.clone().unwrap_or_default())
    }

    /// The other side takes everything.
    fn drain(&mut self) {
        for _ in 0..30 {
            self.advance(Millis::HOUR);
            for job in self.driver.pending() {
                self.reply(job.id, answered("{}"));
            }
        }
    }
}

/// The lead of a subject; what is none has a number that no lead has.
fn lead_or(subject: &str) -> u16 {
    subject.strip_prefix("lead-").and_then(|lead| lead.parse().ok()).unwrap_or(u16::MAX)
}

#[derive(Clone, Debug)]
enum Step {
    Queue(u16, i64),
    Alert(u16),
    Skip(u16),
    Retry(u16),
    Reply(usize, Option<FailureKind>),
    Advance(i64),
}

fn any_step() -> impl Strategy<Value = Step> {
    use FailureKind::{Exhausted, NotConfigured, Rejected, Unclear};
    let failure = prop::sample::select(vec![Exhausted, Exhausted, Rejected, Unclear, NotConfigured]);
    prop_oneof![
        5 => (0..4_u16, 0..4_i64).prop_map(|(lead, score)| Step::Queue(lead, score)),
        1 => (0..4_u16).prop_map(Step::Alert),
        1 => (0..4_u16).prop_map(Step::Skip),
        1 => (0..4_u16).prop_map(Step::Retry),
        4 => (any::<usize>(), prop::option::weighted(0.5, failure))
            .prop_map(|(job, failure)| Step::Reply(job, failure)),
        4 => (1..3 * Millis::HOUR).prop_map(Step::Advance),
    ]
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn each_lead_is_told_once_in_its_newest_form_at_the_digests_time(
        steps in prop::collection::vec(any_step(), 1..50), again in any::<bool>(),
    ) {
        let options: &[(&str, &str)] = if again { &[("unclear", "again")] } else { &[] };
        let mut scene = Scene::new(gathering("hourly", options));
        for step in steps {
            match step {
                Step::Queue(lead, score) => scene.queue(lead, score),
                Step::Alert(caller) => scene.alert(caller),
                Step::Skip(lead) => scene.by_hand(lead, true),
                Step::Retry(lead) if scene.newest.get(&lead).is_some_and(|newest| !newest.2) => scene.by_hand(lead, false),
                Step::Retry(_) => {}
                Step::Reply(which, failure) => {
                    let jobs = scene.driver.pending();
                    if let Some(job) = jobs.get(which % jobs.len().max(1)) {
                        scene.reply(job.id, failure.map_or_else(|| answered("{}"), failed));
                    }
                }
                Step::Advance(by_ms) => scene.advance(by_ms),
            }
        }
        for lead in 0..4 {
            scene.queue(lead, 50 + i64::from(lead));
        }
        scene.drain();
        for lead in 0..4 {
            prop_assert_eq!(scene.line(lead).0, DeliveryStatus::Done);
            prop_assert_eq!(scene.ledger[&subject(lead)].revision, scene.newest[&lead].0);
        }
        prop_assert_eq!((scene.driver.next_timer(), scene.driver.rows(&WAITING)), (None, 0));
        prop_assert_eq!(scene.driver.rows(&LINES), scene.ledger.len(), "rows of jobs do not outlive their answers");
    }
}

#[test]
fn a_digest_is_one_message_the_best_first_and_the_ledger_has_a_line_for_each_lead() {
    let mut scene = Scene::new(gathering("hourly", &[]));
    scene.queue(1, 40);
    scene.queue(2, 92);
    scene.queue(1, 65);
    scene.alert(3);
    scene.request(1, &escalated("lead-1"), "lead", 1, &json!({"type": "missed_call"}));
    assert_eq!(scene.alerts, 2, "what nobody has reacted to never waits in a digest");
    assert_eq!(scene.line(1), (DeliveryStatus::Queued, "in the digest of 06:00".to_owned()));
    scene.advance(NOON.plus(Millis::HOUR).since(scene.driver.now));
    let job = scene.driver.pending().into_iter().find(|job| work_of(job).1["type"] == "digest").unwrap();
    let (work, payload) = work_of(&job);
    assert_eq!(scene.messages, [("digest:2026-03-04T13:00:00.000Z:1".to_owned(), vec![2, 1])]);
    assert_eq!(
        (work.subject.as_str(), &payload["clock"]),
        ("digest:2026-03-04T13:00:00.000Z:1", &json!("06:00"))
    );
    assert_eq!(payload["leads"][0]["reasons"], json!(["Budget.", "Soon.", "Near."]), "not all that is known");
    scene.reply(job.id, answered("{}"));
    scene.advance(10 * Millis::SECOND);
    for lead in [1, 2] {
        assert_eq!(scene.line(lead), (DeliveryStatus::Done, "in the digest of 06:00".to_owned()));
    }
    scene.advance(5 * Millis::HOUR);
    assert_eq!(scene.messages.len(), 1, "where nothing is new, nothing is sent");
    // The next one tells that it was told before; a lead that is skipped is in none.
    scene.queue(1, 70);
    scene.queue(2, 10);
    scene.by_hand(2, true);
    scene.advance(Millis::HOUR);
    let job = scene.driver.pending().into_iter().find(|job| work_of(job).1["type"] == "digest").unwrap();
    let payload = work_of(&job).1;
    assert_eq!(
        (payload["leads"].as_array().unwrap().len(), &payload["leads"][0]["told_before"]),
        (1, &json!(true))
    );
}

#[test]
fn a_message_has_50_leads_at_most_and_the_rest_is_in_the_next() {
    let mut scene = Scene::new(gathering("hourly", &[]));
    let leads = u16::try_from(DIGEST_LEADS_MAX).unwrap() + 1;
    for lead in 0..leads {
        scene.queue(lead, i64::from(lead % 101));
    }
    scene.advance(Millis::HOUR);
    let sizes: Vec<usize> = scene.messages.iter().map(|(_, leads)| leads.len()).collect();
    assert_eq!(sizes, [vec![MESSAGE_LEADS_MAX; 10], vec![1]].concat());
    let subjects: BTreeSet<&String> = scene.messages.iter().map(|(subject, _)| subject).collect();
    assert_eq!(subjects.len(), 11, "each has an id of its own");
    let firsts: Vec<u16> = scene.messages[..10].iter().map(|(_, leads)| leads[0] % 101).collect();
    assert!(firsts.is_sorted_by(|one, other| one >= other), "the best are in the first: {firsts:?}");
}

/// The most that one digest can come twice by itself, and then under the same id.
#[test]
fn a_digest_that_may_have_arrived_is_sent_once_more_as_the_same_message_where_the_tenant_wants_it() {
    for (options, sent) in [(&[][..], 1), (&[("unclear", "again")][..], 2)] {
        let mut scene = Scene::new(gathering("hourly", options));
        scene.queue(1, 40);
        scene.queue(2, 50);
        scene.advance(Millis::HOUR);
        let mut works = Vec::new();
        while let Some(job) = scene.driver.pending().pop() {
            works.push((work_of(&job).0.subject, work_of(&job).1));
            scene.reply(job.id, failed(FailureKind::Unclear));
            scene.advance(Millis::HOUR);
        }
        assert_eq!(works.len(), sent);
        assert!(works.windows(2).all(|two| two[0] == two[1]), "{works:?}");
        assert_eq!((scene.line(1).0, scene.line(2).0), (DeliveryStatus::Unclear, DeliveryStatus::Unclear));
    }
}

#[test]
fn a_digest_that_did_not_arrive_is_tried_again_as_one_message_and_who_asks_by_hand_waits_for_none() {
    let mut scene = Scene::new(gathering("daily 07:30", &[]));
    scene.queue(1, 40);
    scene.queue(2, 50);
    scene.queue(3, 60);
    scene.by_hand(3, false);
    assert_eq!(scene.line(3).0, DeliveryStatus::Sending, "a person who asks for one does not wait");
    let due = NOON.plus(2 * Millis::HOUR + 30 * Millis::MINUTE);
    assert_eq!(scene.ledger["lead-1"].held_until, due, "07:30 in Denver");
    scene.overdue = (1..=2).collect();
    scene.advance(due.since(scene.driver.now));
    let digest =
        |scene: &Scene| scene.driver.pending().into_iter().find(|job| work_of(job).1["type"] == "digest");
    for pause_ms in LATER_MS.iter().take(3) {
        scene.reply(digest(&scene).unwrap().id, failed(FailureKind::Exhausted));
        // At most as long as a line takes to look again.
        let looks = (0..60).take_while(|_| {
            scene.advance(5 * Millis::SECOND);
            scene.line(1).0 == DeliveryStatus::Sending
        });
        assert!(looks.count() < 60 && scene.line(1).0 == DeliveryStatus::Queued);
        scene.advance(pause_ms + Millis::MINUTE);
        assert!(digest(&scene).is_some(), "gathered for a minute and sent");
    }
    let leads: Vec<&[u16]> = scene.messages.iter().map(|(_, leads)| leads.as_slice()).collect();
    assert_eq!(leads, [[2, 1]; 4], "together again, each time");
}

#[test]
fn a_digest_keeps_the_tenants_clock_its_quiet_hours_and_what_becomes_of_its_integration() {
    // Saturday 22:00 in Denver; on Sunday clocks go forward.
    let saturday = Millis(1_772_960_400_000 - 4 * Millis::HOUR);
    let mut quiet = gathering("daily 07:30", &[]);
    (quiet.integrations[0].quiet_from_min, quiet.integrations[0].quiet_to_min) =
        (Some(21 * 60), Some(8 * 60));
    for (tenant, hours, clock) in [
        (gathering("daily 07:30", &[]), 17, "07:30"),
        (quiet, 18, "08:00"),
        (gathering("daily 22:00", &[]), 46, "22:00"),
    ] {
        let mut scene = Scene::new(tenant);
        scene.driver.now = saturday;
        scene.queue(1, 40);
        let line = &scene.ledger["lead-1"];
        assert_eq!(line.held_until.since(saturday), hours * 30 * Millis::MINUTE, "{clock}");
        assert_eq!(line.reason.clone().unwrap(), format!("in the digest of {clock}"));
    }
    // Whoever wants each lead at once from now on gets what was gathered as it was; who wants none, none.
    for (switched_off, status) in [(false, DeliveryStatus::Sending), (true, DeliveryStatus::Skipped)] {
        let mut scene = Scene::new(gathering("hourly", &[]));
        (1..=3).for_each(|lead| scene.queue(lead, 40));
        let mut tenant = gathering("hourly", &[]);
        tenant.integrations[0].options.clear();
        tenant.integrations[0].disabled = switched_off;
        scene.driver.set_tenant(tenant);
        scene.advance(Millis::HOUR);
        assert!((1..=3).all(|lead| scene.line(lead).0 == status));
        assert_eq!(scene.messages.len(), usize::from(!switched_off));
        scene.queue(4, 50);
        assert_eq!(scene.line(4).0, status, "the next is not gathered");
    }
}
