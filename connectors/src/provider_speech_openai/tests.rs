//! What a service with OpenAI's interface is sent.

use bytes::Bytes;
use futures_util::stream;
use leadline_schemas::event::Speaker;
use leadline_schemas::reply::JobRequest;
use leadline_schemas::{Bucket, JobId, KeyGroup, Millis, TenantId};

use super::*;
use crate::blob_memory::MemoryBlob;
use crate::conformance::other_side::{Behaviour, OtherSide, Seen};
use crate::conformance::provider::{ProviderUnderTest, suite};

const RECORDING: &str = "summit/2026/03/CAL1";
const GOOD: &str = r#"{"task":"transcribe","language":"english","duration":90.0,"text":"Hello","segments":[{"id":0,"start":0.0,"end":1.0,"text":" Hello"}]}"#;
const PATIENT: Duration = Duration::from_secs(20);

/// The suite compares what the service has answered; this answers in words of our own, and tells whether by them.
struct Retold(OpenAiSpeech);

impl Provider for Retold {
    fn name(&self) -> &str {
        self.0.name()
    }
    fn call(&self, job: PendingJob, deadline: Duration) -> BoxFuture<'_, Result<ProviderAnswer, CallError>> {
        Box::pin(async move {
            let mut answer = self.0.call(job, deadline).await?;
            if answer.body == r#"{"turns":[{"speaker":"unknown","text":"Hello"}]}"#
                && answer.cost_micros == 9_000
            {
                answer.body = Bytes::from_static(GOOD.as_bytes());
            }
            Ok(answer)
        })
    }
}

fn config(url: &str) -> OpenAiSpeechConfig {
    OpenAiSpeechConfig {
        name: "whisper".to_owned(),
        endpoint: url.to_owned(),
        model: "whisper-1".to_owned(),
        key: Some("sk-1".to_owned()),
        price_micros_per_minute: 6_000,
        timeout: Duration::from_secs(600),
        bytes_max: 1 << 20,
        limits: Limits { calls_max: 8, per_minute: None },
    }
}

fn asks() -> TranscribeJob {
    TranscribeJob {
        call_id: "CAL1".to_owned(),
        blob: RECORDING.to_owned(),
        codec: Some("mp3".to_owned()),
        phrases: (0..200).map(|number| format!("quartz countertop {number}")).collect(),
        first: Some(Speaker::Agent),
        ..TranscribeJob::default()
    }
}

fn job(asks: &TranscribeJob) -> PendingJob {
    PendingJob {
        job_id: JobId::of(&[b"a job"]),
        tenant: TenantId::new("summit").unwrap(),
        key_group: KeyGroup(1),
        bucket: Bucket(2),
        operator: "transcribe".to_owned(),
        request: JobRequest {
            kind: "transcribe".to_owned(),
            target: "whisper".to_owned(),
            payload: serde_json::to_vec(asks).unwrap().into(),
            not_before: Millis(0),
            revision: 1,
        },
        asked_at: Millis(0),
        event_time: Millis(0),
        started_attempt: 0,
    }
}

#[tokio::test]
async fn it_passes_the_suite() {
    let blob = MemoryBlob::new();
    blob.hold(RECORDING, Bytes::from_static(b"a sound"));
    let payload: &'static str = Box::leak(serde_json::to_string(&asks()).unwrap().into_boxed_str());
    suite(&|url| {
        let speech = OpenAiSpeech::new(config(url), Arc::new(blob.clone()), Client::new().unwrap());
        ProviderUnderTest { provider: Arc::new(Retold(speech)), kind: "transcribe", payload, good: GOOD }
    })
    .await;
}

/// The fields of a form, files by their names.
async fn fields(seen: &Seen) -> Vec<(String, Option<String>, Bytes)> {
    let boundary = multer::parse_boundary(seen.header("content-type").unwrap()).unwrap();
    let body = stream::iter([Ok::<_, std::io::Error>(Bytes::from(seen.body.clone()))]);
    let mut form = multer::Multipart::new(body, boundary);
    let mut found = Vec::new();
    while let Some(field) = form.next_field().await.unwrap() {
        let (name, file) = (field.name().unwrap().to_owned(), field.file_name().map(str::to_owned));
        found.push((name, file, field.bytes().await.unwrap()));
    }
    found
}

#[tokio::test]
async fn the_whole_recording_goes_out_as_a_form_whose_length_is_told_ahead() {
    let other = OtherSide::start().await;
    let blob = MemoryBlob::new();
    let sound: Bytes = (0..700_000_u32).map(|byte| (byte % 251) as u8).collect();
    blob.hold(RECORDING, sound.clone());
    let speech = OpenAiSpeech::new(config(&other.url()), Arc::new(blob), Client::new().unwrap());
    other.next(Behaviour::Answer(200, "", GOOD.as_bytes().to_vec()));
    let told = TranscribeJob { duration_ms: Some(60_000), language: Some("es-US".to_owned()), ..asks() };
    let answer = speech.call(job(&told), PATIENT).await.unwrap();
    assert_eq!(answer.cost_micros, 6_000, "what we have heard ourselves counts");
    let seen = other.seen().remove(0);
    assert_eq!(seen.header("authorization"), Some("bearer sk-1"));
    assert_eq!(seen.header("content-length"), Some(seen.body.len().to_string().as_str()));
    assert_eq!(seen.header("transfer-encoding"), None);
    let fields = fields(&seen).await;
    let names: Vec<&str> = fields.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["model", "response_format", "language", "prompt", "file"]);
    let text = |at: usize| String::from_utf8_lossy(&fields[at].2).into_owned();
    assert_eq!((text(0).as_str(), text(1).as_str(), text(2).as_str()), ("whisper-1", "verbose_json", "es"));
    let prompt = text(3);
    assert!(prompt.starts_with("quartz countertop 0, ") && prompt.len() <= PROMPT_CHARS_MAX, "{prompt}");
    assert_eq!((fields[4].1.as_deref(), &fields[4].2), (Some("call.mp3"), &sound));
}

#[tokio::test]
async fn what_it_would_not_take_is_not_sent_and_silence_is_no_error() {
    let other = OtherSide::start().await;
    let blob = MemoryBlob::new();
    blob.hold(RECORDING, Bytes::from(vec![0; (1 << 20) + 1]));
    let keyless = OpenAiSpeechConfig { key: None, ..config(&other.url()) };
    let speech = OpenAiSpeech::new(keyless, Arc::new(blob.clone()), Client::new().unwrap());
    let why = speech.call(job(&asks()), PATIENT).await.unwrap_err().to_string();
    assert!(why.contains("takes 1048576 at most"), "{why}");
    let others = TranscribeJob { blob: "other/2026/03/CAL1".to_owned(), ..asks() };
    assert!(
        speech.call(job(&others), PATIENT).await.unwrap_err().to_string().contains("none of the tenant's")
    );
    assert_eq!(other.seen().len(), 0);
    blob.hold(RECORDING, Bytes::from_static(b"silence"));
    other.next(Behaviour::Answer(200, "", br#"{"text":"","segments":[],"duration":30.0}"#.to_vec()));
    let answer = speech.call(job(&asks()), PATIENT).await.unwrap();
    assert_eq!((answer.body, answer.cost_micros), (Bytes::from_static(br#"{"turns":[]}"#), 3_000));
    assert_eq!(other.seen()[0].header("authorization"), None);
}

/// A recording that turns out to be damaged in the middle of the upload is no recording.
#[tokio::test]
async fn a_recording_that_breaks_off_is_not_taken_for_a_whole_one() {
    let other = OtherSide::start().await;
    let blob = MemoryBlob::new();
    blob.hold(RECORDING, Bytes::from(vec![7; 500_000]));
    blob.with(|objects| objects.get_mut(RECORDING).unwrap().crc32c ^= 1);
    let speech = OpenAiSpeech::new(config(&other.url()), Arc::new(blob), Client::new().unwrap());
    other.next(Behaviour::Answer(200, "", GOOD.as_bytes().to_vec()));
    assert!(speech.call(job(&asks()), PATIENT).await.is_err());
    assert_eq!(other.seen().len(), 0, "no whole request has come");
}
