//! What Google answers (proto3 JSON: what is false, zero or empty is absent).

use std::collections::HashMap;

use leadline_schemas::event::{Speaker, Turn};
use serde::Deserialize;

use super::error::Status;
use crate::speech::{Said, turns};

/// A pause after which the other side may have spoken.
const PAUSE_MS: i64 = 800;

/// What was recognised.
#[derive(Debug, Default)]
pub(super) struct Recognised {
    pub(super) turns: Vec<Turn>,
    /// What is billed, over all channels.
    pub(super) billed_ms: Option<i64>,
}

/// How an operation goes.
pub(super) enum Polled {
    Runs,
    Failed { why: String, billed_ms: Option<i64> },
    Done(Recognised),
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Response {
    results: Vec<Portion>,
    metadata: Option<Metadata>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    total_billed_duration: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Portion {
    alternatives: Vec<Alternative>,
    channel_tag: i32,
    result_end_offset: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Alternative {
    transcript: String,
    words: Vec<Word>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Word {
    start_offset: Option<String>,
    end_offset: Option<String>,
    word: String,
    speaker_label: String,
}

#[derive(Deserialize)]
struct Operation {
    #[serde(default)]
    done: bool,
    error: Option<Status>,
    response: Option<Batch>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Batch {
    #[serde(default)]
    results: HashMap<String, FileResult>,
    total_billed_duration: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileResult {
    error: Option<Status>,
    metadata: Option<Metadata>,
    inline_result: Option<Inline>,
    /// Where older answers have it.
    transcript: Option<Response>,
    cloud_storage_result: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Inline {
    transcript: Option<Response>,
}

/// Reads the answer of one request.
pub(super) fn recognised(body: &[u8], first: Option<Speaker>) -> Result<Recognised, String> {
    let response: Response = serde_json::from_slice(body).map_err(odd)?;
    Ok(read(response, first))
}

/// Reads an operation with one file, which is one of these.
pub(super) fn polled(body: &[u8], uris: &[String], first: Option<Speaker>) -> Result<Polled, String> {
    let operation: Operation = serde_json::from_slice(body).map_err(odd)?;
    if let Some(error) = operation.error {
        return Ok(Polled::Failed { why: error.told(), billed_ms: None });
    }
    if !operation.done {
        return Ok(Polled::Runs);
    }
    let Some(mut batch) = operation.response else {
        return Ok(failed("Google has ended the operation without an answer", None));
    };
    let billed_ms = batch.total_billed_duration.as_deref().and_then(milliseconds);
    let Some(file) = uris.iter().find_map(|uri| batch.results.remove(uri)) else {
        return Ok(failed("Google's answer says nothing of the recording", billed_ms));
    };
    let billed_ms =
        billed_ms.or_else(|| milliseconds(file.metadata.as_ref()?.total_billed_duration.as_deref()?));
    if let Some(error) = file.error {
        return Ok(Polled::Failed { why: error.told(), billed_ms });
    }
    let transcript = match (file.inline_result, file.transcript) {
        (Some(inline), _) => inline.transcript.unwrap_or_default(), // Nobody speaks.
        (None, Some(transcript)) => transcript,
        (None, None) if file.cloud_storage_result.is_some() => {
            return Ok(failed(
                "Google has put the answer into a bucket, which it was not asked for",
                billed_ms,
            ));
        }
        (None, None) => Response::default(),
    };
    let mut found = read(transcript, first);
    found.billed_ms = billed_ms.or(found.billed_ms);
    Ok(Polled::Done(found))
}

fn failed(why: &str, billed_ms: Option<i64>) -> Polled {
    Polled::Failed { why: why.to_owned(), billed_ms }
}

fn odd(error: serde_json::Error) -> String {
    format!("Google's answer cannot be read: {error}")
}

fn read(response: Response, first: Option<Speaker>) -> Recognised {
    let billed_ms = response.metadata.and_then(|about| milliseconds(&about.total_billed_duration?));
    let mut said = Vec::new();
    for portion in response.results {
        let channel = (portion.channel_tag > 0).then(|| format!("channel {}", portion.channel_tag));
        let ends_ms = portion.result_end_offset.as_deref().and_then(milliseconds);
        let Some(best) = portion.alternatives.into_iter().next() else { continue };
        let told =
            best.words.iter().any(|word| !word.speaker_label.is_empty() || word.start_offset.is_some());
        if told {
            pieces(&best.words, channel.as_deref(), &mut said);
        } else {
            said.push(Said { side: channel, at_ms: ends_ms, text: best.transcript });
        }
    }
    Recognised { turns: turns(said, first), billed_ms }
}

/// Words as pieces: one ends where another voice begins, or after a pause.
fn pieces(words: &[Word], channel: Option<&str>, said: &mut Vec<Said>) {
    let mut ended_ms: Option<i64> = None;
    let mut is_first = true;
    for word in words {
        let voice = (!word.speaker_label.is_empty()).then(|| format!("voice {}", word.speaker_label));
        let side = channel.map(str::to_owned).or(voice);
        // Absent is zero where others have one: the first word of all.
        let at_ms = word.start_offset.as_deref().and_then(milliseconds);
        let has_times = word.end_offset.is_some() || at_ms.is_some();
        let at_ms = at_ms.or(has_times.then_some(0));
        let paused = at_ms.zip(ended_ms).is_some_and(|(at_ms, ended_ms)| at_ms - ended_ms >= PAUSE_MS);
        match said.last_mut().filter(|piece| !is_first && piece.side == side && !paused) {
            Some(piece) => {
                piece.text.push(' ');
                piece.text.push_str(&word.word);
            }
            None => said.push(Said { side, at_ms, text: word.word.clone() }),
        }
        is_first = false;
        ended_ms = word.end_offset.as_deref().and_then(milliseconds).or(at_ms);
    }
}

/// A `Duration` of proto3 JSON, `"12.340s"`, in milliseconds; what begins counts.
fn milliseconds(text: &str) -> Option<i64> {
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    let is_time = seconds.is_finite() && (0.0..=1e9).contains(&seconds);
    is_time.then_some((seconds * 1_000.0).ceil() as i64)
}
