//! Index cache: the indexes of sealed segments that are in memory, within one bound.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::Damage;
use super::index::Index;
use super::segment::Segment;

/// By segment number, the oldest loaded first. There are few: a list is searched faster than it is hashed.
#[derive(Default)]
struct Loaded {
    indexes: VecDeque<(u64, Arc<Index>)>,
    bytes: usize,
}

pub(crate) struct IndexCache {
    bytes_max: usize,
    loaded: Mutex<Loaded>,
}

impl IndexCache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, loaded: Mutex::default() }
    }

    fn loaded(&self) -> MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A segment's index: from memory, else from its file. No lock is held while the file is read.
    pub(crate) fn get(&self, segment: &Segment) -> Result<Arc<Index>, Damage> {
        let number = segment.header.number;
        let found =
            self.loaded().indexes.iter().find(|(of, _)| *of == number).map(|(_, index)| Arc::clone(index));
        match found {
            Some(index) => Ok(index),
            None => {
                let index = Arc::new(segment.load_index()?);
                self.keep(number, Arc::clone(&index));
                Ok(index)
            }
        }
    }

    /// Takes an index in; those loaded first give way, but never the one just taken in.
    pub(crate) fn keep(&self, number: u64, index: Arc<Index>) {
        let mut loaded = self.loaded();
        if loaded.indexes.iter().any(|(of, _)| *of == number) {
            return; // Another reader was faster.
        }
        loaded.bytes += index.memory_bytes();
        loaded.indexes.push_back((number, index));
        while loaded.bytes > self.bytes_max && loaded.indexes.len() > 1 {
            let Some((_, oldest)) = loaded.indexes.pop_front() else { return };
            loaded.bytes -= oldest.memory_bytes();
        }
    }

    /// Forgets the index of a segment that is dropped.
    pub(crate) fn forget(&self, number: u64) {
        let mut loaded = self.loaded();
        if let Some(at) = loaded.indexes.iter().position(|(of, _)| *of == number)
            && let Some((_, index)) = loaded.indexes.remove(at)
        {
            loaded.bytes -= index.memory_bytes();
        }
    }
}
