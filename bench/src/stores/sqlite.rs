//! SQLite, embedded.

use anyhow::{Context as _, Result};
use leadline_connectors::contract::store::RecordWriter;
use leadline_connectors::store_sqlite::{SqliteConfig, SqliteReader, SqliteWriter};

use super::{BATCH_ROWS, lists, paced, rows, rows_per_s};

/// Tenants whose calls are written; leads are of one, which has them all.
const TENANTS: u64 = 50;

pub(super) fn run(calls: u64, leads: u64, single: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = SqliteConfig::new(folder.path().join("records.db"));
    let mut writer = SqliteWriter::open(config.clone())?;
    let row = |number: u64| rows::call(number, TENANTS);
    let alone = paced(&mut writer, None, 0, (single, 1), |number| row(calls + number))?;
    let before = written_bytes()?;
    let batched = paced(&mut writer, None, 1, (calls, BATCH_ROWS), row)?;
    let written = written_bytes()? - before;
    println!(
        "SQLite: call_records with indexes: {:.0} rows/s in batches with {:.1} us of CPU each, {:.0} one by one with {:.1} us \
         ({:.1}x); {:.1} bytes written for each of a record",
        batched.rows_per_s,
        batched.cpu_us,
        alone.rows_per_s,
        alone.cpu_us,
        batched.rows_per_s / alone.rows_per_s,
        written as f64 / (calls * rows::call_bytes()? as u64) as f64
    );
    let rate = rows_per_s(&mut writer, 2, (leads, BATCH_ROWS), |number| rows::lead(number, 1))?;
    println!("SQLite: {leads} leads of one tenant: {rate:.0} rows/s");
    let reader = SqliteReader::open(config.clone())?;
    lists(&reader, 1, "SQLite, alone")?;
    beside_a_writer(writer, &reader, leads)
}

/// The same while calls are written.
fn beside_a_writer(mut writer: SqliteWriter, reader: &SqliteReader, begin: u64) -> Result<()> {
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| write_until(&mut writer, begin, &stop));
        let listed = lists(reader, 1, "SQLite, beside a writer");
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let written = writing.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
        println!("SQLite: meanwhile {written} calls were written");
        listed
    })
}

fn write_until(
    writer: &mut dyn RecordWriter,
    begin: u64,
    stop: &std::sync::atomic::AtomicBool,
) -> Result<u64> {
    let mut written = 0;
    for round in 0.. {
        if stop.load(std::sync::atomic::Ordering::Relaxed) {
            break;
        }
        let first = begin + round * 10_000;
        let partition = 3 + u16::try_from(round)?;
        rows_per_s(writer, partition, (10_000, BATCH_ROWS), |number| rows::call(first + number, TENANTS))?;
        written += 10_000;
    }
    Ok(written)
}

/// Bytes that this process has had written to disks.
fn written_bytes() -> Result<u64> {
    let io = std::fs::read_to_string("/proc/self/io")?;
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    Ok(line.context("/proc/self/io has no write_bytes")?.parse()?)
}
