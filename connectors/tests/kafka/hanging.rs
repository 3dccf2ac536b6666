//! A transaction that its coordinator has forgotten is ended by the process whose id it has.

use std::sync::{Mutex, PoisonError};

use leadline_connectors::contract::log::{CommitAnswer, Log as _};
use leadline_connectors::log_kafka::KafkaConfig;
use leadline_connectors::log_kafka::rdkafka::ClientConfig;
use leadline_connectors::log_kafka::rdkafka::message::{Header, OwnedHeaders};
use leadline_connectors::log_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use leadline_schemas::frame::Output;
use leadline_schemas::{Offset, Topic};
use leadline_tests::{kafka, until};

use crate::{P0, P1, PATIENCE, commit, epoch, foreign, fresh, open, output};

/// A log that soon takes a transaction for one that hangs.
fn impatient(partitions: u16) -> Option<KafkaConfig> {
    let mut config = fresh(crate::broker()?, partitions);
    (config.transaction_timeout_ms, config.fetch_timeout_ms) = (2_000, 2_000);
    Some(config)
}

fn call(number: u64) -> Vec<Output> {
    vec![output(Topic::Calls, "call", number.to_string())]
}

/// Leaves commit 2 of the first partition behind: all of it, or its offsets or its outputs alone.
fn forget(config: &KafkaConfig, what: &str) {
    // It takes a setting of the broker that all tests share.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let id = config.transactional_id(0);
    let args = [&*config.brokers, &id, &config.group_id, &config.topic_prefix, "2", what];
    kafka::foreign("Hanging.java", &[], &args);
}

fn values(config: &KafkaConfig, topic: Topic) -> Vec<bytes::Bytes> {
    foreign(config, topic, P0).into_iter().map(|(_, value)| value.unwrap()).collect()
}

#[test]
fn a_transaction_that_its_coordinator_has_forgotten_holds_back_nobody_for_long() {
    let Some(config) = impatient(2) else { return };
    let log = open(&config);
    for partition in [P0, P1] {
        assert_eq!(commit(&log, epoch(partition, 1, call(1))), CommitAnswer::Committed);
    }
    drop(log);
    forget(&config, "all");

    let log = open(&config);
    assert!(log.range(Topic::State, P0).is_err(), "nobody knows yet what became of it");
    // The next transaction of the id, whichever partition's it is, must not take it along.
    for partition in [P1, P0] {
        assert_eq!(commit(&log, epoch(partition, 2, call(2))), CommitAnswer::Committed, "{partition}");
    }
    assert_eq!(log.range(Topic::State, P0).unwrap(), (Offset(0), Offset(2)));
    for (topic, expected) in [(Topic::Calls, ["1", "2"]), (Topic::State, ["0:1", "0:2"])] {
        assert_eq!(values(&config, topic), expected, "nothing of it is seen in {topic}");
    }
}

#[test]
fn outputs_that_hang_alone_are_seen_though_nothing_more_is_written_there() {
    let Some(config) = impatient(1) else { return };
    let log = open(&config);
    assert_eq!(commit(&log, epoch(P0, 1, call(1))), CommitAnswer::Committed);
    drop(log);
    forget(&config, "outputs");

    let log = open(&config);
    assert_eq!(commit(&log, epoch(P0, 2, Vec::new())), CommitAnswer::Committed);
    // The last of them has no value: it only ends the transaction.
    let seen = || foreign(&config, Topic::Calls, P0).into_iter().map(|(_, value)| value).collect::<Vec<_>>();
    assert_eq!(seen().len(), 1, "nobody sees what hangs");
    until("what hung is seen", PATIENCE, || seen().len() > 1);
    assert_eq!(seen(), [Some("1".into()), Some("hanging".into()), None]);
    assert_eq!(commit(&log, epoch(P0, 3, call(3))), CommitAnswer::Committed);
    assert_eq!(log.range(Topic::State, P0).unwrap(), (Offset(0), Offset(3)));
}

/// Commit 2, without the group's offset.
fn without_its_offset(config: &KafkaConfig) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &config.brokers)
        .set("transactional.id", config.transactional_id(0))
        .create()
        .unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    let (calls, state) = (config.topic(Topic::Calls), config.topic(Topic::State));
    producer.send(BaseRecord::to(&calls).partition(0).key("call").payload("2")).map_err(drop).unwrap();
    let headers = OwnedHeaders::new()
        .insert(Header { key: "commit", value: Some("2") })
        .insert(Header { key: "part", value: Some("1/1") });
    let part = BaseRecord::to(&state).partition(0).key("0").payload("0:2").headers(headers);
    producer.send(part).map_err(drop).unwrap();
    producer.flush(PATIENCE).unwrap();
    producer.commit_transaction(PATIENCE).unwrap();
}

#[test]
fn offsets_that_hang_alone_are_given_up_and_frames_tell_whether_their_epoch_is_there() {
    for was_committed in [false, true] {
        let Some(config) = impatient(1) else { return };
        let log = open(&config);
        assert_eq!(commit(&log, epoch(P0, 1, call(1))), CommitAnswer::Committed);
        drop(log);
        if was_committed {
            without_its_offset(&config);
        }
        forget(&config, "offsets");

        let log = open(&config);
        assert!(log.range(Topic::State, P0).is_err(), "nobody knows yet what became of it");
        let mut again = None;
        until("the group tells its offset", PATIENCE, || {
            let answer = commit(&log, epoch(P0, 2, call(2)));
            let is_told = !matches!(answer, CommitAnswer::Aborted(_));
            again = Some(answer);
            is_told
        });
        let again = again.unwrap();
        match was_committed {
            true => assert!(matches!(again, CommitAnswer::Fenced(_)), "it is there already: {again:?}"),
            false => assert_eq!(again, CommitAnswer::Committed, "it runs again"),
        }
        assert_eq!(log.range(Topic::State, P0).unwrap(), (Offset(0), Offset(2)));
        assert_eq!(commit(&log, epoch(P0, 3, call(3))), CommitAnswer::Committed);
        drop(log);
        let log = open(&config);
        assert_eq!(log.range(Topic::State, P0).unwrap(), (Offset(0), Offset(3)), "the group says so");
        assert_eq!(values(&config, Topic::Calls), ["1", "2", "3"], "each once");
        assert_eq!(values(&config, Topic::State), ["0:1", "0:2", "0:3"]);
    }
}
