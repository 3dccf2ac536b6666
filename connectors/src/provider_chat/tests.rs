use std::sync::Arc;

use leadline_schemas::score::ScoreOutcome;
use leadline_tests::ai::{AiDouble, Reply, Vendor};
use serde_json::{Value, json};

use super::{ChatConfig, ChatProvider};
use crate::bearer::{Bearer, TokenFile};
use crate::conformance::provider::{ProviderUnderTest, suite_of_translator};
use crate::contract::provider::CallError;
use crate::http_client::Client;
use crate::scoring::tests::{call, check_faults, check_outcomes, job, reply};
use crate::scoring::{Model, Price};

const KEY: &str = "sk-one";

struct Scene {
    double: AiDouble,
    provider: Arc<ChatProvider>,
    _folder: tempfile::TempDir,
}

fn provider(endpoint: &str, models: &[&str], bearer: Option<Arc<dyn Bearer>>) -> ChatProvider {
    let price = Price { input: 300_000, cached: 30_000, output: 2_500_000 };
    let models = models.iter().map(|name| Model { name: (*name).to_owned(), price }).collect();
    let config = ChatConfig { name: "chat".to_owned(), endpoint: endpoint.to_owned(), models };
    ChatProvider::new(config, bearer, Client::new().unwrap())
}

fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key");
    std::fs::write(&key_file, KEY).unwrap();
    let double = AiDouble::start(Vendor::Chat, &["small", "smaller"], &[KEY]);
    let bearer: Arc<dyn Bearer> = Arc::new(TokenFile::new(&key_file));
    let provider = Arc::new(provider(&format!("{}/v1/", double.url()), &["small", "smaller"], Some(bearer)));
    Scene { double, provider, _folder: folder }
}

#[tokio::test]
async fn it_passes_the_suite() {
    let answer: &'static str = Box::leak(
        json!({ "choices": [{ "message": { "content": "" } }], "usage": null, "model": "small-2" })
            .to_string()
            .into_boxed_str(),
    );
    let scene = scene();
    scene.double.next(Reply::Whole(200, serde_json::from_str::<Value>(answer).unwrap()));
    let wanted = call(&*scene.provider, job("chat")).await.unwrap().body;
    let read: Value = serde_json::from_slice(&wanted).unwrap();
    assert_eq!((&read["outcome"], &read["model"]), (&json!("empty"), &json!("small-2")));
    suite_of_translator(
        &|url| ProviderUnderTest {
            provider: Arc::new(provider(url, &["small"], None)),
            kind: "score",
            payload: r#"{"id":"CAL1","transcript":[]}"#,
            good: answer,
        },
        Some(std::str::from_utf8(&wanted).unwrap()),
    )
    .await;
}

#[tokio::test]
async fn answers_are_told_as_what_they_are_and_a_model_that_is_gone_falls_to_the_next() {
    let scene = scene();
    check_outcomes(scene.provider.clone(), &scene.double, ("small", "smaller")).await;
    assert!(scene.double.asked().iter().all(|asked| asked.status == 200 || asked.status == 404));
}

#[tokio::test]
async fn what_breaks_on_the_way_is_asked_again() {
    let scene = scene();
    check_faults(scene.provider.clone(), &scene.double).await;
}

#[tokio::test]
async fn blocked_cut_and_refused_answers_have_names() {
    let scene = scene();
    let choice = |message: Value, reason: &str| json!({ "choices": [{ "message": message, "finish_reason": reason }], "usage": { "prompt_tokens": 1_000, "completion_tokens": 0 } });
    for (body, wanted) in [
        (choice(json!({ "content": "{\"class\":" }), "length"), ScoreOutcome::Cut),
        (
            choice(json!({ "content": null }), "content_filter"),
            ScoreOutcome::Blocked("content_filter".to_owned()),
        ),
        (
            choice(json!({ "content": null, "refusal": "I can't\nhelp" }), "stop"),
            ScoreOutcome::Blocked("refused: I can't help".to_owned()),
        ),
        (choice(json!({ "content": null }), "stop"), ScoreOutcome::Empty),
        (json!({ "choices": [], "usage": { "prompt_tokens": 1_000 } }), ScoreOutcome::Empty),
    ] {
        scene.double.next(Reply::Whole(200, body.clone()));
        let reply = reply(&*scene.provider).await;
        assert_eq!(reply.outcome, wanted, "{body}");
        assert_eq!(reply.cost_micros, 300);
    }
    // Some gateways answer their filter's word as a mistake of ours.
    scene
        .double
        .next(Reply::Whole(400, json!({ "error": { "code": "content_filter", "message": "filtered" } })));
    assert_eq!(reply(&*scene.provider).await.outcome, ScoreOutcome::Blocked("content_filter".to_owned()));
}

#[tokio::test]
async fn an_account_without_money_is_not_asked_again_and_one_that_is_busy_is() {
    let scene = scene();
    for (code, again) in [("insufficient_quota", false), ("rate_limit_exceeded", true)] {
        scene.double.next(Reply::Whole(429, json!({ "error": { "code": code, "message": "no" } })));
        let answer = call(&*scene.provider, job("chat")).await;
        assert_eq!(matches!(answer, Err(CallError::Retry { .. })), again, "{code}: {answer:?}");
    }
    scene.double.take_tokens(&["sk-two"]);
    let refused = call(&*scene.provider, job("chat")).await.unwrap_err();
    assert!(
        matches!(&refused, CallError::Reject { why } if why.contains("401") && !why.contains(KEY)),
        "{refused}"
    );
}
