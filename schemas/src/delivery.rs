//! The ledger of deliveries: topic `deliveries`.

use serde::{Deserialize, Serialize};

use crate::avro::avro_record;
use crate::{JobId, LeadId, Millis, TenantId};

/// What one delivery is about: at most one is in flight per key, in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeliveryKey {
    /// The tenant.
    pub tenant: TenantId,
    /// The integration it goes to.
    pub integration: String,
    /// The lead it is about, or an alert's subject.
    pub subject: String,
}

/// Where a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// Waiting for its turn.
    Queued,
    /// A job is out.
    Sending,
    /// The other side has it.
    Done,
    /// Given up until a person or a change lets it go on.
    Parked,
    /// It may or may not have arrived.
    Unclear,
    /// Left out on purpose.
    Skipped,
}

impl DeliveryStatus {
    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Done => "done",
            Self::Parked => "parked",
            Self::Unclear => "unclear",
            Self::Skipped => "skipped",
        }
    }
}

/// One line of the ledger. `schemas/avro/delivery/`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// The tenant.
    pub tenant: TenantId,
    /// The integration.
    pub integration: String,
    /// The lead or alert.
    pub subject: String,
    /// The lead, when it is about one.
    pub lead_id: Option<LeadId>,
    /// `lead`, `missed_call` or `notice`.
    pub kind: String,
    /// The revision of the subject that it carries.
    pub revision: i64,
    /// Where it is.
    pub status: DeliveryStatus,
    /// Why, when that needs saying.
    pub reason: Option<String>,
    /// The job that carries it.
    pub job_id: Option<JobId>,
    /// Attempts so far.
    pub attempts: i32,
    /// The other side's id.
    pub remote_id: Option<String>,
    /// What is sent (JSON); the newest revision replaces a queued one.
    pub payload: String,
    /// First queued, by the epoch's clock.
    pub queued_at: Millis,
    /// When it last changed, by the epoch's clock.
    pub updated_at: Millis,
    /// What was sent and heard last.
    pub exchange: Option<Exchanged>,
    /// How its last jobs ended, oldest first.
    pub tries: Vec<Try>,
    /// Nothing is sent before: quiet hours, or a pause after failures; 0 = nothing waits.
    pub held_until: Millis,
}

avro_record!(Delivery, "delivery", ["v1", "v2"]);

/// What was sent and heard last, masked and bounded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchanged {
    /// The request as people may see it.
    pub request: String,
    /// The answer, or why there is none.
    pub answer: String,
    /// When it ended, by the executor's clock.
    pub at: Millis,
}

/// How one job of a delivery ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    /// When, by the epoch's clock.
    pub at: Millis,
    /// What was sent.
    pub revision: i64,
    /// How many attempts the job took.
    pub attempts: i32,
    /// What came of it.
    pub status: DeliveryStatus,
    /// Why, when that needs saying.
    pub reason: Option<String>,
}

/// What the subject of an alert begins with; its call's id follows.
const MISSED: &str = "missed:";

/// What the subject of a notice begins with: it is filed under the subject itself.
const NOTICES: [&str; 2] = ["callrail:", "integration:"];

/// Whether a delivery is a notice, which is filed under its subject, as a lead is under its caller.
pub fn is_notice(subject: &str) -> bool {
    NOTICES.iter().any(|start| subject.starts_with(start))
}

/// The subject of the notice that leadline has switched an integration off.
pub fn switched_off(integration: &str) -> String {
    format!("integration:{integration}")
}

/// What the subject begins with of what goes out when nobody has reacted; what it is about follows.
const ESCALATED: &str = "escalated:";

/// The subject of what goes out when nobody has reacted to this one: a message of its own, for nobody looks again at one
/// that has changed.
pub fn escalated(subject: &str) -> String {
    format!("{ESCALATED}{subject}")
}

/// What a delivery is about: the lead's id, or [`missed_call`] of a call.
pub fn about(subject: &str) -> &str {
    subject.strip_prefix(ESCALATED).unwrap_or(subject)
}

/// What the subject of a digest's message begins with.
const DIGEST: &str = "digest:";

/// The subject of a digest's message: when it was due, and which of its messages it is, from 1. It stands in no line of the
/// ledger, for each lead has its own.
pub fn digest_part(due: Millis, part: usize) -> String {
    format!("{DIGEST}{due}:{part}")
}

/// Whether a subject is that of a digest's message.
pub fn is_digest_part(subject: &str) -> bool {
    subject.starts_with(DIGEST)
}

/// The subject of the alert that a call was missed.
pub fn missed_call(call_id: &str) -> String {
    format!("{MISSED}{call_id}")
}

impl Delivery {
    /// The call that an alert is about.
    pub fn call_id(&self) -> Option<&str> {
        about(&self.subject).strip_prefix(MISSED)
    }
}
