//! Calls, texts and forms as last known: topic `calls`, table `call_records`.

use serde::{Deserialize, Serialize};

use crate::avro::avro_record;
use crate::contact::{Recording, Score};
use crate::event::{Attribution, Direction, Turn};
use crate::{EventId, LeadId, Millis, TenantId};

/// How a contact reached the company.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// A phone call that somebody answered, or that is still going on.
    Call,
    /// A call that ended in a voicemail.
    Voicemail,
    /// A text.
    Text,
    /// A web form.
    Form,
}

/// Where a call is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallStage {
    /// A pre-call was seen.
    Ringing,
    /// Routing has completed.
    Routed,
    /// The call is over.
    Completed,
}

/// One call, text or form, merged from all that was heard of it. `schemas/avro/call/`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    /// The tenant.
    pub tenant: TenantId,
    /// CallRail's id: `resource_id`, else the numeric id as decimal text; a text's or form's id likewise.
    pub call_id: String,
    /// Other ids the same call came under.
    pub aliases: Vec<String>,
    /// Channel.
    pub channel: Channel,
    /// Stage.
    pub stage: CallStage,
    /// Direction.
    pub direction: Direction,
    /// The customer's number or email.
    pub caller: String,
    /// The customer's number, E.164.
    pub caller_number: Option<String>,
    /// Caller-ID name or the form's name.
    pub caller_name: Option<String>,
    /// City of the number's origin.
    pub caller_city: Option<String>,
    /// State of the number's origin.
    pub caller_state: Option<String>,
    /// The number that was dialled.
    pub tracking_number: Option<String>,
    /// Whether somebody answered; none until the call is over.
    pub answered: Option<bool>,
    /// Whether it was missed; none until that is known.
    pub missed: Option<bool>,
    /// Length in seconds.
    pub duration_s: Option<i64>,
    /// Whether it is the caller's first.
    pub first_call: Option<bool>,
    /// When it happened.
    pub started_at: Millis,
    /// When its first event was accepted.
    pub received_at: Millis,
    /// When it last changed, by the epoch's clock.
    pub updated_at: Millis,
    /// The event that changed it last.
    pub event_id: EventId,
    /// The recording.
    pub recording: Recording,
    /// What was said.
    pub transcript: Vec<Turn>,
    /// Who wrote it down.
    pub transcript_provider: Option<String>,
    /// Why there is no transcript.
    pub transcript_skip: Option<String>,
    /// The fields of a form.
    pub form_fields: std::collections::BTreeMap<String, String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Note.
    pub note: Option<String>,
    /// Value as text.
    pub value: Option<String>,
    /// CallRail's lead status.
    pub lead_status: Option<String>,
    /// Who answered.
    pub agent_email: Option<String>,
    /// The marketing side.
    pub attribution: Attribution,
    /// The score.
    pub score: Option<Score>,
    /// The lead it belongs to.
    pub lead_id: Option<LeadId>,
    /// What the call has cost so far, in millionths of the tenant's currency.
    pub cost_micros: i64,
    /// Unknown fields of the payload, as a JSON object.
    pub extra: String,
    /// Grows by one with each change.
    pub revision: i64,
    /// The newest content of its stage: an older one, whose answer came late, only fills gaps.
    pub content: i64,
}

avro_record!(CallRecord, "call", ["v1", "v2", "v3"]);
