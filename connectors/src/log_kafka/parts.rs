//! Parts: how a frame lies in topic `state`.
//!
//! A frame is cut into parts of at most 1 MiB, one record each, all in one transaction. Headers say which: `commit` is
//! the commit's number, `part` is `i/k`, from 1; both are text, so that any client can read them.

use bytes::{Bytes, BytesMut};
use leadline_schemas::CommitNumber;
use rdkafka::message::{Header, Headers, OwnedHeaders};

/// The largest part: below what every broker takes without being told.
pub(super) const PART_BYTES_MAX: usize = 1 << 20;

const COMMIT: &str = "commit";
const PART: &str = "part";

/// Which part of which frame a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) number: CommitNumber,
    /// From 1.
    pub(super) part: u32,
    pub(super) parts: u32,
}

impl Place {
    pub(super) fn is_first(&self) -> bool {
        self.part == 1
    }

    pub(super) fn headers(&self) -> OwnedHeaders {
        let (number, part) = (self.number.0.to_string(), format!("{}/{}", self.part, self.parts));
        OwnedHeaders::new_with_capacity(2)
            .insert(Header { key: COMMIT, value: Some(&number) })
            .insert(Header { key: PART, value: Some(&part) })
    }

    /// None if they are not those of a frame.
    pub(super) fn parse(headers: &impl Headers) -> Option<Self> {
        let text = |name: &str| {
            let header = headers.iter().find(|header| header.key == name)?;
            std::str::from_utf8(header.value?).ok()
        };
        let (part, parts) = text(PART)?.split_once('/')?;
        let place = Self {
            number: CommitNumber(text(COMMIT)?.parse().ok()?),
            part: part.parse().ok()?,
            parts: parts.parse().ok()?,
        };
        (1..=place.parts).contains(&place.part).then_some(place)
    }
}

/// Cuts a frame; an empty one has one empty part.
pub(super) fn cut(number: CommitNumber, frame: &Bytes) -> Vec<(Place, Bytes)> {
    let parts = frame.len().div_ceil(PART_BYTES_MAX).max(1);
    let total = u32::try_from(parts).unwrap_or(u32::MAX);
    (1..=total)
        .map(|part| {
            let from = (part as usize - 1) * PART_BYTES_MAX;
            let to = from.saturating_add(PART_BYTES_MAX).min(frame.len());
            (Place { number, part, parts: total }, frame.slice(from..to))
        })
        .collect()
}

/// A frame that is being put together.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    open: Option<(Place, BytesMut)>,
}

impl Assembly {
    /// Takes the next part; the frame when it is whole. Parts that do not follow each other are an error: nothing
    /// else writes to this topic, and a transaction keeps them together.
    pub(super) fn push(&mut self, place: Place, value: Bytes) -> Result<Option<Bytes>, String> {
        if place.parts == 1 && self.open.is_none() {
            return Ok(Some(value));
        }
        let mut bytes = match self.open.take() {
            None if place.is_first() => BytesMut::new(),
            Some((before, bytes))
                if before.number == place.number
                    && before.parts == place.parts
                    && before.part.checked_add(1) == Some(place.part) =>
            {
                bytes
            }
            other => {
                let before = other.map(|(before, _)| before);
                return Err(format!("part {place:?} of a frame comes after {before:?}"));
            }
        };
        bytes.extend_from_slice(&value);
        if place.part == place.parts {
            return Ok(Some(bytes.freeze()));
        }
        self.open = Some((place, bytes));
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_in_parts_is_the_same_frame() {
        for bytes in [0, 1, PART_BYTES_MAX - 1, PART_BYTES_MAX, PART_BYTES_MAX + 1, 3 * PART_BYTES_MAX] {
            let frame = Bytes::from((0..bytes).map(|at| (at / 1_021) as u8).collect::<Vec<_>>());
            let parts = cut(CommitNumber(7), &frame);
            assert_eq!(parts.len(), bytes.div_ceil(PART_BYTES_MAX).max(1));
            let (mut assembly, mut whole) = (Assembly::default(), None);
            for (place, part) in parts {
                assert!(whole.is_none() && part.len() <= PART_BYTES_MAX);
                let parsed = Place::parse(&place.headers()).unwrap();
                assert_eq!(parsed, place);
                whole = assembly.push(parsed, part).unwrap();
            }
            assert!(whole == Some(frame), "{bytes} bytes");
        }
    }

    #[test]
    fn parts_that_do_not_follow_are_refused() {
        let place = |number, part, parts| Place { number: CommitNumber(number), part, parts };
        for wrong in [place(1, 3, 3), place(1, 1, 3), place(2, 2, 3), place(1, 2, 2), place(2, 1, 1)] {
            let mut assembly = Assembly::default();
            assert_eq!(assembly.push(place(1, 1, 3), Bytes::new()), Ok(None));
            assert!(assembly.push(wrong, Bytes::new()).is_err(), "{wrong:?}");
        }
        assert!(Assembly::default().push(place(1, 2, 3), Bytes::new()).is_err());
    }
}
