//! Group: the frames that are written next.

use std::io;

use super::header::BLOCK_BYTES;
use crate::contract::disk::DiskFile;

/// What is written at once, in whole blocks: the one that the last write ended in is written again, and the new last one is
/// filled with zeros, which a segment holds behind its end anyhow. To change a part of a block the kernel would read it
/// from the disk first, if it has let the segment's pages go since they were zero-filled.
pub(crate) struct Group {
    /// Where the block begins that the first byte belongs to.
    at: u64,
    bytes: Vec<u8>,
    /// How many of the bytes were written before.
    before: usize,
}

impl Group {
    /// Nothing yet, in a segment whose first frame stands at `at`, where a block begins.
    pub(crate) fn new(at: u64) -> Self {
        Self { at, bytes: Vec::new(), before: 0 }
    }

    /// Where frames are appended.
    pub(crate) fn frames(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.len() == self.before
    }

    /// Where the next frame will stand.
    pub(crate) fn end(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }

    /// Writes it into a file of so many bytes.
    pub(crate) fn write(&mut self, file: &dyn DiskFile, file_bytes: u64) -> io::Result<()> {
        let filled = self.end().next_multiple_of(BLOCK_BYTES).min(file_bytes).max(self.end());
        let bytes = self.bytes.len();
        self.bytes.resize(bytes + usize::try_from(filled - self.end()).unwrap_or(0), 0);
        let written = file.write_at(&self.bytes, self.at);
        self.bytes.truncate(bytes);
        written
    }

    /// It is written: what comes now stands behind it. Keeps no more memory than this.
    pub(crate) fn advance(&mut self, memory_max: usize) {
        let end = self.end();
        self.before = usize::try_from(end % BLOCK_BYTES).unwrap_or(0);
        self.bytes.drain(..self.bytes.len().saturating_sub(self.before));
        self.at = end - self.before as u64;
        self.bytes.shrink_to(memory_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::disk::Disk as _;
    use crate::disk_simulated::SimulatedDisk;

    const BLOCK: usize = BLOCK_BYTES as usize;

    #[test]
    fn every_write_is_of_whole_blocks_and_ends_where_the_file_does() {
        let disk = SimulatedDisk::new();
        let file = disk.create("segment").unwrap();
        let file_bytes = 3 * BLOCK_BYTES + 100;
        file.write_at(&vec![u8::MAX; usize::try_from(file_bytes).unwrap()], 0).unwrap();
        let mut group = Group::new(BLOCK_BYTES);
        let mut told = Vec::new();
        for bytes in [10, BLOCK - 10, 1, BLOCK + 50, 20] {
            assert!(group.is_empty());
            assert_eq!(group.end(), BLOCK_BYTES + told.len() as u64);
            let frames = vec![bytes as u8; bytes];
            group.frames().extend_from_slice(&frames);
            told.extend(frames);
            assert!(!group.is_empty());
            assert_eq!(group.at % BLOCK_BYTES, 0);
            group.write(&*file, file_bytes).unwrap();
            group.advance(BLOCK);
            let mut filled = told.clone();
            filled.resize(told.len().next_multiple_of(BLOCK).min(2 * BLOCK + 100), 0);
            let mut written = vec![1; filled.len()];
            file.read_at(&mut written, BLOCK_BYTES).unwrap();
            assert_eq!(written, filled);
            assert_eq!(file.length().unwrap(), file_bytes, "zeros do not lengthen a file");
        }
    }
}
