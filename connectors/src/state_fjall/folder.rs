//! The store's folder as a whole: how big it is, and how it is put aside.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use leadline_schemas::Millis;

/// `st_blocks` counts in units of 512 bytes on every Linux file system (stat(2)).
const BLOCK_BYTES: u64 = 512;

/// Renames a folder that would not open to `<name>.damaged-<time>` beside it, for a person to look at, so that a
/// new store can be built in its place. Answers the new name; none when there is no such folder.
///
/// Nothing is deleted, and an earlier damaged folder is never replaced.
pub fn move_aside(folder: &Path, now: Millis) -> io::Result<Option<PathBuf>> {
    let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{} has no parent folder", folder.display()),
        ));
    };
    if !folder.try_exists()? {
        return Ok(None);
    }
    // Colons are legal in file names, but awkward in shells and on other systems.
    let stem = format!("{}.damaged-{now}", name.to_string_lossy()).replace(':', "-");
    let mut target = parent.join(&stem);
    let mut attempt = 1_u32;
    while target.try_exists()? {
        attempt = attempt.saturating_add(1);
        target = parent.join(format!("{stem}-{attempt}"));
    }
    fs::rename(folder, &target)?;
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    File::open(parent)?.sync_all()?;
    Ok(Some(target))
}

/// What the folder takes on disk. Lengths would mislead: a journal is created with a length of 64 MiB and filled
/// later. Files that vanish meanwhile (merges) count as nothing.
pub(super) fn allocated_bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let of_entry = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => allocated_bytes(&entry.path()),
        Ok(metadata) => metadata.blocks().saturating_mul(BLOCK_BYTES),
        Err(_) => 0,
    };
    entries.flatten().map(of_entry).sum()
}
