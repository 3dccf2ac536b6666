//! What recording, transcribe and score share: a contact that waits for a remote answer.

use leadline_schemas::contact::Contact;
use leadline_schemas::event::{CallEvent, Event};
use leadline_schemas::inbound::EventKind;
use leadline_schemas::reply::JobRequest;
use leadline_schemas::request::RequestStatus;
use leadline_schemas::settings::Policy;
use leadline_schemas::{JobId, Millis};

use crate::contract::{Context, Fault, OperatorResult, Table};
use crate::dedupe::{ContactOut, request_of};
use crate::spending::{self, HARD, Spending};

/// How long an answer is awaited; the executor gives up long before, so this only bounds what a bug could leave.
pub(crate) const WAIT_TTL_MS: i64 = 30 * Millis::DAY;

/// States in which all parties must consent to a recording (vendor facts, section 12.4).
const ALL_PARTY_STATES: [&str; 12] = ["CA", "CT", "DE", "FL", "IL", "MD", "MA", "MT", "NV", "NH", "PA", "WA"];

/// Files a job for a contact and keeps the contact until the answer comes. Answers the job.
pub(crate) fn wait(
    cx: &mut Context<'_, ContactOut>,
    table: &Table<Contact>,
    contact: Contact,
    kind: &str,
    target: &str,
    payload: Vec<u8>,
) -> JobId {
    let request = JobRequest {
        kind: kind.to_owned(),
        target: target.to_owned(),
        payload: payload.into(),
        not_before: Millis(0),
        revision: contact.received_at.0,
    };
    wait_for(cx, table, contact, request, &format!("waiting for {kind}"))
}

/// `wait` for a job of one's own; whoever asks what has become of the contact is told this reason.
pub(crate) fn wait_for(
    cx: &mut Context<'_, ContactOut>,
    table: &Table<Contact>,
    contact: Contact,
    request: JobRequest,
    reason: &str,
) -> JobId {
    let job_id = cx.job(in_turn(cx.now, &contact, request));
    let waiting = request_of(cx, &contact, RequestStatus::Processing, Some(reason));
    cx.emit(ContactOut::Request(waiting));
    cx.put(table, job_id.as_bytes(), contact);
    job_id
}

/// A tenant's jobs start in the order of when they may: those of calls of now may at once, and so go before those of a
/// backfill, however many of these wait.
pub(crate) fn in_turn(now: Millis, contact: &Contact, request: JobRequest) -> JobRequest {
    let not_before = if contact.backfill { request.not_before.max(now) } else { request.not_before };
    JobRequest { not_before, ..request }
}

/// The contact that waited for a job.
pub(crate) fn resume(
    cx: &mut Context<'_, ContactOut>,
    table: &Table<Contact>,
    job_id: JobId,
) -> OperatorResult<Contact> {
    let contact = cx.get(table, job_id.as_bytes())?.cloned();
    cx.delete(table, job_id.as_bytes());
    contact.ok_or_else(|| Fault::poison(format!("job {job_id} was answered, but no contact waits for it")))
}

/// Whether a call is over; before that there is nothing to fetch, hear or score.
pub(crate) fn is_over(call: &CallEvent) -> bool {
    !matches!(call.kind, EventKind::PreCall | EventKind::CallRoutingComplete)
}

/// Whether there was a conversation or a voicemail to hear.
pub(crate) fn was_heard(call: &CallEvent) -> bool {
    call.answered == Some(true) || call.voicemail == Some(true) || call.recording_url.is_some()
}

/// Why the words of this contact must not leave for an AI service; none when they may.
pub(crate) fn ai_gate<Out>(cx: &Context<'_, Out>, contact: &Contact) -> Option<&'static str> {
    consent(&cx.tenant()?.policy, contact)
}

/// Why a tenant of this policy lets the words of a contact not leave for an AI service; none when it does.
pub fn consent(policy: &Policy, contact: &Contact) -> Option<&'static str> {
    if policy.no_ai_processing {
        return Some("the tenant has switched off AI processing");
    }
    let Event::CallEvent(call) = &contact.event else { return None };
    let state = call.caller_state.as_deref().unwrap_or_default();
    let needs_consent = ALL_PARTY_STATES.iter().any(|other| other.eq_ignore_ascii_case(state.trim()));
    if needs_consent && !policy.recording_disclosure_attested {
        return Some(
            "the caller's state needs the consent of all parties, and the tenant has not attested it",
        );
    }
    None
}

/// What may be spent on the words of this contact; or why they do not leave: the tenant's consent, and its budget of the
/// day. The reason is for the audit.
pub(crate) fn admitted<Out>(
    cx: &mut Context<'_, Out>,
    contact: &Contact,
) -> OperatorResult<Result<Spending, &'static str>> {
    if let Some(why) = ai_gate(cx, contact) {
        return Ok(Err(why));
    }
    Ok(match spending::spending(cx)? {
        Spending::Hard => Err(HARD),
        spending => Ok(spending),
    })
}
