//! Inspect: what a log's files hold, for `leadline log inspect`. It checks every frame and changes nothing.
//!
//! Beside a running log the newest segment is seen as it is at that moment: a group being written looks like a
//! torn tail, which is no damage.

use std::fmt;

use leadline_schemas::{Millis, Offset, Partition, Topic};
use serde::Serialize;

use super::error::{Damage, OpenError};
use super::header::{SegmentHeader, segment_name, segment_number};
use super::recovery::{scan_newest, scan_sealed};
use super::slots::Slots;
use crate::contract::disk::{Disk, DiskFile};

/// One segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentReport {
    /// Its file.
    pub file: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// The first byte behind its last frame; 0 if that is not known.
    pub end: u64,
    /// Whether a later segment says where it ends.
    pub sealed: bool,
    /// Its life, in hex.
    pub incarnation: String,
    /// When it was begun.
    pub created_at: Millis,
    /// The sequence of its first frame, and of the one that follows its last.
    pub first_sequence: u64,
    /// The sequence that follows its last frame.
    pub next_sequence: u64,
    /// What it holds.
    pub holds: Vec<Holding>,
    /// What is wrong with it, with its place.
    pub damage: Option<Damage>,
}

/// What a segment holds of one topic and partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holding {
    /// Topic.
    pub topic: Topic,
    /// Partition.
    pub partition: Partition,
    /// The first offset; commits are counted from 0 here, their numbers from 1.
    pub first: Offset,
    /// How many records or commits.
    pub count: u64,
    /// Bytes of their frames.
    pub bytes: u64,
}

/// Checks every frame of every segment, oldest first. `progress` hears bytes done and bytes in all.
pub fn inspect(disk: &dyn Disk, mut progress: impl FnMut(u64, u64)) -> Result<Vec<SegmentReport>, OpenError> {
    let names = disk.list().map_err(OpenError::disk("list its folder"))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    let mut found = Vec::with_capacity(numbers.len());
    for number in numbers {
        let doing = || format!("read {}", segment_name(number));
        let file = disk.open(&segment_name(number)).map_err(OpenError::disk(doing()))?;
        let bytes = file.length().map_err(OpenError::disk(doing()))?;
        found.push((number, bytes, SegmentHeader::read(file.as_ref(), number)));
    }
    let (total, mut done) = (found.iter().map(|(_, bytes, _)| bytes).sum(), 0);
    let mut reports = Vec::with_capacity(found.len());
    let mut later = found.iter().skip(1);
    for (number, bytes, header) in &found {
        let next = later.next();
        let recorded = next.and_then(|(.., header)| Some(header.as_ref().ok()?.predecessor?.end));
        let mut report = match header {
            Err(what) => SegmentReport::unreadable(*number, *bytes, what.clone()),
            Ok(header) => {
                let opening = OpenError::disk(format!("open {}", segment_name(*number)));
                let file = disk.open(&segment_name(*number)).map_err(opening)?;
                check(file.as_ref(), header, *bytes, recorded)?
            }
        };
        report.sealed = next.is_some();
        if next.is_some_and(|(next, ..)| *next != number + 1) {
            let file = segment_name(number + 1);
            let missing = Damage { file, position: 0, what: "the file is missing".to_owned() };
            report.damage = report.damage.or(Some(missing));
        }
        reports.push(report);
        done += bytes;
        progress(done, total);
    }
    Ok(reports)
}

fn check(
    file: &dyn DiskFile,
    header: &SegmentHeader,
    bytes: u64,
    recorded: Option<u64>,
) -> Result<SegmentReport, OpenError> {
    let mut report = SegmentReport {
        incarnation: format!("{:016x}", header.incarnation),
        created_at: header.created_at,
        first_sequence: header.first_sequence,
        next_sequence: header.first_sequence,
        end: recorded.unwrap_or(0),
        damage: None,
        ..SegmentReport::unreadable(header.number, bytes, String::new())
    };
    let scanned = match recorded {
        Some(end) => scan_sealed(file, header, end),
        None => scan_newest(file, header, bytes),
    };
    let scan = match scanned {
        Ok(scan) => scan,
        Err(OpenError::Damaged(damage)) => {
            report.damage = Some(damage);
            return Ok(report);
        }
        Err(other) => return Err(other),
    };
    report.end = scan.end;
    report.next_sequence = scan.next_sequence;
    let slots = Slots { partitions: header.partitions };
    for (slot, entries) in scan.index.iter() {
        let (topic, partition) = slots.place(slot);
        let bytes = entries.iter().map(|entry| u64::from(entry.bytes)).sum();
        let (first, count) = (Offset(header.base(slot)), entries.len() as u64);
        report.holds.push(Holding { topic, partition, first, count, bytes });
    }
    Ok(report)
}

impl SegmentReport {
    fn unreadable(number: u64, bytes: u64, what: String) -> Self {
        Self {
            file: segment_name(number),
            bytes,
            end: 0,
            sealed: false,
            incarnation: String::new(),
            created_at: Millis(0),
            first_sequence: 0,
            next_sequence: 0,
            holds: Vec::new(),
            damage: Some(Damage { file: segment_name(number), position: 0, what }),
        }
    }
}

/// One line for the segment, one for each topic and partition in it, one for its damage.
impl fmt::Display for SegmentReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.sealed { "sealed" } else { "newest" };
        write!(f, "{} {state}, {} bytes, frames to byte {}, ", self.file, self.bytes, self.end)?;
        write!(f, "sequences {}..{}, ", self.first_sequence, self.next_sequence)?;
        write!(f, "begun {}, incarnation {}", self.created_at, self.incarnation)?;
        for held in &self.holds {
            let end = held.first.0 + held.count;
            write!(f, "\n  {}/{} {}..{end}, {} bytes", held.topic, held.partition, held.first, held.bytes)?;
        }
        match &self.damage {
            Some(damage) => write!(f, "\n  {damage}"),
            None => Ok(()),
        }
    }
}
