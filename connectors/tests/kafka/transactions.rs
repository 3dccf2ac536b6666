//! An epoch is there as a whole or not at all, once, and from its owner only.

use std::time::{Duration, Instant};

use bytes::Bytes;
use leadline_connectors::contract::log::{CommitAnswer, Log as _, RECORD_BYTES_MAX};
use leadline_connectors::log_kafka::KafkaConfig;
use leadline_connectors::log_kafka::rdkafka::admin::{AdminClient, AdminOptions};
use leadline_connectors::log_kafka::rdkafka::client::DefaultClientContext;
use leadline_connectors::log_kafka::rdkafka::consumer::{BaseConsumer, Consumer as _};
use leadline_connectors::log_kafka::rdkafka::message::{Header, OwnedHeaders};
use leadline_connectors::log_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use leadline_connectors::log_kafka::rdkafka::{ClientConfig, TopicPartitionList};
use leadline_schemas::{Offset, Topic};
use leadline_tests::until;

use crate::{P0, P1, PATIENCE, append, commit, epoch, foreign, fresh, open, output};

fn pairs(config: &KafkaConfig, topic: Topic) -> Vec<String> {
    let found = foreign(config, topic, P0).into_iter();
    found
        .map(|(key, value)| format!("{key}={}", String::from_utf8_lossy(&value.unwrap_or_default())))
        .collect()
}

#[test]
fn an_aborted_epoch_leaves_nothing_that_others_see() {
    let Some(broker) = crate::broker() else { return };
    let config = fresh(broker, 2);
    let log = open(&config);
    let calls = |number: u64| vec![output(Topic::Calls, "call", format!("{number}"))];
    assert_eq!(commit(&log, epoch(P0, 1, calls(1))), CommitAnswer::Committed);

    // The second output is taken by brokers before the third is found to be too large.
    let mut bad = calls(2);
    bad.push(output(Topic::Leads, "lead", "of an aborted epoch"));
    bad.push(output(Topic::Leads, "lead", Bytes::from(vec![0; 2 * RECORD_BYTES_MAX])));
    let answer = commit(&log, epoch(P0, 2, bad));
    assert!(matches!(answer, CommitAnswer::Aborted(_)), "{answer:?}");
    assert_eq!(log.range(Topic::State, P0).unwrap(), (Offset(0), Offset(1)));

    let mut good = calls(22);
    good.push(output(Topic::Leads, "gone", Bytes::new()));
    assert_eq!(commit(&log, epoch(P0, 2, good)), CommitAnswer::Committed);
    assert_eq!(pairs(&config, Topic::Calls), ["call=1", "call=22"]);
    assert_eq!(foreign(&config, Topic::Leads, P0), [("gone".to_owned(), None)], "no value is a tombstone");
    assert_eq!(pairs(&config, Topic::State), ["0=0:1", "0=0:2"]);
}

#[test]
fn an_epoch_is_given_up_at_once_though_its_records_are_on_their_way() {
    let Some(broker) = crate::broker() else { return };
    let config = fresh(broker, 2);
    let log = open(&config);
    assert_eq!(commit(&log, epoch(P0, 1, Vec::new())), CommitAnswer::Committed);
    let mut outputs: Vec<_> =
        (0..3_000).map(|n| output(Topic::Calls, &n.to_string(), Bytes::from(vec![7; 1_000]))).collect();
    outputs.push(output(Topic::Leads, "lead", Bytes::from(vec![0; 2 * RECORD_BYTES_MAX])));
    let started = Instant::now();
    let answer = commit(&log, epoch(P0, 2, outputs));
    assert!(matches!(answer, CommitAnswer::Aborted(_)), "{answer:?}");
    assert_eq!(commit(&log, epoch(P0, 2, Vec::new())), CommitAnswer::Committed);
    let took = started.elapsed();
    assert!(took < Duration::from_millis(config.transaction_timeout_ms / 2), "it took {took:?}");
}

/// What a process that was killed in the middle of commit 2 leaves: everything is written but the commit itself.
fn half_an_epoch(config: &KafkaConfig) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &config.brokers)
        .set("transactional.id", config.transactional_id(0))
        .create()
        .unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    let calls = config.topic(Topic::Calls);
    producer.send(BaseRecord::to(&calls).partition(0).key("call").payload("half")).map_err(drop).unwrap();
    let headers = OwnedHeaders::new()
        .insert(Header { key: "commit", value: Some("2") })
        .insert(Header { key: "part", value: Some("1/2") });
    let state = config.topic(Topic::State);
    let part = BaseRecord::to(&state).partition(0).key("0").payload("half").headers(headers);
    producer.send(part).map_err(drop).unwrap();
    producer.flush(PATIENCE).unwrap();
    producer
}

#[test]
fn an_epoch_whose_process_was_killed_is_gone_when_the_next_has_started() {
    let Some(broker) = crate::broker() else { return };
    let config = fresh(broker, 2);
    let first = open(&config);
    assert_eq!(
        commit(&first, epoch(P0, 1, vec![output(Topic::Calls, "call", "1")])),
        CommitAnswer::Committed
    );
    drop(first);
    let killed = half_an_epoch(&config);
    assert_eq!(pairs(&config, Topic::Calls), ["call=1"], "an open transaction is not seen");

    let next = open(&config);
    assert_eq!(next.range(Topic::State, P0).unwrap(), (Offset(0), Offset(1)));
    assert_eq!(commit(&next, epoch(P0, 2, vec![output(Topic::Calls, "call", "2")])), CommitAnswer::Committed);
    assert_eq!(pairs(&config, Topic::Calls), ["call=1", "call=2"], "nor is it when it was given up");
    let chunk = next.fetch(Topic::State, P0, Offset(0), 1_000).unwrap();
    let frames: Vec<_> = chunk.records.iter().map(|record| record.value.clone()).collect();
    assert_eq!(frames, ["0:1", "0:2"]);
    assert!(killed.commit_transaction(PATIENCE).is_err(), "and whoever was thought dead cannot commit it");
}

#[test]
fn a_zombie_is_fenced_by_its_successor_and_stays_so() {
    let Some(broker) = crate::broker() else { return };
    let config = fresh(broker, 2);
    let (zombie, successor) = (open(&config), open(&config));
    assert_eq!(commit(&zombie, epoch(P0, 1, Vec::new())), CommitAnswer::Committed);
    assert_eq!(commit(&zombie, epoch(P1, 1, Vec::new())), CommitAnswer::Committed);
    assert_eq!(commit(&successor, epoch(P0, 2, Vec::new())), CommitAnswer::Committed);
    for number in [2, 3] {
        let answer = commit(&zombie, epoch(P0, number, vec![output(Topic::Calls, "call", "zombie")]));
        assert!(matches!(answer, CommitAnswer::Fenced(_)), "{answer:?}");
    }
    let answer = commit(&zombie, epoch(P1, 2, Vec::new()));
    assert!(
        matches!(answer, CommitAnswer::Fenced(_)),
        "the other partition of the same producer: {answer:?}"
    );
    assert_eq!(commit(&successor, epoch(P0, 3, Vec::new())), CommitAnswer::Committed);
    assert_eq!(pairs(&config, Topic::State), ["0=0:1", "0=0:2", "0=0:3"]);
    assert!(pairs(&config, Topic::Calls).is_empty());
    assert!(append(&zombie, Topic::Replies, P0, "late").is_ok(), "it may still append what its jobs gave");
}

#[test]
fn a_commit_that_was_refused_is_judged_anew_by_what_others_have_committed_since() {
    let Some(broker) = crate::broker() else { return };
    let config = fresh(broker, 2);
    let other = KafkaConfig { instance_id: "two".to_owned(), ..config.clone() };
    let (first, second) = (open(&config), open(&other));
    assert!(matches!(commit(&first, epoch(P0, 2, Vec::new())), CommitAnswer::Fenced(_)), "there is no first");
    assert_eq!(commit(&second, epoch(P0, 1, Vec::new())), CommitAnswer::Committed);
    assert_eq!(commit(&first, epoch(P0, 2, Vec::new())), CommitAnswer::Committed);
}

#[test]
fn the_group_s_offset_carries_the_commit_number_and_says_which_commit_is_the_last() {
    let Some(broker) = crate::broker() else { return };
    let config = fresh(broker, 2);
    let log = open(&config);
    for number in 1..=3 {
        assert_eq!(commit(&log, epoch(P1, number, Vec::new())), CommitAnswer::Committed);
    }
    let group: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &config.brokers)
        .set("group.id", &config.group_id)
        .create()
        .unwrap();
    for (topic, offset) in [(Topic::Inbound, 30), (Topic::Replies, 3)] {
        let mut list = TopicPartitionList::new();
        list.add_partition(&config.topic(topic), 1);
        let list = group.committed_offsets(list, PATIENCE).unwrap();
        let element = &list.elements()[0];
        assert_eq!(
            (element.offset(), element.metadata()),
            (leadline_connectors::log_kafka::rdkafka::Offset::Offset(offset), "3"),
            "{topic}"
        );
    }
    drop(group);

    // A group that was away too long loses its offsets: then the frames tell.
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &config.brokers).create().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    until("the group is gone", PATIENCE, || {
        let deleted = runtime.block_on(admin.delete_groups(&[&config.group_id], &AdminOptions::new()));
        deleted.unwrap()[0].is_ok()
    });
    let next = open(&config);
    assert_eq!(next.range(Topic::State, P1).unwrap(), (Offset(0), Offset(3)));
    assert_eq!(next.range(Topic::State, P0).unwrap(), (Offset(0), Offset(0)));
    assert!(matches!(commit(&next, epoch(P1, 3, Vec::new())), CommitAnswer::Fenced(_)));
    assert_eq!(commit(&next, epoch(P1, 4, Vec::new())), CommitAnswer::Committed);
    assert_eq!(next.range(Topic::State, P1).unwrap(), (Offset(0), Offset(4)));
}

#[test]
fn without_an_offset_an_open_transaction_is_waited_for() {
    let Some(broker) = crate::broker() else { return };
    let mut config = fresh(broker, 2);
    config.fetch_timeout_ms = 2_000;
    let log = open(&config);
    let killed = half_an_epoch(&config);
    let asked = log.range(Topic::State, P0);
    assert!(asked.is_err(), "its outcome is open: {asked:?}");
    killed.abort_transaction(Duration::from_secs(10)).unwrap();
    until("the end of the transaction", PATIENCE, || log.range(Topic::State, P0).is_ok());
    assert_eq!(log.range(Topic::State, P0).unwrap(), (Offset(0), Offset(0)));
}

#[test]
fn whoever_follows_an_owner_does_not_wait_for_what_it_has_under_way() {
    let Some(broker) = crate::broker() else { return };
    let mut config = fresh(broker, 2);
    config.fetch_timeout_ms = 2_000;
    let log = open(&config);
    assert_eq!(commit(&log, epoch(P0, 1, Vec::new())), CommitAnswer::Committed);
    drop(log);
    let follower = open(&KafkaConfig { instance_id: "follower".to_owned(), ..config.clone() });
    let owner = half_an_epoch(&config);
    let group: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &config.brokers)
        .set("group.id", &config.group_id)
        .create()
        .unwrap();
    let mut offsets = TopicPartitionList::new();
    let next = leadline_connectors::log_kafka::rdkafka::Offset::Offset(20);
    offsets.add_partition_offset(&config.topic(Topic::Inbound), 0, next).unwrap();
    owner.send_offsets_to_transaction(&offsets, &group.group_metadata().unwrap(), PATIENCE).unwrap();

    let started = Instant::now();
    assert_eq!(follower.range_so_far(P0).unwrap(), (Offset(0), Offset(1)));
    let took = started.elapsed();
    assert!(took < Duration::from_millis(config.fetch_timeout_ms / 2), "it took {took:?}");
    assert!(follower.range(Topic::State, P0).is_err(), "who takes over does wait");
    owner.abort_transaction(PATIENCE).unwrap();
    until("the end of the transaction", PATIENCE, || follower.range(Topic::State, P0).is_ok());
    assert_eq!(follower.range(Topic::State, P0).unwrap(), (Offset(0), Offset(1)));
}
