//! Log files with flipped bits, cuts and strange bytes: the embedded log on a disk in memory.
//!
//! Input: edits. Each is a byte that says what is done, one that chooses the file, four that choose the place, one
//! for how much.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use leadline_connectors::conformance::Seeded;
use leadline_connectors::contract::BoxFuture;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::disk::Disk;
use leadline_connectors::contract::log::{Append, Commit, CommitAnswer, Log, ReadError};
use leadline_connectors::disk_simulated::SimulatedDisk;
use leadline_connectors::log_embedded::{EmbeddedLog, EmbeddedLogConfig, LogSteps, inspect};
use leadline_schemas::{CommitNumber, Millis, Offset, Partition, Topic};

use super::Target;

pub const TARGET: Target = Target {
    name: "log_files",
    run: log_files,
    tokens: &[
        // Flip a bit of the header, of the first frame's header, of its content, near the end; cut; and so on.
        b"\x00\x00\x00\x00\x00\x08\x01",
        b"\x00\x00\x00\x00\x10\x00\x01",
        b"\x01\x02\x00\x00\x10\x40\x00",
        b"\x02\x01\x00\x00\x20\x00\x40",
        b"\x03\x03\x00\x00\x00\x00\xFF",
        b"\x04\x02\x00\x00\x40\x00\x20",
        b"\x05\x01\x00\x00\x00\x00\x02",
        b"\x06\x03\x00\x00\x00\x00\x00",
    ],
    memory_bytes_base: 24 << 20,
    memory_bytes_per_byte: 4 << 10,
    large: &[],
};

/// Small, so that a few records fill several segments.
const SEGMENT_BYTES: u64 = 16 << 10;
const PARTITIONS: u16 = 2;

struct Still;

impl Clock for Still {
    fn wall(&self) -> Millis {
        Millis(1_772_640_753_236)
    }
    fn boot_ms(&self) -> u64 {
        1_000_000
    }
}

fn config() -> EmbeddedLogConfig {
    EmbeddedLogConfig {
        partitions: PARTITIONS,
        segment_bytes: SEGMENT_BYTES,
        max_bytes: 64 * SEGMENT_BYTES,
        ..EmbeddedLogConfig::default()
    }
}

fn open(disk: SimulatedDisk) -> Result<(EmbeddedLog, LogSteps), String> {
    let mut seeded = Seeded::new(7);
    EmbeddedLog::open_stepped(config(), Arc::new(disk), Arc::new(Still), move || seeded.next())
        .map_err(|error| error.to_string())
}

/// What was written, by topic and partition, and the disk that it was written to.
struct Written {
    disk: SimulatedDisk,
    files: Vec<String>,
    records: BTreeMap<(Topic, Partition), Vec<Bytes>>,
}

fn resolved<T>(future: BoxFuture<'static, T>, steps: &mut LogSteps) -> T {
    let mut future = future;
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    for _ in 0..10_000 {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        steps.turn();
    }
    panic!("the log does not answer");
}

fn append(log: &EmbeddedLog, steps: &mut LogSteps, partition: Partition, value: Bytes) -> Result<(), String> {
    let record = Append { topic: Topic::Inbound, partition, key: Bytes::new(), value };
    resolved(log.append(vec![record]), steps).map(drop).map_err(|error| error.to_string())
}

/// A log of several segments, with appends and commits, closed like after a crash of its process.
fn written() -> &'static Written {
    static WRITTEN: OnceLock<Written> = OnceLock::new();
    WRITTEN.get_or_init(|| {
        let disk = SimulatedDisk::new();
        let (log, mut steps) = open(disk.clone()).unwrap();
        let mut seeded = Seeded::new(3);
        let mut records: BTreeMap<(Topic, Partition), Vec<Bytes>> = BTreeMap::new();
        for turn in 0..60_u64 {
            let partition = Partition((turn % u64::from(PARTITIONS)) as u16);
            let length = seeded.below(2_000) as usize;
            let value: Bytes = (0..length).map(|_| seeded.next() as u8).collect::<Vec<u8>>().into();
            append(&log, &mut steps, partition, value.clone()).unwrap();
            records.entry((Topic::Inbound, partition)).or_default().push(value);
            if turn % 3 == 0 {
                let number = records.get(&(Topic::State, partition)).map_or(0, Vec::len) as u64 + 1;
                let frame: Bytes = vec![turn as u8; 100 + seeded.below(3_000) as usize].into();
                commit(&log, &mut steps, partition, number, frame.clone());
                records.entry((Topic::State, partition)).or_default().push(frame);
            }
        }
        drop((log, steps));
        let mut files = disk.list().unwrap();
        files.sort();
        assert!(files.len() >= 4, "several segments: {files:?}");
        Written { disk, files, records }
    })
}

fn commit(log: &EmbeddedLog, steps: &mut LogSteps, partition: Partition, number: u64, frame: Bytes) {
    let commit = Commit {
        partition,
        number: CommitNumber(number),
        inbound_next: Offset(0),
        replies_next: Offset(0),
        outputs: Arc::default(),
        frame,
    };
    let (tell, told) = std::sync::mpsc::channel();
    log.commit(commit, Box::new(move |answer| tell.send(answer).unwrap()));
    for _ in 0..10_000 {
        if let Ok(answer) = told.try_recv() {
            assert_eq!(answer, CommitAnswer::Committed);
            return;
        }
        steps.turn();
    }
    panic!("the log does not answer");
}

/// Damages the files of a log and opens it.
pub fn log_files(input: &[u8]) {
    let written = written();
    let disk = written.disk.copy();
    for edit in input.chunks_exact(7).take(16) {
        damage(&disk, &written.files, edit);
    }
    // A look changes nothing and never fails for what the bytes are.
    let reports = inspect(&disk, |done, total| assert!(done <= total)).unwrap();
    for report in &reports {
        assert!(report.damage.as_ref().is_none_or(|what| what.contains(&report.file)), "{report:?}");
    }
    let (log, mut steps) = match open(disk.clone()) {
        Ok(opened) => opened,
        Err(why) => {
            assert!(!why.is_empty() && why.len() < 500 && !why.contains('\n'), "{why}");
            return;
        }
    };
    for ((topic, partition), values) in &written.records {
        reads_as_written(&log, *topic, *partition, values);
    }
    // What opens, works: unless it says that it is broken, it takes a record and gives it back.
    let value = Bytes::from_static(b"after the damage");
    if append(&log, &mut steps, Partition(0), value.clone()).is_ok() {
        let (_, end) = log.range(Topic::Inbound, Partition(0)).unwrap();
        let chunk = log.read(Topic::Inbound, Partition(0), Offset(end.0 - 1), 1 << 20).unwrap();
        assert_eq!(chunk.records.last().map(|record| &record.value), Some(&value));
    }
}

/// What is there must be what was written, in its place; what is damaged must be said.
fn reads_as_written(log: &EmbeddedLog, topic: Topic, partition: Partition, values: &[Bytes]) {
    let (first, end) = log.range(topic, partition).unwrap();
    assert!(end.0 <= values.len() as u64, "{topic}/{partition} has records nobody wrote");
    let mut at = first;
    while at < end {
        let chunk = match log.read(topic, partition, at, 64 << 10) {
            Ok(chunk) => chunk,
            Err(ReadError::Damaged(why)) => {
                assert!(!why.is_empty());
                return;
            }
            Err(error) => panic!("{error}"),
        };
        assert!(!chunk.records.is_empty(), "{topic}/{partition} ends at {at} and not at {end}");
        for record in &chunk.records {
            assert_eq!(record.offset, at, "a gap that nobody told of");
            // State is numbered from commit 1 on.
            let index = usize::try_from(at.0).unwrap();
            assert_eq!(values.get(index), Some(&record.value), "{topic}/{partition} offset {at}");
            at = at.next();
        }
    }
}

fn damage(disk: &SimulatedDisk, files: &[String], edit: &[u8]) {
    let [what, file, a, b, c, d, much] = *edit else { return };
    let name = &files[usize::from(file) % files.len()];
    let place = u64::from(u32::from_be_bytes([a, b, c, d]));
    let Some(length) = disk.bytes(name).map(|bytes| bytes.len() as u64).filter(|length| *length > 0) else {
        return;
    };
    let place = place % length;
    match what % 8 {
        0 | 1 => _ = disk.flip_bit(name, place * 8 + u64::from(much % 8)),
        2 => _ = disk.cut(name, place),
        3 => overwrite(disk, name, place, &[much; 64]),
        // A piece of another place of the same file, as a misdirected write leaves it.
        4 => {
            let bytes = disk.bytes(name).unwrap_or_default();
            let from = usize::try_from(place).unwrap_or(0);
            let piece = bytes.get(from..(from + usize::from(much) + 1).min(bytes.len())).unwrap_or_default();
            overwrite(disk, name, place / 2, piece);
        }
        5 => _ = disk.remove(name),
        // A segment under another's name.
        6 => {
            let other = &files[usize::from(much) % files.len()];
            if let Some(bytes) = disk.bytes(other) {
                overwrite(disk, name, 0, &bytes);
            }
        }
        _ => {
            let strange = [&b"wal-"[..], &[b'0' + much % 10], b"strange"].concat();
            if let Ok(file) = disk.create(&String::from_utf8_lossy(&strange)) {
                file.write_at(&[much; 100], 0).unwrap();
            }
        }
    }
}

fn overwrite(disk: &SimulatedDisk, name: &str, place: u64, bytes: &[u8]) {
    if let Ok(file) = disk.open(name) {
        file.write_at(bytes, place).unwrap();
        file.sync_data().unwrap();
    }
}
