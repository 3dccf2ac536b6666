//! State in memory, with the faults that a real store can have: for simulation and tests.
//!
//! It forgets everything with the process. [`MemoryState::crash`] answers what a disk would have kept: all that
//! was applied before the last `sync`, and as much of what came after as the caller says.

mod partition;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use leadline_schemas::{CommitNumber, Partition};

use crate::contract::state::{Change, PartitionState, State, StateError};
use partition::MemoryPartition;

/// The state of all partitions of one process. Clones share it.
#[derive(Clone, Default)]
pub struct MemoryState {
    shared: Arc<Mutex<Shared>>,
}

impl MemoryState {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the apply after `applies` more, over all partitions, fail with `error` and change nothing.
    pub fn fail_apply_after(&self, applies: u64, error: StateError) {
        self.lock().fault = Some((applies, error));
    }

    /// Takes a fault back that was planned and has not happened.
    pub fn heal(&self) {
        self.lock().fault = None;
    }

    /// How many changes (applies and clears) a crash now could lose.
    pub fn unsynced(&self) -> usize {
        self.lock().unsynced.len()
    }

    /// The store as the next process finds it after a crash: what was synced, and the oldest `kept` of the changes
    /// since, in the order in which they were made. The crashed store answers every call with `Failed` from now on.
    #[must_use]
    pub fn crash(&self, kept: usize) -> Self {
        let mut crashed = self.lock();
        let mut survived = Shared { current: crashed.durable.clone(), ..Shared::default() };
        for step in crashed.unsynced.iter().take(kept) {
            survived.take(step);
        }
        survived.durable = survived.current.clone();
        crashed.crashed = true;
        Self { shared: Arc::new(Mutex::new(survived)) }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store, unless it has crashed.
    fn live(&self) -> Result<MutexGuard<'_, Shared>, StateError> {
        let shared = self.lock();
        if shared.crashed {
            return Err(StateError::Failed("the store has crashed".to_owned()));
        }
        Ok(shared)
    }
}

#[derive(Default)]
struct Shared {
    current: BTreeMap<Partition, Arc<Rows>>,
    durable: BTreeMap<Partition, Arc<Rows>>,
    unsynced: Vec<Step>,
    /// Applies that still succeed, and how the next one fails.
    fault: Option<(u64, StateError)>,
    crashed: bool,
    /// Grows with each clear of a partition, so that handles from before it are known.
    clears: BTreeMap<Partition, u64>,
}

/// One partition's rows and marker; shared with views, copied when it changes under one.
#[derive(Clone, Default)]
struct Rows {
    rows: BTreeMap<Bytes, Bytes>,
    applied: CommitNumber,
}

enum Step {
    Apply(Partition, Vec<Change>, CommitNumber),
    Clear(Partition),
}

impl Shared {
    fn take(&mut self, step: &Step) {
        match step {
            Step::Apply(partition, changes, applied) => {
                let rows = Arc::make_mut(self.current.entry(*partition).or_default());
                for change in changes {
                    match &change.value {
                        Some(value) => rows.rows.insert(change.key.clone(), value.clone()),
                        None => rows.rows.remove(&change.key),
                    };
                }
                rows.applied = *applied;
            }
            Step::Clear(partition) => {
                self.current.remove(partition);
            }
        }
    }

    fn change(&mut self, step: Step) {
        self.take(&step);
        self.unsynced.push(step);
    }

    fn next_apply_fails(&mut self) -> Option<StateError> {
        match self.fault.take()? {
            (0, error) => Some(error),
            (more, error) => {
                self.fault = Some((more.saturating_sub(1), error));
                None
            }
        }
    }

    fn clears_of(&self, partition: Partition) -> u64 {
        self.clears.get(&partition).copied().unwrap_or(0)
    }
}

impl State for MemoryState {
    fn open(&self, partition: Partition) -> Result<Arc<dyn PartitionState>, StateError> {
        let clears = self.live()?.clears_of(partition);
        Ok(Arc::new(MemoryPartition { state: self.clone(), partition, clears }))
    }

    fn clear(&self, partition: Partition) -> Result<(), StateError> {
        let mut shared = self.live()?;
        shared.change(Step::Clear(partition));
        let clears = shared.clears.entry(partition).or_default();
        *clears = clears.saturating_add(1);
        Ok(())
    }

    fn sync(&self) -> Result<(), StateError> {
        let mut shared = self.live()?;
        shared.durable = shared.current.clone();
        shared.unsynced.clear();
        Ok(())
    }

    fn disk_bytes(&self) -> u64 {
        let of_rows = |rows: &Arc<Rows>| -> usize {
            rows.rows.iter().map(|(key, value)| key.len().saturating_add(value.len())).sum()
        };
        self.lock().current.values().map(of_rows).sum::<usize>() as u64
    }
}
