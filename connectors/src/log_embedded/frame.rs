//! Frame: one record, one part of a commit, or an empty witness, with a header that says where it belongs.
//!
//! | bytes | field |
//! | --- | --- |
//! | 0..4 | CRC32C of everything behind it, value included |
//! | 4..8 | bytes of the value |
//! | 8..16 | sequence: the frames of the whole log, from 1, without gaps |
//! | 16..24 | incarnation of the segment: frames of another life of the same place never pass for this one's |
//! | 24..32 | the highest sequence known synced when this frame was written |
//! | 32..40 | offset of the record, or number of the commit |
//! | 40, 41, 42..44 | kind, topic, partition |
//! | 44..46, 46..48 | part i (from 1) of k |
//!
//! All numbers are little endian. Frames stand end to end, without padding, so that every bit is under a CRC.

use leadline_schemas::{Partition, Topic};

use super::codec::Fields;
use crate::contract::log::RECORD_BYTES_MAX;

pub(crate) const FRAME_HEADER_BYTES: usize = 48;

/// Where the incarnation stands in a frame: what a search for later frames looks for.
pub(crate) const INCARNATION_AT: u64 = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A record of `inbound`, `replies` or `settings`.
    Record = 1,
    /// A part of a commit.
    CommitPart = 2,
    /// Nothing: it only says, durably, up to where the log was synced.
    Witness = 3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) value_bytes: u32,
    pub(crate) sequence: u64,
    pub(crate) incarnation: u64,
    pub(crate) synced: u64,
    /// Offset of a record, number of a commit, 0 for a witness.
    pub(crate) place: u64,
    pub(crate) kind: Kind,
    pub(crate) topic: Topic,
    pub(crate) partition: Partition,
    /// From 1.
    pub(crate) part: u16,
    pub(crate) parts: u16,
}

impl FrameHeader {
    /// How many bytes the frame takes on disk.
    pub(crate) fn frame_bytes(&self) -> usize {
        FRAME_HEADER_BYTES + self.value_bytes as usize
    }

    /// Appends the frame to `out`.
    pub(crate) fn encode(&self, value: &[u8], out: &mut Vec<u8>) {
        let mut fields = [0_u8; FRAME_HEADER_BYTES - 4];
        let mut rest = fields.as_mut_slice();
        put(&mut rest, &self.value_bytes.to_le_bytes());
        put(&mut rest, &self.sequence.to_le_bytes());
        put(&mut rest, &self.incarnation.to_le_bytes());
        put(&mut rest, &self.synced.to_le_bytes());
        put(&mut rest, &self.place.to_le_bytes());
        put(&mut rest, &[self.kind as u8, self.topic.number()]);
        put(&mut rest, &self.partition.0.to_le_bytes());
        put(&mut rest, &self.part.to_le_bytes());
        put(&mut rest, &self.parts.to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&fields), value);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&fields);
        out.extend_from_slice(value);
    }

    /// Reads a header without its CRC; `None` if its fields cannot be.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(u32, Self)> {
        let mut fields = Fields(bytes);
        let crc = fields.u32()?;
        let header = Self {
            value_bytes: fields.u32()?,
            sequence: fields.count()?,
            incarnation: fields.u64()?,
            synced: fields.count()?,
            place: fields.count()?,
            kind: match fields.u8()? {
                1 => Kind::Record,
                2 => Kind::CommitPart,
                3 => Kind::Witness,
                _ => return None,
            },
            topic: Topic::from_number(fields.u8()?)?,
            partition: Partition(fields.u16()?),
            part: fields.u16()?,
            parts: fields.u16()?,
        };
        (header.value_bytes as usize <= RECORD_BYTES_MAX).then_some((crc, header))
    }

    /// Reads the frame at the start of `bytes` and checks its CRC; `None` if it is not whole or not right.
    pub(crate) fn decode_frame(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (crc, header) = Self::decode(bytes)?;
        let frame = bytes.get(..header.frame_bytes())?;
        let value = frame.get(FRAME_HEADER_BYTES..)?;
        (crc32c::crc32c(frame.get(4..)?) == crc).then_some((header, value))
    }
}

fn put(rest: &mut &mut [u8], field: &[u8]) {
    if let Some((head, tail)) = std::mem::take(rest).split_at_mut_checked(field.len()) {
        head.copy_from_slice(field);
        *rest = tail;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_flipped_bit_passes_for_a_frame() {
        let header = FrameHeader {
            value_bytes: 5,
            sequence: 7,
            incarnation: 0x1122_3344_5566_7788,
            synced: 6,
            place: 3,
            kind: Kind::Record,
            topic: Topic::Replies,
            partition: Partition(9),
            part: 1,
            parts: 1,
        };
        let mut bytes = Vec::new();
        header.encode(b"value", &mut bytes);
        assert_eq!(bytes.len(), header.frame_bytes());
        assert_eq!(FrameHeader::decode_frame(&bytes), Some((header, b"value".as_slice())));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FrameHeader::decode_frame(&bytes), None, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
