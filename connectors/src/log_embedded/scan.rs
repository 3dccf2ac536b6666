//! Scan: walking the frames of one segment in order, checking every one.

use std::io;

use super::frame::{FRAME_HEADER_BYTES, FrameHeader, INCARNATION_AT, Kind};
use super::header::SegmentHeader;
use super::index::{Entry, Index};
use super::slots::Slots;
use crate::contract::disk::DiskFile;

/// How much is read at once: large enough for full disk speed, small beside a segment.
pub(crate) const READ_BYTES: usize = 1 << 20;

/// A file seen through a moving buffer.
struct Window<'f> {
    file: &'f dyn DiskFile,
    limit: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// `count` bytes at `position`; `None` if the file or the recorded end comes before.
    fn at(&mut self, position: u64, count: usize) -> io::Result<Option<&[u8]>> {
        let end = position.saturating_add(count as u64);
        if end > self.limit {
            return Ok(None);
        }
        if position < self.start || end > self.start + self.bytes.len() as u64 {
            let left = usize::try_from(self.limit - position).unwrap_or(usize::MAX);
            self.bytes.resize(count.max(READ_BYTES).min(left), 0);
            self.start = position;
            if let Err(error) = self.file.read_at(&mut self.bytes, position) {
                self.bytes.clear();
                return Err(error);
            }
        }
        let from = usize::try_from(position - self.start).unwrap_or(usize::MAX);
        Ok(self.bytes.get(from..from.saturating_add(count)))
    }
}

/// What a scan found.
pub(crate) struct Scan {
    pub(crate) index: Index,
    /// Behind the last whole record or commit.
    pub(crate) end: u64,
    /// The sequence of the frame that would stand at `end`.
    pub(crate) next_sequence: u64,
    /// Where the last group begins: no frame says that it was synced.
    pub(crate) last_group: u64,
    pub(crate) stop: Stop,
}

/// Why a scan ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// At the limit, with nothing half done.
    Limit,
    /// Before the limit, or with a commit cut off.
    Bad {
        position: u64,
        /// The sequence that was expected there.
        sequence: u64,
        what: &'static str,
    },
}

/// A commit whose parts are still coming.
struct OpenCommit {
    position: u64,
    sequence: u64,
    number: u64,
    parts: u16,
    seen: u16,
}

struct Scanner<'h> {
    header: &'h SegmentHeader,
    slots: Slots,
    index: Index,
    position: u64,
    sequence: u64,
    last_group: u64,
    open: Option<OpenCommit>,
}

/// Walks from the first frame to `limit`, or to the first frame that is not the next one of this incarnation.
pub(crate) fn scan(file: &dyn DiskFile, header: &SegmentHeader, limit: u64) -> io::Result<Scan> {
    let slots = Slots { partitions: header.partitions };
    let mut window = Window { file, limit, start: 0, bytes: Vec::new() };
    let mut scanner = Scanner {
        header,
        slots,
        index: Index::new(slots.count()),
        position: header.frames_at(),
        sequence: header.first_sequence,
        last_group: header.frames_at(),
        open: None,
    };
    let fault = loop {
        if scanner.position == limit {
            break None;
        }
        let Some(head) = window.at(scanner.position, FRAME_HEADER_BYTES)? else {
            break Some("too few bytes for a frame");
        };
        let Some((_, found)) = FrameHeader::decode(head) else {
            break Some("no frame begins here");
        };
        let Some(frame) = window.at(scanner.position, found.frame_bytes())? else {
            break Some("a frame reaches over the end");
        };
        let Some((found, _)) = FrameHeader::decode_frame(frame) else {
            break Some("a frame fails its checksum");
        };
        if let Err(what) = scanner.accept(&found) {
            break Some(what);
        }
    };
    Ok(scanner.finish(fault))
}

impl Scanner<'_> {
    fn accept(&mut self, frame: &FrameHeader) -> Result<(), &'static str> {
        if frame.incarnation != self.header.incarnation {
            return Err("a frame of another incarnation");
        }
        if frame.sequence != self.sequence {
            return Err("a frame that is not the next in sequence");
        }
        match frame.kind {
            Kind::Witness if self.open.is_some() => return Err("a commit is broken off"),
            Kind::Witness => {}
            Kind::Record => self.accept_record(frame)?,
            Kind::CommitPart => self.accept_part(frame)?,
        }
        if frame.synced + 1 == frame.sequence {
            self.last_group = self.position;
        }
        self.position += frame.frame_bytes() as u64;
        self.sequence += 1;
        Ok(())
    }

    fn accept_record(&mut self, frame: &FrameHeader) -> Result<(), &'static str> {
        if self.open.is_some() {
            return Err("a commit is broken off");
        }
        let slot = self.slots.of(frame.topic, frame.partition).ok_or("a record of an unknown partition")?;
        if frame.place != self.next(slot) {
            return Err("a record whose offset is not the next one");
        }
        self.index.push(slot, Entry { position: position32(self.position), bytes: bytes32(frame) });
        Ok(())
    }

    fn accept_part(&mut self, frame: &FrameHeader) -> Result<(), &'static str> {
        let slot = self.slots.of(frame.topic, frame.partition).ok_or("a commit of an unknown partition")?;
        if frame.place != self.next(slot) + 1 {
            return Err("a commit whose number is not the next one");
        }
        let open = self.open.get_or_insert(OpenCommit {
            position: self.position,
            sequence: self.sequence,
            number: frame.place,
            parts: frame.parts,
            seen: 0,
        });
        if frame.part != open.seen + 1 || frame.parts != open.parts || frame.place != open.number {
            return Err("a part of a commit that does not follow");
        }
        open.seen += 1;
        if open.seen == open.parts {
            let bytes = self.position + frame.frame_bytes() as u64 - open.position;
            let entry = Entry { position: position32(open.position), bytes: position32(bytes) };
            self.index.push(slot, entry);
            self.open = None;
        }
        Ok(())
    }

    fn next(&self, slot: usize) -> u64 {
        self.header.base(slot) + self.index.count(slot)
    }

    fn finish(self, fault: Option<&'static str>) -> Scan {
        let (end, next_sequence) = match &self.open {
            Some(open) => (open.position, open.sequence),
            None => (self.position, self.sequence),
        };
        let what = fault.or(self.open.is_some().then_some("a commit is cut off"));
        let stop = what.map_or(Stop::Limit, |what| Stop::Bad {
            position: self.position,
            sequence: self.sequence,
            what,
        });
        Scan { index: self.index, end, next_sequence, last_group: self.last_group, stop }
    }
}

/// Positions fit: segments are at most `SEGMENT_BYTES_MAX`, or made for one call that fits its queue.
fn position32(position: u64) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

fn bytes32(frame: &FrameHeader) -> u32 {
    position32(frame.frame_bytes() as u64)
}

/// What stands behind the end of a scan.
pub(crate) struct Behind {
    /// The highest sequence that a whole frame there says was synced when it was written; 0 if there is none.
    pub(crate) synced: u64,
    /// Behind the last byte that is not zero; 0 if there is none.
    pub(crate) end: u64,
}

impl Behind {
    /// Searches `from..limit`, where a frame may begin at any byte.
    pub(crate) fn search(
        file: &dyn DiskFile,
        header: &SegmentHeader,
        from: u64,
        limit: u64,
    ) -> io::Result<Self> {
        let needle = header.incarnation.to_le_bytes();
        let mut found = Self { synced: 0, end: 0 };
        let mut bytes = vec![0; READ_BYTES];
        let mut position = from;
        while position < limit {
            let count = usize::try_from(limit - position).unwrap_or(usize::MAX).min(READ_BYTES);
            bytes.truncate(count);
            file.read_at(&mut bytes, position)?;
            if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
                found.end = position + last as u64 + 1;
                let hits = bytes.windows(needle.len()).enumerate().filter(|(_, window)| **window == needle);
                for (hit, _) in hits {
                    let frame_at = (position + hit as u64).checked_sub(INCARNATION_AT);
                    if let Some(frame_at) = frame_at.filter(|at| *at >= header.frames_at()) {
                        found.look(file, header, frame_at, limit)?;
                    }
                }
            }
            if position + count as u64 == limit {
                break;
            }
            // The needle may stand across the border of two pieces.
            position += (count - (needle.len() - 1)) as u64;
        }
        Ok(found)
    }

    /// Hears what a frame at this place says, if there is one.
    fn look(&mut self, file: &dyn DiskFile, header: &SegmentHeader, at: u64, limit: u64) -> io::Result<()> {
        if at + FRAME_HEADER_BYTES as u64 > limit {
            return Ok(());
        }
        let mut head = [0; FRAME_HEADER_BYTES];
        file.read_at(&mut head, at)?;
        let Some((_, frame)) = FrameHeader::decode(&head) else { return Ok(()) };
        // Its value is read only if it has something new to say.
        if frame.synced <= self.synced || at + frame.frame_bytes() as u64 > limit {
            return Ok(());
        }
        let mut bytes = vec![0; frame.frame_bytes()];
        file.read_at(&mut bytes, at)?;
        if FrameHeader::decode_frame(&bytes).is_some_and(|(whole, _)| whole.incarnation == header.incarnation)
        {
            self.synced = frame.synced;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use leadline_schemas::{Millis, Partition, Topic};

    use super::*;
    use crate::contract::disk::Disk;
    use crate::disk_simulated::SimulatedDisk;

    #[test]
    fn a_later_frame_is_found_wherever_it_stands() {
        let slots = Slots { partitions: 1 }.count();
        let header = SegmentHeader {
            number: 1,
            incarnation: 0x0123_4567_89ab_cdef,
            first_sequence: 1,
            file_bytes: 3 << 20,
            created_at: Millis(0),
            predecessor: None,
            partitions: 1,
            base: vec![0; slots],
        };
        let mut frame = Vec::new();
        let witness = FrameHeader {
            value_bytes: 3,
            sequence: 9,
            incarnation: header.incarnation,
            synced: 8,
            place: 0,
            kind: Kind::Witness,
            topic: Topic::Inbound,
            partition: Partition(0),
            part: 1,
            parts: 1,
        };
        witness.encode(b"end", &mut frame);
        let (from, limit) = (header.frames_at() + 1, header.file_bytes);
        let border = from + READ_BYTES as u64;
        let near_the_border = (0..80).map(|before| border - before);
        for at in [from, from + 5, limit - frame.len() as u64].into_iter().chain(near_the_border) {
            let file = SimulatedDisk::new().create("segment").unwrap();
            file.set_length(limit).unwrap();
            file.write_at(&frame, at).unwrap();
            let found = Behind::search(&*file, &header, from, limit).unwrap();
            assert_eq!((found.synced, found.end), (8, at + frame.len() as u64), "at byte {at}");
        }
    }
}
