//! Whether a call that rang was missed: what CallRail is asked, and what it answers.

use serde::{Deserialize, Serialize};

/// What a `get_call` job asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetCallJob {
    /// The call.
    pub call_id: String,
    /// Its company.
    pub company_id: Option<String>,
}

/// What a `get_call` job answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GotCall {
    /// Whether somebody answered.
    pub answered: Option<bool>,
    /// `in_progress` while it goes on.
    pub call_type: Option<String>,
    /// Whether a voicemail was left.
    #[serde(default)]
    pub voicemail: bool,
}
