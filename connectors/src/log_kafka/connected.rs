//! Connected: a producer with a transactional id that it has not taken over.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use leadline_schemas::Topic;
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer as _, ProducerContext};

use super::bounded::Bounded;
use super::committer::Committer;
use super::config::KafkaConfig;
use super::error::describe;
use super::failure::Failure;
use super::link::Link;
use super::lock;
use super::sight::outputs;

/// How many records a transaction may have in librdkafka's queue; more wait.
const QUEUE_RECORDS_MAX: usize = 100_000;
/// How long a new producer waits for each answer of the brokers before it is used as it is.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// A producer whose connection stands and which knows who leads what: whoever has its id goes on, and is fenced only by
/// [`super::transaction::Transactions::open`].
pub(super) struct Connected {
    pub(super) producer: Arc<BaseProducer<Context>>,
    /// Behind the producer, which its thread is the last to drop: one takes its time to end, many seconds when brokers are
    /// away, and the next need not wait for it.
    pub(super) bounded: Bounded,
}

impl Connected {
    /// Brokers that are away are no failure here: they are one where the id is taken over.
    pub(super) fn new(config: &KafkaConfig, id: &str, link: Link) -> Result<Self, Failure> {
        let mut client = config.producer("commit");
        client
            .set("transactional.id", id)
            .set("transaction.timeout.ms", config.transaction_timeout_ms.to_string())
            .set("socket.timeout.ms", config.transaction_timeout_ms.min(config.append_timeout_ms).to_string())
            .set("queue.buffering.max.messages", QUEUE_RECORDS_MAX.to_string())
            .set("linger.ms", "0")
            // The markers of the transaction before may still be under way when offsets are sent: at 50 ms an epoch
            // took 60 ms, at 2 ms it takes 10.
            .set("retry.backoff.ms", "2");
        let context = Context { link, error: Mutex::default() };
        let producer: BaseProducer<Context> =
            client.create_with_context(context).map_err(|error| Failure::Aborted(describe(&error)))?;
        let producer = Arc::new(producer);
        let bounded = Bounded::start(format!("kafka-offsets-{id}"), Arc::clone(&producer))
            .map_err(|error| Failure::Aborted(format!("no thread for the group's offsets: {error}")))?;
        producer.poll(Duration::ZERO); // Hands its token over, where there are tokens.
        // Without a connection librdkafka asks for the coordinator half a second later.
        let _ = producer.client().fetch_metadata(Some(&config.topic(Topic::State)), CONNECT_MAX);
        Ok(Self { producer, bounded })
    }

    /// Asks who leads each topic that a transaction may write to, so that the first one need not; of topic `state` it is known.
    pub(super) fn meet_leaders(&self, config: &KafkaConfig) {
        // Brokers that do not answer in time are not asked for the rest; a failure here is one of the transaction.
        let ask =
            |topic: Topic| self.producer.client().fetch_metadata(Some(&config.topic(topic)), CONNECT_MAX);
        let _ = outputs().try_for_each(|topic| ask(topic).map(drop));
    }

    /// Serves the producer's events while there is nothing to do.
    pub(super) fn idle(&self) {
        self.producer.poll(Duration::ZERO);
    }
}

impl Committer {
    /// Connects a producer for later: whoever has its id goes on until then.
    pub(super) fn connect(&self) {
        match self.new_connected() {
            Ok(connected) => {
                connected.meet_leaders(&self.config);
                *lock(&self.connected) = Some(connected);
            }
            Err(failure) => tracing::debug!(?failure, "a producer is not connected ahead"),
        }
    }

    /// The one that was connected ahead, or a new one.
    pub(super) fn connected(&self) -> Result<Connected, Failure> {
        let ahead = lock(&self.connected).take();
        ahead.map_or_else(|| self.new_connected(), Ok)
    }

    fn new_connected(&self) -> Result<Connected, Failure> {
        Connected::new(&self.config, &self.config.transactional_id(self.worker), self.link.clone())
    }
}

/// Keeps the first error of the transaction's records.
pub(super) struct Context {
    link: Link,
    pub(super) error: Mutex<Option<KafkaError>>,
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.link.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.link.error(error, reason);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.link.generate_oauth_token(config)
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            lock(&self.error).get_or_insert_with(|| error.clone());
        }
    }
}
