//! Start: from what was recovered to a log that can be written.

use std::collections::VecDeque;
use std::sync::Arc;

use super::config::EmbeddedLogConfig;
use super::error::{OpenError, is_full};
use super::group::Group;
use super::header::{Predecessor, SegmentHeader, frames_at};
use super::index::Index;
use super::recovery::Recovered;
use super::segment::{begin_segment, create_zeroed, write_footer};
use super::shared::{Active, Shared};
use super::slots::Slots;
use super::spares::{self, FIRST, Spares};
use super::writer::{Random, Writer};
use crate::contract::clock::Clock;
use crate::contract::disk::Disk;

/// The first segment of a new log is small: it has to be zero-filled before the first start can go on.
const FIRST_SEGMENT_BYTES_MAX: u64 = 8 << 20;

/// Opens a new segment behind what was recovered.
pub(crate) fn start(
    config: &EmbeddedLogConfig,
    disk: &Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    recovered: Recovered,
    mut random: Random,
) -> Result<(Writer, Arc<Spares>), OpenError> {
    let slots = Slots { partitions: config.partitions };
    let mut ready = spares::clean(&**disk, config.segment_bytes).map_err(OpenError::disk("list spares"))?;
    let name = first_file(config, &**disk, slots, &mut ready)?;
    let newest = recovered.sealed.back();
    let header = SegmentHeader {
        number: newest.map_or(1, |segment| segment.header.number + 1),
        incarnation: random(),
        first_sequence: recovered.next_sequence,
        file_bytes: 0,
        created_at: clock.wall(),
        predecessor: newest
            .map(|segment| Predecessor { incarnation: segment.header.incarnation, end: segment.end }),
        partitions: config.partitions,
        base: recovered.next.clone(),
    };
    let begun = begin_segment(&**disk, &name, header);
    let (file, header) = begun.map_err(OpenError::disk("begin a segment"))?;
    let mut found = None;
    if let (Some(newest), Some((index, footer))) = (newest, recovered.newest) {
        write_footer(&*newest.file, newest.header.number, newest.end, &footer);
        found = Some((newest.header.number, index));
    }
    let active = Active { header: header.clone(), file: Arc::clone(&file), index: Index::new(slots.count()) };
    let caches = (config.tail_cache_bytes_max, config.index_cache_bytes_max);
    let shared = Arc::new(Shared::new(slots, recovered.sealed, active, recovered.next.clone(), caches));
    if let Some((number, index)) = found {
        shared.indexes.keep(number, index);
    }
    let spares = Arc::new(Spares::new(Arc::clone(disk), Arc::clone(&shared), config, ready));
    let writer = Writer {
        disk: Arc::clone(disk),
        clock,
        shared,
        spares: Arc::clone(&spares),
        config: config.clone(),
        random,
        file,
        group: Group::new(header.frames_at()),
        header,
        sequence: recovered.next_sequence,
        known_synced: recovered.next_sequence - 1,
        next: recovered.next,
        unwitnessed: false,
        written: Vec::new(),
        answers: VecDeque::new(),
    };
    Ok((writer, spares))
}

/// A file for the segment that a start opens: a spare if there is one beyond the reserve, else a small new file. On a
/// full disk the smallest that will do, so that restarts do not use the reserve up; the reserve only if there is
/// nothing else.
fn first_file(
    config: &EmbeddedLogConfig,
    disk: &dyn Disk,
    slots: Slots,
    spares: &mut Vec<String>,
) -> Result<String, OpenError> {
    if spares.len() > super::config::RESERVED_SEGMENTS
        && let Some(spare) = spares.pop()
    {
        return Ok(spare);
    }
    let bytes = config.segment_bytes.min(FIRST_SEGMENT_BYTES_MAX);
    for bytes in [bytes, frames_at(slots.count())] {
        match create_zeroed(disk, FIRST, bytes) {
            Ok(()) => return Ok(FIRST.to_owned()),
            Err(error) if is_full(&error) => {}
            Err(error) => return Err(OpenError::disk("make a segment")(error)),
        }
    }
    spares.pop().ok_or(OpenError::NoRoom { bytes })
}
