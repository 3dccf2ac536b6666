//! What the API shows of each record: times in UTC with milliseconds, details as objects.

use leadline_schemas::call::CallRecord;
use leadline_schemas::contact::Score;
use leadline_schemas::delivery::Delivery;
use leadline_schemas::lead::{Lead, LeadEvent};
use leadline_schemas::request::Request;
use serde_json::{Value, json};

/// Text that holds JSON, as JSON.
fn detail(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

/// A request.
pub fn request_json(request: &Request) -> Value {
    json!({
        "request_id": request.request_id.to_string(),
        "source": request.origin,
        "kind": request.kind.name(),
        "status": request.status.name(),
        "reason": request.reason,
        "call_id": request.call_id,
        "lead_id": request.lead_id.map(|id| id.to_string()),
        "received_at": request.received_at.to_string(),
        "updated_at": request.updated_at.to_string(),
    })
}

fn score_json(score: &Score) -> Value {
    let whole = detail(&score.detail);
    json!({
        "score": score.score,
        "band": score.band,
        "class": score.class,
        "provider": score.provider,
        "model": score.model,
        "version": score.prompt_version,
        "cost_micros": score.cost_micros,
        "fallback": score.fallback,
        "factors": whole.get("factors"),
        "project_type": whole.get("project_type"),
        "budget_min": whole.get("budget_min"),
        "budget_max": whole.get("budget_max"),
        "timeline": whole.get("timeline"),
        "decision_maker": whole.get("decision_maker"),
        "urgency": whole.get("urgency"),
        "appointment_set": whole.get("appointment_set"),
        "extracted": whole.get("extracted"),
        "evidence": whole.get("evidence"),
        "reasons": whole.get("reasons"),
    })
}

/// A call, text or form.
pub fn call_json(call: &CallRecord) -> Value {
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
        "started_at": call.started_at.to_string(),
        "received_at": call.received_at.to_string(),
        "updated_at": call.updated_at.to_string(),
        "recording": call.recording,
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
        "score": call.score.as_ref().map(score_json),
        "band": call.score.as_ref().map(|score| &score.band),
        "lead_id": call.lead_id.map(|id| id.to_string()),
        "cost_micros": call.cost_micros,
        "extra": detail(&call.extra),
        "revision": call.revision,
    })
}

/// A lead.
pub fn lead_json(lead: &Lead) -> Value {
    let whole = detail(&lead.detail);
    json!({
        "lead_id": lead.lead_id.to_string(),
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
        "factors": whole.get("factors"),
        "budget_min": whole.get("budget_min"),
        "budget_max": whole.get("budget_max"),
        "timeline": whole.get("timeline"),
        "decision_maker": whole.get("decision_maker"),
        "urgency": whole.get("urgency"),
        "appointment_set": whole.get("appointment_set"),
        "extracted": whole.get("extracted"),
        "evidence": whole.get("evidence"),
        "reasons": whole.get("reasons"),
        "scored_by": lead.scored_by.as_ref().map(|score| json!({
            "provider": score.provider, "model": score.model, "version": score.prompt_version, "fallback": score.fallback,
        })),
        "first_channel": lead.first_channel,
        "attribution": lead.attribution,
        "contact_ids": lead.contact_ids,
        "contacted": lead.contacted,
        "opened_at": lead.opened_at.to_string(),
        "last_contact_at": lead.last_contact_at.to_string(),
        "contacted_at": lead.contacted_at.map(|at| at.to_string()),
        "updated_at": lead.updated_at.to_string(),
        "revision": lead.revision,
        "feedback": lead.feedback.as_ref().map(|said| json!({
            "good": said.good,
            "sold_value": said.sold_micros.map(|micros| micros as f64 / 1e6),
            "note": said.note,
            "at": said.at.to_string(),
        })),
    })
}

/// A line of a lead's history.
pub(super) fn lead_event_json(line: &LeadEvent) -> Value {
    json!({
        "revision": line.revision,
        "kind": line.kind,
        "contact_id": line.contact_id,
        "text": line.text,
        "at": line.at.to_string(),
    })
}

/// A delivery with all that is known of it: what was sent and heard last, secrets masked, and how its last jobs ended.
pub fn delivery_detail_json(line: &Delivery) -> Value {
    let mut shown = delivery_json(line);
    if let Some(fields) = shown.as_object_mut() {
        let exchange = line.exchange.as_ref().map(
            |exchange| json!({ "request": exchange.request, "answer": exchange.answer, "at": exchange.at.to_string() }),
        );
        let tries = line.tries.iter().map(|one| {
            json!({
                "at": one.at.to_string(),
                "revision": one.revision,
                "attempts": one.attempts,
                "status": one.status.name(),
                "reason": one.reason,
            })
        });
        fields.insert("job_id".to_owned(), json!(line.job_id.map(|id| id.to_string())));
        fields.insert("last_exchange".to_owned(), exchange.unwrap_or(Value::Null));
        fields.insert("tries".to_owned(), tries.collect());
    }
    shown
}

/// A line of the ledger of deliveries.
pub fn delivery_json(line: &Delivery) -> Value {
    json!({
        "integration": line.integration,
        "subject": line.subject,
        "lead_id": line.lead_id.map(|id| id.to_string()),
        "kind": line.kind,
        "revision": line.revision,
        "status": line.status.name(),
        "reason": line.reason,
        "attempts": line.attempts,
        "remote_id": line.remote_id,
        "payload": detail(&line.payload),
        "held_until": (line.held_until.0 != 0).then(|| line.held_until.to_string()),
        "queued_at": line.queued_at.to_string(),
        "updated_at": line.updated_at.to_string(),
    })
}
