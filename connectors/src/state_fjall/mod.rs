//! State on fjall: a log-structured tree per partition, all in one folder, behind a buffer in memory (`buffer.rs`).
//!
//! It is a cache of what the log says that happens to be on disk. There is no second journal: `apply` puts rows into
//! the buffer, which becomes a sorted file of the tree when it is full or `sync` is called. So the newest applies are
//! gone after a crash and come again from the log, but rows and marker of a partition go together, because they are
//! written in one file. It is not a place to put anything that the log does not have.

mod buffer;
mod config;
mod error;
mod folder;
mod partition;
mod run;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use leadline_schemas::Partition;

pub use config::FjallConfig;
pub use folder::move_aside;
use partition::{FjallPartition, Memory};
use tree::Tree;

use crate::contract::state::{PartitionState, State, StateError};

/// fjall's smallest cap on sealed journals (it refuses less). The active journal comes on top, and is sealed at
/// 64 MB.
const JOURNAL_BYTES_MAX: u64 = 64 << 20;

/// The state of all partitions of one process.
pub struct FjallState {
    database: Database,
    folder: PathBuf,
    memory: Arc<Memory>,
    open: Mutex<BTreeMap<Partition, Arc<FjallPartition>>>,
}

impl FjallState {
    /// Opens the store of `config.folder`, and creates it when there is none.
    ///
    /// `Damaged` when the files cannot be understood: then [`move_aside`] makes room for a new store. A store that
    /// another process has open, an unreadable folder or a full disk are not damage.
    pub fn open(config: &FjallConfig) -> Result<Self, StateError> {
        config.check()?;
        refuse_strays(&config.folder)?;
        let builder = Database::builder(&config.folder)
            .cache_size(config.cache_bytes)
            .worker_threads(config.worker_threads)
            .max_cached_files(Some(config.open_files_max))
            .max_journaling_size(JOURNAL_BYTES_MAX);
        // fjall asserts what it expects of its files here and there; a store that trips one is a damaged one.
        let database = catch_unwind(AssertUnwindSafe(|| builder.open()))
            .map_err(|_| StateError::Damaged(format!("{}: fjall panicked", config.folder.display())))?
            .map_err(|reason| error::opening(&config.folder, reason))?;
        Ok(Self {
            database,
            folder: config.folder.clone(),
            memory: Arc::new(Memory::new(config)),
            open: Mutex::new(BTreeMap::new()),
        })
    }

    /// The partitions that have rows on disk, in order: what a start can take over without a restore.
    pub fn partitions(&self) -> Vec<Partition> {
        let names = self.database.list_keyspace_names();
        let mut partitions: Vec<Partition> =
            names.iter().filter_map(|name| name.strip_prefix("p")?.parse().ok().map(Partition)).collect();
        partitions.sort_unstable();
        partitions
    }
}

fn keyspace_name(partition: Partition) -> String {
    format!("p{partition}")
}

impl State for FjallState {
    fn open(&self, partition: Partition) -> Result<Arc<dyn PartitionState>, StateError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = open.get(&partition) {
            return Ok(Arc::clone(known) as Arc<dyn PartitionState>);
        }
        let tree = Tree::open(self.database.clone(), keyspace_name(partition))?;
        let opened = Arc::new(FjallPartition::new(self.database.clone(), tree, Arc::clone(&self.memory)));
        self.memory.add(&opened);
        open.insert(partition, Arc::clone(&opened));
        Ok(opened)
    }

    fn clear(&self, partition: Partition) -> Result<(), StateError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // First, so that what it is writing out is there to be deleted and nothing comes after it.
        if let Some(known) = open.remove(&partition) {
            known.retire();
        }
        let name = keyspace_name(partition);
        if !self.database.keyspace_exists(&name) {
            return Ok(());
        }
        let keyspace =
            self.database.keyspace(&name, KeyspaceCreateOptions::default).map_err(error::running)?;
        self.database.delete_keyspace(keyspace).map_err(error::running)
    }

    fn sync(&self) -> Result<(), StateError> {
        let open: Vec<_> =
            self.open.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        // fjall syncs each file, and the list of files, before it makes them part of a tree.
        open.iter().try_for_each(|partition| partition.write_out())?;
        self.database.persist(PersistMode::SyncAll).map_err(error::running)
    }

    fn disk_bytes(&self) -> u64 {
        folder::allocated_bytes(&self.folder)
    }
}

/// fjall 3.1 ends the whole process on a folder among its keyspaces whose name is no number: it panics, and panics
/// again while it unwinds.
fn refuse_strays(folder: &std::path::Path) -> Result<(), StateError> {
    let Ok(entries) = std::fs::read_dir(folder.join("keyspaces")) else { return Ok(()) };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if entry.path().is_dir() && name.to_str().is_none_or(|name| name.parse::<u64>().is_err()) {
            return Err(StateError::Damaged(format!("{} is no keyspace of ours", entry.path().display())));
        }
    }
    Ok(())
}
