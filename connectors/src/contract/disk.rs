//! Disk: the file operations of the embedded log, few enough for a simulator to own them.
//!
//! Durability is in the names: what `write_at` wrote survives a crash of the process at once, a crash of the
//! machine only after `sync_data` of the file has returned; a created, renamed or removed name survives only
//! after `sync_folder` has returned. An unsynced write may be lost, torn at any bytes, or kept,
//! each on its own; so may an unsynced change of a name, except that it is never torn.

use std::io;

/// A folder of plain files with flat names; passes `conformance::disk`. All calls block; the log calls them from its
/// own threads.
pub trait Disk: Send + Sync + 'static {
    /// Creates a file that must not exist yet, open for reading and writing.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// The names of all files, in no order.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Renames a file; replaces `to` if it exists.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes creations, renames and removals durable.
    fn sync_folder(&self) -> io::Result<()>;
}

/// An open file. Reads and writes may come from several threads at once.
pub trait DiskFile: Send + Sync {
    /// Reads exactly `buffer.len()` bytes at `offset`; `UnexpectedEof` when the file ends before.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`. `StorageFull` means that nothing can be relied on but what was synced.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes all that was written to this file durable (`fdatasync`). After an error nothing may be assumed and
    /// it must not be called again: the kernel may have dropped the pages.
    fn sync_data(&self) -> io::Result<()>;

    /// The file's length in bytes.
    fn length(&self) -> io::Result<u64>;

    /// Cuts or extends the file; an extension reads as zeros.
    fn set_length(&self, bytes: u64) -> io::Result<()>;
}
