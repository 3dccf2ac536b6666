//! Upkeep: what the helper does beside the writer: footers, retention, segments ahead of need.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::error::is_full;
use super::footer;
use super::pool::{Unsealed, prepare};
use super::segment::Segment;
use super::shared::Shared;

pub(crate) struct Upkeep {
    shared: Arc<Shared>,
    spare_number: u64,
}

impl Upkeep {
    pub(crate) fn new(shared: Arc<Shared>, spare_number: u64) -> Self {
        Self { shared, spare_number }
    }

    /// Does one piece of work; false if there is none.
    pub(crate) fn step(&mut self) -> bool {
        if self.shared.failed().is_some() {
            return false;
        }
        match self.try_step() {
            Ok(worked) => worked,
            Err(error) => {
                self.shared.fail(format!("cannot keep the log's files: {error}"));
                false
            }
        }
    }

    fn try_step(&mut self) -> io::Result<bool> {
        if let Some(unsealed) = self.shared.pool.pop_unsealed() {
            self.write_footer(&unsealed)?;
            return Ok(true);
        }
        Ok(self.drop_oldest()? || self.prepare_next()?)
    }

    /// Writes the rest of the footers when the log closes.
    pub(crate) fn finish(&mut self) {
        while self.shared.failed().is_none() {
            let Some(unsealed) = self.shared.pool.pop_unsealed() else { return };
            if let Err(error) = self.write_footer(&unsealed) {
                self.shared.fail(format!("cannot write {}'s footer: {error}", unsealed.segment.name()));
            }
        }
    }

    /// Writes a sealed segment's index behind its end and gives back the rest of the file. Without room there is
    /// simply no footer.
    fn write_footer(&self, unsealed: &Unsealed) -> io::Result<()> {
        let Unsealed { segment, opened } = unsealed;
        let Some(end) = segment.end() else { return Ok(()) };
        let footer = footer::encode(&opened.index, segment.header.incarnation);
        let written = opened.file.write_at(&footer, end).and_then(|()| {
            opened.file.sync_data()?;
            opened.file.set_length(end + footer.len() as u64)
        });
        match written {
            Err(error) if is_full(&error) => Ok(()),
            Err(error) => Err(error),
            Ok(()) => {
                let length = end + footer.len() as u64;
                let before = segment.length.swap(length, Ordering::Relaxed);
                self.shared.disk_bytes.fetch_add(length, Ordering::Relaxed);
                self.shared.disk_bytes.fetch_sub(before, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// Drops the oldest segment if it lies below every floor, and is old or in the way.
    fn drop_oldest(&self) -> io::Result<bool> {
        let segments = self.shared.segments();
        let [oldest, second, ..] = segments.as_slice() else { return Ok(false) };
        if !self.is_below_floors(oldest, second) {
            return Ok(false);
        }
        let in_the_way =
            self.shared.pool.no_room() || !self.shared.has_budget(self.shared.config.segment_bytes);
        if !in_the_way && !self.is_aged(oldest, second) {
            return Ok(false);
        }
        // Readers are told before the file goes; one that already has it open reads on.
        for (slot, stream) in self.shared.streams.iter().enumerate() {
            stream.set_first(second.header.base(slot));
        }
        self.shared.edit_segments(|segments| drop(segments.remove(0)));
        self.shared.opened.remove(oldest.header.number);
        self.shared.disk.remove(&oldest.name())?;
        // Each removal is made durable before the next: a later segment missing before an earlier one would look
        // like damage after a crash.
        self.shared.disk.sync_folder()?;
        self.shared.disk_bytes.fetch_sub(oldest.bytes_on_disk(), Ordering::Relaxed);
        self.shared.counts.segments_dropped.fetch_add(1, Ordering::Relaxed);
        Ok(true)
    }

    fn is_below_floors(&self, segment: &Segment, next: &Segment) -> bool {
        self.shared.streams.iter().enumerate().all(|(slot, stream)| {
            let end = next.header.base(slot);
            segment.header.base(slot) == end || end <= stream.floor()
        })
    }

    /// Whether its newest record is older than its topic is kept.
    fn is_aged(&self, segment: &Segment, next: &Segment) -> bool {
        let age_ms = self.shared.clock.wall().since(next.header.created_at);
        (0..self.shared.slots.count())
            .filter(|slot| segment.header.base(*slot) != next.header.base(*slot))
            .all(|slot| age_ms >= self.shared.config.retention.of(self.shared.slots.place(slot).0))
    }

    /// Makes the next segment file, or finds that there is no room for it.
    fn prepare_next(&mut self) -> io::Result<bool> {
        let pool = &self.shared.pool;
        if pool.is_complete() {
            self.shared.set_full(false);
            return Ok(false);
        }
        let bytes = self.shared.config.segment_bytes;
        let prepared = if self.shared.has_budget(bytes) {
            self.spare_number += 1;
            match prepare(self.shared.disk.as_ref(), self.spare_number, bytes) {
                Err(error) if is_full(&error) => None,
                other => Some(other?),
            }
        } else {
            None
        };
        let Some(prepared) = prepared else {
            pool.set_no_room(true);
            if pool.ready() < super::config::RESERVED_SEGMENTS {
                self.shared.set_full(true);
            }
            return Ok(false);
        };
        self.shared.disk_bytes.fetch_add(bytes, Ordering::Relaxed);
        pool.put(prepared);
        Ok(true)
    }
}
