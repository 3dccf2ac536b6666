//! Assignment: the consumer group, which deals `inbound`'s partitions out among processes.
//!
//! The group's consumer fetches nothing: the partitions it gets are paused at once, and the log reads `inbound`,
//! `replies` and `state` by hand, so a rebalance that waits for one partition stops no other.
//!
//! With the cooperative protocol a partition that moves belongs to nobody else until this process has said, by joining
//! once more, that it let go. So until `revoked` returns its open commits may go on, under the new generation; and that
//! is why metadata may be refreshed before it, but the next refresh comes only after every committer has let go.

use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use leadline_schemas::{Partition, Topic};
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};

use super::closing::Closing;
use super::connected::Connected;
use super::error::{code_of, describe};
use super::group::Group;
use super::transaction::Transactions;
use super::{Inner, KafkaLog, lock};
use crate::contract::assignment::{Assignment, AssignmentError, Owner};

/// What the group's consumer is called beside this process's other clients.
pub(super) const ROLE: &str = "group";
/// This process's part in the group.
pub struct KafkaAssignment {
    inner: Arc<Inner>,
    trouble: Arc<Mutex<Option<String>>>,
    leaving: Arc<Closing>,
    member: Mutex<Member>,
}

/// What takes part.
#[derive(Default)]
struct Member {
    /// As long as its thread runs.
    consumer: Weak<BaseConsumer<Context>>,
    thread: Option<JoinHandle<()>>,
    has_joined: bool,
}

impl KafkaAssignment {
    /// For the engine that commits to this log. Until it joins, the process is alone in its group.
    pub fn new(log: &KafkaLog) -> Self {
        Self {
            inner: Arc::clone(&log.inner),
            trouble: Arc::new(Mutex::new(Some("this process has not joined its group".to_owned()))),
            leaving: Arc::default(),
            member: Mutex::default(),
        }
    }
}

/// How seldom the group is told that a member lives. With the answer it hears that partitions move, twice until they have:
/// those that do stand still meanwhile.
const HEARTBEAT_MS_MAX: u64 = 1_000;

/// Makes a consumer of the group.
pub(super) type Make = Box<dyn Fn() -> Result<BaseConsumer<Context>, KafkaError> + Send>;

impl KafkaAssignment {
    fn make(&self, owner: Arc<dyn Owner>, heartbeat_ms: u64) -> Make {
        let config = &self.inner.config;
        let mut client = config.member(ROLE);
        client
            .set("heartbeat.interval.ms", heartbeat_ms.to_string())
            // The poll thread waits for the owner, at most its patience and that of a transaction.
            .set("max.poll.interval.ms", poll_interval_ms(&self.inner).to_string());
        if config.static_membership {
            client.set("group.instance.id", &config.instance_id);
        }
        let (inner, trouble) = (Arc::clone(&self.inner), Arc::clone(&self.trouble));
        Box::new(move || {
            let (inner, owner, trouble) = (Arc::clone(&inner), Arc::clone(&owner), Arc::clone(&trouble));
            client.create_with_context(Context { inner, owner, trouble })
        })
    }

    /// Makes the consumer and its thread; it subscribes to nothing yet, but finds the group's coordinator.
    fn connect(&self, member: &mut Member, owner: Arc<dyn Owner>) -> Result<(), AssignmentError> {
        if member.thread.is_some() || self.leaving.is_closed() {
            return Err(AssignmentError("a process joins once".to_owned()));
        }
        let heartbeat_ms = (self.inner.config.session_timeout_ms / 3).clamp(100, HEARTBEAT_MS_MAX);
        self.inner.membership.join();
        let make = self.make(owner, heartbeat_ms);
        let consumer = Arc::new(make().map_err(|error| refused(&error))?);
        member.consumer = Arc::downgrade(&consumer);
        let heartbeat = Duration::from_millis(heartbeat_ms);
        let group = Group::new(consumer, make, Arc::clone(&self.leaving), heartbeat);
        let spawned = std::thread::Builder::new().name("kafka-group".to_owned()).spawn(move || group.run());
        member.thread = Some(spawned.map_err(|error| AssignmentError(error.to_string()))?);
        Ok(())
    }
}

fn refused(error: &KafkaError) -> AssignmentError {
    AssignmentError(describe(error))
}

impl Assignment for KafkaAssignment {
    fn prepare(&self, owner: Arc<dyn Owner>) -> Result<(), AssignmentError> {
        self.connect(&mut lock(&self.member), owner)?;
        self.inner.committers.iter().for_each(|committer| committer.connect());
        Ok(())
    }

    fn join(&self, owner: Arc<dyn Owner>) -> Result<(), AssignmentError> {
        let mut member = lock(&self.member);
        if member.has_joined || member.thread.is_none() {
            self.connect(&mut member, owner)?;
        }
        let topic = self.inner.config.topic(Topic::Inbound);
        let gone = || AssignmentError("this process has left its group".to_owned());
        let consumer = member.consumer.upgrade().ok_or_else(gone)?;
        consumer.subscribe(&[&topic]).map_err(|error| refused(&error))?;
        member.has_joined = true;
        Ok(())
    }

    fn leave(&self) {
        self.leaving.close();
        if let Some(thread) = lock(&self.member).thread.take() {
            let _ = thread.join(); // Its panic has been told already.
        }
        *lock(&self.trouble) = Some("this process has left its group".to_owned());
    }

    fn producers(&self) -> Vec<String> {
        let config = &self.inner.config;
        (0..config.workers).map(|worker| config.transactional_id(worker)).collect()
    }

    fn take_over(&self, producers: &[String]) -> Result<(), AssignmentError> {
        let own = self.producers();
        // The committers open their own as soon as anything is assigned, if it be nothing.
        self.inner.committers.iter().for_each(|committer| committer.assigned(&[]));
        for name in producers.iter().filter(|name| !own.contains(name)) {
            Connected::new(&self.inner.config, name, self.inner.link.clone())
                .and_then(|connected| Transactions::open(&self.inner.config, connected))
                .map_err(|failure| AssignmentError(format!("producer {name:?}: {failure:?}")))?;
        }
        Ok(())
    }

    fn trouble(&self) -> Option<String> {
        lock(&self.trouble).clone().or_else(|| self.inner.still.trouble())
    }
}

impl Drop for KafkaAssignment {
    fn drop(&mut self) {
        self.leave();
    }
}

fn poll_interval_ms(inner: &Inner) -> u64 {
    let config = &inner.config;
    let waits = config.patience_ms.saturating_add(config.transaction_timeout_ms.saturating_mul(2));
    waits.saturating_mul(2).max(config.session_timeout_ms).max(60_000)
}

/// What is done when partitions come and go; called by the poll thread alone.
pub(super) struct Context {
    pub(super) inner: Arc<Inner>,
    owner: Arc<dyn Owner>,
    pub(super) trouble: Arc<Mutex<Option<String>>>,
}

impl Context {
    /// Answers whether it puts this process out of its group.
    pub(super) fn failed(&self, error: &KafkaError) -> bool {
        use RDKafkaErrorCode as Code;
        let why = describe(error);
        // A broker that is away comes back by itself; the log's health tells.
        if !matches!(code_of(error), Some(Code::AllBrokersDown | Code::BrokerTransportFailure)) {
            *lock(&self.trouble) = Some(why.clone());
        }
        let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_))
            || matches!(code_of(error), Some(Code::FencedInstanceId | Code::Fatal));
        if fatal {
            tracing::warn!(why, "this process is out of its group");
            self.inner.membership.publish(None);
            self.lost(&self.inner.membership.owned());
        }
        fatal
    }

    pub(super) fn assigned(&self, consumer: &BaseConsumer<Self>, partitions: &[Partition]) {
        self.refresh(consumer);
        *lock(&self.trouble) = None;
        if partitions.is_empty() {
            return;
        }
        self.inner.membership.add(partitions);
        self.each_committer(partitions, |committer, own| committer.assigned(own));
        self.owner.assigned(partitions);
    }

    fn revoked(&self, consumer: &BaseConsumer<Self>, partitions: &[Partition]) {
        // The generation in which these partitions move is known already; the open commits need it.
        self.refresh(consumer);
        self.owner.revoked(partitions, Duration::from_millis(self.inner.config.patience_ms));
        self.inner.membership.remove(partitions);
        self.let_go(partitions);
    }

    pub(super) fn lost(&self, partitions: &[Partition]) {
        if partitions.is_empty() {
            return;
        }
        self.inner.membership.remove(partitions);
        self.owner.lost(partitions);
        self.let_go(partitions);
    }

    /// Returns when no transaction has them any more: one that is too slow is aborted by the broker.
    fn let_go(&self, partitions: &[Partition]) {
        let patience = Duration::from_millis(self.inner.config.transaction_timeout_ms.saturating_mul(2));
        self.each_committer(partitions, |committer, own| committer.let_go(own, patience));
        for (topic, partition) in [Topic::Inbound, Topic::Replies, Topic::State]
            .into_iter()
            .flat_map(|topic| partitions.iter().map(move |partition| (topic, *partition)))
        {
            self.inner.buffers.leave((topic, partition));
        }
    }

    fn each_committer(&self, partitions: &[Partition], work: impl Fn(&super::Committer, &[Partition])) {
        for committer in &self.inner.committers {
            let own: Vec<Partition> = partitions
                .iter()
                .copied()
                .filter(|partition| partition.0 % self.inner.config.workers == committer.worker)
                .collect();
            if !own.is_empty() {
                work(committer, &own);
            }
        }
    }

    /// Publishes the present generation, unless the group has given this process up meanwhile: then its metadata
    /// would be that of somebody without a group, which an empty group accepts.
    fn refresh(&self, consumer: &BaseConsumer<Self>) {
        let metadata = consumer.group_metadata();
        self.inner.membership.publish(metadata.filter(|_| !consumer.assignment_lost()));
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        change: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let numbers = list.elements().iter().map(|element| element.partition()).collect::<Vec<_>>();
        let partitions: Vec<Partition> =
            numbers.into_iter().filter_map(|number| u16::try_from(number).ok()).map(Partition).collect();
        let done = if change == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            tracing::info!(?partitions, "partitions are assigned");
            let done = consumer.incremental_assign(list);
            if let Err(error) = consumer.pause(list) {
                tracing::debug!(error = describe(&error), "what the group's consumer fetches is dropped");
            }
            self.assigned(consumer, &partitions);
            done
        } else if consumer.assignment_lost() {
            tracing::warn!(?partitions, "partitions are lost");
            self.inner.membership.publish(None);
            self.lost(&partitions);
            consumer.incremental_unassign(list)
        } else {
            tracing::info!(?partitions, "partitions are revoked");
            self.revoked(consumer, &partitions);
            consumer.incremental_unassign(list)
        };
        if let Err(error) = done {
            *lock(&self.trouble) = Some(describe(&error));
        }
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.inner.link.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.inner.link.error(error, reason);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.inner.link.generate_oauth_token(config)
    }
}
