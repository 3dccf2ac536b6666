//! Segments as the process knows them, and the bounded cache of opened ones.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::error::OpenError;
use super::footer;
use super::header::{SegmentHeader, segment_name};
use super::index::{Entry, Index};
use super::recovery::scan_sealed;
use super::shared::lock;
use crate::contract::disk::{Disk, DiskFile};

/// Open files are few, whatever the size of their indexes: the usual limit of a process is 1,024.
const OPENED_MAX: usize = 128;

/// One segment. The newest has a growing index; all others have an end and their index in a footer.
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    /// Bytes on disk.
    pub(crate) length: AtomicU64,
    end: OnceLock<u64>,
    live: Mutex<Option<Opened>>,
}

/// A segment's file with its index.
pub(crate) struct Opened {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) index: Index,
}

impl Segment {
    pub(crate) fn live(header: SegmentHeader, file: Arc<dyn DiskFile>, length: u64) -> Self {
        let index = Index::new(header.base.len());
        Self {
            header,
            length: AtomicU64::new(length),
            end: OnceLock::new(),
            live: Mutex::new(Some(Opened { file, index })),
        }
    }

    pub(crate) fn sealed(header: SegmentHeader, end: u64, length: u64) -> Self {
        Self { header, length: AtomicU64::new(length), end: OnceLock::from(end), live: Mutex::new(None) }
    }

    pub(crate) fn name(&self) -> String {
        segment_name(self.header.number)
    }

    /// Where its frames end, once it is sealed.
    pub(crate) fn end(&self) -> Option<u64> {
        self.end.get().copied()
    }

    /// Adds written and synced entries to the growing index.
    pub(crate) fn extend<'e>(&self, more: impl Iterator<Item = (usize, &'e [Entry])>) {
        if let Some(opened) = lock(&self.live).as_mut() {
            more.for_each(|(slot, entries)| opened.index.extend(slot, entries));
        }
    }

    /// Runs `look` on the growing index; `None` once sealed.
    pub(crate) fn with_live<T>(&self, look: impl FnOnce(&Opened) -> T) -> Option<T> {
        lock(&self.live).as_ref().map(look)
    }

    /// Ends the segment. The cache has its index before the segment lets go of it, so readers always find one.
    pub(crate) fn seal(&self, end: u64, cache: &OpenedCache) -> Option<Arc<Opened>> {
        // A second end would be a bug of the writer; the first one is what was written.
        let _ = self.end.set(end);
        let mut live = lock(&self.live);
        let opened = Arc::new(live.take()?);
        cache.insert(self.header.number, &opened);
        Some(opened)
    }

    /// Opens a sealed segment by its footer, or by a scan if that is missing or damaged.
    fn open(&self, disk: &dyn Disk) -> Result<Opened, OpenError> {
        let name = self.name();
        let file: Arc<dyn DiskFile> =
            disk.open(&name).map_err(OpenError::disk(format!("open {name}")))?.into();
        let end = self.end().ok_or_else(|| {
            OpenError::disk(format!("read {name}"))(io::Error::other("it is still being written"))
        })?;
        let slots = self.header.base.len();
        let index = match footer::read(file.as_ref(), end, self.header.incarnation, slots) {
            Some(index) => index,
            None => scan_sealed(file.as_ref(), &self.header, end)?.index,
        };
        Ok(Opened { file, index })
    }

    pub(crate) fn bytes_on_disk(&self) -> u64 {
        self.length.load(Ordering::Relaxed)
    }
}

/// Opened segments, the least recently used given up first.
pub(crate) struct OpenedCache {
    bytes_max: usize,
    state: Mutex<CacheState>,
}

#[derive(Default)]
struct CacheState {
    opened: HashMap<u64, (u64, Arc<Opened>)>,
    bytes: usize,
    uses: u64,
}

impl OpenedCache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, state: Mutex::default() }
    }

    /// The opened segment, from the cache or from disk. Two readers may load the same one; one load is kept.
    pub(crate) fn get(&self, segment: &Segment, disk: &dyn Disk) -> Result<Arc<Opened>, OpenError> {
        if let Some(opened) = lock(&self.state).touch(segment.header.number) {
            return Ok(opened);
        }
        let opened = Arc::new(segment.open(disk)?);
        self.insert(segment.header.number, &opened);
        Ok(opened)
    }

    pub(crate) fn insert(&self, number: u64, opened: &Arc<Opened>) {
        let mut state = lock(&self.state);
        state.remove(number);
        state.uses += 1;
        let uses = state.uses;
        state.bytes += opened.index.memory_bytes();
        state.opened.insert(number, (uses, Arc::clone(opened)));
        while state.opened.len() > 1 && (state.bytes > self.bytes_max || state.opened.len() > OPENED_MAX) {
            let Some(oldest) = state.opened.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| *key)
            else {
                break;
            };
            state.remove(oldest);
        }
    }

    pub(crate) fn remove(&self, number: u64) {
        lock(&self.state).remove(number);
    }
}

impl CacheState {
    fn touch(&mut self, number: u64) -> Option<Arc<Opened>> {
        self.uses += 1;
        let (used, opened) = self.opened.get_mut(&number)?;
        *used = self.uses;
        Some(Arc::clone(opened))
    }

    fn remove(&mut self, number: u64) {
        if let Some((_, opened)) = self.opened.remove(&number) {
            self.bytes -= opened.index.memory_bytes();
        }
    }
}
