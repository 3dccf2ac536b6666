//! How CallRail does not answer.

use std::time::Duration;

use crate::contract::provider::CallError;

/// Why there is no answer. Each is one line, without keys or signed addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallRailError {
    /// The account's limit, by our count or by a 429: nobody asks for it before that.
    #[error("{why}; asked again in {} s", after.as_secs())]
    Limited {
        /// How long.
        after: Duration,
        /// By whom.
        why: String,
    },
    /// No connection, no answer in time, a cut one, or an error of CallRail's own: ask again.
    #[error("CallRail {why}")]
    Unavailable {
        /// What happened.
        why: String,
    },
    /// The key is wrong, or its user may not see this (401, 403).
    #[error(
        "CallRail answered {status} to this API key: check that it is right and its user may see the account ({why})"
    )]
    Denied {
        /// The status.
        status: u16,
        /// What it said.
        why: String,
    },
    /// There is no such thing (404, 410), or no recording.
    #[error("CallRail has no {what}")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// CallRail keeps calls for 25 months, and refuses a range that begins before.
    #[error("CallRail keeps 25 months, and the range begins before that: begin later ({why})")]
    BeyondRetention {
        /// What it said.
        why: String,
    },
    /// It will not do this.
    #[error("CallRail answered {status}: {why}")]
    Refused {
        /// The status.
        status: u16,
        /// What it said.
        why: String,
    },
    /// It answered something that is not what was asked for.
    #[error("CallRail's answer cannot be used: {why}")]
    Odd {
        /// What is wrong with it.
        why: String,
    },
    /// The answer is larger than is read: ask for less at a time.
    #[error("CallRail's answer has more than {bytes_max} bytes: ask for fewer rows a page")]
    TooLarge {
        /// The bound.
        bytes_max: usize,
    },
    /// A POST may have taken effect, and CallRail has no idempotency keys: look before asking again.
    #[error("CallRail {why}; it may have taken effect")]
    Unclear {
        /// What happened.
        why: String,
    },
}

impl CallRailError {
    /// Whether asking again later may help.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Limited { .. } | Self::Unavailable { .. })
    }
}

impl From<CallRailError> for CallError {
    fn from(error: CallRailError) -> Self {
        let why = error.to_string();
        match error {
            CallRailError::Limited { after, .. } => Self::Retry { after: Some(after), why },
            CallRailError::Unavailable { .. } => Self::Retry { after: None, why },
            CallRailError::Unclear { .. } => Self::Unclear { why },
            _ => Self::Reject { why },
        }
    }
}
