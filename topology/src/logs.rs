//! The logs of an instance, and who owns their partitions: embedded or on Kafka, one for each layout in use.

use std::sync::{Arc, Mutex};
#[cfg(feature = "kafka")]
use std::time::Duration;

use leadline_connectors::contract::assignment::Assignment;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::Log;
use leadline_connectors::disk_folder::FolderDisk;
use leadline_connectors::log_embedded::{EmbeddedLog, EmbeddedLogConfig};
use leadline_schemas::layout::{LayoutRecord, Shape};
#[cfg(feature = "kafka")]
use leadline_schemas::settings::SettingsRecord;
use ring::rand::{SecureRandom, SystemRandom};

use crate::config::{Config, LogKind};
use crate::engine::{Fence, lock};
use crate::spool::Spool;

/// How long a start waits for brokers that it can do without: settings of now are better than those that are kept.
#[cfg(feature = "kafka")]
const BROKERS_WAIT: Duration = Duration::from_secs(2);

/// The log of one layout.
#[derive(Clone)]
pub struct LogOf {
    /// The layout.
    pub generation: u32,
    /// The log.
    pub log: Arc<dyn Log>,
    /// Whether it is used although no broker may have answered yet.
    pub may_be_away: bool,
    /// Who deals partitions out, where several processes work on it; else this one owns all.
    pub assignment: Option<Arc<dyn Assignment>>,
}

impl LogOf {
    /// Lets go of all partitions.
    pub fn leave(&self) {
        if let Some(assignment) = &self.assignment {
            assignment.leave();
        }
    }
}

/// The logs of an instance: one, and while the layout changes two.
pub struct Logs {
    config: Config,
    /// Ends the embedded log's threads; nothing is written behind it.
    embedded: Option<Arc<EmbeddedLog>>,
    /// What events wait in while brokers are away.
    spool: Mutex<Option<Spool>>,
    opened: Mutex<Vec<LogOf>>,
    first_shape: Shape,
    /// Holds the data folder's lock.
    _disk: Arc<FolderDisk>,
}

impl Logs {
    /// Opens the log of a layout, the first where none was ever changed; takes the lock of the data folder.
    /// `spool` is what its events wait in, where it has one.
    pub fn open(
        config: &Config,
        clock: &Arc<dyn Clock>,
        layout: Option<&LayoutRecord>,
        spool: Option<Spool>,
    ) -> anyhow::Result<Self> {
        let generation = layout.map_or(1, |layout| layout.shape.generation);
        let disk = Arc::new(FolderDisk::open(&config.log_folder())?);
        let (log, embedded) = match config.log_kind {
            LogKind::Embedded => {
                let embedded = open_embedded(config, clock, Arc::clone(&disk))?;
                let log: Arc<dyn Log> = embedded.clone();
                (LogOf { generation, log, may_be_away: false, assignment: None }, Some(embedded))
            }
            LogKind::Kafka => {
                // Brokers need not be there: what they would be asked for is kept.
                let kept = spool.as_ref().and_then(|spool| spool.kept.partitions);
                let kept = kept.filter(|_| !config.role.works());
                let kept = kept.map(|kept| layout.map_or(kept, |layout| layout.shape.partitions));
                (open_kafka(config, generation, kept)?, None)
            }
        };
        let (first_shape, opened) = (Shape::first(log.log.partitions()), Mutex::new(vec![log]));
        let spool = Mutex::new(spool);
        Ok(Self { config: config.clone(), embedded, spool, opened, first_shape, _disk: disk })
    }

    /// Puts the spool before the way to the brokers, where there is one, and starts to forward what lies in it.
    pub fn spool_before(
        &self,
        way: Arc<dyn Log>,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Option<Arc<dyn Log>>> {
        let mut spool = lock(&self.spool);
        spool.as_mut().map(|spool| spool.before(way, clock)).transpose()
    }

    /// How many events wait in the spool.
    pub fn spooled(&self) -> u64 {
        lock(&self.spool).as_ref().map_or(0, Spool::waiting)
    }

    /// The log of a layout, opened when it is first asked for.
    pub fn of(&self, generation: u32) -> anyhow::Result<LogOf> {
        let mut opened = lock(&self.opened);
        if let Some(known) = opened.iter().find(|log| log.generation == generation) {
            return Ok(known.clone());
        }
        let log = match self.config.log_kind {
            LogKind::Embedded => anyhow::bail!("an embedded log has one layout, and {generation} is another"),
            LogKind::Kafka => open_kafka(&self.config, generation, None)?,
        };
        opened.push(log.clone());
        Ok(log)
    }

    /// Nobody asks for this layout again.
    pub fn forget(&self, generation: u32) {
        lock(&self.opened).retain(|log| log.generation != generation);
    }

    /// Whether other processes work on the same log: then its layout may change.
    pub fn are_shared(&self) -> bool {
        self.config.log_kind == LogKind::Kafka
    }

    /// The layout of a log of which no record was ever written.
    pub fn first_shape(&self) -> Shape {
        self.first_shape.clone()
    }

    /// The fence at the end of a layout.
    pub fn fence(&self, log: &LogOf, runtime: tokio::runtime::Handle) -> Arc<dyn Fence> {
        fence(&self.config, log, runtime)
    }

    /// Writes what waits and ends.
    pub fn close(&self) {
        if let Some(embedded) = &self.embedded {
            embedded.close();
        }
        if let Some(spool) = &*lock(&self.spool) {
            spool.close();
        }
    }
}

/// The layout of a cluster, read before any log is open; none where none was ever written. A process that may start
/// without brokers takes the one that it kept.
#[cfg(feature = "kafka")]
pub fn layout(config: &Config) -> anyhow::Result<Option<LayoutRecord>> {
    if config.log_kind == LogKind::Embedded {
        return Ok(None);
    }
    let copy = config.settings_copy();
    let may_be_away = config.kafka.spool && !config.role.works() && copy.exists();
    let settings = match all_settings(config) {
        Err(error) if may_be_away => {
            tracing::warn!(%error, "the layout of before is used");
            crate::settings::kept(&copy)?
        }
        other => other?,
    };
    Ok(settings.layout().map(|layout| (**layout).clone()))
}

/// All settings of a cluster, read before any log is open.
#[cfg(feature = "kafka")]
pub fn all_settings(config: &Config) -> anyhow::Result<leadline_schemas::settings::Settings> {
    use leadline_connectors::log_registry;
    let mut records = leadline_connectors::log_kafka::all_settings(&kafka_config(config))?;
    if let Some(registry) = registry_config(config) {
        log_registry::unframe(records.iter_mut().map(|(_, value)| value), registry)?;
    }
    let mut settings = leadline_schemas::settings::Settings::default();
    for (offset, record) in records {
        settings = settings.with_record(SettingsRecord::decode(&record)?, offset + 1);
    }
    Ok(settings)
}

/// An embedded log has one layout.
#[cfg(not(feature = "kafka"))]
pub fn layout(_: &Config) -> anyhow::Result<Option<LayoutRecord>> {
    Ok(None)
}

fn open_embedded(
    config: &Config,
    clock: &Arc<dyn Clock>,
    disk: Arc<FolderDisk>,
) -> anyhow::Result<Arc<EmbeddedLog>> {
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
    let log = EmbeddedLog::open(log_config, disk, Arc::clone(clock), incarnation)?;
    if log.cut_bytes() > 0 {
        tracing::info!(
            bytes = log.cut_bytes(),
            "a torn tail was cut off the log; nothing acknowledged was in it"
        );
    }
    Ok(Arc::new(log))
}

/// The log of a layout on Kafka, for who only reads it.
#[cfg(feature = "kafka")]
pub(crate) fn open_layout(config: &Config, generation: u32) -> anyhow::Result<Arc<dyn Log>> {
    Ok(open_kafka(config, generation, None)?.log)
}

/// The log of a layout on Kafka. `kept` is how many partitions it had, where brokers need not be there now.
#[cfg(feature = "kafka")]
fn open_kafka(config: &Config, generation: u32, kept: Option<u16>) -> anyhow::Result<LogOf> {
    use leadline_connectors::log_kafka::{KafkaAssignment, KafkaLog};
    use leadline_connectors::log_spool::LateLog;
    let wanted = kafka_config(config).of_generation(generation);
    let Some(partitions) = kept else {
        let log = KafkaLog::open(wanted.clone())?;
        let assignment = Arc::new(KafkaAssignment::new(&log));
        let log = framed(Arc::new(log), config, &wanted)?;
        return Ok(LogOf { generation, log, may_be_away: false, assignment: Some(assignment) });
    };
    let config = config.clone();
    let open = move || {
        let log = KafkaLog::open(wanted.clone()).map_err(|error| error.to_string())?;
        framed(Arc::new(log), &config, &wanted).map_err(|error| error.to_string())
    };
    let late = LateLog::open(partitions, open)?;
    if !late.wait(BROKERS_WAIT) {
        tracing::warn!("no Kafka broker has answered yet: events are spooled, under the settings of before");
    }
    Ok(LogOf { generation, log: late, may_be_away: true, assignment: None })
}

#[cfg(not(feature = "kafka"))]
fn open_kafka(_: &Config, _: u32, _: Option<u16>) -> anyhow::Result<LogOf> {
    anyhow::bail!("this leadline was built without Kafka: build it with --features kafka")
}

/// The log in the wire format of the schema registry, where there is one.
#[cfg(feature = "kafka")]
fn framed(
    log: Arc<dyn Log>,
    config: &Config,
    kafka: &leadline_connectors::log_kafka::KafkaConfig,
) -> anyhow::Result<Arc<dyn Log>> {
    use leadline_connectors::log_registry::RegistryLog;
    match registry_config(config) {
        Some(registry) => Ok(Arc::new(RegistryLog::open(log, registry, |topic| kafka.topic(topic))?)),
        None => Ok(log),
    }
}

#[cfg(feature = "kafka")]
fn registry_config(config: &Config) -> Option<leadline_connectors::log_registry::RegistryConfig> {
    let registry = config.schema_registry.clone();
    let (user, password_file) = (registry.user, registry.password_file);
    registry.url.map(|url| leadline_connectors::log_registry::RegistryConfig { url, user, password_file })
}

#[cfg(feature = "kafka")]
fn fence(config: &Config, log: &LogOf, runtime: tokio::runtime::Handle) -> Arc<dyn Fence> {
    let kafka = kafka_config(config).of_generation(log.generation);
    Arc::new(crate::layout::KafkaFence::new(Arc::clone(&log.log), kafka, runtime))
}

/// The end of an embedded log is its end.
#[cfg(not(feature = "kafka"))]
fn fence(_: &Config, log: &LogOf, _: tokio::runtime::Handle) -> Arc<dyn Fence> {
    use leadline_schemas::{Offset, Partition, Topic};
    struct End(Arc<dyn Log>);
    impl Fence for End {
        fn ends(&self, all: &[Partition]) -> Result<std::collections::BTreeMap<Partition, Offset>, String> {
            let end = |partition: &Partition| Ok((*partition, self.0.range(Topic::Inbound, *partition)?.1));
            let ends: Result<_, leadline_connectors::contract::log::ReadError> =
                all.iter().map(end).collect();
            ends.map_err(|error| error.to_string())
        }
    }
    Arc::new(End(Arc::clone(&log.log)))
}

/// Committers of a process, whose partitions they share, if it has fewer workers. A transaction is round trips for the most
/// part, on one connection: two beside each other take two thirds of the time of one with all partitions, and cost the
/// broker the same.
#[cfg(feature = "kafka")]
const COMMITTERS_MIN: usize = 2;

/// How the brokers are talked to.
#[cfg(feature = "kafka")]
pub fn kafka_config(config: &Config) -> leadline_connectors::log_kafka::KafkaConfig {
    use leadline_connectors::log_kafka::{Codec, KafkaConfig, Security};
    let kafka = &config.kafka;
    let mut wanted = KafkaConfig::new(&kafka.brokers, &kafka.group, &kafka.instance);
    wanted.workers = u16::try_from(config.workers.max(COMMITTERS_MIN)).unwrap_or(u16::MAX);
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
