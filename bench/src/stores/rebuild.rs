//! A store filled anew: a log with a million calls, and what `leadline db rebuild` does with it.

use std::sync::{Arc, mpsc};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use leadline::engine::CommittedRecords;
use leadline::records::{self, Step};
use leadline_connectors::blob_folder::FolderBlob;
use leadline_connectors::clock_system::SystemClock;
use leadline_connectors::contract::log::{Commit, CommitAnswer, Log};
use leadline_connectors::contract::store::{Page, RecordReader};
use leadline_connectors::disk_folder::FolderDisk;
use leadline_connectors::log_embedded::{EmbeddedLog, EmbeddedLogConfig};
use leadline_connectors::state_fjall::{FjallConfig, FjallState};
use leadline_connectors::store_sqlite::{SqliteConfig, SqliteFill, SqliteReader};
use leadline_schemas::frame::{FrameOutput, FrameParts, Output};
use leadline_schemas::{CommitNumber, Offset, Partition, TenantId};

use super::rows;
use crate::process::cpu_s;

const PARTITIONS: u16 = 16;
const TENANTS: u64 = 50;
/// Calls of a commit: an epoch under load.
const CALLS_A_COMMIT: u64 = 100;

pub(super) fn run(calls: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let log: Arc<dyn Log> = {
        let disk = Arc::new(FolderDisk::open(&folder.path().join("log"))?);
        let config = EmbeddedLogConfig { partitions: PARTITIONS, ..EmbeddedLogConfig::default() };
        let mut incarnation = u64::from(std::process::id());
        let incarnations = move || {
            incarnation = incarnation.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1);
            incarnation
        };
        Arc::new(EmbeddedLog::open(config, disk, Arc::new(SystemClock), incarnations)?)
    };
    let rows_made = fill(&*log, calls)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let committed = CommittedRecords {
        log,
        state: Arc::new(FjallState::open(&FjallConfig::new(folder.path().join("state")))?),
        blob: Arc::new(FolderBlob::open(folder.path().join("blobs"))?),
        runtime: runtime.handle().clone(),
        generation: 1,
        origin: None,
        settings: Arc::default(),
    };
    // The state store is what an instance has already; only what it lacks is brought up, and here that is all.
    let started = Instant::now();
    for partition in 0..PARTITIONS {
        committed.partition(Partition(partition))?;
    }
    println!(
        "rebuild: the state store itself, which a stopped instance has: {:.1} s",
        started.elapsed().as_secs_f64()
    );
    let config = SqliteConfig::new(folder.path().join("records.db"));
    let own = std::process::id();
    let (started, cpu) = (Instant::now(), cpu_s(own)?);
    let mut written = None;
    let filled = records::rebuild(&committed, &mut SqliteFill::open(config.clone())?, &mut |step| {
        if step == Step::Finishing {
            written = Some((started.elapsed().as_secs_f64(), cpu_s(own)));
        }
    })?;
    let (took, cpu_end) = (started.elapsed().as_secs_f64(), cpu_s(own)?);
    let (until, cpu_until) = written.context("a rebuild has an end")?;
    let (cpu, cpu_indexes) = (cpu_end - cpu, cpu_end - cpu_until?);
    ensure!(filled.rows == rows_made, "{} of {rows_made} rows were filled in", filled.rows);
    let reader: Arc<dyn RecordReader> = Arc::new(SqliteReader::open(config)?);
    let listed = reader.leads(&TenantId::new(&rows::tenant(0))?, &Page { limit: 50, ..Page::default() })?;
    ensure!(!listed.items.is_empty(), "leads are there");
    println!(
        "rebuild: {calls} calls, {rows_made} rows from the log into SQLite: {took:.1} s with {cpu:.1} CPU s, of which \
         indexes {:.1} s with {:.1} CPU s; {:.0} rows/s, {:.0} by CPU",
        took - until,
        cpu_indexes,
        rows_made as f64 / took,
        rows_made as f64 / cpu
    );
    Ok(())
}

/// Commits the records of so many calls; answers how many records those are.
fn fill(log: &dyn Log, calls: u64) -> Result<u64> {
    let (answers, answered) = mpsc::channel();
    let (mut rows_made, mut under_way) = (0, 0_u64);
    let mut numbers = vec![0_u64; usize::from(PARTITIONS)];
    for first in (0..calls).step_by(usize::try_from(CALLS_A_COMMIT)?) {
        let mut outputs: Vec<Output> = Vec::new();
        for number in first..(first + CALLS_A_COMMIT).min(calls) {
            outputs.extend(rows::all_of_a_call(number, TENANTS)?);
        }
        rows_made += outputs.len() as u64;
        let partition = u16::try_from(first / CALLS_A_COMMIT % u64::from(PARTITIONS))?;
        let Some(number) = numbers.get_mut(usize::from(partition)) else { bail!("no such partition") };
        *number += 1;
        let commit = commit(Partition(partition), CommitNumber(*number), outputs)?;
        let answers = answers.clone();
        log.commit(commit, Box::new(move |answer| drop(answers.send(answer))));
        under_way += 1;
        if under_way == 16 {
            under_way -= 1;
            committed(&answered)?;
        }
    }
    (0..under_way).try_for_each(|_| committed(&answered))?;
    Ok(rows_made)
}

fn committed(answered: &mpsc::Receiver<CommitAnswer>) -> Result<()> {
    match answered.recv()? {
        CommitAnswer::Committed => Ok(()),
        other => bail!("a commit of the workload failed: {other:?}"),
    }
}

fn commit(partition: Partition, number: CommitNumber, outputs: Vec<Output>) -> Result<Commit> {
    let frame = FrameParts {
        generation: 1,
        partition,
        number,
        inbound_next: Offset(0),
        replies_next: Offset(0),
        now: rows::at(number.0),
        settings_version: 0,
        watermark: rows::at(0),
        rows: &[],
        outputs: &FrameOutput::of(&outputs, &[]),
        released: false,
        drained: false,
    };
    let frame = Bytes::from(frame.encode()?);
    let outputs = Arc::new(outputs);
    Ok(Commit { partition, number, inbound_next: Offset(0), replies_next: Offset(0), outputs, frame })
}
