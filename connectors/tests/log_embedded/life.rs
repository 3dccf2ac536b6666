//! What a log does over its life: failing for good, dropping, remembering, opening fast.

use bytes::Bytes;
use leadline_connectors::conformance::log::read_all;
use leadline_connectors::contract::log::{AppendError, CommitAnswer, Log, ReadError};
use leadline_connectors::disk_simulated::SimulatedDisk;
use leadline_connectors::log_embedded::inspect;
use leadline_schemas::{Offset, Partition, Topic};

use crate::simulated::{append, append_now, commit_now, open, small, value};

fn record(n: u64) -> leadline_connectors::contract::log::Append {
    append(Topic::Inbound, 0, value(Topic::Inbound, 0, n, n, 500))
}

#[test]
fn a_failed_sync_ends_the_log_for_good() {
    let disk = SimulatedDisk::new(1);
    let mut core = open(&disk, 1, small()).unwrap();
    append_now(&mut core, record(0)).unwrap();
    disk.fail_sync_after(0);
    assert!(matches!(append_now(&mut core, record(1)), Err(AppendError::Failed(_))));
    let failed = core.handle().health().failed.unwrap();
    assert!(failed.contains("segment-") && failed.contains("device"), "{failed}");
    assert!(matches!(append_now(&mut core, record(2)), Err(AppendError::Failed(_))), "never tried again");
    assert!(matches!(commit_now(&mut core, 0, 1, Bytes::new()), CommitAnswer::Aborted(_)), "not written");
    let range = core.handle().range(Topic::Inbound, Partition(0)).unwrap();
    assert_eq!(range, (Offset(0), Offset(1)), "what was never synced is not shown");
}

#[test]
fn a_commit_in_a_failed_group_is_unknown() {
    let disk = SimulatedDisk::new(1);
    let mut core = open(&disk, 1, small()).unwrap();
    disk.fail_sync_after(0);
    let answer = commit_now(&mut core, 0, 1, Bytes::from_static(b"frame"));
    assert!(matches!(answer, CommitAnswer::Unknown(_)), "{answer:?}");
}

/// After a failed `fdatasync` Linux keeps the pages, calls them clean and never writes them.
#[test]
fn what_a_restart_shows_after_a_failed_sync_survives_a_crash() {
    for seed in 0..200 {
        let disk = SimulatedDisk::new(seed);
        let mut core = open(&disk, seed, small()).unwrap();
        append_now(&mut core, record(0)).unwrap();
        disk.fail_sync_after(0);
        assert!(append_now(&mut core, record(1)).is_err());
        disk.restart();
        let shown = open(&disk, seed + 1, small()).unwrap().handle();
        let (_, next) = shown.range(Topic::Inbound, Partition(0)).unwrap();
        disk.crash();
        let core = open(&disk, seed + 2, small()).unwrap();
        let found = read_all(&core.handle(), Topic::Inbound, 0, 0, 1 << 20).unwrap();
        assert_eq!(Offset(found.len() as u64), next, "seed {seed}");
    }
}

#[test]
fn segments_go_only_below_every_floor_and_past_their_time() {
    let disk = SimulatedDisk::new(1);
    let mut core = open(&disk, 1, small()).unwrap();
    for n in 0..100 {
        append_now(&mut core, record(n)).unwrap();
        append_now(&mut core, append(Topic::Replies, 1, Bytes::from_static(b"reply"))).unwrap();
    }
    while core.upkeep() {}
    let log = core.handle();
    let first = || log.range(Topic::Inbound, Partition(0)).unwrap().0;
    log.set_floor(Topic::Inbound, Partition(0), Offset(60));
    while core.upkeep() {}
    assert_eq!(first(), Offset(0), "replies has no floor and keeps everything");
    log.set_floor(Topic::Replies, Partition(1), Offset(30));
    while core.upkeep() {}
    let (dropped, kept) = (first(), log.range(Topic::Replies, Partition(1)).unwrap().0);
    assert!(dropped > Offset(0) && dropped <= Offset(30) && kept <= Offset(30), "{dropped} {kept}");
    let unread = log.read(Topic::Inbound, Partition(0), Offset(0), 1);
    let expected = (Topic::Inbound, Partition(0), Offset(0), dropped);
    let (topic, partition, asked, first) = expected;
    assert_eq!(unread.unwrap_err(), ReadError::Dropped { topic, partition, asked, first });
    drop(core);
    disk.crash();
    let mut config = small();
    config.retention.inbound_ms = i64::MAX;
    let mut core = open(&disk, 2, config).unwrap();
    let log = core.handle();
    log.set_floor(Topic::Inbound, Partition(0), Offset(100));
    log.set_floor(Topic::Replies, Partition(1), Offset(100));
    while core.upkeep() {}
    assert_eq!(log.range(Topic::Inbound, Partition(0)).unwrap(), (dropped, Offset(100)), "too young to drop");
}

#[test]
fn offsets_and_commit_numbers_outlive_their_records() {
    let disk = SimulatedDisk::new(1);
    let mut core = open(&disk, 1, small()).unwrap();
    append_now(&mut core, append(Topic::Replies, 1, Bytes::from_static(b"once"))).unwrap();
    for number in 1..=3 {
        commit_now(&mut core, 1, number, Bytes::from_static(b"frame"));
    }
    for life in 0..3 {
        let log = core.handle();
        for n in 0..60 {
            append_now(&mut core, record(n)).unwrap();
        }
        let floors = [(Topic::Replies, 1, 1), (Topic::State, 1, 3), (Topic::Inbound, 0, 60 * (life + 1))];
        for (topic, partition, floor) in floors {
            log.set_floor(topic, Partition(partition), Offset(floor));
        }
        while core.upkeep() {}
        disk.crash();
        core = open(&disk, life + 2, small()).unwrap();
    }
    let log = core.handle();
    assert_eq!(log.range(Topic::Replies, Partition(1)).unwrap(), (Offset(1), Offset(1)));
    assert_eq!(log.range(Topic::State, Partition(1)).unwrap(), (Offset(3), Offset(3)));
    assert!(inspect(&disk, |_, _| {}).unwrap()[0].first_sequence > 60, "the first segments are gone");
    assert!(matches!(commit_now(&mut core, 1, 3, Bytes::new()), CommitAnswer::Aborted(_)));
    assert_eq!(commit_now(&mut core, 1, 4, Bytes::new()), CommitAnswer::Committed);
}

#[test]
fn opening_reads_headers_footers_and_the_newest_segment_alone() {
    let disk = SimulatedDisk::new(1);
    let mut config = small();
    config.segment_bytes = 128 << 10;
    config.max_bytes = 1 << 30;
    let mut core = open(&disk, 1, config.clone()).unwrap();
    for _ in 0..400 {
        let records = (0..50).map(|_| append(Topic::Inbound, 1, Bytes::from(vec![5; 200]))).collect();
        drop(core.handle().append(records));
        while core.pump() {}
    }
    while core.upkeep() {}
    disk.restart();
    let segments = inspect(&disk, |_, _| {}).unwrap().len() as u64;
    assert!(segments > 30, "{segments}");
    let before = disk.reads();
    let core = open(&disk, 2, config).unwrap();
    let after = disk.reads();
    assert_eq!(core.handle().range(Topic::Inbound, Partition(1)).unwrap().1, Offset(20_000));
    let (calls, bytes) = (after.calls - before.calls, after.bytes - before.bytes);
    assert!(calls <= 2 * segments + 8, "{calls} calls for {segments} segments");
    assert!(bytes <= segments * 4_200 + 3 * (128 << 10), "{bytes} bytes for {segments} segments");
}

#[test]
fn idle_restarts_leave_nothing_behind() {
    let disk = SimulatedDisk::new(1);
    drop(open(&disk, 1, small()).unwrap());
    for life in 2..20 {
        disk.restart();
        let mut core = open(&disk, life, small()).unwrap();
        core.idle();
        while core.upkeep() {}
    }
    assert_eq!(inspect(&disk, |_, _| {}).unwrap().len(), 1);
}

#[test]
fn a_reader_near_the_end_never_touches_the_disk() {
    let disk = SimulatedDisk::new(1);
    let mut core = open(&disk, 1, small()).unwrap();
    let before = disk.reads();
    for n in 0..100 {
        append_now(&mut core, record(n)).unwrap();
        let chunk = core.handle().read(Topic::Inbound, Partition(0), Offset(n), 1 << 20).unwrap();
        assert_eq!(chunk.records.len(), 1);
    }
    assert_eq!(disk.reads(), before);
    core.handle().read(Topic::Inbound, Partition(0), Offset(0), 1).unwrap();
    assert!(disk.reads().calls > before.calls, "the first record has left the tail");
}
