//! A contact on its way through the pipeline: the canonical event and what each operator has found out.

use serde::{Deserialize, Serialize};

use crate::avro::avro_record;
use crate::event::{Event, Turn};
use crate::inbound::Origin;
use crate::{EventId, Millis, TenantId};

/// One call, text or form between decode and leads. `schemas/avro/contact/`.
///
/// Operators that wait for a remote answer keep it in their tables, so it has a schema of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contact {
    /// The envelope's id.
    pub event_id: EventId,
    /// The tenant.
    pub tenant: TenantId,
    /// What partitioning took as the caller.
    pub caller: String,
    /// When the source accepted it.
    pub received_at: Millis,
    /// When it happened: the payload's time, clamped to `received_at` + 1 min.
    pub event_time: Millis,
    /// Older than 24 h at receipt: it never alerts or notifies.
    pub backfill: bool,
    /// Whether a backfill is sent to CRMs all the same (`--deliver`).
    pub deliver_backfill: bool,
    /// The event.
    pub event: Event,
    /// Whether the same call was seen before with other content.
    pub update: bool,
    /// What is known of the recording.
    pub recording: Recording,
    /// What was said, when anybody could tell.
    pub transcript: Option<Transcript>,
    /// Why there is no transcript, for the audit.
    pub transcript_skip: Option<String>,
    /// The score, once there is one.
    pub score: Option<Score>,
    /// Its number among the contents of its call, from 1 in the order of acceptance; 0 before dedupe.
    pub content: i64,
    /// Who accepted it.
    pub origin: Origin,
}

avro_record!(Contact, "contact", ["v1", "v2", "v3"]);

/// What is known of a call's recording.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recording {
    /// Where it lies in our blob store.
    pub blob: Option<String>,
    /// Why it was not fetched, or what is wrong with it.
    pub skip: Option<String>,
    /// What is known of its sound, where it could be read.
    pub audio: Option<Audio>,
}

/// What listening to a recording has told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audio {
    /// The codec's short name: `mp3`, `pcm_s16le`, ...
    pub codec: String,
    /// Samples a second of one channel.
    pub sample_rate_hz: i32,
    /// Channels.
    pub channels: i32,
    /// Its length in milliseconds.
    pub duration_ms: i64,
    /// How much of it nobody makes a sound in.
    pub silence_ms: i64,
    /// How much of it is music or tones and no speech.
    pub music_ms: i64,
    /// Where what may be speech begins.
    pub speech_from_ms: i64,
    /// Where what may be speech ends; where it begins if there is none.
    pub speech_to_ms: i64,
}

impl Audio {
    /// How much of it may be speech: what is neither silence nor music.
    pub fn speech_ms(&self) -> i64 {
        (self.duration_ms - self.silence_ms - self.music_ms).max(0)
    }
}

/// What was said and who wrote it down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transcript {
    /// The turns, in order.
    pub turns: Vec<Turn>,
    /// `callrail`, or the provider's name.
    pub provider: String,
    /// What it cost, in millionths of the tenant's currency.
    pub cost_micros: i64,
}

/// A score and how it came about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// 0 to 100.
    pub score: i32,
    /// `hot`, `warm`, `nurture` or `cold`.
    pub band: String,
    /// `lead`, `spam`, ... (scoring vocabulary).
    pub class: String,
    /// The whole result in the vocabulary of `score.rs`, as JSON.
    pub detail: String,
    /// `rules`, or the provider's name.
    pub provider: String,
    /// The model, where one was asked.
    pub model: Option<String>,
    /// The rules' or prompt's version.
    pub prompt_version: String,
    /// What it cost, in millionths of the tenant's currency.
    pub cost_micros: i64,
    /// Why a cheaper provider stood in, when one did.
    pub fallback: Option<String>,
}
