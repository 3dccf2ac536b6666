//! The writer: one write and one sync for all that waits, then everybody is answered.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use leadline_schemas::sabotage::{self, Bug};
use leadline_schemas::{Offset, Topic};
use tokio::sync::oneshot;

use super::config::EmbeddedLogConfig;
use super::footer;
use super::frame::{FRAME_HEADER_BYTES, FrameHeader, Kind};
use super::group::Group;
use super::header::{Predecessor, SegmentHeader, frames_at};
use super::index::{Entry, Index};
use super::queue::Work;
use super::segment::{Segment, begin_segment, write_footer};
use super::shared::{Active, Shared, Written};
use super::spares::{For, Spares};
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
    pub(crate) group: Group,
    pub(crate) sequence: u64,
    pub(crate) known_synced: u64,
    /// The next offset of each slot, ahead of what readers see.
    pub(crate) next: Vec<u64>,
    /// Whether the last group has no later frame that proves it was synced.
    pub(crate) unwitnessed: bool,
    pub(crate) written: Written,
    pub(crate) answers: VecDeque<Answer>,
}

/// Who waits for an append.
type Appended = oneshot::Sender<Result<Vec<Offset>, AppendError>>;

/// An append with its bytes in a segment.
type Appending = (Vec<Append>, usize, Appended);

/// Who is told once the group is synced.
pub(crate) enum Answer {
    Appended(Appended, Vec<Offset>),
    Committed(Box<dyn FnOnce(CommitAnswer) + Send>),
}

/// The log cannot go on: the disk refused a write or a sync inside a segment.
#[derive(Debug, Clone)]
pub(crate) struct Broken(pub(crate) String);

impl Writer {
    /// Writes a group, syncs it, publishes it, answers it. Hands back the rest of it from the first commit on that
    /// finds no room.
    pub(crate) fn write(&mut self, group: Vec<Work>) -> Result<Vec<Work>, Broken> {
        let mut group = group.into_iter().peekable();
        let mut left = Vec::new();
        while let Some(work) = group.next() {
            let result = match work {
                Work::Append { records, bytes, done } => {
                    let mut appends = vec![(records, bytes, done)];
                    while let Some(Work::Append { records, bytes, done }) =
                        group.next_if(|work| matches!(work, Work::Append { .. }))
                    {
                        appends.push((records, bytes, done));
                    }
                    self.add_appends(appends).map(|()| None)
                }
                Work::Commit { commit, bytes, done } => self.add_commit(commit, bytes, done),
            };
            match result {
                Ok(None) => {}
                Ok(Some(work)) => {
                    left.push(work);
                    left.extend(group);
                    break;
                }
                Err(broken) => {
                    let failed = AppendError::Failed(broken.0.clone());
                    let unknown = CommitAnswer::Unknown(broken.0.clone());
                    group.for_each(|work| work.refuse(&failed, &unknown));
                    return Err(broken);
                }
            }
        }
        self.flush()?;
        Ok(left)
    }

    /// Puts down appends that wait side by side, as many at a time as the segment has room for.
    fn add_appends(&mut self, appends: Vec<Appending>) -> Result<(), Broken> {
        let (mut fitting, mut fitting_bytes) = (Vec::with_capacity(appends.len()), 0);
        for (records, bytes, done) in appends {
            let bytes = bytes as u64;
            if !self.has_room(fitting_bytes + bytes) {
                self.put_appends(std::mem::take(&mut fitting));
                fitting_bytes = 0;
                if !self.has_room(bytes) && !self.roll(bytes, For::Appends)? {
                    let _ = done.send(Err(AppendError::Full)); // A client that went away need not know.
                    continue;
                }
            }
            fitting_bytes += bytes;
            fitting.push((records, done));
        }
        self.put_appends(fitting);
        Ok(())
    }

    /// Puts records down partition by partition: whoever reads one later finds many of them side by side and reads
    /// them at once. Within a partition they stay in the order in which they came.
    fn put_appends(&mut self, appends: Vec<(Vec<Append>, Appended)>) {
        let mut records = Vec::with_capacity(appends.len());
        let mut answers = Vec::with_capacity(appends.len());
        for (of_append, done) in appends {
            answers.push((done, vec![Offset(0); of_append.len()]));
            for (place, record) in of_append.into_iter().enumerate() {
                // `append` has checked topic and partition.
                let Some(slot) = self.shared.slots.of(record.topic, record.partition) else { continue };
                records.push((slot, (answers.len() - 1, place), record.value));
            }
        }
        records.sort_by_key(|(slot, ..)| *slot);
        for (slot, (append, place), value) in records {
            let offset = self.next.get(slot).copied().unwrap_or(0);
            self.put(slot, (Kind::Record, offset), (1, 1), &value);
            let entry = self.entry(1, value.len());
            self.written.push((slot, entry, value));
            self.advance(slot);
            let answered = answers.get_mut(append).and_then(|(_, offsets)| offsets.get_mut(place));
            if let Some(answered) = answered {
                *answered = Offset(offset);
            }
        }
        self.answers.extend(answers.into_iter().map(|(done, offsets)| Answer::Appended(done, offsets)));
    }

    /// Hands the commit back if there is no room for it.
    fn add_commit(
        &mut self,
        commit: Commit,
        bytes: usize,
        done: Box<dyn FnOnce(CommitAnswer) + Send>,
    ) -> Result<Option<Work>, Broken> {
        let Some(slot) = self.shared.slots.of(Topic::State, commit.partition) else {
            done(CommitAnswer::Aborted(format!("there is no partition {}", commit.partition)));
            return Ok(None);
        };
        let expected = self.next.get(slot).copied().unwrap_or(0) + 1;
        if commit.number.0 != expected {
            let why = format!(
                "commit {} of partition {} is not the next ({expected})",
                commit.number, commit.partition
            );
            done(CommitAnswer::Fenced(why));
            return Ok(None);
        }
        let part_bytes = self.config.part_bytes_max;
        let parts = commit.frame.len().div_ceil(part_bytes).max(1);
        let frames_bytes = (commit.frame.len() + parts * FRAME_HEADER_BYTES) as u64;
        if !self.has_room(frames_bytes) && !self.roll(frames_bytes, For::Commits)? {
            return Ok(Some(Work::Commit { commit, bytes, done }));
        }
        let count = u16::try_from(parts).unwrap_or(u16::MAX);
        for part in 0..parts {
            let from = part * part_bytes;
            let to = (from + part_bytes).min(commit.frame.len());
            let place = (u16::try_from(part + 1).unwrap_or(u16::MAX), count);
            let value = commit.frame.get(from..to).unwrap_or_default();
            self.put(slot, (Kind::CommitPart, expected), place, value);
        }
        let entry = self.entry(parts, commit.frame.len());
        self.written.push((slot, entry, commit.frame));
        self.advance(slot);
        self.answers.push_back(Answer::Committed(done));
        Ok(None)
    }

    fn advance(&mut self, slot: usize) {
        if let Some(next) = self.next.get_mut(slot) {
            *next += 1;
        }
    }

    /// The index entry of what was just put: `frames` frames with `bytes` of values, at the group's end.
    fn entry(&self, frames: usize, bytes: usize) -> Entry {
        let bytes = bytes + frames * FRAME_HEADER_BYTES;
        let position = self.group.end() - bytes as u64;
        Entry {
            position: u32::try_from(position).unwrap_or(u32::MAX),
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        }
    }

    fn put(&mut self, slot: usize, (kind, place): (Kind, u64), (part, parts): (u16, u16), value: &[u8]) {
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
        header.encode(value, self.group.frames());
        self.sequence += 1;
    }

    /// Whether frames of so many bytes fit, and behind them the witness of the last group.
    fn has_room(&self, bytes: u64) -> bool {
        let end = self.group.end() + bytes;
        end + FRAME_HEADER_BYTES as u64 <= self.header.file_bytes
    }

    /// Writes and syncs the group, then lets readers and waiters know.
    fn flush(&mut self) -> Result<(), Broken> {
        let acknowledged_early = sabotage::on(Bug::AckBeforeSync);
        let writes = !self.group.is_empty();
        if writes {
            let written = self.group.write(&*self.file, self.header.file_bytes);
            written.map_err(|error| Broken(format!("the log could not be written: {error}")))?;
            if !acknowledged_early {
                self.sync()?;
            }
            self.known_synced = self.sequence - 1;
            self.group.advance(2 * self.config.group_bytes_max); // One huge commit must not keep its memory.
            self.unwitnessed = true;
        }
        if !self.written.is_empty() {
            self.shared.publish(&mut self.written);
        }
        // One by one: if one that is told panics, the others are still there to be told.
        while let Some(answer) = self.answers.pop_front() {
            match answer {
                Answer::Appended(done, offsets) => {
                    let _ = done.send(Ok(offsets)); // A client that went away has its record all the same.
                }
                Answer::Committed(done) => done(CommitAnswer::Committed),
            }
        }
        if writes && acknowledged_early { self.sync() } else { Ok(()) }
    }

    /// Never retried: after a failed sync the kernel may have dropped the pages.
    fn sync(&self) -> Result<(), Broken> {
        self.file.sync_data().map_err(|error| Broken(format!("the log could not be synced: {error}")))
    }

    /// Whether the last group still waits for a frame that proves it was synced, and there is room for one.
    pub(crate) fn wants_witness(&self) -> bool {
        self.unwitnessed && self.has_room(0)
    }

    /// Writes an empty frame, so that the last group has a witness of its sync.
    pub(crate) fn witness(&mut self) -> Result<(), Broken> {
        if !self.wants_witness() {
            return Ok(());
        }
        self.put(0, (Kind::Witness, 0), (1, 1), &[]);
        self.flush()?;
        self.unwitnessed = false;
        Ok(())
    }

    /// Seals the segment and goes on in a new one with room for `bytes`; false when there is none to be had.
    fn roll(&mut self, bytes: u64, purpose: For) -> Result<bool, Broken> {
        self.flush()?;
        let broken =
            |what: &str, error: io::Error| Broken(format!("a log segment could not be {what}: {error}"));
        let needed = frames_at(self.next.len()) + bytes + FRAME_HEADER_BYTES as u64;
        let number = self.header.number + 1;
        let file = self.spares.file(needed, number, purpose).map_err(|error| broken("made", error))?;
        let Some(name) = file else {
            self.shared.full.store(true, Relaxed);
            return Ok(false);
        };
        let before = Predecessor { incarnation: self.header.incarnation, end: self.group.end() };
        let header = self.segment_header(number, Some(before));
        let (file, header) =
            begin_segment(&*self.disk, &name, header).map_err(|error| broken("begun", error))?;
        self.group = Group::new(header.frames_at());
        self.shared.segments_bytes.fetch_add(header.file_bytes, Relaxed);
        let old_file = std::mem::replace(&mut self.file, Arc::clone(&file));
        let old_header = std::mem::replace(&mut self.header, header.clone());
        self.seal(
            Active { header, file, index: Index::new(self.next.len()) },
            (old_file, old_header),
            before.end,
        );
        Ok(true)
    }

    /// Shows readers the new segment, and the old one as sealed; then gives the old one its footer.
    fn seal(&self, active: Active, (file, header): (Arc<dyn DiskFile>, SegmentHeader), end: u64) {
        let footer = footer::encode(&self.shared.read_state().active.index, header.incarnation);
        let segment = Segment::sealed(header, Arc::clone(&file), end, footer.len());
        let (number, grown) = (segment.header.number, segment.bytes - segment.header.file_bytes);
        let old = {
            let mut state = self.shared.write_state();
            state.sealed.push_back(Arc::new(segment));
            std::mem::replace(&mut state.active, active)
        };
        self.shared.indexes.keep(number, Arc::new(old.index));
        self.shared.segments_bytes.fetch_add(grown, Relaxed);
        write_footer(&*file, number, end, &footer);
    }

    fn segment_header(&mut self, number: u64, predecessor: Option<Predecessor>) -> SegmentHeader {
        SegmentHeader {
            number,
            incarnation: (self.random)(),
            first_sequence: self.sequence,
            file_bytes: 0, // Known once there is a file.
            created_at: self.clock.wall(),
            predecessor,
            partitions: self.config.partitions,
            base: self.next.clone(),
        }
    }

    /// The log ends here: everybody who waits hears it, and so does whoever asks for its health.
    pub(crate) fn break_off(&mut self, broken: &Broken) {
        self.shared.write_state().failed = Some(broken.0.clone());
        while let Some(answer) = self.answers.pop_front() {
            match answer {
                Answer::Appended(done, _) => {
                    let _ = done.send(Err(AppendError::Failed(broken.0.clone())));
                }
                Answer::Committed(done) => done(CommitAnswer::Unknown(broken.0.clone())),
            }
        }
    }
}
