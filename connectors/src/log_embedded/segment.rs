//! A segment: a file with its header, where it ends, and the index of what stands in it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::error::Damage;
use super::footer;
use super::frame::{FRAME_HEADER_BYTES, FrameHeader};
use super::header::{SegmentHeader, segment_name};
use super::index::{Entry, Index};
use super::scan::{Stop, scan};
use crate::contract::disk::{Disk, DiskFile};

/// A sealed segment: nothing is written to it any more, up to its end all is synced.
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    pub(crate) file: Arc<dyn DiskFile>,
    /// The first byte behind its last frame, as its successor's header says.
    pub(crate) end: u64,
    index: Mutex<Option<Arc<Index>>>,
}

impl Segment {
    pub(crate) fn new(
        header: SegmentHeader,
        file: Arc<dyn DiskFile>,
        end: u64,
        index: Option<Arc<Index>>,
    ) -> Self {
        Self { header, file, end, index: Mutex::new(index) }
    }

    pub(crate) fn name(&self) -> String {
        segment_name(self.header.number)
    }

    /// The index: from memory, else from the footer, else from the frames themselves.
    pub(crate) fn index(&self) -> Result<Arc<Index>, Damage> {
        let mut cached = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = &*cached {
            return Ok(Arc::clone(index));
        }
        let from_footer =
            footer::read(&*self.file, self.end, self.header.incarnation, self.header.base.len());
        let index = match from_footer {
            Some(index) => index,
            None => self.scanned()?,
        };
        let index = Arc::new(index);
        *cached = Some(Arc::clone(&index));
        Ok(index)
    }

    /// Forgets the index; it is read again when it is needed.
    pub(crate) fn forget_index(&self) -> usize {
        let dropped = self.index.lock().unwrap_or_else(PoisonError::into_inner).take();
        dropped.map_or(0, |index| index.memory_bytes())
    }

    pub(crate) fn scanned(&self) -> Result<Index, Damage> {
        let damage = |position, what: String| Damage { file: self.name(), position, what };
        let found = scan(&*self.file, &self.header, self.end)
            .map_err(|error| damage(self.header.frames_at(), format!("it cannot be read: {error}")))?;
        match found.stop {
            Stop::Limit => Ok(found.index),
            Stop::Bad { position, what, .. } => Err(damage(position, what.to_owned())),
        }
    }
}

/// Reads the record or commit of an index entry, checking every frame of it.
pub(crate) fn read_entry(file: &dyn DiskFile, name: &str, entry: Entry) -> Result<Bytes, Damage> {
    let damage =
        |position: u64, what: &str| Damage { file: name.to_owned(), position, what: what.to_owned() };
    let position = u64::from(entry.position);
    let mut bytes = vec![0; entry.bytes as usize];
    file.read_at(&mut bytes, position)
        .map_err(|error| damage(position, &format!("it cannot be read: {error}")))?;
    let Some((header, _)) = FrameHeader::decode_frame(&bytes) else {
        return Err(damage(position, "a frame fails its checksum"));
    };
    if header.frame_bytes() == bytes.len() {
        return Ok(Bytes::from(bytes).slice(FRAME_HEADER_BYTES..));
    }
    let (mut value, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let Some((header, part)) = bytes.get(at..).and_then(FrameHeader::decode_frame) else {
            return Err(damage(position + at as u64, "a part of a commit fails its checksum"));
        };
        value.extend_from_slice(part);
        at += header.frame_bytes();
    }
    Ok(Bytes::from(value))
}

/// Fills a new file with zeros and makes it durable under `name`: later writes then change no metadata.
pub(crate) fn create_zeroed(disk: &dyn Disk, name: &str, bytes: u64) -> io::Result<()> {
    const PIECE: usize = 1 << 20;
    let unfinished = format!("{name}.tmp");
    let _ = disk.remove(&unfinished); // Left behind by a crash, if at all.
    let made = (|| {
        let file = disk.create(&unfinished)?;
        let zeros = vec![0; PIECE];
        let mut at = 0;
        while at < bytes {
            let piece = usize::try_from(bytes - at).unwrap_or(PIECE).min(PIECE);
            file.write_at(zeros.get(..piece).unwrap_or_default(), at)?;
            at += piece as u64;
        }
        file.sync_data()?;
        disk.rename(&unfinished, name)?;
        disk.sync_folder()
    })();
    if made.is_err() {
        let _ = disk.remove(&unfinished);
    }
    made
}
