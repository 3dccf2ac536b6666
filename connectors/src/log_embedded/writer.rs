//! The writer: one write and one sync for all that waits, then everybody is answered.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use leadline_schemas::{Millis, Offset, Topic};
use tokio::sync::oneshot;

use super::config::{EmbeddedLogConfig, PART_BYTES_MAX};
use super::error::is_full;
use super::footer;
use super::frame::{FRAME_HEADER_BYTES, FrameHeader, Kind};
use super::header::{Predecessor, SegmentHeader, frames_at, segment_name};
use super::index::{Entry, Index};
use super::queue::Work;
use super::segment::{Segment, create_zeroed};
use super::shared::{Active, Shared, Written};
use super::spares::{For, Made, Spares};
use crate::contract::clock::Clock;
use crate::contract::disk::{Disk, DiskFile};
use crate::contract::log::{Append, AppendError, Commit, CommitAnswer};

/// Where the log gets its incarnations from; a simulator gives its own.
pub(crate) type Random = Box<dyn FnMut() -> u64 + Send>;

pub(crate) struct Writer {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) spares: Arc<Spares>,
    pub(crate) config: EmbeddedLogConfig,
    pub(crate) random: Random,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) header: SegmentHeader,
    /// Where the next frame goes, and how much the segment holds.
    pub(crate) position: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) sequence: u64,
    pub(crate) known_synced: u64,
    /// The next offset of each slot, ahead of what readers see.
    pub(crate) next: Vec<u64>,
    /// Whether the last group has no later frame that proves it was synced.
    pub(crate) unwitnessed: bool,
    pub(crate) buffer: Vec<u8>,
    pub(crate) written: Written,
    pub(crate) answers: Vec<Answer>,
}

/// Who is told once the group is synced.
pub(crate) enum Answer {
    Appended(oneshot::Sender<Result<Vec<Offset>, AppendError>>, Vec<Offset>),
    Committed(Box<dyn FnOnce(CommitAnswer) + Send>),
}

/// The log cannot go on: the disk refused a write or a sync inside a segment.
#[derive(Debug, Clone)]
pub(crate) struct Broken(pub(crate) String);

impl Writer {
    /// Writes a group, syncs it, publishes it, answers it.
    pub(crate) fn write(&mut self, group: Vec<Work>) -> Result<(), Broken> {
        let mut group = group.into_iter();
        while let Some(work) = group.next() {
            let result = match work {
                Work::Append { records, done, .. } => self.add_append(records, done),
                Work::Commit { commit, done, .. } => self.add_commit(&commit, done),
            };
            if let Err(broken) = result {
                self.break_off(&broken);
                group.for_each(|work| refuse(work, &broken));
                return Err(broken);
            }
        }
        self.flush().inspect_err(|broken| self.break_off(broken))
    }

    fn add_append(
        &mut self,
        records: Vec<Append>,
        done: oneshot::Sender<Result<Vec<Offset>, AppendError>>,
    ) -> Result<(), Broken> {
        let frames_bytes = super::queue::append_bytes(&records) as u64;
        if !self.has_room(frames_bytes) && !self.roll(frames_bytes, For::Appends)? {
            let _ = done.send(Err(AppendError::Full));
            return Ok(());
        }
        let mut offsets = Vec::with_capacity(records.len());
        for record in records {
            // `append` has checked topic and partition.
            let Some(slot) = self.shared.slots.of(record.topic, record.partition) else { continue };
            let offset = self.next.get(slot).copied().unwrap_or(0);
            self.put(slot, (Kind::Record, offset), (1, 1), &record.value);
            let entry = self.entry(1, record.value.len());
            self.written.push((slot, entry, record.value));
            self.advance(slot);
            offsets.push(Offset(offset));
        }
        self.answers.push(Answer::Appended(done, offsets));
        Ok(())
    }

    fn add_commit(
        &mut self,
        commit: &Commit,
        done: Box<dyn FnOnce(CommitAnswer) + Send>,
    ) -> Result<(), Broken> {
        let Some(slot) = self.shared.slots.of(Topic::State, commit.partition) else {
            done(CommitAnswer::Aborted(format!("there is no partition {}", commit.partition)));
            return Ok(());
        };
        let expected = self.next.get(slot).copied().unwrap_or(0) + 1;
        if commit.number.0 != expected {
            let why = format!(
                "commit {} of partition {} is not the next ({expected})",
                commit.number, commit.partition
            );
            done(CommitAnswer::Fenced(why));
            return Ok(());
        }
        let parts = commit.frame.len().div_ceil(PART_BYTES_MAX).max(1);
        let bytes = commit.frame.len() + parts * FRAME_HEADER_BYTES;
        if !self.has_room(bytes as u64) && !self.roll(bytes as u64, For::Commits)? {
            // Nothing of it was written, so it may be made again: when there is room, or by the next process.
            let why = "the disk has no room for a commit, and the reserve is used up: free disk space";
            done(CommitAnswer::Aborted(why.to_owned()));
            return Ok(());
        }
        let count = u16::try_from(parts).unwrap_or(u16::MAX);
        for part in 0..parts {
            let from = part * PART_BYTES_MAX;
            let to = (from + PART_BYTES_MAX).min(commit.frame.len());
            let place = (u16::try_from(part + 1).unwrap_or(u16::MAX), count);
            self.put(slot, (Kind::CommitPart, expected), place, &commit.frame.slice(from..to));
        }
        let entry = self.entry(parts, commit.frame.len());
        self.written.push((slot, entry, commit.frame.clone()));
        self.advance(slot);
        self.answers.push(Answer::Committed(done));
        Ok(())
    }

    fn advance(&mut self, slot: usize) {
        if let Some(next) = self.next.get_mut(slot) {
            *next += 1;
        }
    }

    /// The index entry of what was just put: `frames` frames with `bytes` of values, at the buffer's end.
    fn entry(&self, frames: usize, bytes: usize) -> Entry {
        let bytes = bytes + frames * FRAME_HEADER_BYTES;
        let position = self.position + (self.buffer.len() - bytes) as u64;
        Entry {
            position: u32::try_from(position).unwrap_or(u32::MAX),
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        }
    }

    fn put(&mut self, slot: usize, (kind, place): (Kind, u64), (part, parts): (u16, u16), value: &Bytes) {
        let (topic, partition) = self.shared.slots.place(slot);
        let header = FrameHeader {
            value_bytes: u32::try_from(value.len()).unwrap_or(u32::MAX),
            sequence: self.sequence,
            incarnation: self.header.incarnation,
            synced: self.known_synced,
            place,
            kind,
            topic,
            partition,
            part,
            parts,
        };
        header.encode(value, &mut self.buffer);
        self.sequence += 1;
    }

    fn has_room(&self, bytes: u64) -> bool {
        self.position + self.buffer.len() as u64 + bytes <= self.segment_bytes
    }

    /// Writes and syncs what is in the buffer, then lets readers and waiters know.
    fn flush(&mut self) -> Result<(), Broken> {
        if !self.buffer.is_empty() {
            let broken =
                |what: &str, error: std::io::Error| Broken(format!("the log could not {what}: {error}"));
            self.file.write_at(&self.buffer, self.position).map_err(|error| broken("be written", error))?;
            // Never retried: after a failed sync the kernel may have dropped the pages.
            self.file.sync_data().map_err(|error| broken("be synced", error))?;
            self.position += self.buffer.len() as u64;
            self.known_synced = self.sequence - 1;
            self.buffer.clear();
            self.unwitnessed = true;
        }
        if !self.written.is_empty() {
            self.shared.publish(std::mem::take(&mut self.written));
        }
        for answer in self.answers.drain(..) {
            match answer {
                Answer::Appended(done, offsets) => {
                    let _ = done.send(Ok(offsets)); // A client that went away has its record all the same.
                }
                Answer::Committed(done) => done(CommitAnswer::Committed),
            }
        }
        Ok(())
    }

    /// Whether the last group still waits for a frame that proves it was synced, and there is room for one.
    pub(crate) fn wants_witness(&self) -> bool {
        self.unwitnessed && self.has_room(FRAME_HEADER_BYTES as u64)
    }

    /// Writes an empty frame, so that the last group has a witness of its sync.
    pub(crate) fn witness(&mut self) -> Result<(), Broken> {
        if !self.wants_witness() {
            return Ok(());
        }
        self.put(0, (Kind::Witness, 0), (1, 1), &Bytes::new());
        self.flush().inspect_err(|broken| self.break_off(broken))?;
        self.unwitnessed = false;
        Ok(())
    }

    /// Seals the segment and goes on in a new one with room for `bytes`; false when there is none to be had.
    fn roll(&mut self, bytes: u64, purpose: For) -> Result<bool, Broken> {
        self.flush()?;
        let needed = frames_at(self.next.len()) + bytes;
        let name = match self.new_file(needed, purpose) {
            Ok(Some(name)) => name,
            Ok(None) => {
                self.shared.full.store(true, Relaxed);
                return Ok(false);
            }
            Err(error) => return Err(Broken(format!("a log segment could not be made: {error}"))),
        };
        let before = Predecessor { incarnation: self.header.incarnation, end: self.position };
        let number = self.header.number + 1;
        let header = self.segment_header(number, Some(before));
        let begun = begin_segment(&*self.disk, &name, header);
        let (file, header) =
            begun.map_err(|error| Broken(format!("a log segment could not be begun: {error}")))?;
        let length =
            file.length().map_err(|error| Broken(format!("a log segment has no length: {error}")))?;
        let old_file = std::mem::replace(&mut self.file, Arc::clone(&file));
        let old_header = std::mem::replace(&mut self.header, header.clone());
        let index = {
            let mut state = self.shared.write_state();
            let active = Active { header, file, index: Index::new(self.next.len()) };
            let old = std::mem::replace(&mut state.active, active);
            let index = Arc::new(old.index);
            let sealed =
                Segment::new(old_header, Arc::clone(&old_file), before.end, Some(Arc::clone(&index)));
            state.sealed.push_back(Arc::new(sealed));
            index
        };
        // Derived, so neither synced nor needed: a missing footer costs a scan.
        if let Err(error) = old_file.write_at(&footer::encode(&index, before.incarnation), before.end) {
            tracing::warn!(%error, "a log segment has no footer");
        }
        self.position = self.header.frames_at();
        self.segment_bytes = length;
        Ok(true)
    }

    /// A spare of the usual size, or a new file for something larger.
    fn new_file(&self, needed: u64, purpose: For) -> std::io::Result<Option<String>> {
        if needed <= self.config.segment_bytes {
            if let Some(name) = self.spares.take(purpose) {
                return Ok(Some(name));
            }
            // None is ready: more than one may be missing before one is left over for this purpose.
            while self.spares.make_one()? == Made::One {
                if let Some(name) = self.spares.take(purpose) {
                    return Ok(Some(name));
                }
            }
            return Ok(self.spares.take(purpose));
        }
        let name = format!("large-{:020}", self.header.number + 1);
        match create_zeroed(&*self.disk, &name, needed) {
            Ok(()) => Ok(Some(name)),
            Err(error) if is_full(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn segment_header(&mut self, number: u64, predecessor: Option<Predecessor>) -> SegmentHeader {
        SegmentHeader {
            number,
            incarnation: (self.random)(),
            first_sequence: self.sequence,
            created_at: self.clock.wall(),
            predecessor,
            partitions: self.config.partitions,
            base: self.next.clone(),
        }
    }

    /// The log ends here: everybody who waits hears it, and so does whoever asks for its health.
    fn break_off(&mut self, broken: &Broken) {
        self.shared.write_state().failed = Some(broken.0.clone());
        for answer in self.answers.drain(..) {
            match answer {
                Answer::Appended(done, _) => {
                    let _ = done.send(Err(AppendError::Failed(broken.0.clone())));
                }
                Answer::Committed(done) => done(CommitAnswer::Unknown(broken.0.clone())),
            }
        }
    }

    /// Drops the oldest segments that nobody needs: below every floor, and past their time or the log's size. On a full
    /// disk one more a round: the history of what was done is worth less than the next event.
    pub(crate) fn drop_old(&self) {
        let (now, mut dropped) = (self.clock.wall(), Vec::new());
        {
            let mut state = self.shared.write_state();
            while let Some(oldest) = state.sealed.front() {
                let next = state.sealed.get(1).map_or(&state.active.header, |segment| &segment.header);
                let makes_room = dropped.is_empty() && self.shared.full.load(Relaxed);
                let due = makes_room
                    || self.is_past(&oldest.header, next, now)
                    || state.disk_bytes > self.config.max_bytes;
                if !due || !is_below_floors(&oldest.header, next, &state.floors) {
                    break;
                }
                let Some(oldest) = state.sealed.pop_front() else { break };
                dropped.push(oldest);
            }
        }
        for segment in &dropped {
            if let Err(error) = self.disk.remove(&segment.name()) {
                tracing::warn!(%error, segment = segment.name(), "an old log segment could not be removed");
            }
        }
        let state = self.shared.read_state();
        let sealed: u64 = state.sealed.iter().map(|segment| segment.file.length().unwrap_or(0)).sum();
        drop(state);
        let spares = self.spares.count() as u64 * self.config.segment_bytes;
        self.shared.write_state().disk_bytes = sealed + self.segment_bytes + spares;
    }

    fn is_past(&self, segment: &SegmentHeader, next: &SegmentHeader, now: Millis) -> bool {
        (0..segment.base.len()).all(|slot| {
            let (topic, _) = self.shared.slots.place(slot);
            next.base(slot) == segment.base(slot)
                || now.since(next.created_at) >= self.config.retention.of(topic)
        })
    }
}

/// Whether every slot that has records in the segment has its floor behind them.
fn is_below_floors(segment: &SegmentHeader, next: &SegmentHeader, floors: &[Option<u64>]) -> bool {
    (0..segment.base.len()).all(|slot| {
        let end = next.base(slot);
        end == segment.base(slot) || floors.get(slot).copied().flatten().is_some_and(|floor| floor >= end)
    })
}

/// Writes a header into a zero-filled file and gives it its segment name, all durably.
pub(crate) fn begin_segment(
    disk: &dyn Disk,
    name: &str,
    header: SegmentHeader,
) -> std::io::Result<(Arc<dyn DiskFile>, SegmentHeader)> {
    let file = disk.open(name)?;
    file.write_at(&header.encode(), 0)?;
    file.sync_data()?;
    disk.rename(name, &segment_name(header.number))?;
    disk.sync_folder()?;
    Ok((Arc::from(file), header))
}

/// Answers work that was not begun when the log broke.
pub(crate) fn refuse(work: Work, broken: &Broken) {
    match work {
        Work::Append { done, .. } => {
            let _ = done.send(Err(AppendError::Failed(broken.0.clone())));
        }
        Work::Commit { done, .. } => done(CommitAnswer::Unknown(broken.0.clone())),
    }
}
