//! Frames are found by their number, whatever lies between them, until a floor lets them go.

use std::sync::{Arc, mpsc};

use bytes::Bytes;
use leadline_connectors::contract::log::{Commit, CommitAnswer, Log as _, ReadError};
use leadline_connectors::log_kafka::rdkafka::admin::{AdminClient, AdminOptions};
use leadline_connectors::log_kafka::rdkafka::client::DefaultClientContext;
use leadline_connectors::log_kafka::rdkafka::{ClientConfig, Offset as KafkaOffset, TopicPartitionList};
use leadline_schemas::{Offset, Topic};
use leadline_tests::until;

use crate::{P0, PATIENCE, append, commit, epoch, fresh, open, output, send};

const MANY: u64 = 400;

/// Frame n: some in parts, some empty.
fn frame(number: u64) -> Bytes {
    let bytes = match number % 50 {
        0 => 0,
        1 => (2 << 20) + 5,
        other => 10 * other as usize,
    };
    Bytes::from(vec![number as u8; bytes])
}

fn framed(number: u64) -> Commit {
    Commit { frame: frame(number), ..epoch(P0, number, Vec::new()) }
}

#[test]
fn frames_are_found_by_their_number_and_dropped_below_the_floor() {
    let Some(broker) = crate::broker() else { return };
    let config = fresh(broker, 1);
    let log = open(&config);
    for number in 1..=MANY {
        if number % 20 == 0 {
            let large = output(Topic::Calls, "call", vec![0; 6 << 20]);
            let aborted = Commit { outputs: vec![large].into(), ..framed(number) };
            assert!(matches!(commit(&log, aborted), CommitAnswer::Aborted(_)));
        }
        assert_eq!(commit(&log, framed(number)), CommitAnswer::Committed);
    }
    drop(log);

    // A process that knows nothing searches.
    let log = open(&config);
    assert_eq!(log.range_so_far(P0).unwrap(), (Offset(0), Offset(MANY)));
    assert_eq!(log.range(Topic::State, P0).unwrap(), (Offset(0), Offset(MANY)));
    for offset in [250, 0, MANY - 1, 19, 20, 50, 51, 333] {
        let chunk = log.fetch(Topic::State, P0, Offset(offset), 3_000).unwrap();
        assert!(!chunk.records.is_empty() && chunk.end == Offset(MANY));
        for (record, at) in chunk.records.iter().zip(offset..) {
            assert_eq!(record.offset, Offset(at));
            assert!(record.value == frame(at + 1), "frame {}", at + 1);
        }
    }

    log.set_floor(Topic::State, P0, Offset(123));
    until("old frames are deleted", PATIENCE, || log.range(Topic::State, P0).unwrap().0 > Offset(0));
    assert_eq!(log.range(Topic::State, P0).unwrap(), (Offset(123), Offset(MANY)));
    let dropped = log.fetch(Topic::State, P0, Offset(122), 100).unwrap_err();
    let expected =
        ReadError::Dropped { topic: Topic::State, partition: P0, asked: Offset(122), first: Offset(123) };
    assert_eq!(dropped, expected);
    assert!(log.fetch(Topic::State, P0, Offset(123), 100).unwrap().records[0].value == frame(124));
    drop(log);
    let log = open(&config);
    assert_eq!(log.range(Topic::State, P0).unwrap(), (Offset(123), Offset(MANY)));
    assert_eq!(commit(&log, framed(MANY + 1)), CommitAnswer::Committed);
}

#[test]
fn what_waits_goes_into_one_transaction_and_is_answered_each() {
    let Some(broker) = crate::broker() else { return };
    let config = fresh(broker, 8);
    let log = open(&config);
    let partitions = || (0..8).map(leadline_schemas::Partition);
    for number in 1..=5 {
        let answers: Vec<_> = partitions().map(|p| send(&log, epoch(p, number, Vec::new()))).collect();
        for answer in answers {
            assert_eq!(answer.recv_timeout(PATIENCE).unwrap(), CommitAnswer::Committed);
        }
    }
    for partition in partitions() {
        assert_eq!(log.range(Topic::State, partition).unwrap(), (Offset(0), Offset(5)));
    }
}

#[test]
fn what_brokers_have_dropped_by_age_is_said_to_all_readers_and_listeners_hear_where_it_ends() {
    let Some(broker) = crate::broker() else { return };
    let config = fresh(broker, 1);
    let log = open(&config);
    for n in 0..10 {
        append(&log, Topic::Inbound, P0, &format!("{n}")).unwrap();
    }
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&config.topic(Topic::Inbound), 0, KafkaOffset::Offset(4)).unwrap();
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &config.brokers).create().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(admin.delete_records(&list, &AdminOptions::new())).unwrap();

    let (sender, heard) = mpsc::channel();
    log.listen(Topic::Inbound, P0, Arc::new(move || _ = sender.send(())));
    heard.recv_timeout(PATIENCE).expect("who only listens hears that there is something");
    append(&log, Topic::Inbound, P0, "10").unwrap();
    heard.recv_timeout(PATIENCE).expect("and that there is more");

    let dropped =
        ReadError::Dropped { topic: Topic::Inbound, partition: P0, asked: Offset(2), first: Offset(4) };
    assert_eq!(log.fetch(Topic::Inbound, P0, Offset(2), 100).unwrap_err(), dropped);
    let mut said = None;
    until("a reader that does not wait is told", PATIENCE, || {
        said = log.read(Topic::Inbound, P0, Offset(2), 100).err();
        said.is_some()
    });
    assert_eq!(said, Some(dropped));
    until("it reads on at the first", PATIENCE, || {
        let chunk = log.read(Topic::Inbound, P0, Offset(4), 100).unwrap();
        chunk.records.first().is_some_and(|record| record.offset == Offset(4) && record.value == "4")
    });
}
