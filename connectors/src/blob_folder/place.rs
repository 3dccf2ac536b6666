//! How objects get into the folder and out of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use rustix::fs::{FlockOperation, flock};

use super::Trouble;
use super::fresh::{Fresh, sweep};
use super::name::witness;
use super::stream::Gathering;
use super::witness::{self, Witness};
use crate::contract::blob::{About, Created, Stat, cut};
use crate::disk_room::{DiskRoom, Purpose};

/// How often a read starts again because the object was replaced under it.
const READS_MAX: u32 = 8;
/// How much is read at once where it is not kept.
const CHECK_BYTES: usize = 256 << 10;

pub(super) struct Folder {
    pub(super) root: PathBuf,
    lock: PathBuf,
    new: PathBuf,
    written: AtomicU64,
    room: DiskRoom,
    pub(super) gathering: Gathering,
}

/// An object that is open for reading.
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) stat: Stat,
    pub(super) range: Range<u64>,
}

impl Folder {
    pub(super) fn open(root: PathBuf) -> io::Result<Self> {
        let (lock, new, room) = (root.join("~lock"), root.join("~new"), DiskRoom::of(&root));
        let (written, gathering) = (AtomicU64::new(0), Gathering::default());
        let folder = Self { root, lock, new, written, room, gathering };
        folder.make_folders(&folder.new)?;
        sweep(&folder.new)?;
        Ok(folder)
    }

    pub(super) fn create(&self, name: &str, content: &[u8]) -> io::Result<Created> {
        let target = self.root.join(name);
        if target.try_exists()? {
            // Whoever made it may not have got to this, and the caller will rely on it.
            sync_folder(folder_of(&target))?;
            return Ok(Created::Exists);
        }
        self.place(name, self.write_new(content)?, &About::default())
    }

    /// Makes an object of what was written and synced, unless there is one.
    pub(super) fn place(&self, name: &str, fresh: Fresh, about: &About) -> io::Result<Created> {
        let target = self.root.join(name);
        let _shared = self.locked(FlockOperation::LockShared)?;
        if !target.try_exists()? {
            self.make_folders(folder_of(&target))?;
            self.place_witness(name, &fresh, about)?;
        }
        // A hard link never replaces: of several who create at once, one wins.
        let created = match fresh.link(&target) {
            Ok(()) => Created::New,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Created::Exists,
            Err(error) => return Err(error),
        };
        sync_folder(folder_of(&target))?;
        Ok(created)
    }

    pub(super) fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let target = self.root.join(name);
        let fresh = self.write_new(content)?;
        let _alone = self.locked(FlockOperation::LockExclusive)?;
        self.make_folders(folder_of(&target))?;
        let old = self.witnesses(name)?;
        let own = self.place_witness(name, &fresh, &About::default())?;
        fresh.rename(&target)?;
        sync_folder(folder_of(&target))?;
        witness::remove(old, Some(&own))
    }

    pub(super) fn read(&self, name: &str) -> Result<Option<Bytes>, Trouble> {
        let target = self.root.join(name);
        let mut suspect = None;
        for _ in 0..READS_MAX {
            let Some((mut file, ino, bytes)) = open_file(&target)? else { return Ok(None) };
            let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
            file.read_to_end(&mut content)?;
            let (crc32c, bytes) = (crc32c::crc32c(&content), content.len() as u64);
            let expected = witness(name, crc32c, bytes);
            if self.root.join(&expected).try_exists()? {
                return Ok(Some(content.into()));
            }
            // Between reading and looking it may have been replaced and its witness removed; the same file twice
            // without a witness is damage.
            if suspect.replace(ino) == Some(ino) {
                return Err(Trouble::Damaged(format!(
                    "its content ({bytes} bytes) has CRC32C {crc32c:08x}, and no file {expected} says that this is right"
                )));
            }
        }
        Err(Trouble::Io(io::Error::other(format!("it was replaced {READS_MAX} times while it was read"))))
    }

    /// Opens an object to be read in pieces.
    pub(super) fn open_object(
        &self,
        name: &str,
        range: Option<Range<u64>>,
    ) -> Result<Option<Opened>, Trouble> {
        let target = self.root.join(name);
        for _ in 0..READS_MAX {
            let Some((mut file, ino, bytes)) = open_file(&target)? else { return Ok(None) };
            let mut fitting = self.witnesses(name)?;
            // The witnesses are this file's only if it still was the object when they were looked for.
            if fs::metadata(&target).map(|now| now.ino()).ok() != Some(ino) {
                continue;
            }
            fitting.retain(|witness| witness.bytes == bytes);
            let witness = the_one(fitting, &mut file)?
                .ok_or_else(|| Trouble::Damaged(format!("nothing says that its {bytes} bytes are right")))?;
            let stat = Stat { bytes, crc32c: witness.crc32c, about: witness.about()? };
            let range = cut(range, bytes);
            io::Seek::seek(&mut file, io::SeekFrom::Start(range.start))?;
            return Ok(Some(Opened { file, stat, range }));
        }
        Err(Trouble::Io(io::Error::other(format!("it was replaced {READS_MAX} times while it was opened"))))
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        let target = self.root.join(name);
        let _alone = self.locked(FlockOperation::LockExclusive)?;
        let old = self.witnesses(name)?;
        match fs::remove_file(&target) {
            Ok(()) => {}
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
        // Only then: an object that came back after a power cut must still have its witness.
        sync_folder(folder_of(&target))?;
        witness::remove(old, None)
    }

    /// A file to write to; `place` makes an object of it.
    pub(super) fn fresh(&self) -> io::Result<Fresh> {
        Fresh::create(&self.new, &self.written)
    }

    /// Fails when the rest of the disk is not for what is streamed: recordings stop before snapshots do.
    pub(super) fn check_room(&self) -> io::Result<()> {
        self.room.check(Purpose::Work)
    }

    /// Writes content to a file of its own, synced.
    fn write_new(&self, content: &[u8]) -> io::Result<Fresh> {
        // A snapshot lets the log drop what it holds, so it is not new work.
        self.room.check(Purpose::Ends)?;
        let mut fresh = self.fresh()?;
        fresh.write(content)?;
        fresh.sync()?;
        Ok(fresh)
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

    /// The lock is the file description's, so each use opens its own; it ends when the answer is dropped.
    fn locked(&self, how: FlockOperation) -> io::Result<File> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&self.lock)?;
        flock(&file, how)?;
        Ok(file)
    }
}

/// The file, its inode and its length; none where there is none, or a folder.
fn open_file(target: &Path) -> io::Result<Option<(File, u64, u64)>> {
    let file = match File::open(target) {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    Ok((!metadata.is_dir()).then_some((file, metadata.ino(), metadata.len())))
}

/// Which of the witnesses is the file's. Of one alone that is taken on trust, for the reader will see.
fn the_one(mut fitting: Vec<Witness>, file: &mut File) -> io::Result<Option<Witness>> {
    if fitting.len() < 2 {
        return Ok(fitting.pop());
    }
    let (mut crc32c, mut piece) = (0, vec![0; CHECK_BYTES]);
    loop {
        let read = file.read(&mut piece)?;
        let Some(read) = piece.get(..read).filter(|read| !read.is_empty()) else { break };
        crc32c = crc32c::crc32c_append(crc32c, read);
    }
    Ok(fitting.into_iter().find(|witness| witness.crc32c == crc32c))
}

pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
