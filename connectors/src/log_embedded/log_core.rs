//! Core: the whole log as one state machine over a disk, without threads.

use std::sync::Arc;

use super::config::EmbeddedLogConfig;
use super::error::{OpenError, is_full};
use super::handle::LogHandle;
use super::header::SegmentHeader;
use super::pool::{Prepared, Unsealed, prepare};
use super::recovery::{Recovered, recover};
use super::segment::{Opened, Segment};
use super::shared::Shared;
use super::slots::Slots;
use super::stream::Stream;
use super::upkeep::Upkeep;
use super::writer::{Live, Pumped, Randomness, Writer, start_segment};
use crate::contract::clock::Clock;
use crate::contract::disk::{Disk, DiskFile};

/// The log without threads: a simulator owns its disk, clock and randomness and decides when it works.
pub struct LogCore {
    pub(crate) shared: Arc<Shared>,
    pub(crate) writer: Writer,
    pub(crate) upkeep: Upkeep,
}

impl LogCore {
    /// Recovers what is on the disk and begins a new segment. Damage is refused, nothing is changed then.
    pub fn open(
        config: EmbeddedLogConfig,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        mut randomness: impl FnMut() -> u64 + Send + 'static,
    ) -> Result<Self, OpenError> {
        config.validate()?;
        let slots = Slots { partitions: config.partitions };
        let mut found = recover(disk.as_ref(), config.partitions, config.segment_bytes)?;
        let prepared = first_segment(disk.as_ref(), &config, &mut found)?;
        let header = SegmentHeader {
            number: found.number,
            incarnation: randomness(),
            first_sequence: found.next_sequence,
            created_at: clock.wall(),
            predecessor: found.predecessor,
            partitions: config.partitions,
            base: found.next.clone(),
        };
        let oldest = found.segments.first().map_or(&header, |segment| &segment.header);
        let streams = (0..slots.count()).zip(&found.next);
        let streams = streams.map(|(slot, next)| Stream::new(oldest.base(slot), *next)).collect();
        let live =
            start_segment(disk.as_ref(), prepared, header).map_err(OpenError::disk("begin a segment"))?;
        Self::assemble(disk, clock, Box::new(randomness), config, found, streams, live)
    }

    fn assemble(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        randomness: Randomness,
        config: EmbeddedLogConfig,
        found: Recovered,
        streams: Vec<Stream>,
        live: Live,
    ) -> Result<Self, OpenError> {
        let mut segments = Vec::with_capacity(found.segments.len() + 1);
        let mut unsealed = Vec::new();
        for segment in found.segments {
            let sealed = Arc::new(Segment::sealed(segment.header, segment.end, segment.length));
            if let Some(index) = segment.index {
                let name = sealed.name();
                let file: Arc<dyn DiskFile> =
                    disk.open(&name).map_err(OpenError::disk(format!("open {name}")))?.into();
                let opened = Arc::new(Opened { file, index });
                unsealed.push(Unsealed { segment: Arc::clone(&sealed), opened });
            }
            segments.push(sealed);
        }
        segments.push(Arc::clone(&live.segment));
        let shared = Arc::new(Shared::new(disk, clock, config, streams, segments, found.disk_bytes));
        for unsealed in unsealed {
            shared.opened.insert(unsealed.segment.header.number, &unsealed.opened);
            shared.pool.push_unsealed(unsealed);
        }
        for spare in found.spares {
            shared.pool.put(spare);
        }
        let writer = Writer::new(Arc::clone(&shared), randomness, live, found.next, found.next_sequence);
        let upkeep = Upkeep::new(Arc::clone(&shared), found.spare_number);
        Ok(Self { shared, writer, upkeep })
    }

    /// The log as everybody else sees it.
    pub fn handle(&self) -> LogHandle {
        LogHandle::new(Arc::clone(&self.shared))
    }

    /// Writes one group if one is queued, doing the helper's work if it needs a segment. False: nothing was done.
    pub fn pump(&mut self) -> bool {
        loop {
            match self.writer.pump() {
                Pumped::Idle => return false,
                Pumped::Wrote => return true,
                Pumped::Waits => {
                    if !self.upkeep.step() && self.shared.failed().is_none() && !self.shared.pool.no_room() {
                        return false;
                    }
                }
            }
        }
    }

    /// Does one piece of the helper's work: a footer, a drop, a segment ahead. False: there is none.
    pub fn upkeep(&mut self) -> bool {
        self.upkeep.step()
    }

    /// What an idle log does: writes the empty frame that proves its last group synced.
    pub fn idle(&mut self) {
        self.writer.witness();
    }
}

/// A file for the first segment: one that was ready, else a new one.
fn first_segment(
    disk: &dyn Disk,
    config: &EmbeddedLogConfig,
    found: &mut Recovered,
) -> Result<Prepared, OpenError> {
    if let Some(ready) = found.spares.pop() {
        return Ok(ready);
    }
    found.spare_number += 1;
    match prepare(disk, found.spare_number, config.segment_bytes) {
        Ok(prepared) => {
            found.disk_bytes += prepared.bytes;
            Ok(prepared)
        }
        Err(error) if is_full(&error) => Err(OpenError::NoRoom { bytes: config.segment_bytes }),
        Err(error) => Err(OpenError::disk("make a segment")(error)),
    }
}
