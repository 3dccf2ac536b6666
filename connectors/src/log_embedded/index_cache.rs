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

#[cfg(test)]
mod tests {
    use super::super::index::Entry;
    use super::*;

    fn index(entries: u32) -> Arc<Index> {
        let mut index = Index::new(1);
        (0..entries).for_each(|n| index.push(0, Entry { position: n, bytes: 48 }));
        Arc::new(index)
    }

    #[test]
    fn it_stays_within_its_bound_and_keeps_the_newest() {
        let cache = IndexCache::new(10_000);
        for number in 1..=100 {
            cache.keep(number, index(256));
        }
        let loaded = cache.loaded();
        let bytes: usize = loaded.indexes.iter().map(|(_, index)| index.memory_bytes()).sum();
        assert!(bytes <= 10_000 && bytes == loaded.bytes);
        let numbers: Vec<u64> = loaded.indexes.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [97, 98, 99, 100]);
        drop(loaded);
        cache.keep(101, index(5_000));
        assert_eq!(cache.loaded().indexes.len(), 1, "one is kept whatever its size");
        cache.forget(101);
        assert_eq!(cache.loaded().bytes, 0);
    }
}
