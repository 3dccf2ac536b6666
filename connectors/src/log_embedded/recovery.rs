//! Recovery: what the files say the log is, and where its torn tail is cut.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use leadline_schemas::sabotage::{self, Bug};

use super::error::{Damage, OpenError};
use super::footer;
use super::header::{SegmentHeader, segment_name, segment_number};
use super::index::Index;
use super::scan::{Behind, READ_BYTES, Scan, Stop, scan};
use super::segment::Segment;
use super::slots::Slots;
use crate::contract::disk::{Disk, DiskFile};

/// The log as the disk has it; every segment is sealed, for a start always opens a new one.
pub(crate) struct Recovered {
    pub(crate) sealed: VecDeque<Arc<Segment>>,
    /// The index of the newest, and its footer, which is not written yet.
    pub(crate) newest: Option<(Arc<Index>, Vec<u8>)>,
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
    secure(disk, &newest, &found).map_err(OpenError::disk("sync what it has recovered"))?;
    let Opened { header, file, bytes } = newest;
    let next = (0..slots.count()).map(|slot| header.base(slot) + found.index.count(slot)).collect();
    let footer = footer::encode(&found.index, header.incarnation);
    let bytes = bytes.max(found.end + footer.len() as u64);
    sealed.push_back(Arc::new(Segment { header, file, end: found.end, bytes }));
    let newest = Some((Arc::new(found.index), footer));
    Ok(Recovered { sealed, newest, next, next_sequence: found.next_sequence, cut_bytes })
}

/// Makes durable what was found before anything is built on it, the segment's name too. The last group was perhaps
/// read from memory; and if its sync has failed, the kernel may hold its pages for written though they are not: so
/// it is written once more.
fn secure(disk: &dyn Disk, newest: &Opened, found: &Scan) -> io::Result<()> {
    let mut at = found.last_group;
    while at < found.end {
        let piece = usize::try_from(found.end - at).unwrap_or(READ_BYTES).min(READ_BYTES);
        let mut bytes = vec![0; piece];
        newest.file.read_at(&mut bytes, at)?;
        newest.file.write_at(&bytes, at)?;
        at += piece as u64;
    }
    newest.file.sync_data()?;
    disk.sync_folder()
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
    let mut found = scan(&**file, header, header.file_bytes).map_err(reading())?;
    if sabotage::on(Bug::TailCutTooFar) {
        found = scan(&**file, header, found.last_group).map_err(reading())?;
    }
    let Stop::Bad { position, sequence, what } = &found.stop else { return Ok((found, 0)) };
    let behind = Behind::search(&**file, header, *position, header.file_bytes).map_err(reading())?;
    if behind.synced >= *sequence {
        let what = format!("{what}, and a later frame says that it had been written and synced");
        return Err(OpenError::Damaged(Damage { file: name, position: *position, what }));
    }
    let cut_bytes = behind.end.max(*position) - found.end;
    Ok((found, cut_bytes))
}
