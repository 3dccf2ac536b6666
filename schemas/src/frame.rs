//! The commit frame: all that one epoch of one partition changes, as one record.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::avro::{self, AvroError, avro_record};
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
    /// Whether its owner let the partition go with it: nothing of that owner runs any more.
    pub released: bool,
    /// Whether it is the last of this layout: nothing is committed behind it, and the rows are handed over to the next.
    pub drained: bool,
}

avro_record!(CommitFrame, "commit_frame", ["v1", "v2", "v3"]);

/// A frame that is being made: what is large in it is borrowed. Fields as in [`CommitFrame`].
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename = "CommitFrame")]
#[expect(missing_docs, reason = "as in CommitFrame")]
pub struct FrameParts<'a> {
    pub generation: u32,
    pub partition: Partition,
    pub number: CommitNumber,
    pub inbound_next: Offset,
    pub replies_next: Offset,
    pub now: Millis,
    pub settings_version: u64,
    pub watermark: Millis,
    pub rows: &'a [RowChange],
    pub outputs: &'a [Output],
    pub released: bool,
    pub drained: bool,
}

impl FrameParts<'_> {
    /// The frame as [`avro::encode`] would encode it.
    pub fn encode(&self) -> Result<Vec<u8>, AvroError> {
        // Lengths and tags take a few bytes a row; too much room costs less than growing.
        let rows = self.rows.iter().map(|row| row.key.len() + row.value.as_ref().map_or(0, Bytes::len) + 8);
        let outputs = self.outputs.iter().map(|output| output.key.len() + output.value.len() + 8);
        let mut frame = Vec::with_capacity(rows.chain(outputs).sum::<usize>() + 128);
        avro::append_as::<CommitFrame>(self, &mut frame)?;
        Ok(frame)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{any_value, newest_schema, write};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_frame_in_parts_is_the_same_frame(value in any_value::<CommitFrame>()) {
            let datum = write(&newest_schema::<CommitFrame>(), value);
            let frame: CommitFrame = avro::decode_datum(3, &datum).unwrap();
            let CommitFrame { generation, partition, number, inbound_next, replies_next, released, drained, .. } = frame;
            let CommitFrame { now, settings_version, watermark, rows, outputs, .. } = &frame;
            let (now, settings_version, watermark) = (*now, *settings_version, *watermark);
            let parts = FrameParts { generation, partition, number, inbound_next, replies_next, now, settings_version, watermark, rows, outputs, released, drained };
            prop_assert_eq!(parts.encode().unwrap(), avro::encode(&frame).unwrap());
        }
    }
}
