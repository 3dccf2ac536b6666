//! What could not be processed: topic `dead_letters`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::avro::avro_record;
use crate::{EventId, Millis, TenantId};

/// What an engine was fed when an operator failed on it; a replay feeds the same again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    /// A record of `inbound`.
    Record,
    /// A record of `replies`.
    Reply,
    /// A timer.
    Timer,
}

/// One dead letter. `schemas/avro/dead_letter/`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Hash of tenant, input and reason: the same failure has one letter.
    pub id: EventId,
    /// The tenant, when the envelope could be read.
    pub tenant: Option<TenantId>,
    /// The operator that failed.
    pub operator: String,
    /// One line: what was wrong, with which value.
    pub reason: String,
    /// What was fed.
    pub input_kind: InputKind,
    /// The input (single-object Avro), where it fits into 1 MiB.
    pub input: Option<Bytes>,
    /// Fingerprint of the input's schema, in hex.
    pub schema: String,
    /// Partition of the input.
    pub partition: i32,
    /// Offset of the input; -1 for timers.
    pub offset: i64,
    /// When the event was accepted, where known.
    pub received_at: Option<Millis>,
    /// When it failed, by the epoch's clock.
    pub failed_at: Millis,
    /// How often it was replayed before.
    pub attempt: i32,
    /// `open`, `replayed`.
    pub status: String,
}

avro_record!(DeadLetter, "dead_letter", ["v1"]);
