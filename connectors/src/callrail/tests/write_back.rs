//! Write-backs, against what CallRail takes and refuses.

use std::sync::Mutex;

use leadline_schemas::command::Command;
use leadline_schemas::delivery::DeliveryKey;
use leadline_schemas::inbound::Inbound;
use leadline_schemas::partitioning::Key;
use leadline_schemas::settings::{CallRail as Account, Company, Integration, Sealed, Settings, Tenant};
use leadline_schemas::{Offset, TenantId};

use super::*;
use crate::contract::BoxFuture;
use crate::contract::log::AppendError;
use crate::contract::secrets::{SecretError, Secrets};
use crate::contract::sink::{Guarantee, Sink, SinkAnswer, SinkRequest};
use crate::contract::source::Intake;
use crate::contract::wire::Trace;

pub(super) const CALL: &str = "CAL00000000000000000000000000000000";

/// What was announced, and what CallRail had been asked by then.
pub(super) struct Announced {
    settings: Arc<Settings>,
    double: CallRail,
    pub(super) events: Mutex<Vec<(Inbound, usize)>>,
    full: bool,
}

impl Intake for Announced {
    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings)
    }
    fn fresh_settings(&self) -> BoxFuture<'_, Arc<Settings>> {
        Box::pin(async { self.settings() })
    }
    fn accept(&self, event: Inbound) -> BoxFuture<'_, Result<Offset, AppendError>> {
        let written = puts(&self.double);
        self.events.lock().unwrap().push((event, written));
        let answer = if self.full { Err(AppendError::Full) } else { Ok(Offset(1)) };
        Box::pin(async move { answer })
    }
}

pub(super) struct Plain;

impl Secrets for Plain {
    fn seal(&self, _: &str, plain: &[u8]) -> Result<Sealed, SecretError> {
        Ok(Sealed(String::from_utf8_lossy(plain).into_owned()))
    }
    fn open(&self, context: &str, sealed: &Sealed) -> Result<Vec<u8>, SecretError> {
        assert_eq!(context, "summit/callrail");
        Ok(sealed.0.clone().into_bytes())
    }
}

fn puts(double: &CallRail) -> usize {
    double.asked().iter().filter(|asked| asked.method == "PUT").count()
}

pub(super) fn tenant() -> Tenant {
    Tenant {
        companies: vec![Company::new(vec![COMPANY.to_owned()], Sealed::default())],
        callrail: Some(Account {
            account_id: ACCOUNT.to_owned(),
            api_key: Sealed(API_KEY.to_owned()),
            public_url: String::new(),
            write_back: true,
            connected_at: Millis(0),
        }),
        ..Tenant::new(TenantId::new("summit").unwrap(), "Summit", Millis(0))
    }
}

/// An intake that knows the tenant, and takes what is announced unless it is full.
pub(super) fn announced(scene: &Scene, full: bool) -> Arc<Announced> {
    let settings = Arc::new(Settings::default().with(tenant(), 1));
    Arc::new(Announced { settings, double: scene.double.clone(), events: Mutex::default(), full })
}

/// An intake that knows these tenants.
pub(super) fn announced_to(scene: &Scene, settings: Settings) -> Arc<Announced> {
    let (settings, double) = (Arc::new(settings), scene.double.clone());
    Arc::new(Announced { settings, double, events: Mutex::default(), full: false })
}

fn sink(scene: &Scene, full: bool) -> (WriteBackSink, Arc<Announced>) {
    let announced = announced(scene, full);
    let sink =
        WriteBackSink::new(scene.client.clone(), Arc::new(Plain), announced.clone(), scene.clock.clone());
    (sink, announced)
}

async fn deliver(sink: &WriteBackSink, payload: serde_json::Value) -> Result<SinkAnswer, CallError> {
    let tenant = TenantId::new("summit").unwrap();
    let integration = Integration::new("callrail", sink.kind(), "");
    let request = SinkRequest {
        home: Key::new(tenant.clone(), "+13035550142", 1),
        key: DeliveryKey { tenant, integration: "callrail".to_owned(), subject: "lead-1".to_owned() },
        idempotency_key: "job-1".to_owned(),
        integration,
        payload: payload.to_string(),
        remote_id: None,
        may_have_arrived: false,
        failing_since: None,
        trace: Trace::default(),
    };
    sink.deliver(request, Duration::from_secs(20)).await
}

pub(super) fn hot() -> serde_json::Value {
    json!({"type": "lead", "contact_ids": ["CAL9", CALL, "FRM1"], "band": "hot", "score": 92, "status": "open"})
}

#[tokio::test]
async fn a_write_back_is_announced_before_it_is_sent_and_the_second_one_sends_nothing() {
    let scene = scene();
    scene.calls(1);
    scene.double.change(CALL, json!({"tags": ["vip"]}));
    let (sink, announced) = sink(&scene, false);
    assert_eq!(sink.guarantee(), Guarantee::Once);
    for _ in 0..2 {
        let answer = deliver(&sink, hot()).await.unwrap();
        assert_eq!(answer.remote_id.as_deref(), Some(CALL));
    }
    assert_eq!(puts(&scene.double), 1);
    let call = scene.double.the_call(CALL).unwrap();
    assert_eq!((&call["tags"], &call["lead_status"]), (&json!(["vip", "leadline-hot"]), &json!("good_lead")));
    assert_eq!(call["note"], "[leadline] hot 92");
    let events = announced.events.lock().unwrap();
    let [(event, written)] = events.as_slice() else { panic!("{} announcements", events.len()) };
    assert_eq!(*written, 0, "it was sent before anybody knew");
    let command: Command = serde_json::from_slice(&event.body).unwrap();
    let fields = ["lead_status", "note", "tags", "tag"].map(str::to_owned).to_vec();
    assert_eq!(command, Command::WroteBack { call_id: CALL.to_owned(), fields });
    let home = Key::new(TenantId::new("summit").unwrap(), "+13035550142", 1);
    assert_eq!((event.key_group, event.bucket), (home.key_group, home.bucket), "where dedupe has the call");
}

#[tokio::test]
async fn a_caller_who_is_marked_already_is_what_was_wanted() {
    let scene = scene();
    scene.calls(1);
    let (sink, _) = sink(&scene, false);
    // Somebody marks the caller between our look and our word.
    scene.double.refuse_good_leads();
    let answer = deliver(&sink, hot()).await;
    assert!(answer.is_ok(), "{answer:?}");
    let call = scene.double.the_call(CALL).unwrap();
    assert_eq!((&call["note"], &call["lead_status"]), (&json!("[leadline] hot 92"), &json!(null)));
}

#[tokio::test]
async fn nothing_is_sent_that_could_not_be_announced_and_nothing_to_a_lead_without_calls() {
    let scene = scene();
    scene.calls(1);
    let (full, _) = sink(&scene, true);
    assert!(matches!(deliver(&full, hot()).await, Err(CallError::Retry { .. })));
    let (sink, _) = sink(&scene, false);
    for payload in [
        json!({"type": "lead", "contact_ids": ["FRM1", "SCI1"], "band": "hot"}),
        json!({"type": "missed_call", "call_id": CALL}),
        json!({"type": "notice", "text": "x"}),
    ] {
        assert_eq!(deliver(&sink, payload).await, Ok(SinkAnswer::default()));
    }
    assert!(matches!(deliver(&sink, json!([])).await, Err(CallError::Reject { .. })));
    let gone = json!({"type": "lead", "contact_ids": ["CAL404"], "band": "hot"});
    assert!(matches!(deliver(&sink, gone).await, Err(CallError::Reject { .. })));
    scene.double.fail("/calls", Fault::Answer(503, String::new()));
    assert!(matches!(deliver(&sink, hot()).await, Err(CallError::Retry { .. })));
    assert_eq!(puts(&scene.double), 0);
}
