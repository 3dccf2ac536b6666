//! Sounds whose silence, music and speech are known: two small files, and waves made here.

use std::f64::consts::TAU;
use std::ops::RangeInclusive;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use leadline_schemas::contact::Audio;

use super::{ProbeError, mixed, probe};
use crate::contract::blob::BlobError;

const RATE: u32 = 8_000;
/// A caller who speaks for 11 s, by a synthesiser; MP3 of 8 kbit/s.
const VOICE: &[u8] = include_bytes!("../../../tests/fixtures/audio/voice.mp3");
/// 12 s of a melody, 5 s of an announcement, 8 s of a piano.
const HOLD: &[u8] = include_bytes!("../../../tests/fixtures/audio/hold.mp3");

/// A WAV file of 16 bits.
pub(crate) fn wav(rate_hz: u32, channels: u16, samples: &[i16]) -> Vec<u8> {
    let bytes = u32::try_from(samples.len() * 2).unwrap();
    let mut file = b"RIFF".to_vec();
    file.extend((36 + bytes).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0");
    file.extend(channels.to_le_bytes());
    file.extend(rate_hz.to_le_bytes());
    file.extend((rate_hz * u32::from(channels) * 2).to_le_bytes());
    file.extend((channels * 2).to_le_bytes());
    file.extend(b"\x10\0data");
    file.extend(bytes.to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}

/// So many seconds of a function of the time in seconds, -1 to 1.
fn wave(rate_hz: u32, seconds: u32, of: impl Fn(f64) -> f64) -> Vec<i16> {
    let samples = 0..rate_hz * seconds;
    samples.map(|n| (of(f64::from(n) / f64::from(rate_hz)) * 32_767.0) as i16).collect()
}

/// A telephone that rings in America: 440 and 480 Hz, 2 s of 6.
fn ringing(at: f64) -> f64 {
    let tone = (TAU * 440.0 * at).sin() + (TAU * 480.0 * at).sin();
    if at % 6.0 < 2.0 { 0.1 * tone } else { 0.0 }
}

async fn heard(file: impl Into<Vec<u8>>) -> Result<Audio, ProbeError> {
    let file: Vec<u8> = file.into();
    let pieces: Vec<_> = file.chunks(1_777).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    probe(Box::pin(stream::iter(pieces))).await
}

fn assert_within(what: &str, ms: i64, expected: RangeInclusive<i64>) {
    assert!(expected.contains(&ms), "{what}: {ms} ms are not within {expected:?}");
}

#[tokio::test]
async fn a_callers_voice_is_speech_from_its_beginning_to_its_end() {
    let audio = heard(VOICE).await.unwrap();
    assert_eq!((audio.codec.as_str(), audio.sample_rate_hz, audio.channels), ("mp3", 8_000, 1));
    assert_within("duration", audio.duration_ms, 10_000..=12_000);
    assert_eq!((audio.music_ms, audio.speech_from_ms), (0, 0));
    assert_within("silence", audio.silence_ms, 0..=1_000);
    assert_within("end of the speech", audio.speech_to_ms, 9_900..=12_000);
}

#[tokio::test]
async fn hold_music_is_music_and_the_announcement_in_it_is_not() {
    let audio = heard(HOLD).await.unwrap();
    assert_within("duration", audio.duration_ms, 24_000..=26_000);
    assert_within("music", audio.music_ms, 15_000..=20_500);
    assert_within("begin of the announcement", audio.speech_from_ms, 9_500..=13_000);
    assert_within("end of the announcement", audio.speech_to_ms, 16_000..=19_500);
    assert_within("speech", audio.speech_ms(), 4_500..=9_000);
}

#[tokio::test]
async fn silence_a_hiss_and_a_telephone_that_rings_are_no_speech() {
    let hiss = |at: f64| 0.001 * (at * 1e6).sin();
    let sounds: [(&str, &dyn Fn(f64) -> f64); 3] =
        [("silence", &|_| 0.0), ("hiss", &hiss), ("ringing", &ringing)];
    for (what, of) in sounds {
        for rate_hz in [RATE, 16_000, 44_100] {
            let audio = heard(wav(rate_hz, 1, &wave(rate_hz, 24, of))).await.unwrap();
            assert_eq!(
                (audio.duration_ms, audio.speech_ms()),
                (24_000, 0),
                "{what} at {rate_hz} Hz: {audio:?}"
            );
            assert_eq!((audio.speech_from_ms, audio.speech_to_ms), (0, 0));
            assert_eq!(audio.music_ms > 0, what == "ringing");
        }
    }
}

#[tokio::test]
async fn one_channel_that_speaks_is_enough() {
    // Something that changes all the time, as words do: a tone that jumps every 64 ms, with a pause after each third.
    let babble = |at: f64| {
        let step = (at / 0.064).floor();
        let pitch = 150.0 + 300.0 * (step * 0.618).fract();
        let formant = 500.0 + 2_500.0 * (step * 0.414).fract();
        let sound = (TAU * pitch * at).sin() + (TAU * formant * at).sin();
        if step % 3.0 == 2.0 { 0.0 } else { 0.2 * sound }
    };
    let (left, right) =
        (wave(RATE, 20, ringing), wave(RATE, 20, |at| if at > 10.0 { babble(at) } else { 0.0 }));
    let both: Vec<i16> = left.iter().zip(&right).flat_map(|(left, right)| [*left, *right]).collect();
    let audio = heard(wav(RATE, 2, &both)).await.unwrap();
    assert_eq!((audio.channels, audio.duration_ms), (2, 20_000));
    assert_within("begin of the speech", audio.speech_from_ms, 8_000..=11_000);
    assert_within("end of the speech", audio.speech_to_ms, 19_000..=20_000);
    assert_within("silence and ringing", audio.silence_ms + audio.music_ms, 8_000..=11_000);
}

#[tokio::test]
async fn a_sound_too_short_to_judge_may_be_a_word() {
    let audio = heard(wav(RATE, 1, &wave(RATE, 1, ringing)[..4_000])).await.unwrap();
    assert_eq!((audio.duration_ms, audio.speech_ms(), audio.speech_to_ms), (500, 500, 500));
}

#[tokio::test]
async fn a_file_that_was_cut_is_heard_to_where_it_ends() {
    let audio = heard(&VOICE[..VOICE.len() / 2]).await.unwrap();
    assert_within("duration", audio.duration_ms, 4_500..=6_500);
    let mut harmed = VOICE.to_vec();
    harmed[4_000..4_400].fill(0x55);
    assert_within("duration", heard(harmed).await.unwrap().duration_ms, 9_000..=12_000);
}

#[tokio::test]
async fn what_is_no_audio_says_so_and_never_panics() {
    for bytes in [&b""[..], b"RIFF", b"<html><body>Not found</body></html>", &[0; 5_000], &[0xff; 5_000]] {
        let answer = heard(bytes).await;
        assert!(matches!(answer, Err(ProbeError::NotAudio(_))), "{answer:?}");
    }
    let no_channels = wav(RATE, 0, &[0; 100]);
    assert!(heard(no_channels).await.is_err());
    for cut in 0..60 {
        let _ = heard(&wav(RATE, 1, &[0; 20])[..cut]).await;
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_not_judged() {
    let broken = BlobError::Unavailable("the store is away".to_owned());
    let pieces = [Ok(Bytes::from_static(VOICE)), Err(broken.clone())];
    assert_eq!(probe(Box::pin(stream::iter(pieces))).await, Err(ProbeError::Blob(broken)));
}

/// The one channel made of a file, in samples.
async fn one(file: &[u8], rate_hz: u32) -> Result<Vec<i16>, ProbeError> {
    let pieces: Vec<_> = file.chunks(1_777).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    let mut made = Box::pin(mixed(Box::pin(stream::iter(pieces)), rate_hz));
    let mut bytes = Vec::new();
    while let Some(piece) = made.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect())
}

#[tokio::test]
async fn several_channels_become_one_that_has_all_their_sound() {
    let both: Vec<i16> = (0..30_000_i16).flat_map(|n| [n % 9_000, -3_000]).collect();
    let made = one(&wav(RATE, 2, &both), RATE).await.unwrap();
    assert_eq!(made.len(), 30_000);
    for (n, sample) in made.iter().enumerate() {
        let mean = (i32::try_from(n).unwrap() % 9_000 - 3_000) / 2;
        assert!((i32::from(*sample) - mean).abs() <= 2, "{sample} at {n}, not {mean}");
    }
    let loud = one(&wav(RATE, 2, &[i16::MIN; 200]), RATE).await.unwrap();
    assert!(loud.iter().all(|sample| *sample <= -32_766), "{:?}", loud.first());
    // A packet holds more than one frame of a compressed sound; none is lost.
    let heard = heard(VOICE).await.unwrap();
    let made = one(VOICE, RATE).await.unwrap();
    assert_eq!(i64::try_from(made.len()).unwrap() / 8, heard.duration_ms);
}

#[tokio::test]
async fn what_cannot_be_made_one_channel_is_an_error_and_never_a_shorter_sound() {
    for bytes in [&b""[..], b"<html>", &[0xff; 5_000]] {
        assert!(matches!(one(bytes, RATE).await, Err(ProbeError::NotAudio(_))));
    }
    let other = one(&wav(16_000, 2, &[0; 40_000]), RATE).await.unwrap_err();
    assert!(other.to_string().contains("16000 Hz"), "{other}");
    let broken = BlobError::Unavailable("the store is away".to_owned());
    let whole = wav(RATE, 2, &[0; 400_000]);
    let pieces = vec![Ok(Bytes::from(whole)), Err(broken.clone())];
    let made = mixed(Box::pin(stream::iter(pieces)), RATE);
    let pieces: Vec<_> = made.collect().await;
    assert_eq!(pieces.last(), Some(&Err(ProbeError::Blob(broken))));
}
