//! transcribe against a model: each call goes down its tenant's chain once, starts nothing twice, and ends with words or with
//! every reason why there are none.

use std::collections::BTreeMap;

use leadline_operators::dedupe::ContactOut;
use leadline_operators::transcribe::{PROGRESS, Transcribe, WAITING};
use leadline_schemas::contact::{Audio, Contact};
use leadline_schemas::event::{Direction, Speaker};
use leadline_schemas::reply::{Answered, FailureKind, JobFailed};
use leadline_schemas::request::RequestStatus;
use leadline_schemas::settings::Tenant;
use leadline_schemas::transcription::{TRANSCRIBE, TRANSCRIBE_POLL, TranscribeJob};
use leadline_schemas::{JobId, Millis};
use proptest::prelude::*;

use crate::driver::{Done, Driver, Job, answered, cases, failed};
use crate::inputs::{NOON, call_contact, call_event, event_id, tenant};

#[derive(Clone, Debug)]
enum Step {
    Call,
    Reply { pending: usize, answer: Kind },
    Wait { ms: i64 },
    Chain(Vec<&'static str>),
    NoAi(bool),
    Remove,
}

/// What a provider answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Words,
    Silence,
    Nonsense,
    Failed,
    Operation,
    Given(FailureKind),
}

/// The model of one call that waits.
#[derive(Clone, Debug, Default)]
struct Call {
    asked: Vec<String>,
    cost: i64,
    ends_at: Option<Millis>,
}

/// How long operations of the test may run.
const ENDS_WITHIN_MS: i64 = 3_600_000;
/// What each answer costs.
const COST: i64 = 7;

fn answer_of(kind: Kind) -> Result<Answered, JobFailed> {
    match kind {
        Kind::Words => answered(r#"{"turns":[{"speaker":"caller","text":"Hello"}]}"#),
        Kind::Silence => answered(r#"{"turns":[]}"#),
        Kind::Nonsense => answered(r#"{"turns":7}"#),
        Kind::Failed => answered(r#"{"failed":"it is no sound"}"#),
        Kind::Operation => answered(format!(
            r#"{{"operation":{{"name":"op/1","poll_after_ms":5000,"ends_within_ms":{ENDS_WITHIN_MS}}}}}"#
        )),
        Kind::Given(kind) => failed(kind),
    }
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let kinds = vec![
        Kind::Words,
        Kind::Silence,
        Kind::Nonsense,
        Kind::Failed,
        Kind::Operation,
        Kind::Operation,
        Kind::Operation,
        Kind::Given(FailureKind::Exhausted),
        Kind::Given(FailureKind::Rejected),
        Kind::Given(FailureKind::Unclear),
        Kind::Given(FailureKind::NotConfigured),
    ];
    let names = prop::sample::select(vec!["google", "whisper", "local"]);
    let step = prop_oneof![
        3 => Just(Step::Call),
        9 => (any::<usize>(), prop::sample::select(kinds))
            .prop_map(|(pending, answer)| Step::Reply { pending, answer }),
        2 => (1..2_000_000_i64).prop_map(|ms| Step::Wait { ms }),
        1 => prop::collection::vec(names, 0..4).prop_map(Step::Chain),
        1 => any::<bool>().prop_map(Step::NoAi),
        1 => Just(Step::Remove),
    ];
    prop::collection::vec(step, 1..60)
}

pub(crate) fn recorded(number: u64) -> Contact {
    let mut call = call_event(&format!("CAL{number}"));
    call.direction = Some(if number.is_multiple_of(2) { Direction::Inbound } else { Direction::Outbound });
    let mut contact = call_contact(number, call);
    contact.event_id = event_id(number);
    contact.recording.blob = Some(format!("summit/2026/03/CAL{number}"));
    contact.recording.audio = Some(Audio {
        codec: "mp3".to_owned(),
        sample_rate_hz: 8_000,
        channels: 2,
        duration_ms: 412_000,
        silence_ms: 0,
        music_ms: 0,
        speech_from_ms: 0,
        speech_to_ms: 412_000,
    });
    contact.backfill = number.is_multiple_of(3);
    contact
}

pub(crate) fn with_chain(tenant: &mut Tenant, chain: &[&str]) {
    let mut chain = chain.iter().map(|name| (*name).to_owned());
    tenant.policy.transcribe_provider = chain.next();
    tenant.policy.transcribe_fallbacks = chain.collect();
}

/// Who is asked next about a call, if anybody may be.
fn next<'t>(tenant: &'t Tenant, asked: &[String]) -> Option<&'t String> {
    let policy = &tenant.policy;
    let mut chain = policy.transcribe_provider.iter().chain(&policy.transcribe_fallbacks);
    let may = !tenant.removed && !policy.no_ai_processing;
    chain.find(|name| may && !asked.contains(name))
}

/// Checks the one job of an input that makes a call wait.
fn waits(done: &Done<ContactOut>, kind: &str, target: &str, contact: &Contact) -> Job {
    let ([job], [ContactOut::Request(request)]) = (done.jobs.as_slice(), done.out.as_slice()) else {
        panic!("it was to wait: {done:?}");
    };
    assert_eq!((job.request.kind.as_str(), job.request.target.as_str()), (kind, target));
    assert_eq!((request.request_id, request.status), (contact.event_id, RequestStatus::Processing));
    assert!(request.reason.as_deref().unwrap().contains(target), "whoever asks is told who is waited for");
    let asks: TranscribeJob = serde_json::from_slice(&job.request.payload).unwrap();
    assert_eq!(Some(&asks.blob), contact.recording.blob.as_ref());
    assert_eq!((asks.duration_ms, asks.channels, asks.backfill), (Some(412_000), Some(2), contact.backfill));
    assert_eq!(asks.operation.is_some(), kind == TRANSCRIBE_POLL);
    job.clone()
}

pub(crate) fn goes_on(done: &Done<ContactOut>) -> &Contact {
    let ([], [ContactOut::Contact(after)]) = (done.jobs.as_slice(), done.out.as_slice()) else {
        panic!("it was to go on: {done:?}");
    };
    after
}

/// The providers of a call, down to the last: what is left of it.
struct World {
    driver: Driver<Transcribe>,
    tenant: Tenant,
    waiting: BTreeMap<JobId, (Contact, Call)>,
}

impl World {
    fn set(&mut self, change: impl FnOnce(&mut Tenant)) {
        change(&mut self.tenant);
        self.driver.set_tenant(self.tenant.clone());
    }

    fn call(&mut self, number: u64) {
        let contact = recorded(number);
        let done = self.driver.record(contact.event_id, contact.clone()).unwrap();
        match next(&self.tenant, &[]).cloned() {
            Some(provider) => {
                let job = waits(&done, TRANSCRIBE, &provider, &contact);
                let call = Call { asked: vec![provider], ..Call::default() };
                self.waiting.insert(job.id, (contact, call));
            }
            None => assert!(goes_on(&done).transcript_skip.is_some(), "a skip can be audited"),
        }
    }

    fn reply(&mut self, job: &Job, kind: Kind) {
        let (contact, mut call) = self.waiting.remove(&job.id).expect("each job has its call");
        let done = self.driver.reply(job.id, answer_of(kind)).unwrap().unwrap();
        let provider = call.asked.last().unwrap().clone();
        if !matches!(kind, Kind::Given(_)) {
            call.cost += COST;
        }
        let is_over = call.ends_at.is_some_and(|ends_at| self.driver.now >= ends_at);
        let again = matches!(kind, Kind::Given(FailureKind::Exhausted | FailureKind::Unclear));
        match kind {
            Kind::Words | Kind::Silence => {
                let after = goes_on(&done);
                let words = after.transcript.as_ref().unwrap();
                assert_eq!((&words.provider, words.cost_micros), (&provider, call.cost));
                assert_eq!((words.turns.is_empty(), after.transcript_skip.is_some()), {
                    let silent = kind == Kind::Silence;
                    (silent, silent)
                });
            }
            _ if !is_over && (kind == Kind::Operation || (again && call.ends_at.is_some())) => {
                let job = waits(&done, TRANSCRIBE_POLL, &provider, &contact);
                let ends_at = *call.ends_at.get_or_insert(self.driver.now.plus(ENDS_WITHIN_MS));
                let at = job.request.not_before;
                assert!(at > self.driver.now && at <= ends_at, "asked later, and not after its end");
                self.waiting.insert(job.id, (contact, call));
            }
            _ => self.falls_back(&done, contact, call),
        }
    }

    fn falls_back(&mut self, done: &Done<ContactOut>, contact: Contact, mut call: Call) {
        if let Some(provider) = next(&self.tenant, &call.asked).cloned() {
            let job = waits(done, TRANSCRIBE, &provider, &contact);
            assert!(!call.asked.contains(&provider), "nobody is asked twice");
            call.asked.push(provider);
            call.ends_at = None;
            self.waiting.insert(job.id, (contact, call));
            return;
        }
        let after = goes_on(done);
        let skip = after.transcript_skip.as_deref().unwrap();
        assert!(call.asked.iter().all(|asked| skip.contains(&format!("{asked}: "))), "{skip}");
        let told = after.transcript.as_ref().map_or(0, |words| words.cost_micros);
        assert_eq!(told, call.cost, "what it cost is told without words too");
        assert!(after.transcript.as_ref().is_none_or(|words| words.turns.is_empty()));
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn a_call_goes_down_the_chain_once_and_ends_with_words_or_with_every_reason(steps in any_steps()) {
        let mut tenant = tenant();
        with_chain(&mut tenant, &["google", "whisper"]);
        let driver = Driver::<Transcribe>::new(tenant.clone(), NOON);
        let mut world = World { driver, tenant, waiting: BTreeMap::new() };
        for (number, step) in (1..).zip(&steps) {
            match step {
                Step::Call => world.call(number),
                Step::Reply { pending, answer } => {
                    let jobs = world.driver.pending();
                    if let Some(job) = jobs.get(pending % jobs.len().max(1)) {
                        world.reply(job, *answer);
                    }
                }
                Step::Wait { ms } => drop(world.driver.advance(*ms)),
                Step::Chain(chain) => world.set(|tenant| with_chain(tenant, chain)),
                Step::NoAi(no_ai) => world.set(|tenant| tenant.policy.no_ai_processing = *no_ai),
                Step::Remove => world.set(|tenant| tenant.removed = true),
            }
            let count = world.waiting.len();
            prop_assert_eq!(world.driver.pending().len(), count);
            prop_assert_eq!((world.driver.rows(&WAITING), world.driver.rows(&PROGRESS)), (count, count));
        }
    }
}

fn world() -> World {
    let mut tenant = tenant();
    with_chain(&mut tenant, &["google", "whisper"]);
    tenant.profile.trades = vec!["kitchen".to_owned()];
    tenant.profile.cities = vec!["Denver".to_owned()];
    tenant.profile.language = Some("es-US".to_owned());
    let driver = Driver::<Transcribe>::new(tenant.clone(), NOON);
    World { driver, tenant, waiting: BTreeMap::new() }
}

/// An operation that hangs is asked about less and less often, once more at its end, and then no more.
#[test]
fn a_hung_operation_ends_and_the_next_provider_is_asked() {
    let mut world = world();
    world.call(2);
    let mut pauses = Vec::new();
    while let [job] = world.driver.pending().as_slice() {
        if job.request.target == "whisper" {
            break;
        }
        let wait_ms = job.request.not_before.since(world.driver.now).max(0);
        world.driver.advance(wait_ms);
        let (job, before) = (job.clone(), world.driver.now);
        world.reply(&job, Kind::Operation);
        if let [next] = world.driver.pending().as_slice() {
            pauses.push(next.request.not_before.since(before));
        }
    }
    assert_eq!(pauses[..5], [5_000, 10_000, 20_000, 40_000, 60_000]);
    assert!(pauses.len() < 80, "{} polls of an hour", pauses.len());
    assert_eq!(world.driver.now.since(NOON), ENDS_WITHIN_MS);
    let job = world.driver.pending().remove(0);
    let done = world.driver.reply(job.id, answer_of(Kind::Given(FailureKind::Rejected))).unwrap().unwrap();
    let skip = goes_on(&done).transcript_skip.clone().unwrap();
    assert!(
        skip.contains("google: operation op/1 has not ended") && skip.contains("whisper: the other side"),
        "{skip}"
    );
}

#[test]
fn a_job_says_what_to_expect_and_who_picks_up() {
    for (number, first) in [(2, Speaker::Agent), (1, Speaker::Caller)] {
        let mut world = world();
        world.call(number);
        let asks: TranscribeJob = serde_json::from_slice(&world.driver.pending()[0].request.payload).unwrap();
        assert_eq!(asks.first, Some(first));
        assert_eq!((asks.language.as_deref(), asks.codec.as_deref()), (Some("es-US"), Some("mp3")));
        for phrase in ["Summit Kitchens", "Denver", "quartz countertop"] {
            assert!(asks.phrases.iter().any(|one| one == phrase), "{phrase}: {:?}", asks.phrases);
        }
        let bytes = world.driver.pending()[0].request.payload.len();
        assert!(bytes < 2_048, "a job that waits has {bytes} bytes");
    }
}

/// A contact that waited under an earlier leadline has no row that says how far it is.
#[test]
fn an_answer_to_an_earlier_leadline_is_taken() {
    let mut world = world();
    let contact = recorded(2);
    let job_id = JobId::of(&[b"an earlier one"]);
    world.driver.seed(&WAITING, job_id.as_bytes(), &contact);
    let done = world.driver.unasked(job_id, answer_of(Kind::Words)).unwrap();
    assert_eq!(goes_on(&done).transcript.as_ref().unwrap().provider, "google");
}
