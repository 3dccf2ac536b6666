//! recording, transcribe and score: each contact goes on once, with the answer it waited for or the reason why not.

pub(crate) mod scoring;

use std::collections::BTreeMap;
use std::fmt::Debug;

use leadline_operators::contract::{Operator, Table};
use leadline_operators::dedupe::ContactOut;
use leadline_operators::recording::{self, FetchRecording};
use leadline_operators::transcribe::{self, Transcribe};
use leadline_schemas::JobId;
use leadline_schemas::contact::{Audio, Contact};
use leadline_schemas::event::{Direction, Event, Speaker, Turn};
use leadline_schemas::inbound::{EventKind, Origin};
use leadline_schemas::reply::{Answered, FailureKind, JobFailed};
use leadline_schemas::request::RequestStatus;
use leadline_schemas::settings::{Policy, Tenant};
use proptest::prelude::*;

use crate::driver::{Driver, answered, cases, failed, is_poison};
use scoring::Scoring;

use crate::inputs::{NOON, call_contact, call_event, contact, form_event, tenant, text_event};

type Answer = Result<Answered, JobFailed>;

#[derive(Clone, Debug)]
struct Setup {
    fetch_recordings: bool,
    transcribe: bool,
    provider: bool,
    no_ai: bool,
    attested: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Contact(Box<Contact>),
    Reply {
        pending: usize,
        answer: usize,
    },
    Again {
        answered: usize,
    },
    /// The tenant changes its mind while answers are awaited.
    Change(Setup),
    Remove,
}

fn any_setup() -> impl Strategy<Value = Setup> {
    let yes = || prop::bool::weighted(0.7);
    (yes(), yes(), yes(), prop::bool::weighted(0.2), any::<bool>()).prop_map(
        |(fetch_recordings, transcribe, provider, no_ai, attested)| Setup {
            fetch_recordings,
            transcribe,
            provider,
            no_ai,
            attested,
        },
    )
}

fn any_contact() -> impl Strategy<Value = Contact> {
    let kind = prop::sample::select(vec![
        EventKind::PreCall,
        EventKind::PostCall,
        EventKind::PostCall,
        EventKind::CallModified,
        EventKind::OutboundPostCall,
        EventKind::TextReceived,
        EventKind::TextSent,
        EventKind::FormSubmission,
    ]);
    let flags = prop::array::uniform5(any::<bool>());
    let state = prop::sample::select(vec![None, Some("CO"), Some(" ca"), Some("WA")]);
    (kind, flags, prop::option::of(0..20_i64), state).prop_map(|(kind, flags, duration_s, state)| {
        let [answered, voicemail, recorded, transcript, has_blob] = flags;
        match kind {
            EventKind::TextReceived | EventKind::TextSent => {
                let mut text = text_event("SCI1", "I need a kitchen, my budget is 40k");
                text.kind = kind;
                contact(0, Event::TextEvent(text))
            }
            EventKind::FormSubmission => {
                let form = form_event("FRM1", &[("message", "We want a new bathroom")]);
                contact(0, Event::FormEvent(form))
            }
            _ => {
                let mut call = call_event("CAL1");
                call.kind = kind;
                call.answered = Some(answered);
                call.voicemail = Some(voicemail);
                call.duration_s = duration_s;
                call.caller_state = state.map(str::to_owned);
                let outbound = kind == EventKind::OutboundPostCall;
                call.direction = Some(if outbound { Direction::Outbound } else { Direction::Inbound });
                call.recording_url = recorded.then(|| "https://app.callrail.com/r".to_owned());
                let turn = Turn { speaker: Speaker::Caller, text: "We want a new kitchen".to_owned() };
                call.transcript = Vec::from_iter(transcript.then_some(turn));
                let mut contact = call_contact(0, call);
                contact.recording.blob = has_blob.then(|| "r/1".to_owned());
                contact
            }
        }
    })
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => any_contact().prop_map(|contact| Step::Contact(Box::new(contact))),
        5 => (any::<usize>(), any::<usize>()).prop_map(|(pending, answer)| Step::Reply { pending, answer }),
        1 => any::<usize>().prop_map(|answered| Step::Again { answered }),
        1 => any_setup().prop_map(Step::Change),
        1 => Just(Step::Remove),
    ];
    prop::collection::vec(step, 1..30)
}

fn tenant_of(setup: &Setup) -> Tenant {
    let mut tenant = tenant();
    tenant.policy = Policy {
        fetch_recordings: setup.fetch_recordings,
        transcribe_provider: setup.transcribe.then(|| "speech".to_owned()),
        score_provider: if setup.provider { "model" } else { "rules" }.to_owned(),
        no_ai_processing: setup.no_ai,
        recording_disclosure_attested: setup.attested,
        ..Policy::default()
    };
    tenant
}

/// One operator's part of the model.
trait Stage {
    type Operator: Operator<In = Contact, Out = ContactOut> + Default;
    const KIND: &'static str;
    /// Where contacts wait.
    const WAITING: &'static Table<Contact>;
    /// What the other side may answer.
    fn answers() -> Vec<Answer>;
    /// Whether the other side is asked about a contact.
    fn asks(contact: &Contact, tenant: Option<&Tenant>) -> bool;
    /// What a contact must look like when it goes on unasked.
    fn passed(before: &Contact, after: &Contact, tenant: Option<&Tenant>);
    /// What it must look like after an answer.
    fn heard(before: &Contact, after: &Contact, answer: &Answer, tenant: Option<&Tenant>);
}

/// Runs a stage: whatever happens, each contact that comes in goes out once.
fn check<S: Stage>(setup: &Setup, steps: &[Step])
where
    S::Operator: Debug,
{
    let mut tenant = tenant_of(setup);
    let mut driver = Driver::<S::Operator>::new(tenant.clone(), NOON);
    let mut waiting: BTreeMap<JobId, Contact> = BTreeMap::new();
    let mut ended = Vec::new();
    for (number, step) in (1..).zip(steps) {
        driver.advance(1_000);
        match step {
            Step::Change(setup) => {
                tenant = tenant_of(setup);
                driver.set_tenant(tenant.clone());
            }
            Step::Remove => {
                tenant.removed = true;
                driver.set_tenant(tenant.clone());
            }
            Step::Contact(contact) => {
                let mut contact = (**contact).clone();
                contact.event_id = crate::inputs::event_id(number);
                let settings = Some(&tenant).filter(|tenant| !tenant.removed);
                let asks = S::asks(&contact, settings);
                let done = driver.record(contact.event_id, contact.clone()).unwrap();
                assert_eq!(done.jobs.len(), usize::from(asks), "{contact:?}");
                match (done.jobs.as_slice(), done.out.as_slice()) {
                    ([job], [ContactOut::Request(request)]) => {
                        assert_eq!(job.request.kind, S::KIND);
                        assert_eq!(request.status, RequestStatus::Processing);
                        assert_eq!(request.request_id, contact.event_id);
                        waiting.insert(job.id, contact);
                    }
                    ([], [ContactOut::Contact(after)]) => S::passed(&contact, after, settings),
                    other => panic!("neither waits nor goes on: {other:?}"),
                }
            }
            Step::Reply { pending, answer } => {
                let jobs = driver.pending();
                let Some(job) = jobs.get(pending % jobs.len().max(1)) else { continue };
                let answers = S::answers();
                let answer = &answers[answer % answers.len()];
                let before = waiting.remove(&job.id).expect("each job has its contact");
                let done = driver.reply(job.id, answer.clone()).unwrap().unwrap();
                let [ContactOut::Contact(after)] = done.out.as_slice() else { panic!("{:?}", done.out) };
                assert_eq!((after.event_id, &after.event), (before.event_id, &before.event));
                S::heard(&before, after, answer, Some(&tenant).filter(|tenant| !tenant.removed));
                ended.push(job.id);
            }
            Step::Again { answered } => {
                if let Some(job_id) = ended.get(answered % ended.len().max(1)) {
                    let late = failed(FailureKind::Exhausted);
                    assert!(driver.reply(*job_id, late).is_none(), "an answer takes effect once");
                }
            }
        }
        assert_eq!(driver.pending().len(), waiting.len());
        assert_eq!(driver.rows(S::WAITING), waiting.len(), "a row is kept for each contact that waits");
    }
}

fn call_of(contact: &Contact) -> Option<&leadline_schemas::event::CallEvent> {
    match &contact.event {
        Event::CallEvent(call) => Some(call),
        _ => None,
    }
}

/// A call that is over and that somebody could have heard.
fn heard_call(contact: &Contact) -> Option<&leadline_schemas::event::CallEvent> {
    call_of(contact).filter(|call| {
        let over = !matches!(call.kind, EventKind::PreCall | EventKind::CallRoutingComplete);
        let heard =
            call.answered == Some(true) || call.voicemail == Some(true) || call.recording_url.is_some();
        over && heard
    })
}

/// Whether the words may leave for an AI service.
fn may_leave(contact: &Contact, tenant: Option<&Tenant>) -> bool {
    let Some(policy) = tenant.map(|tenant| &tenant.policy) else { return true };
    let state = call_of(contact).and_then(|call| call.caller_state.as_deref()).unwrap_or_default();
    let all_must_consent = matches!(state.trim().to_ascii_uppercase().as_str(), "CA" | "WA");
    !policy.no_ai_processing && (!all_must_consent || policy.recording_disclosure_attested)
}

struct Recording;

impl Stage for Recording {
    type Operator = FetchRecording;
    const KIND: &'static str = "fetch_recording";
    const WAITING: &'static Table<Contact> = &recording::WAITING;

    fn answers() -> Vec<Answer> {
        let fetched = answered(r#"{"blob":"r/2"}"#);
        let unheard = answered(r#"{"blob":"r/2","unheard":"it is no audio"}"#);
        vec![fetched, unheard, answered("{}"), answered(vec![0xFF]), failed(FailureKind::Rejected)]
    }

    fn asks(contact: &Contact, tenant: Option<&Tenant>) -> bool {
        let wants =
            contact.origin == Origin::Process || tenant.is_some_and(|tenant| tenant.policy.fetch_recordings);
        wants && heard_call(contact).is_some_and(|call| call.recording_url.is_some())
    }

    fn passed(before: &Contact, after: &Contact, _: Option<&Tenant>) {
        assert_eq!(after.recording.skip.is_some(), call_of(before).is_some(), "a call says why it has none");
        assert_eq!(after.recording.blob, before.recording.blob);
    }

    fn heard(_: &Contact, after: &Contact, answer: &Answer, _: Option<&Tenant>) {
        let good = answer.as_ref().is_ok_and(|answered| answered.body.starts_with(b"{\"blob"));
        assert_eq!(after.recording.blob.as_deref() == Some("r/2"), good);
        let heard = good && answer.as_ref().is_ok_and(|answered| !answered.body.ends_with(b"audio\"}"));
        assert_eq!(after.recording.skip.is_some(), !heard, "{:?}", after.recording);
    }
}

struct Transcription;

impl Stage for Transcription {
    type Operator = Transcribe;
    const KIND: &'static str = "transcribe";
    const WAITING: &'static Table<Contact> = &transcribe::WAITING;

    fn answers() -> Vec<Answer> {
        let turns = answered(r#"{"turns":[{"speaker":"caller","text":"Hello"}]}"#);
        vec![turns, answered(r#"{"turns":7}"#), failed(FailureKind::Rejected)]
    }

    fn asks(contact: &Contact, tenant: Option<&Tenant>) -> bool {
        let wants = tenant.is_some_and(|tenant| tenant.policy.transcribe_provider.is_some());
        let worth = heard_call(contact)
            .is_some_and(|call| call.transcript.is_empty() && call.duration_s.is_none_or(|s| s >= 5));
        wants && worth && may_leave(contact, tenant) && contact.recording.blob.is_some()
    }

    fn passed(before: &Contact, after: &Contact, tenant: Option<&Tenant>) {
        let of_callrail = call_of(before).is_some_and(|call| !call.transcript.is_empty());
        assert_eq!(after.transcript.is_some(), of_callrail);
        if let Some(transcript) = &after.transcript {
            assert_eq!((transcript.provider.as_str(), transcript.cost_micros), ("callrail", 0));
        }
        let silent = heard_call(before).is_some() && !of_callrail;
        assert_eq!(after.transcript_skip.is_some(), silent, "a skip can be audited");
        if silent && !may_leave(before, tenant) && call_of(before).unwrap().duration_s.is_none_or(|s| s >= 5)
        {
            let why = after.transcript_skip.as_deref().unwrap();
            assert!(why.contains("AI processing") || why.contains("consent"), "{why}");
        }
    }

    fn heard(_: &Contact, after: &Contact, answer: &Answer, _: Option<&Tenant>) {
        let good = answer.as_ref().is_ok_and(|answered| answered.body.ends_with(b"]}"));
        assert_eq!(after.transcript_skip.is_none(), good);
        assert_eq!(after.transcript.is_some(), answer.is_ok(), "what has cost something is told");
        if let Some(transcript) = &after.transcript {
            assert_eq!(transcript.turns.is_empty(), !good);
            assert_eq!((transcript.provider.as_str(), transcript.cost_micros), ("speech", 7));
        }
    }
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn a_recording_is_fetched_where_it_is_wanted_and_its_absence_has_a_reason(
        setup in any_setup(), steps in any_steps()
    ) {
        check::<Recording>(&setup, &steps);
    }

    #[test]
    fn words_are_written_down_where_they_may_be_and_their_absence_has_a_reason(
        setup in any_setup(), steps in any_steps()
    ) {
        check::<Transcription>(&setup, &steps);
    }

    #[test]
    fn a_score_comes_from_the_provider_or_from_the_rules_that_stand_in(setup in any_setup(), steps in any_steps()) {
        check::<Scoring>(&setup, &steps);
    }
}

/// Money is spent where somebody may be speaking.
#[test]
fn a_recording_of_silence_and_music_is_not_transcribed() {
    let setup =
        Setup { fetch_recordings: true, transcribe: true, provider: true, no_ai: false, attested: true };
    for (silence_ms, music_ms, asks) in
        [(0, 0, true), (20_000, 38_500, false), (58_000, 0, true), (60_000, 0, false)]
    {
        let mut driver = Driver::<Transcribe>::new(tenant_of(&setup), NOON);
        let mut contact = call_contact(1, call_event("CAL1"));
        contact.recording.blob = Some("r/1".to_owned());
        contact.recording.audio = Some(Audio {
            codec: "mp3".to_owned(),
            sample_rate_hz: 8_000,
            channels: 1,
            duration_ms: 60_000,
            silence_ms,
            music_ms,
            speech_from_ms: 0,
            speech_to_ms: 60_000,
        });
        let done = driver.record(contact.event_id, contact).unwrap();
        assert_eq!(done.jobs.len(), usize::from(asks), "{silence_ms} ms of silence, {music_ms} ms of music");
    }
}

/// An answer for a contact that nobody keeps is the input's fault, not the engine's.
#[test]
fn an_answer_that_no_contact_waits_for_is_poison() {
    fn orphan<S: Stage>() -> bool
    where
        S::Operator: Debug,
    {
        let setup =
            Setup { fetch_recordings: true, transcribe: true, provider: true, no_ai: false, attested: true };
        let mut driver = Driver::<S::Operator>::new(tenant_of(&setup), NOON);
        let mut call = call_event("CAL1");
        call.recording_url = Some("https://app.callrail.com/r".to_owned());
        let mut contact = call_contact(1, call);
        contact.recording.blob = Some("r/1".to_owned());
        let done = driver.record(contact.event_id, contact).unwrap();
        driver.advance(31 * leadline_schemas::Millis::DAY); // Its time to live has passed.
        let fault = driver.reply(done.jobs[0].id, S::answers().remove(0)).unwrap().unwrap_err();
        is_poison(&fault)
    }
    assert!(orphan::<Recording>() && orphan::<Transcription>() && orphan::<Scoring>());
}
