//! The commit frame: all that one epoch of one partition changes, as one record.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::avro::avro_record;
use crate::{CommitNumber, Millis, Offset, Partition, Topic};

/// One epoch of one partition, all or nothing. `schemas/avro/commit_frame/`; topic `state`.
///
/// Jobs, timers and deliveries are rows like any other, so a frame has no parts of its own for them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommitFrame {
    /// The layout it was made under.
    pub generation: u32,
    /// The partition.
    pub partition: Partition,
    /// Contiguous per partition, from 1.
    pub number: CommitNumber,
    /// The first inbound offset that it does not cover.
    pub inbound_next: Offset,
    /// The first replies offset that it does not cover.
    pub replies_next: Offset,
    /// The epoch's clock.
    pub now: Millis,
    /// The settings it ran under.
    pub settings_version: u64,
    /// Up to where event time is complete.
    pub watermark: Millis,
    /// Rows of state, in the order of their keys; no value = deleted.
    pub rows: Vec<RowChange>,
    /// Records for the output topics, in the order in which they came about.
    pub outputs: Vec<Output>,
}

avro_record!(CommitFrame, "commit_frame", ["v1"]);

/// A changed row of state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowChange {
    /// The whole key.
    pub key: Bytes,
    /// The new value, with its expiry and schema in front; none = deleted.
    pub value: Option<Bytes>,
}

/// A record for an output topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The topic.
    pub topic: Topic,
    /// The record's key: upserts with the same key replace each other.
    pub key: Bytes,
    /// The record as single-object Avro; empty = tombstone.
    pub value: Bytes,
}
