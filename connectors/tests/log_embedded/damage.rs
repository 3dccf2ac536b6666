//! Bytes that were acknowledged and are no longer what was written: reported with their place, never skipped.

use leadline_connectors::conformance::log::read_all;
use leadline_connectors::contract::disk::Disk;
use leadline_connectors::contract::log::Log;
use leadline_connectors::disk_simulated::SimulatedDisk;
use leadline_connectors::log_embedded::{OpenError, inspect};
use leadline_schemas::{Offset, Partition, Topic};

use crate::simulated::{Random, append, append_now, commit_now, open, small, value};

const RECORDS: u64 = 120;
const COMMITS: u64 = 12;

/// A log of several segments; the last group of the newest has a witness.
fn written() -> SimulatedDisk {
    let disk = SimulatedDisk::new(9);
    let mut core = open(&disk, 9, small()).unwrap();
    for n in 0..RECORDS {
        append_now(&mut core, append(Topic::Inbound, 0, value(Topic::Inbound, 0, n, n, 400))).unwrap();
        if n % 10 == 0 {
            let number = n / 10 + 1;
            commit_now(&mut core, 1, number, value(Topic::State, 1, number, n, 1_500));
        }
    }
    core.idle();
    while core.upkeep() {}
    disk.restart();
    disk
}

/// Reads everything; the text of the damage, if that is what came.
fn outcome(disk: &SimulatedDisk) -> Result<(), String> {
    let core = match open(disk, 10, small()) {
        Ok(core) => core,
        Err(OpenError::Damaged(damage)) => return Err(damage.to_string()),
        Err(other) => panic!("not called damage: {other}"),
    };
    let log = core.handle();
    let records = read_all(&log, Topic::Inbound, 0, 0, 3_000).map_err(|error| error.to_string())?;
    assert_eq!(records.len() as u64, RECORDS, "damage was skipped");
    for (n, record) in records.iter().enumerate() {
        assert!(record.value == value(Topic::Inbound, 0, n as u64, n as u64, 400), "wrong data at {n}");
    }
    let frames = read_all(&log, Topic::State, 1, 0, 3_000).map_err(|error| error.to_string())?;
    assert_eq!(frames.len() as u64, COMMITS, "damage was skipped");
    for (number, frame) in (1..).zip(&frames) {
        assert!(frame.value == value(Topic::State, 1, number, (number - 1) * 10, 1_500), "wrong data");
    }
    Ok(())
}

fn segments(disk: &SimulatedDisk) -> Vec<String> {
    let mut names: Vec<_> = disk.list().unwrap();
    names.retain(|name| name.starts_with("segment-"));
    names.sort_unstable();
    names
}

#[test]
fn any_flipped_bit_of_a_synced_frame_is_reported_with_its_place() {
    let disk = written();
    outcome(&disk.fork(0)).unwrap();
    let reports = inspect(&disk, |_, _| {}).unwrap();
    assert!(reports.len() >= 4, "several segments: {}", reports.len());
    let mut random = Random(3);
    for report in &reports {
        eprintln!("{report}");
        // The witness itself, the last frame of the newest, has nobody who proves it; it holds nothing.
        let end = if report.sealed { report.end } else { report.end - 48 };
        for _ in 0..250 {
            let byte = 4_096 + random.below(end - 4_096);
            let fork = disk.fork(byte);
            fork.flip_bit(&report.file, byte * 8 + random.below(8));
            eprintln!("{byte}");
            let found = outcome(&fork).expect_err(&format!("bit in {} at {byte} was not seen", report.file));
            assert!(found.contains(&report.file), "{found}");
            let place = found.split("at byte ").nth(1).unwrap().split(':').next().unwrap();
            let place: u64 = place.parse().unwrap();
            assert!(place <= byte && byte - place < 600, "the frame with byte {byte}: {found}");
            let inspected = inspect(&fork, |_, _| {}).unwrap();
            let damaged = inspected.iter().find_map(|report| report.damage.as_ref()).unwrap();
            assert_eq!(damaged.position, place, "inspect finds the same place");
        }
    }
}

#[test]
fn a_damaged_footer_is_made_again_from_the_frames() {
    let disk = written();
    let mut random = Random(4);
    for report in inspect(&disk, |_, _| {}).unwrap().iter().filter(|report| report.sealed) {
        for _ in 0..100 {
            let byte = report.end + random.below(report.bytes - report.end);
            let fork = disk.fork(byte);
            fork.flip_bit(&report.file, byte * 8 + random.below(8));
            outcome(&fork).unwrap();
        }
    }
}

#[test]
fn a_damaged_header_is_refused() {
    let disk = written();
    let mut random = Random(5);
    for name in segments(&disk) {
        for _ in 0..50 {
            let fork = disk.fork(0);
            // Magic, checksum, length and fields of a header with 7 slots.
            fork.flip_bit(&name, random.below((16 + 50 + 7 * 8) * 8));
            let found = outcome(&fork).expect_err("a damaged header was not seen");
            assert!(found.contains(&name) && found.contains("at byte 0"), "{found}");
        }
    }
}

#[test]
fn a_missing_segment_is_damage_wherever_it_was() {
    let disk = written();
    let names = segments(&disk);
    for name in &names[1..] {
        let fork = disk.fork(0);
        fork.remove(name).unwrap();
        let found = outcome(&fork).expect_err("a missing segment was not seen");
        assert!(found.contains(name), "{found}");
    }
    let fork = disk.fork(0);
    fork.remove(&names[0]).unwrap();
    let core = open(&fork, 1, small()).unwrap();
    let (first, next) = core.handle().range(Topic::Inbound, Partition(0)).unwrap();
    assert!(
        first > Offset(0) && next == Offset(RECORDS),
        "the oldest may have been dropped: {first}..{next}"
    );
}

#[test]
fn a_torn_tail_without_a_witness_is_cut() {
    let disk = SimulatedDisk::new(1);
    let mut core = open(&disk, 1, small()).unwrap();
    for n in 0..5 {
        append_now(&mut core, append(Topic::Inbound, 0, value(Topic::Inbound, 0, n, n, 100))).unwrap();
    }
    let report = inspect(&disk, |_, _| {}).unwrap().remove(0);
    disk.restart();
    disk.flip_bit(&report.file, (report.end - 1) * 8);
    let core = open(&disk, 2, small()).unwrap();
    // Without a later frame a rotten bit looks like a torn write: the idle witness closes this window.
    assert_eq!(core.handle().range(Topic::Inbound, Partition(0)).unwrap(), (Offset(0), Offset(4)));
}

#[test]
fn another_number_of_partitions_is_refused() {
    let disk = written();
    let mut other = small();
    other.partitions = 3;
    let error = open(&disk, 1, other).err().unwrap();
    assert!(matches!(error, OpenError::Partitions { found: 2, asked: 3 }), "{error}");
}
