//! `stores`: what each record store takes, one row at a time and in batches; lists; and a store filled anew.

#[cfg(feature = "scylla")]
mod cassandra;
mod rebuild;
mod rows;
#[cfg(feature = "spanner")]
mod spanner;
mod sqlite;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use leadline_connectors::contract::store::{Batch, Page, RecordReader, RecordWriter};
use leadline_schemas::frame::Output;
use leadline_schemas::{CommitNumber, Partition, TenantId};

use crate::arguments::numbers;
use crate::process::cpu_s;
use crate::stats::{ms, percentile, sorted};

/// Rows of a transaction, as the engine's writer brings them under load.
const BATCH_ROWS: u64 = 500;
/// Lists that are asked for.
const LISTS: u64 = 2_000;

pub(crate) fn run(args: &[String]) -> Result<()> {
    let known = [
        ("calls", 200_000),
        ("leads", 1_000_000),
        ("rebuild", 1_000_000),
        ("single", 5_000),
        ("cassandra", 50_000),
        ("spanner", 40_000),
    ];
    let [calls, leads, rebuild, single, _on_cassandra, _on_spanner] = numbers(args, known)?;
    println!(
        "{BATCH_ROWS} rows a batch; a call with its transcript and score is {} bytes",
        rows::call_bytes()?
    );
    sqlite::run(calls, leads, single)?;
    rebuild::run(rebuild)?;
    #[cfg(feature = "scylla")]
    cassandra::run(_on_cassandra, single)?;
    #[cfg(not(feature = "scylla"))]
    println!("Cassandra: this was built without it; --features scylla");
    #[cfg(feature = "spanner")]
    spanner::run(_on_spanner, single.div_ceil(5))?;
    #[cfg(not(feature = "spanner"))]
    println!("Spanner: this was built without it; --features spanner");
    Ok(())
}

/// How fast rows were written.
#[derive(Clone, Copy)]
struct Pace {
    rows_per_s: f64,
    /// CPU of this process for each row.
    cpu_us: f64,
    /// CPU of the server, where one is named, for each row.
    #[cfg_attr(
        not(feature = "scylla"),
        expect(dead_code, reason = "only printed beside a server's figures")
    )]
    server_us: f64,
}

/// Writes rows in batches of this many.
fn rows_per_s(
    writer: &mut dyn RecordWriter,
    partition: u16,
    (count, batch_rows): (u64, u64),
    row: impl Fn(u64) -> Result<Output>,
) -> Result<f64> {
    Ok(paced(writer, None, partition, (count, batch_rows), row)?.rows_per_s)
}

/// The same, with what it took of the CPU; `server` is a process.
fn paced(
    writer: &mut dyn RecordWriter,
    server: Option<u32>,
    partition: u16,
    (count, batch_rows): (u64, u64),
    row: impl Fn(u64) -> Result<Output>,
) -> Result<Pace> {
    // Made before the clock runs: the engine has them encoded already.
    let outputs: Vec<Output> = (0..count).map(row).collect::<Result<_>>()?;
    let servers = || server.map_or(Ok(0.0), cpu_s);
    let (own, its) = (cpu_s(std::process::id())?, servers()?);
    let started = Instant::now();
    for (number, rows) in (0_u64..).zip(outputs.chunks(usize::try_from(batch_rows)?)) {
        writer.write(&[Batch {
            generation: 1,
            partition: Partition(partition),
            from: CommitNumber(number),
            to: CommitNumber(number + 1),
            commits: vec![(CommitNumber(number + 1), Arc::new(rows.to_vec()))],
        }])?;
    }
    let a_row = 1e6 / count as f64;
    Ok(Pace {
        rows_per_s: count as f64 / started.elapsed().as_secs_f64(),
        cpu_us: (cpu_s(std::process::id())? - own) * a_row,
        server_us: (servers()? - its) * a_row,
    })
}

/// Asks for pages of 50 leads, of all kinds, deep into the list; prints how long they took.
fn lists(reader: &dyn RecordReader, tenants: u64, what: &str) -> Result<()> {
    let mut took: Vec<Duration> = Vec::new();
    for number in 0..LISTS {
        let tenant = TenantId::new(&rows::tenant(number % tenants))?;
        let band = rows::BANDS.get(usize::try_from(number / 3 % 8)?).map(|band| (*band).to_owned());
        let status = (number % 5 == 0).then(|| "open".to_owned());
        let to = (number % 2 == 0).then(|| rows::at(number * 7_919));
        let page = Page { limit: 50, band, status, to, ..Page::default() };
        let started = Instant::now();
        let listed = reader.leads(&tenant, &page)?;
        took.push(started.elapsed());
        ensure!(listed.items.len() <= 50, "a page of 50");
    }
    let took = sorted(took.into_iter().map(ms));
    println!(
        "{what}: 50 leads, {LISTS} lists: p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms",
        percentile(&took, 0.5),
        percentile(&took, 0.99),
        percentile(&took, 1.0)
    );
    Ok(())
}
