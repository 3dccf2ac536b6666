//! The HTTP sources on a real loopback server: what is refused, what is durable, and who cannot keep whom out.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests outside `#[test]` functions"
)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use leadline_connectors::blob_memory::MemoryBlob;
use leadline_connectors::clock_system::SystemClock;
use leadline_connectors::contract::BoxFuture;
use leadline_connectors::contract::log::AppendError;
use leadline_connectors::contract::secrets::{SecretError, Secrets};
use leadline_connectors::contract::source::Intake;
use leadline_connectors::http_server::{ServerLimits, serve};
use leadline_connectors::source_http::{HttpSourceParts, routes};
use leadline_schemas::inbound::Inbound;
use leadline_schemas::settings::{Company, Form, Policy, Sealed, Settings, Tenant};
use leadline_schemas::{Millis, Offset, TenantId};
use proptest::prelude::*;

const KEY: &str = "072e77e426f92738a72fe23c4d1953b4";
const SIGNATURE: &str = "UZAHbUdfm3GqL7qzilGozGzWV64=";
const VECTOR: &[u8] = include_bytes!("../../tests/fixtures/callrail/webhook-vector.body.json");
const HOOK: &str = "/v1/callrail/webhook";

/// Takes events into memory; can be told to be busy for a while, or to take its time.
#[derive(Default)]
struct Memory {
    settings: Mutex<Arc<Settings>>,
    newer: Mutex<Option<Arc<Settings>>>,
    events: Mutex<Vec<Inbound>>,
    busy: AtomicUsize,
    hangs: AtomicBool,
    hanging: AtomicUsize,
}

impl Intake for Memory {
    fn settings(&self) -> Arc<Settings> {
        self.settings.lock().unwrap().clone()
    }
    fn fresh_settings(&self) -> BoxFuture<'_, Arc<Settings>> {
        if let Some(newer) = self.newer.lock().unwrap().take() {
            *self.settings.lock().unwrap() = newer;
        }
        let settings = self.settings();
        Box::pin(async move { settings })
    }
    fn accept(&self, event: Inbound) -> BoxFuture<'_, Result<Offset, AppendError>> {
        Box::pin(async move {
            if self.hangs.load(Ordering::SeqCst) {
                self.hanging.fetch_add(1, Ordering::SeqCst);
                std::future::pending::<()>().await;
            }
            if self.busy.load(Ordering::SeqCst) > 0 {
                self.busy.fetch_sub(1, Ordering::SeqCst);
                return Err(AppendError::Busy { queue_bytes_max: 1 });
            }
            self.events.lock().unwrap().push(event);
            Ok(Offset(0))
        })
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

fn tenant(id: &str, company: &str, key: &str) -> Tenant {
    Tenant {
        companies: vec![Company::new(vec![company.to_owned()], Sealed(key.to_owned()))],
        source_key: Some(format!("source-{id}")),
        forms: vec![Form {
            form_key: format!("form-{id}"),
            origins: vec!["https://summit.example".to_owned()],
            honeypot: Some("website".to_owned()),
            field_map: BTreeMap::new(),
        }],
        policy: Policy { rate_per_s: 100_000, ..Policy::default() },
        ..Tenant::new(TenantId::new(id).unwrap(), id, Millis(0))
    }
}

struct Server {
    address: SocketAddr,
    memory: Arc<Memory>,
    blobs: Arc<MemoryBlob>,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    fn start(slots: usize, limits: ServerLimits) -> Self {
        let memory = Arc::new(Memory::default());
        let settings = Settings::default()
            .with(tenant("summit", "155920786", KEY), 1)
            .with(tenant("other", "COM2", "another key"), 2);
        *memory.settings.lock().unwrap() = Arc::new(settings);
        let blobs = Arc::new(MemoryBlob::default());
        let router = routes(HttpSourceParts {
            intake: memory.clone(),
            secrets: Arc::new(Plain),
            blob: blobs.clone(),
            clock: Arc::new(SystemClock),
            records: None,
            requests_max: slots,
            process_timeout: Duration::from_secs(1),
            doubts: Arc::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.spawn(serve(listener, router, limits, Box::pin(std::future::pending())));
        Self { address, memory, blobs, _runtime: runtime }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Status and text of the answer to one request on a connection of its own.
    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String) {
        let mut stream = self.connect();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        answer(&mut stream)
    }

    fn hook(&self, path: &str, body: &[u8]) -> u16 {
        self.ask("POST", path, &[("Signature", &sign(KEY, body))], body).0
    }

    fn accepted(&self) -> usize {
        self.memory.events.lock().unwrap().len()
    }
}

fn answer(stream: &mut TcpStream) -> (u16, String) {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).unwrap();
    let text = String::from_utf8_lossy(&text).into_owned();
    (text.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0), text)
}

fn sign(key: &str, body: &[u8]) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(ring::hmac::sign(&key, body))
}

#[test]
fn the_published_example_is_accepted_and_no_flipped_bit_is() {
    let server = Server::start(8, ServerLimits::default());
    let (status, _) = server.ask("POST", HOOK, &[("Signature", SIGNATURE)], VECTOR);
    assert_eq!((status, server.accepted()), (200, 1));
    let event = server.memory.events.lock().unwrap()[0].clone();
    assert_eq!(event.body, VECTOR);
    assert_eq!((event.caller.as_str(), event.tenant.as_str()), ("+12148654559", "summit"));

    // One bit of each byte of the body; the key ring's own test has all of them.
    for at in 0..VECTOR.len() {
        let mut body = VECTOR.to_vec();
        body[at] ^= 1 << (at % 8);
        let (status, _) = server.ask("POST", HOOK, &[("Signature", SIGNATURE)], &body);
        assert!(status == 401 || status == 429, "byte {at}: {status}");
    }
    for bit in 0..SIGNATURE.len() * 8 {
        let mut signature = SIGNATURE.as_bytes().to_vec();
        signature[bit / 8] ^= 1 << (bit % 8);
        // What is no header value any more never comes so far as to be judged.
        let Ok(signature) = String::from_utf8(signature) else { continue };
        if signature.chars().any(|c| c.is_control()) {
            continue;
        }
        let (status, _) = server.ask("POST", HOOK, &[("Signature", &signature)], VECTOR);
        assert!(status == 401 || status == 429, "bit {bit}: {status}");
    }
    assert_eq!(server.accepted(), 1, "nothing else was written");
}

#[test]
fn neither_slow_bodies_nor_bad_signatures_keep_a_webhook_out() {
    let server = Server::start(2, ServerLimits::default());
    let slow: Vec<_> = (0..10)
        .map(|_| {
            let mut stream = server.connect();
            let head = format!("POST {HOOK} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{{");
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    let since = Instant::now();
    assert_eq!(server.hook(HOOK, VECTOR), 200);
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
    drop(slow);
}

#[test]
fn a_busy_log_is_asked_again_and_taken_slots_are_waited_for_two_seconds() {
    let server = Server::start(1, ServerLimits::default());
    server.memory.busy.store(3, Ordering::SeqCst);
    assert_eq!(server.hook(HOOK, VECTOR), 200);
    server.memory.busy.store(usize::MAX, Ordering::SeqCst);
    let (status, text) = server.ask("POST", HOOK, &[("Signature", SIGNATURE)], VECTOR);
    assert_eq!(status, 503);
    assert!(text.to_lowercase().contains("retry-after:"), "{text}");
    server.memory.busy.store(0, Ordering::SeqCst);

    server.memory.hangs.store(true, Ordering::SeqCst);
    let mut first = server.connect();
    let head = format!("POST {HOOK} HTTP/1.1\r\nhost: x\r\nsignature: {SIGNATURE}\r\ncontent-length: ");
    first.write_all(format!("{head}{}\r\n\r\n", VECTOR.len()).as_bytes()).unwrap();
    first.write_all(VECTOR).unwrap();
    while server.memory.hanging.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    let since = Instant::now();
    assert_eq!(server.hook(HOOK, VECTOR), 503, "the only slot is taken");
    let waited = since.elapsed();
    assert!(waited >= Duration::from_millis(1_900) && waited < Duration::from_secs(6), "{waited:?}");
}

#[test]
fn a_key_that_was_just_added_is_known() {
    let server = Server::start(8, ServerLimits::default());
    let body = br#"{"id":1,"company_resource_id":"COM3"}"#;
    let signed = [("Signature", sign("new key", body))];
    let ask = || server.ask("POST", HOOK, &[(signed[0].0, &signed[0].1)], body).0;
    assert_eq!(ask(), 401);
    let newer = server.memory.settings().with(tenant("third", "COM3", "new key"), 3);
    *server.memory.newer.lock().unwrap() = Some(Arc::new(newer));
    assert_eq!(ask(), 200);
    assert_eq!(server.memory.events.lock().unwrap()[0].settings_version, 3);
}

#[test]
fn a_tenants_own_address_takes_no_other_company() {
    let server = Server::start(8, ServerLimits::default());
    assert_eq!(server.hook("/v1/sources/source-summit/callrail/post_call", VECTOR), 200);
    assert_eq!(server.hook("/v1/sources/source-other/callrail/post_call", VECTOR), 401);
    let body = br#"{"id":1,"company_resource_id":"COM2"}"#;
    assert_eq!(server.hook("/v1/sources/source-summit/callrail/post_call", body), 401);
    assert_eq!(server.hook("/v1/sources/nobody/callrail/post_call", VECTOR), 404);
    assert_eq!(server.hook("/v1/callrail/webhook/no_such_event", VECTOR), 404);
    assert_eq!(server.ask("GET", HOOK, &[], b"").0, 200);
    assert_eq!(server.ask("HEAD", HOOK, &[], b"").0, 200);
    assert_eq!(server.accepted(), 1);
}

#[test]
fn large_bodies_go_to_the_blob_store_and_too_large_ones_hear_so() {
    let server = Server::start(8, ServerLimits::default());
    let body = format!(r#"{{"id":1,"company_id":155920786,"note":"{}"}}"#, "x".repeat(5 << 20));
    assert_eq!(server.hook(HOOK, body.as_bytes()), 200);
    let event = server.memory.events.lock().unwrap()[0].clone();
    let stored = server.blobs.with(|blobs| blobs[event.body_ref.as_ref().unwrap()].content.clone());
    assert!(event.body.is_empty() && stored == body.as_bytes());

    let (status, _) = server.ask("POST", HOOK, &[], &vec![b'x'; (32 << 20) + 1]);
    assert_eq!(status, 413, "the client has sent all of it and reads the answer");
    let json = [("content-type", "application/json")];
    assert_eq!(server.ask("POST", "/v1/forms/form-summit", &json, &vec![b'x'; (4 << 20) + 1]).0, 413);
    let gzip = [("content-encoding", "gzip"), ("Signature", SIGNATURE)];
    assert_eq!(server.ask("POST", HOOK, &gzip, VECTOR).0, 415);
}

#[test]
fn a_long_url_is_taken_and_a_slow_head_is_cut_while_an_idle_connection_lives() {
    let limits = ServerLimits {
        header_timeout: Duration::from_millis(300),
        idle_timeout: Duration::from_secs(60),
        ..ServerLimits::default()
    };
    let server = Server::start(8, limits);
    assert_eq!(server.hook(&format!("{HOOK}?q={}", "x".repeat(8 << 10)), VECTOR), 200);

    let mut slow = server.connect();
    slow.write_all(b"POST / HTTP/1.1\r\nhost: x\r\nx-").unwrap();
    let since = Instant::now();
    let _ = slow.read(&mut [0; 512]);
    assert!(since.elapsed() < Duration::from_secs(5), "a slow head is cut after {:?}", since.elapsed());

    let mut idle = server.connect();
    let get = format!("GET {HOOK} HTTP/1.1\r\nhost: x\r\n\r\n");
    for _ in 0..2 {
        idle.write_all(get.as_bytes()).unwrap();
        let mut text = [0; 512];
        let read = idle.read(&mut text).unwrap();
        assert!(text[..read].starts_with(b"HTTP/1.1 200"));
        // Longer than a head may take; the connection is idle, not slow.
        std::thread::sleep(Duration::from_millis(900));
    }
}

#[test]
fn forms_come_in_three_ways_and_robots_write_nothing() {
    let server = Server::start(8, ServerLimits::default());
    let path = "/v1/forms/form-summit";
    let urlencoded = ("content-type", "application/x-www-form-urlencoded");
    let origin = ("origin", "https://summit.example");
    let (status, text) = server.ask("POST", path, &[urlencoded, origin], b"name=Ana&phone=303-555-0142");
    assert_eq!(status, 200);
    assert!(text.contains("access-control-allow-origin: https://summit.example"), "{text}");
    let json = ("content-type", "application/json");
    assert_eq!(server.ask("POST", path, &[json], br#"{"email":"Ana@example.com"}"#).0, 200);
    let multipart = ("content-type", "multipart/form-data; boundary=b");
    let body = b"--b\r\ncontent-disposition: form-data; name=\"phone\"\r\n\r\n3035550142\r\n--b--\r\n";
    assert_eq!(server.ask("POST", path, &[multipart], body).0, 200);
    let callers: Vec<_> =
        server.memory.events.lock().unwrap().iter().map(|event| event.caller.clone()).collect();
    assert_eq!(callers, ["+13035550142", "ana@example.com", "+13035550142"]);

    assert_eq!(server.ask("POST", path, &[urlencoded], b"name=Bot&website=spam").0, 200);
    assert_eq!(server.accepted(), 3, "a robot is answered and not written");
    assert_eq!(server.ask("POST", path, &[("content-type", "text/plain")], b"x").0, 415);
    assert_eq!(server.ask("POST", "/v1/forms/none", &[json], b"{}").0, 404);
    let (status, text) = server.ask("OPTIONS", path, &[origin], b"");
    assert!(status == 204 && text.contains("access-control-allow-methods"), "{text}");
    // A page hears what was wrong with its form, and that of another site that it may not send one.
    let (status, text) = server.ask("POST", path, &[urlencoded, origin], b"");
    assert!(status == 400 && text.contains("access-control-allow-origin: https://summit.example"), "{text}");
    let before = server.accepted();
    let evil = ("origin", "https://evil.example");
    let (status, text) = server.ask("POST", path, &[urlencoded, evil], b"name=Ana&phone=303-555-0142");
    assert!(status == 403 && text.contains("evil.example") && server.accepted() == before, "{text}");
    let (_, text) = server.ask("OPTIONS", path, &[("origin", "https://evil.example")], b"");
    assert!(!text.contains("access-control-allow-origin"), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_input_is_answered_by_5xx(
        body in prop::collection::vec(any::<u8>(), 0..400),
        path in prop::sample::select(vec![
            HOOK, "/v1/callrail/webhook/post_call", "/v1/callrail/webhook/%ff", "/v1/forms/form-summit",
            "/v1/sources/source-summit/callrail/text_received", "/v1/tenants/summit/events", "/v1/tenants/%00/process",
        ]),
        name in "[a-z-]{1,12}",
        value in "[ -~]{0,40}",
        signed in any::<bool>(),
    ) {
        static SERVER: std::sync::LazyLock<Server> =
            std::sync::LazyLock::new(|| Server::start(8, ServerLimits::default()));
        prop_assume!(!["content-length", "transfer-encoding", "expect", "connection", "host"].contains(&&*name));
        let signature = if signed { sign(KEY, &body) } else { "x".to_owned() };
        let headers = [(name.as_str(), value.as_str()), ("Signature", &signature), ("content-type", "application/json")];
        let (status, text) = SERVER.ask("POST", path, &headers, &body);
        prop_assert!((200..500).contains(&status), "{status} {text}");
    }
}
