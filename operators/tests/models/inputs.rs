//! Tenants and contacts to feed.

use leadline_schemas::contact::{Contact, Recording};
use leadline_schemas::event::{Attribution, CallEvent, Direction, Event, FormEvent, TextEvent};
use leadline_schemas::inbound::{EventKind, Origin};
use leadline_schemas::settings::{Integration, Tenant};
use leadline_schemas::{CallId, EventId, Millis, TenantId};

/// A Wednesday at noon, UTC.
pub(crate) const NOON: Millis = Millis(1_772_625_600_000);
pub(crate) const CALLER: &str = "+13035550142";

pub(crate) fn tenant_id() -> TenantId {
    TenantId::new("summit").unwrap()
}

pub(crate) fn tenant() -> Tenant {
    Tenant::new(tenant_id(), "Summit Kitchens", Millis(0))
}

pub(crate) fn integration(id: &str, band_min: &str) -> Integration {
    let integration = Integration::new(id, "http", "https://crm.example/hook");
    Integration { band_min: band_min.to_owned(), alerts: true, ..integration }
}

pub(crate) fn event_id(number: u64) -> EventId {
    EventId::of(&[b"model", &number.to_be_bytes()])
}

/// A call that somebody answered; tests change what they are about.
pub(crate) fn call_event(call_id: &str) -> CallEvent {
    CallEvent {
        kind: EventKind::PostCall,
        call_id: CallId(call_id.to_owned()),
        numeric_id: None,
        company_id: Some("COM1".to_owned()),
        caller_number: Some(CALLER.to_owned()),
        caller_name: None,
        caller_city: None,
        caller_state: None,
        tracking_number: Some("+13035550100".to_owned()),
        direction: Some(Direction::Inbound),
        answered: Some(true),
        voicemail: Some(false),
        call_type: Some("answered".to_owned()),
        duration_s: Some(120),
        first_call: None,
        started_at: Some(NOON),
        recording_url: None,
        recording_duration_s: None,
        transcript: vec![],
        agent_email: None,
        tags: vec![],
        note: None,
        value: None,
        lead_status: None,
        attribution: Attribution::default(),
        changes: vec![],
        extra: "{}".to_owned(),
    }
}

pub(crate) fn text_event(text_id: &str, content: &str) -> TextEvent {
    TextEvent {
        kind: EventKind::TextReceived,
        text_id: text_id.to_owned(),
        company_id: None,
        customer_number: Some(CALLER.to_owned()),
        company_number: None,
        content: content.to_owned(),
        agent: None,
        conversation_id: None,
        media_urls: vec![],
        at: Some(NOON),
        extra: "{}".to_owned(),
    }
}

pub(crate) fn form_event(form_id: &str, fields: &[(&str, &str)]) -> FormEvent {
    FormEvent {
        form_id: form_id.to_owned(),
        company_id: None,
        fields: fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        name: None,
        email: None,
        phone: Some(CALLER.to_owned()),
        message: None,
        form_url: None,
        attribution: Attribution::default(),
        at: Some(NOON),
        extra: "{}".to_owned(),
    }
}

/// The contact that decode would make of an event, received `number` ms after noon.
pub(crate) fn contact(number: u64, event: Event) -> Contact {
    let received_at = NOON.plus(i64::try_from(number).unwrap());
    Contact {
        origin: Origin::CallrailWebhook,
        event_id: event_id(number),
        tenant: tenant_id(),
        caller: CALLER.to_owned(),
        received_at,
        event_time: event.occurred_at().unwrap_or(received_at),
        backfill: false,
        deliver_backfill: false,
        event,
        update: false,
        recording: Recording::default(),
        transcript: None,
        transcript_skip: None,
        score: None,
        content: 0,
    }
}

pub(crate) fn call_contact(number: u64, call: CallEvent) -> Contact {
    contact(number, Event::CallEvent(Box::new(call)))
}
