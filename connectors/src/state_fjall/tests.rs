//! The suite, and what a store on disk can meet besides.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use leadline_schemas::{CommitNumber, Millis, Partition};

use super::{FjallConfig, FjallState, move_aside};
use crate::conformance::state::{StateUnderTest, suite};
use crate::contract::state::{Change, State, StateError};

struct OnDisk(tempfile::TempDir);

impl StateUnderTest for OnDisk {
    fn start(&mut self) -> Arc<dyn State> {
        Arc::new(FjallState::open(&FjallConfig::new(self.0.path())).unwrap())
    }
}

#[test]
fn it_passes_the_suite() {
    suite(&|| Box::new(OnDisk(tempfile::tempdir().unwrap())));
}

fn filled(folder: &Path) {
    let state = FjallState::open(&FjallConfig::new(folder)).unwrap();
    for partition in [0, 3] {
        let opened = state.open(Partition(partition)).unwrap();
        let change = Change { key: Bytes::from_static(b"key"), value: Some(Bytes::from_static(&[7; 1_000])) };
        opened.apply(&[change], CommitNumber(1)).unwrap();
    }
    state.sync().unwrap();
    assert_eq!(state.partitions(), [Partition(0), Partition(3)]);
    assert!(state.disk_bytes() > 1_000);
}

/// What `open` says of a filled store after `harm` was done to its folder.
fn opened_after(harm: impl FnOnce(&Path)) -> Result<(), StateError> {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    harm(folder.path());
    FjallState::open(&FjallConfig::new(folder.path())).map(|_| ())
}

#[test]
fn what_cannot_be_understood_is_damaged_and_what_is_only_out_of_reach_is_not() {
    let damaged = |result: Result<(), StateError>| assert!(matches!(result, Err(StateError::Damaged(_))));
    assert_eq!(opened_after(|_| ()), Ok(()));
    damaged(opened_after(|folder| fs::write(folder.join("version"), b"something else").unwrap()));
    damaged(opened_after(|folder| fs::write(folder.join("keyspaces/1/current"), b"").unwrap()));
    damaged(opened_after(|folder| {
        let tables = fs::read_dir(folder.join("keyspaces/1/tables")).unwrap();
        for table in tables.map(|table| table.unwrap().path()) {
            let bytes = fs::read(&table).unwrap();
            fs::write(table, &bytes[..bytes.len() - 100]).unwrap();
        }
    }));
    damaged(opened_after(|folder| fs::create_dir(folder.join("keyspaces/stray")).unwrap()));

    // What is gone without a trace reads as never written: the marker says so, and the engine restores.
    assert_eq!(opened_after(|folder| fs::remove_dir_all(folder.join("keyspaces/0")).unwrap()), Ok(()));

    let folder = tempfile::tempdir().unwrap();
    let config = FjallConfig::new(folder.path());
    let _first = FjallState::open(&config).unwrap();
    let second = FjallState::open(&config).map(|_| ()).unwrap_err();
    assert!(matches!(&second, StateError::Failed(why) if why.contains("in use")), "{second}");
}

#[test]
fn a_damaged_folder_is_moved_aside_whole_and_a_new_store_takes_its_place() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("state");
    let now = Millis::parse("2026-03-04T16:12:33.236Z").unwrap();
    assert_eq!(move_aside(&folder, now).unwrap(), None);
    for expected in ["state.damaged-2026-03-04T16-12-33.236Z", "state.damaged-2026-03-04T16-12-33.236Z-2"] {
        filled(&folder);
        let aside = move_aside(&folder, now).unwrap().unwrap();
        assert_eq!(aside, parent.path().join(expected));
        assert!(aside.join("version").is_file() && !folder.exists());
    }
    filled(&folder);
}

#[test]
fn many_lightly_used_partitions_share_one_bound_on_memory() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        FjallConfig { memtable_bytes: 1 << 20, memtables_bytes: 4 << 20, ..FjallConfig::new(folder.path()) };
    let state = FjallState::open(&config).unwrap();
    let value = Bytes::from(vec![7; 1_000]);
    for number in 1..=40_u64 {
        for partition in 0..32 {
            let opened = state.open(Partition(partition)).unwrap();
            let rows: Vec<Change> = (0..20_u64)
                .map(|row| Change {
                    key: Bytes::from((number * 20 + row).to_be_bytes().to_vec()),
                    value: Some(value.clone()),
                })
                .collect();
            opened.apply(&rows, CommitNumber(number)).unwrap();
        }
    }
    // 26 MB in 32 partitions, each below its own bound of 1 MiB: without the common bound all would be in memory.
    let written_out = (0..32).filter(|p| {
        let tables = fs::read_dir(folder.path().join(format!("keyspaces/{}/tables", p + 1)));
        tables.is_ok_and(|mut files| files.next().is_some())
    });
    assert!(written_out.count() > 24);
    for partition in 0..32 {
        assert_eq!(state.open(Partition(partition)).unwrap().applied().unwrap(), CommitNumber(40));
    }
}

#[test]
fn a_partition_has_a_tree_once_it_has_rows_on_disk_and_none_after_it_was_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let state = FjallState::open(&FjallConfig::new(folder.path())).unwrap();
    let partition = state.open(Partition(1)).unwrap();
    assert!(state.partitions().is_empty(), "opening makes nothing");
    let row = [Change { key: Bytes::from_static(b"key"), value: Some(Bytes::from_static(b"value")) }];
    let before = partition.view().unwrap();
    partition.apply(&row, CommitNumber(1)).unwrap();
    assert!(state.partitions().is_empty(), "what is in memory needs no tree");
    let buffered = partition.view().unwrap();
    state.sync().unwrap();
    assert_eq!(state.partitions(), [Partition(1)]);
    assert_eq!(partition.get(b"key").unwrap().as_deref(), Some(&b"value"[..]));
    for (view, rows, applied) in [(before, 0, 0), (buffered, 1, 1), (partition.view().unwrap(), 1, 1)] {
        let mut seen = 0;
        view.scan(b"", None, &mut |_, _| {
            seen += 1;
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!((seen, view.applied().unwrap()), (rows, CommitNumber(applied)));
    }
    // Rows that are only in memory are cleared as well, and stay so.
    partition.apply(&row, CommitNumber(2)).unwrap();
    state.clear(Partition(1)).unwrap();
    state.sync().unwrap();
    assert!(state.partitions().is_empty() && partition.applied().is_err());
    assert_eq!(state.open(Partition(1)).unwrap().applied().unwrap(), CommitNumber(0));
}
