//! What the embedded log costs in processor time: `cargo bench -p leadline-connectors`. The disk does nothing, for its
//! time is measured by `make bench` on a real one.
#![allow(missing_docs, reason = "criterion's macros make public items without")]
#![allow(clippy::expect_used, reason = "a benchmark that cannot be prepared must stop")]

use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use criterion::{Bencher, Criterion, Throughput, criterion_group, criterion_main};
use leadline_connectors::clock_system::SystemClock;
use leadline_connectors::contract::disk::{Disk, DiskFile};
use leadline_connectors::contract::log::{Append, Commit, Log as _};
use leadline_connectors::log_embedded::{EmbeddedLog, EmbeddedLogConfig, LogSteps};
use leadline_schemas::{CommitNumber, Offset, Partition, Topic};
use rustix::time::{ClockId, clock_gettime};

/// Appends that share a write, as with 64 connections.
const GROUP: u16 = 64;

struct NoDisk;

#[derive(Default)]
struct NoFile(AtomicU64);

impl Disk for NoDisk {
    fn create(&self, _: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::<NoFile>::default())
    }
    fn open(&self, _: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(NoFile(AtomicU64::new(EmbeddedLogConfig::default().segment_bytes))))
    }
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }
    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Ok(())
    }
    fn remove(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
    fn sync_folder(&self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for NoFile {
    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.fetch_max(offset + bytes.len() as u64, Relaxed);
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.load(Relaxed))
    }
    fn set_length(&self, bytes: u64) -> io::Result<()> {
        self.0.store(bytes, Relaxed);
        Ok(())
    }
}

fn open() -> (EmbeddedLog, LogSteps) {
    let config = EmbeddedLogConfig { max_bytes: 1 << 50, ..EmbeddedLogConfig::default() };
    EmbeddedLog::open_stepped(config, Arc::new(NoDisk), Arc::new(SystemClock), || 7).expect("a log opens")
}

fn group(value: &Bytes) -> Vec<Append> {
    let record = |n| Append {
        topic: Topic::Inbound,
        partition: Partition(n % 16),
        key: Bytes::new(),
        value: value.clone(),
    };
    (0..GROUP).map(record).collect()
}

/// Appends each record by a call of its own, as requests do; the log writes them as one group.
fn append(log: &EmbeddedLog, steps: &mut LogSteps, records: &[Append]) {
    let mut waiting: Vec<_> = records.iter().map(|record| log.append(vec![record.clone()])).collect();
    steps.turn();
    for waiting in &mut waiting {
        let answer = waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(answer, Poll::Ready(Ok(_))), "one turn answers the group");
    }
}

/// Measures this thread's processor time: neighbours on the machine do not count.
fn on_cpu<T>(bencher: &mut Bencher<'_>, mut run: impl FnMut() -> T) {
    let used = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("time goes on");
    bencher.iter_custom(|iterations| {
        let before = used();
        (0..iterations).for_each(|_| drop(black_box(run())));
        used() - before
    });
}

fn settle(steps: &mut LogSteps) {
    while steps.turn() {}
}

fn appends(criterion: &mut Criterion) {
    let value = Bytes::from(vec![0x55; 1_024]);
    let (log, mut steps) = open();
    settle(&mut steps);
    let records = group(&value);
    let mut bench = criterion.benchmark_group("log");
    bench.throughput(Throughput::Elements(u64::from(GROUP)));
    bench.bench_function("append 64 records of 1 KiB, one group", |b| {
        on_cpu(b, || append(&log, &mut steps, &records));
    });
    bench.bench_function("append 64 records of 1 KiB in one call", |b| {
        on_cpu(b, || {
            let mut waiting = log.append(records.clone());
            steps.turn();
            let answer = waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(answer, Poll::Ready(Ok(_))));
        });
    });
}

fn commits(criterion: &mut Criterion) {
    let (log, mut steps) = open();
    settle(&mut steps);
    let frame = Bytes::from(vec![0x55; 256 << 10]);
    let mut number = 0;
    let mut bench = criterion.benchmark_group("log");
    bench.throughput(Throughput::Bytes(frame.len() as u64));
    bench.bench_function("commit 256 KiB", |b| {
        on_cpu(b, || {
            number += 1;
            let commit = Commit {
                partition: Partition(0),
                number: CommitNumber(number),
                inbound_next: Offset(0),
                replies_next: Offset(0),
                outputs: Arc::default(),
                frame: frame.clone(),
            };
            log.commit(commit, Box::new(|answer| drop(black_box(answer))));
            steps.turn();
        });
    });
}

fn reads(criterion: &mut Criterion) {
    let (log, mut steps) = open();
    settle(&mut steps);
    let records = group(&Bytes::from(vec![0x55; 1_024]));
    for _ in 0..400 {
        append(&log, &mut steps, &records);
    }
    let mut bench = criterion.benchmark_group("log");
    bench.throughput(Throughput::Elements(1_000));
    bench.bench_function("read 1,000 records of 1 KiB from memory", |b| {
        on_cpu(b, || log.read(Topic::Inbound, Partition(3), Offset(100), 1_000 * 1_024).expect("it reads"));
    });
}

criterion_group!(log, appends, commits, reads);
criterion_main!(log);
