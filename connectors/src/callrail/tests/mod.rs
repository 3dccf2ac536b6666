//! What CallRail's client promises, against the strict double.

mod onboarding;
mod pulls;
mod recordings;
mod suites;
mod write_back;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use leadline_schemas::callrail::decode;
use leadline_schemas::event::Event;
use leadline_schemas::inbound::EventKind;
use leadline_schemas::{Millis, content_hash};
use leadline_tests::callrail::{CallRail, Fault, Limits};
use serde_json::{Map, json};

use super::calls::{CallsAsk, Paging};
use super::*;
use crate::contract::clock::Clock;
use crate::contract::provider::CallError;

const ACCOUNT: &str = "ACC8154748ae6bd4e278a7cddd38a662f4f";
const COMPANY: &str = "COM338e6107d0eb4712af2d4f2f8a18c900";
const API_KEY: &str = "0123456789abcdef-the-api-key";
/// 2026-03-04T16:00:00Z, where an hour begins.
const NOW: i64 = 1_772_640_000_000;

/// A clock that stands still until it is moved.
struct Still(AtomicI64);

impl Clock for Still {
    fn wall(&self) -> Millis {
        Millis(self.0.load(Ordering::SeqCst))
    }
    fn boot_ms(&self) -> u64 {
        self.wall().0 as u64
    }
}

struct Scene {
    double: CallRail,
    client: CallRailClient,
    access: Access,
    clock: Arc<Still>,
}

fn scene() -> Scene {
    let double = CallRail::start();
    double.set_now(NOW);
    double.account(ACCOUNT, API_KEY);
    double.company(ACCOUNT, COMPANY, "Summit");
    let clock = Arc::new(Still(AtomicI64::new(NOW)));
    let config = CallRailConfig { base_url: double.base_url(), ..CallRailConfig::default() };
    let client = CallRailClient::new(&config, clock.clone()).unwrap();
    Scene { double, client, access: Access::new(ACCOUNT, API_KEY, Priority::Live), clock }
}

impl Scene {
    fn at(&self, ms: i64) {
        self.double.set_now(ms);
        self.clock.0.store(ms, Ordering::SeqCst);
    }

    /// Calls of a minute each, one a minute, the last one a minute ago.
    fn calls(&self, count: i64) {
        for n in 0..count {
            let start = Millis(NOW - (count - n) * Millis::MINUTE).to_string();
            self.double.call(COMPANY, &format!("CAL{n:032x}"), json!({ "start_time": start }));
        }
    }

    async fn all(&self, ask: &CallsAsk, between: impl Fn(usize)) -> Vec<String> {
        let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = self.client.calls(&self.access, ask, after.as_ref()).await.unwrap();
            found.extend(page.items.into_iter().map(|call| call.call_id));
            pages += 1;
            assert!(pages < 50, "it does not end");
            between(pages);
            match page.next {
                // As one that was kept over a restart.
                Some(next) => after = serde_json::from_str(&serde_json::to_string(&next).unwrap()).unwrap(),
                None => return found,
            }
        }
    }
}

#[tokio::test]
async fn both_pagings_list_every_call_once_even_when_calls_come_between_pages() {
    for paging in [Paging::Relative, Paging::Offset] {
        let scene = scene();
        scene.calls(25);
        let ask = CallsAsk { per_page: 7, paging, ..CallsAsk::since(Millis(NOW - Millis::HOUR)) };
        let found = scene
            .all(&ask, |page| {
                let id = format!("CALf{page:031x}");
                if page < 4 {
                    scene.double.call(COMPANY, &id, json!({ "start_time": Millis(NOW).to_string() }));
                }
            })
            .await;
        let mut once = found.clone();
        once.sort();
        once.dedup();
        assert_eq!(found.len(), once.len(), "{paging:?}: a call was listed twice");
        let old = (0..25).all(|n| found.contains(&format!("CAL{n:032x}")));
        assert!(old && found.len() == 28, "{paging:?}: {} calls", found.len());
    }
}

#[tokio::test]
async fn a_listing_is_of_its_range_and_its_company() {
    let scene = scene();
    scene.calls(10);
    scene.double.company(ACCOUNT, "COM2", "Other");
    scene.double.call("COM2", "CALother", json!({ "start_time": Millis(NOW - Millis::MINUTE).to_string() }));
    let minutes = |n: i64| Millis(NOW - n * Millis::MINUTE);
    let ask = CallsAsk { to: Some(minutes(3)), ..CallsAsk::since(minutes(5)) };
    assert_eq!(scene.all(&ask, |_| {}).await.len(), 3, "both ends are inside");
    let ask = CallsAsk { company_id: Some("COM2".to_owned()), ..CallsAsk::since(minutes(60)) };
    assert_eq!(scene.all(&ask, |_| {}).await, ["CALother"]);
}

#[tokio::test]
async fn a_row_of_the_api_is_known_by_the_webhook_of_the_same_call() {
    let scene = scene();
    let start = Millis(NOW - Millis::HOUR).to_string();
    scene.double.call(
        COMPANY,
        "CALb14811eb573645c6989000cf426b9772",
        json!({
            "start_time": start, "duration": 412, "tags": ["hot"], "note": "asked twice", "value": "150",
            "transcription": "Agent: Summit.\nCaller: A kitchen.", "gclid": "Cj0", "landing_page_url": "https://x.example/",
        }),
    );
    scene.double.record("CALb14811eb573645c6989000cf426b9772", b"ID3".to_vec());
    scene.double.integration(COMPANY, json!({ "post_call_webhook": ["http://127.0.0.1:1/hook"] }));
    let webhook = scene.double.body("CALb14811eb573645c6989000cf426b9772");
    let page =
        scene.client.calls(&scene.access, &CallsAsk::since(Millis(NOW - Millis::DAY)), None).await.unwrap();
    let single = scene.client.call(&scene.access, "CALb14811eb573645c6989000cf426b9772").await.unwrap();
    let (_, from_webhook) = decode(Some(EventKind::PostCall), webhook.to_string().as_bytes()).unwrap();
    for row in [&page.items[0], &single] {
        let (kind, from_row) = decode(Some(row.kind), &row.body).unwrap();
        assert_eq!(kind, EventKind::PostCall);
        assert_eq!(from_row.subject_id(), from_webhook.subject_id());
        assert_eq!(from_row.caller(), from_webhook.caller());
        assert_eq!(
            content_hash(&from_row),
            content_hash(&from_webhook),
            "dedupe takes it for another content"
        );
        let (Event::CallEvent(row_call), Event::CallEvent(hook_call)) = (&from_row, &from_webhook) else {
            panic!()
        };
        assert_eq!(
            (&row_call.company_id, row_call.started_at),
            (&hook_call.company_id, hook_call.started_at)
        );
        assert_eq!((row_call.duration_s, row_call.recording_duration_s), (Some(412), Some(57)));
        assert!(row_call.recording_url.as_ref().unwrap().ends_with("/recording.json"));
        assert!(row_call.extra.contains("person_resource_id"), "{}", row_call.extra);
        assert_eq!(row.ended_at, Some(Millis(NOW - Millis::HOUR + 412_000)));
    }
}

#[tokio::test]
async fn a_missed_call_of_a_listing_is_over_and_one_that_goes_on_is_not() {
    let scene = scene();
    let missed = json!({"answered": false, "call_type": "missed", "duration": 0, "start_time": Millis(NOW - 1_000).to_string()});
    scene.double.call(COMPANY, "CAL1", missed);
    scene.double.call(
        COMPANY,
        "CAL2",
        json!({"call_type": "in_progress", "answered": null, "duration": null}),
    );
    scene.double.call(COMPANY, "CAL3", json!({"direction": "outbound"}));
    let page =
        scene.client.calls(&scene.access, &CallsAsk::since(Millis(NOW - Millis::DAY)), None).await.unwrap();
    let told: Vec<_> =
        page.items.iter().map(|call| (call.kind, call.in_progress, call.ended_at.is_some())).collect();
    let expected = [
        (EventKind::PostCall, false, true),
        (EventKind::PostCall, true, false),
        (EventKind::OutboundPostCall, false, true),
    ];
    assert_eq!(told, expected);
    assert_eq!(page.items[0].event().unwrap().kind, EventKind::PostCall, "its shape is that of a pre-call");
}

#[tokio::test]
async fn an_account_is_never_asked_more_than_its_limit_and_a_429_closes_it_for_a_while() {
    let scene = scene();
    scene.calls(1);
    scene.double.limits(ACCOUNT, Limits { hour: 3, day: 100 });
    let ask = || scene.client.call(&scene.access, "CAL00000000000000000000000000000000");
    for _ in 0..3 {
        ask().await.unwrap();
    }
    let Err(CallRailError::Limited { after, .. }) = ask().await else { panic!("the double lets three pass") };
    assert_eq!(after, Duration::from_secs(60), "no Retry-After: to the next slice");
    assert!(matches!(ask().await, Err(CallRailError::Limited { .. })));
    assert_eq!(scene.double.asked().len(), 4, "it was asked while it was closed");
    scene.at(NOW + Millis::HOUR);
    ask().await.unwrap();
    let error = CallError::from(CallRailError::Limited { after, why: "x".to_owned() });
    assert!(matches!(error, CallError::Retry { after: Some(_), .. }));

    // Our own count keeps a process that shares an account with nobody below the limits.
    let config =
        CallRailConfig { base_url: scene.double.base_url(), per_hour: 2, ..CallRailConfig::default() };
    let client = CallRailClient::new(&config, scene.clock.clone()).unwrap();
    let before = scene.double.asked().len();
    for n in 0..5 {
        let other = Access::new(ACCOUNT, API_KEY, if n == 4 { Priority::Background } else { Priority::Live });
        let _ = client.call(&other, "CAL1").await;
    }
    assert_eq!(scene.double.asked().len() - before, 2);
}

#[tokio::test]
async fn every_way_to_fail_has_its_meaning_and_tells_no_secret() {
    let scene = scene();
    scene.calls(1);
    let id = "CAL00000000000000000000000000000000";
    let fail = |status: u16, body: &str| scene.double.fail("/calls", Fault::Answer(status, body.to_owned()));
    for (status, may_pass) in
        [(400, false), (401, false), (403, false), (404, false), (422, false), (500, true), (503, true)]
    {
        fail(status, "{\"error\":\"no\"}");
        let error = scene.client.call(&scene.access, id).await.unwrap_err();
        assert_eq!(error.may_pass(), may_pass, "{status}: {error}");
        let why = error.to_string();
        assert!(!why.contains(API_KEY) && !why.contains('\n'), "{why}");
        assert!(status == 404 || why.contains(&status.to_string()), "{why}");
    }
    for odd in ["", "[]", "{}", "\u{0}", "{\"id\":{}}", "{\"id\":", "{\"id\":\"CAL1\"} x", "null", "\"x\""] {
        fail(200, odd);
        let answer = scene.client.call(&scene.access, id).await;
        assert!(matches!(answer, Err(CallRailError::Odd { .. })), "{odd:?}: {answer:?}");
        fail(200, odd);
        let answer = scene.client.calls(&scene.access, &CallsAsk::since(Millis(NOW)), None).await;
        assert!(matches!(answer, Err(CallRailError::Odd { .. })), "{odd:?}: {answer:?}");
    }
    let rows = r#"{"calls":[1,null,{},{"id":"CAL1","start_time":{},"duration":"x","tags":7},[[[]]]],"has_next_page":"true","next_page":5}"#;
    fail(200, rows);
    let page = scene.client.calls(&scene.access, &CallsAsk::since(Millis(NOW)), None).await.unwrap();
    assert_eq!((page.items.len(), page.odd), (1, 4));
    fail(200, &format!("{{\"calls\":[\"{}\"]}}", "x".repeat(33 << 20)));
    let answer = scene.client.calls(&scene.access, &CallsAsk::since(Millis(NOW)), None).await;
    assert!(matches!(answer, Err(CallRailError::TooLarge { .. })), "{answer:?}");
    scene.double.fail("/calls", Fault::Hang);
    let hasty = scene.access.clone().within(Duration::from_millis(200));
    assert!(scene.client.call(&hasty, id).await.unwrap_err().may_pass());
    let wrong = Access::new(ACCOUNT, "another key", Priority::Live);
    assert!(matches!(scene.client.call(&wrong, id).await, Err(CallRailError::Denied { status: 401, .. })));
    let elsewhere = Access::new("ACC2", API_KEY, Priority::Live);
    assert!(matches!(
        scene.client.call(&elsewhere, id).await,
        Err(CallRailError::Denied { status: 403, .. })
    ));
    let asked = scene.double.asked().len();
    for bad in ["", "../../a", "CAL1/recording", "CAL1?x=1", "%2e%2e", "CAL 1"] {
        assert!(
            matches!(scene.client.call(&scene.access, bad).await, Err(CallRailError::Odd { .. })),
            "{bad}"
        );
    }
    assert_eq!(scene.double.asked().len(), asked, "an id is not asked for before it is one");
}

#[tokio::test]
async fn what_is_too_old_for_callrail_is_told_by_its_name() {
    let scene = scene();
    let days = |n: i64| CallsAsk::since(Millis(NOW - n * Millis::DAY));
    let surely = scene.client.calls(&scene.access, &days(800), None).await;
    assert!(matches!(surely, Err(CallRailError::BeyondRetention { .. })), "{surely:?}");
    assert_eq!(scene.double.asked().len(), 0, "nobody has to be asked for that");
    let told = scene.client.calls(&scene.access, &days(770), None).await;
    assert!(matches!(told, Err(CallRailError::BeyondRetention { .. })), "{told:?}");
    assert!(scene.client.calls(&scene.access, &days(700), None).await.is_ok());
}

#[tokio::test]
async fn a_field_that_callrail_does_not_know_costs_one_answer_and_no_more() {
    let scene = scene();
    scene.calls(1);
    scene.double.forget_field("msclkid");
    scene.double.forget_field("note");
    let ask = CallsAsk::since(Millis(NOW - Millis::HOUR));
    let page = scene.client.calls(&scene.access, &ask, None).await.unwrap();
    assert_eq!((page.items.len(), scene.double.asked().len()), (1, 3));
    scene.client.call(&scene.access, &page.items[0].call_id).await.unwrap();
    assert_eq!(scene.double.asked().len(), 4, "it is remembered");
    // Another refusal is one, and asked once.
    scene.double.fail("/calls", Fault::Answer(400, "{\"error\":\"a note on the value\"}".to_owned()));
    let answer = scene.client.calls(&scene.access, &ask, None).await;
    assert!(matches!(answer, Err(CallRailError::Refused { status: 400, .. })), "{answer:?}");
    assert_eq!(scene.double.asked().len(), 5);
}

#[tokio::test]
async fn a_next_page_leads_the_key_nowhere_else() {
    let scene = scene();
    for elsewhere in [
        "http://127.0.0.2:9/v3/a/ACC8154748ae6bd4e278a7cddd38a662f4f/calls.json",
        "https://evil.example/v3/a/ACC8154748ae6bd4e278a7cddd38a662f4f/calls.json",
        "/v3/a/ACC8154748ae6bd4e278a7cddd38a662f4f/calls/CAL1.json",
        "//evil.example/",
    ] {
        let rows = json!({"calls": [], "has_next_page": true, "next_page": elsewhere}).to_string();
        scene.double.fail("/calls", Fault::Answer(200, rows));
        let ask = CallsAsk::since(Millis(NOW));
        let page = scene.client.calls(&scene.access, &ask, None).await.unwrap();
        let asked = scene.double.asked().len();
        let next = scene.client.calls(&scene.access, &ask, page.next.as_ref()).await;
        assert!(matches!(next, Err(CallRailError::Odd { .. })), "{elsewhere}: {next:?}");
        assert_eq!(scene.double.asked().len(), asked);
    }
}
