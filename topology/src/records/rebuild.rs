//! Filling an empty record store from what was committed.

use anyhow::{anyhow, bail};
use leadline_connectors::contract::store::RecordWriter;
use leadline_schemas::{CommitNumber, Partition};

use crate::engine::CommittedRecords;

/// What a rebuild wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filled {
    /// Commits, over all partitions.
    pub commits: u64,
    /// Rows, each version of a record counted.
    pub rows: u64,
}

/// Writes everything that was committed into an empty store; `seen` hears commits done, and all of them. A store that
/// has something is refused before anything is written. Cut short, the next start of the instance goes on with it.
pub fn rebuild(
    committed: &CommittedRecords,
    writer: &mut dyn RecordWriter,
    seen: &mut dyn FnMut(u64, u64),
) -> anyhow::Result<Filled> {
    let partitions: Vec<Partition> = (0..committed.log.partitions()).map(Partition).collect();
    for partition in &partitions {
        let progress = writer.progress(committed.generation, *partition)?;
        if progress != CommitNumber(0) {
            bail!(
                "the store is not empty: it has partition {partition} up to commit {progress}; move it aside, or start \
                 leadline, which writes what it lacks"
            );
        }
    }
    let brought: Vec<_> =
        partitions.iter().map(|partition| committed.partition(*partition)).collect::<Result<_, _>>()?;
    let all: u64 = brought.iter().map(|records| records.end.0).sum();
    let (mut filled, mut before) = (Filled::default(), 0);
    for records in &brought {
        let mut at = CommitNumber(0);
        while let Some(batch) = records.behind(at).map_err(|why| anyhow!(why))? {
            filled.rows += batch.commits.iter().map(|(_, outputs)| outputs.len() as u64).sum::<u64>();
            at = batch.to;
            writer.write(&[batch])?;
            seen(before + at.0, all);
        }
        before += records.end.0;
    }
    filled.commits = all;
    Ok(filled)
}
