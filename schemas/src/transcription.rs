//! What the jobs that write calls down ask and answer, as JSON; and how far a call is in its tenant's chain of providers.
//!
//! What is billed when it starts takes two kinds of job: `transcribe` starts it and is answered with the operation's name;
//! once that is committed, `transcribe_poll` asks how it goes, as often as it takes.

use serde::{Deserialize, Serialize};

use crate::Millis;
use crate::avro::avro_record;
use crate::event::{Speaker, Turn};

/// The kind of a job that asks for words.
pub const TRANSCRIBE: &str = "transcribe";
/// The kind of a job that asks how an operation goes.
pub const TRANSCRIBE_POLL: &str = "transcribe_poll";

/// What a `transcribe` or `transcribe_poll` job asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscribeJob {
    /// The call.
    pub call_id: String,
    /// The recording in our blob store.
    pub blob: String,
    /// Its length in milliseconds, where it could be heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<i64>,
    /// Its channels; a call's two sides where they are two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<i32>,
    /// Its samples a second, of each channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_rate_hz: Option<i32>,
    /// The codec's short name: `mp3`, `pcm_s16le`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    /// What is spoken (BCP 47); none = `en-US`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Words that are to be expected: what the tenant sells, and where. At most 100 characters each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phrases: Vec<String>,
    /// Who is the first to speak, if two sides can be told apart: whoever picks up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Speaker>,
    /// It is no hurry: nobody waits for this call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub backfill: bool,
    /// What was started, for `transcribe_poll`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
}

/// What such a job answers: `{"turns":[...]}`, `{"operation":{...}}` or `{"failed":"..."}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transcribed {
    /// The turns, in order; none where nobody says anything.
    Turns(Vec<Turn>),
    /// It was started, or still runs.
    Operation(Operation),
    /// It ended without words, for this reason; it may have cost something all the same.
    Failed(String),
}

/// Something that runs at a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Its name there.
    pub name: String,
    /// When it is worth asking about it for the first time; later it is asked less and less often.
    pub poll_after_ms: i64,
    /// When it is given up.
    pub ends_within_ms: i64,
}

/// State of transcribe: how far a call is in its tenant's chain of providers. `schemas/avro/transcription/`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transcription {
    /// Who is asked now.
    pub provider: String,
    /// Who was asked before, each with why it brought no words: `name: reason`.
    pub failed: Vec<String>,
    /// The names of all who were asked, the one asked now included.
    pub asked: Vec<String>,
    /// What all of it has cost so far, in millionths of the tenant's currency.
    pub cost_micros: i64,
    /// What the provider has started and is asked about until it ends.
    pub operation: Option<String>,
    /// How often it was asked about that.
    pub polls: i32,
    /// When the operation is given up.
    pub ends_at: Millis,
    /// What of the day's budget is kept for the provider's answer, in millionths.
    pub reserved_micros: i64,
}

avro_record!(Transcription, "transcription", ["v1", "v2"]);
