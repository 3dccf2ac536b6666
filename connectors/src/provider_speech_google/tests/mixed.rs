//! Two channels made one: heard whole, and paid for once.

use leadline_tests::speech::Sound;

use super::*;
use crate::audio::tests::wav;

const RATE_HZ: u32 = 8_000;

/// A call of two channels at the double and in our store, and what is asked about it. The one channel is known to the
/// double by its address, and by its samples.
pub(crate) fn stereo(duration_ms: i64) -> (Scene, TranscribeJob) {
    let scene = scene(duration_ms, 1);
    let both: Vec<i16> = (0..4_000_i16).flat_map(|n| [n, 3 * n % 1_000 * 2]).collect();
    let about = About { content_type: "audio/wav".to_owned(), custom_time: Some(CALL_TIME) };
    scene.blob.with(|objects| {
        objects.insert(RECORDING.to_owned(), Object::new(Bytes::from(wav(RATE_HZ, 2, &both)), about));
    });
    let one: Vec<u8> = both
        .chunks_exact(2)
        .flat_map(|pair| {
            let mean = (f32::from(pair[0]) + f32::from(pair[1])) / 32_768.0 / 2.0;
            ((mean * 32_767.0) as i16).to_le_bytes()
        })
        .collect();
    let lines = scene.double.lines(URI);
    scene.double.recording(&format!("{URI}.mono-8000"), one, Sound { duration_ms, channels: 1, lines });
    let asks = TranscribeJob { sample_rate_hz: Some(8_000), codec: None, ..asks(duration_ms, 2) };
    (scene, asks)
}

fn names(scene: &Scene) -> Vec<String> {
    scene.blob.with(|objects| objects.keys().cloned().collect())
}

#[tokio::test]
async fn a_long_call_of_two_channels_is_heard_whole_and_costs_its_length_once() {
    let (scene, asks) = stereo(412_000);
    let (started, _) = scene.call(1, &asks).await.unwrap();
    let Transcribed::Operation(operation) = started else { panic!("{started:?}") };
    let mono = format!("{RECORDING}.mono-8000");
    let object = scene.blob.with(|objects| objects.get(&mono).cloned()).unwrap();
    assert_eq!((object.content.len(), object.about.custom_time), (8_000, Some(CALL_TIME)));
    let config = scene.double.last_body()["config"].clone();
    let decoding = json!({ "encoding": "LINEAR16", "sampleRateHertz": 8_000, "audioChannelCount": 1 });
    assert_eq!(config["explicitDecodingConfig"], decoding);
    assert_eq!((config.get("autoDecodingConfig"), config["features"].get("multiChannelMode")), (None, None));
    assert_eq!(config["features"]["diarizationConfig"], json!({}), "sides are told apart by their voices");

    // A start whose process died is the same start.
    let (again, _) = scene.call(1, &asks).await.unwrap();
    assert!(matches!(again, Transcribed::Operation(same) if same.name == operation.name));
    let (answer, cost) = scene.to_the_end(&asks).await.unwrap();
    assert_eq!((told(&answer), cost), (CONVERSATION.to_vec(), cost_micros(16_000, 412_000)));
    assert_eq!(scene.double.started(), [format!("{URI}.mono-8000")]);
    assert!(!names(&scene).contains(&mono), "it was needed for this: {:?}", names(&scene));
}

#[tokio::test]
async fn a_short_one_too() {
    let (scene, asks) = stereo(45_000);
    let (answer, cost) = scene.call(1, &asks).await.unwrap();
    assert_eq!((told(&answer), cost), (CONVERSATION.to_vec(), 12_000));
    assert_eq!(names(&scene), [RECORDING], "nothing is left beside it");
}

#[tokio::test]
async fn whoever_wants_sure_sides_pays_for_each_channel() {
    let (scene, asks) = stereo(412_000);
    let config = GoogleSpeechConfig { channels: Channels::Separate, ..config(&scene.double.named()) };
    assert_eq!(
        GoogleSpeech { config, ..scene.google }.recognition(&asks)["features"]["multiChannelMode"],
        "SEPARATE_RECOGNITION_PER_CHANNEL"
    );
}

#[tokio::test]
async fn what_runs_is_found_again_when_the_choice_was_changed_meanwhile() {
    let (mut scene, asks) = stereo(412_000);
    scene.double.polls(0);
    let (started, _) = scene.call(1, &asks).await.unwrap();
    let Transcribed::Operation(operation) = started else { panic!("{started:?}") };
    scene.google.config.channels = Channels::Separate;
    let poll = TranscribeJob { operation: Some(operation.name), ..asks };
    let (answer, _) = scene.call(2, &poll).await.unwrap();
    assert_eq!(told(&answer).len(), 4);
}

#[tokio::test]
async fn a_recording_that_cannot_be_made_one_channel_starts_nothing_and_leaves_nothing() {
    for duration_ms in [45_000, 412_000] {
        let (scene, asks) = stereo(duration_ms);
        scene.blob.hold(RECORDING, Bytes::from_static(b"<html>Not found</html>"));
        let refused = scene.call(1, &asks).await.unwrap_err();
        let CallError::Reject { why } = refused else { panic!("{refused}") };
        assert!(why.contains("channels cannot be made one: it cannot be read as audio"), "{why}");
        assert_eq!((names(&scene), scene.double.asked().len()), (vec![RECORDING.to_owned()], 0));
    }
}
