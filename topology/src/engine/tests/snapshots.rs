//! Snapshots that several processes may take.

use std::sync::Arc;

use bytes::Bytes;
use leadline_connectors::contract::blob::Blob;
use leadline_connectors::contract::state::{Change, PartitionState, StateView};
use leadline_schemas::{CommitNumber, Partition};
use tokio::runtime::Runtime;

use super::doubles::{TestBlob, TestRows};
use crate::engine::{keys, snapshot};

const P: Partition = Partition(3);

/// A store at a commit, whose one row says so.
fn view(number: u64) -> Box<dyn StateView> {
    let rows = TestRows::default();
    let row =
        Change { key: Bytes::from_static(&[keys::OUTPUTS, 6, 1]), value: Some(number.to_string().into()) };
    rows.apply(&[row], CommitNumber(number)).unwrap();
    rows.view().unwrap()
}

fn take(runtime: &Runtime, blob: &TestBlob, number: u64) -> Vec<u64> {
    let kept = runtime.block_on(snapshot::take(blob, 1, P, &*view(number))).unwrap();
    kept.into_iter().map(|number| number.0).collect()
}

fn restore(runtime: &Runtime, blob: &TestBlob) -> Option<u64> {
    let store: Arc<dyn PartitionState> = Arc::<TestRows>::default();
    let restored = runtime.block_on(snapshot::restore(blob, 1, P, &store)).unwrap();
    let row = store.get(&[keys::OUTPUTS, 6, 1]).unwrap();
    assert_eq!(row, restored.map(|number| Bytes::from(number.0.to_string())), "the rows are of that commit");
    restored.map(|number| number.0)
}

#[test]
fn an_older_snapshot_of_a_zombie_hides_no_newer_one() {
    let (runtime, blob) = (Runtime::new().unwrap(), TestBlob::default());
    assert_eq!(take(&runtime, &blob, 5), [5]);
    assert_eq!(take(&runtime, &blob, 9), [9, 5]);
    assert_eq!(take(&runtime, &blob, 3), [9, 5], "it is swept up at once");
    assert_eq!(restore(&runtime, &blob), Some(9));
    assert_eq!(take(&runtime, &blob, 9), [9, 5], "the same once more is the same");
    assert_eq!(take(&runtime, &blob, 12), [12, 9]);
    let names = runtime.block_on(blob.list("snapshots/")).unwrap();
    assert_eq!(names.len(), 4, "two manifests and their pieces: {names:?}");
}

#[test]
fn a_snapshot_that_cannot_be_used_no_longer_counts() {
    let (runtime, blob) = (Runtime::new().unwrap(), TestBlob::default());
    for number in [5, 9] {
        take(&runtime, &blob, number);
    }
    let names = runtime.block_on(blob.list("snapshots/")).unwrap();
    let newest = names.iter().rfind(|name| name.ends_with(".json")).unwrap();
    runtime.block_on(blob.replace(newest, Bytes::from_static(b"{\"number\": 9"))).unwrap();
    assert_eq!(restore(&runtime, &blob), Some(5));
    let kept = runtime.block_on(snapshot::numbers(&blob, 1, P)).unwrap();
    assert_eq!(kept, [CommitNumber(5)], "the log must not be cut on its strength");
    let other_layout = runtime.block_on(snapshot::numbers(&blob, 2, P)).unwrap();
    assert!(other_layout.is_empty(), "each generation of the layout has its own");
}
