//! The real router of the HTTP sources, with an intake that takes everything into memory.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use leadline_connectors::blob_memory::MemoryBlob;
use leadline_connectors::clock_system::SystemClock;
use leadline_connectors::contract::BoxFuture;
use leadline_connectors::contract::log::AppendError;
use leadline_connectors::contract::secrets::{SecretError, Secrets};
use leadline_connectors::contract::source::Intake;
use leadline_connectors::contract::store::{Batch, RecordWriter as _};
use leadline_connectors::source_http::{HttpSourceParts, routes};
use leadline_connectors::store_memory::MemoryStore;
use leadline_operators::contract::{
    AnyRow, Cause, Context, DecodeRow, Effects, Fault, FreshRow, Operator, OperatorResult, TableSpec,
    TimerKind,
};
use leadline_operators::decode::Decode;
use leadline_schemas::avro;
use leadline_schemas::call::CallRecord;
use leadline_schemas::frame::Output;
use leadline_schemas::inbound::Inbound;
use leadline_schemas::reply::JobRequest;
use leadline_schemas::settings::{Company, Form, Policy, Sealed, Settings, Tenant};
use leadline_schemas::{CommitNumber, JobId, Millis, Offset, Partition, TenantId, Topic};
use tower::ServiceExt as _;

pub const KEY: &str = "072e77e426f92738a72fe23c4d1953b4";
/// The API token of tenant `summit`.
pub const TOKEN: &str = "token-of-summit";

/// An answer, whole.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Everything behind the socket.
pub struct Http {
    runtime: tokio::runtime::Runtime,
    router: Router,
    memory: Arc<Memory>,
}

#[derive(Default)]
struct Memory {
    settings: Arc<Settings>,
    events: Mutex<Vec<Inbound>>,
}

impl Intake for Memory {
    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings)
    }
    fn fresh_settings(&self) -> BoxFuture<'_, Arc<Settings>> {
        Box::pin(std::future::ready(self.settings()))
    }
    fn accept(&self, event: Inbound) -> BoxFuture<'_, Result<Offset, AppendError>> {
        self.events.lock().unwrap().push(event);
        Box::pin(std::future::ready(Ok(Offset(0))))
    }
}

struct Plain;

impl Secrets for Plain {
    fn seal(&self, _: &str, plain: &[u8]) -> Result<Sealed, SecretError> {
        Ok(Sealed(String::from_utf8(plain.to_vec()).unwrap()))
    }
    fn open(&self, _: &str, sealed: &Sealed) -> Result<Vec<u8>, SecretError> {
        Ok(sealed.0.clone().into_bytes())
    }
}

fn tenant(id: &str, company: &str) -> Tenant {
    let digest = ring::digest::digest(&ring::digest::SHA256, TOKEN.as_bytes());
    Tenant {
        api_token_sha256: digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
        companies: vec![Company::new(
            vec![company.to_owned(), "COM338e6107d0eb4712af2d4f2f8a18c900".to_owned()],
            Sealed(KEY.to_owned()),
        )],
        source_key: Some("source".to_owned()),
        forms: vec![Form {
            form_key: "form".to_owned(),
            origins: vec!["https://summit.example".to_owned()],
            honeypot: Some("website".to_owned()),
            field_map: [("name".to_owned(), "f7".to_owned())].into(),
        }],
        policy: Policy { rate_per_s: i32::MAX, ..Policy::default() },
        ..Tenant::new(TenantId::new(id).unwrap(), id, Millis(0))
    }
}

impl Http {
    /// A router with one tenant, `summit`.
    pub fn new() -> Self {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let settings = Arc::new(Settings::default().with(tenant("summit", "155920786"), 1));
        let memory = Arc::new(Memory { settings, events: Mutex::default() });
        let router = routes(HttpSourceParts {
            intake: memory.clone(),
            secrets: Arc::new(Plain),
            blob: Arc::new(MemoryBlob::default()),
            clock: Arc::new(SystemClock),
            records: Some(Arc::new(records())),
            requests_max: 4,
            process_timeout: Duration::from_millis(1),
            doubts: Arc::default(),
        });
        Self { runtime, router, memory }
    }

    /// The answer to a request, and the events that were written for it. What holds of every answer is checked here.
    pub fn ask(&self, request: Request<Body>) -> (Answer, Vec<Inbound>) {
        let method = request.method().clone();
        let answer = self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let (head, body) = response.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            Answer { status: head.status, headers: head.headers, body }
        });
        let events = std::mem::take(&mut *self.memory.events.lock().unwrap());
        assert!(!answer.status.is_server_error(), "{} for bad input: {:?}", answer.status, answer.body);
        assert!(answer.body.len() < 4 << 10, "an answer of {} bytes", answer.body.len());
        assert!(events.len() <= 1, "one request, {} events", events.len());
        // 404 and 405 of a path that is none come from the router itself and say nothing.
        if answer.status.is_client_error() && !answer.body.is_empty() {
            let is_problem =
                answer.headers.get("content-type").is_some_and(|v| v == "application/problem+json");
            assert!(is_problem, "{method} {}: {:?}", answer.status, answer.headers);
            let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(problem["status"], answer.status.as_u16());
            assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
        }
        if !answer.status.is_success() {
            assert!(events.is_empty(), "{} and yet an event was written", answer.status);
        }
        for event in &events {
            survives(event);
        }
        (answer, events)
    }
}

/// A record store that knows one call.
fn records() -> MemoryStore {
    let call: CallRecord = serde_json::from_value(serde_json::json!({
        "tenant": "summit", "call_id": "CAL019fb93fce197a38a2788269bcf71b70", "aliases": ["766970532"],
        "channel": "call", "stage": "completed", "direction": "inbound", "caller": "+13035550142",
        "caller_number": null, "caller_name": null, "caller_city": null, "caller_state": null,
        "tracking_number": null, "answered": true, "missed": false, "duration_s": 412, "first_call": null,
        "started_at": 0, "received_at": 0, "updated_at": 0, "event_id": "0f8fad5b-d9cb-869f-a165-70867728950e",
        "recording": {}, "transcript": [], "transcript_provider": null, "transcript_skip": null,
        "form_fields": {}, "tags": [], "note": null, "value": null, "lead_status": null, "agent_email": null,
        "attribution": {}, "score": null, "lead_id": null, "cost_micros": 0, "extra": "{}", "revision": 1,
        "content": 1
    }))
    .unwrap();
    let value = Bytes::from(avro::encode(&call).unwrap());
    let output = Output { topic: Topic::Calls, key: Bytes::from_static(b"summit CAL"), value };
    let (from, to) = (CommitNumber(0), CommitNumber(1));
    let commits = vec![(to, Arc::new(vec![output]))];
    let mut store = MemoryStore::new();
    store.write(&[Batch { generation: 1, partition: Partition(0), from, to, commits }]).unwrap();
    store
}

/// An accepted event can be written, read and decoded: what can fail, fails as poison and not as a panic.
fn survives(event: &Inbound) {
    let bytes = avro::encode(event).unwrap();
    assert!(avro::decode::<Inbound>(&bytes).as_ref() == Ok(event), "a record that is not what it was");
    assert_eq!(event.tenant.as_str(), "summit");
    if event.body_ref.is_some() {
        return;
    }
    let (key, cause) = (event.key(), Cause::Event(event.event_id));
    let settings = Arc::new(Settings::default().with(tenant("summit", "155920786"), 1));
    let (mut effects, mut out) = (Nothing, Vec::new());
    let times = (event.received_at, event.received_at);
    let mut cx = Context::new(&key, &cause, times, &settings, &mut effects, &mut out);
    match Decode.on_record(&mut cx, event.clone()) {
        Ok(()) => assert_eq!(out.len(), 1, "an event becomes one thing"),
        Err(Fault::Poison(why)) => assert!(why.len() < 1_000, "{why}"),
        Err(Fault::Engine(why)) => panic!("the engine is not to blame: {why}"),
    }
}

/// Decode has no tables and asks for nothing.
struct Nothing;

impl Effects for Nothing {
    fn row(&mut self, _: &TableSpec, _: &[u8], _: DecodeRow) -> OperatorResult<Option<&mut dyn AnyRow>> {
        Ok(None)
    }
    fn change(
        &mut self,
        _: &TableSpec,
        _: &[u8],
        _: DecodeRow,
        _: FreshRow<'_>,
    ) -> OperatorResult<&mut dyn AnyRow> {
        Err(Fault::Engine("decode has no tables".to_owned()))
    }
    fn put(&mut self, _: &TableSpec, _: &[u8], _: Option<Box<dyn AnyRow>>) {}
    fn job(&mut self, _: JobRequest) -> JobId {
        JobId::of(&[])
    }
    fn timer(&mut self, _: TimerKind, _: &[u8], _: Option<Millis>) -> OperatorResult {
        Ok(())
    }
}

/// Signs as CallRail does.
pub fn sign(body: &[u8]) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, KEY.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(ring::hmac::sign(&key, body))
}

/// A body that comes in pieces, cut where `cuts` says.
pub fn in_pieces(body: &[u8], cuts: u8) -> Body {
    if cuts == 0 {
        return Body::from(body.to_vec());
    }
    let piece = (body.len() / usize::from(cuts)).max(1);
    let pieces: Vec<_> =
        body.chunks(piece).map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece))).collect();
    Body::from_stream(futures_util::stream::iter(pieces))
}

/// Adds `name: value` lines as headers; what is no header is left out, as hyper would refuse it before us.
pub fn add_headers(request: &mut Request<Body>, lines: &[u8]) {
    for line in lines.split(|byte| *byte == b'\n').take(40) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let parsed = (http::HeaderName::from_bytes(name), http::HeaderValue::from_bytes(value));
        if let (Ok(name), Ok(value)) = parsed {
            request.headers_mut().append(name, value);
        }
    }
}

/// The part before the first empty line, and the part behind it.
pub fn split_head(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.windows(2).position(|pair| pair == b"\n\n") {
        Some(at) => (&bytes[..at], &bytes[at + 2..]),
        None => (&[], bytes),
    }
}
