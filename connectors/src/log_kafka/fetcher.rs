//! Fetcher: the thread that fills the buffers of `inbound`, `replies` and `settings`.

use std::collections::BTreeMap;
use std::sync::Arc;

use std::time::Duration;

use bytes::Bytes;
use leadline_schemas::{Partition, Topic};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::buffers::{Buffers, Place, Pushed, Wish};
use super::closing::Closing;
use super::config::KafkaConfig;
use super::error::{code_of, describe};
use super::link::Link;

/// How long it waits for records before it looks for wishes. A reader that moves waits that long.
const WISHES_EVERY: Duration = Duration::from_millis(10);
/// How many records are put away before who listens is told.
const RECORDS_AT_ONCE: usize = 1_000;

/// Reads by hand: the group only says which partitions this process owns.
pub(super) struct Fetcher {
    pub(super) consumer: Arc<BaseConsumer<Link>>,
    pub(super) config: Arc<KafkaConfig>,
    pub(super) buffers: Arc<Buffers>,
    names: BTreeMap<String, Topic>,
    assigned: Vec<Place>,
    touched: Vec<Place>,
}

impl Fetcher {
    pub(super) fn new(
        consumer: Arc<BaseConsumer<Link>>,
        config: Arc<KafkaConfig>,
        buffers: Arc<Buffers>,
    ) -> Self {
        let names = [Topic::Inbound, Topic::Replies, Topic::Settings];
        let names = names.into_iter().map(|topic| (config.topic(topic), topic)).collect();
        Self { consumer, config, buffers, names, assigned: Vec::new(), touched: Vec::new() }
    }

    /// Runs until the log is closed.
    pub(super) fn run(mut self, closing: &Closing) {
        while !closing.is_closed() {
            for place in self.buffers.fetcher_wishes() {
                self.grant(place);
            }
            self.fill();
            for place in std::mem::take(&mut self.touched) {
                self.buffers.tell(place);
            }
        }
    }

    /// Takes what has come; waits for the first of it.
    fn fill(&mut self) {
        let consumer = Arc::clone(&self.consumer);
        let mut patience = WISHES_EVERY;
        for _ in 0..RECORDS_AT_ONCE {
            match consumer.poll(patience) {
                None => return,
                Some(Ok(message)) => {
                    let topic = self.names.get(message.topic()).copied();
                    let partition = u16::try_from(message.partition()).ok();
                    let (Some(topic), Some(partition)) = (topic, partition) else { continue };
                    let value = Bytes::copy_from_slice(message.payload().unwrap_or_default());
                    self.take((topic, Partition(partition)), message.offset(), value);
                }
                Some(Err(error)) => self.trouble(&error),
            }
            patience = Duration::ZERO;
        }
    }

    fn take(&mut self, place: Place, offset: i64, value: Bytes) {
        let Ok(offset) = u64::try_from(offset) else { return };
        let pushed = self.buffers.push(place, offset, value);
        if pushed == Pushed::Full {
            self.note(self.consumer.pause(&self.list(place, None)), "pause", place);
        }
        if pushed != Pushed::Stale && self.touched.last() != Some(&place) {
            self.touched.retain(|other| *other != place);
            self.touched.push(place);
        }
    }

    /// Moves a reader, or goes on where there is room again.
    fn grant(&mut self, place: Place) {
        match self.buffers.grant(place) {
            Wish::Nothing => {}
            Wish::Leave => {
                if self.assigned.contains(&place) {
                    self.assigned.retain(|other| *other != place);
                    self.note(self.consumer.incremental_unassign(&self.list(place, None)), "leave", place);
                }
            }
            Wish::Resume(_) => self.note(self.consumer.resume(&self.list(place, None)), "resume", place),
            Wish::Seek(from) => {
                if self.assigned.contains(&place) {
                    // Not `seek`: that would let pass what was fetched for the place before.
                    let done = self.consumer.incremental_unassign(&self.list(place, None));
                    self.note(done, "leave", place);
                } else {
                    self.assigned.push(place);
                }
                let from = i64::try_from(from).unwrap_or(i64::MAX);
                let list = self.list(place, Some(from));
                self.note(self.consumer.incremental_assign(&list), "read", place);
                self.note(self.consumer.resume(&list), "resume", place);
            }
        }
    }

    fn list(&self, (topic, partition): Place, from: Option<i64>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        let mut element = list.add_partition(&self.config.topic(topic), i32::from(partition.0));
        if let Some(from) = from {
            let _ = element.set_offset(Offset::Offset(from)); // An offset that is too large is out of range.
        }
        list
    }

    fn note(&self, done: Result<(), KafkaError>, what: &str, (topic, partition): Place) {
        if let Err(error) = done {
            tracing::warn!(%topic, %partition, error = describe(&error), "cannot {what}");
        }
    }

    /// An offset that is not there is for the scout, which asks what is; the rest goes on by itself.
    fn trouble(&self, error: &KafkaError) {
        match code_of(error) {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                for place in &self.assigned {
                    self.buffers.ask_scout(*place);
                }
            }
            _ => tracing::debug!(error = describe(error), "the Kafka fetcher goes on"),
        }
    }
}
