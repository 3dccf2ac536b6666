//! A folder and a bucket's notifications, with a log in memory.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::SeqCst};
use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode};
use leadline_schemas::settings::Settings;
use leadline_schemas::{Offset, TenantId};
use std::sync::Arc;
use tower::ServiceExt;

use super::*;
use crate::blob_memory::MemoryBlob;
use crate::contract::BoxFuture;
use crate::contract::clock::Clock;
use crate::contract::log::AppendError;
use crate::contract::source::Intake;

fn tenant() -> Tenant {
    Tenant::new(TenantId::new("summit").unwrap(), "Summit Kitchens", Millis(0))
}

#[derive(Default)]
struct Memory {
    events: Mutex<Vec<Inbound>>,
    is_full: AtomicBool,
}

impl Intake for Memory {
    fn settings(&self) -> Arc<Settings> {
        Arc::new(Settings::default().with(tenant(), 1))
    }
    fn fresh_settings(&self) -> BoxFuture<'_, Arc<Settings>> {
        Box::pin(std::future::ready(self.settings()))
    }
    fn accept(&self, event: Inbound) -> BoxFuture<'_, Result<Offset, AppendError>> {
        if self.is_full.load(SeqCst) {
            return Box::pin(std::future::ready(Err(AppendError::Full)));
        }
        self.events.lock().unwrap().push(event);
        Box::pin(std::future::ready(Ok(Offset(0))))
    }
}

/// The wall clock, ahead by so much.
#[derive(Default)]
struct Ahead(AtomicI64);

impl Clock for Ahead {
    fn wall(&self) -> Millis {
        crate::clock_system::SystemClock.wall().plus(self.0.load(SeqCst))
    }
    fn boot_ms(&self) -> u64 {
        0
    }
}

fn put(root: &Path, tenant: &str, name: &str, content: &[u8]) {
    std::fs::create_dir_all(root.join(tenant)).unwrap();
    std::fs::write(root.join(tenant).join(name), content).unwrap();
}

#[tokio::test]
async fn a_file_is_taken_once_it_has_settled_and_only_with_its_event() {
    let root = tempfile::tempdir().unwrap();
    let (memory, blob, clock) =
        (Arc::new(Memory::default()), MemoryBlob::default(), Arc::new(Ahead::default()));
    let open = || {
        let (blob, intake, clock) = (Arc::new(blob.clone()), memory.clone(), clock.clone());
        AudioFolder::open(root.path().to_owned(), blob, intake, clock).unwrap()
    };
    let mut folder = open();
    put(root.path(), "summit", "monday.mp3", b"ID3 sound");
    put(root.path(), "summit", ".being-copied", b"ID3");
    put(root.path(), "nobody", "a.mp3", b"ID3");
    assert_eq!((folder.look().await, folder.look().await), (0, 0), "it may still grow");
    clock.0.store(10_000, SeqCst);
    put(root.path(), "summit", "monday.mp3", b"ID3 sounds");
    assert_eq!(folder.look().await, 0, "it has grown");

    memory.is_full.store(true, SeqCst);
    assert_eq!(folder.look().await, 0);
    assert!(root.path().join("summit/monday.mp3").exists(), "kept until its event is durable");
    memory.is_full.store(false, SeqCst);
    // Another process after a crash behind the store: the same file, the same id, one object.
    let mut folder = open();
    assert_eq!((folder.look().await, folder.look().await, folder.look().await), (0, 1, 0));
    let events = memory.events.lock().unwrap();
    let [event] = events.as_slice() else { panic!("{} events", events.len()) };
    let body: serde_json::Value = serde_json::from_slice(&event.body).unwrap();
    let name = body["recording_url"].as_str().unwrap().strip_prefix("blob:").unwrap();
    assert_eq!(blob.with(|objects| objects.keys().cloned().collect::<Vec<_>>()), [name]);
    assert!(
        blob.with(|objects| objects[name].content == "ID3 sounds"
            && objects[name].about.content_type == "audio/mpeg")
    );
    assert!(leadline_schemas::direct::process(&event.body, "x").is_ok(), "a body that decode reads");
    let mut left: Vec<_> =
        std::fs::read_dir(root.path().join("summit")).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [".being-copied"]);
    assert!(root.path().join("nobody/a.mp3").exists(), "of a tenant that may come");
}

#[tokio::test]
async fn files_that_cannot_be_taken_do_not_keep_those_behind_them() {
    let root = tempfile::tempdir().unwrap();
    let (memory, clock) = (Arc::new(Memory::default()), Arc::new(Ahead::default()));
    let blob: Arc<MemoryBlob> = Arc::default();
    let mut folder =
        AudioFolder::open(root.path().to_owned(), blob.clone(), memory.clone(), clock.clone()).unwrap();
    // More than one look tries: of a tenant that is not there, and too large for any.
    for number in 0..40 {
        put(root.path(), "nobody", &format!("{number}.mp3"), b"ID3");
        put(root.path(), "summit", &format!("a{number}.mp3"), b"");
        let large =
            std::fs::File::options().write(true).open(root.path().join(format!("summit/a{number}.mp3")));
        large.unwrap().set_len(crate::provider_recording::RECORDING_BYTES_MAX + 1).unwrap();
    }
    put(root.path(), "summit", "empty.mp3", b"");
    put(root.path(), "summit", "monday.mp3", b"ID3 sound");
    clock.0.store(10_000, SeqCst);
    assert_eq!((folder.look().await, folder.look().await, folder.look().await), (0, 0, 1));
    assert_eq!((blob.with(|objects| objects.len()), memory.events.lock().unwrap().len()), (1, 1));
    // A log that takes nothing for a while keeps every file, and all of them come in their turn.
    memory.is_full.store(true, SeqCst);
    for number in 0..40 {
        put(root.path(), "summit", &format!("b{number}.mp3"), format!("ID3 {number}").as_bytes());
    }
    clock.0.store(20_000, SeqCst);
    assert_eq!((folder.look().await, folder.look().await, folder.look().await), (0, 0, 0));
    memory.is_full.store(false, SeqCst);
    assert_eq!((folder.look().await, folder.look().await, folder.look().await), (32, 8, 0));
    assert_eq!(memory.events.lock().unwrap().len(), 41);
}

#[tokio::test]
async fn an_object_in_an_inbox_becomes_an_event_and_no_other_does() {
    let memory = Arc::new(Memory::default());
    let routes = notification_routes(NotificationParts {
        intake: memory.clone(),
        clock: Arc::new(Ahead::default()),
        key: "a-long-key".to_owned(),
        bucket: "recordings".to_owned(),
    });
    let push = async |key: &str, kind: &str, bucket: &str, object: &str| {
        let body = json!({"subscription": "s", "message": {"messageId": "1", "attributes": {
            "eventType": kind, "bucketId": bucket, "objectId": object, "objectGeneration": "17",
            "eventTime": "2026-03-04T16:12:33.236Z", "payloadFormat": "JSON_API_V1",
        }}});
        let request = Request::post(format!("/v1/storage/notifications/{key}"))
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        routes.clone().oneshot(request).await.unwrap().status()
    };
    let (key, done, bucket) = ("a-long-key", "OBJECT_FINALIZE", "recordings");
    for _ in 0..2 {
        assert_eq!(push(key, done, bucket, "summit/inbox/a.mp3").await, StatusCode::ACCEPTED);
    }
    {
        let events = memory.events.lock().unwrap();
        assert_eq!((events.len(), events[0].event_id), (2, events[1].event_id), "told twice, one id");
        let body: serde_json::Value = serde_json::from_slice(&events[0].body).unwrap();
        assert_eq!(body["recording_url"], "blob:summit/inbox/a.mp3");
        assert_eq!(body["occurred_at"], "2026-03-04T16:12:33.236Z");
    }
    for (kind, bucket, object) in [
        ("OBJECT_DELETE", bucket, "summit/inbox/a.mp3"),
        (done, "another", "summit/inbox/a.mp3"),
        (done, bucket, "summit/2026/03/CAL1"),
        (done, bucket, "nobody/inbox/a.mp3"),
        (done, bucket, "summit/inbox/../../x"),
    ] {
        assert_eq!(push(key, kind, bucket, object).await, StatusCode::NO_CONTENT, "{kind} {bucket} {object}");
    }
    assert_eq!(push("another-key", done, bucket, "summit/inbox/a.mp3").await, StatusCode::NOT_FOUND);
    memory.is_full.store(true, SeqCst);
    assert_eq!(
        push(key, done, bucket, "summit/inbox/b.mp3").await,
        StatusCode::SERVICE_UNAVAILABLE,
        "it comes again"
    );
    assert_eq!(memory.events.lock().unwrap().len(), 2);
    let odd = Request::post("/v1/storage/notifications/a-long-key").body(Body::from("{}")).unwrap();
    let odd = tokio::time::timeout(Duration::from_secs(5), routes.clone().oneshot(odd)).await.unwrap();
    assert_eq!(odd.unwrap().status(), StatusCode::BAD_REQUEST);
}
