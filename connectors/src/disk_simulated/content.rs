//! Content: the bytes of one file, as processes see them and as the platters have them.

use std::io;

use super::crash::{Chance, Fate};

/// A file behind whatever names it has.
#[derive(Clone, Default)]
pub(super) struct Content {
    /// What a read answers: the page cache.
    pub(super) live: Vec<u8>,
    /// What is certain, up to the first change that is not.
    durable: Vec<u8>,
    /// The changes since, in order.
    changes: Vec<Change>,
}

#[derive(Clone)]
struct Change {
    what: What,
    sync: Sync,
}

/// What syncs did for a change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sync {
    /// None came yet.
    Awaited,
    Done,
    /// One failed: the kernel has dropped the pages, a later sync does not write them.
    Failed,
}

#[derive(Clone)]
enum What {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Content {
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let at = position(offset)?;
        let end = at.checked_add(buffer.len()).ok_or(io::ErrorKind::InvalidInput)?;
        let found = self.live.get(at..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(found);
        Ok(())
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.change(What::Write { at: position(offset)?, bytes: bytes.to_vec() });
        Ok(())
    }

    pub(super) fn set_length(&mut self, bytes: u64) -> io::Result<()> {
        self.change(What::Length(position(bytes)?));
        Ok(())
    }

    fn change(&mut self, what: What) {
        what.apply(&mut self.live);
        self.changes.push(Change { what, sync: Sync::Awaited });
    }

    pub(super) fn sync(&mut self) {
        self.synced(Sync::Done);
        // What stands behind a change that is not certain has to wait for it: they may overlap.
        let certain = self.changes.iter().take_while(|change| change.sync == Sync::Done).count();
        for change in self.changes.drain(..certain) {
            change.what.apply(&mut self.durable);
        }
    }

    /// A sync that answers an error.
    pub(super) fn fail_sync(&mut self) {
        self.synced(Sync::Failed);
    }

    fn synced(&mut self, sync: Sync) {
        let awaited = self.changes.iter_mut().filter(|change| change.sync == Sync::Awaited);
        awaited.for_each(|change| change.sync = sync);
    }

    pub(super) fn unsynced(&self) -> usize {
        self.changes.iter().filter(|change| change.sync != Sync::Done).count()
    }

    /// What the next life of the machine finds.
    pub(super) fn after_crash(&self, chance: &mut Chance<'_>) -> Self {
        let mut found = self.durable.clone();
        for change in &self.changes {
            let fate = if change.sync == Sync::Done { Fate::Kept } else { chance.fate() };
            match (fate, &change.what) {
                (Fate::Lost, _) => {}
                (Fate::Torn, What::Write { at, bytes }) => {
                    for (from, to) in chance.pieces(bytes.len()) {
                        let piece = bytes.get(from..to).unwrap_or_default().to_vec();
                        What::Write { at: at.saturating_add(from), bytes: piece }.apply(&mut found);
                    }
                }
                (_, what) => what.apply(&mut found),
            }
        }
        Self::durable(found)
    }

    /// A file all of which is on the platters.
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        Self { live: bytes.clone(), durable: bytes, changes: Vec::new() }
    }
}

impl What {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Length(length) => content.resize(*length, 0),
            Self::Write { bytes, .. } if bytes.is_empty() => {}
            Self::Write { at, bytes } => {
                let end = at.saturating_add(bytes.len());
                if content.len() < end {
                    content.resize(end, 0);
                }
                if let Some(place) = content.get_mut(*at..end) {
                    place.copy_from_slice(bytes);
                }
            }
        }
    }
}

/// This disk lives in memory: a position that no memory has is a mistake of the caller.
fn position(offset: u64) -> io::Result<usize> {
    const POSITION_MAX: u64 = 1 << 32;
    usize::try_from(offset)
        .ok()
        .filter(|_| offset <= POSITION_MAX)
        .ok_or_else(|| io::ErrorKind::InvalidInput.into())
}
