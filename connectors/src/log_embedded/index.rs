//! Index: where the records of each topic and partition stand in one segment.

use std::mem::size_of;

/// One record, or one whole commit with all its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// First byte of its (first) frame.
    pub(crate) position: u32,
    /// Bytes of its frame or frames, headers included.
    pub(crate) bytes: u32,
}

/// Entries by slot; entry i is the record at the segment's base offset + i.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    slots: Vec<Vec<Entry>>,
}

impl Index {
    pub(crate) fn new(slots: usize) -> Self {
        Self { slots: vec![Vec::new(); slots] }
    }

    pub(crate) fn entries(&self, slot: usize) -> &[Entry] {
        self.slots.get(slot).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn count(&self, slot: usize) -> u64 {
        self.entries(slot).len() as u64
    }

    pub(crate) fn push(&mut self, slot: usize, entry: Entry) {
        if let Some(entries) = self.slots.get_mut(slot) {
            entries.push(entry);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &[Entry])> {
        self.slots.iter().map(Vec::as_slice).enumerate().filter(|(_, entries)| !entries.is_empty())
    }

    /// What it takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        let entries: usize = self.slots.iter().map(Vec::capacity).sum();
        entries * size_of::<Entry>() + self.slots.len() * size_of::<Vec<Entry>>()
    }
}
