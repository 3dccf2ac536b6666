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
    /// `lead` or `missed_call`.
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
}

avro_record!(Delivery, "delivery", ["v1"]);

/// What the subject of an alert begins with; its call's id follows.
const MISSED: &str = "missed:";

/// The subject of the alert that a call was missed.
pub fn missed_call(call_id: &str) -> String {
    format!("{MISSED}{call_id}")
}

impl Delivery {
    /// The call that an alert is about.
    pub fn call_id(&self) -> Option<&str> {
        self.subject.strip_prefix(MISSED)
    }
}
