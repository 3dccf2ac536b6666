//! Cold: reading records that are no longer in memory.

use std::sync::Arc;

use bytes::Bytes;
use leadline_schemas::{Offset, Partition, Topic};

use super::error::Damage;
use super::frame::{FRAME_HEADER_BYTES, FrameHeader};
use super::header::{SegmentHeader, segment_name};
use super::index::{Entry, Index};
use crate::contract::disk::DiskFile;
use crate::contract::log::Record;

/// The most that one read of several records takes in; a single larger record is still read whole.
const RUN_BYTES_MAX: u64 = 1 << 20;

/// Neighbours of one topic and partition in one segment.
pub(crate) struct Cold {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) segment: u64,
    pub(crate) incarnation: u64,
    pub(crate) place: (Topic, Partition),
    /// The offset of the first.
    pub(crate) from: Offset,
    pub(crate) entries: Vec<Entry>,
}

/// What a reader asked for.
pub(crate) struct Wanted {
    pub(crate) place: (Topic, Partition),
    pub(crate) slot: usize,
    pub(crate) from: Offset,
    /// How many records of the slot stand before `from` in the segment.
    pub(crate) skipped: usize,
    pub(crate) limit_bytes: usize,
}

impl Cold {
    /// As many entries as fit the limit, at least one if there is any.
    pub(crate) fn new(
        file: &Arc<dyn DiskFile>,
        header: &SegmentHeader,
        index: &Index,
        wanted: Wanted,
    ) -> Self {
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            let first = bytes == 0;
            bytes += (entry.bytes as usize).saturating_sub(FRAME_HEADER_BYTES).max(1);
            first || bytes <= wanted.limit_bytes
        };
        let behind = index.entries(wanted.slot).get(wanted.skipped..).unwrap_or_default();
        let entries = behind.iter().take_while(fits).copied().collect();
        Self {
            file: Arc::clone(file),
            segment: header.number,
            incarnation: header.incarnation,
            place: wanted.place,
            from: wanted.from,
            entries,
        }
    }

    /// Reads and checks them all.
    pub(crate) fn read(&self) -> Result<Vec<Record>, Damage> {
        let mut records = Vec::with_capacity(self.entries.len());
        let mut left = self.entries.as_slice();
        while let Some(first) = left.first() {
            let (run, rest) = left.split_at(run_length(left));
            let last = run.last().unwrap_or(first);
            let begin = u64::from(first.position);
            let mut bytes = vec![0; usize::try_from(end_of(last) - begin).unwrap_or(usize::MAX)];
            self.file
                .read_at(&mut bytes, begin)
                .map_err(|error| self.damage(begin, format!("it cannot be read: {error}")))?;
            let bytes = Bytes::from(bytes);
            for entry in run {
                let offset = Offset(self.from.0 + records.len() as u64);
                let from = (entry.position - first.position) as usize;
                records.push(Record { offset, value: self.value(&bytes, from, *entry, offset)? });
            }
            left = rest;
        }
        Ok(records)
    }

    pub(crate) fn damage(&self, position: u64, what: impl Into<String>) -> Damage {
        Damage { file: segment_name(self.segment), position, what: what.into() }
    }

    /// The value of a record, or of a commit from all its parts, whose frames begin at `from`; every frame is checked.
    fn value(&self, bytes: &Bytes, from: usize, entry: Entry, offset: Offset) -> Result<Bytes, Damage> {
        let (mut at, end) = (from, from + entry.bytes as usize);
        let mut parts = Vec::new();
        loop {
            let position = u64::from(entry.position) + (at - from) as u64;
            let frame = bytes.get(at..end).and_then(FrameHeader::decode_frame);
            let Some((header, value)) = frame else {
                return Err(self.damage(position, "a frame fails its checksum"));
            };
            if !self.belongs(&header, offset) {
                return Err(self.damage(position, format!("another frame than that of offset {offset}")));
            }
            let part = bytes.slice_ref(value);
            at += header.frame_bytes();
            // Most records are one frame, and stay where they were read to.
            if at >= end && parts.is_empty() {
                return Ok(part);
            }
            parts.push(part);
            if at >= end {
                return Ok(Bytes::from(parts.concat()));
            }
        }
    }

    fn belongs(&self, frame: &FrameHeader, offset: Offset) -> bool {
        let number = if frame.topic == Topic::State { frame.place.checked_sub(1) } else { Some(frame.place) };
        (frame.topic, frame.partition) == self.place
            && number == Some(offset.0)
            && frame.incarnation == self.incarnation
    }
}

fn end_of(entry: &Entry) -> u64 {
    u64::from(entry.position) + u64::from(entry.bytes)
}

/// How many of the first entries are read at once: as long as at most half of what is read belongs to others.
fn run_length(entries: &[Entry]) -> usize {
    let Some(first) = entries.first() else { return 0 };
    let mut own = 0;
    let dense = entries.iter().take_while(|entry| {
        own += u64::from(entry.bytes);
        let span = end_of(entry) - u64::from(first.position);
        span <= RUN_BYTES_MAX && span <= 2 * own
    });
    dense.count().max(1)
}
