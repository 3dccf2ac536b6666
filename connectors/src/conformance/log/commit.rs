//! Committing.

use bytes::Bytes;
use leadline_schemas::{Offset, Partition, Topic};

use super::bench::{Bench, P0, P1, epoch};
use crate::contract::log::{AppendError, CommitAnswer};

fn frame(text: String) -> Bytes {
    Bytes::from(text)
}

pub(super) fn frames_lie_at_their_number_minus_one(bench: &mut Bench<'_>) {
    for number in 1..=20 {
        bench.put(Topic::Inbound, P0, "between");
        for partition in [P0, P1] {
            let committed = bench.commit(partition, number, frame(format!("{partition}:{number}")));
            assert_eq!(committed, CommitAnswer::Committed);
            let chunk = bench.log().fetch(Topic::State, partition, Offset(number - 1), 100).unwrap();
            assert_eq!(chunk.records[0].value, format!("{partition}:{number}"), "visible when answered");
            assert_eq!(bench.range(Topic::State, partition), (0, number));
            assert_eq!(bench.log().range_so_far(partition).unwrap(), (Offset(0), Offset(number)));
        }
    }
    assert_eq!(bench.all(Topic::State, P1).len(), 20);
    assert_eq!(bench.range(Topic::Inbound, P0), (0, 20));
}

pub(super) fn numbers_are_contiguous_or_fenced(bench: &mut Bench<'_>) {
    let mut commit = |partition, number| bench.commit(partition, number, frame(format!("{number}")));
    assert!(matches!(commit(P0, 0), CommitAnswer::Fenced(_)));
    assert!(matches!(commit(P0, 2), CommitAnswer::Fenced(_)));
    assert_eq!(commit(P0, 1), CommitAnswer::Committed);
    assert!(matches!(commit(P0, 1), CommitAnswer::Fenced(_)));
    assert!(matches!(commit(P1, 2), CommitAnswer::Fenced(_)), "each partition has its own numbers");
    assert_eq!(commit(P0, 2), CommitAnswer::Committed);
    assert!(matches!(commit(P0, u64::MAX), CommitAnswer::Fenced(_)));
    assert_eq!(bench.all(Topic::State, P0), ["1", "2"]);
    assert_eq!(bench.range(Topic::State, P1), (0, 0), "a fenced commit leaves nothing behind");
    let nowhere = Partition(bench.log().partitions());
    assert!(matches!(bench.commit(nowhere, 1, Bytes::new()), CommitAnswer::Aborted(_)));
}

pub(super) fn commits_sent_without_waiting_are_taken_in_order(bench: &mut Bench<'_>) {
    let answers: Vec<_> = [(P0, 1), (P1, 1), (P0, 2), (P0, 2), (P1, 3), (P0, 3), (P1, 2)]
        .map(|(partition, number)| bench.send(epoch(partition, number, frame(format!("{number}")))))
        .into_iter()
        .map(|answers| bench.committed(&answers))
        .collect();
    let committed = [true, true, true, false, false, true, true];
    for (answer, committed) in answers.iter().zip(committed) {
        match answer {
            CommitAnswer::Committed => assert!(committed),
            CommitAnswer::Fenced(_) => assert!(!committed),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(bench.all(Topic::State, P0), ["1", "2", "3"]);
    assert_eq!(bench.all(Topic::State, P1), ["1", "2"]);
}

pub(super) fn a_commit_is_read_as_one_record_however_large(bench: &mut Bench<'_>) {
    let sizes = [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (5 << 20) + 77];
    let frames: Vec<Bytes> = sizes
        .iter()
        .map(|size| (0..*size).map(|at| (at / 1_021) as u8).collect::<Vec<u8>>().into())
        .collect();
    for (n, frame) in frames.iter().enumerate() {
        assert_eq!(bench.commit(P1, n as u64 + 1, frame.clone()), CommitAnswer::Committed);
    }
    assert!(bench.all(Topic::State, P1) == frames);
    bench.restart();
    assert!(bench.all(Topic::State, P1) == frames, "and after a restart");
}

pub(super) fn without_room_appends_are_refused_and_commits_go_on(bench: &mut Bench<'_>) {
    bench.test.upkeep(); // Reserves are made.
    if !bench.test.fill() {
        return;
    }
    let filling = bench.record(Topic::Inbound, P0, "x".repeat(1_000));
    let fill = |bench: &mut Bench<'_>| bench.append(vec![filling.clone()]);
    let mut written = 0;
    let refused = loop {
        match fill(bench) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 100_000, "a log without room refuses at last");
    };
    assert_eq!(refused, AppendError::Full);
    assert!(bench.log().health().full);
    assert_eq!(bench.range(Topic::Inbound, P0), (0, written), "nothing of the refused append was written");
    for number in 1..=20 {
        assert_eq!(bench.commit(P0, number, frame("y".repeat(1_000))), CommitAnswer::Committed);
        assert_eq!(fill(bench), Err(AppendError::Full), "the reserve is for commits");
    }
    bench.test.free();
    bench.test.upkeep();
    assert!(!bench.log().health().full, "room is noticed");
    assert_eq!(fill(bench), Ok(vec![Offset(written)]));
    assert_eq!(bench.all(Topic::State, P0).len(), 20);
}
