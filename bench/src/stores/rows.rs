//! Records as they are: a call of some minutes with what was made of it.

use std::collections::BTreeMap;

use anyhow::Result;
use leadline_operators::publish::Publish;
use leadline_schemas::call::{CallRecord, CallStage, Channel};
use leadline_schemas::contact::{Recording, Score};
use leadline_schemas::event::{Attribution, Direction, Speaker, Turn};
use leadline_schemas::frame::Output;
use leadline_schemas::inbound::{EventKind, Origin};
use leadline_schemas::lead::{Lead, LeadEvent};
use leadline_schemas::request::{Request, RequestStatus};
use leadline_schemas::{EventId, LeadId, Millis, TenantId};

pub(super) const BANDS: [&str; 4] = ["hot", "warm", "nurture", "cold"];
const STATES: [&str; 3] = ["open", "contacted", "won"];
/// When the first call came: 2026-01-01.
const BEGIN: Millis = Millis(1_767_225_600_000);

pub(super) fn tenant(number: u64) -> String {
    format!("tenant-{number}")
}

/// A call each 8 s: a million in three months.
pub(super) fn at(number: u64) -> Millis {
    BEGIN.plus(i64::try_from(number % 1_000_000).unwrap_or(0) * 8_000)
}

fn owner(number: u64, tenants: u64) -> Result<TenantId> {
    Ok(TenantId::new(&tenant(number % tenants))?)
}

fn band(number: u64) -> &'static str {
    BANDS.get((number / 7 % 4) as usize).copied().unwrap_or("cold")
}

fn event_id(number: u64) -> EventId {
    EventId::of(&[b"bench", &number.to_be_bytes()])
}

fn lead_id(number: u64) -> LeadId {
    LeadId::of(&[b"bench", &number.to_be_bytes()])
}

fn score(number: u64) -> Score {
    Score {
        score: 71,
        band: band(number).to_owned(),
        class: "lead".to_owned(),
        detail: format!(
            "{{\"reasons\":[\"{}\"]}}",
            "owns the home, has a budget, wants to start soon ".repeat(8)
        ),
        provider: "rules".to_owned(),
        model: None,
        prompt_version: "7".to_owned(),
        cost_micros: 0,
        fallback: None,
    }
}

fn call_record(number: u64, tenants: u64) -> Result<CallRecord> {
    let line = "Hi, we own our home and would like the kitchen redone next spring, with new cabinets. ";
    let turn = |index: u64| Turn {
        speaker: if index.is_multiple_of(2) { Speaker::Agent } else { Speaker::Caller },
        text: line.to_owned(),
    };
    Ok(CallRecord {
        tenant: owner(number, tenants)?,
        call_id: format!("CAL{number:032x}"),
        aliases: vec![],
        channel: Channel::Call,
        stage: CallStage::Completed,
        direction: Direction::Inbound,
        caller: format!("+1303{:07}", number % 10_000_000),
        caller_number: Some(format!("+1303{:07}", number % 10_000_000)),
        caller_name: Some("DENVER CO".to_owned()),
        caller_city: Some("Denver".to_owned()),
        caller_state: Some("CO".to_owned()),
        tracking_number: Some("+13035550100".to_owned()),
        answered: Some(true),
        missed: Some(false),
        duration_s: Some(412),
        first_call: Some(true),
        started_at: at(number),
        received_at: at(number),
        updated_at: at(number),
        event_id: event_id(number),
        recording: Recording::default(),
        transcript: (0..12).map(turn).collect(),
        transcript_provider: Some("callrail".to_owned()),
        transcript_skip: None,
        form_fields: BTreeMap::new(),
        tags: vec!["kitchen".to_owned()],
        note: None,
        value: None,
        lead_status: None,
        agent_email: None,
        attribution: Attribution::default(),
        score: Some(score(number)),
        lead_id: Some(lead_id(number)),
        cost_micros: 0,
        extra: "{}".to_owned(),
        revision: 2,
        content: 1,
    })
}

/// An output that the pipeline would make.
fn output(record: &impl Publish) -> Result<Output> {
    Ok(record.publish().ok_or_else(|| anyhow::anyhow!("no record of a topic"))??)
}

pub(super) fn call(number: u64, tenants: u64) -> Result<Output> {
    output(&call_record(number, tenants)?)
}

/// The bytes of a call's record.
pub(super) fn call_bytes() -> Result<usize> {
    Ok(call(1, 1)?.value.len())
}

pub(super) fn lead(number: u64, tenants: u64) -> Result<Output> {
    let status = STATES.get((number / 3 % 3) as usize).copied().unwrap_or("open");
    output(&Lead {
        tenant: owner(number, tenants)?,
        lead_id: lead_id(number),
        caller: format!("+1303{:07}", number % 10_000_000),
        name: Some("Ana Núñez".to_owned()),
        phone: Some("+13035550142".to_owned()),
        email: None,
        city: Some("Denver".to_owned()),
        status: status.to_owned(),
        score: 71,
        band: band(number).to_owned(),
        class: "lead".to_owned(),
        project_type: Some("kitchen".to_owned()),
        detail: score(number).detail,
        scored_by: Some(score(number)),
        first_channel: Channel::Call,
        attribution: Attribution::default(),
        contact_ids: vec![format!("CAL{number:032x}")],
        contacted: false,
        opened_at: at(number),
        last_contact_at: at(number),
        contacted_at: None,
        updated_at: at(number),
        feedback: None,
        revision: 1,
    })
}

/// All that the pipeline writes for a call: its request, itself, its lead, and two lines of that one's history.
pub(super) fn all_of_a_call(number: u64, tenants: u64) -> Result<Vec<Output>> {
    let line = |revision: i64, kind: &str| -> Result<Output> {
        output(&LeadEvent {
            tenant: owner(number, tenants)?,
            lead_id: lead_id(number),
            revision,
            kind: kind.to_owned(),
            contact_id: Some(format!("CAL{number:032x}")),
            event_id: event_id(number),
            text: "a first call of seven minutes".to_owned(),
            at: at(number),
        })
    };
    let request = output(&Request {
        tenant: owner(number, tenants)?,
        request_id: event_id(number),
        origin: Origin::CallrailWebhook,
        kind: EventKind::PostCall,
        status: RequestStatus::Done,
        reason: None,
        call_id: Some(format!("CAL{number:032x}")),
        lead_id: Some(lead_id(number)),
        received_at: at(number),
        updated_at: at(number),
    })?;
    Ok(vec![request, call(number, tenants)?, lead(number, tenants)?, line(1, "opened")?, line(2, "scored")?])
}
