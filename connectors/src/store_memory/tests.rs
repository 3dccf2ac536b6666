//! The suite, and the faults that only this store has.

use std::sync::Arc;

use bytes::Bytes;
use leadline_schemas::frame::Output;
use leadline_schemas::{CommitNumber, Partition, Topic};

use super::{CHECKPOINT_EVERY, MemoryStore};
use crate::conformance::store::{OpenStore, StoreUnderTest, suite};
use crate::contract::store::{Batch, RecordReader, RecordWriter, StoreError};

#[derive(Default)]
struct Restarted(Option<MemoryStore>);

impl StoreUnderTest for Restarted {
    fn start(&mut self) -> OpenStore {
        let next = self.0.take().map_or_else(MemoryStore::new, |stopped| stopped.crash(usize::MAX));
        self.0 = Some(next.clone());
        (Box::new(next.clone()), Arc::new(next))
    }
}

#[test]
fn it_passes_the_suite() {
    suite(&|| Box::new(Restarted::default()));
}

/// A commit of its own, behind `from`; what it holds does not matter here.
fn commit(from: u64) -> Batch {
    let ended = Output { topic: Topic::DeadLetters, key: Bytes::from_static(b"none"), value: Bytes::new() };
    let commits = vec![(CommitNumber(from + 1), Arc::new(vec![ended]))];
    let (from, to) = (CommitNumber(from), CommitNumber(from + 1));
    Batch { generation: 1, partition: Partition(0), from, to, commits }
}

fn progress(store: &MemoryStore) -> u64 {
    store.clone().progress(1, Partition(0)).unwrap().0
}

#[test]
fn the_next_writes_fail_as_told_and_change_nothing() {
    let mut store = MemoryStore::new();
    let full = StoreError::Unavailable("disk full".to_owned());
    store.fail_writes(2, full.clone());
    for _ in 0..2 {
        assert_eq!(store.write(&[commit(0)]), Err(full.clone()));
        assert_eq!(progress(&store), 0);
    }
    store.write(&[commit(0)]).unwrap();
    assert_eq!(progress(&store), 1);
}

#[test]
fn a_lost_answer_hides_a_write_that_took_effect_and_a_second_try_changes_nothing() {
    let mut store = MemoryStore::new();
    store.lose_answers(1);
    assert!(matches!(store.write(&[commit(0)]), Err(StoreError::Unavailable(_))));
    assert_eq!(progress(&store), 1);
    store.write(&[commit(0)]).unwrap();
    assert_eq!(progress(&store), 1);
}

#[test]
fn a_power_cut_takes_the_newest_transactions_whole_and_the_crashed_store_is_gone() {
    let mut store = MemoryStore::new();
    for from in 0..CHECKPOINT_EVERY as u64 + 3 {
        store.write(&[commit(from)]).unwrap();
    }
    assert_eq!(store.unsynced(), 3);
    assert_eq!(progress(&store.crash(0)), CHECKPOINT_EVERY as u64, "what a checkpoint has is never lost");
    assert_eq!(progress(&store.crash(2)), CHECKPOINT_EVERY as u64 + 2);
    assert!(store.ping().is_err());
    assert!(store.write(&[commit(0)]).is_err());
    assert!(store.progress(1, Partition(0)).is_err());
}

#[test]
fn two_stores_that_were_written_the_same_have_the_same_contents() {
    let (mut one, mut other) = (MemoryStore::new(), MemoryStore::new());
    for from in 0..5 {
        one.write(&[commit(from)]).unwrap();
    }
    assert_ne!(one.contents(), other.contents());
    for from in 0..5 {
        other.write(&[commit(from)]).unwrap();
    }
    assert_eq!(one.contents(), other.contents());
}
