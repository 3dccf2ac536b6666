//! Scout: the thread that asks brokers on behalf of readers who do not wait.
//!
//! It fills the buffers of `state`, whose frames have to be looked for, puts those who only listen at the end, and
//! finds out what is wrong with an offset that a broker does not have.

use std::sync::Arc;
use std::time::Duration;

use leadline_schemas::{Offset, Topic};

use super::buffers::{Buffers, Place, Pushed, Wish};
use super::closing::Closing;
use super::frames::Frames;
use crate::contract::log::ReadError;

/// How long until a question without an answer is asked again.
const AGAIN: Duration = Duration::from_millis(500);
/// How much of `state` is read at once.
const READ_BYTES: usize = 4 << 20;

pub(super) struct Scout {
    pub(super) buffers: Arc<Buffers>,
    pub(super) frames: Arc<Frames>,
}

impl Scout {
    /// Runs until the log is closed.
    pub(super) fn run(&self, closing: &Closing) {
        let mut later: Vec<Place> = Vec::new();
        while !closing.is_closed() {
            let mut places = self.buffers.scout_wishes(AGAIN);
            if places.is_empty() {
                places = std::mem::take(&mut later);
            }
            for place in places {
                match self.look(place) {
                    Ok(true) => {}
                    Ok(false) => later.push(place),
                    Err(error) => {
                        tracing::debug!(topic = %place.0, partition = %place.1, %error, "asked in vain");
                        later.push(place);
                    }
                }
            }
            later.sort_unstable();
            later.dedup();
        }
    }

    /// Whether that was all.
    fn look(&self, place: Place) -> Result<bool, ReadError> {
        if !self.buffers.is_placed(place) {
            if !self.buffers.is_heard(place) {
                return Ok(true);
            }
            let (_, end) = self.range(place)?;
            if self.buffers.place_at(place, end.0) && end.0 > 0 {
                self.buffers.tell(place);
            }
            return Ok(true);
        }
        if place.0 == Topic::State { self.fill(place) } else { self.explain(place) }
    }

    fn range(&self, (topic, partition): Place) -> Result<(Offset, Offset), ReadError> {
        match topic {
            Topic::State => self.frames.range(partition),
            _ => self.frames.history.range(topic, partition),
        }
    }

    /// Brings frames until the end or until there is no room.
    fn fill(&self, place: Place) -> Result<bool, ReadError> {
        while let Wish::Seek(from) | Wish::Resume(from) = self.buffers.grant(place) {
            let chunk = match self.frames.fetch(place.1, Offset(from), READ_BYTES) {
                Err(ReadError::Dropped { first, .. }) => {
                    self.buffers.dropped(place, first.0);
                    self.buffers.tell(place);
                    return Ok(true);
                }
                other => other?,
            };
            if chunk.records.is_empty() {
                return Ok(true);
            }
            for record in chunk.records {
                if self.buffers.push(place, record.offset.0, record.value) != Pushed::Kept {
                    break;
                }
            }
            self.buffers.tell(place);
        }
        Ok(true)
    }

    /// A reader stands where the broker has nothing.
    fn explain(&self, place: Place) -> Result<bool, ReadError> {
        let (Wish::Seek(next) | Wish::Resume(next)) = self.buffers.grant(place) else { return Ok(true) };
        let (first, end) = self.range(place)?;
        if next < first.0 {
            self.buffers.dropped(place, first.0);
            self.buffers.tell(place);
            return Ok(true);
        }
        if next > end.0 {
            return Ok(false);
        }
        self.buffers.retry(place);
        Ok(true)
    }
}
