//! The functions that every event passes, one at a time: `cargo bench -p leadline-bench`.
#![allow(missing_docs, reason = "criterion's macros make public items without")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot be prepared must stop"
)]

use std::hint::black_box;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use leadline_connectors::source_http::SigningKey;
use leadline_operators::rules;
use leadline_schemas::avro::{self, AvroRecord as _};
use leadline_schemas::inbound::{EventKind, Inbound, Origin};
use leadline_schemas::partitioning::Key;
use leadline_schemas::score::ScoreInput;
use leadline_schemas::{EventId, Millis, TenantId, callrail};
use ring::hmac;

const KEY: &[u8] = b"072e77e426f92738a72fe23c4d1953b4";

/// A post-call of 1 KiB, as `ingest` sends it.
fn body() -> Vec<u8> {
    let mut fields = serde_json::json!({
        "resource_id": "CAL00000000000000000000000000000001", "company_name": "Summit Kitchens",
        "company_resource_id": "COM338e6107d0eb4712af2d4f2f8a18c900", "answered": true, "voicemail": false,
        "call_type": "answered", "direction": "inbound", "duration": "412", "first_call": true,
        "customer_name": "DENVER CO", "customer_phone_number": "+13035550142", "customer_city": "Denver",
        "customer_state": "CO", "tracking_phone_number": "+17205550100", "recording": null, "tags": [],
        "start_time": "2026-03-04T16:12:33.236Z", "timestamp": "2026-03-04T16:12:33.236Z", "transcription": "",
    });
    let talk =
        "Caller: Hi, we own our home in Denver and want to remodel the kitchen next month. Agent: Great. ";
    let missing = 1_024_usize.saturating_sub(fields.to_string().len());
    let talk: String = talk.chars().cycle().take(missing).collect();
    fields["transcription"] = talk.into();
    fields.to_string().into_bytes()
}

/// What the source does with a body before the log: whose is it, and is it signed.
fn source(criterion: &mut Criterion) {
    let (body, key) = (body(), SigningKey::new(KEY).expect("HMAC takes any key"));
    let known = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, KEY);
    let mac = hmac::sign(&known, &body);
    let signature = STANDARD.encode(mac);
    let mut group = criterion.benchmark_group("source");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("verify and peek", |bencher| {
        bencher.iter(|| {
            let peek = callrail::peek(None, black_box(&body)).map(|peek| peek.kind);
            (key.verifies(signature.as_bytes(), black_box(&body)), peek)
        });
    });
    group.bench_function("verify", |bencher| {
        bencher.iter(|| key.verifies(black_box(signature.as_bytes()), black_box(&body)));
    });
    group.bench_function("verify by ring", |bencher| {
        bencher.iter(|| hmac::verify(&known, black_box(&body), mac.as_ref()).is_ok());
    });
    group.bench_function("peek", |bencher| {
        bencher.iter(|| callrail::peek(None, black_box(&body)).map(|peek| peek.kind));
    });
    group.finish();
}

/// What the dataflow does first.
fn decode(criterion: &mut Criterion) {
    let body = body();
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("callrail", |bencher| {
        bencher.iter(|| callrail::decode(Some(EventKind::PostCall), black_box(&body)));
    });
    group.finish();
}

fn inbound() -> Inbound {
    let caller = "+13035550142";
    let key = Key::new(TenantId::new("summit").expect("a good name"), caller, 1);
    Inbound {
        event_id: EventId::of(&[b"an event"]),
        tenant: key.tenant,
        key_group: key.key_group,
        bucket: key.bucket,
        caller: caller.to_owned(),
        origin: Origin::CallrailWebhook,
        kind: EventKind::PostCall,
        received_at: Millis(1_772_640_753_236),
        settings_version: 7,
        attempt: 0,
        key_id: None,
        trace: None,
        content_type: "application/json".into(),
        body: Bytes::from(body()),
        body_ref: None,
    }
}

/// The envelope, by the codec that leadline uses and by the one that knows all rules.
fn envelope(criterion: &mut Criterion) {
    let record = inbound();
    let bytes = avro::encode(&record).expect("it fits its schema");
    let json = Inbound::VERSIONS.last().expect("it has a schema");
    let schema = apache_avro::Schema::parse_str(json).expect("the schema is good");
    let reader = GenericDatumReader::builder(&schema).build().expect("the schema is good");
    let writer = GenericDatumWriter::builder(&schema).build().expect("the schema is good");
    let datum = &bytes[avro::HEADER_BYTES..];
    let value = reader.read_value(&mut &*datum).expect("it was just written");
    let mut group = criterion.benchmark_group("avro, inbound of 1 KiB");
    group.bench_function("encode", |bencher| bencher.iter(|| avro::encode(black_box(&record))));
    group.bench_function("decode", |bencher| bencher.iter(|| avro::decode::<Inbound>(black_box(&bytes))));
    group.bench_function("encode by apache-avro", |bencher| {
        bencher.iter(|| writer.write_value_to_vec(black_box(value.clone())));
    });
    group.bench_function("decode by apache-avro", |bencher| {
        bencher.iter(|| reader.read_value(&mut black_box(datum)));
    });
    group.finish();
}

/// The scorer's own labelled contacts: calls, voicemails, texts and forms.
const CONTACTS: [&str; 6] = [
    include_str!("../../operators/tests/scoring/tuning.jsonl"),
    include_str!("../../operators/tests/scoring/dev.jsonl"),
    include_str!("../../operators/tests/scoring/holdout.jsonl"),
    include_str!("../../operators/tests/scoring/blind.jsonl"),
    include_str!("../../operators/tests/scoring/blind2.jsonl"),
    include_str!("../../operators/tests/scoring/blind3.jsonl"),
];

/// A call of thirteen turns, which is the first contact, and all contacts.
fn score(criterion: &mut Criterion) {
    let lines = CONTACTS.iter().flat_map(|contacts| contacts.lines());
    let inputs: Vec<ScoreInput> =
        lines.map(|line| serde_json::from_str(line).expect("a contact is an input")).collect();
    rules::warm_up();
    let mut group = criterion.benchmark_group("score");
    group.bench_function("a call of 13 turns", |bencher| {
        bencher.iter(|| rules::score(black_box(&inputs[0])));
    });
    group.throughput(Throughput::Elements(inputs.len() as u64));
    group.bench_function("all labelled contacts", |bencher| {
        bencher
            .iter(|| inputs.iter().map(|input| u64::from(rules::score(black_box(input)).score)).sum::<u64>());
    });
    group.finish();
}

criterion_group!(benches, source, decode, envelope, score);
criterion_main!(benches);
