//! Recovery: what a folder holds, judged before anything is changed.
//!
//! Every segment but the newest has a successor whose header says where it ends: all frames before that place
//! must be there, whatever lies behind is void. Only the newest is judged by its own frames: where they stop, a
//! later frame that knew the missing one synced makes it damage; without such a witness it is a torn tail.

use std::sync::Arc;

use super::error::{Damage, OpenError};
use super::footer;
use super::header::{Predecessor, SegmentHeader, segment_name, segment_number};
use super::index::Index;
use super::pool::{Prepared, spare_number};
use super::scan::{Scan, Stop, later_frame_proves, scan};
use super::slots::Slots;
use crate::contract::disk::{Disk, DiskFile};

/// What was found, oldest segment first.
pub(crate) struct Recovered {
    pub(crate) segments: Vec<FoundSegment>,
    /// The next offset of each slot.
    pub(crate) next: Vec<u64>,
    pub(crate) next_sequence: u64,
    /// Who the segment to be opened is, and who comes before it.
    pub(crate) number: u64,
    pub(crate) predecessor: Option<Predecessor>,
    pub(crate) spares: Vec<Prepared>,
    /// The number for the next spare.
    pub(crate) spare_number: u64,
    pub(crate) disk_bytes: u64,
}

/// A segment that will not be written to any more.
pub(crate) struct FoundSegment {
    pub(crate) header: SegmentHeader,
    pub(crate) end: u64,
    pub(crate) length: u64,
    /// Present if it had to be scanned: its footer is still to be written.
    pub(crate) index: Option<Index>,
}

/// Reads the folder. `asked` is the number of partitions that the configuration asks for.
pub(crate) fn recover(disk: &dyn Disk, asked: u16, segment_bytes: u64) -> Result<Recovered, OpenError> {
    let names = disk.list().map_err(OpenError::disk("list its folder"))?;
    let headers = read_headers(disk, &names)?;
    if let Some(other) = headers.iter().find(|header| header.partitions != asked) {
        return Err(OpenError::Partitions { found: other.partitions, asked });
    }
    let mut recovered = Recovered {
        segments: Vec::with_capacity(headers.len()),
        next: vec![0; Slots { partitions: asked }.count()],
        next_sequence: 1,
        number: 1,
        predecessor: None,
        spares: Vec::new(),
        spare_number: 0,
        disk_bytes: 0,
    };
    let mut successors = headers.iter().skip(1);
    for header in &headers {
        match successors.next().and_then(|next| next.predecessor) {
            Some(recorded) => recovered.push_sealed(disk, header, recorded.end)?,
            None => recovered.push_newest(disk, header)?,
        }
    }
    recovered.take_spares(disk, &names, segment_bytes)?;
    Ok(recovered)
}

fn read_headers(disk: &dyn Disk, names: &[String]) -> Result<Vec<SegmentHeader>, OpenError> {
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    let mut headers: Vec<SegmentHeader> = Vec::with_capacity(numbers.len());
    for number in numbers {
        let file = open(disk, number)?;
        let header = SegmentHeader::read(file.as_ref(), number).map_err(|what| damage(number, 0, what))?;
        if let Some(before) = headers.last() {
            if before.number + 1 != number {
                return Err(damage(before.number + 1, 0, "the file is missing"));
            }
            if header.predecessor.is_none_or(|named| named.incarnation != before.incarnation) {
                let what = "it does not follow the segment before it: files of two logs are mixed";
                return Err(damage(number, 0, what));
            }
        }
        headers.push(header);
    }
    Ok(headers)
}

impl Recovered {
    fn push_sealed(&mut self, disk: &dyn Disk, header: &SegmentHeader, end: u64) -> Result<(), OpenError> {
        let file = open(disk, header.number)?;
        let length = length(file.as_ref(), header.number)?;
        let index = match footer::read_head(file.as_ref(), end, header.incarnation) {
            Some(_) => None,
            None => Some(scan_sealed(file.as_ref(), header, end)?.index),
        };
        self.disk_bytes += length;
        self.segments.push(FoundSegment { header: header.clone(), end, length, index });
        Ok(())
    }

    fn push_newest(&mut self, disk: &dyn Disk, header: &SegmentHeader) -> Result<(), OpenError> {
        let file = open(disk, header.number)?;
        let length = length(file.as_ref(), header.number)?;
        let found = scan_newest(file.as_ref(), header, length)?;
        if footer::read_head(file.as_ref(), found.end, header.incarnation).is_some() {
            return Err(damage(header.number + 1, 0, "the file is missing: the segment before it is sealed"));
        }
        sync_tail(file.as_ref(), &found).map_err(OpenError::disk("sync the end it found"))?;
        for (slot, next) in self.next.iter_mut().enumerate() {
            *next = header.base(slot) + found.index.count(slot);
        }
        self.next_sequence = found.next_sequence;
        if found.end == header.frames_at() {
            // Nothing in it: the new segment takes its name, place and predecessor, so that idle restarts
            // leave nothing behind.
            self.number = header.number;
            self.predecessor = header.predecessor;
            return Ok(());
        }
        self.number = header.number + 1;
        self.predecessor = Some(Predecessor { incarnation: header.incarnation, end: found.end });
        self.disk_bytes += length;
        self.segments.push(FoundSegment {
            header: header.clone(),
            end: found.end,
            length,
            index: Some(found.index),
        });
        Ok(())
    }

    /// Keeps what was ready, removes what was half made or has another size.
    fn take_spares(
        &mut self,
        disk: &dyn Disk,
        names: &[String],
        segment_bytes: u64,
    ) -> Result<(), OpenError> {
        for name in names {
            let Some((number, ready)) = spare_number(name) else { continue };
            self.spare_number = self.spare_number.max(number + 1);
            let doing = || format!("use {name}");
            if ready {
                let file: Arc<dyn DiskFile> = disk.open(name).map_err(OpenError::disk(doing()))?.into();
                if file.length().map_err(OpenError::disk(doing()))? == segment_bytes {
                    self.disk_bytes += segment_bytes;
                    self.spares.push(Prepared { name: name.clone(), file, bytes: segment_bytes });
                    continue;
                }
            }
            disk.remove(name).map_err(OpenError::disk(doing()))?;
        }
        Ok(())
    }
}

/// Walks a sealed segment; anything but whole frames up to its recorded end is damage.
pub(crate) fn scan_sealed(file: &dyn DiskFile, header: &SegmentHeader, end: u64) -> Result<Scan, OpenError> {
    let found = scan(file, header, end).map_err(|error| {
        damage(header.number, header.frames_at(), format!("it cannot be read to its end at {end}: {error}"))
    })?;
    match found.stop {
        Stop::Limit => Ok(found),
        Stop::Bad { position, what, .. } => Err(damage(header.number, position, what)),
    }
}

/// Walks the newest segment and judges the place where its frames stop.
pub(crate) fn scan_newest(
    file: &dyn DiskFile,
    header: &SegmentHeader,
    length: u64,
) -> Result<Scan, OpenError> {
    let reading = || format!("read {}", segment_name(header.number));
    let found = scan(file, header, length).map_err(OpenError::disk(reading()))?;
    if let Stop::Bad { position, sequence, what } = found.stop
        && later_frame_proves(file, header, position, sequence, length).map_err(OpenError::disk(reading()))?
    {
        return Err(damage(header.number, position, format!("{what}, and later frames know it was synced")));
    }
    Ok(found)
}

/// Writes the unproven frames again before syncing them. After a failed `fdatasync` the kernel may hold pages that
/// read well, count as clean and were never written: another sync alone would call them durable.
fn sync_tail(file: &dyn DiskFile, found: &Scan) -> std::io::Result<()> {
    let mut bytes = vec![0; usize::try_from(found.end - found.unproven_from).unwrap_or(0)];
    if !bytes.is_empty() {
        file.read_at(&mut bytes, found.unproven_from)?;
        file.write_at(&bytes, found.unproven_from)?;
    }
    file.sync_data()
}

fn open(disk: &dyn Disk, number: u64) -> Result<Box<dyn DiskFile>, OpenError> {
    let name = segment_name(number);
    disk.open(&name).map_err(OpenError::disk(format!("open {name}")))
}

fn length(file: &dyn DiskFile, number: u64) -> Result<u64, OpenError> {
    file.length().map_err(OpenError::disk(format!("read {}", segment_name(number))))
}

fn damage(number: u64, position: u64, what: impl Into<String>) -> OpenError {
    OpenError::Damaged(Damage { file: segment_name(number), position, what: what.into() })
}
