//! Config: where the brokers are, what things are called there, and every bound.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use leadline_schemas::Topic;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::contract::log::RECORD_BYTES_MAX;

/// The largest batch that a topic takes: a record of [`RECORD_BYTES_MAX`], its key and headers, not compressed.
pub(super) const BATCH_BYTES_MAX: usize = RECORD_BYTES_MAX + (1 << 20);

/// How commits and appends are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Codec {
    /// Not at all.
    None,
    /// Little CPU, half the size for JSON and Avro.
    #[default]
    Lz4,
    /// Smaller, for a network that costs money.
    Zstd,
}

impl Codec {
    const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// How brokers are talked to: any of librdkafka's keys that start with `security.`, `ssl.` or `sasl.`
/// (<https://github.com/confluentinc/librdkafka/blob/v2.12.1/CONFIGURATION.md>), such as `security.protocol = SASL_SSL`,
/// `ssl.ca.location`, `sasl.mechanism = PLAIN | SCRAM-SHA-256 | SCRAM-SHA-512 | OAUTHBEARER`, `sasl.username`,
/// `sasl.password`. Printed without its values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Security {
    /// The keys and their values.
    pub keys: BTreeMap<String, String>,
    /// For OAUTHBEARER: a file with the token (a JWT), read again whenever a new one is needed; whoever issues tokens
    /// keeps it fresh.
    pub oauth_token_file: Option<PathBuf>,
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Security")
            .field("keys", &self.keys.keys().collect::<Vec<_>>())
            .field("oauth_token_file", &self.oauth_token_file)
            .finish()
    }
}

/// A log on Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaConfig {
    /// Where to ask for the cluster: `host:port,host:port`.
    pub brokers: String,
    /// Names the transactional ids: `pipeline/instance/worker`.
    pub pipeline: String,
    /// In front of each topic's name.
    pub topic_prefix: String,
    /// The layout: each has topics, a group and transactional ids of its own; only `settings` is of all. 1 = the first.
    pub generation: u32,
    /// The consumer group. Its committed offsets carry the commit numbers.
    pub group_id: String,
    /// Who this process is, the same after a restart: whoever starts under the same id fences the one before.
    pub instance_id: String,
    /// Whether the group knows the process by its instance id: then a restart within the session time-out moves no
    /// partition; but a process that ends for good keeps its partitions until that time-out.
    pub static_membership: bool,
    /// Committers, each with a transaction of its own; partition p belongs to committer p % workers.
    pub workers: u16,
    /// TLS and SASL.
    pub security: Security,
    /// Compression.
    pub codec: Codec,
    /// After how long an append that no broker took is answered `Unavailable`, in milliseconds.
    pub append_timeout_ms: u64,
    /// After how long the broker aborts the transaction of a process that went silent, in milliseconds; its partitions
    /// wait that long, so it is short.
    pub transaction_timeout_ms: u64,
    /// After how long the group gives the partitions of a process that went silent to others, in milliseconds.
    pub session_timeout_ms: u64,
    /// How long `range` and `fetch` wait for an answer, in milliseconds.
    pub fetch_timeout_ms: u64,
    /// How long `revoked` may take, in milliseconds.
    pub patience_ms: u64,
    /// How many bytes of appends wait for a broker before `Busy`.
    pub queue_bytes_max: usize,
    /// How many bytes of a topic and partition are read ahead.
    pub buffer_bytes_max: usize,
    /// How often it is looked for brokers that are away, in milliseconds.
    pub probe_ms: u64,
    /// How often what lies below a floor is deleted, in milliseconds.
    pub upkeep_ms: u64,
}

impl KafkaConfig {
    /// The usual bounds.
    pub fn new(brokers: &str, pipeline: &str, instance: &str) -> Self {
        Self {
            brokers: brokers.to_owned(),
            pipeline: pipeline.to_owned(),
            topic_prefix: format!("{pipeline}."),
            generation: 1,
            group_id: pipeline.to_owned(),
            instance_id: instance.to_owned(),
            static_membership: true,
            workers: 1,
            security: Security::default(),
            codec: Codec::default(),
            append_timeout_ms: 5_000,
            transaction_timeout_ms: 10_000,
            session_timeout_ms: 10_000,
            fetch_timeout_ms: 10_000,
            patience_ms: 5_000,
            queue_bytes_max: 64 << 20,
            buffer_bytes_max: 4 << 20,
            probe_ms: 2_000,
            upkeep_ms: 30_000,
        }
    }

    /// What a topic is called on the brokers.
    pub fn topic(&self, topic: Topic) -> String {
        match self.generation {
            generation if generation > 1 && topic != Topic::Settings => {
                format!("{}g{generation}.{topic}", self.topic_prefix)
            }
            _ => format!("{}{topic}", self.topic_prefix),
        }
    }

    /// The same for another layout.
    #[must_use]
    pub fn of_generation(&self, generation: u32) -> Self {
        let (is_first, mut config) = (generation == 1, self.clone());
        let named = |name: &str| if is_first { name.to_owned() } else { format!("{name}.g{generation}") };
        config.generation = generation;
        config.group_id = named(&self.group_id);
        config.pipeline = named(&self.pipeline);
        config
    }

    /// The transactional id of a committer. Whoever takes it over fences the one who had it.
    pub fn transactional_id(&self, worker: u16) -> String {
        format!("{}/{}/{worker}", self.pipeline, self.instance_id)
    }

    /// What a client of this process calls itself.
    pub(super) fn client_id(&self, role: &str) -> String {
        format!("leadline-{}-{role}", self.instance_id)
    }

    /// What all clients have in common.
    pub(super) fn client(&self, role: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set_log_level(RDKafkaLogLevel::Warning)
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", self.client_id(role))
            // A broker that hangs is noticed within the time that an append waits.
            .set("socket.timeout.ms", self.append_timeout_ms.max(1_000).to_string())
            .set("socket.keepalive.enable", "true")
            .set("socket.nagle.disable", "true")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("topic.metadata.refresh.fast.interval.ms", "50");
        for (key, value) in &self.security.keys {
            config.set(key, value);
        }
        config
    }

    /// A consumer that commits nothing by itself and sees only what is committed.
    pub(super) fn consumer(&self, role: &str) -> ClientConfig {
        let mut config = self.client(role);
        config
            .set("group.id", &self.group_id)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "error")
            // One request is under way to each broker, so a reader that moves or goes on waits that long.
            .set("fetch.wait.max.ms", "50")
            .set("fetch.error.backoff.ms", "50")
            .set("fetch.queue.backoff.ms", "20")
            .set("queued.max.messages.kbytes", "16384");
        config
    }

    /// A member of the group, which is dealt partitions and fetches nothing to speak of.
    pub(super) fn member(&self, role: &str) -> ClientConfig {
        let mut config = self.consumer(role);
        config
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", self.session_timeout_ms.to_string())
            .set("auto.offset.reset", "latest")
            .set("queued.max.messages.kbytes", "64");
        config
    }

    /// A producer: no record is written twice or out of order by its retries.
    pub(super) fn producer(&self, role: &str) -> ClientConfig {
        let mut config = self.client(role);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.codec", self.codec.name())
            .set("message.max.bytes", BATCH_BYTES_MAX.to_string())
            .set("retry.backoff.ms", "50")
            .set("linger.ms", "1");
        config
    }

    /// Whether brokers want a token: then rdkafka's admin client cannot be used.
    pub(super) fn is_by_token(&self) -> bool {
        let mechanism =
            ["sasl.mechanism", "sasl.mechanisms"].iter().find_map(|key| self.security.keys.get(*key));
        mechanism.is_some_and(|mechanism| mechanism.eq_ignore_ascii_case("OAUTHBEARER"))
    }

    /// The first thing that is wrong with it.
    pub(super) fn fault(&self) -> Option<String> {
        let foreign = |key: &&String| !["security.", "ssl.", "sasl."].iter().any(|own| key.starts_with(own));
        if let Some(key) = self.security.keys.keys().find(foreign) {
            return Some(format!("security key {key:?} does not start with security., ssl. or sasl."));
        }
        let empty = [
            ("brokers", &self.brokers),
            ("pipeline", &self.pipeline),
            ("group_id", &self.group_id),
            ("instance_id", &self.instance_id),
        ];
        if let Some((name, _)) = empty.iter().find(|(_, value)| value.is_empty()) {
            return Some(format!("{name} is empty"));
        }
        (self.workers == 0).then(|| "workers is 0: a commit needs at least one".to_owned())
    }
}
