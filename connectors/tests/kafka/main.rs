//! The log on Kafka, against real brokers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod assignment;
mod away;
mod cluster;
mod conformance;
mod frames;
mod hanging;
mod secure;
mod topics;
mod transactions;
mod unknown;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use bytes::Bytes;
use leadline_connectors::contract::log::{Append, AppendError, Commit, CommitAnswer, Log};
use leadline_connectors::log_kafka::rdkafka::ClientConfig;
use leadline_connectors::log_kafka::rdkafka::consumer::{BaseConsumer, Consumer as _};
use leadline_connectors::log_kafka::rdkafka::error::KafkaError;
use leadline_connectors::log_kafka::rdkafka::message::Message as _;
use leadline_connectors::log_kafka::{KafkaConfig, KafkaLog, topics::apply};
use leadline_schemas::frame::Output;
use leadline_schemas::{CommitNumber, Offset, Partition, Topic};
use leadline_tests::kafka::Cluster;
use leadline_tests::until;

/// How long anything may take on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

const P0: Partition = Partition(0);
const P1: Partition = Partition(1);

/// The broker that all tests share but those that stop it. None where it cannot be had, which was said.
fn broker() -> Option<&'static Cluster> {
    static BROKER: OnceLock<Option<Cluster>> = OnceLock::new();
    BROKER.get_or_init(|| Cluster::start(1)).as_ref()
}

/// A log of its own on these brokers: topics that are there, and a group that nobody is in.
fn fresh(brokers: &Cluster, partitions: u16) -> KafkaConfig {
    let config = named(brokers);
    apply(&config, partitions, 1).unwrap();
    config
}

/// As `fresh`, without topics.
fn named(brokers: &Cluster) -> KafkaConfig {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("test{}", NEXT.fetch_add(1, Ordering::SeqCst));
    let mut config = KafkaConfig::new(&brokers.bootstrap(), &name, "one");
    config.probe_ms = 200;
    config.upkeep_ms = 200;
    config
}

fn open(config: &KafkaConfig) -> KafkaLog {
    KafkaLog::open(config.clone()).unwrap()
}

fn epoch(partition: Partition, number: u64, outputs: Vec<Output>) -> Commit {
    Commit {
        partition,
        number: CommitNumber(number),
        inbound_next: Offset(number * 10),
        replies_next: Offset(number),
        outputs: Arc::new(outputs),
        frame: Bytes::from(format!("{partition}:{number}")),
    }
}

fn output(topic: Topic, key: &str, value: impl Into<Bytes>) -> Output {
    Output { topic, key: Bytes::from(key.to_owned()), value: value.into() }
}

fn send(log: &dyn Log, commit: Commit) -> mpsc::Receiver<CommitAnswer> {
    let (sender, receiver) = mpsc::channel();
    log.commit(commit, Box::new(move |answer| drop(sender.send(answer))));
    receiver
}

fn commit(log: &dyn Log, commit: Commit) -> CommitAnswer {
    send(log, commit).recv_timeout(PATIENCE).expect("a commit is answered")
}

fn append(log: &dyn Log, topic: Topic, partition: Partition, text: &str) -> Result<Vec<Offset>, AppendError> {
    let value = Bytes::from(text.to_owned());
    let record = Append { topic, partition, key: Bytes::from_static(b"tenant"), value };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let answered = runtime.block_on(async { tokio::time::timeout(PATIENCE, log.append(vec![record])).await });
    answered.expect("an append is answered")
}

/// What any client sees that wants only what is committed: keys and values, from the start to the end of now.
fn foreign(config: &KafkaConfig, topic: Topic, partition: Partition) -> Vec<(String, Option<Bytes>)> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &config.brokers)
        .set("group.id", "foreign")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut list = leadline_connectors::log_kafka::rdkafka::TopicPartitionList::new();
    let number = i32::from(partition.0);
    list.add_partition_offset(
        &config.topic(topic),
        number,
        leadline_connectors::log_kafka::rdkafka::Offset::Beginning,
    )
    .unwrap();
    consumer.assign(&list).unwrap();
    let mut found = Vec::new();
    let mut ended = false;
    until("the end of a topic", PATIENCE, || {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let key = String::from_utf8(message.key().unwrap_or_default().to_vec()).unwrap();
                found.push((key, message.payload().map(Bytes::copy_from_slice)));
            }
            Some(Err(KafkaError::PartitionEOF(_))) => ended = true,
            _ => {}
        }
        ended
    });
    found
}
