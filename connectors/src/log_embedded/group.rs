//! Group: the frames of one write, what they add to index and tails, and who waits for them.

use bytes::Bytes;
use leadline_schemas::{Offset, Partition, Topic};
use tokio::sync::oneshot;

use super::frame::{FrameHeader, Kind};
use super::index::Entry;
use super::queue::{AppendAnswer, AppendJob, CommitJob, Done};
use super::slots::Slots;
use crate::contract::log::{AppendError, CommitAnswer};

/// Above this the write buffer is given back after use: it is for one oversized append or commit.
const BUFFER_BYTES_KEPT: usize = 16 << 20;

/// What a group adds to one slot.
#[derive(Default)]
pub(crate) struct SlotBatch {
    pub(crate) entries: Vec<Entry>,
    pub(crate) records: Vec<Bytes>,
    pub(crate) value_bytes: usize,
}

/// Reused for every group, so that a record costs no allocation here.
pub(crate) struct Group {
    slots: Slots,
    part_bytes: usize,
    pub(crate) bytes: Vec<u8>,
    pub(crate) batches: Vec<SlotBatch>,
    /// Slots with something in their batch, in order of first use.
    pub(crate) touched: Vec<usize>,
    appends: Vec<(oneshot::Sender<AppendAnswer>, Vec<Offset>)>,
    commits: Vec<Done>,
    stamp: Stamp,
}

/// What every frame of a group carries.
#[derive(Clone, Copy, Default)]
pub(crate) struct Stamp {
    pub(crate) position: u64,
    pub(crate) sequence: u64,
    pub(crate) incarnation: u64,
    pub(crate) synced: u64,
}

impl Group {
    pub(crate) fn new(slots: Slots, part_bytes: usize) -> Self {
        Self {
            slots,
            part_bytes,
            bytes: Vec::new(),
            batches: (0..slots.count()).map(|_| SlotBatch::default()).collect(),
            touched: Vec::new(),
            appends: Vec::new(),
            commits: Vec::new(),
            stamp: Stamp::default(),
        }
    }

    pub(crate) fn begin(&mut self, stamp: Stamp) {
        self.bytes.clear();
        self.bytes.shrink_to(BUFFER_BYTES_KEPT);
        self.stamp = stamp;
    }

    /// The sequence of the next frame.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.stamp.sequence
    }

    pub(crate) fn add_append(&mut self, job: AppendJob, next: &mut [u64]) {
        let mut offsets = Vec::with_capacity(job.records.len());
        for record in job.records {
            // Both were checked before the record was queued.
            let Some(slot) = self.slots.of(record.topic, record.partition) else { continue };
            let Some(next) = next.get_mut(slot) else { continue };
            offsets.push(Offset(*next));
            let position = self.bytes.len();
            let at = (record.topic, record.partition, *next);
            self.add_frame(Kind::Record, at, (1, 1), &record.value);
            *next += 1;
            self.add_entry(slot, position, record.value);
        }
        self.appends.push((job.answer, offsets));
    }

    pub(crate) fn add_commit(&mut self, job: CommitJob, slot: usize, next: &mut u64) {
        let position = self.bytes.len();
        let at = (Topic::State, job.partition, job.number.0);
        for part in 1..=job.parts {
            let from = usize::from(part - 1) * self.part_bytes;
            let to = (from + self.part_bytes).min(job.frame.len());
            self.add_frame(Kind::CommitPart, at, (part, job.parts), job.frame.get(from..to).unwrap_or(&[]));
        }
        *next += 1;
        self.add_entry(slot, position, job.frame);
        self.commits.push(job.done);
    }

    pub(crate) fn add_witness(&mut self) {
        self.add_frame(Kind::Witness, (Topic::Inbound, Partition(0), 0), (1, 1), &[]);
    }

    fn add_frame(&mut self, kind: Kind, at: (Topic, Partition, u64), part: (u16, u16), value: &[u8]) {
        let header = FrameHeader {
            value_bytes: u32::try_from(value.len()).unwrap_or(u32::MAX),
            sequence: self.stamp.sequence,
            incarnation: self.stamp.incarnation,
            synced: self.stamp.synced,
            place: at.2,
            kind,
            topic: at.0,
            partition: at.1,
            part: part.0,
            parts: part.1,
        };
        header.encode(value, &mut self.bytes);
        self.stamp.sequence += 1;
    }

    fn add_entry(&mut self, slot: usize, from: usize, value: Bytes) {
        let Some(batch) = self.batches.get_mut(slot) else { return };
        if batch.entries.is_empty() {
            self.touched.push(slot);
        }
        let position = self.stamp.position + from as u64;
        let bytes = self.bytes.len() - from;
        // Segments end far below 4 GiB (`SEGMENT_BYTES_MAX`, `COMMIT_BYTES_MAX`).
        batch.entries.push(Entry {
            position: u32::try_from(position).unwrap_or(u32::MAX),
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        });
        batch.value_bytes += value.len();
        batch.records.push(value);
    }

    /// Tells everybody in the group that it is durable.
    pub(crate) fn answer(&mut self) -> (u64, u64) {
        let counts = (self.appends.iter().map(|(_, offsets)| offsets.len() as u64).sum(), self.commits.len());
        for (answer, offsets) in self.appends.drain(..) {
            // The caller may have gone; its records stay.
            let _ = answer.send(Ok(offsets));
        }
        for done in self.commits.drain(..) {
            done.answer(CommitAnswer::Committed);
        }
        (counts.0, counts.1 as u64)
    }

    /// Tells everybody in the group that nobody knows.
    pub(crate) fn answer_failed(&mut self, why: &str) {
        for (answer, _) in self.appends.drain(..) {
            // The caller may have gone.
            let _ = answer.send(Err(AppendError::Failed(why.to_owned())));
        }
        for done in self.commits.drain(..) {
            done.answer(CommitAnswer::Unknown(why.to_owned()));
        }
    }
}
