//! Commands that answer, complain, say too much and do not end.

use std::os::unix::fs::PermissionsExt as _;

use bytes::Bytes;
use leadline_schemas::reply::JobRequest;
use leadline_schemas::transcription::TranscribeJob;
use leadline_schemas::{Bucket, JobId, KeyGroup, Millis, TenantId};
use tempfile::TempDir;

use super::*;
use crate::blob_memory::MemoryBlob;
use crate::conformance::other_side::{Mood, check_why};
use crate::conformance::provider::{ProviderUnderTest, suite_of_double};

const RECORDING: &str = "summit/2026/03/CAL1";
const SOUND: &[u8] = b"the sound of a call";
const PATIENT: Duration = Duration::from_secs(30);

struct Scene {
    speech: Arc<CommandSpeech>,
    folder: TempDir,
}

/// A command that is this script of a shell.
fn scene(script: &str) -> Scene {
    let (folder, blob) = (tempfile::tempdir().unwrap(), MemoryBlob::new());
    blob.hold(RECORDING, Bytes::from_static(SOUND));
    let path = folder.path().join("script");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    let config = CommandSpeechConfig {
        name: "local".to_owned(),
        command: ["/bin/sh", &path.to_string_lossy(), AUDIO].map(str::to_owned).to_vec(),
        price_micros_per_minute: 1_000,
        timeout: Duration::from_secs(60),
        running_max: 2,
        folder: folder.path().join("scratch"),
    };
    Scene { speech: Arc::new(CommandSpeech::new(config, Arc::new(blob)).unwrap()), folder }
}

fn asks() -> TranscribeJob {
    TranscribeJob {
        call_id: "CAL1".to_owned(),
        blob: RECORDING.to_owned(),
        duration_ms: Some(90_000),
        channels: Some(2),
        codec: Some("pcm_s16le".to_owned()),
        language: Some("en-GB".to_owned()),
        phrases: vec!["quartz".to_owned(), "walk-in shower".to_owned()],
        ..TranscribeJob::default()
    }
}

fn job() -> PendingJob {
    PendingJob {
        job_id: JobId::of(&[b"a job"]),
        tenant: TenantId::new("summit").unwrap(),
        key_group: KeyGroup(1),
        bucket: Bucket(2),
        operator: "transcribe".to_owned(),
        request: JobRequest {
            kind: "transcribe".to_owned(),
            target: "local".to_owned(),
            payload: serde_json::to_vec(&asks()).unwrap().into(),
            not_before: Millis(0),
            revision: 1,
        },
        asked_at: Millis(0),
        event_time: Millis(0),
        started_attempt: 0,
    }
}

impl Scene {
    async fn call(&self, deadline: Duration) -> Result<String, CallError> {
        let answer = self.speech.call(job(), deadline).await?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    fn left_files(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("scratch")).unwrap().count()
    }
}

/// Whether a process does anything: one that nobody has waited for yet is over.
fn lives(id: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default().trim().chars().next();
    state.is_some_and(|state| state != 'Z' && state != 'X')
}

#[tokio::test]
async fn it_passes_what_of_the_suite_a_command_can() {
    suite_of_double(&|mood| {
        let script = match mood {
            Mood::Answers => r#"echo '{"text":"Hello"}'"#,
            Mood::Refuses => "echo busy >&2; exit 75",
            Mood::Hangs => "sleep 1000",
        };
        let Scene { speech, folder } = scene(script);
        let _ = folder.keep(); // As long as the provider lives, and that is the suite's.
        let payload = Box::leak(serde_json::to_string(&asks()).unwrap().into_boxed_str());
        let good = r#"{"turns":[{"speaker":"unknown","text":"Hello"}]}"#;
        ProviderUnderTest { provider: speech, kind: "transcribe", payload, good }
    })
    .await;
}

#[tokio::test]
async fn it_gets_the_recording_and_what_to_expect_and_nothing_is_left_behind() {
    let scene = scene(
        r#"cp "$1" "$(dirname "$0")/heard"; ls -l "$1" > "$(dirname "$0")/mode"
        echo "$1|$LEADLINE_LANGUAGE|$LEADLINE_CHANNELS|$LEADLINE_PHRASES" | tr '\n' ' ' > "$(dirname "$0")/told"
        echo noise >&2; echo '{"segments":[{"start":1,"text":"Hi","channel":1}]}'"#,
    );
    let answer = scene.speech.call(job(), PATIENT).await.unwrap();
    assert_eq!(answer.cost_micros, 1_500);
    assert_eq!(answer.body, r#"{"turns":[{"speaker":"unknown","text":"Hi"}]}"#);
    let read = |name: &str| std::fs::read(scene.folder.path().join(name)).unwrap();
    assert_eq!(read("heard"), SOUND);
    let told = String::from_utf8(read("told")).unwrap();
    assert!(told.contains(".wav|en|2|quartz walk-in shower"), "{told}");
    assert!(read("mode").starts_with(b"-rw-------"), "nobody else reads a call");
    assert_eq!(scene.left_files(), 0);
    let mode = std::fs::metadata(scene.folder.path().join("scratch")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn every_way_to_fail_is_named_in_one_line() {
    for (script, again, words) in [
        (
            "echo starting >&2; echo 'no such model: x' >&2; exit 3",
            false,
            "local ended with 3: no such model: x",
        ),
        ("exit 1", false, "local ended with 1: it gave no reason"),
        ("echo 'no memory' >&2; exit 75", true, "wants to be asked again: no memory"),
        ("kill -KILL $$", true, "ended from outside"),
        ("echo nothing", false, "no transcript"),
        ("true", false, "no transcript"),
        ("yes", false, "more than 8388608 bytes"),
        ("yes >&2 & yes", false, "more than 8388608 bytes"),
    ] {
        let scene = scene(script);
        let error = scene.call(PATIENT).await.unwrap_err();
        let why = error.to_string();
        assert_eq!(matches!(error, CallError::Retry { .. }), again, "{script}: {error:?}");
        assert!(why.contains(words), "{script}: {why}");
        check_why(&why);
        assert_eq!(scene.left_files(), 0, "{script}");
    }
    let nobody = CommandSpeechConfig {
        command: vec!["/no/such/program".to_owned()],
        ..scene("").speech.config.clone()
    };
    let blob = MemoryBlob::new();
    blob.hold(RECORDING, Bytes::from_static(SOUND));
    let speech = CommandSpeech::new(nobody, Arc::new(blob)).unwrap();
    let why = speech.call(job(), PATIENT).await.unwrap_err().to_string();
    assert!(why.contains("cannot be started"), "{why}");
}

#[tokio::test]
async fn at_the_deadline_it_is_ended_with_all_that_it_has_started() {
    let scene = scene(
        r#"sh -c 'echo $$ > "$0/child"; exec sleep 1000' "$(dirname "$0")" &
        while ! [ -s "$(dirname "$0")/child" ]; do sleep 0.01; done
        echo $$ > "$(dirname "$0")/own"; wait"#,
    );
    let answer = scene.call(Duration::from_secs(3)).await;
    assert!(matches!(answer, Err(CallError::Unclear { .. })), "{answer:?}");
    let read = |name: &str| std::fs::read_to_string(scene.folder.path().join(name)).unwrap();
    let (own, child) = (read("own"), read("child"));
    let gone = async {
        while lives(&own) || lives(&child) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENT, gone).await.expect("a process outlives its deadline");
    assert_eq!(scene.left_files(), 0);
}

#[tokio::test]
async fn no_more_run_at_once_than_may_and_a_crash_leaves_nothing_for_ever() {
    let scene = scene(
        r#"d=$(dirname "$0"); mkdir -p "$d/now"; touch "$d/now/$$"; ls "$d/now" | wc -l >> "$d/most"
        sleep 0.2; rm "$d/now/$$"; echo '{"text":"Hello"}'"#,
    );
    let calls = (0..6).map(|_| scene.call(PATIENT));
    for answer in futures_util::future::join_all(calls).await {
        answer.unwrap();
    }
    let most = std::fs::read_to_string(scene.folder.path().join("most")).unwrap();
    assert!(most.lines().all(|line| line.trim().parse::<usize>().unwrap() <= 2), "{most}");
    std::fs::write(scene.folder.path().join("scratch/left.mp3"), "a call").unwrap();
    let config = scene.speech.config.clone();
    let _again = CommandSpeech::new(config, Arc::new(MemoryBlob::new())).unwrap();
    assert_eq!(scene.left_files(), 0);
}
