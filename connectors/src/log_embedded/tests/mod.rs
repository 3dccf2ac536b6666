//! What only this log does; the suite and its crashes have files of their own.

mod crash;
mod damage;
mod disk_full;
mod failure;
mod hostile;
mod life;
mod model;
pub(crate) mod suite;

use std::path::Path;
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use leadline_schemas::{CommitNumber, Millis};

use super::*;
use crate::clock_system::SystemClock;
use crate::conformance::Seeded;
use crate::contract::BoxFuture;
use crate::disk_folder::FolderDisk;
use crate::disk_simulated::{DiskFault, SimulatedDisk};

fn config() -> EmbeddedLogConfig {
    EmbeddedLogConfig {
        partitions: 2,
        segment_bytes: 256 << 10,
        max_bytes: 64 << 20,
        ..EmbeddedLogConfig::default()
    }
}

fn open(folder: &Path) -> Result<EmbeddedLog, OpenError> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let disk = Arc::new(FolderDisk::open(folder).unwrap());
    EmbeddedLog::open(config(), disk, Arc::new(SystemClock), incarnations(NEXT.fetch_add(1, Relaxed)))
}

/// Numbers that no other life has.
fn incarnations(life: u64) -> impl FnMut() -> u64 + Send + 'static {
    let mut seeded = Seeded::new(life);
    move || seeded.next()
}

fn record(topic: Topic, partition: u16, text: String) -> Append {
    Append { topic, partition: Partition(partition), key: Bytes::new(), value: Bytes::from(text) }
}

fn append(log: &EmbeddedLog, records: Vec<Append>) -> Result<Vec<Offset>, AppendError> {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(log.append(records))
}

fn commit(log: &EmbeddedLog, partition: u16, number: u64, bytes: usize) -> CommitAnswer {
    let (sender, receiver) = mpsc::channel();
    let frame = Bytes::from(vec![number as u8; bytes]);
    let commit = Commit {
        partition: Partition(partition),
        number: CommitNumber(number),
        inbound_next: Offset(0),
        replies_next: Offset(0),
        outputs: Arc::default(),
        frame,
    };
    log.commit(commit, Box::new(move |answer| sender.send(answer).unwrap()));
    receiver.recv().unwrap()
}

fn all(log: &EmbeddedLog, topic: Topic, partition: u16) -> Vec<Bytes> {
    let (mut from, end) = log.range(topic, Partition(partition)).unwrap();
    let mut found = Vec::new();
    while from < end {
        let chunk = log.read(topic, Partition(partition), from, 10_000).unwrap();
        assert_eq!(chunk.records.first().unwrap().offset, from);
        found.extend(chunk.records.into_iter().map(|record| record.value));
        from = chunk.next;
    }
    found
}

fn segments(folder: &Path) -> Vec<std::path::PathBuf> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<_> = names.filter(|path| path.to_string_lossy().contains("segment-")).collect();
    names.sort();
    names
}

#[test]
fn what_was_acknowledged_is_there_in_order_after_every_reopening() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let log = open(folder.path()).unwrap();
        for n in 0..300 {
            let text = format!("{round}-{n}-{}", "x".repeat(700));
            let offsets = append(
                &log,
                vec![record(Topic::Inbound, n % 2, text.clone()), record(Topic::Replies, 0, text)],
            );
            assert_eq!(offsets.unwrap()[1], Offset(u64::from(round * 300 + n)));
        }
        assert_eq!(commit(&log, 1, u64::from(round) + 1, 3 << 20), CommitAnswer::Committed, "in three parts");
        assert_eq!(all(&log, Topic::Inbound, 0).len(), usize::from(round + 1) * 150);
        let frames = all(&log, Topic::State, 1);
        assert!(
            frames.iter().enumerate().all(|(n, frame)| frame.len() == 3 << 20 && frame[7] == n as u8 + 1)
        );
    }
    let log = open(folder.path()).unwrap();
    let replies = all(&log, Topic::Replies, 0);
    assert_eq!(replies.len(), 1_200);
    assert!(replies[301].starts_with(b"1-1-"));
    assert!(segments(folder.path()).len() > 4, "the log has rolled");
}

#[test]
fn a_torn_tail_is_cut_and_everything_acknowledged_stays() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    append(&log, vec![record(Topic::Inbound, 0, "kept".to_owned())]).unwrap();
    log.close();
    drop(log);
    let newest = segments(folder.path()).pop().unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes[end..end + 100].fill(0xab);
    std::fs::write(&newest, bytes).unwrap();
    let log = open(folder.path()).unwrap();
    assert_eq!(all(&log, Topic::Inbound, 0), vec![Bytes::from("kept")]);
    assert_eq!(append(&log, vec![record(Topic::Inbound, 0, "next".to_owned())]).unwrap(), vec![Offset(1)]);
}

#[test]
fn a_flipped_bit_before_a_synced_frame_is_reported_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    for n in 0..20 {
        append(&log, vec![record(Topic::Inbound, 0, format!("record {n} {}", "y".repeat(100)))]).unwrap();
    }
    log.close();
    drop(log);
    let newest = segments(folder.path()).pop().unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    let at = bytes.windows(8).position(|window| window == b"record 5").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&newest, bytes).unwrap();
    let refused = open(folder.path()).err().unwrap().to_string();
    assert!(refused.contains("segment-") && refused.contains("at byte"), "{refused}");
}

#[test]
fn a_flipped_bit_in_a_sealed_segment_is_never_read_as_data() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    for n in 0..2_000 {
        append(&log, vec![record(Topic::Inbound, 0, format!("record {n} {}", "y".repeat(300)))]).unwrap();
    }
    drop(log);
    let oldest = segments(folder.path()).remove(0);
    let mut bytes = std::fs::read(&oldest).unwrap();
    let at = bytes.windows(10).position(|window| window == b"record 55 ").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&oldest, bytes).unwrap();
    let log = open(folder.path()).unwrap();
    let damaged = log.read(Topic::Inbound, Partition(0), Offset(50), 1 << 20).unwrap_err().to_string();
    assert!(damaged.contains("segment-00000000000000000001.log at byte"), "{damaged}");
    let disk_reports = inspect_folder(&log, folder.path());
    assert!(disk_reports.iter().any(|report| report.damage.is_some()));
}

fn inspect_folder(log: &EmbeddedLog, folder: &Path) -> Vec<SegmentReport> {
    log.close();
    // The lock goes with the log; a copy has none.
    let copy = tempfile::tempdir().unwrap();
    for path in segments(folder) {
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    inspect(&FolderDisk::open(copy.path()).unwrap(), |_, _| {}).unwrap()
}

#[test]
fn segments_go_only_below_every_floor_and_offsets_survive_them() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    for n in 0..3_000 {
        append(&log, vec![record(Topic::Replies, 0, format!("{n} {}", "z".repeat(400)))]).unwrap();
    }
    let before = segments(folder.path()).len();
    assert!(before > 4);
    log.set_floor(Topic::Inbound, Partition(0), Offset(0));
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(segments(folder.path()).len(), before, "replies have no floor yet");
    drop(log);
    let disk = Arc::new(FolderDisk::open(folder.path()).unwrap());
    let config =
        EmbeddedLogConfig { retention: Retention { replies_ms: 0, ..Retention::default() }, ..config() };
    let log = EmbeddedLog::open(config, disk, Arc::new(SystemClock), || 77).unwrap();
    log.set_floor(Topic::Replies, Partition(0), Offset(3_000));
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while segments(folder.path()).len() > 1 {
        assert!(std::time::Instant::now() < deadline, "{:?}", segments(folder.path()));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(log.range(Topic::Replies, Partition(0)).unwrap(), (Offset(3_000), Offset(3_000)));
    let dropped = log.read(Topic::Replies, Partition(0), Offset(5), 100).unwrap_err();
    assert!(matches!(dropped, ReadError::Dropped { first: Offset(3_000), .. }));
    drop(log);
    let log = open(folder.path()).unwrap();
    assert_eq!(
        append(&log, vec![record(Topic::Replies, 0, "more".to_owned())]).unwrap(),
        vec![Offset(3_000)]
    );
}

#[test]
fn commit_numbers_are_contiguous() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    assert_eq!(commit(&log, 0, 1, 10), CommitAnswer::Committed);
    assert!(matches!(commit(&log, 0, 1, 10), CommitAnswer::Fenced(_)));
    assert!(matches!(commit(&log, 0, 3, 10), CommitAnswer::Fenced(_)));
    assert_eq!(commit(&log, 0, 2, 10), CommitAnswer::Committed);
}

struct HandClock(AtomicU64);

impl Clock for HandClock {
    fn wall(&self) -> Millis {
        Millis(self.0.load(Relaxed) as i64)
    }
    fn boot_ms(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

#[test]
fn without_threads_nothing_happens_between_turns_and_time_decides_what_is_due() {
    let (disk, clock) = (SimulatedDisk::new(), Arc::new(HandClock(AtomicU64::new(1_000))));
    let (log, mut steps) =
        EmbeddedLog::open_stepped(config(), Arc::new(disk.clone()), clock.clone(), || 7).unwrap();
    let mut turns = 0;
    while steps.turn() {
        turns += 1;
    }
    assert_eq!(turns, 3, "a spare each");
    let mut appended = polled(log.append(vec![record(Topic::Inbound, 0, "a".to_owned())]));
    assert!(appended().is_none(), "nobody has written it");
    assert_eq!(log.range(Topic::Inbound, Partition(0)).unwrap(), (Offset(0), Offset(0)));
    assert!(steps.turn());
    assert_eq!(appended().unwrap().unwrap(), vec![Offset(0)]);
    assert!(!steps.turn());

    assert_eq!(steps.wake_at_ms(), Some(1_200), "the witness");
    clock.0.store(1_200, Relaxed);
    let before = disk.operations();
    assert!(steps.turn() && !steps.turn());
    assert_eq!(disk.operations() - before, 2, "one write and one sync");
    assert_eq!(steps.wake_at_ms(), Some(2_000), "upkeep");
    clock.0.store(2_000, Relaxed);
    assert!(!steps.turn(), "there is nothing to drop");
    assert_eq!(steps.wake_at_ms(), Some(3_000));

    let mut last = polled(log.append(vec![record(Topic::Inbound, 0, "b".to_owned())]));
    log.close();
    assert!(matches!(
        polled(log.append(vec![record(Topic::Inbound, 0, "c".to_owned())]))(),
        Some(Err(AppendError::Failed(_)))
    ));
    while steps.turn() {}
    assert_eq!(last().unwrap().unwrap(), vec![Offset(1)], "what waited at the end is written");
    assert_eq!(steps.wake_at_ms(), None);
}

#[test]
fn records_that_are_written_together_lie_side_by_side_in_their_partitions() {
    let (disk, clock) = (SimulatedDisk::new(), Arc::new(HandClock(AtomicU64::new(1_000))));
    let (log, mut steps) = EmbeddedLog::open_stepped(config(), Arc::new(disk), clock, || 7).unwrap();
    while steps.turn() {}
    let text = |number: u16| format!("record {number}");
    let append = |number: u16| {
        let pair = [number, number + 1].map(|number| record(Topic::Inbound, number % 2, text(number)));
        polled(log.append(pair.to_vec()))
    };
    let mut answers: Vec<_> = (0..40).step_by(2).map(append).collect();
    assert!(steps.turn());
    for (answer, number) in answers.iter_mut().zip(0..) {
        let offset = Offset(number);
        assert_eq!(answer().unwrap().unwrap(), vec![offset, offset], "in the order of the appends");
    }
    for partition in 0..2 {
        let expected: Vec<Bytes> = (0..40).filter(|n| n % 2 == partition).map(|n| text(n).into()).collect();
        assert_eq!(all(&log, Topic::Inbound, partition), expected);
        let slot = log.slot(Topic::Inbound, Partition(partition)).unwrap();
        let state = log.shared.read_state();
        let entries = state.active.index.entries(slot);
        assert_eq!(entries.len(), 20);
        assert!(entries.is_sorted_by(|a, b| a.position + a.bytes == b.position), "one read takes them all");
    }
}

#[test]
fn a_full_disk_ends_no_log_and_what_nobody_needs_makes_room() {
    let (disk, clock) = (SimulatedDisk::new(), Arc::new(HandClock(AtomicU64::new(1_000))));
    disk.set_capacity(Some(2 << 20));
    let (log, mut steps) =
        EmbeddedLog::open_stepped(config(), Arc::new(disk.clone()), clock.clone(), || 7).unwrap();
    let append = |steps: &mut LogSteps| {
        let mut answer = polled(log.append(vec![record(Topic::Inbound, 0, "x".repeat(50_000))]));
        while steps.turn() {}
        answer().unwrap()
    };
    let mut appended = 0;
    while let Ok(offsets) = append(&mut steps) {
        appended += offsets.len() as u64;
    }
    assert!(appended > 10 && log.health().full);
    let commit = |steps: &mut LogSteps, number| {
        let (sender, receiver) = mpsc::channel();
        let commit = Commit {
            partition: Partition(0),
            number: CommitNumber(number),
            inbound_next: Offset(0),
            replies_next: Offset(0),
            outputs: Arc::default(),
            frame: Bytes::from(vec![7; 60_000]),
        };
        log.commit(commit, Box::new(move |answer| sender.send(answer).unwrap()));
        while steps.turn() {}
        receiver
    };
    let mut number = 1;
    let waits = loop {
        let answer = commit(&mut steps, number);
        match answer.try_recv() {
            Ok(answered) => assert_eq!(answered, CommitAnswer::Committed),
            Err(_) => break answer,
        }
        number += 1;
    };
    assert!(number > 4, "the reserve is for commits");
    assert_eq!((log.health().full, log.health().failed), (true, None), "it waits for room");

    log.set_floor(Topic::Inbound, Partition(0), Offset(appended));
    for _ in 0..5 {
        clock.0.fetch_add(1_000, Relaxed);
        while steps.turn() {}
    }
    assert_eq!(waits.try_recv(), Ok(CommitAnswer::Committed), "there is room again");
    assert_eq!(append(&mut steps).unwrap(), vec![Offset(appended)]);
    let (first, end) = log.range(Topic::Inbound, Partition(0)).unwrap();
    assert!(first.0 > 0 && end.0 == appended + 1);
    assert_eq!(log.range(Topic::State, Partition(0)).unwrap(), (Offset(0), Offset(number)), "kept: no floor");
}

/// Polls a future each time it is called.
fn polled<T>(mut future: BoxFuture<'static, T>) -> impl FnMut() -> Option<T> {
    let mut context = Context::from_waker(Waker::noop());
    move || match future.as_mut().poll(&mut context) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}
