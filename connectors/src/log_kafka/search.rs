//! Searching topic `state` for frames, by the headers of its records.

use std::time::Instant;

use bytes::Bytes;
use leadline_schemas::CommitNumber;

use super::parts::{self, Assembly};
use super::reader::{Fetched, Next, Reader};
use crate::contract::log::ReadError;

/// Below how many offsets a search reads on instead of halving.
const LINEAR_OFFSETS: u64 = 128;
/// How far before the end the last frame is looked for first: its last part, and the end of its transaction. Behind a part
/// so near the end there is none.
pub(super) const LAST_OFFSETS: u64 = 2;
/// The parts of the next frame, and the frame.
pub(super) fn next_frame(
    reader: &mut Reader,
    frame: u64,
    deadline: Instant,
) -> Result<(Vec<Fetched>, Bytes), ReadError> {
    let (mut assembly, mut parts) = (Assembly::default(), Vec::new());
    loop {
        let fetched = reader.next_record(deadline)?;
        let place = part_of(&fetched)?;
        if place.number.0 != frame {
            let found = place.number;
            return Err(ReadError::Damaged(format!(
                "topic state has commit {found} where {frame} should be"
            )));
        }
        let whole = assembly.push(place, fetched.value.clone()).map_err(ReadError::Damaged)?;
        parts.push(fetched);
        if let Some(whole) = whole {
            return Ok((parts, whole));
        }
    }
}

/// The number of the last frame between two offsets.
pub(super) fn last_from(
    reader: &mut Reader,
    topic: &str,
    partition: i32,
    from: u64,
    end: u64,
    deadline: Instant,
) -> Result<Option<CommitNumber>, ReadError> {
    reader.seek(topic, partition, from)?;
    let mut last = None;
    loop {
        match reader.next(deadline)? {
            Next::Record(fetched) if fetched.offset < end => {
                let number = part_of(&fetched)?.number;
                // That there is nothing more, a broker says only after it has waited for more.
                if fetched.offset.saturating_add(LAST_OFFSETS) >= end {
                    return Ok(Some(number));
                }
                last = Some(number);
            }
            _ => return Ok(last),
        }
    }
}

/// An offset at most [`LINEAR_OFFSETS`] before the first part of a frame.
pub(super) fn bisect(
    reader: &mut Reader,
    (topic, partition): (&str, i32),
    frame: u64,
    (mut low, mut high): (u64, u64),
    deadline: Instant,
) -> Result<u64, ReadError> {
    while high.saturating_sub(low) > LINEAR_OFFSETS {
        let middle = low + (high - low) / 2;
        reader.seek(topic, partition, middle)?;
        match reader.next(deadline)? {
            Next::Record(fetched) if part_of(&fetched)?.number.0 < frame => {
                low = fetched.offset.saturating_add(1);
            }
            Next::Record(_) | Next::End => high = middle,
            Next::OutOfRange => low = middle.saturating_add(1),
        }
    }
    Ok(low)
}

/// Which part of which frame a record is.
pub(super) fn part_of(fetched: &Fetched) -> Result<parts::Place, ReadError> {
    let offset = fetched.offset;
    fetched.part.ok_or_else(|| {
        ReadError::Damaged(format!("the record at offset {offset} of topic state is no part of a frame"))
    })
}
