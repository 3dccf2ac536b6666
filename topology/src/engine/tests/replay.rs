//! Dead letters of replies, timers and what is no record: each is told of, and fed once more when that is asked for.

use bytes::Bytes;
use leadline_operators::contract::{Context, Fault, OperatorResult};
use leadline_schemas::avro;
use leadline_schemas::command::Command;
use leadline_schemas::dead_letter::{DeadLetter, InputKind};
use leadline_schemas::inbound::{EventKind, Origin};
use leadline_schemas::{Partition, Topic};

use std::sync::atomic::Ordering::Relaxed;

use super::{Bench, COUNTS, inbound};

/// A caller whose replies and timers are poison until a second event has come from it: what was missing is there then.
const FRAGILE: &str = "fragile";

/// Refuses a reply or a timer of the fragile caller, until it can be taken.
pub(super) fn check(cx: &mut Context<'_, (String, i64)>, caller: &str) -> OperatorResult {
    let events = cx.get(&COUNTS, caller.as_bytes())?.map(|row| row.text.clone());
    match events.as_deref() {
        Some("1") if caller == FRAGILE => Err(Fault::poison("too early")),
        _ => Ok(()),
    }
}

impl Bench {
    /// Dead letters in the order of their commits; a tombstone has no letter.
    fn letters(&self) -> Vec<(String, Option<DeadLetter>)> {
        let letter = |value: Bytes| (!value.is_empty()).then(|| avro::decode(&value).unwrap());
        self.outputs(Topic::DeadLetters).into_iter().map(|(id, value)| (id, letter(value))).collect()
    }

    fn only_letter(&self) -> DeadLetter {
        self.until("there is a dead letter", |bench| !bench.letters().is_empty());
        match self.letters().as_slice() {
            [(_, Some(letter))] => letter.clone(),
            others => panic!("not one dead letter: {others:?}"),
        }
    }

    /// Asks for a replay, as the command line does; `n` tells commands apart.
    fn replay(&self, n: usize, letter: &DeadLetter, operator: &str) {
        let command = Command::Replay {
            dead_letter: letter.id.to_string(),
            operator: operator.to_owned(),
            input_kind: letter.input_kind,
            input: letter.input.clone().unwrap(),
        };
        let body = serde_json::to_string(&command).unwrap();
        self.append(&inbound(n, "operator", &body, Origin::Command, EventKind::Command));
    }
}

/// The life of a dead letter of something that comes back later: it fails again, and is taken in the end.
fn fails_twice_and_is_taken(asks: &str, kind: InputKind, effect: &str) {
    let bench = Bench::new();
    let engine = bench.start();
    bench.send(1, FRAGILE, asks);
    bench.until("the event counted", |bench| bench.count(FRAGILE) == 1);
    bench.clock.wall.fetch_add(60, Relaxed);
    let letter = bench.only_letter();
    assert_eq!((letter.operator.as_str(), letter.reason.as_str()), ("toy", "too early"));
    assert_eq!(letter.input_kind, kind);
    assert_eq!(letter.tenant.as_ref().map(|tenant| tenant.as_str()), Some("summit"));

    bench.replay(2, &letter, "toy");
    bench.until("it failed again", |bench| bench.letters().len() == 2);
    let (id, again) = bench.letters().pop().unwrap();
    assert_eq!(id, letter.id.to_string(), "it stays one letter");
    assert_eq!(again.unwrap().attempt, 1);
    assert_eq!(bench.count(effect), 0);

    bench.send(3, FRAGILE, "{}");
    bench.until("what was missing is there", |bench| bench.count(FRAGILE) == 2);
    bench.replay(4, &letter, "toy");
    bench.until("it had its effect", |bench| bench.count(effect) == 1);
    assert!(matches!(bench.letters().last(), Some((id, None)) if *id == letter.id.to_string()), "it is gone");
    engine.stop();
    assert_eq!(bench.count(FRAGILE), 2, "events are not fed again with it");
}

#[test]
fn a_poison_reply_is_a_dead_letter_until_its_replay_is_taken() {
    fails_twice_and_is_taken("job", InputKind::Reply, "answer:fragile");
}

#[test]
fn a_poison_timer_is_a_dead_letter_until_its_replay_is_taken() {
    fails_twice_and_is_taken("timer", InputKind::Timer, "timer:fragile");
}

#[test]
fn a_replay_for_an_operator_that_is_gone_keeps_its_letter() {
    let bench = Bench::new();
    let engine = bench.start();
    bench.send(1, FRAGILE, "job");
    let letter = bench.only_letter();
    bench.replay(2, &letter, "of_an_older_release");
    bench.until("the replay failed", |bench| bench.letters().len() == 2);
    engine.stop();
    let (id, again) = bench.letters().pop().unwrap();
    assert_eq!(id, letter.id.to_string());
    let reason = again.unwrap().reason;
    assert!(reason.contains("of_an_older_release"), "{reason}");
}

#[test]
fn a_replay_of_what_cannot_be_read_is_a_dead_letter_of_its_own() {
    for kind in [InputKind::Record, InputKind::Reply, InputKind::Timer] {
        let bench = Bench::new();
        let engine = bench.start();
        let command = Command::Replay {
            dead_letter: "a1".to_owned(),
            operator: "toy".to_owned(),
            input_kind: kind,
            input: Bytes::from_static(b"something else"),
        };
        let body = serde_json::to_string(&command).unwrap();
        let sent = inbound(1, "operator", &body, Origin::Command, EventKind::Command);
        bench.append(&sent);
        let letter = bench.only_letter();
        engine.stop();
        assert!(letter.reason.contains("a1"), "{}", letter.reason);
        assert_eq!(letter.input.map(Vec::from), Some(avro::encode(&sent).unwrap()), "the command itself");
    }
}

#[test]
fn bytes_that_are_no_record_are_a_dead_letter_and_stop_nobody() {
    let bench = Bench::new();
    bench.send(1, "a", "{}");
    bench.log.push(Topic::Inbound, Partition(0), Bytes::from_static(b"no record"));
    bench.send(2, "a", "{}");
    let engine = bench.start();
    bench.until("the others counted", |bench| bench.count("a") == 2);
    engine.stop();
    let letter = bench.only_letter();
    assert_eq!((letter.tenant, letter.offset), (None, 1));
    assert_eq!(letter.input, Some(Bytes::from_static(b"no record")));
}

#[test]
fn an_input_too_large_for_a_dead_letter_is_told_of_without_it() {
    let bench = Bench::new();
    let engine = bench.start();
    bench.send(1, "a", &format!("poison{}", "x".repeat(1 << 20)));
    let letter = bench.only_letter();
    engine.stop();
    assert_eq!((letter.input, letter.reason.as_str()), (None, "the body says so"));
}
