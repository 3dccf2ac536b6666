//! What one transaction writes: a piece of some batches that stays within the limits, and the progress it moves.

use std::collections::{BTreeMap, HashMap, HashSet};

use leadline_schemas::frame::Output;
use leadline_schemas::{CommitNumber, Partition, Topic};

use super::limits::{BYTES_MAX, MUTATIONS_MAX};
use super::rows::{Change, NOBODY, Put, Reading, Row};
use crate::contract::store::{Batch, StoreError};

/// A partition of a layout.
pub(super) type Place = (u32, Partition);

/// What the store has of a partition: all commits up to `number`, and so many outputs of commit `part`. Outputs of a
/// commit are always the same, so where it was cut is where it goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) number: CommitNumber,
    pub(super) part: CommitNumber,
    pub(super) part_rows: u64,
}

impl Progress {
    fn whole(number: CommitNumber) -> Self {
        Self { number, ..Self::default() }
    }

    /// How many outputs of a commit are there already.
    fn done_of(self, number: CommitNumber) -> usize {
        match self.part == number {
            true => usize::try_from(self.part_rows).unwrap_or(usize::MAX),
            false => 0,
        }
    }
}

/// Cells of a row of `sink_progress`, and of `tenants`.
const PROGRESS_CELLS: usize = 6;

/// A transaction.
#[derive(Default)]
pub(super) struct Chunk<'a> {
    /// What it was built on.
    pub(super) before: BTreeMap<Place, Progress>,
    /// What it moves them to.
    pub(super) after: BTreeMap<Place, Progress>,
    /// In their order; none where a later one of the same key has taken its place.
    changes: Vec<Option<Change>>,
    newest: HashMap<(Topic, &'a [u8]), usize>,
    rows: usize,
    cells: usize,
    bytes: usize,
}

impl<'a> Chunk<'a> {
    /// The first piece of what `at` does not have yet; all of it, where that fits.
    pub(super) fn of(
        batches: &'a [Batch],
        at: &HashMap<Place, Progress>,
        reading: &Reading<'_>,
        rows_max: usize,
    ) -> Result<Self, StoreError> {
        let mut chunk = Self::default();
        for batch in batches {
            let place = (batch.generation, batch.partition);
            let known = at.get(&place).copied().unwrap_or_default();
            chunk.before.entry(place).or_insert(known);
            chunk.after.entry(place).or_insert(known);
            chunk.cells += PROGRESS_CELLS;
            if !chunk.take(batch, place, reading, rows_max)? {
                break;
            }
        }
        Ok(chunk)
    }

    /// Takes what fits of a batch; answers whether that was all.
    fn take(
        &mut self,
        batch: &'a Batch,
        place: Place,
        reading: &Reading<'_>,
        rows_max: usize,
    ) -> Result<bool, StoreError> {
        let mut at = self.after.get(&place).copied().unwrap_or_default();
        for (number, outputs) in &batch.commits {
            if *number <= at.number {
                continue;
            }
            for (index, output) in outputs.iter().enumerate().skip(at.done_of(*number)) {
                if !self.add(output, reading, rows_max)? {
                    let (part, part_rows) = (*number, index as u64);
                    self.after.insert(place, Progress { part, part_rows, ..at });
                    return Ok(false);
                }
            }
            at = Progress::whole(*number);
        }
        if batch.to > at.number {
            at = Progress::whole(batch.to);
        }
        self.after.insert(place, at);
        Ok(true)
    }

    /// Adds an output, unless it does not fit; alone it always does.
    fn add(
        &mut self,
        output: &'a Output,
        reading: &Reading<'_>,
        rows_max: usize,
    ) -> Result<bool, StoreError> {
        let Some(change) = reading.change(output)? else { return Ok(true) };
        let fits = self.rows + change.rows() <= rows_max
            && self.cells + change.cells() <= MUTATIONS_MAX
            && self.bytes + change.bytes() <= BYTES_MAX;
        if !fits && self.rows > 0 {
            return Ok(false);
        }
        self.count(&change, true);
        let index = self.changes.len();
        self.changes.push(Some(change));
        let older = self.newest.insert((output.topic, &output.key), index);
        if let Some(replaced) = older.and_then(|older| self.changes.get_mut(older)).and_then(Option::take) {
            self.count(&replaced, false);
        }
        Ok(true)
    }

    fn count(&mut self, change: &Change, added: bool) {
        let counts = [(&mut self.rows, change.rows()), (&mut self.cells, change.cells())];
        for (sum, part) in counts.into_iter().chain([(&mut self.bytes, change.bytes())]) {
            *sum = if added { *sum + part } else { sum.saturating_sub(part) };
        }
    }

    /// Whether the store has all of it.
    pub(super) fn is_done(&self) -> bool {
        self.before == self.after
    }

    /// How many rows it writes.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// How many mutations it is at most, with the rows of `tenants`.
    pub(super) fn cells(&self) -> usize {
        self.cells + self.tenants().len()
    }

    /// The rows, in the order in which they have to be written.
    pub(super) fn puts(&self) -> impl Iterator<Item = &Row> {
        self.changes.iter().flatten().flat_map(|change| match change {
            Change::Put { rows, .. } => rows.as_slice(),
            Change::End { .. } => &[],
        })
    }

    /// The dead letters that end.
    pub(super) fn ended(&self) -> impl Iterator<Item = &str> {
        self.changes.iter().flatten().filter_map(|change| match change {
            Change::End { letter_id } => Some(letter_id.as_str()),
            Change::Put { .. } => None,
        })
    }

    /// Whose rows they are.
    pub(super) fn tenants(&self) -> HashSet<&str> {
        self.changes
            .iter()
            .flatten()
            .filter_map(|change| match change {
                Change::Put { tenant, .. } if tenant != NOBODY => Some(tenant.as_str()),
                _ => None,
            })
            .collect()
    }

    /// The rows of `sink_progress` that it moves.
    pub(super) fn progress(&self, written_at: &str) -> Vec<Row> {
        let moved = self.after.iter().filter(|(place, after)| self.before.get(place) != Some(after));
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let row = |((generation, partition), after): (&Place, &Progress)| {
            Put::into("sink_progress", 0)
                .set("generation", i64::from(*generation))
                .set("partition_id", i64::from(partition.0))
                .set("commit_number", signed(after.number.0))
                .set("part_number", signed(after.part.0))
                .set("part_rows", signed(after.part_rows))
                .set("written_at", written_at)
                .row()
        };
        moved.map(row).collect()
    }
}
