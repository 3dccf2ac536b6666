//! A disk without room: appends answer `Full`, commits go on, and everything works again by itself.

use bytes::Bytes;
use leadline_connectors::contract::log::{AppendError, CommitAnswer, Log};
use leadline_connectors::disk_simulated::SimulatedDisk;
use leadline_connectors::log_embedded::{LogCore, OpenError};
use leadline_schemas::{Offset, Partition, Topic};

use crate::simulated::{append, append_now, commit_now, open, poll, small, value};

fn record(n: u64) -> leadline_connectors::contract::log::Append {
    append(Topic::Inbound, 0, value(Topic::Inbound, 0, n, n, 500))
}

/// Appends until the log is full; how many went in.
fn fill(core: &mut LogCore) -> u64 {
    for n in 0.. {
        match append_now(core, record(n)) {
            Ok(offset) => assert_eq!(offset, Offset(n)),
            Err(error) => {
                assert_eq!(error, AppendError::Full);
                return n;
            }
        }
        while core.upkeep() {}
    }
    0
}

fn commit_until_refused(core: &mut LogCore, from: u64) -> u64 {
    for number in from.. {
        match commit_now(core, 0, number, Bytes::from(vec![1; 900])) {
            CommitAnswer::Committed => while core.upkeep() {},
            CommitAnswer::Aborted(why) => {
                assert!(why.contains("reserved"), "{why}");
                return number;
            }
            other => panic!("{other:?}"),
        }
    }
    0
}

#[test]
fn without_room_appends_are_refused_commits_go_on_and_room_heals_it() {
    let disk = SimulatedDisk::new(1);
    disk.set_room(160 << 10);
    let mut core = open(&disk, 1, small()).unwrap();
    while core.upkeep() {}
    let appended = fill(&mut core);
    assert!(appended > 100, "{appended}");
    assert!(core.handle().health().full);
    // Two reserved segments of 16 KiB hold two dozen commits of 1 KiB; then even commits are refused, not lost.
    let refused = commit_until_refused(&mut core, 1);
    assert!(refused > 20, "commits went on in the reserved segments: {refused}");
    assert_eq!(append_now(&mut core, record(appended)), Err(AppendError::Full));
    disk.set_room(u64::MAX);
    while core.upkeep() {}
    assert!(!core.handle().health().full);
    assert_eq!(append_now(&mut core, record(appended)), Ok(Offset(appended)));
    assert_eq!(commit_now(&mut core, 0, refused, Bytes::new()), CommitAnswer::Committed);
}

#[test]
fn the_budget_counts_like_the_disk_and_a_risen_floor_frees_it() {
    let disk = SimulatedDisk::new(1);
    let mut config = small();
    config.max_bytes = 160 << 10;
    // Nothing is old: only the budget makes the log drop what lies below the floors.
    config.retention.inbound_ms = i64::MAX;
    let mut core = open(&disk, 1, config).unwrap();
    while core.upkeep() {}
    let appended = fill(&mut core);
    assert!(disk.used_bytes() <= 160 << 10, "{} bytes", disk.used_bytes());
    assert_eq!(core.handle().health().disk_bytes, disk.used_bytes());
    core.handle().set_floor(Topic::Inbound, Partition(0), Offset(appended / 2));
    while core.upkeep() {}
    assert!(!core.handle().health().full, "room below the floor was freed");
    let (first, _) = core.handle().range(Topic::Inbound, Partition(0)).unwrap();
    assert!(first > Offset(0) && first <= Offset(appended / 2), "{first}");
    assert_eq!(append_now(&mut core, record(appended)), Ok(Offset(appended)));
}

#[test]
fn a_full_disk_survives_restarts_and_says_so_when_it_cannot() {
    let disk = SimulatedDisk::new(1);
    disk.set_room(160 << 10);
    let mut core = open(&disk, 1, small()).unwrap();
    while core.upkeep() {}
    let appended = fill(&mut core);
    for life in 0..6 {
        disk.restart();
        let mut core = open(&disk, life, small()).unwrap();
        assert_eq!(core.handle().range(Topic::Inbound, Partition(0)).unwrap().1, Offset(appended));
        while core.upkeep() {}
        assert_eq!(commit_now(&mut core, 0, life + 1, Bytes::from(vec![1; 900])), CommitAnswer::Committed);
    }
    let empty = SimulatedDisk::new(1);
    empty.set_room(4 << 10);
    assert!(matches!(open(&empty, 1, small()), Err(OpenError::NoRoom { .. })));
}

#[test]
fn a_full_queue_refuses_appends_and_keeps_room_for_commits() {
    let mut core = open(&SimulatedDisk::new(1), 1, small()).unwrap();
    let log = core.handle();
    let large = || append(Topic::Inbound, 0, Bytes::from(vec![0; 4 << 20]));
    let mut answers: Vec<_> = (0..15).map(|_| log.append(vec![large()])).collect();
    assert!(answers.iter_mut().all(|answer| poll(answer).is_none()), "15 of 4 MiB wait");
    let refused = poll(&mut log.append(vec![large()])).unwrap();
    assert_eq!(refused, Err(AppendError::Busy { queue_bytes_max: 64 << 20 }));
    assert_eq!(log.health().queued_bytes, 15 * ((4 << 20) + 48));
    assert_eq!(commit_now(&mut core, 0, 1, Bytes::from(vec![3; 60_000])), CommitAnswer::Committed);
}
