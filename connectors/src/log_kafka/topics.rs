//! Topics: what they should be on the brokers, how that differs from what they are, and making them so.
//!
//! Partitions never change in place: which of them a tenant's records lie in depends on their number (a layout has its
//! own generation and topics).

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use leadline_schemas::Topic;
use rdkafka::metadata::{Metadata, MetadataTopic};

use super::admin::Admin;
use super::config::{BATCH_BYTES_MAX, KafkaConfig};
use super::link::Link;
use super::{KafkaLogError, METADATA_PAUSE};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// From how many replicas on an append waits for two of them.
const REPLICAS_FOR_TWO: u16 = 3;

/// What should be done, or was done, to one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// It is not there.
    Create {
        /// Its name on the brokers.
        topic: String,
        /// How many partitions it gets.
        partitions: usize,
        /// How many brokers keep it.
        replication: u16,
        /// Its settings.
        settings: Vec<(&'static str, String)>,
    },
    /// A setting differs.
    Set {
        /// Its name on the brokers.
        topic: String,
        /// The setting's name on the brokers.
        setting: &'static str,
        /// What it is.
        from: String,
        /// What it should be.
        to: String,
    },
    /// It has another number of partitions: refused.
    Partitions {
        /// Its name on the brokers.
        topic: String,
        /// How many it has.
        found: usize,
        /// How many it should have.
        expected: usize,
    },
    /// It is as it should be.
    Same {
        /// Its name on the brokers.
        topic: String,
    },
}

impl Line {
    /// Whether nothing can be done about it.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Partitions { .. })
    }

    /// Whether there is anything to do.
    pub fn is_change(&self) -> bool {
        matches!(self, Self::Create { .. } | Self::Set { .. })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { topic, partitions, replication, settings } => {
                write!(f, "+ {topic}: {partitions} partitions, replication {replication}")?;
                settings.iter().try_for_each(|(name, value)| write!(f, ", {name}={value}"))
            }
            Self::Set { topic, setting, from, to } => write!(f, "~ {topic}: {setting} {from} -> {to}"),
            Self::Partitions { topic, found, expected } => write!(
                f,
                "! {topic}: has {found} partitions, not {expected}: refused, they never change in place"
            ),
            Self::Same { topic } => write!(f, "= {topic}"),
        }
    }
}

/// What would be done: one line or more for each topic.
pub fn plan(config: &KafkaConfig, partitions: u16, replication: u16) -> Result<Vec<Line>, KafkaLogError> {
    Desk::open(config)?.plan(partitions, replication)
}

/// Does it, and says what was done. Does nothing if anything is refused; done twice it changes nothing.
pub fn apply(config: &KafkaConfig, partitions: u16, replication: u16) -> Result<Vec<Line>, KafkaLogError> {
    let desk = Desk::open(config)?;
    let lines = desk.plan(partitions, replication)?;
    for line in &lines {
        if let Line::Partitions { topic, found, expected } = line {
            let (topic, found, expected) = (topic.clone(), *found, *expected);
            return Err(KafkaLogError::Partitions { topic, found, expected });
        }
    }
    for line in &lines {
        if let Line::Create { topic, partitions, replication, settings } = line {
            desk.create(topic, *partitions, *replication, settings)?;
        }
    }
    desk.set(&lines)?;
    desk.wait_for(&lines)?;
    Ok(lines)
}

/// Has `inbound` refuse every record from now on: the sources of its layout have gone on to the next. Each broker
/// hears of it by itself, so whoever must be sure appends a record to each partition until it is refused. Done twice
/// it changes nothing.
pub fn close(config: &KafkaConfig) -> Result<(), KafkaLogError> {
    let (topic, setting) = (config.topic(Topic::Inbound), "max.message.bytes");
    Desk::open(config)?.set(&[Line::Set { topic, setting, from: String::new(), to: "0".to_owned() }])
}

/// What a topic should be set to.
fn settings(topic: Topic, replication: u16) -> Vec<(&'static str, String)> {
    let (policy, kept_ms) = match topic {
        Topic::Inbound => ("delete", Some(30 * DAY_MS)),
        Topic::Replies => ("delete", Some(7 * DAY_MS)),
        Topic::DeadLetters => ("delete", Some(90 * DAY_MS)),
        // Frames go when a snapshot no longer needs them.
        Topic::State => ("delete", None),
        _ => ("compact", None),
    };
    let mut settings = vec![
        ("cleanup.policy", policy.to_owned()),
        ("max.message.bytes", BATCH_BYTES_MAX.to_string()),
        ("min.insync.replicas", if replication >= REPLICAS_FOR_TWO { "2" } else { "1" }.to_owned()),
    ];
    if policy == "delete" {
        settings.push(("retention.ms", kept_ms.map_or_else(|| "-1".to_owned(), |ms| ms.to_string())));
        settings.push(("retention.bytes", "-1".to_owned()));
    }
    settings
}

/// One client and how long it waits.
struct Desk<'c> {
    config: &'c KafkaConfig,
    admin: Admin,
    patience: Duration,
}

impl<'c> Desk<'c> {
    fn open(config: &'c KafkaConfig) -> Result<Self, KafkaLogError> {
        if let Some(fault) = config.fault() {
            return Err(KafkaLogError::Config(fault));
        }
        let admin = Admin::open(config, "topics", Link::alone(config)).map_err(KafkaLogError::Config)?;
        Ok(Self { config, admin, patience: Duration::from_millis(config.fetch_timeout_ms) })
    }

    fn unavailable(&self, why: impl Into<String>) -> KafkaLogError {
        KafkaLogError::Unavailable { brokers: self.config.brokers.clone(), why: why.into() }
    }

    fn refused(&self, topic: &str, why: &str) -> KafkaLogError {
        self.unavailable(format!("topic {topic}: {why}"))
    }

    fn metadata(&self, topic: Option<&str>) -> Result<Metadata, KafkaLogError> {
        self.admin.metadata(topic).map_err(|why| self.unavailable(why))
    }

    fn plan(&self, partitions: u16, replication: u16) -> Result<Vec<Line>, KafkaLogError> {
        if partitions == 0 || replication == 0 {
            return Err(KafkaLogError::Config(
                "a topic has at least one partition and one replica".to_owned(),
            ));
        }
        let metadata = self.metadata(None)?;
        let found: BTreeMap<&str, usize> =
            metadata.topics().iter().map(|topic| (topic.name(), topic.partitions().len())).collect();
        let mut lines = Vec::new();
        for topic in Topic::ALL {
            let (name, wanted) = (self.config.topic(topic), settings(topic, replication));
            let expected = if topic == Topic::Settings { 1 } else { usize::from(partitions) };
            match found.get(name.as_str()).copied() {
                None => lines.push(Line::Create {
                    topic: name,
                    partitions: expected,
                    replication,
                    settings: wanted,
                }),
                Some(found) if found != expected => {
                    lines.push(Line::Partitions { topic: name, found, expected });
                }
                Some(_) => lines.extend(self.differences(name, wanted)?),
            }
        }
        Ok(lines)
    }

    fn differences(
        &self,
        topic: String,
        wanted: Vec<(&'static str, String)>,
    ) -> Result<Vec<Line>, KafkaLogError> {
        let present = self.admin.present(&topic).map_err(|why| self.refused(&topic, &why))?;
        let differs = |(setting, to): (&'static str, String)| {
            let (from, _) = present.get(setting).cloned().unwrap_or_default();
            (from != to).then(|| Line::Set { topic: topic.clone(), setting, from, to })
        };
        let lines: Vec<Line> = wanted.into_iter().filter_map(differs).collect();
        Ok(if lines.is_empty() { vec![Line::Same { topic }] } else { lines })
    }

    fn create(
        &self,
        topic: &str,
        partitions: usize,
        replication: u16,
        settings: &[(&'static str, String)],
    ) -> Result<(), KafkaLogError> {
        let count = i32::try_from(partitions).unwrap_or(i32::MAX);
        self.admin.create(topic, count, replication, settings).map_err(|why| self.refused(topic, &why))
    }

    /// Waits until brokers tell everybody of what was created, and somebody leads it: for each topic anew, for they are
    /// made one after the other.
    fn wait_for(&self, lines: &[Line]) -> Result<(), KafkaLogError> {
        for line in lines {
            let Line::Create { topic, partitions, .. } = line else { continue };
            let deadline = Instant::now() + self.patience;
            loop {
                let asked = self.metadata(Some(topic))?;
                let led = |found: &MetadataTopic| {
                    found.partitions().iter().filter(|partition| partition.leader() >= 0).count()
                };
                let found = asked.topics().iter().find(|found| found.name() == topic).map_or(0, led);
                if found == *partitions {
                    break;
                }
                if Instant::now() >= deadline {
                    return Err(self.unavailable(format!("topic {topic} was created and is not there yet")));
                }
                std::thread::sleep(METADATA_PAUSE);
            }
        }
        Ok(())
    }

    /// Sets what differs.
    fn set(&self, lines: &[Line]) -> Result<(), KafkaLogError> {
        let mut changes: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
        for line in lines {
            let Line::Set { topic, setting, to, .. } = line else { continue };
            changes.entry(topic).or_default().insert(setting, to);
        }
        for (topic, settings) in &changes {
            self.admin.set(topic, settings).map_err(|why| self.refused(topic, &why))?;
        }
        Ok(())
    }
}
