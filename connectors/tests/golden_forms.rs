//! Every form under `tests/fixtures/forms`, sent to the real routes, becomes the event that lies beside it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests outside `#[test]` functions"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use leadline_connectors::blob_memory::MemoryBlob;
use leadline_connectors::clock_system::SystemClock;
use leadline_connectors::contract::BoxFuture;
use leadline_connectors::contract::log::AppendError;
use leadline_connectors::contract::secrets::{SecretError, Secrets};
use leadline_connectors::contract::source::Intake;
use leadline_connectors::source_http::{HttpSourceParts, routes};
use leadline_schemas::event::Event;
use leadline_schemas::forms;
use leadline_schemas::golden::{Golden, beside, event_json, inputs};
use leadline_schemas::inbound::Inbound;
use leadline_schemas::settings::{Form, Policy, Sealed, Settings, Tenant};
use leadline_schemas::{Millis, Offset, TenantId};
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// Takes events into memory.
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

/// What forms need none of.
struct Nothing;

impl Secrets for Nothing {
    fn seal(&self, _: &str, _: &[u8]) -> Result<Sealed, SecretError> {
        Ok(Sealed::default())
    }
    fn open(&self, _: &str, _: &Sealed) -> Result<Vec<u8>, SecretError> {
        Ok(Vec::new())
    }
}

/// As the golden test of `leadline-schemas` has it.
fn field_map() -> BTreeMap<String, String> {
    [("name", "f7"), ("phone", "f8"), ("message", "f9")].map(|(a, b)| (a.to_owned(), b.to_owned())).into()
}

fn tenant() -> Tenant {
    Tenant {
        forms: vec![Form {
            form_key: "form".to_owned(),
            origins: vec![],
            honeypot: None,
            field_map: field_map(),
        }],
        policy: Policy { rate_per_s: 100_000, ..Policy::default() },
        ..Tenant::new(TenantId::new("summit").unwrap(), "Summit Kitchens", Millis(0))
    }
}

async fn sent(content_type: &str, body: Vec<u8>) -> Value {
    let settings = Arc::new(Settings::default().with(tenant(), 1));
    let memory = Arc::new(Memory { settings, events: Mutex::default() });
    let router = routes(HttpSourceParts {
        intake: memory.clone(),
        secrets: Arc::new(Nothing),
        blob: Arc::new(MemoryBlob::default()),
        clock: Arc::new(SystemClock),
        records: None,
        requests_max: 4,
        process_timeout: Duration::from_secs(1),
        doubts: Arc::default(),
    });
    let request =
        Request::builder().method(Method::POST).uri("/v1/forms/form").header("content-type", content_type);
    let response = router.oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    let status = response.status();
    let answer = response.into_body().collect().await.unwrap().to_bytes();
    let events = memory.events.lock().unwrap().clone();
    if !status.is_success() {
        assert!(status.is_client_error() && events.is_empty(), "{status}");
        let problem: Value = serde_json::from_slice(&answer).unwrap();
        return json!({ "refused": problem["detail"] });
    }
    // What was written is read as decode reads it.
    let [event] = events.as_slice() else { unreachable!("one form is one event") };
    assert!(event.content_type.ends_with("; form=form"));
    let form = forms::decode("application/json", &event.body, "FORM-ID", &field_map()).unwrap();
    event_json(&Event::FormEvent(form))
}

#[tokio::test]
async fn golden_forms_over_http() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/forms");
    let mut golden = Golden::default();
    for path in inputs(&root) {
        let folder: PathBuf = path.parent().unwrap().into();
        let content_type = match folder.file_name().unwrap().to_str().unwrap() {
            "json" => "application/json",
            "urlencoded" => "application/x-www-form-urlencoded",
            _ => "multipart/form-data; boundary=----leadline",
        };
        let found = sent(content_type, std::fs::read(&path).unwrap()).await;
        let refused = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("refused-"));
        assert_eq!(found.get("refused").is_some(), refused, "{}: {found}", path.display());
        golden.compare(&beside(&path), &found);
    }
    golden.finish();
}
