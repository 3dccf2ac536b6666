//! Append: records that wait for their brokers, and how they are answered.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use leadline_schemas::{Offset, Topic};
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use tokio::sync::oneshot;

use super::config::KafkaConfig;
use super::error::describe;
use super::link::Link;
use super::lock;
use crate::contract::BoxFuture;
use crate::contract::log::{Append, AppendError, RECORD_BYTES_MAX};

type Answer = Result<Vec<Offset>, AppendError>;

/// What a record takes of the queue beside its key and value.
const RECORD_OVERHEAD_BYTES: usize = 256;
/// librdkafka's own bound on records; ours is in bytes, and `RECORD_OVERHEAD_BYTES` makes sure that it comes first.
const QUEUE_RECORDS_MAX: usize = 2_000_000;

/// The idempotent producer of appends.
pub(super) struct Appender {
    producer: ThreadedProducer<Deliveries>,
    config: Arc<KafkaConfig>,
    partitions: u16,
    queued_bytes: Arc<AtomicUsize>,
}

impl Appender {
    pub(super) fn open(config: &Arc<KafkaConfig>, partitions: u16, link: Link) -> Result<Self, KafkaError> {
        let mut client = config.producer("append");
        client
            .set("message.timeout.ms", config.append_timeout_ms.to_string())
            .set("queue.buffering.max.kbytes", (config.queue_bytes_max / 1_024 * 2).max(1_024).to_string())
            .set("queue.buffering.max.messages", QUEUE_RECORDS_MAX.to_string());
        Ok(Self {
            producer: client.create_with_context(Deliveries(link))?,
            config: Arc::clone(config),
            partitions,
            queued_bytes: Arc::default(),
        })
    }

    pub(super) fn queued_bytes(&self) -> usize {
        self.queued_bytes.load(Ordering::SeqCst)
    }

    /// Waits for what is under way, so that the next process of this name does not see it arrive.
    pub(super) fn finish(&self) {
        let patience = Duration::from_millis(self.config.append_timeout_ms);
        if let Err(error) = self.producer.flush(patience) {
            tracing::warn!(error = describe(&error), "appends were given up");
        }
    }

    pub(super) fn append(&self, records: &[Append]) -> BoxFuture<'static, Answer> {
        let bytes = records.iter().map(size).fold(0, usize::saturating_add);
        let refused = self.refusal(records).or_else(|| self.reserve(bytes));
        if let Some(refused) = refused {
            return Box::pin(std::future::ready(Err(refused)));
        }
        if records.is_empty() {
            return Box::pin(std::future::ready(Ok(Vec::new())));
        }
        let (call, answered) = Call::new(records.len(), bytes, Arc::clone(&self.queued_bytes));
        let mut refused = None;
        for (index, record) in records.iter().enumerate() {
            let slot = Box::new(Slot { call: Arc::clone(&call), index });
            // After one that was not taken none may follow: order counts.
            refused = refused.or_else(|| self.send(record, slot).err());
            if let Some(error) = &refused {
                call.answer(index, Err(error.clone()));
            }
        }
        Box::pin(async move {
            answered.await.unwrap_or_else(|_| Err(AppendError::Failed("the log is closed".to_owned())))
        })
    }

    fn send(&self, record: &Append, slot: Box<Slot>) -> Result<(), AppendError> {
        let topic = self.config.topic(record.topic);
        let message = BaseRecord::with_opaque_to(&topic, slot)
            .partition(i32::from(record.partition.0))
            .key(&record.key[..])
            .payload(&record.value[..]);
        self.producer.send(message).map_err(|(error, _)| refusal_of(&error))
    }

    /// Why these records cannot even wait.
    fn refusal(&self, records: &[Append]) -> Option<AppendError> {
        if let Some((_, why)) = self.producer.client().fatal_error() {
            return Some(AppendError::Failed(why));
        }
        for record in records {
            let (topic, partition, bytes) = (record.topic, record.partition, record.value.len());
            let there = match topic {
                Topic::Inbound | Topic::Replies => partition.0 < self.partitions,
                Topic::Settings => partition.0 == 0,
                _ => false,
            };
            if bytes > RECORD_BYTES_MAX {
                return Some(AppendError::TooLarge { bytes });
            }
            if !there {
                return Some(AppendError::Failed(format!("nothing can be appended to {topic}/{partition}")));
            }
        }
        None
    }

    /// Takes room in the queue, or says that there is none.
    fn reserve(&self, bytes: usize) -> Option<AppendError> {
        let queue_bytes_max = self.config.queue_bytes_max;
        let room = |queued: usize| {
            let queued = queued.saturating_add(bytes);
            (queued <= queue_bytes_max).then_some(queued)
        };
        let taken = self.queued_bytes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, room);
        taken.err().map(|_| AppendError::Busy { queue_bytes_max })
    }
}

fn size(record: &Append) -> usize {
    record.value.len().saturating_add(record.key.len()).saturating_add(RECORD_OVERHEAD_BYTES)
}

/// One call of `append`, until its last record is answered.
struct Call {
    bytes: usize,
    queued_bytes: Arc<AtomicUsize>,
    waiting: Mutex<Waiting>,
}

struct Waiting {
    left: usize,
    offsets: Vec<Offset>,
    error: Option<AppendError>,
    done: Option<oneshot::Sender<Answer>>,
}

impl Call {
    fn new(
        count: usize,
        bytes: usize,
        queued_bytes: Arc<AtomicUsize>,
    ) -> (Arc<Self>, oneshot::Receiver<Answer>) {
        let (done, answered) = oneshot::channel();
        let waiting = Mutex::new(Waiting {
            left: count,
            offsets: vec![Offset(0); count],
            error: None,
            done: Some(done),
        });
        (Arc::new(Self { bytes, queued_bytes, waiting }), answered)
    }

    fn answer(&self, index: usize, answer: Result<Offset, AppendError>) {
        let mut waiting = lock(&self.waiting);
        match answer {
            Ok(offset) => {
                if let Some(slot) = waiting.offsets.get_mut(index) {
                    *slot = offset;
                }
            }
            Err(error) => waiting.error = Some(worse(waiting.error.take(), error)),
        }
        waiting.left = waiting.left.saturating_sub(1);
        if waiting.left > 0 {
            return;
        }
        self.queued_bytes.fetch_sub(self.bytes, Ordering::SeqCst);
        let answer = waiting.error.take().map_or_else(|| Ok(std::mem::take(&mut waiting.offsets)), Err);
        if let Some(done) = waiting.done.take() {
            let _ = done.send(answer); // Whoever asked may have gone.
        }
    }
}

/// A call whose records failed in different ways fails in the way that needs a person.
fn worse(one: Option<AppendError>, other: AppendError) -> AppendError {
    match one {
        Some(failed @ AppendError::Failed(_)) => failed,
        _ => other,
    }
}

/// One record's place in its call.
pub(super) struct Slot {
    call: Arc<Call>,
    index: usize,
}

/// Takes the brokers' answers.
struct Deliveries(Link);

impl ClientContext for Deliveries {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.0.health.fail(reason.to_owned());
        }
        self.0.error(error, reason);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.0.generate_oauth_token(config)
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Slot>;

    fn delivery(&self, result: &DeliveryResult<'_>, slot: Box<Slot>) {
        let answer = match result {
            Ok(message) => {
                self.0.health.back();
                Ok(Offset(u64::try_from(message.offset()).unwrap_or(0)))
            }
            Err((error, _)) => {
                let error = refusal_of(error);
                if let AppendError::Unavailable(why) = &error {
                    self.0.health.away(why);
                }
                Err(error)
            }
        };
        slot.call.answer(slot.index, answer);
    }
}

/// What a producer's error means to whoever appends.
fn refusal_of(error: &KafkaError) -> AppendError {
    use RDKafkaErrorCode as Code;
    let why = describe(error);
    match error.rdkafka_error_code() {
        Some(Code::MessageSizeTooLarge | Code::InvalidRecord) => {
            AppendError::Refused(format!("{why}: run `leadline topics apply`, which sets the topic's limits"))
        }
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => {
            AppendError::Failed(format!("{why}: run `leadline topics apply`, which makes the topics"))
        }
        Some(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed | Code::Fatal) => {
            AppendError::Failed(why)
        }
        Some(Code::PurgeQueue | Code::PurgeInflight) => AppendError::Failed("the log is closed".to_owned()),
        _ => AppendError::Unavailable(why),
    }
}
