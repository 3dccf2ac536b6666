//! Snapshots that several processes may take, and what they share.

use std::sync::Arc;

use bytes::Bytes;
use leadline_connectors::blob_memory::MemoryBlob;
use leadline_connectors::contract::blob::Blob;
use leadline_connectors::contract::state::{Change, PartitionState, StateView};
use leadline_schemas::{CommitNumber, Partition};
use tokio::runtime::Runtime;

use super::doubles::TestRows;
use crate::engine::keys;
use crate::engine::snapshot::{self, Shelf};

const P: Partition = Partition(3);

/// A store at a commit, whose one row says so.
pub(super) fn view(number: u64) -> Box<dyn StateView> {
    let rows = TestRows::default();
    let row =
        Change { key: Bytes::from_static(&[keys::OUTPUTS, 6, 1]), value: Some(number.to_string().into()) };
    rows.apply(&[row], CommitNumber(number)).unwrap();
    rows.view().unwrap()
}

/// One process, and the blobs that all share.
struct Process<'b> {
    runtime: Runtime,
    blob: &'b MemoryBlob,
    shelf: Shelf,
}

impl<'b> Process<'b> {
    /// It comes to own the partition now.
    fn new(blob: &'b MemoryBlob) -> Self {
        let runtime = Runtime::new().unwrap();
        let shelf = runtime.block_on(Shelf::find(blob, 1, P)).unwrap();
        Self { runtime, blob, shelf }
    }

    fn take(&mut self, number: u64) -> Vec<u64> {
        self.take_of(&*view(number))
    }

    fn take_of(&mut self, view: &dyn StateView) -> Vec<u64> {
        self.runtime.block_on(snapshot::take(self.blob, 1, P, view, &mut self.shelf)).unwrap();
        self.shelf.numbers().into_iter().map(|number| number.0).collect()
    }

    fn names(&self) -> Vec<String> {
        self.runtime.block_on(self.blob.list("snapshots/")).unwrap()
    }

    fn manifests(&self) -> Vec<u64> {
        let names = self.names();
        let numbers = names.iter().filter_map(|name| name.strip_suffix(".json")?.rsplit('/').next());
        numbers.map(|number| number.parse().unwrap()).collect()
    }

    fn restore_into(&self, store: &Arc<dyn PartitionState>) -> Option<u64> {
        let restored = self.runtime.block_on(snapshot::restore(self.blob, 1, P, store)).unwrap();
        restored.map(|number| number.0)
    }

    fn restore(&self) -> Option<u64> {
        let store: Arc<dyn PartitionState> = Arc::<TestRows>::default();
        let restored = self.restore_into(&store);
        let row = store.get(&[keys::OUTPUTS, 6, 1]).unwrap();
        assert_eq!(
            row,
            restored.map(|number| Bytes::from(number.to_string())),
            "the rows are of that commit"
        );
        restored
    }
}

#[test]
fn an_older_snapshot_of_a_zombie_hides_no_newer_one() {
    let blob = MemoryBlob::default();
    let mut zombie = Process::new(&blob);
    let mut owner = Process::new(&blob);
    assert_eq!(owner.take(5), [5]);
    assert_eq!(owner.take(9), [9, 5]);
    zombie.take(3);
    assert_eq!(owner.restore(), Some(9));
    assert_eq!(zombie.take(4), [4, 3], "on its own shelf; it cannot get to a commit of the owner");
    assert_eq!(owner.manifests(), [3, 4, 5, 9], "what is newer than its own it lets alone");
    assert_eq!(owner.take(12), [12, 9]);
    assert_eq!(owner.manifests(), [9, 12], "what is no one's any more goes");
    assert_eq!(owner.take(12), [12, 9], "the same once more is the same");
    assert_eq!(owner.names().len(), 4, "two manifests and their chunks: {:?}", owner.names());
}

#[test]
fn a_snapshot_that_cannot_be_used_no_longer_counts() {
    let blob = MemoryBlob::default();
    let mut owner = Process::new(&blob);
    for number in [5, 9] {
        owner.take(number);
    }
    let names = owner.names();
    let newest = names.iter().rfind(|name| name.ends_with(".json")).unwrap();
    owner.runtime.block_on(blob.replace(newest, Bytes::from_static(b"{\"number\": 9"))).unwrap();
    assert_eq!(Process::new(&blob).shelf.numbers(), [CommitNumber(5)], "nobody counts on it");
    assert_eq!(owner.restore(), Some(5));
    assert_eq!(owner.manifests(), [5], "the log must not be cut on its strength");
    let other_layout = owner.runtime.block_on(Shelf::find(&blob, 2, P)).unwrap();
    assert!(other_layout.numbers().is_empty(), "each generation of the layout has its own");
}

/// Rows in many chunks.
fn many_rows() -> TestRows {
    let rows = TestRows::default();
    let changes: Vec<Change> = (0..40_000_u32)
        .map(|n| {
            let mut key = vec![keys::OUTPUTS, 6];
            key.extend_from_slice(&n.to_be_bytes());
            Change { key: key.into(), value: Some(Bytes::from(vec![b'v'; 200])) }
        })
        .collect();
    rows.apply(&changes, CommitNumber(1)).unwrap();
    rows
}

/// Puts a row between two others.
fn insert(rows: &TestRows, number: u64) {
    let mut key = vec![keys::OUTPUTS, 6];
    key.extend_from_slice(&20_000_u32.to_be_bytes());
    key.extend_from_slice(&number.to_be_bytes());
    let row = Change { key: key.into(), value: Some(Bytes::from(vec![b'w'; 5_000])) };
    rows.apply(&[row], CommitNumber(number)).unwrap();
}

#[test]
fn snapshots_share_the_chunks_in_which_nothing_changed() {
    let (blob, rows) = (MemoryBlob::default(), many_rows());
    let mut owner = Process::new(&blob);
    owner.take_of(&*rows.view().unwrap());
    let whole = owner.names().len();
    assert!(whole > 5, "many chunks: {:?}", owner.names());
    insert(&rows, 2);
    owner.take_of(&*rows.view().unwrap());
    assert_eq!(owner.names().len(), 2 * whole, "the newest and the one to fall back to have none in common");

    let mut next_owner = Process::new(&blob);
    for number in 3..8 {
        let before = owner.names();
        insert(&rows, number);
        assert_eq!(next_owner.take_of(&*rows.view().unwrap()), [number, number - 1]);
        let new: Vec<String> = owner.names().into_iter().filter(|name| !before.contains(name)).collect();
        assert_eq!(new.len(), 2, "one chunk and a manifest: {new:?}");
        assert_eq!(next_owner.manifests(), [number - 1, number]);
        assert!(owner.names().len() <= 2 * whole + 2, "and what the next sweep removes: {:?}", owner.names());
    }
    let store: Arc<dyn PartitionState> = Arc::<TestRows>::default();
    assert_eq!(next_owner.restore_into(&store), Some(7));
    for n in [0_u32, 19_999, 39_999] {
        let key = [&[keys::OUTPUTS, 6][..], &n.to_be_bytes()].concat();
        assert_eq!(store.get(&key).unwrap().map(|value| value.len()), Some(200), "row {n}");
    }
}

#[test]
fn a_shared_chunk_that_has_gone_bad_is_written_once_more() {
    let (blob, rows) = (MemoryBlob::default(), many_rows());
    let mut owner = Process::new(&blob);
    owner.take_of(&*rows.view().unwrap());
    insert(&rows, 2);
    owner.take_of(&*rows.view().unwrap());
    let names = owner.names();
    for name in names.iter().filter(|name| !name.ends_with(".json")) {
        owner.runtime.block_on(blob.replace(name, Bytes::from_static(b"leadsnp1, cut"))).unwrap();
    }
    // Some are looked at each time, and in eight times all of each are.
    for number in 3..19 {
        insert(&rows, number);
        owner.take_of(&*rows.view().unwrap());
    }
    let store: Arc<dyn PartitionState> = Arc::<TestRows>::default();
    assert_eq!(owner.restore_into(&store), Some(18));
}
