//! A folder on the machine's one disk: each layout's log has one, and all of them crash together.

use std::io;

use leadline_connectors::contract::disk::{Disk, DiskFile};
use leadline_connectors::disk_simulated::SimulatedDisk;

/// The files whose names begin with its own.
pub struct Folder {
    disk: SimulatedDisk,
    prefix: String,
}

impl Folder {
    pub fn new(disk: &SimulatedDisk, name: &str) -> Self {
        Self { disk: disk.clone(), prefix: format!("{name}-") }
    }

    fn place(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

impl Disk for Folder {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.disk.create(&self.place(name))
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(&self.place(name))
    }
    fn list(&self) -> io::Result<Vec<String>> {
        let all = self.disk.list()?;
        Ok(all.iter().filter_map(|name| name.strip_prefix(&self.prefix)).map(str::to_owned).collect())
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(&self.place(from), &self.place(to))
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(&self.place(name))
    }
    fn sync_folder(&self) -> io::Result<()> {
        self.disk.sync_folder()
    }
}
