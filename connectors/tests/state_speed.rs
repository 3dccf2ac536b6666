//! What the state store costs a row, printed: `cargo test --release -p leadline-connectors --test state_speed --
//! --nocapture`. The pipeline's budget is about 1 µs for a read that finds nothing and 1.5 µs for a write.
//!
//! It asserts what is read, not how fast: neighbours on a shared machine make any bound on time a coin toss.

use std::time::Instant;

use bytes::Bytes;
use leadline_connectors::conformance::Seeded;
use leadline_connectors::contract::state::{Change, PartitionState, State};
use leadline_connectors::state_fjall::{FjallConfig, FjallState};
use leadline_schemas::{CommitNumber, Partition};

/// A debug build measures nothing worth knowing; it only shows that this runs.
const ROWS: u64 = if cfg!(debug_assertions) { 20_000 } else { 1_000_000 };
const BATCH: u64 = 1_000;
const PARTITIONS: u16 = 16;

/// As the engine's dedupe rows: key group, tenant, bucket, operator and table, then a hash.
fn key(row: u64) -> Bytes {
    let mut key = Vec::with_capacity(40);
    key.extend_from_slice(&((row % 64) as u16).to_be_bytes());
    key.extend_from_slice(b"sunrise-roofing\0");
    key.push((row % 256) as u8);
    key.extend_from_slice(b"dedup");
    let mut hash = Seeded::new(row);
    key.extend_from_slice(&hash.next().to_be_bytes());
    key.extend_from_slice(&hash.next().to_be_bytes());
    key.truncate(40);
    Bytes::from(key)
}

fn change(row: u64) -> Change {
    Change { key: key(row), value: Some(Bytes::copy_from_slice(&[row.to_be_bytes(); 2].concat())) }
}

fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

fn micros_each(count: u64, work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e6 / count as f64
}

fn write(partition: &dyn PartitionState) -> (f64, f64) {
    let batches: Vec<Vec<Change>> = (0..ROWS / BATCH)
        .map(|batch| {
            let mut changes: Vec<Change> = (batch * BATCH..(batch + 1) * BATCH).map(change).collect();
            changes.sort_by(|left, right| left.key.cmp(&right.key)); // as frames come
            changes
        })
        .collect();
    let mut slowest_ms = 0_f64;
    let each = micros_each(ROWS, || {
        for (number, batch) in (1..).zip(&batches) {
            let start = Instant::now();
            partition.apply(batch, CommitNumber(number)).unwrap();
            slowest_ms = slowest_ms.max(start.elapsed().as_secs_f64() * 1e3);
        }
    });
    (each, slowest_ms)
}

fn read(partition: &dyn PartitionState, what: &str) {
    let mut seeded = Seeded::new(99);
    let misses: Vec<Bytes> = (0..ROWS).map(|_| key(ROWS + seeded.below(1 << 40))).collect();
    let hits: Vec<Bytes> = (0..ROWS).map(|_| key(seeded.below(ROWS))).collect();
    let miss = micros_each(ROWS, || {
        for key in &misses {
            assert!(partition.get(key).unwrap().is_none());
        }
    });
    let hit = micros_each(ROWS, || {
        for key in &hits {
            assert!(partition.get(key).unwrap().is_some());
        }
    });
    println!("{what}: read miss {miss:.2} µs, hit {hit:.2} µs; resident {:.0} MB", resident_mb());
}

#[test]
fn rows_of_dedupe_cost_about_what_the_pipeline_can_pay() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = FjallConfig::new(folder.path());
    if let Some(cache) = std::env::var("CACHE_MB").ok().and_then(|mb| mb.parse::<u64>().ok()) {
        config.cache_bytes = cache << 20;
    }
    println!("before opening: resident {:.0} MB", resident_mb());
    let state = FjallState::open(&config).unwrap();
    let opening = Instant::now();
    let opened: Vec<_> = (0..PARTITIONS).map(|p| state.open(Partition(p)).unwrap()).collect();
    println!(
        "{PARTITIONS} partitions made in {:.0} ms: resident {:.0} MB",
        opening.elapsed().as_secs_f64() * 1e3,
        resident_mb()
    );
    let partition = &*opened[0];
    let (each, slowest_ms) = write(partition);
    println!(
        "{ROWS} rows in batches of {BATCH}: {each:.2} µs a row, slowest batch {slowest_ms:.1} ms; \
         {:.0} MB on disk, resident {:.0} MB",
        state.disk_bytes() as f64 / 1e6,
        resident_mb()
    );
    read(partition, "right after");
    let syncing = Instant::now();
    state.sync().unwrap();
    println!("sync {:.1} ms", syncing.elapsed().as_secs_f64() * 1e3);
    drop(opened);
    drop(state);

    let reopening = Instant::now();
    let state = FjallState::open(&config).unwrap();
    let partition = state.open(Partition(0)).unwrap();
    println!(
        "opened again in {:.0} ms: resident {:.0} MB",
        reopening.elapsed().as_secs_f64() * 1e3,
        resident_mb()
    );
    assert_eq!(partition.applied().unwrap(), CommitNumber(ROWS / BATCH));
    read(&*partition, "after opening");
    let mut rows = 0;
    let scan = micros_each(ROWS, || {
        partition
            .view()
            .unwrap()
            .scan(b"", None, &mut |_, _| {
                rows += 1;
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
    });
    assert_eq!(rows, ROWS);
    println!("scan {scan:.2} µs a row");
}
