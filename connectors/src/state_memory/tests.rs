//! The suite, and the faults that only this store has.

use std::sync::Arc;

use bytes::Bytes;
use leadline_schemas::{CommitNumber, Partition};

use super::MemoryState;
use crate::conformance::state::{StateUnderTest, suite};
use crate::contract::state::{Change, State, StateError};

#[derive(Default)]
struct Restarted {
    state: Option<MemoryState>,
    kept: usize,
}

impl StateUnderTest for Restarted {
    fn start(&mut self) -> Arc<dyn State> {
        let next = self.state.take().map_or_else(MemoryState::new, |crashed| crashed.crash(self.kept));
        self.state = Some(next.clone());
        Arc::new(next)
    }
}

#[test]
fn it_passes_the_suite_whatever_a_crash_leaves_of_what_was_not_synced() {
    for kept in [0, 3, usize::MAX] {
        suite(&|| Box::new(Restarted { state: None, kept }));
    }
}

fn change(key: &'static str) -> Change {
    Change { key: Bytes::from_static(key.as_bytes()), value: Some(Bytes::from_static(b"1")) }
}

#[test]
fn the_chosen_apply_fails_once_and_changes_nothing() {
    let state = MemoryState::new();
    let partition = state.open(Partition(0)).unwrap();
    state.fail_apply_after(1, StateError::Full("test".to_owned()));
    partition.apply(&[change("a")], CommitNumber(1)).unwrap();
    assert_eq!(
        partition.apply(&[change("b")], CommitNumber(2)),
        Err(StateError::Full("test".to_owned())),
        "the second apply fails"
    );
    assert_eq!(partition.get(b"b").unwrap(), None);
    assert_eq!(partition.applied().unwrap(), CommitNumber(1));
    partition.apply(&[change("b")], CommitNumber(2)).unwrap();
}

#[test]
fn a_crash_keeps_what_was_synced_and_as_much_of_the_rest_as_asked_for() {
    let state = MemoryState::new();
    let partition = state.open(Partition(0)).unwrap();
    partition.apply(&[change("a")], CommitNumber(1)).unwrap();
    state.sync().unwrap();
    partition.apply(&[change("b")], CommitNumber(2)).unwrap();
    state.clear(Partition(0)).unwrap();
    assert_eq!(state.unsynced(), 2);

    let cleared = state.crash(2);
    assert_eq!(cleared.open(Partition(0)).unwrap().applied().unwrap(), CommitNumber(0));
    assert!(state.open(Partition(0)).is_err(), "the crashed store is no longer there");
    let one_kept = state.crash(1);
    assert_eq!(one_kept.open(Partition(0)).unwrap().applied().unwrap(), CommitNumber(2));
    let none_kept = state.crash(0);
    let partition = none_kept.open(Partition(0)).unwrap();
    assert_eq!(partition.applied().unwrap(), CommitNumber(1));
    assert_eq!(partition.get(b"b").unwrap(), None);
}
