//! What every [`State`] promises.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use leadline_schemas::{CommitNumber, Partition};

use super::Seeded;
use crate::contract::state::{Change, PartitionState, State, StateView};

/// One store, started and restarted by the suite.
pub trait StateUnderTest {
    /// Opens the store. Called again after everything of the one before was dropped, as after a crash of the
    /// process: then the store may have lost what was applied since the last `sync`.
    fn start(&mut self) -> Arc<dyn State>;
}

/// Runs the suite; each part gets an empty store of its own.
pub fn suite(fresh: &dyn Fn() -> Box<dyn StateUnderTest>) {
    let parts: [fn(&mut dyn StateUnderTest); 9] = [
        a_new_partition_is_empty,
        an_apply_puts_deletes_and_moves_the_marker,
        it_behaves_as_a_sorted_map,
        a_frame_applied_again_changes_nothing,
        partitions_are_apart,
        a_view_stays_as_it_was,
        what_was_synced_survives_a_restart_and_the_rest_is_lost_by_whole_applies,
        odd_keys_and_big_values_are_kept_and_impossible_keys_refused_whole,
        a_scan_beside_a_writer_sees_whole_applies,
    ];
    for part in parts {
        part(fresh().as_mut());
    }
}

const P0: Partition = Partition(0);

fn put(key: &[u8], value: &[u8]) -> Change {
    Change { key: Bytes::copy_from_slice(key), value: Some(Bytes::copy_from_slice(value)) }
}

fn delete(key: &[u8]) -> Change {
    Change { key: Bytes::copy_from_slice(key), value: None }
}

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

fn collected(scan: impl FnOnce(&mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>)) -> Rows {
    let mut rows = Rows::new();
    scan(&mut |key, value| {
        rows.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    });
    rows
}

fn rows(partition: &dyn PartitionState) -> Rows {
    collected(|visit| partition.scan(b"", None, visit).unwrap())
}

fn rows_of_view(view: &dyn StateView) -> Rows {
    collected(|visit| view.scan(b"", None, visit).unwrap())
}

fn a_new_partition_is_empty(store: &mut dyn StateUnderTest) {
    let state = store.start();
    let partition = state.open(P0).unwrap();
    assert_eq!(partition.applied().unwrap(), CommitNumber(0));
    assert_eq!(partition.get(b"key").unwrap(), None);
    assert!(rows(&*partition).is_empty());
    assert_eq!(partition.view().unwrap().applied().unwrap(), CommitNumber(0));
    state.clear(Partition(7)).expect("clearing a partition that was never opened is no error");
}

fn an_apply_puts_deletes_and_moves_the_marker(store: &mut dyn StateUnderTest) {
    let state = store.start();
    let partition = state.open(P0).unwrap();
    partition.apply(&[put(b"b", b"1"), put(b"a", b"2"), put(b"c", b"")], CommitNumber(1)).unwrap();
    assert_eq!(partition.get(b"a").unwrap().as_deref(), Some(&b"2"[..]));
    assert_eq!(partition.get(b"c").unwrap().as_deref(), Some(&b""[..]), "an empty value is a value");
    partition.apply(&[delete(b"a"), delete(b"absent"), put(b"b", b"3")], CommitNumber(2)).unwrap();
    assert_eq!(rows(&*partition), [(b"b".to_vec(), b"3".to_vec()), (b"c".to_vec(), b"".to_vec())]);
    assert_eq!(partition.applied().unwrap(), CommitNumber(2));

    let repeated = [put(b"x", b"1"), delete(b"b"), put(b"x", b"2"), delete(b"c"), put(b"c", b"4")];
    partition.apply(&repeated, CommitNumber(3)).unwrap();
    assert_eq!(
        rows(&*partition),
        [(b"c".to_vec(), b"4".to_vec()), (b"x".to_vec(), b"2".to_vec())],
        "of several changes to a key in one apply the last one counts"
    );
    partition.apply(&[], CommitNumber(4)).unwrap();
    assert_eq!(partition.applied().unwrap(), CommitNumber(4), "an apply without changes moves the marker");
    let same = state.open(P0).unwrap();
    assert_eq!(same.applied().unwrap(), CommitNumber(4), "opening again shows the same rows");
    assert_eq!(rows(&*same), rows(&*partition));
}

fn it_behaves_as_a_sorted_map(store: &mut dyn StateUnderTest) {
    let state = store.start();
    let mut seeded = Seeded::new(7);
    let mut models: Vec<BTreeMap<Vec<u8>, Vec<u8>>> = vec![BTreeMap::new(); 3];
    for number in 1..=120_u64 {
        let p = seeded.below(3);
        let partition = state.open(Partition(p as u16)).unwrap();
        let changes: Vec<Change> = (0..seeded.below(40)).map(|_| random_change(&mut seeded)).collect();
        for change in &changes {
            match &change.value {
                Some(value) => models[p as usize].insert(change.key.to_vec(), value.to_vec()),
                None => models[p as usize].remove(&change.key[..]),
            };
        }
        partition.apply(&changes, CommitNumber(number)).unwrap();
        if seeded.below(6) == 0 {
            // Whatever a store moves from memory to disk, and when: it shows the same.
            state.sync().unwrap();
        }
        let model = &models[p as usize];
        let (from, to) = (seeded.key(), seeded.key());
        let expected: Rows =
            model.iter().filter(|(key, _)| **key >= from && **key < to).map(own).take(5).collect();
        let mut seen = Rows::new();
        partition
            .scan(&from, Some(&to), &mut |key, value| {
                seen.push((key.to_vec(), value.to_vec()));
                if seen.len() < 5 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })
            .unwrap();
        assert_eq!(seen, expected, "commit {number}: rows from {from:?} to {to:?}, at most 5");
        let probe = seeded.key();
        assert_eq!(partition.get(&probe).unwrap().map(|v| v.to_vec()), model.get(&probe).cloned());
    }
    for (p, model) in models.iter().enumerate() {
        let partition = state.open(Partition(p as u16)).unwrap();
        assert_eq!(rows(&*partition), model.iter().map(own).collect::<Rows>(), "partition {p}");
    }
}

fn own((key, value): (&Vec<u8>, &Vec<u8>)) -> (Vec<u8>, Vec<u8>) {
    (key.clone(), value.clone())
}

fn random_change(seeded: &mut Seeded) -> Change {
    let key = seeded.key();
    if seeded.below(3) == 0 { delete(&key) } else { put(&key, &seeded.next().to_be_bytes()) }
}

fn a_frame_applied_again_changes_nothing(store: &mut dyn StateUnderTest) {
    let state = store.start();
    let partition = state.open(P0).unwrap();
    partition.apply(&[put(b"a", b"1"), put(b"b", b"1")], CommitNumber(1)).unwrap();
    let frame = [put(b"a", b"2"), delete(b"b")];
    partition.apply(&frame, CommitNumber(2)).unwrap();
    let before = rows(&*partition);
    partition.apply(&frame, CommitNumber(2)).unwrap();
    assert_eq!(rows(&*partition), before);
    assert_eq!(partition.applied().unwrap(), CommitNumber(2));
}

fn partitions_are_apart(store: &mut dyn StateUnderTest) {
    let state = store.start();
    let (one, two) = (state.open(Partition(1)).unwrap(), state.open(Partition(2)).unwrap());
    one.apply(&[put(b"k", b"one")], CommitNumber(5)).unwrap();
    two.apply(&[put(b"k", b"two")], CommitNumber(9)).unwrap();
    assert_eq!(one.get(b"k").unwrap().as_deref(), Some(&b"one"[..]));
    state.clear(Partition(1)).unwrap();
    assert!(one.get(b"k").is_err(), "a handle from before the clear must not pass for the partition");
    assert!(one.apply(&[put(b"k", b"old")], CommitNumber(6)).is_err());
    let again = state.open(Partition(1)).unwrap();
    assert_eq!(again.applied().unwrap(), CommitNumber(0));
    assert!(rows(&*again).is_empty());
    assert_eq!(two.get(b"k").unwrap().as_deref(), Some(&b"two"[..]));

    again.apply(&[put(b"new", b"1")], CommitNumber(1)).unwrap();
    state.sync().unwrap();
    drop((one, two, again, state));
    let state = store.start();
    let again = state.open(Partition(1)).unwrap();
    assert_eq!(rows(&*again), [(b"new".to_vec(), b"1".to_vec())], "what was cleared stays cleared");
    assert_eq!(state.open(Partition(2)).unwrap().applied().unwrap(), CommitNumber(9));
}

fn a_view_stays_as_it_was(store: &mut dyn StateUnderTest) {
    let state = store.start();
    let partition = state.open(P0).unwrap();
    partition.apply(&[put(b"a", b"1"), put(b"b", b"1")], CommitNumber(1)).unwrap();
    let view = partition.view().unwrap();
    let before = rows(&*partition);
    for number in 2..50 {
        partition
            .apply(&[put(b"a", &[number]), delete(b"b"), put(&[number], b"n")], CommitNumber(number.into()))
            .unwrap();
    }
    assert_eq!(rows_of_view(&*view), before);
    assert_eq!(view.applied().unwrap(), CommitNumber(1));
    assert_eq!(partition.view().unwrap().applied().unwrap(), CommitNumber(49));
}

fn what_was_synced_survives_a_restart_and_the_rest_is_lost_by_whole_applies(store: &mut dyn StateUnderTest) {
    let frame = |number: u64| -> Vec<Change> {
        let value = number.to_be_bytes();
        [&b"a"[..], b"b", b"c"].iter().map(|key| put(key, &value)).collect()
    };
    let mut applied = 0_u64;
    for _ in 0..5 {
        let state = store.start();
        let partition = state.open(P0).unwrap();
        for _ in 0..10 {
            applied += 1;
            partition.apply(&frame(applied), CommitNumber(applied)).unwrap();
        }
        state.sync().unwrap();
        let synced = applied;
        for _ in 0..10 {
            applied += 1;
            partition.apply(&frame(applied), CommitNumber(applied)).unwrap();
        }
        drop((partition, state));
        let state = store.start();
        let partition = state.open(P0).unwrap();
        let found = partition.applied().unwrap().0;
        assert!((synced..=applied).contains(&found), "{found} of {synced} synced and {applied} applied");
        for (key, value) in rows(&*partition) {
            assert_eq!(value, found.to_be_bytes(), "row {key:?} does not agree with the marker {found}");
        }
        assert_eq!(rows(&*partition).len(), 3);
        applied = found;
    }
}

fn odd_keys_and_big_values_are_kept_and_impossible_keys_refused_whole(store: &mut dyn StateUnderTest) {
    let state = store.start();
    let partition = state.open(P0).unwrap();
    let big: Vec<u8> = (0..10_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let odd: Vec<(Vec<u8>, Vec<u8>)> = vec![
        (vec![0], b"zero".to_vec()),
        (vec![0, 0], b"two zeros".to_vec()),
        ("+49 30 ☎ Käufer 🏠".as_bytes().to_vec(), "dépôt".as_bytes().to_vec()),
        (vec![0x61; u16::MAX as usize], b"the longest key".to_vec()),
        (vec![0xFE; 40], big),
        (vec![0xFF; 31], b"many ones".to_vec()),
    ];
    let mut sorted = odd.clone();
    sorted.sort();
    let changes: Vec<Change> = odd.iter().map(|(key, value)| put(key, value)).collect();
    partition.apply(&changes, CommitNumber(1)).unwrap();
    assert!(rows(&*partition) == sorted, "odd keys and big values come back as they were, in order");
    for bad in [vec![], vec![0x61; u16::MAX as usize + 1]] {
        let refused = partition.apply(&[put(b"other", b"1"), put(&bad, b"2")], CommitNumber(2));
        assert!(refused.is_err(), "a key of {} bytes must be refused", bad.len());
        assert_eq!(partition.get(b"other").unwrap(), None, "a refused apply changes nothing");
        assert_eq!(partition.applied().unwrap(), CommitNumber(1));
    }
    state.sync().unwrap();
    drop((partition, state));
    let state = store.start();
    assert!(rows(&*state.open(P0).unwrap()) == sorted, "and after a restart too");
}

fn a_scan_beside_a_writer_sees_whole_applies(store: &mut dyn StateUnderTest) {
    let state = store.start();
    let partition = state.open(P0).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let keys: Vec<[u8; 2]> = (0..200_u16).map(u16::to_be_bytes).collect();
            for number in 1..=300_u64 {
                let changes: Vec<Change> = keys.iter().map(|key| put(key, &number.to_be_bytes())).collect();
                partition.apply(&changes, CommitNumber(number)).unwrap();
            }
            stop.store(true, Ordering::Release);
        });
        while !stop.load(Ordering::Acquire) {
            let view = partition.view().unwrap();
            let applied = view.applied().unwrap().0;
            for seen in [rows(&*partition), rows_of_view(&*view)] {
                let first = seen.first().map(|(_, value)| value.clone());
                assert!(seen.iter().all(|(_, value)| Some(value) == first.as_ref()), "a torn scan");
            }
            for (_, value) in rows_of_view(&*view) {
                assert_eq!(value, applied.to_be_bytes(), "a view's rows and marker belong together");
            }
        }
    });
}
