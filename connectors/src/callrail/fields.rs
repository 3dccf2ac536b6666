//! What is asked of a call beyond the 17 fields of every answer (v3 reference, "Additional User Requested Response
//! Fields").
//!
//! A field that CallRail does not know, or no longer, costs the whole answer. So one that an error names is left out from
//! then on, and said so: calls without a click id are better than none.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::error::CallRailError;

/// For listings and single calls alike: all that decode has a place for, and what people look for in a call.
const LISTED: [&str; 35] = [
    "call_type",
    "campaign",
    "company_id",
    "company_name",
    "company_time_zone",
    "created_at",
    "device_type",
    "fbclid",
    "first_call",
    "gclid",
    "good_lead_call_id",
    "good_lead_call_time",
    "keywords",
    "landing_page_url",
    "last_requested_url",
    "lead_status",
    "medium",
    "msclkid",
    "note",
    "person_id",
    "prior_calls",
    "referrer_domain",
    "referring_url",
    "source",
    "source_name",
    "tags",
    "total_calls",
    "tracker_id",
    "transcription",
    "utm_campaign",
    "utm_content",
    "utm_medium",
    "utm_source",
    "utm_term",
    "value",
];

/// Only a single call has it: the transcript by turns.
const SINGLE_ONLY: &str = "conversational_transcript";

/// The transcript alone.
pub(super) const TRANSCRIPT: &str = "transcription,conversational_transcript";

/// What is asked, without what was refused.
#[derive(Debug, Default)]
pub(super) struct Fields {
    refused: Mutex<BTreeSet<&'static str>>,
}

impl Fields {
    /// The parameter `fields` of a listing.
    pub(super) fn listed(&self) -> String {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let asked: Vec<&str> = LISTED.into_iter().filter(|name| !refused.contains(name)).collect();
        asked.join(",")
    }

    /// The parameter `fields` of a single call.
    pub(super) fn single(&self) -> String {
        format!("{},{SINGLE_ONLY}", self.listed())
    }

    /// Whether an error is about a field that is left out from now on: then it is worth asking again.
    pub(super) fn learn(&self, error: &CallRailError) -> bool {
        let CallRailError::Refused { why, .. } = error else { return false };
        let words = |letter: char| !letter.is_ascii_alphanumeric() && letter != '_';
        let named = LISTED.into_iter().find(|name| {
            // Names such as `note` and `value` are words of other errors too.
            why.contains("field") && why.split(words).any(|word| word == *name)
        });
        let Some(name) = named else { return false };
        let is_new = self.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
        if is_new {
            tracing::warn!(field = name, why, "CallRail does not know a field of calls; it is left out");
        }
        is_new
    }
}
