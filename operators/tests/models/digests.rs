//! deliveries: leads that are gathered are told of in one message at its time, each once and in its newest form.

use std::collections::{BTreeMap, BTreeSet};

use leadline_operators::deliveries::digest::{MESSAGE_LEADS_MAX, WAITING};
use leadline_operators::deliveries::{DeliverJob, Deliveries, DeliveryIn, DeliveryRequest, LINES};
use leadline_schemas::command::Command;
use leadline_schemas::delivery::{Delivery, DeliveryStatus};
use leadline_schemas::reply::{Answered, FailureKind, JobFailed};
use leadline_schemas::settings::Tenant;
use leadline_schemas::{JobId, Millis};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::driver::{Done, Driver, Job, answered, cases, failed};
use crate::inputs::{NOON, event_id, integration, tenant};

/// A tenant in Denver, whose mail gathers.
pub(crate) fn gathering(digest: &str, options: &[(&str, &str)]) -> Tenant {
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
pub(crate) fn work_of(job: &Job) -> (DeliverJob, Value) {
    let work: DeliverJob = serde_json::from_slice(&job.request.payload).unwrap();
    let payload = serde_json::from_str(&work.payload).unwrap();
    (work, payload)
}

pub(crate) struct Scene {
    pub(crate) driver: Driver<Deliveries>,
    pub(crate) events: u64,
    /// Newest revision and score by lead, and whether it was skipped since.
    pub(crate) newest: BTreeMap<u16, (i64, i64, bool)>,
    pub(crate) ledger: BTreeMap<String, Delivery>,
    /// Which message or mail has a lead.
    pub(crate) out: BTreeMap<u16, JobId>,
    pub(crate) replied: BTreeSet<JobId>,
    /// Leads that could not be told once: they are overdue.
    pub(crate) overdue: BTreeSet<u16>,
    /// Digests in order: subject, leads.
    pub(crate) messages: Vec<(String, Vec<u16>)>,
    pub(crate) alerts: usize,
}

impl Scene {
    pub(crate) fn new(tenant: Tenant) -> Self {
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

    pub(crate) fn queue(&mut self, lead: u16, score: i64) {
        let revision = self.newest.get(&lead).map_or(0, |newest| newest.0) + 1;
        self.newest.insert(lead, (revision, score, false));
        let reasons = ["Budget.", "Soon.", "Near.", "Too much."];
        let payload = json!({"type": "lead", "lead_id": subject(lead), "score": score, "band": "hot", "reasons": reasons});
        self.request(lead, &subject(lead), "lead", revision, &payload);
    }

    pub(crate) fn request(&mut self, caller: u16, subject: &str, kind: &str, revision: i64, payload: &Value) {
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

    pub(crate) fn alert(&mut self, caller: u16) {
        let (before, subject) = (self.alerts, format!("missed:CAL{}", self.events));
        self.request(caller, &subject, "missed_call", 1, &json!({"type": "missed_call"}));
        assert_eq!(self.alerts, before + 1, "an alert never waits in a digest");
    }

    pub(crate) fn by_hand(&mut self, lead: u16, is_skip: bool) {
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

    pub(crate) fn reply(&mut self, job: JobId, answer: Result<Answered, JobFailed>) {
        self.replied.insert(job);
        let done = self.driver.reply(job, answer).unwrap().unwrap();
        self.took(done);
    }

    /// Timer by timer, so that what one has started is seen at its time.
    pub(crate) fn advance(&mut self, by_ms: i64) {
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

    pub(crate) fn line(&self, lead: u16) -> (DeliveryStatus, String) {
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
