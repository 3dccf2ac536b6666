//! The suites of what is asked of CallRail, as far as they can be asked of whoever has a protocol of its own.

use leadline_schemas::callrail::decode;
use leadline_schemas::pull::{Listing, PullJob};

use super::write_back::{CALL, Plain, announced, tenant};
use super::*;
use crate::blob_memory::MemoryBlob;
use crate::conformance::other_side::Mood;
use crate::conformance::provider::{self, ProviderUnderTest};
use crate::conformance::sink::{self, SinkUnderTest};
use crate::contract::source::Intake as _;
use crate::provider_recording::{CallRailRecordings, RecordingProvider};
use leadline_schemas::recording::FetchRecordingJob;
use leadline_schemas::settings::Settings;

/// CallRail in this mood, with one recorded call.
fn in_mood(mood: Mood) -> Scene {
    let scene = scene();
    scene.calls(1);
    scene.double.record(CALL, b"no sound".to_vec());
    match mood {
        Mood::Answers => {}
        Mood::Refuses => scene.double.limits(ACCOUNT, Limits { hour: 0, day: 0 }),
        Mood::Hangs => (0..2).for_each(|_| scene.double.fail(ACCOUNT, Fault::Hang)),
    }
    scene
}

/// A text that lives as long as the test: the suites' are written down.
fn kept(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

#[tokio::test]
async fn whoever_asks_for_one_call_passes_the_suite() {
    provider::suite_of_double(&|mood| {
        let scene = in_mood(mood);
        let settings = Arc::new(Settings::default().with(tenant(), 1));
        let now = Arc::new(move || Arc::clone(&settings));
        ProviderUnderTest {
            provider: Arc::new(GetCall::new(scene.client.clone(), Arc::new(Plain), now)),
            kind: "get_call",
            payload: kept(json!({ "call_id": CALL, "company_id": null }).to_string()),
            good: r#"{"answered":true,"call_type":"answered","voicemail":false}"#,
        }
    })
    .await;
}

#[tokio::test]
async fn whoever_lists_an_account_passes_the_suite_and_each_row_is_its_tenants() {
    provider::suite_of_double(&|mood| {
        let scene = in_mood(mood);
        let intake = announced(&scene, false);
        let job = PullJob {
            account_id: ACCOUNT.to_owned(),
            tenant: None,
            listing: Listing::Calls,
            from: Millis(NOW - Millis::HOUR),
            to: Millis(NOW),
            page: None,
            backfill: false,
            deliver: false,
        };
        let provider = PullPages::new(scene.client.clone(), Arc::new(Plain), intake, scene.clock.clone());
        ProviderUnderTest {
            provider: Arc::new(provider),
            kind: "pull",
            payload: kept(serde_json::to_string(&job).unwrap()),
            good: r#"{"listed":1,"appended":1,"open_since":null,"next":null,"total":null}"#,
        }
    })
    .await;
}

#[tokio::test]
async fn a_page_that_the_log_does_not_take_is_asked_for_again() {
    let scene = in_mood(Mood::Answers);
    let (full, taken) = (announced(&scene, true), announced(&scene, false));
    let page = async |intake: &Arc<super::write_back::Announced>| {
        let provider =
            PullPages::new(scene.client.clone(), Arc::new(Plain), intake.clone(), scene.clock.clone());
        let test = ProviderUnderTest {
            provider: Arc::new(provider),
            kind: "pull",
            payload: kept(
                json!({
                    "account_id": ACCOUNT, "tenant": "summit", "listing": "calls", "from": NOW - Millis::HOUR,
                    "to": NOW, "page": null, "backfill": true, "deliver": true,
                })
                .to_string(),
            ),
            good: "",
        };
        test.provider.call(test.job(1), Duration::from_secs(20)).await
    };
    assert!(matches!(page(&full).await, Err(CallError::Retry { .. })), "its rows are in no log");
    page(&taken).await.unwrap();
    page(&taken).await.unwrap();
    let events: Vec<_> = taken.events.lock().unwrap().iter().map(|(event, _)| event.clone()).collect();
    assert_eq!(events.len(), 2);
    assert_eq!(events[0].event_id, events[1].event_id, "the same row is the same event");
    assert_eq!(events[0].content_type, "application/json; pull=backfill+deliver");
    assert_eq!(events[0].tenant, taken.settings().tenants().next().unwrap().tenant);
    let (_, event) = decode(Some(events[0].kind), &events[0].body).unwrap();
    assert_eq!(event.subject_id(), CALL);
}

#[tokio::test]
async fn whoever_fetches_recordings_passes_the_suite() {
    let fetched = |mood: Mood, good: &'static str| {
        let scene = in_mood(mood);
        let settings = Arc::new(Settings::default().with(tenant(), 1));
        let now = Arc::new(move || Arc::clone(&settings));
        let source = CallRailRecordings::new(scene.client.clone(), Arc::new(Plain), now);
        let url = scene.double.the_call(CALL).unwrap()["recording"].as_str().unwrap().to_owned();
        let job = FetchRecordingJob::of_call(CALL, url, Millis(NOW));
        ProviderUnderTest {
            provider: Arc::new(RecordingProvider::new(Arc::new(source), Arc::new(MemoryBlob::default()))),
            kind: "fetch_recording",
            payload: kept(serde_json::to_string(&job).unwrap()),
            good,
        }
    };
    let first = fetched(Mood::Answers, "");
    let answer = first.provider.call(first.job(1), Duration::from_secs(20)).await.unwrap();
    let good = kept(String::from_utf8(answer.body.to_vec()).unwrap());
    assert!(good.contains(CALL) && good.contains("cannot be read as audio"), "{good}");
    provider::suite_of_double(&|mood| fetched(mood, good)).await;
}

#[tokio::test]
async fn whoever_writes_back_passes_the_suite() {
    sink::suite_of_double(&|mood| {
        let scene = in_mood(mood);
        let (clock, intake) = (scene.clock.clone(), announced(&scene, false));
        SinkUnderTest {
            sink: Arc::new(WriteBackSink::new(scene.client.clone(), Arc::new(Plain), intake, clock)),
            secret: None,
            payload: kept(super::write_back::hot().to_string()),
            good: "",
        }
    })
    .await;
}
