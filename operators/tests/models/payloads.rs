//! What integrations are sent: others read these texts, so a change of one is a change of our interface.

use std::path::Path;

use leadline_operators::alert::{Alert, AlertOut};
use leadline_operators::leads::LeadChanged;
use leadline_operators::route::Route;
use leadline_schemas::LeadId;
use leadline_schemas::call::Channel;
use leadline_schemas::event::{Attribution, Direction};
use leadline_schemas::golden::Golden;
use leadline_schemas::inbound::EventKind;
use leadline_schemas::lead::Lead;
use leadline_schemas::reply::FailureKind;

use crate::driver::{Driver, failed};
use crate::inputs::{CALLER, NOON, call_contact, call_event, event_id, integration, tenant, tenant_id};

fn compare(golden: &mut Golden, name: &str, payload: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/deliveries");
    golden.compare(&folder.join(format!("{name}.golden.json")), &serde_json::from_str(payload).unwrap());
}

fn lead() -> Lead {
    Lead {
        tenant: tenant_id(),
        lead_id: LeadId::of(&[b"golden"]),
        caller: CALLER.to_owned(),
        name: Some("Ana Núñez".to_owned()),
        phone: Some(CALLER.to_owned()),
        email: Some("ana@example.com".to_owned()),
        city: Some("Denver".to_owned()),
        status: "open".to_owned(),
        score: 82,
        band: "hot".to_owned(),
        class: "lead".to_owned(),
        project_type: Some("kitchen".to_owned()),
        detail: r#"{"reasons":["It may cost 60,000."],"factors":{"budget":20},"evidence":["sixty"]}"#
            .to_owned(),
        scored_by: None,
        first_channel: Channel::Call,
        attribution: Attribution::default(),
        contact_ids: vec!["CAL1".to_owned(), "SCI1".to_owned()],
        contacted: true,
        opened_at: NOON,
        last_contact_at: NOON.plus(60_000),
        contacted_at: None,
        updated_at: NOON,
        revision: 3,
        feedback: None,
    }
}

/// The alert of a call that nobody answered: told by its payload, or suspected when nobody can be asked.
fn missed_call(is_told: bool) -> String {
    let mut tenant = tenant();
    tenant.integrations = vec![integration("crm", "cold")];
    let mut alert = Driver::<Alert>::new(tenant, NOON);
    let mut event = call_event("CAL1");
    event.direction = Some(Direction::Inbound);
    event.call_type = Some("missed".to_owned());
    (event.answered, event.voicemail) = (Some(false), Some(false));
    event.kind = if is_told { EventKind::PostCall } else { EventKind::PreCall };
    let contact = call_contact(1, event);
    let mut done = alert.record(contact.event_id, contact).unwrap();
    if !is_told {
        let asked = alert.advance(3_600_000).remove(0).jobs.remove(0);
        done = alert.reply(asked.id, failed(FailureKind::Exhausted)).unwrap().unwrap();
    }
    let AlertOut::Delivery(request) = done.out.remove(0);
    request.payload
}

#[test]
fn golden_what_an_integration_is_told() {
    let mut golden = Golden::default();
    let mut told = tenant();
    told.integrations = vec![integration("crm", "cold")];
    let mut route = Driver::<Route>::new(told, NOON);
    let why = "A text.".to_owned();
    let changed = LeadChanged { lead: lead(), why, backfill: false, deliver_backfill: false };
    let done = route.record(event_id(1), changed).unwrap();
    compare(&mut golden, "lead", &done.out[0].payload);
    compare(&mut golden, "missed-call", &missed_call(true));
    compare(&mut golden, "missed-call-in-doubt", &missed_call(false));
    golden.finish();
}
