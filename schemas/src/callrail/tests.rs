//! What holds of every payload, and the odd ones that were seen or must be expected.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::raw::Raw;
use super::*;
use crate::Millis;
use crate::event::{CallEvent, Speaker};

fn call_of(body: &Value) -> CallEvent {
    match decode(None, body.to_string().as_bytes()).unwrap() {
        (_, Event::CallEvent(call)) => *call,
        other => panic!("not a call: {other:?}"),
    }
}

fn extra_of(extra: &str) -> Value {
    serde_json::from_str(extra).unwrap()
}

#[test]
fn the_id_is_the_newest_one_that_a_payload_has() {
    for (body, call_id, numeric_id) in [
        (json!({"resource_id": "CALb1", "id": 766970532}), "CALb1", Some("766970532")),
        (json!({"resource_id": "CALb1", "id": "CALb1"}), "CALb1", None),
        (json!({"id": "CALb1"}), "CALb1", None),
        (json!({"id": 766970532}), "766970532", Some("766970532")),
        (json!({"id": "766970532"}), "766970532", Some("766970532")),
        (json!({"resource_id": "", "id": 1}), "1", Some("1")),
        (json!({"resource_id": null, "call_id": "CALb1"}), "CALb1", None),
    ] {
        let call = call_of(&body);
        assert_eq!((call.call_id.as_str(), call.numeric_id.as_deref()), (call_id, numeric_id), "{body}");
        assert_eq!(call.extra, "{}", "{body}");
    }
    // Longer than any integer type.
    let body =
        br#"{"id":123456789012345678901234567890123456789012,"company_id":98765432109876543210987654321}"#;
    let (_, event) = decode(None, body).unwrap();
    assert_eq!(event.subject_id(), "123456789012345678901234567890123456789012");
    assert_eq!(
        peek(None, body).unwrap().company_ids().collect::<Vec<_>>(),
        ["98765432109876543210987654321"]
    );
}

#[test]
fn what_is_no_event_is_refused_in_one_line() {
    for (body, reason) in [
        (
            &br#"{"company_id":1}"#[..],
            "the body names no post_call: neither `resource_id` nor `id` holds an id",
        ),
        (
            br#"{"id":1.5,"form_data":{"a":"b"}}"#,
            "the body names no form_submission: neither `resource_id` nor `id` holds an id",
        ),
        (br#"[{"id":1}]"#, "the body is not a JSON object but starts with '['"),
        (b" \"id\"", "the body is not a JSON object but starts with '\"'"),
        (b"", "the body is not JSON: EOF while parsing a value at line 1 column 0"),
        (br#"{"id":1"#, "the body is not JSON: EOF while parsing an object at line 1 column 7"),
        (br#"{"id":1} x"#, "the body is not JSON: trailing characters at line 1 column 10"),
        (b"id=1&callernum=2", "the body is not JSON: expected value at line 1 column 1"),
    ] {
        assert_eq!(decode(None, body).unwrap_err().to_string(), reason);
        assert_eq!(peek(None, body).unwrap_err().to_string(), reason);
    }
}

#[test]
fn the_shape_tells_the_kind() {
    let ringing =
        json!({"id": 1, "answered": false, "call_type": "missed", "duration": 0, "voicemail": false});
    let with = |name: &str, value: Value| {
        let mut body = ringing.clone();
        body[name] = value;
        body
    };
    for (body, kind) in [
        (ringing.clone(), EventKind::PreCall),
        (with("duration", json!("0")), EventKind::PreCall),
        (with("duration", json!("")), EventKind::PreCall),
        (with("recording", json!(null)), EventKind::PreCall),
        (with("duration", json!("21")), EventKind::PostCall),
        (with("answered", json!(true)), EventKind::PostCall),
        (with("voicemail", json!("true")), EventKind::PostCall),
        (with("recording", json!("https://app.callrail.com/x")), EventKind::PostCall),
        (with("changes", json!(["note"])), EventKind::CallModified),
        (with("changes", json!([])), EventKind::PreCall),
        (with("answers", json!([{"question": "budget", "answer": "20k"}])), EventKind::ConvertAssistComplete),
        (json!({"id": 1, "direction": "outbound"}), EventKind::OutboundPostCall),
        (json!({"id": 1, "direction": "Outbound", "changes": "note,tags"}), EventKind::OutboundCallModified),
        (json!({"id": 1, "message_type": "sms"}), EventKind::TextReceived),
        (json!({"id": 1, "conversation_id": "crpLH", "agent": null}), EventKind::TextReceived),
        (json!({"id": 1, "conversation_id": "crpLH", "agent": "Sam"}), EventKind::TextSent),
        (json!({"id": 1, "form_data": {"name": "Ana"}}), EventKind::FormSubmission),
        (json!({"id": 1}), EventKind::PostCall),
    ] {
        let bytes = body.to_string().into_bytes();
        assert_eq!(decode(None, &bytes).unwrap().0, kind, "{body}");
        assert_eq!(peek(None, &bytes).unwrap().kind, kind, "{body}");
    }
}

#[test]
fn the_path_tells_the_kind_unless_the_shape_is_plainly_another() {
    let kind_of = |path, body: Value| decode(Some(path), body.to_string().as_bytes()).unwrap().0;
    let call = json!({"id": 1, "call_type": "answered", "duration": 5});
    let text = json!({"id": 1, "message_type": "sms", "source_number": "770-555-5555"});
    assert_eq!(kind_of(EventKind::CallRoutingComplete, call.clone()), EventKind::CallRoutingComplete);
    assert_eq!(kind_of(EventKind::PreCall, call.clone()), EventKind::PreCall);
    assert_eq!(kind_of(EventKind::FormSubmission, json!({"id": 1})), EventKind::FormSubmission);
    assert_eq!(kind_of(EventKind::PostCall, text.clone()), EventKind::TextReceived);
    assert_eq!(kind_of(EventKind::TextSent, text), EventKind::TextSent);
    assert_eq!(kind_of(EventKind::TextReceived, call), EventKind::PostCall);
}

/// A text that nobody of the company wrote has no agent; only the path says that it was sent, and so which number is
/// the customer's.
#[test]
fn the_path_tells_whose_number_is_whose() {
    let body = br#"{"id":1,"message_type":"sms","source_number":"770-555-5555","destination_number":"770-234-5678"}"#;
    for (path, customer) in [(None, "+17705555555"), (Some(EventKind::TextSent), "+17702345678")] {
        let (_, event) = decode(path, body).unwrap();
        assert_eq!(event.caller(), Some(customer));
        assert_eq!(peek(path, body).unwrap().caller.as_deref(), Some(customer));
    }
}

#[test]
fn loose_types_are_read_and_what_cannot_be_read_is_kept() {
    let call = call_of(&json!({
        "id": 1, "answered": "true", "voicemail": 0, "first_call": "no", "duration": "6m 52s", "recording_duration": "409",
        "value": 150.5, "tags": "hot, roof ,", "start_time": "2018-02-19 18:41:00", "call_type": "Abandonded",
        "customer_phone_number": "Anonymous", "callernum": "770-555-5555", "direction": "sideways", "note": {"a": [1]},
        "keywords_spotted": [{"k": "roof"}], "formatted_value": "$150.50", "utma": "", "tag": "hot", "lead_score": "good",
    }));
    assert_eq!((call.answered, call.voicemail, call.first_call), (Some(true), Some(false), Some(false)));
    assert_eq!((call.duration_s, call.recording_duration_s), (Some(412), Some(409)));
    assert_eq!(call.value.as_deref(), Some("150.5"));
    assert_eq!(call.tags, ["hot", "roof"]);
    assert_eq!(call.started_at, Some(Millis(1_519_065_660_000)));
    assert_eq!(call.call_type.as_deref(), Some("abandoned"));
    assert_eq!(call.caller_number.as_deref(), Some("+17705555555"));
    assert_eq!((call.direction, call.note), (None, None));
    let kept = json!({
        "customer_phone_number": "Anonymous", "direction": "sideways", "note": {"a": [1]},
        "keywords_spotted": [{"k": "roof"}], "lead_score": "good",
    });
    assert_eq!(extra_of(&call.extra), kept);
}

#[test]
fn tags_come_in_every_shape() {
    for (tags, expected) in [
        (json!(["a", "b"]), &["a", "b"][..]),
        (json!([{"name": "a", "id": 1}, {"name": "b"}]), &["a", "b"]),
        (json!("a, b"), &["a", "b"]),
        (json!({"name": "a"}), &["a"]),
        (json!([1, "b"]), &["1", "b"]),
        (json!(""), &[]),
        (json!(null), &[]),
        (json!([]), &[]),
    ] {
        assert_eq!(call_of(&json!({"id": 1, "tags": tags})).tags, expected, "{tags}");
    }
}

#[test]
fn lengths_of_time_come_in_every_shape() {
    for (raw, seconds) in [
        ("13", Some(13)),
        ("\"13\"", Some(13)),
        ("13.9", Some(13)),
        ("\"1:02:03\"", Some(3_723)),
        ("\"02:03\"", Some(123)),
        ("\"1h 2m 3s\"", Some(3_723)),
        ("\"13s\"", Some(13)),
        ("-1", None),
        ("\"soon\"", None),
        ("\"5 min\"", None),
        ("1e400", None),
        ("\"NaN\"", None),
        ("\"5\u{b5}\"", None),
        ("\"99999999999999999999h\"", None),
        ("true", None),
    ] {
        assert_eq!(Raw::unread(raw).seconds(), seconds, "{raw}");
    }
}

fn turns_of(text: &str) -> Vec<(Speaker, String)> {
    turns_of_text(text).into_iter().map(|turn| (turn.speaker, turn.text)).collect()
}

#[test]
fn one_text_is_split_where_it_names_the_speakers() {
    use Speaker::{Agent, Caller, Unknown};
    let text = |speaker, text: &str| (speaker, text.to_owned());
    assert_eq!(
        turns_of("Agent: Summit Kitchens. Agent: How can I help? Caller: A roof.\nCustomer: Soon."),
        [text(Agent, "Summit Kitchens. How can I help?"), text(Caller, "A roof. Soon.")]
    );
    assert_eq!(
        turns_of("Speaker 1: Hi.\nSpeaker 2: Hello.\nSpeaker 2: Yes?"),
        [text(Unknown, "Hi."), text(Unknown, "Hello. Yes?")]
    );
    assert_eq!(
        turns_of("I spoke to the Agent: he said so"),
        [text(Unknown, "I spoke to the Agent: he said so")]
    );
    assert_eq!(turns_of("(call starts)\nCaller: Hi."), [text(Unknown, "(call starts)"), text(Caller, "Hi.")]);
    assert_eq!(turns_of(" \n "), []);
}

#[test]
fn a_transcript_by_turns_merges_what_one_speaker_says_in_a_row() {
    let call = call_of(
        &json!({"id": 1, "transcription": "the same in one text", "conversational_transcript": [
            {"speaker": "Agent", "phrase": "Summit", "start": 0.1}, {"speaker": "agent", "phrase": "Kitchens.", "start": 0.9},
            {"speaker": "caller", "phrase": "Hi \u{e9}\n", "start": 2}, {"phrase": "?", "start": 3}, {"speaker": "caller"},
        ]}),
    );
    let turns: Vec<_> = call.transcript.iter().map(|turn| (turn.speaker, turn.text.as_str())).collect();
    let expected =
        [(Speaker::Agent, "Summit Kitchens."), (Speaker::Caller, "Hi \u{e9}"), (Speaker::Unknown, "?")];
    assert_eq!(turns, expected);
    assert_eq!(call.extra, "{}");
    let call = call_of(&json!({"id": 1, "conversational_transcript": "", "transcription": "Caller: Hi."}));
    assert_eq!(call.transcript[0].speaker, Speaker::Caller);
}

#[test]
fn escapes_and_broken_texts_are_no_reason_to_lose_a_call() {
    let body = br#"{"res\u006furce_id":"CAL\u0031","note":"a\"b\\\ud83d\ude00","source_name":"cut \ud83d","x":"\ud83d","y":1e999}"#;
    let (_, Event::CallEvent(call)) = decode(None, body).unwrap() else { panic!("a call") };
    assert_eq!(call.call_id.as_str(), "CAL1");
    assert_eq!(call.note.as_deref(), Some("a\"b\\\u{1f600}"));
    assert!(call.attribution.source.unwrap().starts_with("cut \u{fffd}"));
    let extra = extra_of(&call.extra);
    assert_eq!((&extra["x"], &extra["y"]), (&json!("\"\\ud83d\""), &json!("1e999")));

    let latin1 = b"{\"id\":1,\"note\":\"caf\xE9\",\"customer_phone_number\":\"+13035550142\"}";
    let (_, event) = decode(None, latin1).unwrap();
    assert_eq!(event.caller(), Some("+13035550142"));
    assert_eq!(peek(None, latin1).unwrap().caller.as_deref(), event.caller());
}

/// Values as CallRail might send them in any field.
fn any_value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(json!(null)),
        Just(json!("")),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "[+0-9 ()-]{7,15}".prop_map(Value::from),
        "[A-Z]{3}[0-9a-f]{4}".prop_map(Value::from),
        prop::sample::select(vec!["missed", "outbound", "true", "0", "a@b.example", "2018-02-19 18:41:00"])
            .prop_map(Value::from),
    ];
    scalar.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("(name|email|phone|speaker|phrase|\\PC)", inner, 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// An object with known and unknown fields, any value in each.
fn any_body() -> impl Strategy<Value = Value> {
    let names = fields::Field::ALL.map(fields::Field::name).to_vec();
    let name = prop_oneof![8 => prop::sample::select(names).prop_map(str::to_owned), 1 => "\\PC{0,8}"];
    prop::collection::btree_map(name, any_value(), 0..14)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

proptest! {
    #[test]
    fn peek_and_decode_agree(
        body in any_body(), path in prop::option::of(prop::sample::select(EventKind::CALLRAIL.to_vec()))
    ) {
        let bytes = serde_json::to_vec(&body).unwrap();
        match (peek(path, &bytes), decode(path, &bytes)) {
            (Ok(peek), Ok((kind, event))) => {
                prop_assert_eq!(peek.caller.as_deref(), event.caller());
                prop_assert_eq!(&*peek.subject_id, event.subject_id());
                prop_assert_eq!(peek.kind, kind);
                prop_assert_eq!(decode(Some(kind), &bytes).unwrap(), (kind, event));
            }
            (Err(peek), Err(decode)) => prop_assert_eq!(peek, decode),
            (peek, decode) => prop_assert!(false, "{:?} but {:?}", peek, decode),
        }
    }

    #[test]
    fn nothing_with_an_id_is_refused_and_extra_can_be_read(body in any_body(), id in "[A-Z]{3}[0-9a-f]{8}") {
        let mut body = body;
        body["resource_id"] = json!(id);
        let (_, event) = decode(None, &serde_json::to_vec(&body).unwrap()).unwrap();
        let extra = match &event {
            Event::CallEvent(call) => &call.extra,
            Event::TextEvent(text) => &text.extra,
            Event::FormEvent(form) => &form.extra,
        };
        prop_assert!(extra_of(extra).is_object());
        for (name, value) in body.as_object().unwrap() {
            let empty = [json!(null), json!(""), json!([]), json!({})].contains(value);
            if fields::Field::of(name).is_none() && !empty && !name.starts_with("formatted_") {
                prop_assert!(extra_of(extra).get(name).is_some(), "{} is lost", name);
            }
        }
    }

    #[test]
    fn the_scan_accepts_what_serde_json_accepts(
        body in any_body(), pretty in any::<bool>(), place in any::<prop::sample::Index>(), put in "[\\[\\]{}\",:\\\\0-9eE.+ntf \n\u{1}-]{0,2}"
    ) {
        let mut text = if pretty { serde_json::to_string_pretty(&body) } else { serde_json::to_string(&body) }.unwrap();
        let mut place = place.index(text.len() + 1);
        while !text.is_char_boundary(place) {
            place -= 1;
        }
        text.insert_str(place, &put);
        let mut found = Vec::new();
        let scanned = scan::members(&text, |name, value| found.push((name.into_owned(), value.text.to_owned())));
        let read = serde_json::from_str::<serde::de::IgnoredAny>(&text);
        prop_assert_eq!(scanned.is_some(), read.is_ok() && text.trim_start().starts_with('{'), "{}", text);
        if let (Some(()), Ok(read)) = (scanned, serde_json::from_str::<Value>(&text)) {
            let ours: Option<serde_json::Map<String, Value>> =
                found.into_iter().map(|(name, value)| Some((name, serde_json::from_str(&value).ok()?))).collect();
            prop_assert_eq!(ours.map(Value::Object), Some(read));
        }
    }

    #[test]
    fn bytes_of_any_kind_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = decode(None, &bytes);
        let _ = peek(None, &bytes);
    }
}
