//! Writer: takes a group from the queue, writes it, syncs it, shows it to readers, answers.
//!
//! One step at a time and without a clock or thread of its own, so that a simulator can drive it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use leadline_schemas::{CommitNumber, Topic};

use super::group::{Group, Stamp};
use super::header::{Predecessor, SegmentHeader, frames_at, segment_name};
use super::pool::{Lack, Prepared, Unsealed, prepare};
use super::queue::Job;
use super::segment::Segment;
use super::shared::Shared;
use super::stream::TailLedger;
use crate::contract::disk::{Disk, DiskFile};
use crate::contract::log::{AppendError, CommitAnswer};

/// Where random incarnations come from; a parameter, so that one seed gives one run.
pub(crate) type Randomness = Box<dyn FnMut() -> u64 + Send>;

/// What a step of the writer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pumped {
    /// Nothing was queued.
    Idle,
    /// A group was written, or refused.
    Wrote,
    /// A group is in hand and waits for the helper to make a segment.
    Waits,
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    randomness: Randomness,
    live: Live,
    /// The next offset of each slot.
    next: Vec<u64>,
    next_sequence: u64,
    /// The last frame of the last synced group.
    synced: u64,
    /// Whether no frame on disk says yet that the last group was synced.
    unwitnessed: bool,
    jobs: VecDeque<Job>,
    group: Group,
    ledger: TailLedger,
    /// The number of the next segment file made for a single oversized append or commit.
    oversized: u64,
}

/// The segment that is being written.
pub(crate) struct Live {
    pub(crate) segment: Arc<Segment>,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) end: u64,
    pub(crate) length: u64,
}

/// Turns a prepared file into a segment: its header is durable before its name, and its name before its frames.
pub(crate) fn start_segment(disk: &dyn Disk, prepared: Prepared, header: SegmentHeader) -> io::Result<Live> {
    prepared.file.write_at(&header.encode(), 0)?;
    prepared.file.sync_data()?;
    disk.rename(&prepared.name, &segment_name(header.number))?;
    disk.sync_folder()?;
    let end = header.frames_at();
    let segment = Arc::new(Segment::live(header, Arc::clone(&prepared.file), prepared.bytes));
    Ok(Live { segment, file: prepared.file, end, length: prepared.bytes })
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        randomness: Randomness,
        live: Live,
        next: Vec<u64>,
        next_sequence: u64,
    ) -> Self {
        let group = Group::new(shared.slots, shared.config.part_bytes);
        let ledger = TailLedger::new(shared.config.tail_cache_bytes_max);
        Self {
            shared,
            randomness,
            live,
            next,
            next_sequence,
            synced: next_sequence - 1,
            unwitnessed: false,
            jobs: VecDeque::new(),
            group,
            ledger,
            oversized: 0,
        }
    }

    /// Writes one group, if there is one.
    pub(crate) fn pump(&mut self) -> Pumped {
        if self.jobs.is_empty() {
            self.shared.queue.take(&mut self.jobs, self.shared.config.group_bytes_max);
        }
        if self.jobs.is_empty() {
            return Pumped::Idle;
        }
        if let Some(why) = self.shared.failed() {
            let why = why.to_owned();
            self.refuse_appends(&AppendError::Failed(why.clone()));
            self.refuse_commits(&why);
            return Pumped::Wrote;
        }
        match self.make_room() {
            Ok(true) => {}
            Ok(false) => return Pumped::Waits,
            Err(error) => {
                self.shared.fail(format!("cannot begin a segment: {error}"));
                return Pumped::Wrote;
            }
        }
        self.fill_group();
        if !self.group.bytes.is_empty() {
            self.write_group();
        }
        Pumped::Wrote
    }

    /// Writes an empty frame, so that the last group has a witness of its own that it was synced.
    pub(crate) fn witness(&mut self) {
        let room = self.live.end + super::frame::FRAME_HEADER_BYTES as u64 <= self.live.length;
        if self.unwitnessed && room && self.jobs.is_empty() && self.shared.failed().is_none() {
            self.begin_group();
            self.group.add_witness();
            self.write_group();
            self.unwitnessed = false;
        }
    }

    /// Makes sure that the jobs in hand fit into the live segment; refuses those for which there is no room.
    /// False: wait for the helper.
    fn make_room(&mut self) -> io::Result<bool> {
        loop {
            let need = self.jobs.iter().map(|job| job.disk_bytes() as u64).sum::<u64>();
            if self.live.end + need <= self.live.length {
                return Ok(true);
            }
            let appends = self.jobs.iter().any(|job| matches!(job, Job::Append(_)));
            match self.take_segment(need, !appends)? {
                Ok(prepared) => {
                    self.roll(prepared)?;
                    return Ok(true);
                }
                Err(Lack::Soon) => return Ok(false),
                Err(Lack::Room) if appends => {
                    self.shared.set_full(true);
                    self.refuse_appends(&AppendError::Full);
                }
                Err(Lack::Room) => self.refuse_commits("the reserved segments of the log are used up"),
            }
        }
    }

    fn take_segment(&mut self, need: u64, use_reserve: bool) -> io::Result<Result<Prepared, Lack>> {
        let need = need + frames_at(self.next.len());
        if need <= self.shared.config.segment_bytes {
            return Ok(self.shared.pool.take(use_reserve));
        }
        // For one append or commit larger than a segment; rare enough to be made while the others wait.
        if !self.shared.has_budget(need) {
            return Ok(Err(Lack::Room));
        }
        // Far above the helper's numbers, which count from the last start.
        let number = u64::MAX / 2 + self.oversized;
        self.oversized += 1;
        match prepare(self.shared.disk.as_ref(), number, need) {
            Ok(prepared) => {
                self.shared.disk_bytes.fetch_add(need, Ordering::Relaxed);
                Ok(Ok(prepared))
            }
            Err(error) if super::error::is_full(&error) => Ok(Err(Lack::Room)),
            Err(error) => Err(error),
        }
    }

    /// Ends the live segment and begins the next. All that was written is synced at this point.
    fn roll(&mut self, prepared: Prepared) -> io::Result<()> {
        let before = &self.live.segment.header;
        let header = SegmentHeader {
            number: before.number + 1,
            incarnation: (self.randomness)(),
            first_sequence: self.next_sequence,
            created_at: self.shared.clock.wall(),
            predecessor: Some(Predecessor { incarnation: before.incarnation, end: self.live.end }),
            partitions: before.partitions,
            base: self.next.clone(),
        };
        let live = start_segment(self.shared.disk.as_ref(), prepared, header)?;
        let sealed = std::mem::replace(&mut self.live, live);
        if let Some(opened) = sealed.segment.seal(sealed.end, &self.shared.opened) {
            let segment = Arc::clone(&sealed.segment);
            self.shared.pool.push_unsealed(Unsealed { segment, opened });
        }
        self.shared.edit_segments(|segments| segments.push(Arc::clone(&self.live.segment)));
        self.shared.counts.segments_opened.fetch_add(1, Ordering::Relaxed);
        // The new header proves all groups before it.
        self.unwitnessed = false;
        Ok(())
    }

    fn begin_group(&mut self) {
        self.group.begin(Stamp {
            position: self.live.end,
            sequence: self.next_sequence,
            incarnation: self.live.segment.header.incarnation,
            synced: self.synced,
        });
    }

    fn fill_group(&mut self) {
        self.begin_group();
        while let Some(job) = self.jobs.pop_front() {
            let commit = match job {
                Job::Append(append) => {
                    self.group.add_append(append, &mut self.next);
                    continue;
                }
                Job::Commit(commit) => commit,
            };
            if let Some(why) = commit.refusal {
                commit.done.answer(CommitAnswer::Aborted(why));
                continue;
            }
            let slot = self.shared.slots.of(Topic::State, commit.partition);
            let Some((slot, next)) = slot.and_then(|slot| Some((slot, self.next.get_mut(slot)?))) else {
                commit.done.answer(CommitAnswer::Aborted(format!("no partition {}", commit.partition)));
                continue;
            };
            let expected = CommitNumber(*next + 1);
            if commit.number == expected {
                self.group.add_commit(commit, slot, next);
            } else {
                let why = format!("commit {} is not the next one, {expected}", commit.number);
                commit.done.answer(CommitAnswer::Aborted(why));
            }
        }
    }

    /// Writes and syncs the group; only then readers and waiters see it.
    fn write_group(&mut self) {
        let bytes = &self.group.bytes;
        let written = self
            .live
            .file
            .write_at(bytes, self.live.end)
            .and_then(|()| self.live.file.sync_data())
            .map_err(|error| format!("{}: a write or sync failed: {error}", self.live.segment.name()));
        if let Err(why) = written {
            self.shared.fail(why.clone());
            self.group.answer_failed(&why);
            return;
        }
        self.live.end += bytes.len() as u64;
        self.shared.counts.groups.fetch_add(1, Ordering::Relaxed);
        self.shared.counts.written_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.next_sequence = self.group.next_sequence();
        self.synced = self.next_sequence - 1;
        self.unwitnessed = true;
        self.publish();
    }

    fn publish(&mut self) {
        let batches = &mut self.group.batches;
        let entries = self.group.touched.iter().filter_map(|slot| Some((*slot, batches.get(*slot)?)));
        self.live.segment.extend(entries.map(|(slot, batch)| (slot, batch.entries.as_slice())));
        for slot in &self.group.touched {
            let Some((batch, stream)) = batches.get_mut(*slot).zip(self.shared.streams.get(*slot)) else {
                continue;
            };
            self.ledger.add(*slot, batch.records.len(), batch.value_bytes);
            stream.publish(&mut batch.records);
            batch.entries.clear();
            batch.value_bytes = 0;
        }
        let (records, commits) = self.group.answer();
        self.shared.counts.records.fetch_add(records, Ordering::Relaxed);
        self.shared.counts.commits.fetch_add(commits, Ordering::Relaxed);
        for slot in self.group.touched.drain(..) {
            if let Some(stream) = self.shared.streams.get(slot) {
                stream.notify();
            }
        }
        self.ledger.shrink(&self.shared.streams);
    }

    fn refuse_appends(&mut self, error: &AppendError) {
        for job in std::mem::take(&mut self.jobs) {
            match job {
                // The caller may have gone.
                Job::Append(append) => drop(append.answer.send(Err(error.clone()))),
                commit @ Job::Commit(_) => self.jobs.push_back(commit),
            }
        }
    }

    fn refuse_commits(&mut self, why: &str) {
        for job in std::mem::take(&mut self.jobs) {
            match job {
                append @ Job::Append(_) => self.jobs.push_back(append),
                Job::Commit(commit) => commit.done.answer(CommitAnswer::Aborted(why.to_owned())),
            }
        }
    }
}
