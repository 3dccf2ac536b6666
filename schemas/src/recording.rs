//! What the jobs that bring recordings ask and answer, as JSON.

use serde::{Deserialize, Serialize};

use crate::Millis;
use crate::contact::Audio;

/// What a `fetch_recording` job asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchRecordingJob {
    /// The call.
    pub call_id: String,
    /// Where CallRail says the recording is, or `blob:` and its name where it lies in our blob store already.
    pub url: String,
    /// When the call was: its month is in the recording's name, and the recording is kept so long from then.
    #[serde(default)]
    pub at: Millis,
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
