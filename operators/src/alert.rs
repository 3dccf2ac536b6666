//! alert: tells the tenant of a call that nobody answered, once, without waiting for recording or transcript.
//!
//! A pre-call says "missed" for every call, for it is sent while the phone rings, and routing-complete says nothing
//! of an answer. They start a timer; when it fires without a post-call, CallRail is asked. Where the tenant's rules say so,
//! others are told when the company has not called back.

use leadline_schemas::contact::Contact;
use leadline_schemas::delivery::missed_call;
use leadline_schemas::event::{CallEvent, Direction, Event};
use leadline_schemas::inbound::EventKind;
use leadline_schemas::missed::{GetCallJob, GotCall};
use leadline_schemas::reply::{Answered, FailureKind, JobFailed, JobRequest};
use leadline_schemas::settings::{RouteRule, Tenant};
use leadline_schemas::state::{Reaction, Ringing};
use leadline_schemas::{JobId, Millis};
use serde_json::{Value, json};

use crate::contract::{Context, Fault, Operator, OperatorId, OperatorResult, Table, TableSpec, TimerKind};
use crate::deliveries::DeliveryRequest;
use crate::publish::Publish;
use crate::route::escalation;
use crate::routing::{self, Matter};

/// Long after the last call-modified of a call that anybody still wants to be woken for.
const RINGING_TTL_MS: i64 = 7 * Millis::DAY;
/// CallRail is asked again this long after an answer that says the call goes on.
const ASK_AGAIN_MS: i64 = 60 * Millis::SECOND;
/// Then it is left to the post-call: an hour of talk is no missed call.
const ASKED_MAX: i32 = 60;

/// Calls that rang.
pub const RINGING: Table<Ringing> = Table::new(1, "ringing", Some(RINGING_TTL_MS));
/// When the company last talked to a caller, or called them, by caller: where rules ask for it.
pub const REACTIONS: Table<Reaction> = Table::new(2, "reactions", Some(RINGING_TTL_MS));
const TABLES: &[TableSpec] = &[RINGING.spec, REACTIONS.spec];
/// What names the timer of a rule that tells others: no call's id begins so.
const ESCALATES: u8 = 0xFF;

/// Watches calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alert;

/// What alert emits.
#[derive(Clone, Debug)]
pub enum AlertOut {
    /// Somebody must be told.
    Delivery(DeliveryRequest),
}

impl AlertOut {
    /// The delivery.
    pub fn delivery(self) -> Option<DeliveryRequest> {
        let Self::Delivery(request) = self;
        Some(request)
    }
}

impl Publish for AlertOut {
    fn publish(&self) -> Option<Result<leadline_schemas::frame::Output, leadline_schemas::avro::AvroError>> {
        None
    }
}

impl Operator for Alert {
    const ID: OperatorId = OperatorId { number: 9, name: "alert" };
    type In = Contact;
    type Out = AlertOut;

    fn tables() -> &'static [TableSpec] {
        TABLES
    }

    fn on_record(&mut self, cx: &mut Context<'_, AlertOut>, contact: Contact) -> OperatorResult {
        let Event::CallEvent(call) = &contact.event else { return Ok(()) };
        if !contact.backfill && is_reaction(call) {
            react(cx, &contact)?;
        }
        if contact.backfill || call.direction == Some(Direction::Outbound) {
            return Ok(());
        }
        match call.kind {
            EventKind::PreCall | EventKind::CallRoutingComplete => rang(cx, &contact, call),
            EventKind::PostCall | EventKind::CallModified => ended(cx, &contact, call),
            _ => Ok(()),
        }
    }

    fn on_timer(
        &mut self,
        cx: &mut Context<'_, AlertOut>,
        _: TimerKind,
        name: &[u8],
        _: Millis,
    ) -> OperatorResult {
        if let Some((&ESCALATES, name)) = name.split_first() {
            return nobody_called_back(cx, name);
        }
        let Some(ringing) = cx.get(&RINGING, name)?.filter(|ringing| !ringing.settled).cloned() else {
            return Ok(());
        };
        let job = GetCallJob { call_id: ringing.call_id.clone(), company_id: ringing.company_id.clone() };
        let payload = serde_json::to_vec(&job).map_err(|error| Fault::poison(error.to_string()))?;
        let job_id = cx.job(JobRequest {
            kind: "get_call".to_owned(),
            target: "callrail".to_owned(),
            payload: payload.into(),
            not_before: Millis(0),
            revision: i64::from(ringing.asked),
        });
        // The answer names the job and nothing else.
        cx.put(&RINGING, job_id.as_bytes(), ringing.clone());
        cx.put(&RINGING, name, Ringing { asked: ringing.asked + 1, ..ringing });
        Ok(())
    }

    fn on_reply(
        &mut self,
        cx: &mut Context<'_, AlertOut>,
        job_id: JobId,
        answer: Result<Answered, JobFailed>,
    ) -> OperatorResult {
        let asked_for = cx.get(&RINGING, job_id.as_bytes())?.map(|ringing| ringing.call_id.clone());
        cx.delete(&RINGING, job_id.as_bytes());
        let Some(call_id) = asked_for else { return Ok(()) };
        let Some(ringing) = cx.get(&RINGING, call_id.as_bytes())?.filter(|ringing| !ringing.settled).cloned()
        else {
            return Ok(()); // The post-call came meanwhile.
        };
        match answer {
            Ok(answered) => match serde_json::from_slice::<GotCall>(&answered.body) {
                Ok(call) => found_out(cx, ringing, &call),
                Err(error) => alert(cx, ringing, &format!("CallRail's answer cannot be read: {error}")),
            },
            Err(failed) if failed.kind == FailureKind::NotConfigured => {
                alert(cx, ringing, "not confirmed: no post-call came, and CallRail cannot be asked")
            }
            Err(failed) => {
                alert(cx, ringing, &format!("not confirmed: CallRail could not be asked ({})", failed.why))
            }
        }
    }
}

fn rang(cx: &mut Context<'_, AlertOut>, contact: &Contact, call: &CallEvent) -> OperatorResult {
    let call_id = call.call_id.as_str().as_bytes();
    if cx.get(&RINGING, call_id)?.is_some() {
        return Ok(()); // Its timer runs, or it is settled: a pre-call that comes late changes nothing.
    }
    let timer_s = cx.tenant().map_or(45, |tenant| tenant.policy.missed_call_timer_s);
    cx.put(&RINGING, call_id, ringing_of(contact, call));
    cx.timer(TimerKind::Now, call_id, cx.now.plus(i64::from(timer_s) * Millis::SECOND))
}

fn ringing_of(contact: &Contact, call: &CallEvent) -> Ringing {
    Ringing {
        call_id: call.call_id.0.clone(),
        company_id: call.company_id.clone(),
        caller: contact.caller.clone(),
        rang_at: contact.event_time,
        asked: 0,
        settled: false,
        source: call.attribution.source.clone(),
        city: call.caller_city.clone(),
    }
}

/// A post-call knows whether somebody answered.
fn ended(cx: &mut Context<'_, AlertOut>, contact: &Contact, call: &CallEvent) -> OperatorResult {
    if call.call_type.as_deref() == Some("in_progress") {
        return Ok(()); // An edit while people talk: it says nothing of how the call ends.
    }
    let call_id = call.call_id.as_str().as_bytes();
    let ringing = cx.get(&RINGING, call_id)?.cloned().unwrap_or_else(|| ringing_of(contact, call));
    cx.cancel_timer(TimerKind::Now, call_id)?;
    if ringing.settled {
        return Ok(());
    }
    let abandoned = call.call_type.as_deref().is_some_and(|kind| kind.starts_with("abandon"));
    let missed = call.answered == Some(false) || abandoned;
    if missed && call.voicemail != Some(true) {
        return alert(cx, ringing, "");
    }
    cx.put(&RINGING, call_id, Ringing { settled: true, ..ringing });
    Ok(())
}

fn found_out(cx: &mut Context<'_, AlertOut>, ringing: Ringing, call: &GotCall) -> OperatorResult {
    let call_id = ringing.call_id.clone();
    if call.call_type.as_deref() == Some("in_progress") {
        if ringing.asked >= ASKED_MAX {
            return Ok(());
        }
        return cx.timer(TimerKind::Now, call_id.as_bytes(), cx.now.plus(ASK_AGAIN_MS));
    }
    if call.answered == Some(false) && !call.voicemail {
        return alert(cx, ringing, "");
    }
    cx.put(&RINGING, call_id.as_bytes(), Ringing { settled: true, ..ringing });
    Ok(())
}

/// Tells whoever wants alerts, or the tenant's rules name, once per call.
fn alert(cx: &mut Context<'_, AlertOut>, ringing: Ringing, doubt: &str) -> OperatorResult {
    let Some(tenant) = cx.tenant() else { return Ok(()) };
    let rules = rules_of(tenant, &ringing, cx.now);
    let payload = payload(&ringing, doubt).to_string();
    for integration in routing::alerted(tenant, &rules) {
        cx.emit(AlertOut::Delivery(DeliveryRequest {
            integration: integration.id.clone(),
            subject: missed_call(&ringing.call_id),
            lead_id: None,
            kind: "missed_call".to_owned(),
            revision: 1,
            payload: payload.clone(),
        }));
    }
    for rule in rules {
        let Some(after_ms) = routing::escalates_after_ms(rule) else { continue };
        let name = [&[ESCALATES], ringing.call_id.as_bytes(), &[0], rule.id.as_bytes()].concat();
        cx.timer(TimerKind::Now, &name, cx.now.plus(after_ms))?;
    }
    let call_id = ringing.call_id.clone();
    cx.put(&RINGING, call_id.as_bytes(), Ringing { settled: true, ..ringing });
    Ok(())
}

fn payload(ringing: &Ringing, doubt: &str) -> Value {
    json!({
        "type": "missed_call",
        "call_id": ringing.call_id,
        "caller": ringing.caller,
        "rang_at": ringing.rang_at.to_string(),
        "confirmed": doubt.is_empty(),
        "note": doubt,
    })
}

fn rules_of<'t>(tenant: &'t Tenant, ringing: &Ringing, now: Millis) -> Vec<&'t RouteRule> {
    let (city, source) = (ringing.city.as_deref(), ringing.source.as_deref());
    routing::holding(tenant, &Matter { kind: "missed_call", city, source, ..Matter::default() }, now)
}

/// The company has called, or somebody has talked to the caller.
fn is_reaction(call: &CallEvent) -> bool {
    let over = matches!(call.kind, EventKind::PostCall | EventKind::CallModified);
    call.direction == Some(Direction::Outbound) || (over && call.answered == Some(true))
}

/// Notes it where a rule will ask for it.
fn react(cx: &mut Context<'_, AlertOut>, contact: &Contact) -> OperatorResult {
    let escalates = |tenant: &&std::sync::Arc<Tenant>| {
        tenant.routes.iter().any(|rule| routing::escalates_after_ms(rule).is_some())
    };
    if cx.tenant().filter(escalates).is_none() {
        return Ok(());
    }
    let (caller, at) = (contact.caller.as_bytes(), contact.event_time);
    cx.update(&REACTIONS, caller, || Reaction { at }, |reaction| reaction.at = reaction.at.max(at))
}

/// The time of a rule is over: unless the company has reacted since the phone rang, others are told.
fn nobody_called_back(cx: &mut Context<'_, AlertOut>, name: &[u8]) -> OperatorResult {
    let mut parts = name.splitn(2, |byte| *byte == 0);
    let (call_id, rule_id) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Some(ringing) = cx.get(&RINGING, call_id)?.cloned() else { return Ok(()) };
    let reacted = cx.get(&REACTIONS, ringing.caller.as_bytes())?.map(|reaction| reaction.at);
    if reacted.is_some_and(|at| at > ringing.rang_at) {
        return Ok(());
    }
    let Some(tenant) = cx.tenant() else { return Ok(()) };
    let Some(rule) = tenant.routes.iter().find(|rule| rule.id.as_bytes() == rule_id) else { return Ok(()) };
    let mut payload = payload(&ringing, "");
    if let Some(fields) = payload.as_object_mut() {
        fields.retain(|name, _| !["confirmed", "note"].contains(&name.as_str())); // The alert has said it.
        fields.insert("escalated_after_s".to_owned(), json!(rule.escalate_after_s));
    }
    let subject = missed_call(&ringing.call_id);
    for integration in routing::escalated_to(tenant, rule) {
        cx.emit(AlertOut::Delivery(escalation(cx.now, integration, &subject, "missed_call", &payload)));
    }
    Ok(())
}
