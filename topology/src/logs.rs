//! The log of an instance, and who owns its partitions: embedded or on Kafka.

use std::sync::Arc;

use leadline_connectors::contract::assignment::Assignment;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::Log;
use leadline_connectors::disk_folder::FolderDisk;
use leadline_connectors::log_embedded::{EmbeddedLog, EmbeddedLogConfig};
use ring::rand::{SecureRandom, SystemRandom};

use crate::config::{Config, LogKind};

/// An opened log.
pub struct OpenLog {
    /// The log.
    pub log: Arc<dyn Log>,
    /// Who deals partitions out, where several processes work on it; else this one owns all.
    pub assignment: Option<Arc<dyn Assignment>>,
    /// Ends the embedded log's threads; nothing is written behind it.
    embedded: Option<Arc<EmbeddedLog>>,
    /// Holds the data folder's lock.
    _disk: Arc<FolderDisk>,
}

impl OpenLog {
    /// Opens the configured log; takes the lock of the data folder.
    pub fn open(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<Self> {
        let disk = Arc::new(FolderDisk::open(&config.log_folder())?);
        match config.log_kind {
            LogKind::Embedded => Self::embedded(config, clock, disk),
            LogKind::Kafka => kafka(config, disk),
        }
    }

    /// Writes what waits and ends.
    pub fn close(&self) {
        if let Some(embedded) = &self.embedded {
            embedded.close();
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
        Ok(Self { log: log.clone(), assignment: None, embedded: Some(log), _disk: disk })
    }
}

#[cfg(feature = "kafka")]
fn kafka(config: &Config, disk: Arc<FolderDisk>) -> anyhow::Result<OpenLog> {
    use leadline_connectors::log_kafka::{KafkaAssignment, KafkaLog};
    let log = KafkaLog::open(kafka_config(config))?;
    let assignment = Arc::new(KafkaAssignment::new(&log));
    Ok(OpenLog { log: Arc::new(log), assignment: Some(assignment), embedded: None, _disk: disk })
}

#[cfg(not(feature = "kafka"))]
fn kafka(_: &Config, _: Arc<FolderDisk>) -> anyhow::Result<OpenLog> {
    anyhow::bail!("this leadline was built without Kafka: build it with --features kafka")
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
fn incarnation() -> u64 {
    let mut bytes = [0; 8];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        // Without randomness the clock still never repeats within one log.
        bytes = leadline_connectors::clock_system::SystemClock.boot_ms().to_be_bytes();
    }
    u64::from_be_bytes(bytes)
}
