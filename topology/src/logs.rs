//! The log of an instance, and who owns its partitions: embedded or on Kafka.

use std::sync::Arc;
#[cfg(feature = "kafka")]
use std::time::Duration;

use leadline_connectors::contract::assignment::Assignment;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::Log;
use leadline_connectors::disk_folder::FolderDisk;
use leadline_connectors::log_embedded::{EmbeddedLog, EmbeddedLogConfig};
use ring::rand::{SecureRandom, SystemRandom};

use crate::config::{Config, LogKind};
use crate::spool::Spool;

/// How long a start waits for brokers that it can do without: settings of now are better than those that are kept.
#[cfg(feature = "kafka")]
const BROKERS_WAIT: Duration = Duration::from_secs(2);

/// An opened log.
pub struct OpenLog {
    /// The log.
    pub log: Arc<dyn Log>,
    /// The same without a spool before it: for what somebody waits for, who would rather hear that brokers are away.
    pub direct: Arc<dyn Log>,
    /// Whether the log is on other machines, which have to be asked.
    pub is_remote: bool,
    /// Whether it is used although nobody may have answered yet.
    pub may_be_away: bool,
    /// Who deals partitions out, where several processes work on it; else this one owns all.
    pub assignment: Option<Arc<dyn Assignment>>,
    /// Ends the embedded log's threads; nothing is written behind it.
    embedded: Option<Arc<EmbeddedLog>>,
    /// What events wait in while brokers are away.
    spool: Option<Spool>,
    /// Holds the data folder's lock.
    _disk: Arc<FolderDisk>,
}

impl OpenLog {
    /// Opens the configured log; takes the lock of the data folder.
    pub fn open(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<Self> {
        let disk = Arc::new(FolderDisk::open(&config.log_folder())?);
        match config.log_kind {
            LogKind::Embedded => Self::embedded(config, clock, disk),
            LogKind::Kafka => kafka(config, clock, disk),
        }
    }

    /// Writes what waits and ends.
    pub fn close(&self) {
        if let Some(embedded) = &self.embedded {
            embedded.close();
        }
        if let Some(spool) = &self.spool {
            spool.close();
        }
    }

    fn embedded(config: &Config, clock: &Arc<dyn Clock>, disk: Arc<FolderDisk>) -> anyhow::Result<Self> {
        let defaults = EmbeddedLogConfig::default();
        // Only the dataflow reads what has just been written.
        let tail_cache_bytes_max = if config.role.works() { defaults.tail_cache_bytes_max } else { 0 };
        let log_config = EmbeddedLogConfig {
            partitions: config.partitions,
            segment_bytes: config.segment_bytes,
            max_bytes: config.log_bytes_max,
            tail_cache_bytes_max,
            ..defaults
        };
        let log = EmbeddedLog::open(log_config, disk.clone(), Arc::clone(clock), incarnation)?;
        if log.cut_bytes() > 0 {
            tracing::info!(
                bytes = log.cut_bytes(),
                "a torn tail was cut off the log; nothing acknowledged was in it"
            );
        }
        let log = Arc::new(log);
        Ok(Self {
            log: log.clone(),
            direct: log.clone(),
            is_remote: false,
            may_be_away: false,
            assignment: None,
            embedded: Some(log),
            spool: None,
            _disk: disk,
        })
    }
}

#[cfg(feature = "kafka")]
fn kafka(config: &Config, clock: &Arc<dyn Clock>, disk: Arc<FolderDisk>) -> anyhow::Result<OpenLog> {
    use leadline_connectors::log_kafka::{KafkaAssignment, KafkaLog};
    use leadline_connectors::log_spool::LateLog;
    let mut spool = Spool::open(config, clock)?;
    let kept = spool.as_ref().and_then(|spool| spool.kept.partitions).filter(|_| !config.role.works());
    let (log, assignment): (Arc<dyn Log>, Option<Arc<dyn Assignment>>) = match kept {
        // Brokers need not be there: what they would be asked for is kept.
        Some(partitions) => {
            let config = config.clone();
            let open = move || {
                let wanted = kafka_config(&config);
                let log = KafkaLog::open(wanted.clone()).map_err(|error| error.to_string())?;
                framed(Arc::new(log), &config, &wanted).map_err(|error| error.to_string())
            };
            let late = LateLog::open(partitions, open)?;
            if !late.wait(BROKERS_WAIT) {
                tracing::warn!(
                    "no Kafka broker has answered yet: events are spooled, under the settings of before"
                );
            }
            (late, None)
        }
        None => {
            let wanted = kafka_config(config);
            let log = KafkaLog::open(wanted.clone())?;
            let assignment = KafkaAssignment::new(&log);
            (framed(Arc::new(log), config, &wanted)?, Some(Arc::new(assignment)))
        }
    };
    let before = match &mut spool {
        Some(spool) => spool.before(Arc::clone(&log), clock)?,
        None => Arc::clone(&log),
    };
    Ok(OpenLog {
        log: before,
        direct: log,
        is_remote: true,
        may_be_away: kept.is_some(),
        assignment,
        embedded: None,
        spool,
        _disk: disk,
    })
}

#[cfg(not(feature = "kafka"))]
fn kafka(_: &Config, _: &Arc<dyn Clock>, _: Arc<FolderDisk>) -> anyhow::Result<OpenLog> {
    anyhow::bail!("this leadline was built without Kafka: build it with --features kafka")
}

/// The log in the wire format of the schema registry, where there is one.
#[cfg(feature = "kafka")]
fn framed(
    log: Arc<dyn Log>,
    config: &Config,
    kafka: &leadline_connectors::log_kafka::KafkaConfig,
) -> anyhow::Result<Arc<dyn Log>> {
    use leadline_connectors::log_registry::{RegistryConfig, RegistryLog};
    let registry = config.schema_registry.clone();
    let Some(url) = registry.url else { return Ok(log) };
    let wanted = RegistryConfig { url, user: registry.user, password_file: registry.password_file };
    Ok(Arc::new(RegistryLog::open(log, wanted, |topic| kafka.topic(topic))?))
}

/// How the brokers are talked to.
#[cfg(feature = "kafka")]
pub fn kafka_config(config: &Config) -> leadline_connectors::log_kafka::KafkaConfig {
    use leadline_connectors::log_kafka::{Codec, KafkaConfig, Security};
    let kafka = &config.kafka;
    let mut wanted = KafkaConfig::new(&kafka.brokers, &kafka.group, &kafka.instance);
    wanted.workers = u16::try_from(config.workers).unwrap_or(u16::MAX);
    wanted.session_timeout_ms = kafka.session_timeout_ms;
    wanted.codec = match kafka.codec.as_str() {
        "none" => Codec::None,
        "zstd" => Codec::Zstd,
        _ => Codec::Lz4,
    };
    wanted.security =
        Security { keys: kafka.client.clone(), oauth_token_file: kafka.oauth_token_file.clone() };
    wanted
}

/// 64 random bits: a segment's incarnation.
pub(crate) fn incarnation() -> u64 {
    let mut bytes = [0; 8];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        // Without randomness the clock still never repeats within one log.
        bytes = leadline_connectors::clock_system::SystemClock.boot_ms().to_be_bytes();
    }
    u64::from_be_bytes(bytes)
}
