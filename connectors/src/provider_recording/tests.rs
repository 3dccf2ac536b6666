//! Recordings from a double that breaks off, repeats itself and lies.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use leadline_schemas::contact::Audio;
use leadline_schemas::reply::{JobRequest, PendingJob};
use leadline_schemas::{Bucket, JobId, KeyGroup, Millis, TenantId};

use super::*;
use crate::blob_memory::MemoryBlob;

/// The call's month.
const AT: Millis = Millis(1_772_640_753_236);
const NAME: &str = "summit/2026/03/CAL1";

type Opened = Result<Option<Media>, CallError>;

/// Gives what was put there, in turn.
#[derive(Default)]
struct Given(Mutex<VecDeque<Opened>>);

impl RecordingSource for Given {
    fn open(&self, wanted: Wanted, _: Duration) -> BoxFuture<'_, Opened> {
        assert_eq!(wanted.tenant.as_str(), "summit");
        assert_eq!(wanted.call_id, if wanted.is_medium { "SCI1" } else { "CAL1" });
        let next =
            self.0.lock().unwrap().pop_front().expect("the source is asked once more than it should be");
        Box::pin(std::future::ready(next))
    }
}

struct Scene {
    blob: MemoryBlob,
    given: Arc<Given>,
    provider: RecordingProvider,
}

impl Scene {
    fn new(given: impl IntoIterator<Item = Opened>) -> Self {
        let (blob, given) = (MemoryBlob::default(), Arc::new(Given(Mutex::new(given.into_iter().collect()))));
        let provider = RecordingProvider::new(given.clone(), Arc::new(blob.clone()));
        Self { blob, given, provider }
    }

    async fn fetch(&self, url: &str) -> Result<FetchedRecording, CallError> {
        self.ask(FetchRecordingJob::of_call("CAL1", url, AT)).await
    }

    async fn ask(&self, job: FetchRecordingJob) -> Result<FetchedRecording, CallError> {
        let job = PendingJob {
            job_id: JobId::of(&[b"a job"]),
            tenant: TenantId::new("summit").unwrap(),
            key_group: KeyGroup(1),
            bucket: Bucket(2),
            operator: "recording".to_owned(),
            request: JobRequest {
                kind: "fetch_recording".to_owned(),
                target: "callrail".to_owned(),
                payload: serde_json::to_vec(&job).unwrap().into(),
                not_before: Millis(0),
                revision: 1,
            },
            asked_at: Millis(0),
            event_time: Millis(0),
            started_attempt: 0,
        };
        let answer = self.provider.call(job, ATTEMPT_TIMEOUT).await?;
        Ok(serde_json::from_slice(&answer.body).unwrap())
    }

    fn names(&self) -> Vec<String> {
        self.blob.with(|objects| objects.keys().cloned().collect())
    }

    fn asked_for(&self) -> bool {
        self.given.0.lock().unwrap().is_empty()
    }
}

/// Two seconds of a tone in 8 kHz, 16 bit.
fn wav() -> Bytes {
    let samples: Vec<i16> = (0..16_000).map(|n| ((f64::from(n) * 0.3).sin() * 8_000.0) as i16).collect();
    let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let mut file = b"RIFF".to_vec();
    file.extend((36 + data.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend(8_000_u32.to_le_bytes());
    file.extend(16_000_u32.to_le_bytes());
    file.extend(b"\x02\0\x10\0data");
    file.extend((data.len() as u32).to_le_bytes());
    file.extend(data);
    file.into()
}

fn media(pieces: Vec<Result<Bytes, CallError>>) -> Opened {
    let stream = stream::iter(pieces).boxed();
    Ok(Some(Media { content_type: Some("audio/wav".to_owned()), bytes: None, stream }))
}

fn whole() -> Opened {
    media(wav().chunks(1_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect())
}

const URL: &str = "https://app.callrail.com/calls/CAL1/recording/redirect?access_key=a";

#[tokio::test]
async fn a_recording_is_stored_under_its_call_with_what_was_heard_and_only_once() {
    let scene = Scene::new([whole()]);
    let fetched = scene.fetch(URL).await.unwrap();
    assert_eq!((fetched.blob.as_str(), &fetched.unheard), (NAME, &None));
    let heard = fetched.audio.clone().unwrap();
    let Audio { codec, sample_rate_hz, channels, duration_ms, .. } = &heard;
    assert_eq!((codec.as_str(), *sample_rate_hz, *channels, *duration_ms), ("pcm_s16le", 8_000, 1, 2_000));
    assert_eq!(scene.blob.read(NAME).await.unwrap().unwrap(), wav());
    let about = scene.blob.stat(NAME).await.unwrap().unwrap().about;
    assert_eq!(about, About { content_type: "audio/wav".to_owned(), custom_time: Some(AT) });
    let note = scene.blob.stat(&note_name(NAME)).await.unwrap().unwrap();
    assert_eq!(note.about.custom_time, Some(AT), "the note goes when the recording goes");

    for url in [URL, "https://app.callrail.com/another"] {
        assert_eq!(scene.fetch(url).await.unwrap(), fetched, "asked again, and by a later payload");
    }
    assert_eq!(scene.names(), [NAME, "summit/2026/03/CAL1.json"]);
}

#[tokio::test]
async fn what_a_crash_left_is_gone_on_with() {
    let scene = Scene::new([]);
    // The recording was stored, and the process ended before it was heard.
    let stored: BlobStream = Box::pin(stream::iter([Ok(wav())]));
    scene.blob.create_from(NAME, About::default(), stored).await.unwrap();
    let fetched = scene.fetch(URL).await.unwrap();
    assert_eq!((fetched.blob.as_str(), fetched.audio.unwrap().duration_ms), (NAME, 2_000));
}

#[tokio::test]
async fn a_download_that_breaks_off_leaves_nothing_and_is_tried_again() {
    let cut = CallError::Retry { after: None, why: "the connection broke".to_owned() };
    let scene =
        Scene::new([media(vec![Ok(wav().slice(..5_000)), Err(cut.clone())]), Err(cut.clone()), whole()]);
    for _ in 0..2 {
        assert_eq!(scene.fetch(URL).await, Err(cut.clone()));
        assert!(scene.names().is_empty());
    }
    assert!(scene.fetch(URL).await.is_ok());
    assert_eq!(scene.blob.read(NAME).await.unwrap().unwrap(), wav());
}

#[tokio::test]
async fn a_recording_that_is_not_there_yet_is_asked_for_again_in_a_minute() {
    let empty = media(vec![Ok(Bytes::new())]);
    let scene = Scene::new([Ok(None), empty, whole()]);
    for _ in 0..2 {
        let answer = scene.fetch(URL).await;
        assert!(matches!(&answer, Err(CallError::Retry { after: Some(NOT_YET), .. })), "{answer:?}");
    }
    assert!(scene.fetch(URL).await.is_ok() && scene.asked_for());
}

#[tokio::test]
async fn what_is_too_large_or_no_recording_is_refused_and_not_kept() {
    let told =
        Media { content_type: None, bytes: Some(RECORDING_BYTES_MAX + 1), stream: stream::empty().boxed() };
    let page = Media {
        content_type: Some("text/html; charset=utf-8".to_owned()),
        bytes: None,
        stream: stream::iter([Ok(Bytes::from_static(b"<html>"))]).boxed(),
    };
    let mebibyte = Bytes::from(vec![1; 1 << 20]);
    let endless = media(vec![Ok(mebibyte); 201]);
    let scene = Scene::new([Ok(Some(told)), Ok(Some(page)), endless]);
    for what in ["209715200 bytes", "text/html", "209715200 bytes"] {
        let Err(CallError::Reject { why }) = scene.fetch(URL).await else { panic!("{what} was taken") };
        assert!(why.contains(what), "{why}");
    }
    assert!(scene.names().is_empty());
}

#[tokio::test]
async fn what_is_no_audio_is_kept_and_said_to_be_none() {
    let scene =
        Scene::new([media(vec![Ok(Bytes::from_static(b"not a sound in any format that we know of"))])]);
    let fetched = scene.fetch(URL).await.unwrap();
    assert!(fetched.audio.is_none() && fetched.unheard.unwrap().contains("cannot be read as audio"));
    assert!(scene.blob.stat(NAME).await.unwrap().is_some());
}

#[tokio::test]
async fn what_was_put_into_the_inbox_gets_its_calls_name_and_leaves() {
    let scene = Scene::new([]);
    let stored: BlobStream = Box::pin(stream::iter([Ok(wav())]));
    let about = About { content_type: "audio/wav".to_owned(), custom_time: None };
    scene.blob.create_from("summit/inbox/monday.wav", about, stored).await.unwrap();
    for _ in 0..2 {
        assert_eq!(scene.fetch("blob:summit/inbox/monday.wav").await.unwrap().blob, NAME);
        assert_eq!(scene.names(), [NAME, "summit/2026/03/CAL1.json"]);
    }
    assert_eq!(scene.blob.stat(NAME).await.unwrap().unwrap().about.custom_time, Some(AT));
    let other = Scene::new([]);
    let gone = other.fetch("blob:summit/inbox/tuesday.wav").await;
    assert!(matches!(gone, Err(CallError::Reject { .. })), "{gone:?}");
}

#[tokio::test]
async fn an_upload_is_heard_where_it_lies_and_only_the_tenants_own() {
    let scene = Scene::new([]);
    for name in ["summit/2026/03/UP1", "summits/2026/03/UP1", "other/2026/03/UP1"] {
        let stored: BlobStream = Box::pin(stream::iter([Ok(wav())]));
        scene.blob.create_from(name, About::default(), stored).await.unwrap();
    }
    assert_eq!(scene.fetch("blob:summit/2026/03/UP1").await.unwrap().blob, "summit/2026/03/UP1");
    for url in ["blob:summit/2026/03/UP2", "blob:summits/2026/03/UP1", "blob:other/2026/03/UP1", "blob:"] {
        assert!(matches!(scene.fetch(url).await, Err(CallError::Reject { .. })), "{url}");
    }
}

/// A picture of a text: its link is all that there is of it.
#[tokio::test]
async fn a_medium_of_a_text_is_kept_beside_its_others_and_asked_for_where_it_is_said_to_be() {
    let picture = |content: &'static str| {
        let stream = stream::iter([Ok(Bytes::from_static(content.as_bytes()))]).boxed();
        Ok(Some(Media { content_type: Some("image/jpeg".to_owned()), bytes: None, stream }))
    };
    let scene = Scene::new([picture("the kitchen"), picture("its floor"), Ok(None)]);
    let medium = |number| {
        let of_text = FetchRecordingJob::of_call("SCI1", "https://app.callrail.com/mms/1", AT);
        FetchRecordingJob { medium: Some(number), ..of_text }
    };
    for number in [1, 2, 1] {
        let fetched = scene.ask(medium(number)).await.unwrap();
        assert_eq!(fetched.blob, format!("summit/2026/03/SCI1/{number}"));
        assert_eq!((fetched.audio, fetched.unheard), (None, None), "nobody listens to a picture");
    }
    let kept = scene.blob.read("summit/2026/03/SCI1/1").await.unwrap().unwrap();
    let stat = scene.blob.stat("summit/2026/03/SCI1/2").await.unwrap().unwrap();
    assert_eq!((kept.as_ref(), stat.about.content_type.as_str()), (&b"the kitchen"[..], "image/jpeg"));
    assert_eq!(stat.about.custom_time, Some(AT), "it is kept as long as a recording");
    // There is no other way to it, and nothing of our own store is one.
    let gone = scene.ask(medium(3)).await;
    assert!(matches!(gone, Err(CallError::Reject { .. })), "{gone:?}");
    assert!(scene.asked_for());
}

/// CallRail's post-call waits 20 minutes for its recording; whoever comes after hours finds it or finds none.
#[tokio::test]
async fn a_recording_that_was_not_there_before_and_is_not_now_is_none() {
    let scene = Scene::new([Ok(None), Ok(None)]);
    let first = FetchRecordingJob::of_call("CAL1", URL, AT);
    let yet = scene.ask(first.clone()).await;
    assert!(matches!(yet, Err(CallError::Retry { .. })), "{yet:?}");
    let never = scene.ask(FetchRecordingJob { again: true, ..first }).await;
    assert!(matches!(never, Err(CallError::Reject { .. })), "{never:?}");
}
