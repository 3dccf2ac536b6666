//! Records that the first version wrote are read as today's type.
//!
//! The fixtures were made by a program of its own (Python, written from the Avro specification) and are never made
//! again: they stand for what lies in the logs of our users.

use bytes::Bytes;

use super::*;
use crate::inbound::{EventKind, Inbound, Origin};
use crate::{Bucket, EventId, KeyGroup, Millis, TenantId};

fn event_id(text: &str) -> EventId {
    EventId(text.parse().unwrap())
}

#[test]
fn an_inbound_record_of_version_1_is_read_with_the_fields_of_today() {
    let bytes = include_bytes!("../../fixtures/inbound/v1-post-call.avro");
    assert_eq!(fingerprint_of(bytes), fingerprint("inbound", 1));
    let expected = Inbound {
        event_id: event_id("0f8fad5b-d9cb-869f-a165-70867728950e"),
        tenant: TenantId::new("summit-kitchens").unwrap(),
        key_group: KeyGroup(1_023),
        bucket: Bucket(255),
        caller: "+13035550142".to_owned(),
        origin: Origin::CallrailWebhook,
        kind: EventKind::PostCall,
        received_at: Millis(1_772_640_753_236),
        settings_version: 42,
        attempt: 0,
        key_id: None,
        trace: None,
        content_type: "application/json".into(),
        body: Bytes::from_static(br#"{"resource_id":"CAL019fb93fce197a38a2788269bcf71b70","note":"\u00e9"}"#),
        body_ref: None,
    };
    assert_eq!(decode::<Inbound>(bytes).unwrap(), expected);
    assert_eq!(decode_datum::<Inbound>(1, &bytes[HEADER_BYTES..]).unwrap(), expected);
    let today = encode(&expected).unwrap();
    assert_eq!(fingerprint_of(&today), fingerprint("inbound", 2));
    assert_eq!(decode::<Inbound>(&today).unwrap(), expected);
}

#[test]
fn a_sealed_command_of_version_1_is_read_with_the_fields_of_today() {
    let bytes = include_bytes!("../../fixtures/inbound/v1-sealed-command.avro");
    let record = decode::<Inbound>(bytes).unwrap();
    assert_eq!(record.origin, Origin::Command);
    assert_eq!(record.kind, EventKind::Command);
    assert_eq!(record.key_id.as_deref(), Some("tenant/7"));
    assert_eq!(record.attempt, -1);
    assert_eq!(record.body, Bytes::from_static(&[0, 0xFF, 0xC3, 0x01]));
    assert_eq!((record.trace, record.body_ref), (None, None));
}

#[test]
fn a_damaged_record_of_an_older_version_is_refused() {
    let bytes = include_bytes!("../../fixtures/inbound/v1-post-call.avro");
    for cut in HEADER_BYTES..bytes.len() {
        assert!(matches!(decode::<Inbound>(&bytes[..cut]), Err(AvroError::Malformed { .. })), "cut to {cut}");
    }
    for place in HEADER_BYTES..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.to_vec();
            flipped[place] ^= 1 << bit;
            let _ = decode::<Inbound>(&flipped);
        }
    }
    assert!(decode::<Inbound>(&[&bytes[..], &[0]].concat()).is_err());
}
