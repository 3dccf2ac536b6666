//! A file that is being written, and is an object only once it has its name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FlockOperation, flock};

/// Removed when it is dropped without having become an object. Locked as long as it is open, so that another
/// process's start can tell it from what a crash has left.
pub(super) struct Fresh {
    path: Option<PathBuf>,
    file: File,
    crc32c: u32,
    bytes: u64,
}

impl Fresh {
    /// An empty one in this folder.
    pub(super) fn create(folder: &Path, numbers: &AtomicU64) -> io::Result<Self> {
        loop {
            let number = numbers.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!("{}-{number}", std::process::id()));
            let file = match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => file,
                // Another store of this process, or one of a container with the same process id.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            };
            // Whoever sweeps may have met it before it was locked.
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() && file.metadata()?.nlink() > 0
            {
                return Ok(Self { path: Some(path), file, crc32c: 0, bytes: 0 });
            }
        }
    }

    pub(super) fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        self.crc32c = crc32c::crc32c_append(self.crc32c, piece);
        self.bytes = self.bytes.saturating_add(piece.len() as u64);
        Ok(())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    pub(super) fn crc32c(&self) -> u32 {
        self.crc32c
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives it a name that nobody has; it loses its own when it is dropped.
    pub(super) fn link(&self, target: &Path) -> io::Result<()> {
        match &self.path {
            Some(path) => fs::hard_link(path, target),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Puts it in the place of what has the name.
    pub(super) fn rename(mut self, target: &Path) -> io::Result<()> {
        match &self.path {
            Some(path) => fs::rename(path, target)?,
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        // The name may be another file's by the time this one is dropped.
        self.path = None;
        Ok(())
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if let Some(path) = &self.path
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!(path = %path.display(), %error, "what was being written is left behind until the next start");
        }
    }
}

/// Removes what nobody is writing any more.
pub(super) fn sweep(folder: &Path) -> io::Result<()> {
    for left in fs::read_dir(folder)? {
        let path = left?.path();
        let Ok(file) = File::open(&path) else { continue };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            match fs::remove_file(path) {
                // Another process that starts at the same time sweeps too.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_that_start_together_sweep_together() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..20 {
            for number in 0..50 {
                fs::write(folder.path().join(format!("9-{number}")), b"left").unwrap();
            }
            std::thread::scope(|scope| {
                let sweeps = [0; 4].map(|_| scope.spawn(|| sweep(folder.path())));
                sweeps.into_iter().for_each(|swept| swept.join().unwrap().unwrap());
            });
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}
