//! All settings: the records of `settings`, read before any log is open; one of them says which layout to open.

use std::time::{Duration, Instant};

use bytes::Bytes;
use leadline_schemas::Topic;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::KafkaLogError;
use super::config::KafkaConfig;
use super::error::describe;
use super::link::Link;

/// The records of `settings`, which is small, with their offsets; none where there is no such topic yet. Waits for them
/// a bounded time.
pub fn all_settings(config: &KafkaConfig) -> Result<Vec<(u64, Bytes)>, KafkaLogError> {
    if let Some(fault) = config.fault() {
        return Err(KafkaLogError::Config(fault));
    }
    let patience = Duration::from_millis(config.fetch_timeout_ms);
    let wrong = |error: KafkaError| KafkaLogError::Config(error.to_string());
    let mut client = config.consumer("settings");
    client.set("enable.partition.eof", "true").set("auto.offset.reset", "earliest");
    let consumer = Link::alone(config).asks(&client).map_err(wrong)?;
    let away = |error: &KafkaError| {
        // What the connections have to say has not been heard yet.
        while consumer.poll(Duration::from_millis(10)).is_some() {}
        let why = consumer.context().health.reason_or(describe(error));
        KafkaLogError::Unavailable { brokers: config.brokers.clone(), why }
    };
    let topic = config.topic(Topic::Settings);
    let asked = consumer.fetch_metadata(Some(&topic), patience).map_err(|error| away(&error))?;
    if !asked.topics().iter().any(|found| found.name() == topic && !found.partitions().is_empty()) {
        return Ok(Vec::new());
    }
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 0, Offset::Beginning).map_err(wrong)?;
    consumer.assign(&list).map_err(wrong)?;
    let (deadline, mut found) = (Instant::now() + patience, Vec::new());
    while Instant::now() < deadline {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let value = message.payload().filter(|value| !value.is_empty()).map(Bytes::copy_from_slice);
                found.extend(value.map(|value| (u64::try_from(message.offset()).unwrap_or(0), value)));
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(found),
            // Brokers that are away come back, or the deadline ends it.
            None | Some(Err(_)) => {}
        }
    }
    let why = format!("{topic} could not be read within {patience:?}");
    Err(KafkaLogError::Unavailable { brokers: config.brokers.clone(), why })
}
