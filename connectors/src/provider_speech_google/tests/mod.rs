//! What is asked of Google's double, and how often.

mod failures;
mod kept;
pub(crate) mod mixed;
mod suites;

use std::sync::Mutex;

use bytes::Bytes;
use leadline_schemas::event::{Speaker, Turn};
use leadline_schemas::reply::JobRequest;
use leadline_schemas::{Bucket, JobId, KeyGroup, Millis, TenantId};
use leadline_tests::speech::{Fault, Line, PROJECT, Sound, Speech};

use super::*;
use crate::blob_memory::{MemoryBlob, Object};
use crate::contract::blob::About;

const RECORDING: &str = "summit/2026/03/CAL1";
const URI: &str = "gs://recordings/summit/2026/03/CAL1";
const SOUND: &[u8] = b"the sound of a call";
const PATIENT: Duration = Duration::from_secs(20);
const CALL_TIME: Millis = Millis(1_772_640_753_236);

/// Tokens in turn: the next one is given once the one before was refused.
pub(crate) struct InTurn(pub(crate) Mutex<Vec<&'static str>>);

impl Bearer for InTurn {
    fn token(&self) -> BoxFuture<'_, Result<String, CallError>> {
        let token = (*self.0.lock().unwrap().first().unwrap()).to_owned();
        Box::pin(std::future::ready(Ok(token)))
    }
    fn refused(&self, token: &str) {
        let mut tokens = self.0.lock().unwrap();
        if tokens.len() > 1 && tokens[0] == token {
            tokens.remove(0);
        }
    }
}

pub(crate) struct Scene {
    pub(crate) double: Speech,
    pub(crate) blob: MemoryBlob,
    pub(crate) google: GoogleSpeech,
}

pub(crate) fn config(endpoint: &str) -> GoogleSpeechConfig {
    GoogleSpeechConfig {
        name: "google".to_owned(),
        project: PROJECT.to_owned(),
        location: "eu".to_owned(),
        model: "chirp_3".to_owned(),
        bucket: Some("recordings".to_owned()),
        endpoint: Some(endpoint.to_owned()),
        price_micros_per_minute: 16_000,
        batch_price_micros_per_minute: 3_000,
        channels: Channels::default(),
        limits: Limits { calls_max: 8, per_minute: None },
    }
}

/// A call of so many milliseconds on so many channels, at the double and in our store.
pub(crate) fn scene(duration_ms: i64, channels: usize) -> Scene {
    let double = Speech::start("eu", "one");
    let line = |channel, voice, from_ms, text| Line {
        channel: if channels == 1 { 1 } else { channel },
        voice,
        from_ms,
        to_ms: from_ms + 2_000,
        text,
    };
    let lines = vec![
        line(1, "1", 0, "Summit Kitchens, good morning."),
        line(2, "2", 3_000, "Hi, we want a new kitchen."),
        line(1, "1", 6_000, "Where do you live?"),
        line(2, "2", 9_000, "In Denver."),
    ];
    double.recording(URI, SOUND.to_vec(), Sound { duration_ms, channels, lines });
    scene_with(double, Arc::new(InTurn(Mutex::new(vec!["one", "two"]))))
}

fn scene_with(double: Speech, tokens: Arc<dyn Bearer>) -> Scene {
    let blob = MemoryBlob::new();
    let about = About { content_type: "audio/mpeg".to_owned(), custom_time: Some(CALL_TIME) };
    blob.with(|objects| {
        objects.insert(RECORDING.to_owned(), Object::new(Bytes::from_static(SOUND), about));
    });
    let client = Client::resolving(&double.host(), double.address);
    let google = GoogleSpeech::new(config(&double.named()), tokens, Arc::new(blob.clone()), client);
    Scene { double, blob, google }
}

pub(crate) fn asks(duration_ms: i64, channels: i32) -> TranscribeJob {
    TranscribeJob {
        call_id: "CAL1".to_owned(),
        blob: RECORDING.to_owned(),
        duration_ms: Some(duration_ms),
        channels: Some(channels),
        codec: Some("mp3".to_owned()),
        phrases: vec!["quartz countertop".to_owned(), "Denver".to_owned()],
        first: Some(Speaker::Agent),
        ..TranscribeJob::default()
    }
}

pub(crate) fn job(number: u64, asks: &TranscribeJob) -> PendingJob {
    PendingJob {
        job_id: JobId::of(&[b"a job", &number.to_be_bytes()]),
        tenant: TenantId::new("summit").unwrap(),
        key_group: KeyGroup(1),
        bucket: Bucket(2),
        operator: "transcribe".to_owned(),
        request: JobRequest {
            kind: "transcribe".to_owned(),
            target: "google".to_owned(),
            payload: serde_json::to_vec(asks).unwrap().into(),
            not_before: Millis(0),
            revision: 1,
        },
        asked_at: Millis(0),
        event_time: Millis(0),
        started_attempt: 0,
    }
}

impl Scene {
    pub(crate) async fn call(
        &self,
        number: u64,
        asks: &TranscribeJob,
    ) -> Result<(Transcribed, i64), CallError> {
        let answer = self.google.call(job(number, asks), PATIENT).await?;
        Ok((serde_json::from_slice(&answer.body).unwrap(), answer.cost_micros))
    }

    /// Starts and asks until it ends, as the operator does.
    pub(crate) async fn to_the_end(&self, asks: &TranscribeJob) -> Result<(Transcribed, i64), CallError> {
        let (mut answer, mut cost) = self.call(1, asks).await?;
        let mut number = 1;
        while let Transcribed::Operation(operation) = &answer {
            number += 1;
            let again = TranscribeJob { operation: Some(operation.name.clone()), ..asks.clone() };
            let (next, more) = self.call(number, &again).await?;
            (answer, cost) = (next, cost + more);
        }
        Ok((answer, cost))
    }
}

fn told(answer: &Transcribed) -> Vec<(Speaker, &str)> {
    let Transcribed::Turns(turns) = answer else { panic!("{answer:?}") };
    turns.iter().map(|Turn { speaker, text }| (*speaker, text.as_str())).collect()
}

const CONVERSATION: [(Speaker, &str); 4] = [
    (Speaker::Agent, "Summit Kitchens, good morning."),
    (Speaker::Caller, "Hi, we want a new kitchen."),
    (Speaker::Agent, "Where do you live?"),
    (Speaker::Caller, "In Denver."),
];

#[tokio::test]
async fn a_short_call_is_recognised_in_one_request_with_both_sides_and_at_its_price() {
    for (channels, cost) in [(1, 12_000), (2, 24_000)] {
        let scene = scene(45_000, channels);
        let (answer, found) = scene.call(1, &asks(45_000, channels as i32)).await.unwrap();
        assert_eq!(told(&answer), CONVERSATION, "{channels} channels");
        assert_eq!((found, scene.double.billed_s()), (cost, 45 * channels as i64));
        let path = format!("POST /v2/projects/{PROJECT}/locations/eu/recognizers/_:recognize");
        assert_eq!(scene.double.asked(), [path], "one request, and to the region's host");
        let words = scene.double.last_body()["config"]["adaptation"].to_string();
        assert!(words.contains("quartz countertop") && words.contains("Denver"), "{words}");
    }
}

#[tokio::test]
async fn a_long_call_is_started_once_and_asked_about_until_it_ends() {
    for (channels, duration_ms) in [(1, 412_000), (2, 412_000), (2, 1_500_000)] {
        let scene = scene(duration_ms, channels);
        scene.double.polls(2);
        let (answer, cost) = scene.to_the_end(&asks(duration_ms, channels as i32)).await.unwrap();
        // Without the times of words sides are in order all the same: Google tells when each sentence ends.
        assert_eq!(told(&answer), CONVERSATION);
        let seconds = duration_ms / 1_000 * channels as i64;
        assert_eq!((cost, scene.double.billed_s()), (cost_micros(16_000, seconds * 1_000), seconds));
        assert_eq!((scene.double.started().len(), scene.double.count("GET")), (1, 3));
        assert_eq!(scene.double.last_body().get("processingStrategy"), None);
    }
}

#[tokio::test]
async fn a_backfill_is_batched_when_google_has_time_and_for_less() {
    let scene = scene(120_000, 1);
    let backfill = TranscribeJob { backfill: true, ..asks(120_000, 1) };
    let (answer, cost) = scene.to_the_end(&backfill).await.unwrap();
    assert_eq!((told(&answer).len(), cost), (4, 6_000));
    assert_eq!(scene.double.last_body()["processingStrategy"], "DYNAMIC_BATCHING");
    let (started, _) = scene.call(9, &backfill).await.unwrap();
    let Transcribed::Operation(operation) = started else { panic!("{started:?}") };
    assert!(operation.ends_within_ms > 24 * Millis::HOUR, "{operation:?}");
}

#[tokio::test]
async fn silence_is_no_error() {
    let double = Speech::start("eu", "one");
    double.recording(URI, SOUND.to_vec(), Sound { duration_ms: 90_000, channels: 1, lines: Vec::new() });
    let scene = scene_with(double, Arc::new(InTurn(Mutex::new(vec!["one"]))));
    let (answer, cost) = scene.to_the_end(&asks(90_000, 1)).await.unwrap();
    assert_eq!((answer, cost), (Transcribed::Turns(Vec::new()), 24_000));
}

#[tokio::test]
async fn a_start_whose_answer_was_lost_is_found_again_and_not_made_again() {
    for fault in [Fault::Cut, Fault::Half] {
        let scene = scene(412_000, 1);
        scene.double.fail("batchRecognize", fault);
        let lost = scene.call(1, &asks(412_000, 1)).await;
        assert!(matches!(lost, Err(CallError::Retry { .. })), "{lost:?}");
        let (answer, _) = scene.to_the_end(&asks(412_000, 1)).await.unwrap();
        assert_eq!(told(&answer).len(), 4);
        assert_eq!(scene.double.started(), [URI], "one start, one bill");
        assert_eq!(scene.double.count("operations?"), 1);
    }
}

#[tokio::test]
async fn a_crash_between_a_start_and_its_commit_starts_nothing_again() {
    let scene = scene(412_000, 1);
    let (first, _) = scene.call(1, &asks(412_000, 1)).await.unwrap();
    // The job that has no reply is begun again; the process that begins it knows nothing of the one before.
    let (again, _) = scene.call(1, &asks(412_000, 1)).await.unwrap();
    assert_eq!((first, scene.double.started().len(), scene.double.count("POST")), (again, 1, 1));
    // What is kept of a start goes when the recording does.
    let times: Vec<_> =
        scene.blob.with(|objects| objects.values().map(|object| object.about.custom_time).collect());
    assert_eq!((times.len(), times.iter().all(|time| *time == Some(CALL_TIME))), (3, true));
}

#[tokio::test]
async fn a_start_that_may_have_been_one_and_is_nowhere_is_made_and_another_calls_is_not_taken_for_it() {
    let scene = scene(412_000, 1);
    let other = "gs://recordings/summit/2026/03/CAL2";
    scene.double.recording(
        other,
        b"other".to_vec(),
        Sound { duration_ms: 70_000, channels: 1, lines: Vec::new() },
    );
    scene.blob.hold("summit/2026/03/CAL2", Bytes::from_static(b"other"));
    scene
        .call(7, &TranscribeJob { blob: "summit/2026/03/CAL2".to_owned(), ..asks(70_000, 1) })
        .await
        .unwrap();
    for fault in [Fault::Page(502), Fault::Status(503, "UNAVAILABLE", "try again")] {
        scene.double.fail("batchRecognize", fault);
        assert!(matches!(scene.call(1, &asks(412_000, 1)).await, Err(CallError::Retry { .. })));
    }
    let (answer, _) = scene.to_the_end(&asks(412_000, 1)).await.unwrap();
    assert_eq!((told(&answer).len(), scene.double.started()), (4, vec![other.to_owned(), URI.to_owned()]));
    assert_eq!(scene.double.count("operations?"), 2, "it was looked for before each further start");
}

#[tokio::test]
async fn a_long_list_of_operations_is_looked_through() {
    let scene = scene(412_000, 1);
    scene.double.fail("batchRecognize", Fault::Cut);
    scene.call(1, &asks(412_000, 1)).await.unwrap_err();
    for number in 0..150 {
        let (name, uri) =
            (format!("summit/2026/03/o{number}"), format!("gs://recordings/summit/2026/03/o{number}"));
        scene.double.recording(
            &uri,
            Vec::new(),
            Sound { duration_ms: 70_000, channels: 1, lines: Vec::new() },
        );
        scene.blob.hold(&name, Bytes::new());
        scene.call(1_000 + number, &TranscribeJob { blob: name, ..asks(70_000, 1) }).await.unwrap();
    }
    scene.call(1, &asks(412_000, 1)).await.unwrap();
    assert_eq!(scene.double.started().iter().filter(|started| *started == URI).count(), 1);
    assert_eq!(scene.double.count("operations?"), 2, "it was on the second page");
}
