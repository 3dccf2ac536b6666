//! deliveries: one in flight per key, in order, the newest revision wins, and the ledger says what is true.

use std::collections::BTreeMap;

use leadline_operators::deliveries::{DeliverJob, Deliveries, DeliveryIn, DeliveryRequest};
use leadline_schemas::JobId;
use leadline_schemas::command::Command;
use leadline_schemas::delivery::{Delivery, DeliveryStatus};
use leadline_schemas::reply::FailureKind;
use leadline_schemas::settings::Tenant;
use proptest::prelude::*;

use crate::driver::{Done, Driver, Job, answered, cases, failed};
use crate::inputs::{NOON, event_id, integration, tenant};

const INTEGRATIONS: [&str; 2] = ["crm", "slack"];
const SUBJECTS: [&str; 2] = ["lead-1", "missed:CAL1"];

#[derive(Clone, Copy, Debug)]
enum Answer {
    Arrived { remote: Option<u8> },
    Unreadable,
    Failed(FailureKind),
}

#[derive(Clone, Debug)]
enum Step {
    /// `ahead`: how far the revision is ahead of the newest; 0 and less are old news. Few payloads, so that some are
    /// what the other side has already.
    Queue {
        key: usize,
        ahead: i64,
        payload: u8,
    },
    Reply {
        pending: usize,
        answer: Answer,
    },
    /// A reply that came before.
    Again {
        answered: usize,
        answer: Answer,
    },
    Retry {
        key: usize,
    },
    Skip {
        key: usize,
    },
    /// An integration is switched off, taken away, or there again.
    Switch {
        integration: usize,
        there: bool,
        disabled: bool,
    },
}

fn any_answer() -> impl Strategy<Value = Answer> {
    use FailureKind::{Exhausted, NotConfigured, Rejected, Unclear};
    prop_oneof![
        4 => prop::option::of(0..3_u8).prop_map(|remote| Answer::Arrived { remote }),
        1 => Just(Answer::Unreadable),
        3 => prop::sample::select(vec![Rejected, Exhausted, Unclear, NotConfigured]).prop_map(Answer::Failed),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4_usize, -1..3_i64, 0..3_u8).prop_map(|(key, ahead, payload)| Step::Queue { key, ahead, payload }),
        6 => (any::<usize>(), any_answer()).prop_map(|(pending, answer)| Step::Reply { pending, answer }),
        1 => (any::<usize>(), any_answer()).prop_map(|(answered, answer)| Step::Again { answered, answer }),
        1 => (0..4_usize).prop_map(|key| Step::Retry { key }),
        1 => (0..4_usize).prop_map(|key| Step::Skip { key }),
        1 => (0..2_usize, any::<bool>(), any::<bool>())
            .prop_map(|(integration, there, disabled)| Step::Switch { integration, there, disabled }),
    ]
}

/// What the ledger should say of one key.
#[derive(Debug, Default)]
struct Line {
    revision: i64,
    payload: String,
    status: Option<DeliveryStatus>,
    in_flight: Option<JobId>,
    waiting: Option<(i64, String)>,
    other_side_has: Option<String>,
    remote: Option<String>,
}

struct Model {
    driver: Driver<Deliveries>,
    tenant: Tenant,
    lines: BTreeMap<usize, Line>,
    ledger: BTreeMap<usize, Delivery>,
    newest: [i64; 4],
    answered: Vec<JobId>,
    events: u64,
}

fn names(key: usize) -> (&'static str, &'static str) {
    (INTEGRATIONS[key / 2], SUBJECTS[key % 2])
}

fn key_of(integration: &str, subject: &str) -> usize {
    (0..4).find(|key| names(*key) == (integration, subject)).expect("a key of ours")
}

fn key_of_job(job: &Job) -> usize {
    let work: DeliverJob = serde_json::from_slice(&job.request.payload).unwrap();
    key_of(&job.request.target, &work.subject)
}

impl Model {
    fn new() -> Self {
        let mut tenant = tenant();
        tenant.integrations = INTEGRATIONS.map(|id| integration(id, "cold")).to_vec();
        let driver = Driver::new(tenant.clone(), NOON);
        let (lines, ledger, answered) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        Self { driver, tenant, lines, ledger, newest: [2; 4], answered, events: 0 }
    }

    fn step(&mut self, step: &Step) {
        self.driver.advance(1_000);
        match step {
            Step::Queue { key, ahead, payload } => self.queue(*key, *ahead, *payload),
            Step::Reply { pending, answer } => {
                let jobs = self.driver.pending();
                if let Some(job) = jobs.get(*pending % jobs.len().max(1)) {
                    self.reply(job, *answer);
                }
            }
            Step::Again { answered, answer } => {
                if let Some(job_id) = self.answered.get(*answered % self.answered.len().max(1)) {
                    assert!(self.driver.reply(*job_id, answer_of(*answer)).is_none(), "a job ends once");
                }
            }
            Step::Retry { key } => self.retry(*key),
            Step::Skip { key } => self.skip(*key),
            Step::Switch { integration, there, disabled } => self.switch(*integration, *there, *disabled),
        }
        self.check();
    }

    fn feed(&mut self, key: usize, record: DeliveryIn) {
        self.events += 1;
        let done = self.driver.record(event_id(self.events), record).unwrap();
        self.took_effect(key, done);
    }

    /// What an input did: lines of its own key only, and the job of a line that is sent.
    fn took_effect(&mut self, key: usize, done: Done<Delivery>) {
        for line in done.out {
            assert_eq!(key_of(&line.integration, &line.subject), key, "another key's line was touched");
            self.ledger.insert(key, line);
        }
        for job in done.jobs {
            assert_eq!(key_of_job(&job), key);
            let line = self.lines.get_mut(&key).expect("nothing is sent that was not queued");
            assert_eq!(line.in_flight, None, "two of one key in flight");
            let work: DeliverJob = serde_json::from_slice(&job.request.payload).unwrap();
            assert_eq!(work.payload, line.payload);
            assert_eq!(work.remote_id, line.remote);
            assert_eq!(job.request.revision, line.revision);
            assert_eq!(line.status, Some(DeliveryStatus::Sending), "the model does not send this");
            line.in_flight = Some(job.id);
        }
    }

    fn queue(&mut self, key: usize, ahead: i64, payload: u8) {
        let revision = self.newest[key] + ahead;
        self.newest[key] = self.newest[key].max(revision);
        let payload = format!("{{\"payload\":{payload}}}");
        let line = self.lines.entry(key).or_default();
        let newest = line.waiting.as_ref().map_or(line.revision, |(waiting, _)| line.revision.max(*waiting));
        if revision > newest {
            line.waiting = Some((revision, payload.clone()));
        }
        self.send_next(key);
        let (integration, subject) = names(key);
        let request = DeliveryRequest {
            integration: integration.to_owned(),
            subject: subject.to_owned(),
            lead_id: None,
            kind: "lead".to_owned(),
            revision,
            payload,
        };
        self.feed(key, DeliveryIn::Request(request));
    }

    fn send_next(&mut self, key: usize) {
        let integration = self.tenant.integration(names(key).0);
        let there = integration.is_some_and(|integration| !integration.disabled);
        let line = self.lines.entry(key).or_default();
        if line.in_flight.is_some() {
            return;
        }
        let Some((revision, payload)) = line.waiting.take() else { return };
        (line.revision, line.payload) = (revision, payload);
        line.status = Some(match () {
            () if !there => DeliveryStatus::Skipped,
            () if line.other_side_has.as_ref() == Some(&line.payload) => DeliveryStatus::Done,
            () => DeliveryStatus::Sending,
        });
    }

    fn reply(&mut self, job: &Job, answer: Answer) {
        let key = key_of_job(job);
        let line = self.lines.get_mut(&key).unwrap();
        line.in_flight = None;
        let skipped = line.status == Some(DeliveryStatus::Skipped);
        if let Answer::Failed(FailureKind::Unclear | FailureKind::Exhausted) = answer {
            line.other_side_has = None; // It may have arrived all the same.
        }
        match answer {
            Answer::Arrived { .. } | Answer::Unreadable => {
                // Whoever skipped it came too late.
                line.status = Some(DeliveryStatus::Done);
                line.other_side_has = Some(line.payload.clone());
                if let Answer::Arrived { remote: Some(remote) } = answer {
                    line.remote = Some(format!("R{remote}"));
                }
            }
            Answer::Failed(_) if skipped => {}
            Answer::Failed(FailureKind::Unclear) => line.status = Some(DeliveryStatus::Unclear),
            Answer::Failed(FailureKind::NotConfigured) => line.status = Some(DeliveryStatus::Skipped),
            Answer::Failed(_) => line.status = Some(DeliveryStatus::Parked),
        }
        self.send_next(key);
        self.answered.push(job.id);
        let done = self.driver.reply(job.id, answer_of(answer)).expect("it was pending").unwrap();
        self.took_effect(key, done);
    }

    fn retry(&mut self, key: usize) {
        if let Some(line) = self.lines.get_mut(&key).filter(|line| line.status.is_some()) {
            if line.in_flight.is_some() {
                // It is under way after all.
                line.status = Some(DeliveryStatus::Sending);
            } else {
                line.waiting = Some((line.revision, line.payload.clone()));
                line.other_side_has = None;
                self.send_next(key);
            }
        }
        let (integration, subject) = (names(key).0.to_owned(), names(key).1.to_owned());
        self.feed(key, DeliveryIn::Command(Command::RetryDelivery { integration, subject }));
    }

    fn skip(&mut self, key: usize) {
        if let Some(line) = self.lines.get_mut(&key)
            && line.status.is_some_and(|status| status != DeliveryStatus::Done)
        {
            line.status = Some(DeliveryStatus::Skipped);
            line.waiting = None;
        }
        let (integration, subject) = (names(key).0.to_owned(), names(key).1.to_owned());
        self.feed(key, DeliveryIn::Command(Command::SkipDelivery { integration, subject }));
    }

    fn switch(&mut self, which: usize, there: bool, disabled: bool) {
        let id = INTEGRATIONS[which];
        self.tenant.integrations.retain(|integration| integration.id != id);
        if there {
            let mut integration = integration(id, "cold");
            integration.disabled = disabled;
            self.tenant.integrations.push(integration);
        }
        self.driver.set_tenant(self.tenant.clone());
    }

    fn check(&self) {
        let mut in_flight = BTreeMap::new();
        for job in self.driver.pending() {
            let before = in_flight.insert(key_of_job(&job), job.id);
            assert_eq!(before, None, "two of one key in flight");
        }
        for (key, line) in &self.lines {
            assert_eq!(in_flight.get(key), line.in_flight.as_ref(), "{key}: {line:?}");
            let written = self.ledger.get(key);
            let written = written.map(|written| (written.status, written.revision, &written.payload));
            let wanted = line.status.map(|status| (status, line.revision, &line.payload));
            assert_eq!(written, wanted, "the ledger of {:?} is not what it should be", names(*key));
        }
    }

    /// The other sides answer, everything is there again, and nobody interferes.
    fn settle(&mut self) {
        for which in 0..INTEGRATIONS.len() {
            self.switch(which, true, false);
        }
        for _ in 0..10 {
            for job in self.driver.pending() {
                self.reply(&job, Answer::Arrived { remote: None });
                self.check();
            }
        }
        assert!(self.driver.pending().is_empty(), "a key sends for ever");
    }
}

/// What is told of a company's connection goes to everybody who wants alerts, once, and again when it changes.
#[test]
fn a_notice_goes_to_those_who_want_alerts_and_says_the_same_only_once() {
    let mut tenant = tenant();
    let mut silent = integration("crm", "cold");
    silent.alerts = false;
    let mut off = integration("pager", "cold");
    off.disabled = true;
    tenant.integrations = vec![silent, off, integration("slack", "cold")];
    let mut driver = Driver::<Deliveries>::new(tenant, NOON);
    let mut event = 0;
    let mut notice = |driver: &mut Driver<Deliveries>, text: &str| {
        event += 1;
        let command = Command::Notice {
            subject: "callrail:COM1".to_owned(),
            at: NOON.plus(event as i64),
            is_trouble: true,
            text: text.to_owned(),
        };
        driver.record(event_id(event), DeliveryIn::Command(command)).unwrap();
        let jobs = driver.pending();
        for job in &jobs {
            driver.reply(job.id, answered("{}")).unwrap().unwrap();
        }
        jobs.iter().map(|job| job.request.target.clone()).collect::<Vec<_>>()
    };
    assert_eq!(notice(&mut driver, "it is failed"), ["slack"]);
    assert_eq!(notice(&mut driver, "it is failed"), [""; 0], "found again after a restart");
    assert_eq!(notice(&mut driver, "it is disabled"), ["slack"]);
}

fn answer_of(
    answer: Answer,
) -> Result<leadline_schemas::reply::Answered, leadline_schemas::reply::JobFailed> {
    match answer {
        Answer::Arrived { remote } => {
            answered(serde_json::json!({ "remote_id": remote.map(|id| format!("R{id}")) }).to_string())
        }
        Answer::Unreadable => answered("<html>"),
        Answer::Failed(kind) => failed(kind),
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn one_is_in_flight_per_key_in_order_and_the_newest_revision_wins(
        steps in prop::collection::vec(any_step(), 1..60)
    ) {
        let mut model = Model::new();
        for step in &steps {
            model.step(step);
        }
        model.settle();
        // Rows of jobs do not outlive their answers: one row is left per key.
        let keys = model.lines.values().filter(|line| line.status.is_some()).count();
        prop_assert_eq!(model.driver.rows(&leadline_operators::deliveries::LINES), keys);
    }
}
