//! The canonical event: one shape for CallRail's two payload generations, forms, texts and direct events.
//!
//! Every field is optional because every field has been seen absent, null, empty or of another type
//! (CallRail v3 reference, "Webhooks"); what is not known to us is kept in `extra`.

use serde::{Deserialize, Serialize};

use crate::inbound::EventKind;
use crate::{CallId, Millis};

/// What happened, in leadline's own words. Calls are boxed: an event is moved several times on its way. The aliases are
/// the names of the records in the Avro union.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A phone call, at any stage of its life.
    #[serde(alias = "dev.leadline.CallEvent")]
    CallEvent(Box<CallEvent>),
    /// A text message.
    #[serde(alias = "dev.leadline.TextEvent")]
    TextEvent(TextEvent),
    /// A web form.
    #[serde(alias = "dev.leadline.FormEvent")]
    FormEvent(FormEvent),
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// The company's side.
    Agent,
    /// The customer's side.
    Caller,
    /// Not told.
    Unknown,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Who speaks.
    pub speaker: Speaker,
    /// What was said.
    pub text: String,
}

/// Where a call came from or went to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The customer called.
    Inbound,
    /// The company called.
    Outbound,
}

/// Where a contact came from: the marketing side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attribution {
    /// `source_name` or `source`.
    pub source: Option<String>,
    /// `medium` or `utm_medium`.
    pub medium: Option<String>,
    /// `campaign` or `utm_campaign`.
    pub campaign: Option<String>,
    /// Search keywords.
    pub keywords: Option<String>,
    /// Google click id.
    pub gclid: Option<String>,
    /// The page the customer came to.
    pub landing_page_url: Option<String>,
}

/// A call as one payload tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallEvent {
    /// Which of the kinds of payload this was.
    pub kind: EventKind,
    /// `resource_id`, else `id` when it starts with letters, else the numeric id as decimal text.
    pub call_id: CallId,
    /// The numeric id, where the payload has one beside or instead of `resource_id`; behind dedupe, the id that the
    /// payload came under when the call goes by another.
    pub numeric_id: Option<String>,
    /// `company_resource_id`, else the numeric company id.
    pub company_id: Option<String>,
    /// The caller's number, E.164 where it could be normalised.
    pub caller_number: Option<String>,
    /// Caller-ID name; often a city.
    pub caller_name: Option<String>,
    /// City of the number's origin.
    pub caller_city: Option<String>,
    /// State of the number's origin.
    pub caller_state: Option<String>,
    /// The number that was dialled, E.164.
    pub tracking_number: Option<String>,
    /// Inbound or outbound.
    pub direction: Option<Direction>,
    /// Whether somebody answered; meaningless before the post-call.
    pub answered: Option<bool>,
    /// Whether a voicemail was left.
    pub voicemail: Option<bool>,
    /// `answered`, `missed`, `abandoned`, `voicemail`, `in_progress`, ...
    pub call_type: Option<String>,
    /// Length of the call in seconds.
    pub duration_s: Option<i64>,
    /// Whether this is the caller's first call.
    pub first_call: Option<bool>,
    /// When the phone rang.
    pub started_at: Option<Millis>,
    /// Where the recording can be fetched.
    pub recording_url: Option<String>,
    /// Length of the recording in seconds.
    pub recording_duration_s: Option<i64>,
    /// What was said; empty when the payload has no transcript.
    pub transcript: Vec<Turn>,
    /// Who answered.
    pub agent_email: Option<String>,
    /// Tags of the call.
    pub tags: Vec<String>,
    /// The note of the call.
    pub note: Option<String>,
    /// The value of the call, as text.
    pub value: Option<String>,
    /// `good_lead`, `not_a_lead`, `previously_marked_good_lead`.
    pub lead_status: Option<String>,
    /// The marketing side.
    pub attribution: Attribution,
    /// Names of the fields that a call-modified says have changed.
    pub changes: Vec<String>,
    /// All fields not taken above, as a JSON object; `{}` when there are none.
    pub extra: String,
}

/// A text message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextEvent {
    /// Received or sent.
    pub kind: EventKind,
    /// `resource_id`, else the numeric id as decimal text.
    pub text_id: String,
    /// The company it belongs to.
    pub company_id: Option<String>,
    /// The customer's number, E.164 where it could be normalised.
    pub customer_number: Option<String>,
    /// The company's number.
    pub company_number: Option<String>,
    /// What it says.
    pub content: String,
    /// Who sent it, for sent ones.
    pub agent: Option<String>,
    /// CallRail's conversation.
    pub conversation_id: Option<String>,
    /// Pictures; short-lived.
    pub media_urls: Vec<String>,
    /// When it was sent.
    pub at: Option<Millis>,
    /// All other fields, as a JSON object.
    pub extra: String,
}

/// A web form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FormEvent {
    /// `resource_id`, the numeric id, or the event id of our own forms.
    pub form_id: String,
    /// The company it belongs to, for CallRail's.
    pub company_id: Option<String>,
    /// The fields as they were named on the site, in the order of their names.
    pub fields: std::collections::BTreeMap<String, String>,
    /// The name, by field map or heuristics.
    pub name: Option<String>,
    /// The email, by field map or heuristics.
    pub email: Option<String>,
    /// The phone, E.164 where it could be normalised.
    pub phone: Option<String>,
    /// The free text, by field map or heuristics.
    pub message: Option<String>,
    /// The page it was on.
    pub form_url: Option<String>,
    /// The marketing side.
    pub attribution: Attribution,
    /// When it was submitted.
    pub at: Option<Millis>,
    /// All other fields, as a JSON object.
    pub extra: String,
}

impl Event {
    /// The id of the call, text or form.
    pub fn subject_id(&self) -> &str {
        match self {
            Self::CallEvent(call) => call.call_id.as_str(),
            Self::TextEvent(text) => &text.text_id,
            Self::FormEvent(form) => &form.form_id,
        }
    }

    /// The customer's number or email: the caller of partitioning, where the payload has one.
    pub fn caller(&self) -> Option<&str> {
        match self {
            Self::CallEvent(call) => call.caller_number.as_deref(),
            Self::TextEvent(text) => text.customer_number.as_deref(),
            Self::FormEvent(form) => form.phone.as_deref().or(form.email.as_deref()),
        }
    }

    /// When it happened, by the payload.
    pub fn occurred_at(&self) -> Option<Millis> {
        match self {
            Self::CallEvent(call) => call.started_at,
            Self::TextEvent(text) => text.at,
            Self::FormEvent(form) => form.at,
        }
    }
}
