//! Filling an empty record store from what was committed.

use std::sync::mpsc::{SyncSender, sync_channel};

use anyhow::{anyhow, bail};
use leadline_connectors::contract::store::{Batch, RecordWriter};
use leadline_connectors::contract::tenants::TenantRow;
use leadline_schemas::{CommitNumber, Partition};

use crate::engine::{CommittedRecords, PartitionRecords};

/// What a rebuild wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filled {
    /// Commits, over all partitions.
    pub commits: u64,
    /// Rows, each version of a record counted.
    pub rows: u64,
}

/// How far a rebuild is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many partitions' rows stand at their newest commits, of so many.
    Partitions(u64, u64),
    /// So many commits are written, of so many.
    Commits(u64, u64),
    /// All are written; the store does what it has left for the end.
    Finishing,
}

/// Batches that are read ahead of the one being written: about 4 MiB of frames each, and as much again decoded.
const READ_AHEAD: usize = 2;

/// Writes everything that was committed into an empty store; `seen` hears how far it is. A store that has something is
/// refused before anything is written. One thread reads and decodes, this one writes.
pub fn rebuild(
    committed: &CommittedRecords,
    writer: &mut dyn RecordWriter,
    seen: &mut dyn FnMut(Step),
) -> anyhow::Result<Filled> {
    let partitions: Vec<Partition> = (0..committed.log.partitions()).map(Partition).collect();
    // A store that was written in layouts before has all of those, too.
    for generation in 1..=committed.generation {
        for partition in &partitions {
            let progress = writer.progress(generation, *partition)?;
            if progress != CommitNumber(0) {
                bail!(
                    "the store is not empty: it has partition {partition} up to commit {progress}; move it aside, or \
                     start leadline, which writes what it lacks"
                );
            }
        }
    }
    let mut brought = Vec::with_capacity(partitions.len());
    for partition in &partitions {
        seen(Step::Partitions(brought.len() as u64, partitions.len() as u64));
        brought.push(committed.partition(*partition)?);
    }
    let all: u64 = brought.iter().map(|records| records.end.0).sum();
    let mut filled = Filled::default();
    std::thread::scope(|scope| {
        let (batches, ahead) = sync_channel(READ_AHEAD);
        scope.spawn(|| read(&brought, batches));
        for batch in ahead {
            let batch = batch?;
            filled.rows += batch.commits.iter().map(|(_, outputs)| outputs.len() as u64).sum::<u64>();
            filled.commits += batch.to.0 - batch.from.0;
            writer.write(&[batch])?;
            seen(Step::Commits(filled.commits, all));
        }
        anyhow::Ok(())
    })?;
    if filled.commits != all {
        bail!("{} of {all} commits could be read; run it again", filled.commits);
    }
    let tenants: Vec<TenantRow> = committed.settings.tenants().map(|tenant| (&**tenant).into()).collect();
    if !tenants.is_empty() {
        writer.put_tenants(committed.settings.version, &tenants)?;
    }
    seen(Step::Finishing);
    writer.filled()?;
    Ok(filled)
}

/// Reads one partition after the other, until nobody takes what is read.
fn read(brought: &[PartitionRecords<'_>], batches: SyncSender<anyhow::Result<Batch>>) {
    for records in brought {
        let mut at = CommitNumber(0);
        while let Some(batch) = records.behind(at).map_err(|why| anyhow!(why)).transpose() {
            let next = batch.as_ref().ok().map(|batch| batch.to);
            if batches.send(batch).is_err() {
                return;
            }
            let Some(next) = next else { return };
            at = next;
        }
    }
}
