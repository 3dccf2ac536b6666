//! What the store may use of the machine.

use std::path::PathBuf;

use fjall::KeyspaceCreateOptions;
use fjall::config::{
    BlockSizePolicy, BloomConstructionPolicy, FilterPolicy, FilterPolicyEntry, HashRatioPolicy,
};

use crate::contract::state::StateError;

/// Where the store lies and what it may use. The defaults keep an idle process small; a busy one with state far
/// bigger than memory wants more `cache_bytes` first.
#[derive(Clone, Debug)]
pub struct FjallConfig {
    /// The store's own folder.
    pub folder: PathBuf,
    /// Blocks, filters and indexes kept in memory.
    pub cache_bytes: u64,
    /// Rows of one partition kept in memory before they become a sorted file.
    pub memtable_bytes: u64,
    /// The same over all partitions: the fullest is written out first.
    pub memtables_bytes: u64,
    /// Threads that merge sorted files. One: of several, fjall 3.1 keeps the first from merging, and that one hands
    /// what there is to merge round in a busy loop for as long as another is at it. It would write memtables out
    /// meanwhile, but rows come as sorted files here.
    pub worker_threads: usize,
    /// Sorted files kept open.
    pub open_files_max: usize,
}

impl FjallConfig {
    /// The defaults for a store in `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            cache_bytes: 16 << 20,
            memtable_bytes: 16 << 20,
            memtables_bytes: 64 << 20,
            worker_threads: 1,
            open_files_max: 256,
        }
    }

    pub(super) fn check(&self) -> Result<(), StateError> {
        let wrong = |what: &str| Err(StateError::Failed(format!("state configuration: {what}")));
        if self.worker_threads == 0 {
            return wrong("worker_threads must be at least 1");
        }
        if self.open_files_max < 10 {
            return wrong("open_files_max must be at least 10");
        }
        if self.memtable_bytes < 1 << 20 || self.memtables_bytes < self.memtable_bytes {
            return wrong("memtable_bytes must be at least 1 MiB and at most memtables_bytes");
        }
        Ok(())
    }
}

/// How a partition's tree is laid out; fixed when it is created.
pub(super) fn keyspace_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .data_block_size_policy(BlockSizePolicy::all(4 << 10))
        .data_block_hash_ratio_policy(HashRatioPolicy::all(0.0))
        .filter_policy(FilterPolicy::all(FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(10.0))))
}
