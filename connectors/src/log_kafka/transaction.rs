//! Transaction: one producer that writes epochs of several partitions together, or none of them.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leadline_schemas::Topic;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::bounded::Bounded;
use super::config::KafkaConfig;
use super::connected::{Connected, Context};
use super::error::describe;
use super::failure::{Failure, failure_of, is_over};
use super::lock;
use super::membership::Ticket;
use super::parts;
use crate::contract::log::Commit;

/// The shortest time-out of librdkafka's.
const TICK: Duration = Duration::from_millis(1);
/// A transaction that takes longer to send is told of, for whoever looks for what a pause was.
const SLOW: Duration = Duration::from_millis(200);
/// How long between two looks for reports that have not come. `poll` cannot wait for them: rdkafka cuts what is left of its
/// time-out to whole milliseconds and asks over and over during the last, which took 2.4 of 13 CPU s per million events.
const REST: Duration = Duration::from_micros(500);
/// How long records under way are waited for before a transaction is aborted.
const ABORT_DRAIN: Duration = Duration::from_millis(50);
/// How often a new producer asks for its id. While its coordinator ends the transaction before, it refuses; librdkafka then
/// asks again half a second later, or when it is called again, and never twice at a time.
const INIT_TURN: Duration = Duration::from_millis(10);
/// How much later than asked for a time-out may be answered.
const ANSWER_DELAY: Duration = Duration::from_secs(1);

/// The producer of one committer.
pub(super) struct Transactions {
    producer: Arc<BaseProducer<Context>>,
    /// Sends the offsets: a call that may hang. Behind the producer, as in [`Connected`].
    bounded: Bounded,
    patience: Duration,
    given_up: Cell<bool>,
    /// Whether a call hangs: then no other is made.
    hangs: Cell<bool>,
}

impl Transactions {
    /// Takes over the transactional id: an open transaction of whoever had it is aborted, one that is being committed
    /// is waited for.
    pub(super) fn open(config: &KafkaConfig, connected: Connected) -> Result<Self, Failure> {
        // The first of a cluster waits until the brokers have made their own topics.
        let deadline = Instant::now() + Duration::from_millis(config.fetch_timeout_ms);
        loop {
            match connected.producer.init_transactions(INIT_TURN) {
                Ok(()) => break,
                Err(KafkaError::Transaction(error)) if error.is_fatal() => {
                    return Err(Failure::Fenced(error.string()));
                }
                Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {}
                Err(error) => return Err(Failure::Aborted(describe(&error))),
            }
        }
        let Connected { producer, bounded } = connected;
        let patience = Duration::from_millis(config.transaction_timeout_ms);
        let (given_up, hangs) = (Cell::new(false), Cell::new(false));
        Ok(Self { producer, bounded, patience, given_up, hangs })
    }

    /// Whether another has to be opened for the next transaction.
    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.get()
    }

    /// Serves the producer's events while there is nothing to do.
    pub(super) fn idle(&self) {
        self.producer.poll(Duration::ZERO);
    }

    /// Commits all of them, or none.
    pub(super) fn run(
        &self,
        config: &KafkaConfig,
        ticket: &Ticket,
        commits: &[Commit],
    ) -> Result<(), Failure> {
        let deadline = self.begin()?;
        let sent = self.fill(config, ticket, commits, deadline);
        if let Err(error) = sent {
            return Err(self.abort(error));
        }
        self.finish(deadline)
    }

    /// Begins a transaction; answers until when it has to be over.
    pub(super) fn begin(&self) -> Result<Instant, Failure> {
        lock(&self.producer.context().error).take();
        self.producer.begin_transaction().map_err(|error| self.give_up(failure_of(&error)))?;
        Ok(Instant::now() + self.patience)
    }

    fn fill(
        &self,
        config: &KafkaConfig,
        ticket: &Ticket,
        commits: &[Commit],
        deadline: Instant,
    ) -> Result<(), KafkaError> {
        // Before the records: while brokers write the markers of the transaction before, the coordinator refuses whatever
        // comes first of the next. Offsets are sent again after `retry.backoff.ms`, partitions after 20 ms whatever that is.
        let began = Instant::now();
        self.send_offsets(offsets(config, commits)?, ticket, deadline)?;
        let offsets_took = began.elapsed();
        for commit in commits {
            self.produce(config, commit, deadline)?;
        }
        // `commit_transaction` would wait for them in slices of 100 ms.
        self.drain(deadline);
        if began.elapsed() >= SLOW {
            let (offsets_ms, sent_ms) = (offsets_took.as_millis() as u64, began.elapsed().as_millis() as u64);
            tracing::debug!(
                partitions = commits.len(),
                offsets_ms,
                sent_ms,
                "a transaction was long under way"
            );
        }
        match lock(&self.producer.context().error).take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    pub(super) fn send_offsets(
        &self,
        offsets: TopicPartitionList,
        ticket: &Ticket,
        deadline: Instant,
    ) -> Result<(), KafkaError> {
        let offsets = Arc::new(offsets);
        self.retry(deadline, || {
            let (producer, metadata) = (Arc::clone(&self.producer), Arc::clone(&ticket.metadata));
            let offsets = Arc::clone(&offsets);
            let left = deadline.saturating_duration_since(Instant::now());
            let send = move || producer.send_offsets_to_transaction(&offsets, &metadata, left);
            self.bounded.call(deadline + ANSWER_DELAY, send).unwrap_or_else(|| {
                tracing::warn!("the group's offsets hang in the client: its producer is left behind");
                self.hangs.set(true);
                Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::OperationTimedOut))
            })
        })
    }

    /// Takes the reports of all records under way.
    pub(super) fn drain(&self, deadline: Instant) {
        while self.producer.in_flight_count() > 0 && Instant::now() < deadline {
            self.serve();
        }
    }

    /// Takes reports that have come; rests if there are none.
    fn serve(&self) {
        let before = self.producer.in_flight_count();
        self.producer.poll(Duration::ZERO);
        if self.producer.in_flight_count() == before {
            std::thread::sleep(REST);
        }
    }

    fn produce(&self, config: &KafkaConfig, commit: &Commit, deadline: Instant) -> Result<(), KafkaError> {
        let partition = i32::from(commit.partition.0);
        for output in commit.outputs.iter() {
            let topic = config.topic(output.topic);
            let value = (!output.value.is_empty()).then_some(&output.value[..]);
            self.send(&topic, partition, &output.key, value, None, deadline)?;
        }
        let (topic, key) = (config.topic(Topic::State), commit.partition.to_string());
        for (place, part) in parts::cut(commit.number, &commit.frame) {
            self.send(&topic, partition, key.as_bytes(), Some(&part), Some(place.headers()), deadline)?;
        }
        Ok(())
    }

    /// Puts a record into the queue; waits while the queue is full.
    pub(super) fn send(
        &self,
        topic: &str,
        partition: i32,
        key: &[u8],
        value: Option<&[u8]>,
        headers: Option<OwnedHeaders>,
        deadline: Instant,
    ) -> Result<(), KafkaError> {
        let mut record = BaseRecord::to(topic).partition(partition).key(key);
        record.payload = value;
        record.headers = headers;
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                    if Instant::now() < deadline =>
                {
                    record = back;
                    self.serve();
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    pub(super) fn finish(&self, deadline: Instant) -> Result<(), Failure> {
        let committed = self.retry(deadline, || {
            let left = deadline.saturating_duration_since(Instant::now());
            self.producer.commit_transaction(left.max(TICK))
        });
        match committed {
            Ok(()) => Ok(()),
            // Nothing was asked of the coordinator yet.
            Err(error @ KafkaError::Flush(_)) => Err(self.abort(error)),
            // A broker that was slow has ended it already, one way or the other.
            Err(KafkaError::Transaction(error)) if is_over(&error) => Err(Failure::Unknown(error.string())),
            Err(KafkaError::Transaction(error)) if error.is_fatal() => Err(Failure::Fenced(error.string())),
            Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => {
                Err(self.abort(KafkaError::Transaction(error)))
            }
            Err(error) => Err(Failure::Unknown(describe(&error))),
        }
    }

    /// Undoes what the transaction has written; says why it had to.
    pub(super) fn abort(&self, why: KafkaError) -> Failure {
        // `abort_transaction` waits for the reports of records under way, which only `poll` takes: until its time-out. Whoever
        // opens the transactional id next aborts it as well, and at once.
        self.drain(Instant::now() + ABORT_DRAIN);
        if self.producer.in_flight_count() > 0 || self.hangs.get() {
            return self.give_up(failure_of(&why));
        }
        let deadline = Instant::now() + self.patience;
        let aborted = self.retry(deadline, || {
            let left = deadline.saturating_duration_since(Instant::now());
            self.producer.abort_transaction(left.max(TICK))
        });
        match (aborted, failure_of(&why)) {
            (_, fenced @ Failure::Fenced(_)) => fenced,
            (Ok(()), failure) => failure,
            (Err(KafkaError::Transaction(error)), _) if error.is_fatal() && !is_over(&error) => {
                Failure::Fenced(error.string())
            }
            // The next holder of the transactional id aborts it, or its time-out does: nothing of it is committed.
            (Err(_), failure) => self.give_up(failure),
        }
    }

    /// It takes no other transaction: whoever opens its transactional id next ends this one.
    fn give_up(&self, failure: Failure) -> Failure {
        self.given_up.set(true);
        failure
    }

    /// Repeats what the client says may be repeated.
    fn retry(
        &self,
        deadline: Instant,
        mut work: impl FnMut() -> Result<(), KafkaError>,
    ) -> Result<(), KafkaError> {
        loop {
            match work() {
                Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {
                    self.serve();
                }
                other => return other,
            }
        }
    }
}

/// What the group's offsets become: the commit number lies beside them.
fn offsets(config: &KafkaConfig, commits: &[Commit]) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for commit in commits {
        let places = [(Topic::Inbound, commit.inbound_next), (Topic::Replies, commit.replies_next)];
        for (topic, next) in places {
            let mut element = list.add_partition(&config.topic(topic), i32::from(commit.partition.0));
            element.set_offset(Offset::Offset(i64::try_from(next.0).unwrap_or(i64::MAX)))?;
            element.set_metadata(commit.number.0.to_string());
        }
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use leadline_schemas::{CommitNumber, Offset, Partition};
    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    use rdkafka::mocking::{MockCluster, MockCoordinator};
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::super::link::Link;
    use super::*;

    #[test]
    fn an_id_that_is_refused_while_the_transaction_before_ends_is_asked_for_again_at_once() {
        let cluster = MockCluster::new(1).unwrap();
        let config = KafkaConfig::new(&cluster.bootstrap_servers(), "again", "one");
        cluster.create_topic(&config.topic(Topic::State), 1, 1).unwrap();
        let link = Link::alone(&config);
        let connected = Connected::new(&config, "again", link).unwrap();
        let busy = RDKafkaRespErr::RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS;
        cluster.request_errors(RDKafkaApiKey::InitProducerId, &[busy, busy]);
        let asked = Instant::now();
        Transactions::open(&config, connected).unwrap();
        assert!(asked.elapsed() < Duration::from_millis(500), "{:?}", asked.elapsed());
    }

    #[test]
    fn offsets_that_hang_in_the_client_are_left_behind() {
        let cluster = MockCluster::new(2).unwrap();
        let mut config = KafkaConfig::new(&cluster.bootstrap_servers(), "hang", "one");
        config.transaction_timeout_ms = 2_000;
        cluster.coordinator(MockCoordinator::Transaction(config.transactional_id(0)), 1).unwrap();
        cluster.coordinator(MockCoordinator::Group(config.group_id.clone()), 2).unwrap();
        for topic in [Topic::Inbound, Topic::Replies, Topic::State] {
            cluster.create_topic(&config.topic(topic), 1, 1).unwrap();
            cluster.partition_leader(&config.topic(topic), 0, Some(1)).unwrap();
        }
        let link = Link::alone(&config);
        let consumer: BaseConsumer = config.consumer("group").create().unwrap();
        let ticket = Ticket { metadata: Arc::new(consumer.group_metadata().unwrap()), version: 0 };
        let commit = Commit {
            partition: Partition(0),
            number: CommitNumber(1),
            inbound_next: Offset(1),
            replies_next: Offset(0),
            outputs: Arc::default(),
            frame: Bytes::from_static(b"frame"),
        };
        let open = || {
            let connected = Connected::new(&config, &config.transactional_id(0), link.clone()).unwrap();
            Transactions::open(&config, connected).unwrap()
        };
        let producer = open();
        cluster.broker_down(2).unwrap();
        let asked = Instant::now();
        let answer = producer.run(&config, &ticket, std::slice::from_ref(&commit));
        assert!(matches!(answer, Err(Failure::Aborted(_))), "{answer:?}");
        assert!(producer.is_given_up(), "what hangs in it may come to its end at any time");
        drop(producer);
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());

        cluster.broker_up(2).unwrap();
        open().run(&config, &ticket, &[commit]).unwrap();
    }
}
