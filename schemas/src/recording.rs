//! What the jobs that bring recordings ask and answer, as JSON.

use serde::{Deserialize, Serialize};

use crate::Millis;
use crate::contact::Audio;

/// What a `fetch_recording` job asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchRecordingJob {
    /// The call, or the text.
    pub call_id: String,
    /// Where CallRail says the recording is, or `blob:` and its name where it lies in our blob store already.
    pub url: String,
    /// When the call was: its month is in the recording's name, and the recording is kept so long from then.
    #[serde(default)]
    pub at: Millis,
    /// Which of a text's media it is, from 1, where `call_id` is a text's: fetched from `url` alone, and not listened to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub medium: Option<u32>,
    /// Whether it has time: of the account's limits a backfill leaves half to calls that ring now.
    #[serde(default)]
    pub background: bool,
    /// Whether it was asked for in vain before: what is not there by now never will be.
    #[serde(default)]
    pub again: bool,
}

impl FetchRecordingJob {
    /// Of a call, for the first time.
    pub fn of_call(call_id: impl Into<String>, url: impl Into<String>, at: Millis) -> Self {
        let (call_id, url) = (call_id.into(), url.into());
        Self { call_id, url, at, medium: None, background: false, again: false }
    }
}

/// What a `fetch_recording` job answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchedRecording {
    /// Its name in the blob store.
    pub blob: String,
    /// What listening to it has told.
    #[serde(default)]
    pub audio: Option<Audio>,
    /// Why it tells nothing.
    #[serde(default)]
    pub unheard: Option<String>,
}
