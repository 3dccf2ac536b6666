//! Recovery: what the files say the log is, and where its torn tail is cut.

use std::collections::VecDeque;
use std::sync::Arc;

use super::error::{Damage, OpenError};
use super::header::{SegmentHeader, segment_name, segment_number};
use super::index::Index;
use super::scan::{Behind, Scan, Stop, scan};
use super::segment::Segment;
use super::slots::Slots;
use crate::contract::disk::{Disk, DiskFile};

/// The log as the disk has it; every segment is sealed, for a start always opens a new one.
pub(crate) struct Recovered {
    pub(crate) sealed: VecDeque<Arc<Segment>>,
    /// The index of the newest, which has no footer yet.
    pub(crate) newest: Option<Index>,
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
    let Some(newest) = opened.pop() else {
        let next = vec![0; slots.count()];
        return Ok(Recovered { sealed: VecDeque::new(), newest: None, next, next_sequence: 1, cut_bytes: 0 });
    };
    let mut sealed: VecDeque<Arc<Segment>> = VecDeque::new();
    let ends =
        opened.iter().skip(1).chain([&newest]).map(|next| next.header.predecessor.map_or(0, |it| it.end));
    let ends: Vec<u64> = ends.collect();
    for (opened, end) in opened.into_iter().zip(ends) {
        let Opened { header, file, bytes } = opened;
        sealed.push_back(Arc::new(Segment { header, file, end, bytes }));
    }
    let (found, cut_bytes) = recover_newest(&newest)?;
    // What was found was read from memory perhaps: it must be on disk before anything is built on it, its name too.
    let synced = newest.file.sync_data().and_then(|()| disk.sync_folder());
    synced.map_err(OpenError::disk("sync what it has recovered"))?;
    let Opened { header, file, bytes } = newest;
    let next = (0..slots.count()).map(|slot| header.base(slot) + found.index.count(slot)).collect();
    sealed.push_back(Arc::new(Segment { header, file, end: found.end, bytes }));
    Ok(Recovered { sealed, newest: Some(found.index), next, next_sequence: found.next_sequence, cut_bytes })
}

/// A segment whose header is right.
struct Opened {
    header: SegmentHeader,
    file: Arc<dyn DiskFile>,
    bytes: u64,
}

fn open_segment(disk: &dyn Disk, number: u64, partitions: u16) -> Result<Opened, OpenError> {
    let name = segment_name(number);
    let file = disk.open(&name).map_err(OpenError::disk(format!("open {name}")))?;
    let header = SegmentHeader::read(&*file, number).map_err(OpenError::Damaged)?;
    if header.partitions != partitions {
        return Err(OpenError::Partitions { found: header.partitions, asked: partitions });
    }
    let bytes = file.length().map_err(OpenError::disk(format!("measure {name}")))?;
    Ok(Opened { header, file: Arc::from(file), bytes })
}

/// Numbers without gaps, each successor naming the incarnation before it and an end that it can have.
fn check_chain(opened: &[Opened]) -> Result<(), OpenError> {
    for (before, after) in opened.iter().zip(opened.iter().skip(1)) {
        let number = after.header.number;
        let damage =
            |what: String| OpenError::Damaged(Damage { file: segment_name(number), position: 0, what });
        if number != before.header.number + 1 {
            return Err(damage(format!("segment {} is missing before it", number - 1)));
        }
        let named = after.header.predecessor.filter(|named| named.incarnation == before.header.incarnation);
        let Some(named) = named else {
            return Err(damage("it does not continue the segment before it".to_owned()));
        };
        if !(before.header.frames_at()..=before.header.file_bytes).contains(&named.end) {
            return Err(damage(format!("it says that the segment before it ends at byte {}", named.end)));
        }
    }
    Ok(())
}

/// Finds the end of the newest segment, and how many bytes behind it are void. A bad frame is a torn tail unless a
/// later frame says it had been synced.
fn recover_newest(newest: &Opened) -> Result<(Scan, u64), OpenError> {
    let Opened { header, file, .. } = newest;
    let name = segment_name(header.number);
    let reading = || OpenError::disk(format!("read {name}"));
    let found = scan(&**file, header, header.file_bytes).map_err(reading())?;
    let Stop::Bad { position, sequence, what } = &found.stop else { return Ok((found, 0)) };
    let behind = Behind::search(&**file, header, *position, header.file_bytes).map_err(reading())?;
    if behind.synced >= *sequence {
        let what = format!("{what}, and a later frame says that it had been written and synced");
        return Err(OpenError::Damaged(Damage { file: name, position: *position, what }));
    }
    let cut_bytes = behind.end.max(*position) - found.end;
    Ok((found, cut_bytes))
}
