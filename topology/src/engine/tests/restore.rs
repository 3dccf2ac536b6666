//! Coming up from a snapshot; and beside an owner that still works, which drops frames from the log while they are read.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use leadline_connectors::blob_memory::MemoryBlob;
use leadline_connectors::contract::BoxFuture;
use leadline_connectors::contract::log::{
    Append, AppendError, Chunk, Commit, CommitAnswer, Log, LogHealth, ReadError,
};
use leadline_connectors::contract::state::{Change, State};
use leadline_connectors::log_memory::MemoryLog;
use leadline_schemas::frame::CommitFrame;
use leadline_schemas::{CommitNumber, Millis, Offset, Partition, Topic, avro};
use tokio::runtime::Runtime;

use super::Bench;
use super::doubles::TestState;
use super::snapshots::view;
use crate::engine::keys;
use crate::engine::restore::{Owner, Parts, RestoreError, bring_up};
use crate::engine::snapshot::{self, Shelf};

const P: Partition = Partition(3);
const FRAMES: u64 = 10;

/// Snapshots that are taken, and up to which frame the log is then dropped.
type Step = (&'static [u64], u64);

/// A log whose owner takes the next step whenever somebody has just been told what it has.
struct Owned {
    log: MemoryLog,
    blob: MemoryBlob,
    runtime: Runtime,
    steps: Mutex<Vec<Step>>,
}

impl Owned {
    /// With frames that say their number in one row.
    fn new(steps: &[Step]) -> Self {
        let log = MemoryLog::new(4);
        for number in 1..=FRAMES {
            let row = Change { key: key(), value: Some(number.to_string().into()) };
            let frame = CommitFrame {
                generation: 1,
                partition: P,
                number: CommitNumber(number),
                inbound_next: Offset(number),
                replies_next: Offset(0),
                now: Millis(0),
                settings_version: 0,
                watermark: Millis(0),
                rows: vec![row],
                outputs: Vec::new(),
                released: false,
                drained: false,
            };
            log.push(Topic::State, P, avro::encode(&frame).unwrap().into());
        }
        let steps = Mutex::new(steps.iter().copied().rev().collect());
        Self { log, blob: MemoryBlob::default(), runtime: Runtime::new().unwrap(), steps }
    }

    fn step(&self) {
        let Some((numbers, dropped)) = self.steps.lock().unwrap().pop() else { return };
        for number in numbers {
            let take = async {
                let mut shelf = Shelf::find(&self.blob, 1, P).await.unwrap();
                snapshot::take(&self.blob, 1, P, &*view(*number), &mut shelf).await.unwrap();
            };
            self.runtime.block_on(take);
        }
        self.log.set_floor(Topic::State, P, Offset(dropped));
    }

    /// What somebody with an empty store comes up with: the number of the last frame, and what the row says.
    fn bring_up(&self) -> Result<(u64, Bytes), RestoreError> {
        let state = TestState::default();
        let store = state.open(P)?;
        let parts: Parts<'_> = (self, &state, &self.blob, self.runtime.handle());
        let (position, store) = bring_up(parts, 1, P, store, None, Owner::Another)?;
        assert_eq!(store.applied()?, position.number);
        Ok((position.number.0, store.get(&key())?.unwrap()))
    }
}

/// The row that [`view`] has as well.
fn key() -> Bytes {
    Bytes::from_static(&[keys::OUTPUTS, 6, 1])
}

impl Log for Owned {
    fn partitions(&self) -> u16 {
        self.log.partitions()
    }
    fn append(&self, records: Vec<Append>) -> BoxFuture<'static, Result<Vec<Offset>, AppendError>> {
        self.log.append(records)
    }
    fn commit(&self, commit: Commit, done: Box<dyn FnOnce(CommitAnswer) + Send>) {
        self.log.commit(commit, done);
    }
    fn read(&self, topic: Topic, partition: Partition, from: Offset, max: usize) -> Result<Chunk, ReadError> {
        self.log.read(topic, partition, from, max)
    }
    fn range(&self, topic: Topic, partition: Partition) -> Result<(Offset, Offset), ReadError> {
        let range = self.log.range(topic, partition);
        self.step();
        range
    }
    fn listen(&self, topic: Topic, partition: Partition, listener: Arc<dyn Fn() + Send + Sync>) {
        self.log.listen(topic, partition, listener);
    }
    fn set_floor(&self, topic: Topic, partition: Partition, floor: Offset) {
        self.log.set_floor(topic, partition, floor);
    }
    fn health(&self) -> LogHealth {
        self.log.health()
    }
}

#[test]
fn frames_that_are_dropped_while_they_are_read_are_in_a_newer_snapshot() {
    let newest = (FRAMES, Bytes::from(FRAMES.to_string()));
    assert_eq!(Owned::new(&[]).bring_up().unwrap(), newest);
    let owned = Owned::new(&[(&[3, 6], 3), (&[7, 9], 7)]);
    assert_eq!(owned.bring_up().unwrap(), newest);
    assert!(owned.steps.lock().unwrap().is_empty(), "it was overtaken twice");
}

#[test]
fn frames_that_are_in_no_newer_snapshot_are_a_gap() {
    let cases: [&[Step]; 3] = [&[(&[], 3)], &[(&[3], 5)], &[(&[3, 6], 3), (&[], 8)]];
    for steps in cases {
        let gap = Owned::new(steps).bring_up();
        assert!(matches!(gap, Err(RestoreError::Gap { .. })), "{steps:?}: {gap:?}");
    }
}

#[test]
fn a_snapshot_restores_rows_timers_and_jobs() {
    let bench = Bench::new();
    let engine = bench.start();
    for n in 0..300 {
        bench.send(n, &format!("caller-{}", n % 7), if n == 5 { "timer" } else { "{}" });
    }
    bench.until("counted", |b| b.count("caller-0") == 43);
    engine.stop();
    let store = bench.state.open(Partition(0)).unwrap();
    let view = store.view().unwrap();
    let mut shelf = Shelf::default();
    let take = snapshot::take(&*bench.blob, 1, Partition(0), &*view, &mut shelf);
    bench.runtime.block_on(take).unwrap();
    let mut before = Vec::new();
    view.scan(&[], None, &mut |key, value| {
        before.push((key.to_vec(), value.to_vec()));
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    bench.state.clear(Partition(0)).unwrap();
    let store = bench.state.open(Partition(0)).unwrap();
    let restored = bench.runtime.block_on(snapshot::restore(&*bench.blob, 1, Partition(0), &store)).unwrap();
    assert_eq!(restored, shelf.numbers().first().copied());
    let mut after = Vec::new();
    store
        .scan(&[], None, &mut |key, value| {
            after.push((key.to_vec(), value.to_vec()));
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(before, after, "rows, outputs and derived indexes");
    assert_eq!(bench.log.partitions(), 2);
}
