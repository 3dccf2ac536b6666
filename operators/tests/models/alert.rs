//! alert: a missed call is told of once, an answered one never, and nobody waits for a transcript.

use leadline_operators::alert::{Alert, AlertOut, RINGING};
use leadline_schemas::event::Direction;
use leadline_schemas::inbound::EventKind;
use leadline_schemas::missed::{GetCallJob, GotCall};
use leadline_schemas::reply::FailureKind;
use leadline_schemas::{JobId, Millis};
use proptest::prelude::*;

use crate::driver::{Done, Driver, answered, cases, failed};
use crate::inputs::{NOON, call_contact, call_event, integration, tenant};

const CALLS: [&str; 2] = ["CAL1", "CAL2"];
/// The tenant's patience in these tests, in ms.
const TIMER_MS: i64 = 30_000;
/// How long alert waits before it asks again about a call that goes on.
const AGAIN_MS: i64 = 60_000;

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Answered,
    Missed,
    Abandoned,
    Voicemail,
    Outbound,
    /// An edit while people still talk; it says "answered: false" like every payload before the end.
    StillTalking,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Answered,
    Missed,
    Voicemail,
    InProgress,
    Unreadable,
    Failed(FailureKind),
}

#[derive(Clone, Debug)]
enum Step {
    Ring { call: usize, routed: bool },
    End { call: usize, end: End, modified: bool, backfill: bool },
    Wait { ms: i64 },
    Reply { pending: usize, answer: Answer },
    Again { answered: usize },
}

fn any_step() -> impl Strategy<Value = Step> {
    let end = prop::sample::select(vec![
        End::Answered,
        End::Missed,
        End::Abandoned,
        End::Voicemail,
        End::Outbound,
        End::StillTalking,
    ]);
    let answer = prop::sample::select(vec![
        Answer::Answered,
        Answer::Missed,
        Answer::Voicemail,
        Answer::InProgress,
        Answer::InProgress,
        Answer::Unreadable,
        Answer::Failed(FailureKind::NotConfigured),
        Answer::Failed(FailureKind::Exhausted),
    ]);
    prop_oneof![
        4 => (0..2_usize, any::<bool>()).prop_map(|(call, routed)| Step::Ring { call, routed }),
        2 => (0..2_usize, end, any::<bool>(), prop::bool::weighted(0.1))
            .prop_map(|(call, end, modified, backfill)| Step::End { call, end, modified, backfill }),
        4 => prop::sample::select(vec![1, 29_999, 30_000, 60_000, 100_000]).prop_map(|ms| Step::Wait { ms }),
        4 => (any::<usize>(), answer).prop_map(|(pending, answer)| Step::Reply { pending, answer }),
        1 => any::<usize>().prop_map(|answered| Step::Again { answered }),
    ]
}

/// What leadline knows of a call.
#[derive(Clone, Copy, Debug, Default)]
struct Call {
    known: bool,
    settled: bool,
    asks_at: Option<Millis>,
    asked: usize,
    told: usize,
}

struct Model {
    driver: Driver<Alert>,
    calls: [Call; 2],
    answered: Vec<JobId>,
    payloads: u64,
}

impl Model {
    fn new() -> Self {
        let mut tenant = tenant();
        tenant.policy.missed_call_timer_s = i32::try_from(TIMER_MS / 1_000).unwrap();
        let mut quiet = integration("quiet", "cold");
        quiet.alerts = false;
        let mut off = integration("off", "cold");
        off.disabled = true;
        tenant.integrations = vec![integration("slack", "cold"), quiet, off];
        Self {
            driver: Driver::new(tenant, NOON),
            calls: [Call::default(); 2],
            answered: Vec::new(),
            payloads: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Ring { call, routed } => self.ring(*call, *routed),
            Step::End { call, end, modified, backfill } => self.end(*call, *end, *modified, *backfill),
            Step::Wait { ms } => self.wait(*ms),
            Step::Reply { pending, answer } => self.reply(*pending, *answer),
            Step::Again { answered } => {
                if let Some(job_id) = self.answered.get(*answered % self.answered.len().max(1)) {
                    assert!(self.driver.reply(*job_id, failed(FailureKind::Exhausted)).is_none());
                }
            }
        }
    }

    /// Feeds a payload of a call; `told` says whether the model tells people now.
    fn feed(&mut self, call: usize, kind: EventKind, end: Option<End>, backfill: bool, told: bool) {
        let mut event = call_event(CALLS[call]);
        event.kind = kind;
        event.answered = Some(end == Some(End::Answered));
        event.voicemail = Some(end == Some(End::Voicemail));
        event.direction =
            Some(if end == Some(End::Outbound) { Direction::Outbound } else { Direction::Inbound });
        event.call_type = Some(
            match end {
                Some(End::StillTalking) => "in_progress",
                Some(End::Abandoned) => "abandoned",
                Some(End::Answered) => "answered",
                _ => "missed",
            }
            .to_owned(),
        );
        if end == Some(End::Abandoned) {
            event.answered = None;
        }
        self.payloads += 1;
        let mut contact = call_contact(self.payloads, event);
        contact.backfill = backfill;
        let event_id = contact.event_id;
        let done = self.driver.record(event_id, contact).unwrap();
        self.check(call, &done, told);
        assert!(done.jobs.is_empty(), "only a timer asks");
    }

    fn check(&mut self, call: usize, done: &Done<AlertOut>, told: bool) {
        let state = &mut self.calls[call];
        if told {
            state.told += 1;
            state.settled = true;
            state.asks_at = None;
        }
        assert_eq!(done.out.len(), usize::from(told), "{:?} told {told}", done.out);
        for AlertOut::Delivery(request) in &done.out {
            assert_eq!((request.integration.as_str(), request.kind.as_str()), ("slack", "missed_call"));
            assert_eq!(request.subject, format!("missed:{}", CALLS[call]));
        }
        assert!(self.calls[call].told <= 1, "told of twice");
        let next = self.driver.next_timer().map(|(at, _)| at);
        assert_eq!(next, self.calls.iter().filter_map(|call| call.asks_at).min());
    }

    fn ring(&mut self, call: usize, routed: bool) {
        let state = &mut self.calls[call];
        if !state.known {
            state.known = true;
            state.asks_at = Some(self.driver.now.plus(TIMER_MS));
        }
        let kind = if routed { EventKind::CallRoutingComplete } else { EventKind::PreCall };
        self.feed(call, kind, None, false, false);
    }

    fn end(&mut self, call: usize, end: End, modified: bool, backfill: bool) {
        let state = &mut self.calls[call];
        let counts = !backfill && !matches!(end, End::Outbound | End::StillTalking);
        let told = counts && !state.settled && matches!(end, End::Missed | End::Abandoned);
        if counts {
            *state = Call { known: true, settled: true, asks_at: None, ..*state };
        }
        let kind = if modified { EventKind::CallModified } else { EventKind::PostCall };
        self.feed(call, kind, Some(end), backfill, told);
    }

    fn wait(&mut self, ms: i64) {
        let until = self.driver.now.plus(ms);
        let mut due: Vec<(Millis, usize)> = Vec::new();
        for (call, state) in self.calls.iter_mut().enumerate() {
            if let Some(at) = state.asks_at.filter(|at| *at <= until) {
                due.push((at, call));
                state.asks_at = None;
                state.asked += 1;
            }
        }
        due.sort();
        let fired = self.driver.advance(ms);
        let asked: Vec<String> = fired
            .iter()
            .map(|done| {
                assert!(done.out.is_empty());
                let [job] = done.jobs.as_slice() else { panic!("a timer asks once: {:?}", done.jobs) };
                serde_json::from_slice::<GetCallJob>(&job.request.payload).unwrap().call_id
            })
            .collect();
        let mut wanted: Vec<&str> = due.iter().map(|(_, call)| CALLS[*call]).collect();
        // Timers of the same moment fire in the order of their names.
        wanted
            .sort_by_key(|call| (due.iter().find(|(_, due)| CALLS[*due] == *call).map(|(at, _)| *at), *call));
        assert_eq!(asked, wanted);
    }

    fn reply(&mut self, pending: usize, answer: Answer) {
        let jobs = self.driver.pending();
        let Some(job) = jobs.get(pending % jobs.len().max(1)) else { return };
        let work: GetCallJob = serde_json::from_slice(&job.request.payload).unwrap();
        let call = CALLS.iter().position(|id| *id == work.call_id).unwrap();
        let state = &mut self.calls[call];
        let mut told = false;
        if !state.settled {
            match answer {
                Answer::InProgress => state.asks_at = Some(self.driver.now.plus(AGAIN_MS)),
                Answer::Answered | Answer::Voicemail => state.settled = true,
                Answer::Missed | Answer::Unreadable | Answer::Failed(_) => told = true,
            }
        }
        let got = |answered, voicemail, call_type: &str| {
            let got = GotCall { answered: Some(answered), voicemail, call_type: Some(call_type.to_owned()) };
            answered_with(&got)
        };
        let reply = match answer {
            Answer::Answered => got(true, false, "answered"),
            Answer::Missed => got(false, false, "missed"),
            Answer::Voicemail => got(false, true, "voicemail"),
            Answer::InProgress => got(false, false, "in_progress"),
            Answer::Unreadable => answered("{"),
            Answer::Failed(kind) => failed(kind),
        };
        self.answered.push(job.id);
        let done = self.driver.reply(job.id, reply).expect("it was pending").unwrap();
        assert!(done.jobs.is_empty());
        self.check(call, &done, told);
    }
}

fn answered_with(
    got: &GotCall,
) -> Result<leadline_schemas::reply::Answered, leadline_schemas::reply::JobFailed> {
    answered(serde_json::to_vec(got).unwrap())
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn a_missed_call_is_told_of_once_and_an_answered_one_never(steps in prop::collection::vec(any_step(), 1..60)) {
        let mut model = Model::new();
        for step in &steps {
            model.step(step);
        }
        let known = model.calls.iter().filter(|call| call.known).count();
        prop_assert_eq!(model.driver.rows(&RINGING), known + model.driver.pending().len());
    }
}

/// An hour of talk is no missed call, and no reason to ask for ever.
#[test]
fn a_call_that_goes_on_is_asked_about_at_most_60_times() {
    let mut model = Model::new();
    model.ring(0, false);
    for _ in 0..200 {
        model.driver.advance(AGAIN_MS);
        for job in model.driver.pending() {
            let call_type = Some("in_progress".to_owned());
            let going_on = GotCall { answered: Some(false), voicemail: false, call_type };
            let done = model.driver.reply(job.id, answered_with(&going_on)).unwrap().unwrap();
            assert!(done.out.is_empty(), "nobody is woken for a call that goes on");
            model.calls[0].asked += 1;
        }
    }
    assert_eq!(model.calls[0].asked, 60);
    assert_eq!(model.driver.next_timer(), None);
    model.calls[0].asks_at = None;
    model.end(0, End::Missed, false, false);
    assert_eq!(model.calls[0].told, 1, "how it ended is left to the post-call");
}
