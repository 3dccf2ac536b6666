//! The suite, and what crashes and faults leave.

use std::collections::BTreeSet;

use super::*;
use crate::conformance::disk::suite;

#[test]
fn it_passes_the_suite() {
    suite(&|| Box::new(SimulatedDisk::new()));
}

/// A file of 8 bytes, synced with its name, then overwritten without a sync.
fn overwritten() -> (SimulatedDisk, Box<dyn DiskFile>) {
    let disk = SimulatedDisk::new();
    let file = disk.create("a").unwrap();
    file.write_at(b"________", 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_folder().unwrap();
    file.write_at(b"12345678", 0).unwrap();
    (disk, file)
}

#[test]
fn a_crash_of_the_machine_loses_tears_or_keeps_what_was_not_synced() {
    let found: BTreeSet<Vec<u8>> = (0..2_000)
        .map(|seed| overwritten().0.crash_machine(&mut Seeded::new(seed)).bytes("a").unwrap())
        .collect();
    for expected in ["________", "12345678", "1234____", "____5678", "12____78", "__3456__"] {
        assert!(found.contains(expected.as_bytes()), "{expected} never happened");
    }
    assert!(found.iter().flatten().all(|byte| b"_12345678".contains(byte)), "bytes from nowhere");
}

#[test]
fn what_was_synced_is_kept_and_later_writes_do_not_order_earlier_ones() {
    let mut reordered = false;
    for seed in 0..200 {
        let (disk, file) = overwritten();
        file.sync_data().unwrap();
        file.write_at(b"a", 0).unwrap();
        file.write_at(b"b", 7).unwrap();
        let found = disk.crash_machine(&mut Seeded::new(seed)).bytes("a").unwrap();
        assert_eq!(&found[1..7], b"234567", "seed {seed}");
        reordered |= found[0] == b'1' && found[7] == b'b';
    }
    assert!(reordered, "the second write alone survives sometimes");
}

#[test]
fn a_crash_of_the_process_keeps_all_and_a_later_one_of_the_machine_may_still_lose_it() {
    let (disk, file) = overwritten();
    disk.create("b").unwrap();
    let next = disk.crash_process();
    assert_eq!(next.bytes("a").unwrap(), b"12345678");
    assert_eq!(next.unsynced(), 2);
    assert!(file.write_at(b"x", 0).is_err() && file.length().is_err(), "old handles are dead");
    assert!(disk.list().is_err() && disk.is_gone());
    let lost = (0..50).any(|seed| {
        let (disk, _) = overwritten();
        disk.crash_process().crash_machine(&mut Seeded::new(seed)).bytes("a").unwrap() == b"________"
    });
    assert!(lost);
}

#[test]
fn unsynced_names_are_lost_or_kept_each_on_its_own() {
    let found: BTreeSet<Vec<String>> = (0..500)
        .map(|seed| {
            let disk = SimulatedDisk::new();
            disk.create("old").unwrap();
            disk.create("gone").unwrap();
            disk.sync_folder().unwrap();
            disk.rename("old", "new").unwrap();
            disk.remove("gone").unwrap();
            disk.create("fresh").unwrap();
            disk.crash_machine(&mut Seeded::new(seed)).list().unwrap()
        })
        .collect();
    assert_eq!(found.len(), 8, "all combinations of three: {found:?}");
    assert!(found.iter().all(|names| names.contains(&"old".into()) != names.contains(&"new".into())));
}

#[test]
fn the_chosen_operation_fails_and_a_failed_sync_stays_undone() {
    let (disk, file) = overwritten();
    disk.fail(2, DiskFault::Device);
    file.write_at(b"ab", 0).unwrap();
    assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(5));
    file.sync_data().unwrap();
    assert_eq!(disk.bytes("a").unwrap(), b"ab345678", "readers see it");
    assert_eq!(disk.unsynced(), 2, "but no later sync has made it durable");

    file.write_at(b"XY", 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(disk.unsynced(), 2, "only what is written again is");

    disk.fail(1, DiskFault::Full);
    disk.fail_read(1, DiskFault::Device);
    assert_eq!(file.write_at(b"WXYZ", 4).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert!(file.length().is_err());
    assert_eq!(disk.bytes("a").unwrap(), b"XY34WX78", "half of a failed write has happened");
    let found = disk.crash_machine(&mut Seeded::new(3)).bytes("a").unwrap();
    assert_eq!(&found[..2], b"XY", "and what was synced stays above what was not");
}

#[test]
fn a_bounded_disk_refuses_what_goes_beyond() {
    let disk = SimulatedDisk::new();
    disk.set_capacity(Some(10));
    let (a, b) = (disk.create("a").unwrap(), disk.create("b").unwrap());
    a.write_at(&[1; 6], 0).unwrap();
    assert_eq!(b.write_at(&[1; 6], 0).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(b.set_length(5).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(disk.used_bytes(), 10, "as much of it as there was room for");
    a.write_at(&[2; 6], 0).unwrap();
    disk.remove("b").unwrap();
    a.write_at(&[3; 4], 6).unwrap();
    disk.set_capacity(None);
    a.write_at(&[3; 40], 6).unwrap();
}

#[test]
fn a_killed_process_does_nothing_more() {
    let (disk, file) = overwritten();
    let before = disk.operations();
    disk.kill_after(1);
    file.write_at(b"ab", 0).unwrap();
    assert!(file.write_at(b"yz", 6).is_err());
    assert!(file.sync_data().is_err() && disk.create("b").is_err() && disk.open("a").is_err());
    assert_eq!(disk.operations(), before + 1);
    assert!(disk.is_gone());
    assert_eq!(disk.crash_process().bytes("a").unwrap(), b"ab3456y8", "it ended in the middle of a write");
}

#[test]
fn the_same_seed_leaves_the_same_bytes() {
    let crash = |seed| {
        let (disk, file) = overwritten();
        for n in 0..20 {
            file.write_at(&[n; 9], u64::from(n) * 5).unwrap();
            disk.create(&format!("f{n}")).unwrap();
        }
        let next = disk.crash_machine(&mut Seeded::new(seed));
        (next.list().unwrap(), next.bytes("a").unwrap())
    };
    assert_eq!(crash(7), crash(7));
    assert_ne!(crash(7), crash(8));
}

#[test]
fn harm_behind_the_back_is_durable() {
    let (disk, file) = overwritten();
    assert!(disk.flip_bit("a", 0) && !disk.flip_bit("a", 64) && !disk.flip_bit("b", 0));
    assert!(disk.cut("a", 3) && !disk.cut("a", 3));
    assert_eq!(file.length().unwrap(), 3);
    assert_eq!(disk.crash_machine(&mut Seeded::new(1)).bytes("a").unwrap(), b"023");
}
