//! Cursor: how far the spool was forwarded, as commits of the spool's own log.
//!
//! A frame is 11 bytes: its version, the offset of the first event that was not forwarded yet (big endian), and how
//! many partitions the log behind has (big endian; 0 = not known), which a start without brokers needs.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use leadline_schemas::{CommitNumber, Offset, Topic};

use super::{P0, SpoolError};
use crate::contract::log::{Commit, CommitAnswer, Log, ReadError};

const VERSION: u8 = 1;
/// A commit waits for a disk to have room; the forwarder goes on without it and notes more the next time.
const COMMIT_MAX: Duration = Duration::from_secs(2);

/// What a spool says before anybody answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Partitions of the log behind; none if it was never reached.
    pub partitions: Option<u16>,
    /// Events that wait.
    pub events: u64,
}

/// Looks into a spool.
pub fn kept(spool: &Arc<dyn Log>) -> Result<Kept, SpoolError> {
    let cursor = Cursor::open(Arc::clone(spool))?;
    let (_, end) = spool.range(Topic::Inbound, P0)?;
    let partitions = (cursor.partitions > 0).then_some(cursor.partitions);
    Ok(Kept { partitions, events: end.0.saturating_sub(cursor.next.0) })
}

pub(super) struct Cursor {
    spool: Arc<dyn Log>,
    /// Of the newest commit.
    number: u64,
    /// The first event that was not forwarded, as far as is noted durably.
    pub(super) next: Offset,
    partitions: u16,
}

impl Cursor {
    pub(super) fn open(spool: Arc<dyn Log>) -> Result<Self, SpoolError> {
        let (first, _) = spool.range(Topic::Inbound, P0)?;
        let number = newest(&*spool)?;
        let mut cursor = Self { spool, number, next: first, partitions: 0 };
        if let Some(last) = number.checked_sub(1) {
            let chunk = cursor.spool.fetch(Topic::State, P0, Offset(last), 1)?;
            let frame = chunk.records.first().map(|record| record.value.clone()).unwrap_or_default();
            let (next, partitions) = parse(&frame).ok_or(SpoolError::Cursor(frame.len()))?;
            cursor.next = next.max(first);
            cursor.partitions = partitions;
        }
        Ok(cursor)
    }

    /// Notes how many partitions the log behind has. If that fails, the next start without brokers is refused.
    pub(super) fn note_partitions(&mut self, partitions: u16) {
        if partitions != self.partitions {
            self.partitions = partitions;
            self.keep(self.next);
        }
    }

    /// Notes durably how far it was forwarded. If that fails, the next process forwards some events once more.
    pub(super) fn keep(&mut self, next: Offset) {
        let frame = write(next, self.partitions);
        let commit = Commit {
            partition: P0,
            number: CommitNumber(self.number + 1),
            inbound_next: next,
            replies_next: Offset(0),
            outputs: Arc::default(),
            frame,
        };
        let (answer, answered) = mpsc::channel();
        let done = move |committed| {
            // Who waited for it may have gone on.
            let _ = answer.send(committed);
        };
        self.spool.commit(commit, Box::new(done));
        match answered.recv_timeout(COMMIT_MAX) {
            Ok(CommitAnswer::Committed) => {
                self.number += 1;
                self.next = next;
                self.spool.set_floor(Topic::Inbound, P0, next);
                self.spool.set_floor(Topic::State, P0, Offset(self.number - 1));
            }
            other => {
                tracing::warn!(?other, "how far the spool was forwarded could not be noted");
                // It may be there all the same.
                self.number = newest(&*self.spool).unwrap_or(self.number);
            }
        }
    }
}

/// The number of the newest commit; 0 when there is none.
fn newest(spool: &dyn Log) -> Result<u64, ReadError> {
    Ok(spool.range(Topic::State, P0)?.1.0)
}

fn write(next: Offset, partitions: u16) -> Bytes {
    let mut frame = vec![VERSION];
    frame.extend_from_slice(&next.0.to_be_bytes());
    frame.extend_from_slice(&partitions.to_be_bytes());
    Bytes::from(frame)
}

fn parse(frame: &[u8]) -> Option<(Offset, u16)> {
    let (version, rest) = frame.split_first()?;
    let (next, partitions) = rest.split_first_chunk::<8>()?;
    let partitions = u16::from_be_bytes(partitions.try_into().ok()?);
    (*version == VERSION).then(|| (Offset(u64::from_be_bytes(*next)), partitions))
}
