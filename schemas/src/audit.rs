//! Decisions that must be auditable: topic `audit`.

use serde::{Deserialize, Serialize};

use crate::avro::avro_record;
use crate::{EventId, Millis, TenantId};

/// One line of the audit log. `schemas/avro/audit/`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// The tenant.
    pub tenant: TenantId,
    /// Hash of what it is about and what happened.
    pub id: EventId,
    /// `transcription_skipped`, `scored_by_fallback`, `late_event`, `delivery_skipped`, ...
    pub kind: String,
    /// The call, lead or delivery it is about.
    pub subject: String,
    /// One sentence for a person.
    pub text: String,
    /// The event that caused it.
    pub event_id: EventId,
    /// When, by the epoch's clock.
    pub at: Millis,
}

avro_record!(Audit, "audit", ["v1"]);
