//! Segment header: who this segment is, where the one before it ends, and the next offset of everything.
//!
//! It is written and synced before the file gets its segment name, so a file of that name always has a whole one.
//! The table of next offsets makes a segment readable on its own: the oldest header says where each topic and
//! partition begins, two neighbours say what lies between them, and nothing is forgotten with a dropped segment.
//! The file's own length is in it too: a file has it before it gets a segment name, so a shorter one was cut later.

use leadline_schemas::Millis;

use super::codec::Fields;
use super::error::Damage;
use super::slots::Slots;
use crate::contract::disk::DiskFile;

const MAGIC: [u8; 8] = *b"LEADSEG1";

/// Frames begin on a block of their own, so that no later write ever touches the header's block.
pub(crate) const BLOCK_BYTES: u64 = 4_096;

/// Magic, CRC32C and length.
const PREFIX_BYTES: usize = 16;

/// The fields before the table of next offsets.
const FIELD_BYTES: usize = 58;

/// No header is larger, whatever its length field says.
const FIELD_BYTES_MAX: usize = FIELD_BYTES + (3 * u16::MAX as usize + 1) * 8;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Segments are numbered from 1, without gaps.
    pub(crate) number: u64,
    pub(crate) incarnation: u64,
    pub(crate) first_sequence: u64,
    /// How long the file was when the segment began.
    pub(crate) file_bytes: u64,
    pub(crate) created_at: Millis,
    pub(crate) predecessor: Option<Predecessor>,
    pub(crate) partitions: u16,
    /// The next offset of each slot when the segment began.
    pub(crate) base: Vec<u64>,
}

/// The segment before, all of it synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Predecessor {
    pub(crate) incarnation: u64,
    /// The first byte behind its last frame.
    pub(crate) end: u64,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut fields = Vec::with_capacity(FIELD_BYTES + self.base.len() * 8);
        fields.extend_from_slice(&self.number.to_le_bytes());
        fields.extend_from_slice(&self.incarnation.to_le_bytes());
        fields.extend_from_slice(&self.first_sequence.to_le_bytes());
        fields.extend_from_slice(&self.file_bytes.to_le_bytes());
        fields.extend_from_slice(&self.created_at.0.to_le_bytes());
        // Byte 0 is never the end of a segment: there is its header.
        let before = self.predecessor.unwrap_or(Predecessor { incarnation: 0, end: 0 });
        fields.extend_from_slice(&before.incarnation.to_le_bytes());
        fields.extend_from_slice(&before.end.to_le_bytes());
        fields.extend_from_slice(&self.partitions.to_le_bytes());
        for next in &self.base {
            fields.extend_from_slice(&next.to_le_bytes());
        }
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&crc32c::crc32c(&fields).to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(fields.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.append(&mut fields);
        bytes
    }

    fn decode(mut fields: Fields<'_>) -> Option<Self> {
        let number = fields.count()?;
        let incarnation = fields.u64()?;
        let first_sequence = fields.count()?;
        let file_bytes = fields.count()?;
        let created_at = Millis(fields.array().map(i64::from_le_bytes)?);
        let before = Predecessor { incarnation: fields.u64()?, end: fields.count()? };
        let partitions = fields.u16()?;
        let slots = Slots { partitions }.count();
        let base = (0..slots).map(|_| fields.count()).collect::<Option<Vec<_>>>()?;
        Some(Self {
            number,
            incarnation,
            first_sequence,
            file_bytes,
            created_at,
            predecessor: (before.end > 0).then_some(before),
            partitions,
            base,
        })
    }

    /// Reads the header of segment `number` and checks that the file is as long as it was made.
    pub(crate) fn read(file: &dyn DiskFile, number: u64) -> Result<Self, Damage> {
        let damage = |position, what: String| Damage { file: segment_name(number), position, what };
        let length =
            file.length().map_err(|error| damage(0, format!("its length cannot be read: {error}")))?;
        let unreadable = |error| damage(0, format!("its header cannot be read: {error}"));
        let mut head = vec![0; usize::try_from(length.min(BLOCK_BYTES)).unwrap_or(0)];
        file.read_at(&mut head, 0).map_err(unreadable)?;
        let short = || damage(length, "its header is cut off".to_owned());
        let mut prefix = Fields(&head);
        let magic = prefix.array::<8>().ok_or_else(short)?;
        if magic != MAGIC {
            return Err(damage(0, "it does not begin like a segment".to_owned()));
        }
        let crc = prefix.u32().ok_or_else(short)?;
        let bytes = prefix.u32().ok_or_else(short)? as usize;
        if length < BLOCK_BYTES {
            return Err(short());
        }
        if bytes > FIELD_BYTES_MAX || PREFIX_BYTES as u64 + bytes as u64 > length {
            return Err(damage(0, "its header has no possible length".to_owned()));
        }
        let mut fields = vec![0; bytes];
        match prefix.bytes(bytes) {
            Some(there) => fields.copy_from_slice(there),
            None => file.read_at(&mut fields, PREFIX_BYTES as u64).map_err(unreadable)?,
        }
        if crc32c::crc32c(&fields) != crc {
            return Err(damage(0, "its header fails its checksum".to_owned()));
        }
        let header = Self::decode(Fields(&fields)).ok_or_else(short)?;
        if header.number != number {
            return Err(damage(0, format!("its header says it is segment {}", header.number)));
        }
        if length < header.file_bytes {
            return Err(damage(length, format!("it is cut off there, of {} bytes", header.file_bytes)));
        }
        Ok(header)
    }

    /// Where the first frame stands.
    pub(crate) fn frames_at(&self) -> u64 {
        frames_at(self.base.len())
    }

    pub(crate) fn base(&self, slot: usize) -> u64 {
        self.base.get(slot).copied().unwrap_or(0)
    }
}

/// Where the first frame of a segment with this many slots stands.
pub(crate) fn frames_at(slots: usize) -> u64 {
    ((PREFIX_BYTES + FIELD_BYTES + slots * 8) as u64).next_multiple_of(BLOCK_BYTES)
}

pub(crate) fn segment_name(number: u64) -> String {
    format!("segment-{number:020}.log")
}

pub(crate) fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("segment-")?.strip_suffix(".log")?;
    (digits.len() == 20).then(|| digits.parse().ok()).flatten()
}
