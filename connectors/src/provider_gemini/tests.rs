use std::sync::Arc;

use leadline_schemas::score::ScoreOutcome;
use leadline_tests::ai::{AiDouble, Reply, Vendor};
use serde_json::{Value, json};

use super::{GeminiConfig, GeminiProvider, MODELS_DEFAULT, host_of};
use crate::bearer::TokenFile;
use crate::conformance::provider::{ProviderUnderTest, suite_of_translator};
use crate::contract::provider::CallError;
use crate::http_client::Client;
use crate::scoring::tests::{call, check_faults, check_outcomes, good, job, reply};
use crate::scoring::{Model, PROMPTS};

const TOKEN: &str = "ya29.one";

struct Scene {
    double: AiDouble,
    provider: Arc<GeminiProvider>,
    token_file: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

fn models() -> Vec<Model> {
    MODELS_DEFAULT.iter().map(|(name, price)| Model { name: (*name).to_owned(), price: *price }).collect()
}

fn provider(url: &str, location: &str, models: Vec<Model>, token_file: &std::path::Path) -> GeminiProvider {
    let config = GeminiConfig {
        name: "gemini".to_owned(),
        endpoint: Some(url.to_owned()),
        project: "acme".to_owned(),
        location: location.to_owned(),
        models,
    };
    GeminiProvider::new(config, Arc::new(TokenFile::new(token_file)), Client::new().unwrap())
}

fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, TOKEN).unwrap();
    let vendor = Vendor::Gemini { project: "acme".to_owned(), location: "us-central1".to_owned() };
    let double = AiDouble::start(vendor, &["gemini-2.5-flash", "gemini-3.5-flash-lite"], &[TOKEN]);
    let provider = Arc::new(provider(&double.url(), "us-central1", models(), &token_file));
    Scene { double, provider, token_file, _folder: folder }
}

#[tokio::test]
async fn it_passes_the_suite() {
    let scene = scene();
    let said = |text: &str| {
        json!({ "candidates": [{ "content": { "parts": [{ "text": text }] }, "finishReason": "STOP" }] })
            .to_string()
    };
    let answer: &'static str = Box::leak(said("{}").into_boxed_str());
    let wanted = json!({
        "outcome": { "invalid": "class: invalid type: null, expected string or map" },
        "model": "gemini-2.5-flash", "prompt_version": PROMPTS[PROMPTS.len() - 1].version,
        "tokens": { "input": 0, "cached": 0, "output": 0 }, "cost_micros": 0, "notes": [],
    });
    let double_answer = {
        // The words of the library's error are its own.
        scene.double.next(Reply::Whole(200, serde_json::from_str::<Value>(answer).unwrap()));
        String::from_utf8(call(&*scene.provider, job("gemini")).await.unwrap().body.to_vec()).unwrap()
    };
    assert_eq!(serde_json::from_str::<Value>(&double_answer).unwrap()["model"], wanted["model"]);
    let one = models().into_iter().take(1).collect::<Vec<_>>();
    suite_of_translator(
        &|url| ProviderUnderTest {
            provider: Arc::new(provider(url, "us-central1", one.clone(), &scene.token_file)),
            kind: "score",
            payload: r#"{"id":"CAL1","transcript":[]}"#,
            good: answer,
        },
        Some(&double_answer),
    )
    .await;
}

#[tokio::test]
async fn answers_are_told_as_what_they_are_and_a_model_that_is_gone_falls_to_the_next() {
    let scene = scene();
    check_outcomes(scene.provider.clone(), &scene.double, ("gemini-2.5-flash", "gemini-3.5-flash-lite"))
        .await;
    // The double refuses a budget where a level belongs, a field that it does not know, and so on.
    assert!(scene.double.asked().iter().all(|asked| asked.status == 200 || asked.status == 404));
}

#[tokio::test]
async fn what_breaks_on_the_way_is_asked_again() {
    let scene = scene();
    check_faults(scene.provider.clone(), &scene.double).await;
}

/// As Google answers, fields that are absent included.
#[tokio::test]
async fn blocked_cut_and_empty_answers_have_names() {
    let scene = scene();
    let usage = json!({ "promptTokenCount": 1_000, "totalTokenCount": 1_000 });
    let finished =
        |reason: &str| json!({ "candidates": [{ "finishReason": reason }], "usageMetadata": usage });
    let cases = [
        (finished("MAX_TOKENS"), "cut", ""),
        (
            json!({ "candidates": [{ "content": { "role": "model", "parts": [{ "text": "{\"class\":" }] }, "finishReason": "MAX_TOKENS" }] }),
            "cut",
            "",
        ),
        (finished("SAFETY"), "blocked", "SAFETY"),
        (finished("SPII"), "blocked", "SPII"),
        (finished("RECITATION"), "blocked", "RECITATION"),
        (finished("STOP"), "empty", ""),
        (json!({ "usageMetadata": usage }), "empty", ""),
        (
            json!({ "promptFeedback": { "blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": "no\nway" }, "usageMetadata": usage }),
            "blocked",
            "PROHIBITED_CONTENT no way",
        ),
        // Thoughts are no answer, and are billed as one.
        (
            json!({ "candidates": [{ "content": { "parts": [{ "text": "hm", "thought": true }] }, "finishReason": "STOP" }] }),
            "empty",
            "",
        ),
    ];
    for (body, wanted, why) in cases {
        scene.double.next(Reply::Whole(200, body.clone()));
        let reply = reply(&*scene.provider).await;
        assert_eq!(reply.outcome.name(), wanted, "{body}");
        if let ScoreOutcome::Blocked(said) = &reply.outcome {
            assert!(said.contains(why), "{said}");
        }
        assert_eq!(reply.cost_micros, if body["usageMetadata"].is_null() { 0 } else { 300 });
    }
}

#[tokio::test]
async fn refusals_of_google_are_waited_for_or_told() {
    let scene = scene();
    let error = |code: u16, status: &str| json!({ "error": { "code": code, "message": "Resource exhausted. Please try again later.", "status": status } });
    for (code, status, again) in [
        (429, "RESOURCE_EXHAUSTED", true),
        (503, "UNAVAILABLE", true),
        (504, "DEADLINE_EXCEEDED", true),
        (400, "FAILED_PRECONDITION", false),
        (403, "PERMISSION_DENIED", false),
    ] {
        scene.double.next(Reply::Whole(code, error(code, status)));
        let answer = call(&*scene.provider, job("gemini")).await;
        assert_eq!(matches!(answer, Err(CallError::Retry { .. })), again, "{code}: {answer:?}");
        assert!(answer.unwrap_err().to_string().contains(&code.to_string()));
    }
    assert_eq!(scene.double.billed(), 0);
}

#[tokio::test]
async fn a_token_that_ends_on_its_way_is_replaced_once() {
    let scene = scene();
    scene.double.take_tokens(&["ya29.two"]);
    let refused = call(&*scene.provider, job("gemini")).await.unwrap_err();
    assert!(
        matches!(&refused, CallError::Reject { why } if why.contains("401") && !why.contains(TOKEN)),
        "{refused}"
    );
    assert_eq!(scene.double.asked().len(), 1, "the same token is not shown twice");
    // It is renewed between the look at it and Google's answer.
    struct Renewed(std::sync::Mutex<Vec<&'static str>>);
    impl crate::bearer::Bearer for Renewed {
        fn token(&self) -> crate::contract::BoxFuture<'_, Result<String, CallError>> {
            let mut tokens = self.0.lock().unwrap();
            let token = if tokens.len() > 1 { tokens.remove(0) } else { tokens[0] };
            Box::pin(async move { Ok(token.to_owned()) })
        }
    }
    let config = GeminiConfig {
        name: "gemini".to_owned(),
        endpoint: Some(scene.double.url()),
        project: "acme".to_owned(),
        location: "us-central1".to_owned(),
        models: models(),
    };
    let bearer = Renewed(std::sync::Mutex::new(vec!["ya29.old", "ya29.two"]));
    let provider = GeminiProvider::new(config, Arc::new(bearer), Client::new().unwrap());
    scene.double.next(Reply::Says(good().to_string()));
    assert_eq!(reply(&provider).await.outcome.name(), "scored");
    let shown: Vec<_> = scene.double.asked().into_iter().filter_map(|asked| asked.authorization).collect();
    assert_eq!(shown[1..], ["Bearer ya29.old", "Bearer ya29.two"]);
}

#[tokio::test]
async fn another_region_is_another_address() {
    let scene = scene();
    let elsewhere = provider(&scene.double.url(), "europe-west4", models(), &scene.token_file);
    let refused = call(&elsewhere, job("gemini")).await.unwrap_err();
    assert!(refused.to_string().contains("404"), "{refused}");
    assert_eq!(host_of("global"), "https://aiplatform.googleapis.com");
    assert_eq!(host_of("europe-west4"), "https://europe-west4-aiplatform.googleapis.com");
    assert!(elsewhere.base.ends_with("/v1/projects/acme/locations/europe-west4/publishers/google/models"));
}

#[tokio::test]
async fn the_prompt_is_the_systems_and_the_contact_the_users() {
    let scene = scene();
    scene.double.next(Reply::Says(good().to_string()));
    call(&*scene.provider, crate::scoring::tests::job_with("gemini", Some("v1"))).await.unwrap();
    let body = &scene.double.asked()[0].body;
    assert_eq!(body["systemInstruction"]["parts"][0]["text"], PROMPTS[0].instructions);
    let contact = body["contents"][0]["parts"][0]["text"].as_str().unwrap();
    assert!(contact.contains("we want a new kitchen") && !contact.contains(PROMPTS[0].instructions));
    assert_eq!(body["labels"]["tenant"], "summit");
    assert_eq!(body["generationConfig"]["thinkingConfig"], json!({ "thinkingBudget": 0 }));
}
