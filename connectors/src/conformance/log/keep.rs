//! Keeping: floors, and what a restart finds.

use std::task::{Context, Waker};

use bytes::Bytes;
use leadline_schemas::{Offset, Topic};

use super::bench::{Bench, P0, P1, epoch};
use crate::contract::log::{CommitAnswer, ReadError};

/// Enough to fill many segments of a log under test.
const MANY: u64 = 600;

fn fill(bench: &mut Bench<'_>) {
    for n in 0..MANY {
        bench.put(Topic::Inbound, P0, format!("{n}:{}", "i".repeat(700)));
        if n % 3 == 0 {
            bench.put(Topic::Replies, P1, format!("{}:{}", n / 3, "r".repeat(300)));
        }
    }
}

pub(super) fn what_lies_below_all_floors_is_dropped_and_said_so(bench: &mut Bench<'_>) {
    fill(bench);
    bench.log().set_floor(Topic::Inbound, P0, Offset(500));
    bench.log().set_floor(Topic::Replies, P1, Offset(150));
    let mut rounds = 0;
    while bench.range(Topic::Inbound, P0).0 == 0 {
        rounds += 1;
        assert!(rounds < 1_000, "what nobody reads any more is dropped at last");
        bench.test.upkeep();
    }
    // A log with threads of its own may still be dropping: what it says holds where it has not dropped meanwhile.
    let (first, dropped, kept) = loop {
        let first = bench.range(Topic::Inbound, P0).0;
        let below = bench.log().fetch(Topic::Inbound, P0, Offset(first - 1), 100);
        let kept = bench.try_all(Topic::Inbound, P0);
        if bench.range(Topic::Inbound, P0).0 == first {
            break (first, below.unwrap_err(), kept.unwrap());
        }
    };
    let end = bench.range(Topic::Inbound, P0).1;
    assert!(first <= 500 && end == MANY, "{first}..{end}");
    assert!(bench.range(Topic::Replies, P1).0 <= 150);
    let expected = ReadError::Dropped {
        topic: Topic::Inbound,
        partition: P0,
        asked: Offset(first - 1),
        first: Offset(first),
    };
    assert_eq!(dropped, expected);
    assert!(kept[0].starts_with(format!("{first}:").as_bytes()), "offsets stay what they were");
    assert_eq!(kept.len() as u64, MANY - first);
    bench.restart();
    assert!(bench.range(Topic::Inbound, P0).0 >= first, "and a restart brings nothing back");
    assert_eq!(bench.put(Topic::Inbound, P0, "next"), Offset(MANY));
}

pub(super) fn a_topic_without_a_floor_is_kept_whole(bench: &mut Bench<'_>) {
    fill(bench);
    bench.log().set_floor(Topic::Inbound, P0, Offset(MANY));
    for _ in 0..5 {
        bench.test.upkeep();
    }
    assert_eq!(bench.range(Topic::Replies, P1), (0, MANY / 3), "it has no floor");
    let replies = bench.all(Topic::Replies, P1);
    assert!((0..).zip(&replies).all(|(n, value)| value.starts_with(format!("{n}:").as_bytes())));

    bench.restart();
    let (first, _) = bench.range(Topic::Inbound, P0);
    bench.log().set_floor(Topic::Replies, P1, Offset(MANY));
    for _ in 0..5 {
        bench.test.upkeep();
    }
    assert_eq!(bench.range(Topic::Inbound, P0), (first, MANY), "floors do not outlive a restart");
}

pub(super) fn a_restart_keeps_all_that_was_acknowledged(bench: &mut Bench<'_>) {
    for life in 0..4_u64 {
        for n in 0..40 {
            let n = life * 40 + n;
            let text = format!("{n}:{}", "z".repeat((n * 131 % 900) as usize));
            let records =
                vec![bench.record(Topic::Inbound, P0, &text), bench.record(Topic::Replies, P1, &text)];
            assert_eq!(bench.append(records).unwrap(), [Offset(n), Offset(n)]);
        }
        assert_eq!(bench.put(Topic::Settings, P0, format!("{life}")), Offset(life));
        let frame = Bytes::from(vec![life as u8; 100_000]);
        assert_eq!(bench.commit(P0, life + 1, frame), CommitAnswer::Committed);
        assert!(matches!(bench.commit(P0, life + 1, Bytes::new()), CommitAnswer::Fenced(_)));
        bench.restart();
        for (topic, partition) in [(Topic::Inbound, P0), (Topic::Replies, P1)] {
            let found = bench.all(topic, partition);
            assert_eq!(found.len() as u64, (life + 1) * 40, "{topic} in life {life}");
            let right = |(n, value): (usize, &Bytes)| value.starts_with(format!("{n}:").as_bytes());
            assert!(found.iter().enumerate().all(right), "{topic} in life {life}");
        }
        let frames = bench.all(Topic::State, P0);
        assert!(frames.iter().enumerate().all(|(n, frame)| frame[..] == [n as u8; 100_000]));
        assert_eq!(frames.len() as u64, life + 1);
    }
}

pub(super) fn what_was_not_acknowledged_is_whole_or_absent_after_a_restart(bench: &mut Bench<'_>) {
    for life in 0..6_u64 {
        let before = bench.range(Topic::Inbound, P0).1;
        let commits = bench.range(Topic::State, P1).1;
        bench.put(Topic::Inbound, P0, "acknowledged");
        let mut unanswered = Vec::new();
        for n in 0..8 {
            let record = bench.record(Topic::Inbound, P0, format!("{n}{}", "u".repeat(5_000)));
            let mut appending = bench.log().append(vec![record]);
            let _ = appending.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            unanswered.push(appending);
            let frame = Bytes::from(vec![n; 20_000]);
            let number = commits + 1 + u64::from(n);
            unanswered_commit(bench, number, frame);
        }
        for _ in 0..life {
            bench.test.work();
        }
        bench.restart();
        drop(unanswered);
        let found = bench.all(Topic::Inbound, P0);
        let found = &found[before as usize..];
        assert_eq!(found[0], "acknowledged");
        for (n, value) in found[1..].iter().enumerate() {
            assert_eq!(value, &format!("{n}{}", "u".repeat(5_000)), "whole, and after the one before it");
        }
        let frames = bench.all(Topic::State, P1);
        for (n, frame) in frames[commits as usize..].iter().enumerate() {
            assert!(frame[..] == [n as u8; 20_000], "a commit is there as a whole");
        }
        let next = before + found.len() as u64;
        assert_eq!(bench.put(Topic::Inbound, P0, "acknowledged"), Offset(next), "offsets go on");
    }
}

fn unanswered_commit(bench: &mut Bench<'_>, number: u64, frame: Bytes) {
    bench.log().commit(epoch(P1, number, frame), Box::new(|_| {}));
}
