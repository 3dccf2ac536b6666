//! Recovery: what the files say the log is, and where its torn tail is cut.

use std::collections::VecDeque;
use std::sync::Arc;

use super::error::{Damage, OpenError};
use super::header::{SegmentHeader, segment_name, segment_number};
use super::scan::{Stop, later_frame_proves, scan};
use super::segment::Segment;
use super::slots::Slots;
use crate::contract::disk::{Disk, DiskFile};

/// The log as the disk has it; every segment is sealed, for a start always opens a new one.
pub(crate) struct Recovered {
    pub(crate) sealed: VecDeque<Arc<Segment>>,
    pub(crate) next: Vec<u64>,
    pub(crate) next_sequence: u64,
    /// Bytes behind the last whole record that were cut off.
    pub(crate) cut_bytes: u64,
}

/// Reads headers and the newest segment; older segments are believed up to the end their successors recorded.
pub(crate) fn recover(disk: &dyn Disk, partitions: u16) -> Result<Recovered, OpenError> {
    let slots = Slots { partitions };
    let mut numbers: Vec<u64> = disk
        .list()
        .map_err(OpenError::disk("list its folder"))?
        .iter()
        .filter_map(|name| segment_number(name))
        .collect();
    numbers.sort_unstable();
    let mut opened = Vec::with_capacity(numbers.len());
    for number in numbers {
        opened.push(open_segment(disk, number, partitions)?);
    }
    check_chain(&opened)?;
    let Some((newest, file)) = opened.pop() else {
        let sealed = VecDeque::new();
        return Ok(Recovered { sealed, next: vec![0; slots.count()], next_sequence: 1, cut_bytes: 0 });
    };
    let mut sealed: VecDeque<Arc<Segment>> = VecDeque::new();
    let ends = opened.iter().skip(1).map(|(header, _)| header).chain([&newest]);
    let ends: Vec<u64> = ends.map(|next| next.predecessor.map_or(0, |before| before.end)).collect();
    for ((header, file), end) in opened.into_iter().zip(ends) {
        sealed.push_back(Arc::new(Segment::new(header, file, end, None)));
    }
    let (segment, next_sequence, cut_bytes) = recover_newest(newest, file)?;
    let index = segment.index().map_err(OpenError::Damaged)?;
    let next = (0..slots.count()).map(|slot| segment.header.base(slot) + index.count(slot)).collect();
    sealed.push_back(Arc::new(segment));
    Ok(Recovered { sealed, next, next_sequence, cut_bytes })
}

fn open_segment(
    disk: &dyn Disk,
    number: u64,
    partitions: u16,
) -> Result<(SegmentHeader, Arc<dyn DiskFile>), OpenError> {
    let name = segment_name(number);
    let file = disk.open(&name).map_err(OpenError::disk(format!("open {name}")))?;
    let header = SegmentHeader::read(&*file, number)
        .map_err(|what| OpenError::Damaged(Damage { file: name, position: 0, what }))?;
    if header.partitions != partitions {
        return Err(OpenError::Partitions { found: header.partitions, asked: partitions });
    }
    Ok((header, Arc::from(file)))
}

/// Numbers without gaps, each successor naming the incarnation before it.
fn check_chain(opened: &[(SegmentHeader, Arc<dyn DiskFile>)]) -> Result<(), OpenError> {
    for ((before, _), (after, _)) in opened.iter().zip(opened.iter().skip(1)) {
        let damage =
            |what: String| OpenError::Damaged(Damage { file: segment_name(after.number), position: 0, what });
        if after.number != before.number + 1 {
            return Err(damage(format!("segment {} is missing before it", after.number - 1)));
        }
        if after.predecessor.map(|named| named.incarnation) != Some(before.incarnation) {
            return Err(damage("it does not continue the segment before it".to_owned()));
        }
    }
    Ok(())
}

/// Finds the end of the newest segment. A bad frame is a torn tail unless a later frame says it had been synced.
fn recover_newest(header: SegmentHeader, file: Arc<dyn DiskFile>) -> Result<(Segment, u64, u64), OpenError> {
    let name = segment_name(header.number);
    let reading = || OpenError::disk(format!("read {name}"));
    let length = file.length().map_err(reading())?;
    let found = scan(&*file, &header, length).map_err(reading())?;
    let mut cut_bytes = 0;
    if let Stop::Bad { position, sequence, what } = &found.stop {
        if later_frame_proves(&*file, &header, position + 1, *sequence, length).map_err(reading())? {
            let what = format!("{what}, and a later frame says that it had been written and synced");
            return Err(OpenError::Damaged(Damage { file: name, position: *position, what }));
        }
        cut_bytes = position - found.end;
    }
    // What was found was read from memory perhaps: it must be on disk before anything is built on it.
    file.sync_data().map_err(OpenError::disk(format!("sync {name}")))?;
    let index = Some(Arc::new(found.index));
    Ok((Segment::new(header, file, found.end, index), found.next_sequence, cut_bytes))
}
