//! The real disk: one folder, owned by one process.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::contract::disk::{Disk, DiskFile};

/// Holds the lock and the owner's process id. The lock is the kernel's: it ends with the process, the file stays.
const LOCK_NAME: &str = "lock";

/// A folder of plain files. While it lives, no other process can open it for writing.
#[derive(Debug)]
pub struct FolderDisk {
    path: PathBuf,
    /// Syncing it makes names durable.
    folder: File,
    /// None: opened for reading only.
    lock: Option<File>,
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process owns it.
    #[error(
        "{} is in use by process {owner}: stop that process first, or talk to it with `leadline` commands that use \
         its control socket",
        path.display()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The owner's process id, as far as it could be read.
        owner: String,
    },
    /// The system refused.
    #[error("cannot use the folder {}: {error}", path.display())]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        error: io::Error,
    },
}

impl FolderDisk {
    /// Opens the folder as its only owner, making it if it is not there.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let unusable = |error| FolderError::Unusable { path: path.to_owned(), error };
        make_folder(path).map_err(unusable)?;
        let folder = File::open(path).map_err(unusable)?;
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join(LOCK_NAME))
            .map_err(unusable)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(FolderError::InUse { path: path.to_owned(), owner: owner(&lock) });
            }
            Err(error) => return Err(unusable(error.into())),
        }
        name_owner(&lock).map_err(unusable)?;
        Ok(Self { path: path.to_owned(), folder, lock: Some(lock) })
    }

    /// Opens the folder for reading, beside its owner if it has one. Whatever would change it is refused.
    pub fn open_read_only(path: &Path) -> Result<Self, FolderError> {
        let folder =
            File::open(path).map_err(|error| FolderError::Unusable { path: path.to_owned(), error })?;
        Ok(Self { path: path.to_owned(), folder, lock: None })
    }

    fn writable(&self) -> io::Result<()> {
        match self.lock {
            Some(_) => Ok(()),
            None => {
                Err(io::Error::new(io::ErrorKind::PermissionDenied, "the folder is open for reading only"))
            }
        }
    }
}

/// Makes the folder and its parents, each durable in its own parent.
fn make_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or_else(|| Path::new("."));
    make_folder(parent)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other?,
    }
    File::open(parent)?.sync_all()
}

fn name_owner(mut lock: &File) -> io::Result<()> {
    lock.set_len(0)?;
    writeln!(lock, "{}", std::process::id())
}

fn owner(mut lock: &File) -> String {
    let mut text = String::new();
    match lock.read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}

impl Disk for FolderDisk {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.writable()?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(self.path.join(name))?;
        Ok(Box::new(FolderFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let write = self.lock.is_some();
        let file = OpenOptions::new().read(true).write(write).open(self.path.join(name))?;
        Ok(Box::new(FolderFile(file)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
                && name != LOCK_NAME
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.writable()?;
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.writable()?;
        fs::remove_file(self.path.join(name))
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.writable()?;
        self.folder.sync_all()
    }
}

/// Positioned reads and writes: no shared cursor, so readers and the writer do not meet.
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

#[cfg(test)]
mod tests;
