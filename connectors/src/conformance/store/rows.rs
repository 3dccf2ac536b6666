//! Records to store, one of each kind, told apart by a number.

use bytes::Bytes;
use leadline_schemas::audit::Audit;
use leadline_schemas::avro::{self, AvroRecord};
use leadline_schemas::call::{CallRecord, CallStage, Channel};
use leadline_schemas::contact::{Recording, Score};
use leadline_schemas::dead_letter::{DeadLetter, InputKind};
use leadline_schemas::delivery::{Delivery, DeliveryStatus, Exchanged};
use leadline_schemas::event::{Attribution, Direction};
use leadline_schemas::frame::Output;
use leadline_schemas::inbound::{EventKind, Origin};
use leadline_schemas::lead::{Lead, LeadEvent};
use leadline_schemas::request::{Request, RequestStatus};
use leadline_schemas::window::{Sketch, WindowKind, WindowMetrics};
use leadline_schemas::{EventId, LeadId, Millis, Partition, TenantId, Topic};

pub(super) fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

/// A record as the dataflow emits it.
pub(super) fn output(topic: Topic, key: impl AsRef<[u8]>, record: &impl AvroRecord) -> Output {
    let value = Bytes::from(avro::encode(record).unwrap());
    Output { topic, key: Bytes::copy_from_slice(key.as_ref()), value }
}

fn event_id(number: u64) -> EventId {
    EventId::of(&[b"conformance", &number.to_be_bytes()])
}

pub(super) fn request(owner: &str, number: u64, status: RequestStatus) -> Request {
    Request {
        tenant: tenant(owner),
        request_id: event_id(number),
        origin: Origin::CallrailWebhook,
        kind: EventKind::PostCall,
        status,
        reason: Some(format!("request {number} – «reason» 🏠")),
        call_id: Some(format!("CAL{number}")),
        lead_id: None,
        // Three have the same time, so that pages end in the middle of ties.
        received_at: Millis(1_000 + (number / 3) as i64),
        updated_at: Millis(5_000),
    }
}

pub(super) fn request_row(request: &Request) -> Output {
    output(Topic::Requests, format!("{} {}", request.tenant, request.request_id), request)
}

pub(super) fn score(band: &str) -> Score {
    Score {
        score: 71,
        band: band.to_owned(),
        class: "lead".to_owned(),
        detail: r#"{"why":"because"}"#.to_owned(),
        provider: "rules".to_owned(),
        model: None,
        prompt_version: "7".to_owned(),
        cost_micros: 12,
        fallback: None,
    }
}

pub(super) fn call(owner: &str, number: u64, band: Option<&str>) -> CallRecord {
    CallRecord {
        tenant: tenant(owner),
        call_id: format!("CAL{number}"),
        aliases: vec![],
        channel: Channel::Call,
        stage: CallStage::Completed,
        direction: Direction::Inbound,
        caller: "+13035550142".to_owned(),
        caller_number: Some("+13035550142".to_owned()),
        caller_name: Some("Zoë O'Neill; DROP TABLE leads".to_owned()),
        caller_city: None,
        caller_state: Some("CO".to_owned()),
        tracking_number: None,
        answered: Some(true),
        missed: Some(false),
        duration_s: Some(412),
        first_call: None,
        started_at: Millis(2_000 + (number / 3) as i64),
        received_at: Millis(3_000),
        updated_at: Millis(4_000),
        event_id: event_id(number),
        recording: Recording::default(),
        transcript: vec![],
        transcript_provider: None,
        transcript_skip: None,
        form_fields: std::collections::BTreeMap::from([("budget".to_owned(), "40–60k".to_owned())]),
        tags: vec!["kitchen".to_owned()],
        note: None,
        value: None,
        lead_status: None,
        agent_email: None,
        attribution: Attribution::default(),
        score: band.map(score),
        lead_id: None,
        cost_micros: 3,
        extra: "{}".to_owned(),
        revision: 1,
        content: 1,
    }
}

pub(super) fn call_row(call: &CallRecord) -> Output {
    output(Topic::Calls, format!("{} {}", call.tenant, call.call_id), call)
}

pub(super) fn lead_id(number: u64) -> LeadId {
    LeadId::of(&[b"conformance", &number.to_be_bytes()])
}

pub(super) fn lead(owner: &str, number: u64, band: &str, status: &str) -> Lead {
    Lead {
        tenant: tenant(owner),
        lead_id: lead_id(number),
        caller: "+13035550142".to_owned(),
        name: Some("Ana Núñez".to_owned()),
        phone: None,
        email: None,
        city: None,
        status: status.to_owned(),
        score: 71,
        band: band.to_owned(),
        class: "lead".to_owned(),
        project_type: Some("kitchen".to_owned()),
        detail: "{}".to_owned(),
        scored_by: Some(score(band)),
        first_channel: Channel::Form,
        attribution: Attribution::default(),
        contact_ids: vec![format!("CAL{number}")],
        contacted: false,
        opened_at: Millis(1),
        last_contact_at: Millis(2_000 + (number / 3) as i64),
        contacted_at: None,
        updated_at: Millis(3),
        revision: 1,
        feedback: None,
    }
}

pub(super) fn lead_row(lead: &Lead) -> Output {
    output(Topic::Leads, format!("{} {}", lead.tenant, lead.lead_id), lead)
}

pub(super) fn lead_event(owner: &str, number: u64, revision: i64) -> LeadEvent {
    LeadEvent {
        tenant: tenant(owner),
        lead_id: lead_id(number),
        revision,
        kind: "scored".to_owned(),
        contact_id: None,
        event_id: event_id(number),
        text: format!("line {revision}"),
        at: Millis(10 * revision),
    }
}

pub(super) fn lead_event_row(line: &LeadEvent) -> Output {
    output(Topic::LeadEvents, format!("{} {} {}", line.tenant, line.lead_id, line.revision), line)
}

pub(super) fn window(owner: &str, kind: WindowKind, start: i64, slot: i32) -> WindowMetrics {
    WindowMetrics {
        tenant: tenant(owner),
        window: kind,
        start: Millis(start),
        slot,
        calls: 7,
        answered: 4,
        missed: 3,
        texts: 2,
        forms: 1,
        leads: 1,
        hot_or_warm: 1,
        scored: 2,
        score_sum: 130,
        cost_micros: 99,
        first_contact_ms: Sketch { zeros: 1, first_bin: -3, bins: vec![1, 0, 2], sum: 17.5, count: 4 },
        score_latency_ms: Sketch::default(),
        revision: 1,
    }
}

pub(super) fn window_row(row: &WindowMetrics) -> Output {
    output(Topic::Metrics, format!("{} {} {} {}", row.tenant, row.window.name(), row.start.0, row.slot), row)
}

pub(super) fn delivery(owner: &str, subject: &str, status: DeliveryStatus) -> Delivery {
    Delivery {
        tenant: tenant(owner),
        integration: "crm".to_owned(),
        subject: subject.to_owned(),
        lead_id: Some(lead_id(1)),
        kind: "lead".to_owned(),
        revision: 1,
        status,
        reason: None,
        job_id: None,
        attempts: 1,
        remote_id: Some("R-1".to_owned()),
        payload: r#"{"lead":1}"#.to_owned(),
        queued_at: Millis(1_000),
        updated_at: Millis(2_000),
        exchange: Some(Exchanged {
            request: "POST https://crm.example/hook".to_owned(),
            answer: "200".to_owned(),
            at: Millis(1_900),
        }),
        tries: Vec::new(),
        held_until: Millis(0),
    }
}

pub(super) fn delivery_row(line: &Delivery) -> Output {
    output(Topic::Deliveries, format!("{} {} {}", line.tenant, line.integration, line.subject), line)
}

pub(super) fn audit_line(owner: &str, number: u64) -> Audit {
    Audit {
        tenant: tenant(owner),
        id: event_id(number),
        kind: if number.is_multiple_of(3) { "missed_by_webhooks" } else { "transcription_skipped" }
            .to_owned(),
        subject: "CAL1".to_owned(),
        text: "no consent".to_owned(),
        event_id: event_id(number),
        at: Millis(1_000 + i64::try_from(number).unwrap()),
    }
}

pub(super) fn audit_row(line: &Audit) -> Output {
    output(Topic::Audit, format!("{} {}", line.tenant, line.id), line)
}

pub(super) fn dead_letter(owner: Option<&str>, number: u64) -> DeadLetter {
    DeadLetter {
        id: event_id(number),
        tenant: owner.map(tenant),
        operator: "decode".to_owned(),
        reason: "not JSON".to_owned(),
        input_kind: InputKind::Record,
        input: Some(Bytes::from_static(b"\xc3\x01\x00")),
        schema: "00".to_owned(),
        partition: i32::from(Partition(3).0),
        offset: 17,
        received_at: None,
        failed_at: Millis(1_000 + number as i64),
        attempt: 0,
        status: "open".to_owned(),
    }
}

/// As the engine files it: under its id as text, and an empty value ends it.
pub(super) fn dead_letter_row(letter: &DeadLetter) -> Output {
    output(Topic::DeadLetters, letter.id.to_string(), letter)
}

pub(super) fn tombstone(topic: Topic, key: String) -> Output {
    Output { topic, key: Bytes::from(key), value: Bytes::new() }
}
