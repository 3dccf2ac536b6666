use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use leadline_schemas::TenantId;
use leadline_schemas::delivery::DeliveryKey;
use leadline_schemas::golden::{Golden, beside, inputs};
use leadline_schemas::partitioning::Key;
use leadline_schemas::settings::Sealed;
use leadline_tests::slack::{Fault, HOOK, Slack, TOKEN};
use serde_json::Value;

use super::*;
use crate::conformance::other_side::{Mood, check_why};
use crate::conformance::sink::{SinkUnderTest, suite_of_double};
use crate::contract::secrets::SecretError;

/// A secret is what is sealed, word for word.
struct Plain;

impl Secrets for Plain {
    fn seal(&self, _: &str, plain: &[u8]) -> Result<Sealed, SecretError> {
        Ok(Sealed(String::from_utf8_lossy(plain).into_owned()))
    }
    fn open(&self, _: &str, sealed: &Sealed) -> Result<Vec<u8>, SecretError> {
        Ok(sealed.0.clone().into_bytes())
    }
}

/// Takes down what was switched off.
#[derive(Default)]
struct Switched(Mutex<Vec<String>>);

impl Switch for Switched {
    fn off<'a>(&'a self, tenant: &'a TenantId, integration: &'a str, why: &'a str) -> BoxFuture<'a, ()> {
        self.0.lock().unwrap().push(format!("{tenant}/{integration}: {why}"));
        Box::pin(async {})
    }
}

const PATIENT: Duration = Duration::from_secs(20);
const LEAD: &str = r#"{"type":"lead","lead_id":"L1","status":"open","score":92,"band":"hot","class":"lead",
    "name":"Ana <b> & Co","phone":"+13035550142","city":"Denver","project_type":"kitchen","budget_min":40000,
    "timeline":"1_3mo","source":"Google Ads","factors":{"budget":20,"timeline":25,"scope_area":25,"authority":22},
    "reasons":["Budget of $40,000."],"evidence":[{"field":"budget_min","quote":"about forty thousand","turn":2}],
    "contacted":false,"last_contact_at":"2026-03-04T16:12:33.236Z","why":"Opened by a call: hot 92."}"#;
const MISSED: &str = r#"{"type":"missed_call","call_id":"CAL1","caller":"+13035550142",
    "rang_at":"2026-03-04T16:12:33.236Z","confirmed":true,"note":""}"#;

struct Scene {
    slack: Slack,
    sink: Arc<SlackSink>,
    switched: Arc<Switched>,
}

fn scene() -> Scene {
    let switched = Arc::new(Switched::default());
    let client = Client::new().unwrap();
    let sink = SlackSink::new(client, Arc::new(Plain), None, switched.clone());
    Scene { slack: Slack::start(), sink: Arc::new(sink), switched }
}

impl Scene {
    /// Messages come as fast as they are sent, on both sides: for tests of something else.
    fn hurried(mut self) -> Self {
        self.slack.unlimited();
        let sink = SlackSink::new(Client::new().unwrap(), Arc::new(Plain), None, self.switched.clone());
        self.sink = Arc::new(sink.paced(Duration::ZERO));
        self
    }

    fn api(&self) -> Integration {
        Integration {
            secret: Some(Sealed(TOKEN.to_owned())),
            options: BTreeMap::from([("channel".to_owned(), "C0LEADS".to_owned())]),
            ..Integration::new("slack", "slack", self.slack.api())
        }
    }

    fn hook(&self) -> Integration {
        Integration { secret: Some(Sealed(self.slack.hook())), ..Integration::new("slack", "slack", "") }
    }

    fn request(&self, integration: Integration, payload: &str, remote_id: Option<String>) -> SinkRequest {
        let tenant = TenantId::new("summit").unwrap();
        SinkRequest {
            home: Key::new(tenant.clone(), "+13035550142", 1),
            key: DeliveryKey { tenant, integration: "slack".to_owned(), subject: "L1".to_owned() },
            idempotency_key: "job-1".to_owned(),
            integration,
            payload: payload.to_owned(),
            remote_id,
            may_have_arrived: false,
            failing_since: None,
            trace: Trace::default(),
        }
    }

    async fn deliver(&self, integration: Integration, payload: &str, remote: Option<String>) -> CameOfIt {
        self.sink.deliver(self.request(integration, payload, remote), PATIENT).await
    }
}

#[tokio::test]
async fn a_lead_is_one_message_that_changes_as_the_lead_grows() {
    let scene = scene().hurried();
    let first = scene.deliver(scene.api(), LEAD, None).await.unwrap();
    let warmer = LEAD.replace("\"hot\"", "\"warm\"");
    let again = scene.deliver(scene.api(), &warmer, first.remote_id.clone()).await.unwrap();
    assert_eq!(again, first, "the message stays the same");
    // An answer that was lost: the same change once more is the same message.
    scene.deliver(scene.api(), &warmer, first.remote_id.clone()).await.unwrap();
    let messages = scene.slack.messages();
    assert_eq!((messages.len(), messages[0].changes), (1, 2));
    assert_eq!(messages[0].text, "Warm lead 92 — Kitchen, Ana &lt;b&gt; &amp; Co, Denver");
    let blocks = messages[0].blocks.to_string();
    for part in [
        "Ana &lt;b&gt; &amp; Co",
        "<tel:+13035550142|(303) 555-0142>",
        "from 40,000",
        "in 1 to 3 months",
        "Google Ads",
        "authority 22",
        "• Budget of $40,000.",
        "> about forty thousand",
        "nobody has talked to them yet",
    ] {
        assert!(blocks.contains(part), "{part:?} is not in {blocks}");
    }
    // Somebody has deleted it.
    scene.slack.delete_all();
    let anew = scene.deliver(scene.api(), LEAD, first.remote_id).await.unwrap();
    assert!(anew.remote_id.is_some() && scene.slack.messages().len() == 1);
    assert_eq!(scene.slack.complaints(), [""; 0]);
}

#[tokio::test]
async fn every_kind_of_card_is_one_that_slack_takes_by_both_ways() {
    let scene = scene().hurried();
    let notice = r#"{"type":"notice","subject":"callrail:COM1","trouble":true,"text":"nothing comes"}"#;
    let unknown = r#"{"type":"lead","score":0,"band":"cold","class":"no_conversation"}"#;
    let late = MISSED.replace("\"note\":\"\"", "\"escalated_after_s\":600");
    for payload in [LEAD, MISSED, notice, unknown, &late] {
        let mut api = scene.api();
        api.options.insert("link".to_owned(), "https://crm.example/leads/{subject}".to_owned());
        scene.deliver(api, payload, None).await.unwrap();
        assert_eq!(scene.deliver(scene.hook(), payload, None).await, Ok(SinkAnswer { remote_id: None }));
    }
    assert_eq!((scene.slack.messages().len(), scene.slack.complaints()), (10, vec![]));
    let late = scene.slack.messages()[8].blocks.to_string();
    assert!(
        late.contains("Nobody has reacted for 10 min") && late.contains("https://crm.example/leads/CAL1")
    );
}

/// Each failure of vendors.md as Slack tells it, and what it means: golden files.
#[tokio::test]
async fn golden_every_failure_shape_has_its_meaning_in_words() {
    let scene = scene().hurried();
    let mut golden = Golden::default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/slack");
    for path in inputs(&root) {
        let shape: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let headers = shape["headers"].as_object().unwrap().iter();
        let fault = Fault::Answer {
            status: u16::try_from(shape["status"].as_u64().unwrap()).unwrap(),
            headers: headers
                .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
                .collect(),
            body: shape["body"].as_str().unwrap().to_owned(),
        };
        let is_hook = path.parent() == Some(&root.join("hook"));
        // Each has a channel of its own, or a pause that one asks for would hold the next.
        let integration = match is_hook {
            true => Integration {
                secret: Some(Sealed(format!("{}#{}", scene.slack.hook(), name(&path)))),
                ..scene.hook()
            },
            false => {
                let mut api = scene.api();
                api.options.insert("channel".to_owned(), format!("C{}", name(&path)));
                api
            }
        };
        scene.slack.fail(fault);
        let answer = scene.deliver(integration, LEAD, None).await;
        let off = std::mem::take(&mut *scene.switched.0.lock().unwrap());
        golden.compare(&beside(&path), &shown(&answer, &off));
    }
    golden.finish();
    assert_eq!(scene.slack.messages().len(), 0);
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

fn shown(answer: &CameOfIt, off: &[String]) -> Value {
    let (outcome, why, after_s) = match answer {
        Ok(_) => ("done", "", None),
        Err(CallError::Retry { after, why }) => ("retry", why.as_str(), after.map(|after| after.as_secs())),
        Err(CallError::Reject { why }) => ("reject", why.as_str(), None),
        Err(CallError::Unclear { why }) => ("unclear", why.as_str(), None),
    };
    if !why.is_empty() {
        check_why(why);
    }
    json!({ "outcome": outcome, "why": why, "after_s": after_s, "switched_off": off })
}

/// Two messages at most for one alert whose answer was lost, and only where the tenant wants that.
#[tokio::test]
async fn a_time_out_after_success_is_unclear_and_not_sent_again_by_the_sink() {
    let scene = scene().hurried();
    scene.slack.fail(Fault::HangAfter);
    let request = scene.request(scene.api(), MISSED, None);
    let answer = scene.sink.deliver(request, Duration::from_millis(300)).await;
    assert!(matches!(answer, Err(CallError::Unclear { .. })), "{answer:?}");
    assert_eq!(scene.slack.messages().len(), 1, "it had arrived");
    let known = scene.deliver(scene.api(), LEAD, None).await.unwrap().remote_id;
    scene.slack.fail(Fault::HangAfter);
    let change = scene.request(scene.api(), LEAD, known);
    let answer = scene.sink.deliver(change, Duration::from_millis(300)).await;
    assert!(matches!(answer, Err(CallError::Retry { .. })), "a change may come twice: {answer:?}");
}

/// Slack's limit holds, and who would wait over three seconds is in one message with the others.
#[tokio::test]
async fn a_burst_is_merged_and_slack_never_asks_for_less() {
    let scene = scene();
    let begun = std::time::Instant::now();
    let alerts = (0..8).map(|_| scene.deliver(scene.api(), MISSED, None));
    let answers = futures_util::future::join_all(alerts).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let messages = scene.slack.messages();
    assert_eq!((scene.slack.limited(), messages.len()), (0, 1));
    assert!(messages[0].text.contains("8 alerts"), "{messages:?}");
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap().remote_id.is_none()), "it is nobody's own");
    // A few come one by one.
    let few = (0..3).map(|_| scene.deliver(scene.api(), MISSED, None));
    let few = futures_util::future::join_all(few).await;
    assert!(few.iter().all(|answer| answer.as_ref().unwrap().remote_id.is_some()));
    assert_eq!((scene.slack.limited(), scene.slack.messages().len()), (0, 4));
}

#[tokio::test]
async fn a_preview_sends_nothing_and_shows_no_secret() {
    let scene = scene().hurried();
    let request = scene.request(scene.api(), LEAD, None);
    let shown = format!("{:?}", scene.sink.preview(&request).unwrap());
    assert!(shown.contains("/api/chat.postMessage") && shown.contains("Kitchen"), "{shown}");
    let changed = scene.request(scene.api(), LEAD, Some("C0LEADS:1.2".to_owned()));
    assert!(format!("{:?}", scene.sink.preview(&changed).unwrap()).contains("/api/chat.update"));
    let hooked = format!("{:?}", scene.sink.preview(&scene.request(scene.hook(), LEAD, None)).unwrap());
    assert!(!shown.contains(TOKEN) && !hooked.contains(HOOK), "{hooked}");
    assert!(scene.slack.messages().is_empty());
    // What the ledger keeps of a delivery hides it too.
    let request = scene.request(scene.hook(), LEAD, None);
    scene.sink.deliver(request.clone(), PATIENT).await.unwrap();
    let exchange = request.trace.take().pop().unwrap();
    assert!(!exchange.request.contains(HOOK) && exchange.answer.starts_with("200"), "{exchange:?}");
}

#[tokio::test]
async fn the_sink_passes_the_suite_as_a_webhook() {
    suite_of_double(&|mood| {
        let scene = scene().hurried();
        let faults = match mood {
            Mood::Answers => vec![],
            Mood::Refuses => {
                vec![Fault::Answer { status: 429, headers: vec![], body: "rate_limited".to_owned() }]
            }
            Mood::Hangs => vec![Fault::Hang, Fault::Hang],
        };
        faults.into_iter().for_each(|fault| scene.slack.fail(fault));
        SinkUnderTest {
            secret: Some(Sealed(scene.slack.hook())),
            sink: scene.sink,
            payload: Box::leak(LEAD.to_owned().into_boxed_str()),
            good: "",
        }
    })
    .await;
}

#[test]
fn every_failure_shape_has_its_file() {
    let root: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/slack");
    let names: Vec<String> = inputs(&root).iter().map(|path| name(path)).collect();
    for word in [
        "channel_not_found",
        "token_revoked",
        "is_archived",
        "msg_blocks_too_long",
        "rollup_error",
        "no_active_hooks",
    ] {
        assert!(names.iter().any(|name| name == word), "{word}");
    }
}
