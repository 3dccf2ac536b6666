//! Records as the API shows them: JSON with names for people, times in UTC with milliseconds.

use leadline_schemas::Millis;
use leadline_schemas::call::CallRecord;
use leadline_schemas::contact::Score;
use leadline_schemas::delivery::Delivery;
use leadline_schemas::lead::{Lead, LeadEvent};
use leadline_schemas::request::Request;
use serde_json::{Value, json};

/// A time, as every answer has it.
pub(crate) fn at(time: Millis) -> String {
    time.to_string()
}

fn at_if(time: Option<Millis>) -> Option<String> {
    time.map(at)
}

/// JSON that a record carries as text; null where it is none.
fn inner(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or(Value::Null)
}

/// The result in the vocabulary of scoring.md, without what stands beside it already.
fn detail(json: &str) -> Value {
    let mut detail = inner(json);
    if let Some(members) = detail.as_object_mut() {
        members.remove("id");
    }
    detail
}

/// How a score came about.
fn scored_by(score: &Score) -> Value {
    json!({
        "provider": score.provider,
        "model": score.model,
        "prompt_version": score.prompt_version,
        "cost_micros": score.cost_micros,
        "fallback": score.fallback,
    })
}

/// One accepted event.
pub(crate) fn request(request: &Request) -> Value {
    json!({
        "request_id": request.request_id,
        "origin": request.origin,
        "kind": request.kind,
        "status": request.status.name(),
        "reason": request.reason,
        "call_id": request.call_id,
        "lead_id": request.lead_id,
        "received_at": at(request.received_at),
        "updated_at": at(request.updated_at),
    })
}

/// One call, text or form.
pub(crate) fn call(call: &CallRecord) -> Value {
    let score = call.score.as_ref();
    json!({
        "call_id": call.call_id,
        "aliases": call.aliases,
        "channel": call.channel,
        "stage": call.stage,
        "direction": call.direction,
        "caller": call.caller,
        "caller_number": call.caller_number,
        "caller_name": call.caller_name,
        "caller_city": call.caller_city,
        "caller_state": call.caller_state,
        "tracking_number": call.tracking_number,
        "answered": call.answered,
        "missed": call.missed,
        "duration_s": call.duration_s,
        "first_call": call.first_call,
        "started_at": at(call.started_at),
        "received_at": at(call.received_at),
        "updated_at": at(call.updated_at),
        "request_id": call.event_id,
        "recording": { "stored": call.recording.blob.is_some(), "skip": call.recording.skip },
        "transcript": call.transcript,
        "transcript_provider": call.transcript_provider,
        "transcript_skip": call.transcript_skip,
        "form_fields": call.form_fields,
        "tags": call.tags,
        "note": call.note,
        "value": call.value,
        "lead_status": call.lead_status,
        "agent_email": call.agent_email,
        "attribution": call.attribution,
        "score": score.map(|score| score.score),
        "band": score.map(|score| score.band.as_str()),
        "class": score.map(|score| score.class.as_str()),
        "score_detail": score.map(|score| detail(&score.detail)),
        "scored_by": score.map(scored_by),
        "lead_id": call.lead_id,
        "cost_micros": call.cost_micros,
        "extra": inner(&call.extra),
        "revision": call.revision,
    })
}

/// One lead.
pub(crate) fn lead(lead: &Lead) -> Value {
    json!({
        "lead_id": lead.lead_id,
        "caller": lead.caller,
        "name": lead.name,
        "phone": lead.phone,
        "email": lead.email,
        "city": lead.city,
        "status": lead.status,
        "score": lead.score,
        "band": lead.band,
        "class": lead.class,
        "project_type": lead.project_type,
        "score_detail": detail(&lead.detail),
        "scored_by": lead.scored_by.as_ref().map(scored_by),
        "first_channel": lead.first_channel,
        "attribution": lead.attribution,
        "contact_ids": lead.contact_ids,
        "contacted": lead.contacted,
        "opened_at": at(lead.opened_at),
        "last_contact_at": at(lead.last_contact_at),
        "contacted_at": at_if(lead.contacted_at),
        "updated_at": at(lead.updated_at),
        "revision": lead.revision,
    })
}

/// One line of a lead's history.
pub(crate) fn lead_event(event: &LeadEvent) -> Value {
    json!({
        "revision": event.revision,
        "kind": event.kind,
        "contact_id": event.contact_id,
        "request_id": event.event_id,
        "text": event.text,
        "at": at(event.at),
    })
}

/// One line of the ledger.
pub(crate) fn delivery(delivery: &Delivery) -> Value {
    json!({
        "integration": delivery.integration,
        "subject": delivery.subject,
        "lead_id": delivery.lead_id,
        "kind": delivery.kind,
        "revision": delivery.revision,
        "status": delivery.status.name(),
        "reason": delivery.reason,
        "attempts": delivery.attempts,
        "remote_id": delivery.remote_id,
        "payload": inner(&delivery.payload),
        "queued_at": at(delivery.queued_at),
        "updated_at": at(delivery.updated_at),
    })
}
