//! Partitions that come and go while engines run: in peace, taken without a word, and back again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use leadline_connectors::contract::log::Log;
use leadline_connectors::contract::state::State as _;
use leadline_schemas::{CommitNumber, Partition, Topic};

use super::{Bench, TestState};
use crate::engine::start::Engine;

const P: Partition = Partition(0);
const PATIENCE: Duration = Duration::from_secs(10);

/// A process with a state store of its own on the same log; it owns nothing yet.
fn member(bench: &Bench) -> (Bench, Engine) {
    let (state, share) = (Arc::<TestState>::default(), Arc::default());
    let member = Bench { state, share, is_shared: true, ..bench.clone() };
    let engine = member.start_owning(&[]);
    (member, engine)
}

/// The counts of a name, as they were committed one after the other.
fn counts(bench: &Bench, name: &str) -> Vec<i64> {
    let all = bench.outputs(Topic::Leads).into_iter();
    let of_name = all.filter(|(key, _)| key == name);
    of_name.map(|(_, value)| String::from_utf8_lossy(&value).parse().unwrap()).collect()
}

#[test]
fn a_partition_goes_to_another_process_in_peace() {
    let bench = Bench::new();
    let ((_, first), (_, second)) = (member(&bench), member(&bench));
    first.owner().assigned(&[P]);
    for n in 0..50 {
        bench.send(n, "a", if n == 7 { "job" } else { "{}" });
    }
    bench.until("the first process counts", |b| b.count("a") > 20);
    first.owner().revoked(&[P], PATIENCE);
    let last = bench.frames().pop().unwrap();
    assert!(last.released, "the last frame says that nothing of the first process runs any more");
    for n in 50..60 {
        bench.send(n, "a", "{}");
    }
    let frames = bench.frames().len();
    second.owner().assigned(&[P]);
    bench.until("the second process counts on", |b| b.count("a") == 60 && b.count("answer:a") == 1);
    assert!(!bench.frames()[frames].released, "a new owner takes the word back with its first commit");
    assert_eq!(counts(&bench, "a"), (1..=60).collect::<Vec<_>>());
    assert!(first.stop() && second.stop());
}

#[test]
fn what_processes_share_is_split_by_partitions_and_follows_them() {
    let bench = Bench::new();
    let ((one, first), (other, second)) = (member(&bench), member(&bench));
    let both = [P, Partition(1)];
    let has = |member: &Bench, part: f64| member.until("its part", |member| member.share.get() == part);
    first.owner().assigned(&both);
    has(&one, 1.0);
    first.owner().revoked(&both[1..], PATIENCE);
    second.owner().assigned(&both[1..]);
    has(&one, 0.5);
    has(&other, 0.5);
    // One goes without a word: its part is the other's as soon as its partitions are.
    second.owner().lost(&both[1..]);
    first.owner().assigned(&both[1..]);
    has(&one, 1.0);
    has(&other, 0.0);
    assert!(first.stop() && second.stop());
}

#[test]
fn a_partition_that_two_believe_to_own_is_counted_once() {
    let bench = Bench::new();
    let ((_, first), (_, second)) = (member(&bench), member(&bench));
    first.owner().assigned(&[P]);
    bench.send(0, "a", "{}");
    bench.until("the first process counts", |b| b.count("a") == 1);
    second.owner().assigned(&[P]);
    for n in 1..200 {
        bench.send(n, "a", "{}");
        if n % 20 == 0 {
            bench.until("one of them counts", |b| b.count("a") == n as i64 + 1);
        }
    }
    bench.until("all is counted", |b| b.count("a") == 200);
    first.owner().lost(&[P]);
    bench.send(200, "a", "{}");
    bench.until("the second process goes on alone", |b| b.count("a") == 201);
    assert_eq!(counts(&bench, "a"), (1..=201).collect::<Vec<_>>());
    assert!(bench.fatal.lock().unwrap().is_empty(), "being fenced ends no process: {:?}", bench.fatal);
    assert!(first.stop() && second.stop());
}

#[test]
fn a_partition_that_comes_back_goes_on_where_it_is() {
    let bench = Bench::new();
    let (_, engine) = member(&bench);
    for round in 0..20 {
        engine.owner().assigned(&[P]);
        for n in 0..10 {
            bench.send(round * 10 + n, "a", "{}");
        }
        if round % 3 == 0 {
            bench.until("counted", |b| b.count("a") > round as i64 * 10);
        }
        if round % 2 == 0 {
            engine.owner().revoked(&[P], PATIENCE);
        } else {
            engine.owner().lost(&[P]);
        }
    }
    engine.owner().assigned(&[P]);
    bench.until("all is counted", |b| b.count("a") == 200);
    assert_eq!(counts(&bench, "a"), (1..=200).collect::<Vec<_>>());
    assert!(engine.stop());
}

#[test]
fn a_store_that_is_ahead_of_a_shared_log_is_built_anew_from_it() {
    let bench = Bench::new();
    let (own, engine) = member(&bench);
    engine.owner().assigned(&[P]);
    bench.send(0, "a", "{}");
    bench.until("counted", |b| b.count("a") == 1);
    engine.owner().revoked(&[P], PATIENCE);
    // As if the log had confirmed more than it kept.
    own.state.open(P).unwrap().apply(&[], CommitNumber(99)).unwrap();
    engine.owner().assigned(&[P]);
    bench.send(1, "a", "{}");
    bench.until("it goes on behind what the log has", |b| b.count("a") == 2);
    assert_eq!(counts(&bench, "a"), [1, 2]);
    assert!(bench.fatal.lock().unwrap().is_empty(), "{:?}", bench.fatal);
    assert!(engine.stop());
}

#[test]
fn health_tells_which_partition_waits_and_for_what() {
    let bench = Bench::new();
    let engine = bench.start();
    let trouble = engine.trouble();
    bench.send(0, "a", "{}");
    bench.until("counted", |b| b.count("a") == 1);
    assert_eq!(trouble(), None);
    let unknown = [&[0xC3, 0x01][..], &[7; 8], b"of tomorrow"].concat();
    bench.log.push(Topic::Inbound, P, Bytes::from(unknown));
    bench.until("it waits", |_| trouble().is_some());
    let why = trouble().unwrap();
    assert!(why.starts_with("partition 0: ") && why.contains("start a leadline that knows it"), "{why}");
    assert_eq!(bench.log.range(Topic::State, P).unwrap().1.0, 1, "nothing is skipped");
    engine.stop();
}
