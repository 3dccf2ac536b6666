//! Leads and their history: topics `leads` and `lead_events`.

use serde::{Deserialize, Serialize};

use crate::avro::avro_record;
use crate::call::Channel;
use crate::contact::Score;
use crate::event::Attribution;
use crate::{EventId, LeadId, Millis, TenantId};

/// One caller's contacts within the tenant's merge window. `schemas/avro/lead/`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lead {
    /// The tenant.
    pub tenant: TenantId,
    /// The lead.
    pub lead_id: LeadId,
    /// The customer's number or email: what contacts are merged by.
    pub caller: String,
    /// Name, as said or written, else caller ID.
    pub name: Option<String>,
    /// Number to call back, E.164.
    pub phone: Option<String>,
    /// Email, as said or written.
    pub email: Option<String>,
    /// City, as said or written.
    pub city: Option<String>,
    /// `open`, `won`, `lost`, `not_a_lead`.
    pub status: String,
    /// The best score among its contacts.
    pub score: i32,
    /// The band of that score.
    pub band: String,
    /// The class of that score.
    pub class: String,
    /// The kind of project.
    pub project_type: Option<String>,
    /// The result behind that score, as JSON (`score.rs`).
    pub detail: String,
    /// How the scoring came about.
    pub scored_by: Option<Score>,
    /// The channel of the first contact.
    pub first_channel: Channel,
    /// The marketing side of the first contact.
    pub attribution: Attribution,
    /// Ids of its calls, texts and forms, oldest first.
    pub contact_ids: Vec<String>,
    /// Whether anybody of the company has talked to them.
    pub contacted: bool,
    /// First contact.
    pub opened_at: Millis,
    /// Last contact.
    pub last_contact_at: Millis,
    /// When a person of the company first talked to them.
    pub contacted_at: Option<Millis>,
    /// When it last changed, by the epoch's clock.
    pub updated_at: Millis,
    /// Grows by one with each change.
    pub revision: i64,
    /// What the company says became of it; the last word counts.
    #[serde(default)]
    pub feedback: Option<Feedback>,
}

avro_record!(Lead, "lead", ["v1", "v2"]);

/// What the company says became of a lead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feedback {
    /// Whether it was worth calling back.
    pub good: bool,
    /// What was sold, in millionths of the tenant's currency; none = nothing yet.
    pub sold_micros: Option<i64>,
    /// In the company's own words.
    pub note: Option<String>,
    /// When it was said.
    pub at: Millis,
}

/// One line of a lead's history. `schemas/avro/lead_event/`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeadEvent {
    /// The tenant.
    pub tenant: TenantId,
    /// The lead.
    pub lead_id: LeadId,
    /// The revision of the lead that this line explains.
    pub revision: i64,
    /// `opened`, `contact_added`, `scored`, `alerted`, `delivered`, ...
    pub kind: String,
    /// The call, text or form it is about.
    pub contact_id: Option<String>,
    /// The event that caused it.
    pub event_id: EventId,
    /// One sentence for a person.
    pub text: String,
    /// When, by the epoch's clock.
    pub at: Millis,
}

avro_record!(LeadEvent, "lead_event", ["v1"]);
