//! transcribe: the words of a call, from CallRail where it has them, else from the first of the tenant's providers that
//! hears any.
//!
//! Each call goes down the tenant's chain for itself. What a provider bills when it starts it only starts: the operation's
//! name is committed before anybody is asked how it goes, so no crash starts it twice. Wherever the chain ends, the call
//! goes on, with words or with the reason why there are none, and with what all of it has cost.
//!
//! What a provider will cost is kept of the tenant's budget of the day before it is asked, and given back with its answer,
//! whatever that is. Whom what is left does not pay for is not asked.

mod phrases;

use leadline_schemas::contact::{Contact, Transcript};
use leadline_schemas::event::{CallEvent, Direction, Event, Speaker, Turn};
use leadline_schemas::reply::{Answered, FailureKind, JobFailed, JobRequest};
use leadline_schemas::transcription::{
    Operation, TRANSCRIBE, TRANSCRIBE_POLL, TranscribeJob, Transcribed, Transcription,
};
use leadline_schemas::{JobId, Millis};

use self::phrases::phrases;
use crate::contract::{Context, Fault, Operator, OperatorId, OperatorResult, Table, TableSpec};
use crate::dedupe::ContactOut;
use crate::spending::{self, Service, Spending, TOO_DEAR};
use crate::stage::{WAIT_TTL_MS, admitted, is_over, resume, wait_for, was_heard};

/// Shorter calls have nothing worth the money in them.
const DURATION_S_MIN: i64 = 5;
/// Nor has a recording with less than this of what may be speech: a sigh, a click, the end of an announcement.
const SPEECH_MS_MIN: i64 = 2_000;
/// The longest chain that is gone down: each failure may have cost an hour.
const PROVIDERS_MAX: usize = 8;
/// What is kept of a reason.
const REASON_CHARS_MAX: usize = 300;
/// The shortest and longest first pause before an operation is asked about, whatever a provider says.
const POLL_MS: (i64, i64) = (1_000, Millis::HOUR);
/// How many times as long as the first the last pauses are: they double until then.
const POLL_GROWTH_MAX: i64 = 12;
/// When an operation is asked about again that could not be asked about: it was paid for, so this is not given up.
const POLL_AGAIN_MS: i64 = 60_000;
/// How long an operation may run, whatever a provider says: Google's longest (dynamic batching) has 24 hours.
const OPERATION_MS: (i64, i64) = (60_000, 2 * Millis::DAY);

/// Contacts whose transcript is being made.
pub const WAITING: Table<Contact> = Table::new(1, "waiting", Some(WAIT_TTL_MS));
/// How far each of them is.
pub const PROGRESS: Table<Transcription> = Table::new(2, "progress", Some(WAIT_TTL_MS));
const TABLES: &[TableSpec] = &[WAITING.spec, PROGRESS.spec];

/// Asks for transcripts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Transcribe;

impl Operator for Transcribe {
    const ID: OperatorId = OperatorId { number: 4, name: "transcribe" };
    type In = Contact;
    type Out = ContactOut;

    fn tables() -> &'static [TableSpec] {
        TABLES
    }

    fn on_record(&mut self, cx: &mut Context<'_, ContactOut>, mut contact: Contact) -> OperatorResult {
        match decide(cx, &mut contact)? {
            Decision::PassOn => cx.emit(ContactOut::Contact(Box::new(contact))),
            Decision::Skip(why) => {
                contact.transcript_skip = Some(why);
                cx.emit(ContactOut::Contact(Box::new(contact)));
            }
            Decision::Ask(next) => ask(cx, contact, Transcription::default(), next)?,
        }
        Ok(())
    }

    fn on_reply(
        &mut self,
        cx: &mut Context<'_, ContactOut>,
        job_id: JobId,
        answer: Result<Answered, JobFailed>,
    ) -> OperatorResult {
        let contact = resume(cx, &WAITING, job_id)?;
        let mut progress = progress_of(cx, job_id)?;
        let answered = match answer {
            Ok(answered) => {
                progress.cost_micros = progress.cost_micros.saturating_add(answered.cost_micros);
                let released = answered.cost_micros.clamp(0, progress.reserved_micros);
                progress.reserved_micros -= released;
                spending::paid(cx, Service::Speech, answered.cost_micros, released)?;
                serde_json::from_slice(&answered.body).unwrap_or_else(|error| {
                    Transcribed::Failed(format!("the answer cannot be read: {error}"))
                })
            }
            Err(failed) if progress.operation.is_some() && may_be_asked_again(&failed) => {
                return poll(cx, contact, progress, POLL_AGAIN_MS, Some(failed.why));
            }
            Err(failed) => Transcribed::Failed(failed.why),
        };
        match answered {
            Transcribed::Turns(turns) => heard(cx, contact, progress, turns),
            Transcribed::Operation(operation) => runs(cx, contact, progress, operation),
            Transcribed::Failed(why) => fall_back(cx, contact, progress, &why),
        }
    }
}

enum Decision {
    /// There is nothing to hear, or the words are here.
    PassOn,
    /// There will be no transcript, for this reason.
    Skip(String),
    /// A provider is asked.
    Ask(Next),
}

/// Who is asked, and what it will cost.
struct Next {
    provider: String,
    expected_micros: i64,
}

fn decide(cx: &mut Context<'_, ContactOut>, contact: &mut Contact) -> OperatorResult<Decision> {
    let Event::CallEvent(call) = &contact.event else { return Ok(Decision::PassOn) };
    if !call.transcript.is_empty() {
        let (turns, provider) = (call.transcript.clone(), "callrail".to_owned());
        contact.transcript = Some(Transcript { turns, provider, cost_micros: 0 });
        return Ok(Decision::PassOn);
    }
    if !is_over(call) || !was_heard(call) {
        return Ok(Decision::PassOn);
    }
    if call.duration_s.is_some_and(|duration_s| duration_s < DURATION_S_MIN) {
        return Ok(Decision::Skip(format!("the call lasted less than {DURATION_S_MIN} s")));
    }
    let spending = match admitted(cx, contact)? {
        Ok(spending) => spending,
        Err(why) => return Ok(Decision::Skip(why.to_owned())),
    };
    let Some(next) = next(cx, contact, spending, &[])? else {
        let why = "the payload has no transcript and the tenant has no transcription";
        return Ok(Decision::Skip(why.to_owned()));
    };
    if let Some(audio) = contact.recording.audio.as_ref().filter(|audio| audio.speech_ms() < SPEECH_MS_MIN) {
        let (silence_s, music_s) = (audio.silence_ms / 1_000, audio.music_ms / 1_000);
        return Ok(Decision::Skip(format!(
            "nobody speaks in the recording: {silence_s} s of silence and {music_s} s of music or tones"
        )));
    }
    if contact.recording.blob.is_none() {
        let why = contact.recording.skip.as_deref().unwrap_or("unknown reason");
        return Ok(Decision::Skip(format!("there is no recording to transcribe: {why}")));
    }
    Ok(match next {
        Ok(next) => Decision::Ask(next),
        Err(why) => Decision::Skip(why.to_owned()),
    })
}

/// The first of the chain that was not asked and that what is left of the day's budget pays for; or why none of them is
/// asked; or nothing, when all were.
fn next(
    cx: &mut Context<'_, ContactOut>,
    contact: &Contact,
    spending: Spending,
    asked: &[String],
) -> OperatorResult<Option<Result<Next, &'static str>>> {
    let mut found = None;
    for provider in chain(cx, spending).into_iter().filter(|provider| !asked.contains(provider)) {
        let expected_micros = expected_micros(cx, contact, &provider);
        if spending::affords(cx, expected_micros)? {
            return Ok(Some(Ok(Next { provider, expected_micros })));
        }
        found = Some(Err(TOO_DEAR));
    }
    Ok(found)
}

/// What a transcript will cost at a provider; nothing where it has no price here, for then nobody answers.
fn expected_micros(cx: &Context<'_, ContactOut>, contact: &Contact, provider: &str) -> i64 {
    let Some(price) = cx.settings.speech_price(provider) else { return 0 };
    let channels = contact.recording.audio.as_ref().map(|audio| audio.channels);
    price.expected_micros(duration_ms(contact), channels, contact.backfill)
}

/// The tenant's providers, in the order in which they are asked: the last and cheapest first where money runs short.
fn chain(cx: &Context<'_, ContactOut>, spending: Spending) -> Vec<String> {
    let policy = cx.tenant().map(|tenant| &tenant.policy);
    let first = policy.and_then(|policy| policy.transcribe_provider.as_ref());
    // Without a first there is none: whoever has switched transcription off need not clear the rest.
    let others = policy.filter(|_| first.is_some()).map_or(&[][..], |policy| &policy.transcribe_fallbacks);
    spending.order(first.into_iter().chain(others).take(PROVIDERS_MAX).cloned().collect())
}

/// Asks a provider that was not asked before.
fn ask(
    cx: &mut Context<'_, ContactOut>,
    contact: Contact,
    mut progress: Transcription,
    Next { provider, expected_micros }: Next,
) -> OperatorResult {
    spending::keep(cx, expected_micros)?;
    progress.reserved_micros = expected_micros;
    progress.asked.push(provider.clone());
    progress.provider = provider;
    (progress.operation, progress.polls, progress.ends_at) = (None, 0, Millis(0));
    file(cx, contact, progress, Millis(0), None)
}

/// The provider has started something, or is not done with it.
fn runs(
    cx: &mut Context<'_, ContactOut>,
    contact: Contact,
    mut progress: Transcription,
    operation: Operation,
) -> OperatorResult {
    let first_ms = operation.poll_after_ms.clamp(POLL_MS.0, POLL_MS.1);
    if progress.operation.is_none() {
        let within_ms = operation.ends_within_ms.clamp(OPERATION_MS.0, OPERATION_MS.1);
        (progress.operation, progress.ends_at) = (Some(operation.name), cx.now.plus(within_ms));
    } else {
        progress.polls = progress.polls.saturating_add(1);
    }
    let growth = (1 << progress.polls.clamp(0, 8)).min(POLL_GROWTH_MAX);
    poll(cx, contact, progress, first_ms.saturating_mul(growth), None)
}

/// Asks later how the operation goes, if it may still run then.
fn poll(
    cx: &mut Context<'_, ContactOut>,
    contact: Contact,
    progress: Transcription,
    after_ms: i64,
    trouble: Option<String>,
) -> OperatorResult {
    if cx.now >= progress.ends_at {
        let name = progress.operation.as_deref().unwrap_or_default();
        let trouble = trouble.map(|why| format!(", and {why}")).unwrap_or_default();
        let why = format!("operation {name} has not ended in the time that it has{trouble}");
        return fall_back(cx, contact, progress, &why);
    }
    // Asked once more at its end, and not long before or after.
    let at = cx.now.plus(after_ms).min(progress.ends_at);
    file(cx, contact, progress, at, trouble)
}

/// Files the job that comes next and keeps the contact until it is answered.
fn file(
    cx: &mut Context<'_, ContactOut>,
    contact: Contact,
    progress: Transcription,
    not_before: Millis,
    trouble: Option<String>,
) -> OperatorResult {
    let job = job_of(cx, &contact, progress.operation.clone());
    let payload = serde_json::to_vec(&job).map_err(|error| Fault::poison(error.to_string()))?;
    let kind = if progress.operation.is_some() { TRANSCRIBE_POLL } else { TRANSCRIBE };
    let request = JobRequest {
        kind: kind.to_owned(),
        target: progress.provider.clone(),
        payload: payload.into(),
        not_before,
        revision: contact.received_at.0,
    };
    let mut reason = format!("waiting for the transcript by {}", progress.provider);
    for why in progress.failed.iter().chain(&trouble) {
        reason.push_str("; ");
        reason.push_str(why);
    }
    let job_id = wait_for(cx, &WAITING, contact, request, &reason);
    cx.put(&PROGRESS, job_id.as_bytes(), progress);
    Ok(())
}

/// How far the contact of a job is. One that an earlier leadline has asked for has no row.
fn progress_of(cx: &mut Context<'_, ContactOut>, job_id: JobId) -> OperatorResult<Transcription> {
    let known = cx.get(&PROGRESS, job_id.as_bytes())?.cloned();
    cx.delete(&PROGRESS, job_id.as_bytes());
    Ok(known.unwrap_or_else(|| {
        let first = chain(cx, Spending::Free).into_iter().next();
        let provider = first.unwrap_or_else(|| "a provider since removed".to_owned());
        Transcription { asked: vec![provider.clone()], provider, ..Transcription::default() }
    }))
}

/// Whether an operation may be there although nobody could tell: it was paid for, and waits to be fetched.
fn may_be_asked_again(failed: &JobFailed) -> bool {
    matches!(failed.kind, FailureKind::Exhausted | FailureKind::Unclear)
}

/// Somebody has listened to it to the end.
fn heard(
    cx: &mut Context<'_, ContactOut>,
    mut contact: Contact,
    progress: Transcription,
    turns: Vec<Turn>,
) -> OperatorResult {
    spending::paid(cx, Service::Speech, 0, progress.reserved_micros)?;
    if turns.iter().all(|turn| turn.text.trim().is_empty()) {
        contact.transcript_skip = Some(format!("{} heard no words in the recording", progress.provider));
    }
    let (provider, cost_micros) = (progress.provider, progress.cost_micros);
    contact.transcript = Some(Transcript { turns, provider, cost_micros });
    cx.emit(ContactOut::Contact(Box::new(contact)));
    Ok(())
}

/// The provider has brought no words: the next one is asked, or the call goes on without.
fn fall_back(
    cx: &mut Context<'_, ContactOut>,
    mut contact: Contact,
    mut progress: Transcription,
    why: &str,
) -> OperatorResult {
    let why: String = why.chars().take(REASON_CHARS_MAX).collect();
    progress.failed.push(format!("{}: {why}", progress.provider));
    spending::paid(cx, Service::Speech, 0, std::mem::take(&mut progress.reserved_micros))?;
    // The tenant may have changed its mind since the first was asked, or spent its money.
    let admitted = admitted(cx, &contact)?;
    let next = next(cx, &contact, admitted.unwrap_or(Spending::Free), &progress.asked)?;
    let mut skip = format!("nobody could write it down: {}", progress.failed.join("; "));
    match (admitted, next) {
        (Ok(_), Some(Ok(next))) => return ask(cx, contact, progress, next),
        (Err(gate), Some(_)) | (Ok(_), Some(Err(gate))) => {
            skip = format!("{skip}; nobody else was asked, for {gate}");
        }
        (_, None) => {}
    }
    contact.transcript_skip = Some(skip);
    if progress.cost_micros > 0 {
        let (provider, cost_micros) = (progress.provider, progress.cost_micros);
        contact.transcript = Some(Transcript { turns: Vec::new(), provider, cost_micros });
    }
    cx.emit(ContactOut::Contact(Box::new(contact)));
    Ok(())
}

fn job_of(cx: &Context<'_, ContactOut>, contact: &Contact, operation: Option<String>) -> TranscribeJob {
    let mut job = TranscribeJob {
        call_id: contact.event.subject_id().to_owned(),
        blob: contact.recording.blob.clone().unwrap_or_default(),
        backfill: contact.backfill,
        operation,
        ..TranscribeJob::default()
    };
    if let Some(tenant) = cx.tenant() {
        job.language.clone_from(&tenant.profile.language);
        if job.operation.is_none() {
            job.phrases = phrases(&tenant.name, &tenant.profile);
        }
    }
    if let Some(audio) = &contact.recording.audio {
        (job.channels, job.sample_rate_hz) = (Some(audio.channels), Some(audio.sample_rate_hz));
        job.codec = Some(audio.codec.clone());
    }
    job.duration_ms = duration_ms(contact);
    if let Event::CallEvent(call) = &contact.event {
        job.first = first(call);
    }
    job
}

/// How long the recording is: as it was heard, else as the call's payload says.
fn duration_ms(contact: &Contact) -> Option<i64> {
    if let Some(audio) = &contact.recording.audio {
        return Some(audio.duration_ms);
    }
    let Event::CallEvent(call) = &contact.event else { return None };
    let told_s = call.recording_duration_s.or(call.duration_s).filter(|told_s| *told_s > 0);
    told_s.map(|told_s| told_s.saturating_mul(1_000))
}

/// Who speaks first: whoever picks up, and on a voicemail there is only the caller.
fn first(call: &CallEvent) -> Option<Speaker> {
    match (call.voicemail == Some(true), call.direction?) {
        (true, _) | (false, Direction::Outbound) => Some(Speaker::Caller),
        (false, Direction::Inbound) => Some(Speaker::Agent),
    }
}
