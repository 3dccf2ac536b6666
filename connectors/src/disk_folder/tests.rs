//! The suite, and who may own a folder.

use super::*;
use crate::conformance::disk::suite;

/// A folder that goes with its disk.
struct Temporary {
    disk: FolderDisk,
    _folder: tempfile::TempDir,
}

impl Disk for Temporary {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.disk.create(name)
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(name)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn sync_folder(&self) -> io::Result<()> {
        self.disk.sync_folder()
    }
}

#[test]
fn it_passes_the_suite() {
    suite(&|| {
        let folder = tempfile::tempdir().unwrap();
        Box::new(Temporary { disk: FolderDisk::open(folder.path()).unwrap(), _folder: folder })
    });
}

#[test]
fn a_folder_has_one_owner_who_is_named_to_the_second() {
    let folder = tempfile::tempdir().unwrap();
    let first = FolderDisk::open(folder.path()).unwrap();
    let refused = FolderDisk::open(folder.path()).err().unwrap().to_string();
    assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
    drop(first);
    FolderDisk::open(folder.path()).unwrap();
}

#[test]
fn what_cannot_be_a_folder_is_refused_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"x").unwrap();
    let refused = FolderDisk::open(&file).err().unwrap().to_string();
    assert!(refused.contains("/file"), "{refused}");
}
