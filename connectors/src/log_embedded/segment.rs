//! A segment: a file with its header, and where it ends.

use std::io;
use std::sync::Arc;

use super::error::Damage;
use super::footer;
use super::header::{SegmentHeader, segment_name};
use super::index::Index;
use super::scan::{Stop, scan};
use crate::contract::disk::{Disk, DiskFile};

/// A sealed segment: nothing is written to it any more, up to its end all is synced.
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    pub(crate) file: Arc<dyn DiskFile>,
    /// The first byte behind its last frame, as its successor's header says.
    pub(crate) end: u64,
    /// What it takes on disk.
    pub(crate) bytes: u64,
}

impl Segment {
    /// A segment that ends at `end` and gets a footer of so many bytes.
    pub(crate) fn sealed(
        header: SegmentHeader,
        file: Arc<dyn DiskFile>,
        end: u64,
        footer_bytes: usize,
    ) -> Self {
        let bytes = header.file_bytes.max(end + footer_bytes as u64);
        Self { header, file, end, bytes }
    }

    /// Its index, from the footer, else from the frames themselves.
    pub(crate) fn load_index(&self) -> Result<Index, Damage> {
        match footer::read(&*self.file, self.end, self.header.incarnation, self.header.base.len()) {
            Some(index) => Ok(index),
            None => self.scanned(),
        }
    }

    fn scanned(&self) -> Result<Index, Damage> {
        let damage =
            |position, what: String| Damage { file: segment_name(self.header.number), position, what };
        let found = scan(&*self.file, &self.header, self.end)
            .map_err(|error| damage(self.header.frames_at(), format!("it cannot be read: {error}")))?;
        match found.stop {
            Stop::Limit => Ok(found.index),
            Stop::Bad { position, what, .. } => Err(damage(position, what.to_owned())),
        }
    }
}

/// Puts the index behind a segment's last frame, once its successor is durable. It is derived, so neither synced nor
/// needed: a missing footer costs a scan.
pub(crate) fn write_footer(file: &dyn DiskFile, number: u64, end: u64, footer: &[u8]) {
    if let Err(error) = file.write_at(footer, end) {
        tracing::warn!(%error, segment = segment_name(number), "a log segment has no footer");
    }
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
        // It has one of the two names; if that fails too, the next start finds and judges it.
        let _ = disk.remove(&unfinished);
        let _ = disk.remove(name);
    }
    made
}

/// Writes a header into a zero-filled file and gives it its segment name, all durably.
pub(crate) fn begin_segment(
    disk: &dyn Disk,
    name: &str,
    mut header: SegmentHeader,
) -> io::Result<(Arc<dyn DiskFile>, SegmentHeader)> {
    let file = disk.open(name)?;
    header.file_bytes = file.length()?;
    file.write_at(&header.encode(), 0)?;
    file.sync_data()?;
    disk.rename(name, &segment_name(header.number))?;
    disk.sync_folder()?;
    Ok((Arc::from(file), header))
}
