//! Recordings over HTTP: uploads into the blob store, and links out of it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use leadline_connectors::api_http::{LinkedBlobs, link_routes};
use leadline_connectors::blob_folder::{FolderBlob, LinkSigner};
use leadline_connectors::blob_memory::MemoryBlob;
use leadline_connectors::clock_system::SystemClock;
use leadline_connectors::contract::BoxFuture;
use leadline_connectors::contract::blob::{About, Blob};
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::AppendError;
use leadline_connectors::contract::secrets::{SecretError, Secrets};
use leadline_connectors::contract::source::Intake;
use leadline_connectors::source_http::{HttpSourceParts, routes};
use leadline_schemas::inbound::{Inbound, Origin};
use leadline_schemas::settings::{Policy, Sealed, Settings, Tenant};
use leadline_schemas::{Millis, Offset, TenantId};
use serde_json::{Value, json};
use tower::ServiceExt;

const TOKEN: &str = "token-of-summit";

#[derive(Default)]
struct Memory(Mutex<Vec<Inbound>>, Arc<Settings>);

impl Intake for Memory {
    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.1)
    }
    fn fresh_settings(&self) -> BoxFuture<'_, Arc<Settings>> {
        Box::pin(std::future::ready(self.settings()))
    }
    fn accept(&self, event: Inbound) -> BoxFuture<'_, Result<Offset, AppendError>> {
        self.0.lock().unwrap().push(event);
        Box::pin(std::future::ready(Ok(Offset(0))))
    }
}

struct NoSecrets;

impl Secrets for NoSecrets {
    fn seal(&self, _: &str, _: &[u8]) -> Result<Sealed, SecretError> {
        Ok(Sealed::default())
    }
    fn open(&self, _: &str, _: &Sealed) -> Result<Vec<u8>, SecretError> {
        Ok(Vec::new())
    }
}

fn tenant() -> Tenant {
    let digest = ring::digest::digest(&ring::digest::SHA256, TOKEN.as_bytes());
    Tenant {
        api_token_sha256: digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
        policy: Policy { rate_per_s: 100_000, ..Policy::default() },
        ..Tenant::new(TenantId::new("summit").unwrap(), "Summit Kitchens", Millis(0))
    }
}

struct Scene {
    router: Router,
    memory: Arc<Memory>,
    blob: MemoryBlob,
}

impl Scene {
    fn new() -> Self {
        let memory = Arc::new(Memory(Mutex::default(), Arc::new(Settings::default().with(tenant(), 1))));
        let blob = MemoryBlob::default();
        let router = routes(HttpSourceParts {
            intake: memory.clone(),
            secrets: Arc::new(NoSecrets),
            blob: Arc::new(blob.clone()),
            clock: Arc::new(SystemClock),
            records: None,
            requests_max: 10,
            process_timeout: Duration::from_millis(1),
            doubts: Arc::default(),
        });
        Self { router, memory, blob }
    }

    async fn post(&self, content_type: &str, key: Option<&str>, body: Body) -> (StatusCode, Value) {
        let mut request = Request::post("/v1/tenants/summit/process")
            .header("authorization", format!("Bearer {TOKEN}"))
            .header("content-type", content_type);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let answer = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    fn event(&self) -> (Inbound, Value) {
        let event = self.memory.0.lock().unwrap().pop().unwrap();
        let body = serde_json::from_slice(&event.body).unwrap();
        (event, body)
    }

    fn objects(&self) -> BTreeMap<String, Bytes> {
        self.blob.with(|objects| {
            objects.iter().map(|(name, object)| (name.clone(), object.content.clone())).collect()
        })
    }
}

/// In pieces, without a length.
fn streamed(content: &Bytes) -> Body {
    let pieces: Vec<_> =
        content.chunks(60_000).map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece))).collect();
    Body::from_stream(stream::iter(pieces))
}

/// Name, media type and content of a part.
type Part<'p> = (&'p str, &'p str, &'p [u8]);

fn form(parts: &[Part<'_>]) -> Body {
    let mut body = Vec::new();
    for (name, content_type, content) in parts {
        body.extend(format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n").bytes());
        body.extend(format!("Content-Type: {content_type}\r\n\r\n").bytes());
        body.extend(*content);
        body.extend(b"\r\n");
    }
    body.extend(b"--x--\r\n");
    streamed(&body.into())
}

const FORM: &str = "multipart/form-data; boundary=x";

#[tokio::test]
async fn a_recording_alone_becomes_an_event_that_names_it() {
    let (scene, audio) = (Scene::new(), Bytes::from(vec![7; 3 << 20]));
    let (status, answer) = scene.post("audio/mpeg", Some("a key"), streamed(&audio)).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let (event, body) = scene.event();
    assert_eq!(event.origin, Origin::Process);
    let name = body["recording_url"].as_str().unwrap().strip_prefix("blob:").unwrap();
    assert_eq!(name.rsplit('/').next(), answer["request_id"].as_str());
    assert!(name.starts_with("summit/20"), "{name}");
    assert_eq!(scene.objects(), BTreeMap::from([(name.to_owned(), audio.clone())]));
    let about = scene.blob.stat(name).await.unwrap().unwrap().about;
    assert!(about.content_type == "audio/mpeg" && about.custom_time.is_some());

    let (status, again) = scene.post("audio/mpeg", Some("a key"), streamed(&audio)).await;
    assert_eq!((status, &again["request_id"]), (StatusCode::ACCEPTED, &answer["request_id"]));
    assert_eq!(scene.objects().len(), 1, "sent again, stored once");
    let (status, _) = scene.post("audio/mpeg", Some("a key"), streamed(&audio.slice(1..))).await;
    assert_eq!(status, StatusCode::CONFLICT, "another recording under the same key");
}

#[tokio::test]
async fn a_form_says_whose_call_it_was() {
    let scene = Scene::new();
    let call = json!({"id": "crm-4711", "caller": {"phone": "+13035550142"}, "occurred_at": "2026-03-04T09:12:33-07:00"});
    let call = call.to_string();
    let parts: [Part<'_>; 2] =
        [("call", "application/json", call.as_bytes()), ("audio", "audio/wav", b"RIFF sound")];
    let (status, answer) = scene.post(FORM, None, form(&parts)).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let (event, body) = scene.event();
    assert_eq!(event.caller, "+13035550142");
    assert_eq!(body["recording_url"], "blob:summit/2026/03/crm-4711");
    assert_eq!(scene.objects()["summit/2026/03/crm-4711"], "RIFF sound");
}

#[tokio::test]
async fn what_is_wrong_is_told_before_anything_is_kept() {
    let scene = Scene::new();
    let audio: Part<'_> = ("audio", "audio/wav", b"RIFF");
    let cases: [(Vec<Part<'_>>, &str); 7] = [
        (vec![("call", "application/json", b"{\"caller\":{\"phone\":\"nobody\"}}"), audio], "caller.phone"),
        (vec![("call", "application/json", b"[]"), audio], "JSON object"),
        (vec![("call", "application/json", b"{\"recording_url\":\"blob:other/x\"}"), audio], "recording_url"),
        (vec![("call", "application/json", b"{\"colour\":1}"), audio], "colour"),
        (vec![("sound", "audio/wav", b"RIFF")], "sound"),
        (vec![("call", "application/json", b"{}")], "audio"),
        (vec![("audio", "audio/wav", b"")], "is empty"),
    ];
    for (parts, what) in cases {
        let (status, answer) = scene.post(FORM, None, form(&parts)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{what}");
        assert!(answer["detail"].as_str().unwrap().contains(what), "{what}: {answer}");
    }
    let (status, answer) = scene.post("audio/mpeg", None, Body::empty()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    let cut = Body::from("--x\r\nContent-Disposition: form-data; name=\"audio\"\r\n\r\nRIFF");
    assert_eq!(scene.post(FORM, None, cut).await.0, StatusCode::BAD_REQUEST);
    let broken = stream::iter([Ok(Bytes::from_static(b"RIFF")), Err(std::io::Error::other("cut"))]);
    assert_eq!(scene.post("audio/wav", None, Body::from_stream(broken)).await.0, StatusCode::BAD_REQUEST);
    assert!(scene.objects().is_empty() && scene.memory.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn more_than_200_mib_are_not_taken() {
    let scene = Scene::new();
    let mebibyte = Bytes::from(vec![1; 1 << 20]);
    let endless =
        Body::from_stream(stream::iter((0..201).map(move |_| Ok::<_, std::io::Error>(mebibyte.clone()))));
    let (status, answer) = scene.post("audio/mpeg", None, endless).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(answer["detail"].as_str().unwrap().contains("209715200"), "{answer}");
    assert!(scene.objects().is_empty() && scene.memory.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_link_opens_its_object_for_a_while_and_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let links = LinkSigner::new(&[[3; 32]], "");
    let blob = FolderBlob::open(folder.path()).unwrap().with_links(links.clone());
    let audio = Bytes::from((0..700_000_u32).map(|n| (n % 251) as u8).collect::<Vec<u8>>());
    let about = About { content_type: "audio/mpeg".to_owned(), custom_time: None };
    let content = Box::pin(stream::iter([Ok(audio.clone())]));
    blob.create_from("summit/2026/03/CAL1", about, content).await.unwrap();
    blob.create("summit/page.html", Bytes::from_static(b"<script>")).await.unwrap();
    let router =
        link_routes(LinkedBlobs { blob: Arc::new(blob.clone()), links, clock: Arc::new(SystemClock) });
    let ask = async |link: &str, range: Option<&str>| {
        let mut request = Request::get(link);
        if let Some(range) = range {
            request = request.header("range", range);
        }
        let answer = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        (head, body.collect().await.unwrap().to_bytes())
    };
    let soon = SystemClock.wall().plus(60_000);
    let link = blob.link("summit/2026/03/CAL1", soon).await.unwrap();
    let (head, body) = ask(&link, None).await;
    assert_eq!(
        (head.status, &head.headers["content-type"]),
        (StatusCode::OK, &"audio/mpeg".parse().unwrap())
    );
    assert!(body == audio && head.headers["content-length"] == "700000");
    let (head, body) = ask(&link, Some("bytes=300000-300009")).await;
    assert_eq!((head.status, body), (StatusCode::PARTIAL_CONTENT, audio.slice(300_000..300_010)));
    assert_eq!(head.headers["content-range"], "bytes 300000-300009/700000");
    assert_eq!(ask(&link, Some("bytes=700000-")).await.0.status, StatusCode::RANGE_NOT_SATISFIABLE);
    let page = blob.link("summit/page.html", soon).await.unwrap();
    assert_eq!(
        ask(&page, None).await.0.headers["content-type"],
        "application/octet-stream",
        "never a page of ours"
    );

    let ended = blob.link("summit/2026/03/CAL1", SystemClock.wall().plus(-1_000)).await.unwrap();
    let other = link.replace("CAL1", "CAL2");
    for bad in [ended.as_str(), &other, "/v1/blobs/summit/2026/03/CAL1", &link[..link.len() - 1]] {
        assert_eq!(ask(bad, None).await.0.status, StatusCode::FORBIDDEN, "{bad}");
    }
    blob.remove("summit/2026/03/CAL1").await.unwrap();
    assert_eq!(ask(&link, None).await.0.status, StatusCode::NOT_FOUND);
}
