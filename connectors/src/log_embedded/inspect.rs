//! Inspect: what a log's files hold, for `leadline log inspect`. Changes nothing.

use std::sync::Arc;

use leadline_schemas::{Offset, Partition, Topic};
use serde::Serialize;

use super::error::{Damage, OpenError};
use super::header::{SegmentHeader, segment_name, segment_number};
use super::scan::{Behind, Stop, scan};
use super::slots::Slots;
use crate::contract::disk::Disk;

/// One segment.
#[derive(Clone, Debug, Serialize)]
pub struct SegmentReport {
    /// Its file.
    pub file: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// The first byte behind its last frame.
    pub end: u64,
    /// Its life, in hex.
    pub incarnation: String,
    /// Its first frame's sequence.
    pub first_sequence: u64,
    /// The sequence behind its last frame.
    pub next_sequence: u64,
    /// Whether a successor says where it ends.
    pub sealed: bool,
    /// Topic, partition, first offset and count of what it holds.
    pub holds: Vec<Holding>,
    /// What is wrong with it, with its place; none when every frame is right.
    pub damage: Option<String>,
}

/// What a segment holds of one topic and partition.
#[derive(Clone, Debug, Serialize)]
pub struct Holding {
    /// Topic.
    pub topic: Topic,
    /// Partition.
    pub partition: Partition,
    /// First offset.
    pub first: Offset,
    /// How many.
    pub count: u64,
}

/// Checks every frame of every segment; `progress` hears bytes done and bytes in all.
pub fn inspect(disk: &dyn Disk, mut progress: impl FnMut(u64, u64)) -> Result<Vec<SegmentReport>, OpenError> {
    let mut numbers: Vec<u64> = disk
        .list()
        .map_err(OpenError::disk("list its folder"))?
        .iter()
        .filter_map(|name| segment_number(name))
        .collect();
    numbers.sort_unstable();
    let mut files = Vec::new();
    for number in numbers {
        let name = segment_name(number);
        let file = disk.open(&name).map_err(OpenError::disk(format!("open {name}")))?;
        let bytes = file.length().map_err(OpenError::disk(format!("measure {name}")))?;
        let header = SegmentHeader::read(&*file, number);
        files.push((name, Arc::<dyn crate::contract::disk::DiskFile>::from(file), bytes, header));
    }
    let (total, mut done) = (files.iter().map(|(_, _, bytes, _)| bytes).sum(), 0);
    let mut reports = Vec::with_capacity(files.len());
    for at in 0..files.len() {
        let Some((name, file, bytes, header)) = files.get(at) else { continue };
        let recorded = files.get(at + 1).and_then(|(.., next)| Some(next.as_ref().ok()?.predecessor?.end));
        reports.push(match header {
            Ok(header) => report(name, &**file, *bytes, header, recorded)?,
            Err(damage) => unreadable(name, *bytes, damage),
        });
        done += bytes;
        progress(done, total);
    }
    Ok(reports)
}

fn report(
    name: &str,
    file: &dyn crate::contract::disk::DiskFile,
    bytes: u64,
    header: &SegmentHeader,
    recorded_end: Option<u64>,
) -> Result<SegmentReport, OpenError> {
    let reading = || OpenError::disk(format!("read {name}"));
    let limit = recorded_end.unwrap_or(bytes).min(bytes);
    let found = scan(file, header, limit).map_err(reading())?;
    let mut damage = recorded_end.filter(|end| *end > bytes).map(|end| {
        format!("{name} at byte {bytes}: it is cut off there, and its successor says that it ends at {end}")
    });
    if let Stop::Bad { position, sequence, what } = &found.stop {
        // Behind a recorded end nothing counts; without one, a later frame may say that this one was synced.
        let synced = match recorded_end {
            Some(_) => true,
            None => Behind::search(file, header, *position, limit).map_err(reading())?.synced >= *sequence,
        };
        if synced {
            damage = Some(format!("{name} at byte {position}: {what}"));
        }
    }
    let slots = Slots { partitions: header.partitions };
    let holds = found.index.iter().map(|(slot, entries)| {
        let (topic, partition) = slots.place(slot);
        Holding { topic, partition, first: Offset(header.base(slot)), count: entries.len() as u64 }
    });
    Ok(SegmentReport {
        file: name.to_owned(),
        bytes,
        end: found.end,
        incarnation: format!("{:016x}", header.incarnation),
        first_sequence: header.first_sequence,
        next_sequence: found.next_sequence,
        sealed: recorded_end.is_some(),
        holds: holds.collect(),
        damage,
    })
}

fn unreadable(name: &str, bytes: u64, damage: &Damage) -> SegmentReport {
    SegmentReport {
        file: name.to_owned(),
        bytes,
        end: 0,
        incarnation: String::new(),
        first_sequence: 0,
        next_sequence: 0,
        sealed: false,
        holds: Vec::new(),
        damage: Some(format!("{name} at byte {}: {}", damage.position, damage.what)),
    }
}
