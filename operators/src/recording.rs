//! recording: brings a call's audio into our blob store, where the tenant wants it or somebody has asked for this call, and
//! what was sent with a text: its links are short-lived. A call waits for its audio, a text for nothing.
//!
//! An account's limit is used up for an hour, and CallRail's storage may be away for longer than a job is tried: then a call
//! goes on without its audio, and the audio is asked for again, for days. When it comes, the call is told of once more, as
//! it is when CallRail tells of a recording late. A call of a backfill, for which nobody waits, goes on when it is known.

use leadline_schemas::audit::Audit;
use leadline_schemas::contact::Contact;
use leadline_schemas::event::Event;
use leadline_schemas::inbound::Origin;
use leadline_schemas::recording::{FetchRecordingJob, FetchedRecording};
use leadline_schemas::reply::{Answered, FailureKind, JobFailed, JobRequest};
use leadline_schemas::{EventId, JobId, Millis};

use crate::contract::{Context, Fault, Operator, OperatorId, OperatorResult, Table, TableSpec};
use crate::dedupe::ContactOut;
use crate::stage::{WAIT_TTL_MS, in_turn, is_over, resume, wait_for, was_heard};

/// Contacts whose recording is being fetched.
pub const WAITING: Table<Contact> = Table::new(1, "waiting", Some(WAIT_TTL_MS));
/// Texts whose media are being fetched, by the job of each medium.
pub const MEDIA: Table<Contact> = Table::new(2, "media", Some(WAIT_TTL_MS));
const TABLES: &[TableSpec] = &[WAITING.spec, MEDIA.spec];

/// Media of one text that are fetched; carriers pass on ten.
const MEDIA_MAX: usize = 10;
/// What was asked for in vain is asked for again after twice the time since the call came, but not sooner or later than
/// this.
const AGAIN_MS_MIN: i64 = Millis::MINUTE;
const AGAIN_MS_MAX: i64 = 6 * Millis::HOUR;
/// For so long a call's recording is asked for; of a backfill, which may be larger than the limits of some weeks, for longer.
const ASKED_MS_MAX: i64 = 3 * Millis::DAY;
const BACKFILL_ASKED_MS_MAX: i64 = 25 * Millis::DAY;
/// Who is asked. A backfill has a queue of its own: when the account's limit keeps it waiting, calls of now do not.
const TARGET: &str = "callrail";
/// The same for what has time.
pub const BACKGROUND_TARGET: &str = "callrail_background";

/// Asks for recordings.
#[derive(Clone, Copy, Debug, Default)]
pub struct FetchRecording;

impl Operator for FetchRecording {
    const ID: OperatorId = OperatorId { number: 3, name: "recording" };
    type In = Contact;
    type Out = ContactOut;

    fn tables() -> &'static [TableSpec] {
        TABLES
    }

    fn on_record(&mut self, cx: &mut Context<'_, ContactOut>, mut contact: Contact) -> OperatorResult {
        let Event::CallEvent(call) = &contact.event else {
            fetch_media(cx, &contact)?;
            cx.emit(ContactOut::Contact(Box::new(contact)));
            return Ok(());
        };
        // Who sends a recording to be processed wants this one, whatever is done with the others.
        let wanted = contact.origin == Origin::Process
            || cx.tenant().is_some_and(|tenant| tenant.policy.fetch_recordings);
        let skip = if !is_over(call) || !was_heard(call) {
            Some("there is no conversation to hear")
        } else if !wanted {
            Some("the tenant does not fetch recordings")
        } else if call.recording_url.is_none() {
            Some("the payload has no recording")
        } else {
            None
        };
        match of_call(&contact).filter(|_| skip.is_none()) {
            Some(job) => {
                let request = request(&contact, &job)?;
                wait_for(cx, &WAITING, contact, request, "waiting for fetch_recording");
            }
            None => {
                contact.recording.skip = skip.map(str::to_owned);
                cx.emit(ContactOut::Contact(Box::new(contact)));
            }
        }
        Ok(())
    }

    fn on_reply(
        &mut self,
        cx: &mut Context<'_, ContactOut>,
        job_id: JobId,
        answer: Result<Answered, JobFailed>,
    ) -> OperatorResult {
        if let Some(text) = cx.get(&MEDIA, job_id.as_bytes())?.cloned() {
            cx.delete(&MEDIA, job_id.as_bytes());
            if let Err(failed) = answer {
                let line = not_fetched(cx, &text, job_id, failed.why);
                cx.emit(ContactOut::Untold(line));
            }
            return Ok(());
        }
        let mut contact = resume(cx, &WAITING, job_id)?;
        match answer.map(|answered| serde_json::from_slice::<FetchedRecording>(&answered.body)) {
            Ok(Ok(fetched)) => {
                contact.recording.blob = Some(fetched.blob);
                contact.recording.audio = fetched.audio;
                contact.recording.skip = fetched.unheard;
            }
            Ok(Err(error)) => contact.recording.skip = Some(format!("the answer cannot be read: {error}")),
            Err(failed) if failed.kind == FailureKind::Exhausted && may_come(cx, &contact) => {
                return ask_again(cx, contact, failed.why);
            }
            // It went on without it.
            Err(_) if went_on(&contact) => return Ok(()),
            Err(failed) => contact.recording.skip = Some(failed.why),
        }
        cx.emit(ContactOut::Contact(Box::new(contact)));
        Ok(())
    }
}

/// What is asked of a call that has a recording.
fn of_call(contact: &Contact) -> Option<FetchRecordingJob> {
    let Event::CallEvent(call) = &contact.event else { return None };
    let at = call.started_at.unwrap_or(contact.event_time);
    let job = FetchRecordingJob::of_call(call.call_id.0.clone(), call.recording_url.clone()?, at);
    Some(FetchRecordingJob { background: contact.backfill, ..job })
}

fn request(contact: &Contact, job: &FetchRecordingJob) -> OperatorResult<JobRequest> {
    let payload = serde_json::to_vec(job).map_err(|error| Fault::poison(error.to_string()))?;
    Ok(JobRequest {
        kind: "fetch_recording".to_owned(),
        target: if job.background { BACKGROUND_TARGET } else { TARGET }.to_owned(),
        payload: payload.into(),
        not_before: Millis(0),
        revision: contact.received_at.0,
    })
}

/// Whether a contact that waits was told of already, without its recording.
fn went_on(contact: &Contact) -> bool {
    contact.recording.skip.is_some()
}

/// Whether it is not too late for what could not be had yet.
fn may_come(cx: &Context<'_, ContactOut>, contact: &Contact) -> bool {
    let asked_ms_max = if contact.backfill { BACKFILL_ASKED_MS_MAX } else { ASKED_MS_MAX };
    contact.origin != Origin::Process && cx.now.since(contact.received_at) < asked_ms_max
}

/// Tells of the call without its recording, if somebody waits for it, and asks for the recording later.
fn ask_again(cx: &mut Context<'_, ContactOut>, mut contact: Contact, why: String) -> OperatorResult {
    let Some(job) = of_call(&contact) else { return Ok(()) };
    let job = FetchRecordingJob { background: true, again: true, ..job };
    let pause = (2 * cx.now.since(contact.received_at)).clamp(AGAIN_MS_MIN, AGAIN_MS_MAX);
    let request = JobRequest { not_before: cx.now.plus(pause), ..request(&contact, &job)? };
    if !contact.backfill && !went_on(&contact) {
        contact.recording.skip = Some(format!("it is asked for again, for now {why}"));
        cx.emit(ContactOut::Contact(Box::new(contact.clone())));
        contact.update = true;
    }
    let job_id = cx.job(request);
    cx.put(&WAITING, job_id.as_bytes(), contact);
    Ok(())
}

/// Asks for what was sent with a text, once: with its first content.
fn fetch_media(cx: &mut Context<'_, ContactOut>, contact: &Contact) -> OperatorResult {
    let Event::TextEvent(text) = &contact.event else { return Ok(()) };
    if contact.update || !cx.tenant().is_some_and(|tenant| tenant.policy.fetch_recordings) {
        return Ok(());
    }
    for (medium, url) in (1..).zip(text.media_urls.iter().take(MEDIA_MAX)) {
        let job = FetchRecordingJob {
            medium: Some(medium),
            background: contact.backfill,
            ..FetchRecordingJob::of_call(text.text_id.clone(), url.clone(), contact.event_time)
        };
        let request = request(contact, &job)?;
        let job_id = cx.job(in_turn(cx.now, contact, request));
        cx.put(&MEDIA, job_id.as_bytes(), contact.clone());
    }
    Ok(())
}

/// A text goes its way without its picture; that it is missing can be looked up.
fn not_fetched(cx: &Context<'_, ContactOut>, contact: &Contact, job_id: JobId, why: String) -> Audit {
    Audit {
        tenant: cx.key.tenant.clone(),
        id: EventId::of(&[job_id.as_bytes(), b"medium_not_fetched"]),
        kind: "medium_not_fetched".to_owned(),
        subject: contact.event.subject_id().to_owned(),
        text: why,
        event_id: cx.cause.event_id(),
        at: cx.now,
    }
}
