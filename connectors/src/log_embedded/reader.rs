//! Reader: records from the tails in memory, or from the segments on disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use leadline_schemas::{Offset, Partition, Topic};

use super::error::{Damage, OpenError};
use super::frame::{FRAME_HEADER_BYTES, FrameHeader, Kind};
use super::index::Entry;
use super::segment::Segment;
use super::shared::Shared;
use crate::contract::disk::DiskFile;
use crate::contract::log::{Chunk, ReadError, Record};

/// Records of other partitions up to this size are read along instead of paying for another call.
const GAP_BYTES_MAX: u64 = 16 << 10;

/// The most that one call to the disk reads, except for a single larger record or commit.
const RUN_BYTES_MAX: u64 = 1 << 20;

/// The place of a read: a topic and partition with its slot.
#[derive(Clone, Copy)]
struct At {
    topic: Topic,
    partition: Partition,
    slot: usize,
}

impl Shared {
    pub(crate) fn slot(&self, topic: Topic, partition: Partition) -> Result<usize, ReadError> {
        self.slots.of(topic, partition).ok_or_else(|| {
            ReadError::Unavailable(if topic.is_output() {
                format!("{topic} is not stored apart in the embedded log: read the frames of state")
            } else {
                format!("the log has no partition {topic}/{partition}")
            })
        })
    }

    pub(crate) fn range(&self, topic: Topic, partition: Partition) -> Result<(Offset, Offset), ReadError> {
        let stream = self.streams.get(self.slot(topic, partition)?);
        Ok(stream.map_or((Offset(0), Offset(0)), |stream| (Offset(stream.first()), Offset(stream.next()))))
    }

    pub(crate) fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit_bytes: usize,
    ) -> Result<Chunk, ReadError> {
        let at = At { topic, partition, slot: self.slot(topic, partition)? };
        let Some(stream) = self.streams.get(at.slot) else { return Ok(Chunk::default()) };
        loop {
            let first = stream.first();
            if from.0 < first {
                return Err(ReadError::Dropped { topic, partition, asked: from, first: Offset(first) });
            }
            let end = stream.next();
            if from.0 >= end {
                return Ok(Chunk { records: Vec::new(), next: from, end: Offset(end) });
            }
            let values = match stream.tail(from.0, limit_bytes) {
                Some(values) => values,
                None => match self.read_cold(at, from.0, limit_bytes) {
                    Ok(Some(values)) => values,
                    // The segment was sealed or dropped meanwhile: look again.
                    Ok(None) => continue,
                    Err(_) if stream.first() > from.0 => continue,
                    Err(error) => return Err(error),
                },
            };
            return Ok(chunk(from.0, values, stream.next()));
        }
    }

    fn read_cold(&self, at: At, from: u64, limit_bytes: usize) -> Result<Option<Vec<Bytes>>, ReadError> {
        self.counts.cold_reads.fetch_add(1, Ordering::Relaxed);
        let segments = self.segments();
        let behind = segments.partition_point(|segment| segment.header.base(at.slot) <= from);
        let Some(segment) = behind.checked_sub(1).and_then(|found| segments.get(found)) else {
            return Ok(None);
        };
        let Ok(skip) = usize::try_from(from - segment.header.base(at.slot)) else { return Ok(None) };
        let choose = |file: &Arc<dyn DiskFile>, entries: &[Entry]| {
            (Arc::clone(file), chosen(entries.get(skip..).unwrap_or(&[]), limit_bytes))
        };
        let live = segment.with_live(|live| choose(&live.file, live.index.entries(at.slot)));
        let (file, entries) = match live {
            Some(found) => found,
            None if segment.end().is_none() => return Ok(None),
            None => {
                let opened = self.opened.get(segment, self.disk.as_ref()).map_err(refuse)?;
                choose(&opened.file, opened.index.entries(at.slot))
            }
        };
        if entries.is_empty() {
            return Ok(None);
        }
        let mut values = Vec::with_capacity(entries.len());
        let mut rest = entries.as_slice();
        while let Some((run, behind)) = rest.split_at_checked(run_length(rest)).filter(|_| !rest.is_empty()) {
            let next = from + values.len() as u64;
            read_run(file.as_ref(), segment, at, next, run, &mut values)?;
            rest = behind;
        }
        Ok(Some(values))
    }
}

fn chunk(from: u64, values: Vec<Bytes>, end: u64) -> Chunk {
    let next = Offset(from + values.len() as u64);
    let records = (from..).zip(values).map(|(offset, value)| Record { offset: Offset(offset), value });
    Chunk { records: records.collect(), next, end: Offset(end) }
}

/// As many entries as `limit_bytes` allows, at least one.
fn chosen(entries: &[Entry], limit_bytes: usize) -> Vec<Entry> {
    let mut bytes = 0_usize;
    let fits = |entry: &&Entry| {
        bytes = bytes.saturating_add((entry.bytes as usize).saturating_sub(FRAME_HEADER_BYTES));
        bytes <= limit_bytes
    };
    let count = entries.iter().take_while(fits).count().max(1).min(entries.len());
    entries.get(..count).unwrap_or(&[]).to_vec()
}

/// How many entries one call to the disk reads.
fn run_length(entries: &[Entry]) -> usize {
    let Some(first) = entries.first() else { return 0 };
    let start = u64::from(first.position);
    let mut end = start + u64::from(first.bytes);
    let joins = |entry: &&Entry| {
        let (from, to) = (u64::from(entry.position), u64::from(entry.position) + u64::from(entry.bytes));
        let joins = from.saturating_sub(end) <= GAP_BYTES_MAX && to - start <= RUN_BYTES_MAX;
        end = to;
        joins
    };
    1 + entries.iter().skip(1).take_while(joins).count()
}

fn read_run(
    file: &dyn DiskFile,
    segment: &Segment,
    at: At,
    from: u64,
    run: &[Entry],
    values: &mut Vec<Bytes>,
) -> Result<(), ReadError> {
    let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
    let start = u64::from(first.position);
    let bytes = u64::from(last.position) + u64::from(last.bytes) - start;
    let mut buffer = vec![0; usize::try_from(bytes).unwrap_or(0)];
    if let Err(error) = file.read_at(&mut buffer, start) {
        return Err(match error.kind() {
            std::io::ErrorKind::UnexpectedEof => damage(segment, start, "the file ends before its records"),
            _ => ReadError::Unavailable(format!("{} cannot be read: {error}", segment.name())),
        });
    }
    let buffer = Bytes::from(buffer);
    for (offset, entry) in (from..).zip(run) {
        let begin = (entry.position as usize).saturating_sub(first.position as usize);
        let end = begin.saturating_add(entry.bytes as usize).min(buffer.len());
        values.push(value(segment, at, offset, &buffer.slice(begin.min(end)..end), entry)?);
    }
    Ok(())
}

/// Checks the frame or frames of one entry and takes out the value.
fn value(segment: &Segment, at: At, offset: u64, bytes: &Bytes, entry: &Entry) -> Result<Bytes, ReadError> {
    let (kind, place) = match at.topic {
        Topic::State => (Kind::CommitPart, offset + 1),
        _ => (Kind::Record, offset),
    };
    let mut rest = bytes.clone();
    let mut whole = BytesMut::new();
    for part in 1..=u16::MAX {
        let position = u64::from(entry.position) + (bytes.len() - rest.len()) as u64;
        let (header, value_at) = match FrameHeader::decode_frame(&rest) {
            Some((header, value)) => (header, FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + value.len()),
            None => return Err(damage(segment, position, "a frame fails its checksum")),
        };
        let expected = header.kind == kind
            && (header.topic, header.partition) == (at.topic, at.partition)
            && (header.place, header.part) == (place, part)
            && header.incarnation == segment.header.incarnation;
        if !expected {
            return Err(damage(segment, position, "another frame stands where the index says"));
        }
        let value = rest.slice(value_at);
        if header.parts == 1 {
            return Ok(value);
        }
        whole.extend_from_slice(&value);
        if header.part == header.parts {
            return Ok(whole.freeze());
        }
        rest = rest.slice(header.frame_bytes()..);
    }
    Err(damage(segment, u64::from(entry.position), "a commit without a last part"))
}

fn damage(segment: &Segment, position: u64, what: &str) -> ReadError {
    ReadError::Damaged(Damage { file: segment.name(), position, what: what.to_owned() }.to_string())
}

fn refuse(error: OpenError) -> ReadError {
    match error {
        OpenError::Damaged(damage) => ReadError::Damaged(damage.to_string()),
        other => ReadError::Unavailable(other.to_string()),
    }
}
