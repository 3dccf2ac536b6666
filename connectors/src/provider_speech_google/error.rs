//! What Google's errors mean, each by a name of its own.

use serde::Deserialize;

use crate::contract::provider::CallError;
use crate::contract::wire::WireAnswer;
use crate::http_client::{judged, one_line};

#[derive(Deserialize)]
struct Envelope {
    error: Status,
}

/// `google.rpc.Status`, as errors and operations have it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Status {
    #[serde(default)]
    pub(super) code: i64,
    #[serde(default)]
    pub(super) message: String,
    /// In errors of HTTP only.
    #[serde(default)]
    status: String,
}

impl Status {
    /// What went wrong with an operation or a file, by its `google.rpc.Code`.
    pub(super) fn told(&self) -> String {
        let message = one_line(self.message.as_bytes());
        let what = match self.code {
            3 => "Google cannot make anything of the recording",
            5 => "Google did not find the recording in the bucket",
            7 => "Google may not read the recording from the bucket",
            8 => "Google's quota was used up",
            1 | 4 | 10 | 13 | 14 => "Google broke off",
            _ => "Google has failed",
        };
        format!("{what} (code {}): {message}", self.code)
    }
}

/// A good answer, or what its status means.
pub(super) fn meaning(answer: WireAnswer) -> Result<WireAnswer, CallError> {
    if (200..300).contains(&answer.status) {
        return Ok(answer);
    }
    let (status, body) = (answer.status, answer.body.clone());
    let told = match serde_json::from_slice::<Envelope>(&body) {
        Ok(Envelope { error }) => one_line(format!("{} {}", error.status, error.message).as_bytes()),
        Err(_) => one_line(&body),
    };
    let what = match status {
        400 => "Google refuses what it was asked",
        401 => "Google does not accept the credentials; see key_file or GOOGLE_APPLICATION_CREDENTIALS",
        403 => "the credentials may not use Speech-to-Text in this project",
        404 => "Google does not know it, at this model and location",
        429 => "Google's quota is used up",
        _ => "Google has no answer",
    };
    let why = format!("{what} ({status}): {told}");
    // What may pass is the same everywhere.
    match judged(answer) {
        Err(CallError::Retry { after, .. }) => Err(CallError::Retry { after, why }),
        _ => Err(CallError::Reject { why }),
    }
}
