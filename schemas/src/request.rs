//! What became of each accepted event: topic `requests`.

use serde::{Deserialize, Serialize};

use crate::avro::avro_record;
use crate::inbound::{EventKind, Origin};
use crate::{EventId, LeadId, Millis, TenantId};

/// Where an accepted event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestStatus {
    /// Waiting for a recording, a transcript or a score.
    Processing,
    /// Its effects are in the record store.
    Done,
    /// Seen before; without effect.
    Duplicate,
    /// It could not be processed; a dead letter explains why.
    Failed,
}

impl RequestStatus {
    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Done => "done",
            Self::Duplicate => "duplicate",
            Self::Failed => "failed",
        }
    }
}

/// One accepted event. `schemas/avro/request/`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The tenant.
    pub tenant: TenantId,
    /// The envelope's id.
    pub request_id: EventId,
    /// Who accepted it.
    pub origin: Origin,
    /// What it is.
    pub kind: EventKind,
    /// Where it is.
    pub status: RequestStatus,
    /// Why it is there, when that needs saying.
    pub reason: Option<String>,
    /// The call, text or form it is about.
    pub call_id: Option<String>,
    /// The lead it touched.
    pub lead_id: Option<LeadId>,
    /// When the source accepted it.
    pub received_at: Millis,
    /// When it last changed, by the epoch's clock.
    pub updated_at: Millis,
}

avro_record!(Request, "request", ["v1"]);
