//! The commit frame: all that one epoch of one partition changes, as one record.

use bytes::Bytes;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::avro::{self, AvroError, AvroRecord as _, avro_record};
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
    pub outputs: Vec<FrameOutput>,
    /// Whether its owner let the partition go with it: nothing of that owner runs any more.
    pub released: bool,
    /// Whether it is the last of this layout: nothing is committed behind it, and the rows are handed over to the next.
    pub drained: bool,
}

avro_record!(CommitFrame, "commit_frame", ["v1", "v2", "v3", "v4"]);

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
    pub outputs: &'a [FrameOutput],
    pub released: bool,
    pub drained: bool,
}

impl FrameParts<'_> {
    /// The frame as [`avro::encode`] would encode it.
    pub fn encode(&self) -> Result<Vec<u8>, AvroError> {
        // Lengths and tags take a few bytes a row; too much room costs less than growing.
        let rows = self.rows.iter().map(|row| row.key.len() + row.value.as_ref().map_or(0, Bytes::len) + 8);
        let outputs = self.outputs.iter().map(|output| output.key.len() + output.value.len() + 12);
        let mut frame = Vec::with_capacity(rows.chain(outputs).sum::<usize>() + 128);
        avro::append_as::<CommitFrame>(self, &mut frame)?;
        Ok(frame)
    }
}

impl CommitFrame {
    /// The records for the output topics, whole.
    ///
    /// Fails where one is told by a row that is not there.
    pub fn outputs(&self) -> Result<Vec<Output>, AvroError> {
        self.outputs.iter().map(|output| output.whole(&self.rows)).collect()
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

impl RowChange {
    /// Bytes in front of a value's datum: when it expires, and its schema's version.
    pub const HEADER_BYTES: usize = 9;

    /// The row as an Avro datum; none = deleted.
    fn datum(&self) -> Option<&[u8]> {
        self.value.as_ref()?.get(Self::HEADER_BYTES..)
    }
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

/// A record for an output topic, as it stands in a frame: a call or a lead is a row of state too, and a frame has it once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "Output")]
pub struct FrameOutput {
    /// The topic.
    pub topic: Topic,
    /// The record's key: upserts with the same key replace each other.
    pub key: Bytes,
    /// The record as single-object Avro; empty = tombstone. Its header alone where a row has the rest.
    pub value: Bytes,
    /// The row, by its place in `rows`, whose datum follows the header.
    pub row: Option<i32>,
}

/// Shorter records are written once more: looking for a row costs more.
const REPEATED_BYTES_MIN: usize = 256;

impl FrameOutput {
    /// Records as they stand in a frame with these rows.
    pub fn of(outputs: &[Output], rows: &[RowChange]) -> Vec<Self> {
        let is_long = |datum: &&[u8]| datum.len() >= REPEATED_BYTES_MIN;
        let numbered = (0_i32..).zip(rows);
        let places: HashMap<&[u8], i32> =
            numbered.filter_map(|(at, row)| Some((row.datum().filter(is_long)?, at))).collect();
        let told = |output: &Output| {
            let datum = output.value.get(avro::HEADER_BYTES..).filter(is_long);
            let row = datum.and_then(|datum| places.get(datum).copied());
            let bytes = if row.is_some() { avro::HEADER_BYTES } else { output.value.len() };
            Self { topic: output.topic, key: output.key.clone(), value: output.value.slice(..bytes), row }
        };
        outputs.iter().map(told).collect()
    }

    fn whole(&self, rows: &[RowChange]) -> Result<Output, AvroError> {
        let value = match self.row {
            None => self.value.clone(),
            Some(at) => {
                let row = usize::try_from(at).ok().and_then(|at| rows.get(at));
                let datum = row.and_then(RowChange::datum).ok_or_else(|| AvroError::Malformed {
                    record: CommitFrame::NAME,
                    why: format!(
                        "a record of topic {} has the datum of row {at}, which is not there",
                        self.topic
                    ),
                })?;
                [&self.value, datum].concat().into()
            }
        };
        Ok(Output { topic: self.topic, key: self.key.clone(), value })
    }
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
            let frame: CommitFrame = avro::decode_datum(4, &datum).unwrap();
            let CommitFrame { generation, partition, number, inbound_next, replies_next, released, drained, .. } = frame;
            let CommitFrame { now, settings_version, watermark, rows, outputs, .. } = &frame;
            let (now, settings_version, watermark) = (*now, *settings_version, *watermark);
            let parts = FrameParts { generation, partition, number, inbound_next, replies_next, now, settings_version, watermark, rows, outputs, released, drained };
            prop_assert_eq!(parts.encode().unwrap(), avro::encode(&frame).unwrap());
        }
    }

    fn frame(rows: Vec<RowChange>, outputs: &[Output]) -> CommitFrame {
        let outputs = FrameOutput::of(outputs, &rows);
        CommitFrame {
            generation: 1,
            partition: Partition(0),
            number: CommitNumber(1),
            inbound_next: Offset(1),
            replies_next: Offset(0),
            now: Millis(0),
            settings_version: 0,
            watermark: Millis(0),
            rows,
            outputs,
            released: false,
            drained: false,
        }
    }

    fn row(key: &'static str, datum: &[u8]) -> RowChange {
        let value = [&[0; RowChange::HEADER_BYTES], datum].concat();
        RowChange { key: key.into(), value: Some(value.into()) }
    }

    fn output(topic: Topic, key: &'static str, datum: &[u8]) -> Output {
        Output { topic, key: key.into(), value: [&[7; avro::HEADER_BYTES], datum].concat().into() }
    }

    #[test]
    fn a_record_that_is_a_row_too_is_in_a_frame_once() {
        let (call, lead, line) = ([1; 2_000], [2; 1_000], [3; 20]);
        let deleted = RowChange { key: "gone".into(), value: None };
        let rows = vec![row("call", &call), deleted, row("lead", &lead), row("line", &line)];
        let outputs = [
            output(Topic::Leads, "lead", &lead),
            output(Topic::Calls, "call", &call),
            output(Topic::Calls, "another", &[4; 500]),
            output(Topic::Requests, "line", &line),
            Output { topic: Topic::Calls, key: "erased".into(), value: Bytes::new() },
        ];
        let made = frame(rows, &outputs);
        assert_eq!(
            made.outputs.iter().map(|output| output.row).collect::<Vec<_>>(),
            [Some(2), Some(0), None, None, None]
        );
        let encoded = avro::encode(&made).unwrap();
        assert!(encoded.len() < 4_000, "{} bytes of 3,500 in rows and records that differ", encoded.len());
        let read: CommitFrame = avro::decode(&encoded).unwrap();
        assert_eq!(read.outputs().unwrap(), outputs);
    }

    #[test]
    fn a_record_of_a_row_that_is_not_there_is_refused() {
        let call = [1; 2_000];
        let made = frame(vec![row("call", &call)], &[output(Topic::Calls, "call", &call)]);
        for rows in [vec![], vec![RowChange { key: "call".into(), value: None }]] {
            let error = CommitFrame { rows, ..made.clone() }.outputs().unwrap_err();
            assert!(error.to_string().contains("row 0, which is not there"), "{error}");
        }
    }
}
