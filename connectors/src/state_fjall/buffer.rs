//! The buffer of a partition: what was applied and is in no sorted file yet.
//!
//! fjall's own is a skip list behind a journal. The log is our journal, and an epoch's rows come sorted, so here they
//! are kept as they come, in runs: putting an epoch in is one copy, and a look-up costs a hash and a glance at each
//! run. (Measured on the stream benchmark: 0.8 us less to look up a new id, and half the work to apply a row.)

use std::sync::Arc;

use hashbrown::DefaultHashBuilder;
use leadline_schemas::CommitNumber;

use super::run::Run;
use crate::contract::state::StateError;

/// Runs of one size class that are merged into one of the next. With classes a factor of this apart, a row is copied
/// once per class, and a buffer of 100,000 rows has at most 27 runs.
const FAN_IN: usize = 4;

/// The runs of one partition, oldest first, at one instant. Cheap to copy.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffer {
    pub(super) runs: Vec<Arc<Run>>,
    /// The applied marker; none = as in the sorted files.
    pub(super) applied: Option<CommitNumber>,
}

impl Buffer {
    /// Adds the rows of one apply.
    pub(super) fn push(&mut self, run: Run, applied: CommitNumber) {
        self.applied = Some(applied);
        if run.len() > 0 {
            self.runs.push(Arc::new(run));
        }
    }

    /// What should be merged now: the newest runs from this place on; none when there are few enough.
    pub(super) fn crowded_from(&self) -> Option<usize> {
        let class = |run: &Arc<Run>| run.len().max(1).ilog(FAN_IN);
        let newest = self.runs.last().map(class)?;
        let alike = self.runs.iter().rev().take_while(|run| class(run) <= newest).count();
        (alike >= FAN_IN).then(|| self.runs.len() - alike)
    }

    /// The row of a key, if it is here.
    pub(super) fn get(&self, hash: u64, key: &[u8]) -> Option<Option<&[u8]>> {
        self.runs.iter().rev().find_map(|run| run.get(hash, key))
    }

    pub(super) fn memory_bytes(&self) -> u64 {
        self.runs.iter().map(|run| run.memory_bytes() as u64).sum()
    }

    /// Merges the newest runs from a place on.
    pub(super) fn merged_from(
        &self,
        place: usize,
        hasher: &DefaultHashBuilder,
    ) -> Result<Arc<Run>, StateError> {
        Ok(Arc::new(Run::merged(self.runs.get(place..).unwrap_or_default(), hasher)?))
    }
}
