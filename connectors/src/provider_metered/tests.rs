use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use futures_util::FutureExt as _;
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
    // Of two processes each has a half, whatever both may spend together.
    budget.share().set(0.5);
    clock.0.store(20_001, Ordering::SeqCst);
    call(&metered(&budget, true), job("dear")).await.unwrap();
    let refused = call(&metered(&budget, false), job("dear")).await.unwrap_err();
    assert!(matches!(&refused, CallError::Reject { why } if why.contains("soft")), "{refused}");
    call(&metered(&budget, true), job("dear")).await.unwrap();
    let refused = call(&metered(&budget, true), job("dear")).await.unwrap_err();
    assert!(matches!(&refused, CallError::Reject { why } if why.contains("hard")), "{refused}");
    budget.share().set(1.0);
    clock.0.store(20_002, Ordering::SeqCst);
    call(&metered(&budget, false), job("dear")).await.unwrap();
    assert_eq!(budget.spent_micros(), 60);
    // Set back, the clock does not open the day before again.
    clock.0.store(20_001, Ordering::SeqCst);
    assert_eq!(budget.spent_micros(), 60);
}

/// Never answers.
struct Hangs;

impl Provider for Hangs {
    fn name(&self) -> &str {
        "hangs"
    }

    fn call(&self, _: PendingJob, _: Duration) -> BoxFuture<'_, Result<ProviderAnswer, CallError>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn what_is_asked_and_not_answered_counts_until_nobody_waits_for_it_any_more() {
    let clock = Arc::new(Day(AtomicI64::new(20_000)));
    let config = DayBudgetConfig { soft_micros: None, hard_micros: Some(10_000) };
    let budget = Arc::new(DayBudget::open(config, clock, None));
    let hangs = MeteredProvider::new("score", Arc::new(Hangs), Arc::clone(&budget), true).averaged();
    let ask = || hangs.call(job("hangs"), Duration::from_secs(1));
    let mut asked: Vec<_> = (0..3).map(|_| ask()).collect();
    assert!(asked.iter_mut().all(|one| one.now_or_never().is_none()));
    assert_eq!((budget.spent_micros(), budget.kept_micros()), (0, 9_000), "three long calls");
    let refused = ask().await.unwrap_err();
    assert!(matches!(&refused, CallError::Reject { why } if why.contains("does not pay")), "{refused}");
    asked.pop();
    assert!(ask().now_or_never().is_none(), "what was given up is given back");

    // From then on a score is expected to cost what scores have cost.
    let dear = MeteredProvider::new("score", Arc::new(Dear(100)), Arc::clone(&budget), true).averaged();
    for _ in 0..5 {
        call(&dear, job("dear")).await.unwrap();
    }
    assert_eq!((budget.spent_micros(), budget.kept_micros()), (500, 6_000));
}

#[tokio::test]
async fn operations_that_run_are_kept_of_the_budget_until_they_end_also_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ai_spent.json");
    std::fs::write(&file, r#"{"day":20000,"micros":1000}"#).unwrap(); // As an earlier leadline has left it.
    let clock = Arc::new(Day(AtomicI64::new(20_000)));
    let config = DayBudgetConfig { soft_micros: None, hard_micros: Some(250_000) };
    let open = |file: Option<&std::path::Path>| {
        Arc::new(DayBudget::open(config, clock.clone(), file.map(std::path::Path::to_owned)))
    };
    let scene = speech::scene(7 * 60_000, 1);
    scene.double.polls(1);
    let (google, asks): (Arc<dyn Provider>, _) = (Arc::new(scene.google), speech::asks(7 * 60_000, 1));
    let price =
        SpeechPrice { micros_per_minute: 16_000, backfill_micros_per_minute: 3_000, is_per_channel: false };
    let metered = |budget: &Arc<DayBudget>| {
        MeteredProvider::new("transcribe", Arc::clone(&google), Arc::clone(budget), true).priced(price)
    };
    let start = async |budget: &Arc<DayBudget>, number| {
        let answer = metered(budget).call(speech::job(number, &asks), Duration::from_secs(20)).await?;
        let Transcribed::Operation(operation) = serde_json::from_slice(&answer.body).unwrap() else {
            panic!("{answer:?}")
        };
        Ok::<_, CallError>(operation.name)
    };
    let poll = async |budget: &Arc<DayBudget>, name: &str| {
        let asks = TranscribeJob { operation: Some(name.to_owned()), ..asks.clone() };
        let polls = metered(budget).fetching();
        polls.call(speech::job(99, &asks), Duration::from_secs(20)).await
    };
    let refused = |answer: Result<String, CallError>| {
        let why = answer.unwrap_err().to_string();
        assert!(why.contains("does not pay for this"), "{why}");
    };

    let budget = open(Some(&file));
    let first = start(&budget, 1).await.unwrap();
    let second = start(&budget, 2).await.unwrap();
    refused(start(&budget, 3).await);
    assert_eq!((budget.spent_micros(), budget.kept_micros()), (1_000, 224_000));
    let budget = open(Some(&file));
    refused(start(&budget, 3).await);
    assert_eq!(scene.double.started().len(), 2, "what is not paid for is not begun");
    assert_eq!(start(&budget, 1).await.unwrap(), first, "a start that comes again after a crash is paid for");
    assert_eq!((scene.double.started().len(), budget.kept_micros()), (2, 224_000));

    // A process that has the calls but not the file counts them by asking how they go.
    let other = open(None);
    for name in [&first, &second] {
        poll(&other, name).await.unwrap();
    }
    assert_eq!((other.spent_micros(), other.kept_micros()), (0, 224_000));

    for name in [&first, &second] {
        poll(&budget, name).await.unwrap();
    }
    assert_eq!((budget.spent_micros(), budget.kept_micros()), (225_000, 0));
    let lost = poll(&budget, "projects/acme/locations/eu/operations/lost").await.unwrap_err();
    assert!(matches!(lost, CallError::Reject { .. }), "{lost}");
    assert_eq!(open(Some(&file)).kept_micros(), 0, "one that is lost is waited for by nobody");
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
