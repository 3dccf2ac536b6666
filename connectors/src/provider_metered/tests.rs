use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use leadline_schemas::Millis;
use leadline_schemas::score::{ScoreInput, ScoreJob, Speaker, Turn};
use leadline_schemas::transcription::{TranscribeJob, Transcribed};
use leadline_tests::ai::{AiDouble, Reply, Vendor};
use serde_json::json;

use super::*;
use crate::bearer::TokenFile;
use crate::contract::clock::Clock;
use crate::http_client::Client;
use crate::provider_gemini::{GeminiConfig, GeminiProvider, MODELS_DEFAULT};
use crate::provider_speech_google::tests as speech;
use crate::scoring::Model;
use crate::scoring::tests::{call, good, job};

struct Day(AtomicI64);

impl Clock for Day {
    fn wall(&self) -> Millis {
        Millis(self.0.load(Ordering::SeqCst) * Millis::DAY)
    }

    fn boot_ms(&self) -> u64 {
        0
    }
}

/// Answers, for a fixed sum.
struct Dear(i64);

impl Provider for Dear {
    fn name(&self) -> &str {
        "dear"
    }

    fn call(&self, _: PendingJob, _: Duration) -> BoxFuture<'_, Result<ProviderAnswer, CallError>> {
        let cost_micros = self.0;
        Box::pin(async move { Ok(ProviderAnswer { body: Bytes::from("{}"), cost_micros }) })
    }
}

#[tokio::test]
async fn over_the_soft_budget_only_the_cheapest_is_asked_over_the_hard_one_nobody_until_the_next_day() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ai_spent.json");
    let clock = Arc::new(Day(AtomicI64::new(20_000)));
    let config = DayBudgetConfig { soft_micros: Some(100), hard_micros: Some(200) };
    let open = || Arc::new(DayBudget::open(config, clock.clone(), Some(file.clone())));
    let budget = open();
    let metered = |budget: &Arc<DayBudget>, is_cheapest| {
        MeteredProvider::new("score", Arc::new(Dear(60)), Arc::clone(budget), is_cheapest)
    };
    for _ in 0..2 {
        call(&metered(&budget, false), job("dear")).await.unwrap();
    }
    assert_eq!(budget.spent_micros(), 120);
    let refused = call(&metered(&budget, false), job("dear")).await.unwrap_err();
    assert!(matches!(&refused, CallError::Reject { why } if why.contains("soft")), "{refused}");
    // A restart is no new day.
    let budget = open();
    assert_eq!(budget.spent_micros(), 120);
    for _ in 0..2 {
        call(&metered(&budget, true), job("dear")).await.unwrap();
    }
    let refused = call(&metered(&budget, true), job("dear")).await.unwrap_err();
    assert!(matches!(&refused, CallError::Reject { why } if why.contains("hard")), "{refused}");
    clock.0.store(20_001, Ordering::SeqCst);
    call(&metered(&budget, false), job("dear")).await.unwrap();
    assert_eq!(budget.spent_micros(), 60);
    // Set back, the clock does not open the day before again.
    clock.0.store(20_000, Ordering::SeqCst);
    assert_eq!(budget.spent_micros(), 60);
}

/// 7 minutes at 150 words a minute, in turns of 15 words.
fn seven_minutes() -> PendingJob {
    let turn = |number: usize| Turn {
        speaker: Some(if number.is_multiple_of(2) { Speaker::Agent } else { Speaker::Caller }),
        text: "we would like to have the whole kitchen done before the end of the year".to_owned(),
    };
    let input = ScoreInput { transcript: (0..70).map(turn).collect(), ..ScoreInput::default() };
    let mut asked = job("gemini");
    asked.request.payload = serde_json::to_vec(&ScoreJob { input, prompt_version: None }).unwrap().into();
    asked
}

/// What a transcript of 7 minutes costs by the meter, as it is configured without a word.
async fn speech_micros(budget: &Arc<DayBudget>, channels: i32) -> i64 {
    let before = budget.spent_micros();
    let (scene, asks) = match channels {
        1 => (speech::scene(7 * 60_000, 1), speech::asks(7 * 60_000, 1)),
        _ => speech::mixed::stereo(7 * 60_000),
    };
    let google: Arc<dyn Provider> = Arc::new(scene.google);
    let metered = || MeteredProvider::new("transcribe", Arc::clone(&google), Arc::clone(budget), true);
    let (starts, polls) = (metered(), metered().fetching());
    let started = starts.call(speech::job(1, &asks), Duration::from_secs(20)).await.unwrap();
    let mut answer: Transcribed = serde_json::from_slice(&started.body).unwrap();
    while let Transcribed::Operation(operation) = answer {
        let poll = TranscribeJob { operation: Some(operation.name), ..asks.clone() };
        let answered = polls.call(speech::job(2, &poll), Duration::from_secs(20)).await.unwrap();
        answer = serde_json::from_slice(&answered.body).unwrap();
    }
    assert!(matches!(&answer, Transcribed::Turns(turns) if turns.len() == 4), "{answer:?}");
    budget.spent_micros() - before
}

#[tokio::test]
async fn a_call_of_seven_minutes_costs_less_than_twenty_cents_by_the_meter() {
    let folder = tempfile::tempdir().unwrap();
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, "ya29.one").unwrap();
    for (model, price) in MODELS_DEFAULT {
        let vendor = Vendor::Gemini { project: "acme".to_owned(), location: "global".to_owned() };
        let double = AiDouble::start(vendor, &[model], &["ya29.one"]);
        let config = GeminiConfig {
            name: "gemini".to_owned(),
            endpoint: Some(double.url()),
            project: "acme".to_owned(),
            location: "global".to_owned(),
            models: vec![Model { name: model.to_owned(), price }],
        };
        let gemini: Arc<dyn Provider> = Arc::new(GeminiProvider::new(
            config,
            Arc::new(TokenFile::new(&token_file)),
            Client::new().unwrap(),
        ));
        let ask = async |prompt_tokens: usize, budget: &Arc<DayBudget>| {
            let usage = json!({ "promptTokenCount": prompt_tokens, "candidatesTokenCount": 1_500 });
            let content = json!({ "parts": [{ "text": good().to_string() }] });
            let candidates = json!([{ "content": content, "finishReason": "STOP" }]);
            double.next(Reply::Whole(200, json!({ "candidates": candidates, "usageMetadata": usage })));
            let inner = Arc::clone(&gemini);
            call(&MeteredProvider::new("score", inner, Arc::clone(budget), true), seven_minutes())
                .await
                .unwrap()
        };
        let clock = Arc::new(Day(AtomicI64::new(20_000)));
        let open = || Arc::new(DayBudget::open(DayBudgetConfig::default(), clock.clone(), None));
        ask(1, &open()).await;
        // What is really sent, at three bytes a token: vendors say four of English, and JSON has more signs.
        let prompt_tokens = double.asked()[0].body.to_string().len().div_ceil(3);
        assert!(prompt_tokens > 3_000, "{prompt_tokens}");

        let budget = open();
        ask(prompt_tokens, &budget).await;
        let scoring = budget.spent_micros();
        assert!((3_000..10_000).contains(&scoring), "{model}: a score costs {scoring} millionths");
        for channels in [1, 2] {
            let hearing = speech_micros(&budget, channels).await;
            assert_eq!(hearing, 7 * 16_000, "{channels} channels");
            assert!(scoring + hearing < 200_000, "{model}: the call costs {} millionths", scoring + hearing);
        }
    }
}
