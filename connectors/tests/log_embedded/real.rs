//! The embedded log with its threads on a real disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::{Append, Commit, CommitAnswer, Log};
use leadline_connectors::disk_folder::FolderDisk;
use leadline_connectors::log_embedded::{EmbeddedLog, EmbeddedLogConfig, system_randomness};
use leadline_schemas::{CommitNumber, Millis, Offset, Partition, Topic};

struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn wall(&self) -> Millis {
        Millis(1_700_000_000_000 + self.0.fetch_add(1, Ordering::Relaxed) as i64)
    }
    fn boot_ms(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

fn open(path: &std::path::Path) -> EmbeddedLog {
    let config = EmbeddedLogConfig {
        partitions: 4,
        segment_bytes: 1 << 20,
        group_bytes_max: 128 << 10,
        ..EmbeddedLogConfig::default()
    };
    let disk = Arc::new(FolderDisk::open(path).unwrap());
    let clock = Arc::new(TestClock(AtomicU64::new(0)));
    EmbeddedLog::open(config, disk, clock, system_randomness()).unwrap()
}

fn record(partition: u16, text: &str) -> Append {
    Append { topic: Topic::Inbound, partition: Partition(partition), value: Bytes::from(text.to_owned()) }
}

async fn commit(log: &dyn Log, partition: u16, number: u64, frame: Bytes) -> CommitAnswer {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let commit = Commit {
        partition: Partition(partition),
        number: CommitNumber(number),
        inbound_next: Offset(0),
        replies_next: Offset(0),
        outputs: Arc::default(),
        frame,
    };
    log.commit(commit, Box::new(move |answer| drop(sender.send(answer))));
    receiver.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..4_u64 {
        let log = open(folder.path());
        for i in 0..50 {
            let offsets =
                log.append(vec![record(1, &format!("r{round}-{i}")), record(3, "x")]).await.unwrap();
            assert_eq!(offsets, [Offset(round * 50 + i), Offset(round * 50 + i)]);
        }
        let big = Bytes::from(vec![round as u8; 3 << 20]);
        assert_eq!(commit(&log, 2, round + 1, big).await, CommitAnswer::Committed);
        assert!(matches!(commit(&log, 2, round + 1, Bytes::new()).await, CommitAnswer::Aborted(_)));
    }
    let log = open(folder.path());
    assert_eq!(log.range(Topic::Inbound, Partition(1)).unwrap(), (Offset(0), Offset(200)));
    let mut next = Offset(0);
    loop {
        let chunk = log.read(Topic::Inbound, Partition(1), next, 100).unwrap();
        if chunk.records.is_empty() {
            break;
        }
        for record in &chunk.records {
            let at = record.offset.0;
            assert_eq!(record.value, format!("r{}-{}", at / 50, at % 50).as_bytes());
        }
        next = chunk.next;
    }
    assert_eq!(next, Offset(200));
    for number in 0..4_u64 {
        let chunk = log.read(Topic::State, Partition(2), Offset(number), 1).unwrap();
        assert_eq!(chunk.records.len(), 1);
        assert_eq!(chunk.records[0].value, vec![number as u8; 3 << 20]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_appenders_share_groups() {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(open(folder.path()));
    let start = Instant::now();
    let tasks: Vec<_> = (0..64)
        .map(|task| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                for i in 0..50 {
                    log.append(vec![record((task % 4) as u16, &format!("{task}-{i}-{}", "x".repeat(900)))])
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let counters = log.counters();
    println!("{counters:?} in {:?}", start.elapsed());
    assert_eq!(counters.records, 64 * 50);
    assert!(counters.groups < counters.records / 2);
}
