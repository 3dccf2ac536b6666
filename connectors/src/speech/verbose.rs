//! The answer that whisper servers give (`verbose_json`), and commands too:
//! `{"text": "...", "duration": 8.4, "segments": [{"start": 0.0, "end": 3.3, "text": "...", "speaker": "A", "channel": 1}]}`.
//!
//! All of it is optional but `text` or `segments`. `speaker` or `channel` tell sides apart, where there are any.

use leadline_schemas::event::{Speaker, Turn};
use serde::Deserialize;
use serde_json::Value;

use super::turns::{Said, turns};

#[derive(Deserialize)]
struct Verbose {
    text: Option<String>,
    duration: Option<Value>,
    segments: Option<Vec<Segment>>,
}

#[derive(Deserialize)]
struct Segment {
    start: Option<f64>,
    text: Option<String>,
    speaker: Option<Value>,
    channel: Option<Value>,
}

/// The turns, and the sound's length in milliseconds if it was told; why not, where it is none.
pub fn heard(body: &[u8], first: Option<Speaker>) -> Result<(Vec<Turn>, Option<i64>), String> {
    let found: Verbose =
        serde_json::from_slice(body).map_err(|error| format!("the answer is no transcript: {error}"))?;
    // Some servers tell it as text.
    let duration_s = found.duration.and_then(|told| told.as_f64().or_else(|| told.as_str()?.parse().ok()));
    let duration_ms = duration_s.and_then(milliseconds);
    let said = match (found.segments, found.text) {
        (Some(segments), text) if !segments.is_empty() || text.is_none() => {
            segments.into_iter().map(said).collect()
        }
        (_, Some(text)) => vec![Said { side: None, at_ms: None, text }],
        (_, None) => return Err("the answer is no transcript: it has neither text nor segments".to_owned()),
    };
    Ok((turns(said, first), duration_ms))
}

fn said(segment: Segment) -> Said {
    let label = |told: Value| match told {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    };
    Said {
        side: segment.speaker.and_then(label).or_else(|| segment.channel.and_then(label)),
        at_ms: segment.start.and_then(milliseconds),
        text: segment.text.unwrap_or_default(),
    }
}

/// Seconds as milliseconds, if they can be any.
fn milliseconds(seconds: f64) -> Option<i64> {
    let is_time = seconds.is_finite() && (0.0..=1e9).contains(&seconds);
    is_time.then_some((seconds * 1_000.0) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_are_read_and_what_is_neither_is_said_to_be() {
        let whisper =
            br#"{"task":"transcribe","language":"english","duration":"8.5","text":" Hi. A kitchen.",
            "segments":[{"id":0,"start":0.0,"end":1.0,"text":" Hi.","tokens":[1],"no_speech_prob":0.1},
            {"id":1,"start":1.5,"end":3.0,"text":" A kitchen."}]}"#;
        let (turns, duration_ms) = heard(whisper, Some(Speaker::Agent)).unwrap();
        assert_eq!((turns.len(), turns[1].text.as_str(), duration_ms), (2, "A kitchen.", Some(8_500)));
        let sided =
            br#"{"segments":[{"start":1,"text":"Hi","channel":2},{"start":0,"text":"Summit","channel":1}]}"#;
        let (turns, _) = heard(sided, Some(Speaker::Agent)).unwrap();
        assert_eq!((turns[0].speaker, turns[1].speaker), (Speaker::Agent, Speaker::Caller));
        assert_eq!(heard(br#"{"text":"Hello"}"#, None).unwrap().0[0].text, "Hello");
        for silent in [&br#"{"text":""}"#[..], br#"{"text":"","segments":[]}"#, br#"{"segments":[]}"#] {
            assert_eq!(heard(silent, None), Ok((Vec::new(), None)));
        }
        for odd in [&b""[..], b"[]", b"<html>", b"{}", br#"{"segments":[{"start":"x"}]}"#] {
            assert!(heard(odd, None).unwrap_err().contains("no transcript"), "{odd:?}");
        }
        assert_eq!(heard(br#"{"text":"a","duration":-1e300}"#, None).unwrap().1, None);
    }
}
