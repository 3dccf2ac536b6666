//! The real disk: one folder of plain files, owned by one process.

#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::contract::disk::{Disk, DiskFile};
use crate::disk_room::{DiskRoom, Purpose};

/// A folder that this process owns for as long as the value lives.
#[derive(Debug)]
pub struct FolderDisk {
    root: PathBuf,
    room: DiskRoom,
    folder: File,
    _lock: File,
}

/// Why a folder cannot be owned.
#[derive(Debug, thiserror::Error)]
pub enum OwnError {
    /// Another process has it.
    #[error(
        "{folder} belongs to a running leadline (process {pid}): stop it, or use another --data; commands that change \
         a running instance reach it by themselves"
    )]
    Taken {
        /// The folder.
        folder: String,
        /// The process that holds it, as its lock file says.
        pid: String,
    },
    /// The folder cannot be used.
    #[error(
        "{folder} cannot be used as a data folder: {error}; check that it exists, is a folder and can be written"
    )]
    Io {
        /// The folder.
        folder: String,
        /// The system's answer.
        error: io::Error,
    },
}

impl FolderDisk {
    /// Makes the folder if need be and takes its lock.
    pub fn open(root: &Path) -> Result<Self, OwnError> {
        let failed = |error| OwnError::Io { folder: root.display().to_string(), error };
        fs::create_dir_all(root).map_err(failed)?;
        let path = root.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let lock = lock.map_err(failed)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let pid = fs::read_to_string(&path).unwrap_or_default();
            let pid = if pid.trim().is_empty() { "unknown".to_owned() } else { pid.trim().to_owned() };
            return Err(OwnError::Taken { folder: root.display().to_string(), pid });
        }
        lock.set_len(0).map_err(failed)?;
        lock.write_all_at(std::process::id().to_string().as_bytes(), 0).map_err(failed)?;
        let folder = File::open(root).map_err(failed)?;
        Ok(Self { root: root.to_owned(), room: DiskRoom::of(root), folder, _lock: lock })
    }
}

impl Disk for FolderDisk {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.room.check(Purpose::Work)?;
        let file = OpenOptions::new().create_new(true).read(true).write(true).open(self.root.join(name))?;
        Ok(Box::new(FolderFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(FolderFile(OpenOptions::new().read(true).write(true).open(self.root.join(name))?)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.root.join(from), self.root.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.root.join(name))
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.folder.sync_all()
    }
}

struct FolderFile(File);

impl DiskFile for FolderFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_length(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }
}
