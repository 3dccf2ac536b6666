//! Rows on their way from one layout to the next.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use leadline_connectors::blob_memory::MemoryBlob;
use leadline_connectors::contract::blob::Blob;
use leadline_connectors::contract::state::{Change as RowChange, PartitionState, State};
use leadline_connectors::log_memory::MemoryLog;
use leadline_operators::contract::{Scope, TimerKind};
use leadline_schemas::avro;
use leadline_schemas::frame::CommitFrame;
use leadline_schemas::layout::{Change, Shape};
use leadline_schemas::partitioning::{Key, key_group};
use leadline_schemas::reply::{JobRequest, PendingJob};
use leadline_schemas::settings::Settings;
use leadline_schemas::{CommitNumber, JobId, KeyGroup, Millis, Offset, Partition, TenantId, Topic};

use super::doubles::{TestRecords, TestRows, TestState};
use super::{Bench, Engine};
use crate::engine::effects::{decode_job, job_value};
use crate::engine::limits::LEASE_MS;
use crate::engine::partition::Position;
use crate::engine::restore::NOTHING;
use crate::engine::{Fence, handed_over, keys, moving};

/// An `inbound` that ends there, though more was pushed into it.
struct EndsAt(u64);

impl Fence for EndsAt {
    fn ends(&self, partitions: &[Partition]) -> Result<BTreeMap<Partition, Offset>, String> {
        Ok(partitions.iter().map(|partition| (*partition, Offset(self.0))).collect())
    }
}

fn summit() -> TenantId {
    TenantId::new("summit").unwrap()
}

fn change(before: u16, after: u16) -> Change {
    Change { from: Shape::first(before), to: Shape { generation: 2, ..Shape::first(after) } }
}

fn handed_over_count(bench: &Bench) -> usize {
    bench.runtime.block_on(handed_over(&*bench.blob, 1)).unwrap()
}

/// The next layout, with a store that has remains of an attempt that was cut short.
fn next(before: &Bench, change: &Change) -> (Bench, Engine) {
    let home = change.to.layout().partition(key_group(&summit(), 0));
    let state = Arc::<TestState>::default();
    let stray = RowChange { key: Bytes::from_static(b"stray"), value: Some(Bytes::new()) };
    state.open(home).unwrap().apply(&[stray], CommitNumber(0)).unwrap();
    let log = Arc::new(MemoryLog::new(change.to.partitions));
    let after = Bench { log, state, home, generation: 2, origin: Some(change.clone()), ..before.clone() };
    let all: Vec<Partition> = (0..change.to.partitions).map(Partition).collect();
    let engine = after.start_owning(&all);
    (after, engine)
}

#[test]
fn counts_timers_and_jobs_go_on_in_the_next_layout() {
    let before = Bench { log: Arc::new(MemoryLog::new(1)), ..Bench::new() };
    let engine = before.start_owning(&[Partition(0)]);
    for n in 0..50 {
        before.send(n, "a", ["timer", "job later", "{}"][n.min(2)]);
    }
    engine.drain(|| Arc::new(EndsAt(50)));
    before.until("rows are handed over", |b| handed_over_count(b) == 1);
    before.send(50, "a", "behind the end: nobody takes it");
    let last = before.frames().pop().unwrap();
    assert!(last.drained && last.released && last.inbound_next == Offset(50));
    assert!(engine.stop());

    let change = change(1, 2);
    let (after, engine) = next(&before, &change);
    for partition in [0, 1] {
        after.until("each partition shows that it runs", |b| {
            !b.log.all(Topic::State, Partition(partition)).is_empty()
        });
    }
    assert!(after.state.open(after.home).unwrap().get(b"stray").unwrap().is_none());
    let told = |partition| {
        let frames = after.log.all(Topic::State, Partition(partition)).into_iter();
        let outputs =
            frames.flat_map(|frame| avro::decode::<CommitFrame>(&frame).unwrap().outputs().unwrap());
        outputs.filter(|told| told.key == "a" && told.value == "50").count()
    };
    after.until("the new topics are told what there is", |_| told(0) + told(1) == 1);
    after.send(51, "a", "{}");
    after.until("it counts on", |b| b.count("a") == 51);
    after.clock.wall.fetch_add(2_000, Relaxed);
    after.until("timer and job go on", |b| b.count("timer:a") == 1 && b.count("answer:a") == 1);
    assert!(engine.stop());
    assert_eq!((before.count("a"), before.count("timer:a"), before.count("answer:a")), (50, 0, 0));

    assert_eq!(told(0) + told(1), 1, "once");
    // A store that is lost before there is any snapshot takes what was handed over once more.
    after.state.clear(after.home).unwrap();
    let engine = after.start_owning(&[after.home]);
    after.send(52, "a", "{}");
    after.until("nothing is missing", |b| b.count("a") == 52);
    assert!(engine.stop());
}

#[test]
fn a_partition_that_is_drained_runs_nowhere_any_more() {
    is_handed_over_again(&Bench::new());
}

#[test]
fn a_partition_that_is_drained_is_handed_over_again_though_its_records_are_all_stored() {
    is_handed_over_again(&Bench { records: Some(TestRecords::default()), ..Bench::new() });
}

fn is_handed_over_again(bench: &Bench) {
    let bench = Bench { log: Arc::new(MemoryLog::new(1)), is_shared: true, ..bench.clone() };
    let engine = bench.start_owning(&[Partition(0)]);
    bench.send(0, "a", "job later");
    engine.drain(|| Arc::new(EndsAt(1)));
    bench.until("rows are handed over", |b| handed_over_count(b) == 1);
    assert!(engine.stop());
    let (frames, notes) = (bench.frames(), bench.runtime.block_on(bench.blob.list("handover/")).unwrap());
    // Whoever gets it next, before everybody has heard that all is handed over, finds it as it is.
    bench.runtime.block_on(bench.blob.remove(&notes[0])).unwrap();
    bench.clock.wall.fetch_add(5_000, Relaxed);
    let next = Bench { state: Arc::default(), ..bench.clone() };
    let engine = next.start_owning(&[Partition(0)]);
    next.send(1, "a", "{}");
    engine.drain(|| Arc::new(EndsAt(2)));
    next.until("rows are handed over again", |b| handed_over_count(b) == 1);
    assert!(engine.stop());
    assert_eq!(next.frames(), frames, "no commit behind the last");
    assert!(next.log.all(Topic::Replies, Partition(0)).is_empty(), "its jobs are the next layout's");
}

#[test]
fn a_layout_does_not_end_while_an_owner_before_may_still_deliver() {
    let bench = Bench { log: Arc::new(MemoryLog::new(1)), is_shared: true, ..Bench::new() };
    let first = bench.start_owning(&[Partition(0)]);
    bench.send(0, "a", "{}");
    bench.until("the first counts", |b| b.count("a") == 1);
    // Taken without a word: nobody knows what the first has started.
    let next = Bench { state: Arc::default(), ..bench.clone() };
    let second = next.start_owning(&[Partition(0)]);
    second.drain(|| Arc::new(EndsAt(1)));
    let looked = bench.clock.boot.load(Relaxed);
    bench.until("everybody has looked often", |b| b.clock.boot.load(Relaxed) > looked + 500);
    assert_eq!(handed_over_count(&bench), 0, "the lease of the first has not run out");
    bench.clock.boot.fetch_add(LEASE_MS, Relaxed);
    bench.until("rows are handed over", |b| handed_over_count(b) == 1);
    first.owner().lost(&[Partition(0)]);
    assert!(first.stop() && second.stop());
}

fn job(tenant: &TenantId, key: &Key, n: u64) -> PendingJob {
    PendingJob {
        job_id: JobId::of(&[&n.to_be_bytes()]),
        tenant: tenant.clone(),
        key_group: key.key_group,
        bucket: key.bucket,
        operator: "toy".to_owned(),
        request: JobRequest {
            kind: "ask".to_owned(),
            target: "oracle".to_owned(),
            payload: Bytes::new(),
            not_before: Millis(0),
            revision: 1,
        },
        asked_at: Millis(0),
        event_time: Millis(0),
        started_attempt: 0,
    }
}

/// Rows of a caller, of his slot, a timer and a job, as partition `key_group` has them.
fn rows_of(key: &Key, n: u64, slot: u16) -> Vec<(Vec<u8>, Bytes)> {
    let (mut caller, mut window) = (Vec::new(), Vec::new());
    keys::row_prefix(&mut caller, key, Scope::Caller, 0);
    keys::row_prefix(&mut window, key, Scope::Slot, slot);
    let mut timer = vec![0; 8];
    timer.push(1);
    timer.extend_from_slice(&1_000_i64.to_be_bytes());
    let job = job(&key.tenant, key, n);
    vec![
        (keys::row(&caller, 7, 1, &n.to_be_bytes()), Bytes::from(n.to_string())),
        (keys::row(&window, 7, 2, b"day"), Bytes::from_static(b"window")),
        (keys::row(&caller, 7, keys::timer_table(TimerKind::Now), &n.to_be_bytes()), Bytes::from(timer)),
        (keys::job(key, job.job_id), Bytes::from(job_value(&job).unwrap())),
    ]
}

#[test]
fn every_row_comes_to_one_place_and_that_is_where_its_tenant_is_sent() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (blob, other, settings) =
        (MemoryBlob::default(), TenantId::new("other").unwrap(), Settings::default());
    let mut change = change(4, 6);
    change.from.set_spread(&summit(), 2);
    change.to.set_spread(&summit(), 8);
    let mut stores: BTreeMap<Partition, TestRows> =
        (0..4).map(|n| (Partition(n), TestRows::default())).collect();
    // What the new layout should have: by partition, key and job's key group.
    let mut wanted: BTreeMap<(Partition, Vec<u8>), Option<KeyGroup>> = BTreeMap::new();
    for n in 0..400_u64 {
        let (tenant, before, now) = if n % 2 == 0 { (summit(), 2, 8) } else { (other.clone(), 1, 1) };
        let caller = format!("+1303555{n:04}");
        let old = Key::new(tenant.clone(), &caller, before);
        let new = Key::new(tenant.clone(), &caller, now);
        let slot = u16::from(old.bucket.0) % before;
        let store = &stores[&change.from.layout().partition(old.key_group)];
        let changes = rows_of(&old, n, slot).into_iter();
        let changes: Vec<RowChange> =
            changes.map(|(key, value)| RowChange { key: Bytes::from(key), value: Some(value) }).collect();
        store.apply(&changes, CommitNumber(9)).unwrap();
        for ((key, _), is_job) in rows_of(&new, n, slot).into_iter().zip([false, false, false, true]) {
            let row = keys::parse_row(&key).unwrap();
            // A slot's row is where the slot is, under its old number.
            let group = if row.scope == 1 { key_group(&tenant, slot) } else { new.key_group };
            let at = change.to.layout().partition(group);
            wanted.insert((at, keys::in_group(&key, group)), is_job.then_some(group));
        }
    }
    for (partition, store) in &mut stores {
        let now = Millis(1_000 + i64::from(partition.0));
        store.apply(&[], CommitNumber(9)).unwrap();
        let position =
            Position { number: CommitNumber(9), now, watermark: now, settings_version: 3, ..NOTHING };
        let view = store.view().unwrap();
        runtime.block_on(moving::write(&blob, 1, *partition, &position, &*view)).unwrap();
    }
    let mut found = BTreeMap::new();
    for partition in (0..6).map(Partition) {
        let rows = TestRows::default();
        let restored = moving::restore(&blob, &change, &settings, partition, &rows);
        let position = runtime.block_on(restored).unwrap();
        let origins = change.origins(partition);
        let nows = || origins.iter().map(|origin| 1_000 + i64::from(origin.0));
        assert_eq!(position.now.0, nows().max().unwrap(), "the latest clock");
        assert_eq!(position.watermark.0, nows().min().unwrap(), "the earliest watermark");
        assert_eq!(
            (position.number, position.inbound_next, position.settings_version),
            (CommitNumber(0), Offset(0), 3)
        );
        rows.scan(&[keys::ROWS], Some(&[keys::DUE]), &mut |key, value| {
            let row = keys::parse_row(key).unwrap();
            if row.operator == keys::ENGINE && row.table == keys::RETOLD {
                return ControlFlow::Continue(());
            }
            let is_job = row.operator == keys::ENGINE && row.table == keys::JOBS;
            let group = is_job.then(|| decode_job(value).unwrap().key_group);
            assert!(found.insert((partition, key.to_vec()), group).is_none());
            ControlFlow::Continue(())
        })
        .unwrap();
        let mut derived = 0;
        rows.scan(&[keys::DUE], Some(&[keys::OUTPUTS]), &mut |_, _| {
            derived += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
        let indexed = found.keys().filter(|(at, key)| {
            let row = keys::parse_row(key).unwrap();
            *at == partition && (row.table >= keys::TIMERS_FIRST || row.operator == keys::ENGINE)
        });
        assert_eq!(derived, indexed.count(), "timers and jobs are found by their time");
    }
    assert_eq!(found, wanted);
}

#[test]
fn a_partition_waits_for_all_that_its_rows_come_from() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (blob, change, settings) = (MemoryBlob::default(), change(2, 1), Settings::default());
    let position = Position { number: CommitNumber(1), now: Millis(1), ..NOTHING };
    for partition in [Partition(0), Partition(1)] {
        let rows = TestRows::default();
        let restored = moving::restore(&blob, &change, &settings, Partition(0), &rows);
        let why = runtime.block_on(restored).unwrap_err();
        assert!(why.is_temporary() && why.to_string().contains("hand its rows over"), "{why}");
        rows.apply(&[], CommitNumber(1)).unwrap();
        let view = rows.view().unwrap();
        runtime.block_on(moving::write(&blob, 1, partition, &position, &*view)).unwrap();
    }
    let rows = TestRows::default();
    let restored = moving::restore(&blob, &change, &settings, Partition(0), &rows);
    assert_eq!(runtime.block_on(restored).unwrap().now, Millis(1));
}
