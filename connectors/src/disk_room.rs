//! Keeps the last part of a disk free, so that what was accepted can still come to its end on a full one.
//!
//! Who takes on new work stops first; who ends work that was accepted goes on a little longer; the rest is for the
//! background work of fjall and SQLite, which take no failed write well (fjall closes itself).

use std::io;
use std::path::{Path, PathBuf};

/// New work stops when less than this share of the disk is free ...
const WORK_SHARE: u64 = 4;
/// ... or this much, whichever is less: four of the log's segments.
const WORK_BYTES_MAX: u64 = 256 << 20;
/// Work that was accepted stops when less than this share is free ...
const ENDS_SHARE: u64 = 8;
/// ... or this much, whichever is less: fjall's journals and memtables once over.
const ENDS_BYTES_MAX: u64 = 128 << 20;

/// What is about to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Something new: a log segment.
    Work,
    /// What follows from something accepted: rows of the state store, records, snapshots.
    Ends,
}

/// The disk that a folder lies on.
#[derive(Clone, Debug)]
pub struct DiskRoom(PathBuf);

impl DiskRoom {
    /// Of the disk that this folder lies on.
    pub fn of(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// Fails with `StorageFull` when what is left must stay free of such writes. About 1 µs.
    pub fn check(&self, purpose: Purpose) -> io::Result<()> {
        let (free, total) = bytes(&self.0)?;
        let kept = kept_bytes(purpose, total);
        if free >= kept {
            return Ok(());
        }
        let what =
            format!("{free} bytes are free on the disk, and the last {kept} are kept for what was accepted");
        Err(io::Error::new(io::ErrorKind::StorageFull, what))
    }
}

fn kept_bytes(purpose: Purpose, total: u64) -> u64 {
    match purpose {
        Purpose::Work => (total / WORK_SHARE).min(WORK_BYTES_MAX),
        Purpose::Ends => (total / ENDS_SHARE).min(ENDS_BYTES_MAX),
    }
}

/// Bytes that an ordinary user may still write, and all bytes.
fn bytes(folder: &Path) -> io::Result<(u64, u64)> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok((disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_blocks.saturating_mul(disk.f_frsize)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_work_stops_before_work_that_was_accepted() {
        for total in [1 << 20, 48 << 20, 1 << 30, 1 << 40] {
            let (work, ends) = (kept_bytes(Purpose::Work, total), kept_bytes(Purpose::Ends, total));
            assert!(ends > 0 && work >= 2 * ends && work <= total / 4, "{total}: {work}, {ends}");
        }
        let folder = tempfile::tempdir().unwrap();
        assert!(bytes(folder.path()).is_ok_and(|(free, total)| free <= total && total > 0));
    }
}
