//! The record store in memory, with the faults that a real one can have: for simulation and tests.
//!
//! It forgets everything with the process. [`MemoryStore::crash`] answers what a disk would have kept: all that was
//! written before the last checkpoint, and as many of the transactions since as the caller says.

mod reader;
mod tables;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leadline_schemas::{CommitNumber, Partition};

use crate::contract::store::{Batch, RecordWriter, StoreError};
use crate::contract::tenants::TenantRow;
pub use tables::Contents;
use tables::Tables;

/// Transactions between checkpoints: what a crash can lose at most. SQLite's are up to 16 MiB apart.
const CHECKPOINT_EVERY: usize = 64;

/// Both sides of one record store. Clones share it.
#[derive(Clone, Default)]
pub struct MemoryStore {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    current: Tables,
    durable: Tables,
    /// Transactions since the last checkpoint.
    unsynced: Vec<Vec<Batch>>,
    /// Writes that will fail, and how.
    failing: Option<(u32, StoreError)>,
    /// Writes that will take effect and yet answer an error.
    answers_lost: u32,
    crashed: bool,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the next `writes` fail with `error` and change nothing.
    pub fn fail_writes(&self, writes: u32, error: StoreError) {
        self.lock().failing = (writes > 0).then_some((writes, error));
    }

    /// Makes the next `writes` that do not fail take effect and answer `Unavailable` all the same.
    pub fn lose_answers(&self, writes: u32) {
        self.lock().answers_lost = writes;
    }

    /// Loses everything while its users go on, as if a backup of its first day had been restored.
    pub fn put_back(&self) {
        *self.lock() = Shared::default();
    }

    /// How many transactions a crash now could lose.
    pub fn unsynced(&self) -> usize {
        self.lock().unsynced.len()
    }

    /// The store as the next process finds it after a power cut: what the last checkpoint had, and the oldest `kept`
    /// of the transactions since, whole ones. The crashed store answers every call with `Unavailable` from now on.
    ///
    /// A crash of the process alone loses nothing: `crash(usize::MAX)`.
    #[must_use]
    pub fn crash(&self, kept: usize) -> Self {
        let mut crashed = self.lock();
        crashed.crashed = true;
        let mut survived = Shared { current: crashed.durable.clone(), ..Shared::default() };
        for batches in crashed.unsynced.iter().take(kept) {
            // They were written once, so they can be written again.
            let written = survived.current.change(batches).map(|change| survived.current.take(change));
            debug_assert_eq!(written, Ok(()));
        }
        survived.durable = survived.current.clone();
        Self { shared: Arc::new(Mutex::new(survived)) }
    }

    /// All rows, for comparisons.
    pub fn contents(&self) -> Contents {
        self.lock().current.contents()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store, unless it has crashed.
    fn live(&self) -> Result<MutexGuard<'_, Shared>, StoreError> {
        let shared = self.lock();
        if shared.crashed {
            return Err(StoreError::Unavailable("the store has crashed".to_owned()));
        }
        Ok(shared)
    }
}

impl Shared {
    fn fails(&mut self) -> Option<StoreError> {
        let (left, error) = self.failing.take()?;
        self.failing = left.checked_sub(1).filter(|left| *left > 0).map(|left| (left, error.clone()));
        Some(error)
    }
}

impl RecordWriter for MemoryStore {
    fn progress(&mut self, generation: u32, partition: Partition) -> Result<CommitNumber, StoreError> {
        Ok(self.live()?.current.progress(generation, partition))
    }

    fn write(&mut self, batches: &[Batch]) -> Result<(), StoreError> {
        let mut shared = self.live()?;
        if let Some(error) = shared.fails() {
            return Err(error);
        }
        let change = shared.current.change(batches)?;
        shared.current.take(change);
        shared.unsynced.push(batches.to_vec());
        if shared.unsynced.len() >= CHECKPOINT_EVERY {
            shared.durable = shared.current.clone();
            shared.unsynced.clear();
        }
        if let Some(left) = shared.answers_lost.checked_sub(1) {
            shared.answers_lost = left;
            return Err(StoreError::Unavailable("the answer was lost".to_owned()));
        }
        Ok(())
    }

    /// Nobody joins with them here.
    fn put_tenants(&mut self, _: u64, _: &[TenantRow]) -> Result<(), StoreError> {
        self.live().map(drop)
    }
}
