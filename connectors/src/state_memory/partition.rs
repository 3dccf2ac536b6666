//! One partition in memory.

use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, MutexGuard};

use bytes::Bytes;
use leadline_schemas::{CommitNumber, Partition};

use super::{MemoryState, Rows, Shared, Step};
use crate::contract::state::{Change, PartitionState, StateError, StateView, Visit};

/// As `state_fjall` takes them, so that a test does not pass here and fail there.
const KEY_BYTES_MAX: usize = u16::MAX as usize;

pub(super) struct MemoryPartition {
    pub(super) state: MemoryState,
    pub(super) partition: Partition,
    pub(super) clears: u64,
}

impl MemoryPartition {
    fn live(&self) -> Result<MutexGuard<'_, Shared>, StateError> {
        let shared = self.state.live()?;
        if shared.clears_of(self.partition) != self.clears {
            return Err(StateError::Failed("the partition was cleared; open it again".to_owned()));
        }
        Ok(shared)
    }

    fn rows(&self) -> Result<Arc<Rows>, StateError> {
        Ok(self.live()?.current.get(&self.partition).cloned().unwrap_or_default())
    }
}

impl PartitionState for MemoryPartition {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        Ok(self.live()?.current.get(&self.partition).and_then(|rows| rows.rows.get(key)).cloned())
    }

    fn scan(&self, from: &[u8], to: Option<&[u8]>, visit: Visit<'_>) -> Result<(), StateError> {
        self.rows()?.scan(from, to, visit)
    }

    fn apply(&self, changes: &[Change], applied: CommitNumber) -> Result<(), StateError> {
        for change in changes {
            if change.key.is_empty() || change.key.len() > KEY_BYTES_MAX {
                return Err(StateError::Failed(format!(
                    "a key of {} bytes cannot be stored: 1 to {KEY_BYTES_MAX} bytes",
                    change.key.len()
                )));
            }
        }
        let mut shared = self.live()?;
        if let Some(error) = shared.next_apply_fails() {
            return Err(error);
        }
        shared.change(Step::Apply(self.partition, changes.to_vec(), applied));
        Ok(())
    }

    fn applied(&self) -> Result<CommitNumber, StateError> {
        Ok(self.rows()?.applied)
    }

    fn view(&self) -> Result<Box<dyn StateView>, StateError> {
        Ok(Box::new(MemoryView { rows: self.rows()? }))
    }
}

struct MemoryView {
    rows: Arc<Rows>,
}

impl StateView for MemoryView {
    fn scan(&self, from: &[u8], to: Option<&[u8]>, visit: Visit<'_>) -> Result<(), StateError> {
        self.rows.scan(from, to, visit)
    }

    fn applied(&self) -> Result<CommitNumber, StateError> {
        Ok(self.rows.applied)
    }
}

impl Rows {
    fn scan(&self, from: &[u8], to: Option<&[u8]>, visit: Visit<'_>) -> Result<(), StateError> {
        if to.is_some_and(|to| from >= to) {
            return Ok(());
        }
        let to = to.map_or(Bound::Unbounded, Bound::Excluded);
        for (key, value) in self.rows.range::<[u8], _>((Bound::Included(from), to)) {
            if let ControlFlow::Break(()) = visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}
