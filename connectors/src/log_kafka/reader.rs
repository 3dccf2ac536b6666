//! Reader: one consumer that reads one topic and partition at a time, and waits for it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::config::KafkaConfig;
use super::error::{code_of, describe};
use super::link::Link;
use super::parts;
use crate::contract::log::ReadError;

/// A record as it lies on Kafka.
#[derive(Clone, Debug)]
pub(super) struct Fetched {
    pub(super) offset: u64,
    pub(super) value: Bytes,
    /// Which part of which frame it is, in topic `state`.
    pub(super) part: Option<parts::Place>,
}

/// What comes next at a place.
#[derive(Clone, Debug)]
pub(super) enum Next {
    /// A record.
    Record(Fetched),
    /// Nothing at the moment: the end of what is committed.
    End,
    /// The offset is not there any more, or not yet.
    OutOfRange,
}

/// One consumer, standing somewhere.
pub(super) struct Reader {
    consumer: BaseConsumer<Link>,
    topic: String,
    partition: i32,
    /// Where the next record is looked for.
    next: u64,
    /// Records that were read and not used.
    ahead: VecDeque<Fetched>,
    pub(super) used: Instant,
}

impl Reader {
    pub(super) fn open(config: &KafkaConfig, link: Link) -> Result<Self, ReadError> {
        Self::isolated(config, link, "read_committed")
    }

    /// One that sees what is open and what was aborted, too.
    pub(super) fn of_all(config: &KafkaConfig, link: Link) -> Result<Self, ReadError> {
        Self::isolated(config, link, "read_uncommitted")
    }

    fn isolated(config: &KafkaConfig, link: Link, isolation: &str) -> Result<Self, ReadError> {
        let mut client = config.consumer("history");
        client
            .set("enable.partition.eof", "true")
            .set("isolation.level", isolation)
            // It moves from place to place, each time behind a request that waits so long at the end of the one before.
            .set("fetch.wait.max.ms", "10");
        let consumer = client.create_with_context(link).map_err(|error| unavailable(&error))?;
        Ok(Self {
            consumer,
            topic: String::new(),
            partition: -1,
            next: 0,
            ahead: VecDeque::new(),
            used: Instant::now(),
        })
    }

    /// Whether it stands there, so that nothing has to be sought.
    pub(super) fn stands_at(&self, topic: &str, partition: i32, offset: u64) -> bool {
        self.topic == topic && self.partition == partition && self.next == offset
    }

    pub(super) fn stands_in(&self, topic: &str, partition: i32) -> bool {
        self.topic == topic && self.partition == partition
    }

    pub(super) fn seek(&mut self, topic: &str, partition: i32, offset: u64) -> Result<(), ReadError> {
        self.ahead.clear();
        let mut list = TopicPartitionList::new();
        let raw = i64::try_from(offset).unwrap_or(i64::MAX);
        list.add_partition_offset(topic, partition, Offset::Offset(raw))
            .map_err(|error| unavailable(&error))?;
        self.consumer.assign(&list).map_err(|error| unavailable(&error))?;
        (self.topic, self.partition, self.next) = (topic.to_owned(), partition, offset);
        Ok(())
    }

    /// Takes the next record; waits for it until the deadline unless the end is reached.
    pub(super) fn next(&mut self, deadline: Instant) -> Result<Next, ReadError> {
        let next = match self.ahead.pop_front() {
            Some(fetched) => Next::Record(fetched),
            None => self.poll(deadline)?,
        };
        if let Next::Record(fetched) = &next {
            self.next = fetched.offset.saturating_add(1);
        }
        Ok(next)
    }

    /// As `next`, but waits at the end too, for what is known to come.
    pub(super) fn next_record(&mut self, deadline: Instant) -> Result<Fetched, ReadError> {
        loop {
            match self.next(deadline)? {
                Next::Record(fetched) => return Ok(fetched),
                Next::End => {}
                Next::OutOfRange => {
                    return Err(ReadError::Unavailable(format!(
                        "{}/{} has no offset {}",
                        self.topic, self.partition, self.next
                    )));
                }
            }
        }
    }

    /// Gives the newest record back: the next reader of this place takes it.
    pub(super) fn give_back(&mut self, fetched: Fetched) {
        self.next = fetched.offset;
        self.ahead.push_front(fetched);
    }

    fn poll(&mut self, deadline: Instant) -> Result<Next, ReadError> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let place = format!("{}/{}", self.topic, self.partition);
                return Err(ReadError::Unavailable(format!(
                    "no broker sent offset {} of {place}",
                    self.next
                )));
            }
            match self.consumer.poll(left.min(Duration::from_secs(1))) {
                None => {}
                Some(Ok(message)) => {
                    let part = message.headers().and_then(parts::Place::parse);
                    let value = Bytes::copy_from_slice(message.payload().unwrap_or_default());
                    let offset = u64::try_from(message.offset()).unwrap_or(0);
                    return Ok(Next::Record(Fetched { offset, value, part }));
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(Next::End),
                Some(Err(error)) => match code_of(&error) {
                    Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                        return Ok(Next::OutOfRange);
                    }
                    // The rest goes on by itself, or the deadline ends it.
                    _ => tracing::debug!(error = describe(&error), "a Kafka reader goes on"),
                },
            }
        }
    }
}

pub(super) fn unavailable(error: &KafkaError) -> ReadError {
    ReadError::Unavailable(describe(error))
}
