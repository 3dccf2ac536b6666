//! decode: every accepted body becomes one contact or one command, or is poison that says why.

use std::collections::BTreeMap;

use leadline_operators::contract::Fault;
use leadline_operators::decode::{Decode, Decoded};
use leadline_schemas::command::Command;
use leadline_schemas::contact::Contact;
use leadline_schemas::dead_letter::InputKind;
use leadline_schemas::event::Event;
use leadline_schemas::inbound::{EventKind, Inbound, Origin};
use leadline_schemas::partitioning::Key;
use leadline_schemas::settings::Form;
use leadline_schemas::{EventId, Millis};
use proptest::prelude::*;

use crate::driver::{Driver, cases, is_poison};
use crate::inputs::{CALLER, NOON, event_id, tenant, tenant_id};

fn inbound(origin: Origin, kind: EventKind, content_type: &str, body: Vec<u8>) -> Inbound {
    let key = Key::new(tenant_id(), CALLER, 1);
    Inbound {
        event_id: event_id(1),
        tenant: key.tenant,
        key_group: key.key_group,
        bucket: key.bucket,
        caller: CALLER.to_owned(),
        origin,
        kind,
        received_at: NOON,
        settings_version: 1,
        attempt: 0,
        key_id: None,
        trace: None,
        content_type: content_type.to_owned().into(),
        body: body.into(),
        body_ref: None,
    }
}

/// The one thing that a body became, and the event time that goes on with it.
fn decoded(driver: &mut Driver<Decode>, inbound: Inbound) -> Result<(Decoded, Millis), Fault> {
    let done = driver.record(inbound.event_id, inbound)?;
    assert!(done.jobs.is_empty());
    let mut out = done.out;
    assert_eq!(out.len(), 1, "neither one nor poison: {out:?}");
    Ok((out.remove(0), done.event_time))
}

fn contact(driver: &mut Driver<Decode>, inbound: Inbound) -> (Contact, Millis) {
    match decoded(driver, inbound).unwrap() {
        (Decoded::Contact(contact), event_time) => (*contact, event_time),
        (Decoded::Command(command), _) => panic!("{command:?}"),
    }
}

fn json(body: &serde_json::Value) -> Vec<u8> {
    body.to_string().into_bytes()
}

const ORIGINS: [Origin; 6] = [
    Origin::CallrailWebhook,
    Origin::CallrailPull,
    Origin::Form,
    Origin::Direct,
    Origin::Process,
    Origin::Command,
];

proptest! {
    #![proptest_config(cases(256))]

    /// Time of the event is the payload's, but never believed to lie in the future; old news is a backfill.
    #[test]
    fn event_time_is_the_payloads_within_a_minute_of_its_receipt(
        ago_ms in prop_oneof![-3 * Millis::DAY..3 * Millis::DAY, -2 * Millis::MINUTE..2 * Millis::MINUTE,
            (Millis::DAY - 2_000)..(Millis::DAY + 2_000), Just(i64::MIN / 4), Just(-i64::MAX / 4)],
        kind in prop::sample::select(EventKind::CALLRAIL.to_vec()),
        pull in any::<bool>(),
        attempt in 0..3_i32,
        dated in prop::bool::weighted(0.9),
    ) {
        let at = NOON.plus(-ago_ms).to_string();
        let at = dated.then(|| at.clone()).filter(|at| Millis::parse(at).is_some());
        let mut body = serde_json::json!({
            "resource_id": "CAL019fb93fce197a38a2788269bcf71b70", "start_time": at, "timestamp": at,
            "submitted_at": at, "answered": true,
        });
        match kind {
            EventKind::FormSubmission => body["form_data"] = serde_json::json!({"name": "Ana"}),
            EventKind::TextReceived | EventKind::TextSent => body["message_type"] = "sms".into(),
            _ => {}
        }
        let origin = if pull { Origin::CallrailPull } else { Origin::CallrailWebhook };
        let mut inbound = inbound(origin, kind, "application/json", json(&body));
        inbound.attempt = attempt;
        let (contact, event_time) = contact(&mut Driver::new(tenant(), NOON), inbound.clone());
        let wanted = at.map_or(NOON, |at| Millis::parse(&at).unwrap()).min(NOON.plus(Millis::MINUTE));
        prop_assert_eq!(contact.event_time, wanted);
        prop_assert_eq!(event_time, wanted, "the watermark learns of it");
        prop_assert_eq!(contact.backfill, NOON.since(wanted) > Millis::DAY);
        prop_assert_eq!(contact.update, attempt > 0);
        prop_assert_eq!((contact.event_id, contact.received_at), (inbound.event_id, inbound.received_at));
        prop_assert_eq!((contact.tenant, contact.caller), (inbound.tenant, inbound.caller));
        let fits = match kind {
            EventKind::TextReceived | EventKind::TextSent => matches!(contact.event, Event::TextEvent(_)),
            EventKind::FormSubmission => matches!(contact.event, Event::FormEvent(_)),
            _ => matches!(contact.event, Event::CallEvent(_)),
        };
        prop_assert!(fits, "{:?}", contact.event);
    }

    #[test]
    fn any_body_is_one_thing_or_poison(
        origin in prop::sample::select(ORIGINS.to_vec()),
        kind in prop::sample::select(EventKind::CALLRAIL.to_vec()),
        content_type in prop::sample::select(vec!["application/json", "application/json; form=K", "text/plain", ""]),
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "[{}\\[\\]\":,a-z0-9 ]{0,60}".prop_map(String::into_bytes),
            Just(b"{\"id\":1,\"type\":\"call\",\"call_id\":\"1\",\"name\":\"x\",\"command\":\"process_call\"}".to_vec()),
        ],
    ) {
        let outcome = decoded(&mut Driver::new(tenant(), NOON), inbound(origin, kind, content_type, body));
        if let Err(fault) = outcome {
            prop_assert!(is_poison(&fault), "the input is at fault, not the engine: {}", fault);
            prop_assert!(fault.to_string().len() < 500, "an error says what was wrong, not all of it");
        }
    }

    #[test]
    fn a_command_comes_out_as_it_went_in(text in "\\PC{0,20}", input in prop::collection::vec(any::<u8>(), 0..50)) {
        let (integration, subject) = (text.clone(), format!("missed:{text}"));
        for command in [
            Command::RetryDelivery { integration: integration.clone(), subject: subject.clone() },
            Command::SkipDelivery { integration, subject },
            Command::ProcessCall { call_id: text.clone() },
            Command::Replay {
                dead_letter: text.clone(),
                operator: "score".to_owned(),
                input_kind: InputKind::Reply,
                input: input.clone().into(),
            },
        ] {
            let body = serde_json::to_vec(&command).unwrap();
            let inbound = inbound(Origin::Command, EventKind::Command, "application/json", body);
            let (out, _) = decoded(&mut Driver::new(tenant(), NOON), inbound).unwrap();
            prop_assert_eq!(out.command(), Some(command));
            prop_assert!(out.contact().is_none());
        }
    }
}

#[test]
fn a_form_is_read_by_its_own_field_map_and_dated_by_its_receipt() {
    let mut tenant = tenant();
    let field_map = BTreeMap::from([("name".to_owned(), "f7".to_owned())]);
    tenant.forms = vec![Form { form_key: "KEY".to_owned(), origins: vec![], honeypot: None, field_map }];
    let mut driver = Driver::<Decode>::new(tenant, NOON);
    let body = json(&serde_json::json!({"f7": "Ana Ruiz", "name": "not me", "tel": "303-555-0142"}));
    for (content_type, name) in
        [("application/json; form=KEY", "Ana Ruiz"), ("application/json; form=OTHER", "not me")]
    {
        let inbound = inbound(Origin::Form, EventKind::FormSubmission, content_type, body.clone());
        let (contact, _) = contact(&mut driver, inbound);
        let Event::FormEvent(form) = contact.event else { panic!("a form") };
        assert_eq!(form.name.as_deref(), Some(name));
        assert_eq!((form.phone.as_deref(), form.at), (Some(CALLER), Some(NOON)));
    }
}

#[test]
fn a_processed_transcript_is_a_call_and_a_processed_id_a_command() {
    let mut driver = Driver::<Decode>::new(tenant(), NOON);
    let of = |body: serde_json::Value| {
        inbound(Origin::Process, EventKind::PostCall, "application/json", json(&body))
    };
    let (contact, _) = contact(&mut driver, of(serde_json::json!({"transcript": "Caller: I need a roof."})));
    let Event::CallEvent(call) = contact.event else { panic!("a call") };
    assert_eq!(call.transcript.len(), 1);
    assert_eq!(call.call_id.0, event_id(1).to_string(), "it goes by the id of its event");
    let (out, _) = decoded(&mut driver, of(serde_json::json!({"call_id": "CAL1"}))).unwrap();
    assert_eq!(out.command(), Some(Command::ProcessCall { call_id: "CAL1".to_owned() }));
}

#[test]
fn a_direct_event_goes_by_its_own_id_or_by_that_of_its_event() {
    let mut driver = Driver::<Decode>::new(tenant(), NOON);
    for (body, id) in [
        (serde_json::json!({"type": "text", "content": "Hi", "id": "T-1"}), "T-1".to_owned()),
        (serde_json::json!({"type": "text", "content": "Hi"}), EventId::to_string(&event_id(1))),
    ] {
        let inbound = inbound(Origin::Direct, EventKind::TextReceived, "application/json", json(&body));
        assert_eq!(contact(&mut driver, inbound).0.event.subject_id(), id);
    }
}
