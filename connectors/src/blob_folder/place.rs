//! How objects get into the folder and out of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use rustix::fs::{FlockOperation, flock};

use super::Trouble;
use super::name::{is_ours, witness};
use crate::contract::blob::Created;
use crate::disk_room::{DiskRoom, Purpose};

/// How often a read starts again because the object was replaced under it.
const READS_MAX: u32 = 8;

pub(super) struct Folder {
    root: PathBuf,
    lock: PathBuf,
    new: PathBuf,
    written: AtomicU64,
    room: DiskRoom,
}

impl Folder {
    pub(super) fn open(root: PathBuf) -> io::Result<Self> {
        let (lock, new, room) = (root.join("~lock"), root.join("~new"), DiskRoom::of(&root));
        let folder = Self { root, lock, new, written: AtomicU64::new(0), room };
        folder.make_folders(&folder.new)?;
        // Who writes holds the lock shared; so when it can be had alone, what lies in `~new` is left from a crash.
        let lock = folder.lock_file()?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            for left in fs::read_dir(&folder.new)? {
                fs::remove_file(left?.path())?;
            }
        }
        Ok(folder)
    }

    pub(super) fn create(&self, name: &str, content: &[u8]) -> io::Result<Created> {
        let target = self.root.join(name);
        let _shared = self.locked(FlockOperation::LockShared)?;
        if target.try_exists()? {
            // Whoever made it may not have got to this, and the caller will rely on it.
            sync_folder(folder_of(&target))?;
            return Ok(Created::Exists);
        }
        let fresh = self.write_new(content)?;
        self.make_folders(folder_of(&target))?;
        let own_witness = self.root.join(witness(name, content));
        place_witness(&own_witness)?;
        // A hard link never replaces: of several who create at once, one wins.
        let linked = fs::hard_link(&fresh, &target);
        fs::remove_file(&fresh)?;
        let created = match linked {
            Ok(()) => Created::New,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Created::Exists,
            Err(error) => return Err(error),
        };
        sync_folder(folder_of(&target))?;
        Ok(created)
    }

    pub(super) fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let target = self.root.join(name);
        let _alone = self.locked(FlockOperation::LockExclusive)?;
        let fresh = self.write_new(content)?;
        self.make_folders(folder_of(&target))?;
        let own_witness = self.root.join(witness(name, content));
        let old_witness = self.witness_there(name)?;
        place_witness(&own_witness)?;
        fs::rename(&fresh, &target)?;
        sync_folder(folder_of(&target))?;
        if let Some(old) = old_witness.filter(|old| *old != own_witness) {
            fs::remove_file(old)?;
        }
        Ok(())
    }

    pub(super) fn read(&self, name: &str) -> Result<Option<Bytes>, Trouble> {
        let target = self.root.join(name);
        let mut suspect = None;
        for _ in 0..READS_MAX {
            let mut file = match File::open(&target) {
                Ok(file) => file,
                Err(error) if is_absent(&error) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let metadata = file.metadata()?;
            if metadata.is_dir() {
                return Ok(None);
            }
            let mut content = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
            file.read_to_end(&mut content)?;
            let expected = witness(name, &content);
            if self.root.join(&expected).try_exists()? {
                return Ok(Some(content.into()));
            }
            // Between reading and looking it may have been replaced and its witness removed; the same file twice
            // without a witness is damage.
            if suspect.replace(metadata.ino()) == Some(metadata.ino()) {
                return Err(Trouble::Damaged(format!(
                    "its content ({} bytes) has CRC32C {:08x}, and no file {expected} says that this is right",
                    content.len(),
                    crc32c::crc32c(&content)
                )));
            }
        }
        Err(Trouble::Io(io::Error::other(format!("it was replaced {READS_MAX} times while it was read"))))
    }

    pub(super) fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        // Only the folder that the prefix names is walked, not the whole store.
        let start = match prefix.rsplit_once('/') {
            Some((folder, _)) if super::name::checked(folder).is_none() => return Ok(Vec::new()),
            Some((folder, _)) => format!("{folder}/"),
            None => String::new(),
        };
        let mut names = Vec::new();
        let mut open = vec![start];
        while let Some(folder) = open.pop() {
            let entries = match fs::read_dir(self.root.join(&folder)) {
                Ok(entries) => entries,
                Err(error) if is_absent(&error) => continue,
                Err(error) => return Err(error),
            };
            for entry in entries {
                let entry = entry?;
                let file_name = entry.file_name();
                let Some(file_name) = file_name.to_str().filter(|name| !is_ours(name)) else { continue };
                let name = format!("{folder}{file_name}");
                if entry.file_type()?.is_dir() {
                    let deeper = format!("{name}/");
                    if deeper.starts_with(prefix) || prefix.starts_with(&deeper) {
                        open.push(deeper);
                    }
                } else if name.starts_with(prefix) {
                    names.push(name);
                }
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        let target = self.root.join(name);
        let _alone = self.locked(FlockOperation::LockExclusive)?;
        let old_witness = self.witness_there(name)?;
        match fs::remove_file(&target) {
            Ok(()) => {}
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
        // Only then: an object that came back after a power cut must still have its witness.
        sync_folder(folder_of(&target))?;
        old_witness.map_or(Ok(()), fs::remove_file)
    }

    /// The witness of what lies there now. Computed, because looking for it would read the whole folder; that of a
    /// damaged object is not found and stays, which harms nothing.
    fn witness_there(&self, name: &str) -> io::Result<Option<PathBuf>> {
        let content = match fs::read(self.root.join(name)) {
            Ok(content) => content,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let path = self.root.join(witness(name, &content));
        Ok(path.try_exists()?.then_some(path))
    }

    /// Writes content to a file of its own, synced.
    fn write_new(&self, content: &[u8]) -> io::Result<PathBuf> {
        // A snapshot lets the log drop what it holds, so it is not new work.
        self.room.check(Purpose::Ends)?;
        loop {
            let number = self.written.fetch_add(1, Ordering::Relaxed);
            let path = self.new.join(format!("{}-{number}", std::process::id()));
            let mut file = match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => file,
                // Another store of this process, or one of a container with the same process id.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            };
            let written = file.write_all(content).and_then(|()| file.sync_all());
            return match written {
                Ok(()) => Ok(path),
                Err(error) => {
                    drop(file);
                    fs::remove_file(&path)?;
                    Err(error)
                }
            };
        }
    }

    /// Makes a folder below the root and those above it, each durable in its parent.
    fn make_folders(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        let parent = folder_of(folder);
        self.make_folders(parent)?;
        match fs::create_dir(folder) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        sync_folder(parent)
    }

    fn lock_file(&self) -> io::Result<File> {
        OpenOptions::new().create(true).truncate(false).write(true).open(&self.lock)
    }

    /// The lock is the file description's, so each use opens its own; it ends when the answer is dropped.
    fn locked(&self, how: FlockOperation) -> io::Result<File> {
        let file = self.lock_file()?;
        flock(&file, how)?;
        Ok(file)
    }
}

/// An empty file whose name says what the content must be; durable with the folder's next sync.
fn place_witness(path: &Path) -> io::Result<()> {
    OpenOptions::new().create(true).truncate(false).write(true).open(path)?.sync_all()?;
    sync_folder(folder_of(path))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
