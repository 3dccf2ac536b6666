//! Admin: what is asked of brokers about topics themselves: rdkafka's client for that, and one by token ([`by_token`]).

mod by_token;
mod connection;
mod wire;

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::types::RDKafkaRespErr;

use super::block_on;
use super::config::KafkaConfig;
use super::error::describe;
use super::link::Link;
use by_token::ByToken;
use wire::Answer;

/// The protocol's codes that are no refusal, or not the last word.
const TOPIC_EXISTS: i16 = 36;
const NOT_CONTROLLER: i16 = 41;

/// The settings of a topic, and whether somebody set them for this topic.
pub(super) type Present = BTreeMap<String, (String, bool)>;

/// A client. Its errors are one line each.
pub(super) struct Admin {
    way: Way,
    options: AdminOptions,
    patience: Duration,
}

enum Way {
    Client(AdminClient<Link>),
    ByToken(Box<ByToken>),
}

impl Admin {
    pub(super) fn open(config: &KafkaConfig, role: &str, link: Link) -> Result<Self, String> {
        let way = if config.is_by_token() {
            Way::ByToken(Box::new(ByToken::open(config, role, link)?))
        } else {
            let client = config.client(role).create_with_context(link);
            Way::Client(client.map_err(|error: KafkaError| error.to_string())?)
        };
        let patience = Duration::from_millis(config.fetch_timeout_ms);
        let options = AdminOptions::new().request_timeout(Some(patience)).operation_timeout(Some(patience));
        Ok(Self { way, options, patience })
    }

    /// Of one topic, or of all.
    pub(super) fn metadata(&self, topic: Option<&str>) -> Result<Metadata, String> {
        match &self.way {
            Way::Client(client) => {
                client.inner().fetch_metadata(topic, self.patience).map_err(|error| describe(&error))
            }
            Way::ByToken(client) => client.metadata(topic),
        }
    }

    pub(super) fn present(&self, topic: &str) -> Result<Present, String> {
        let client = match &self.way {
            Way::Client(client) => client,
            Way::ByToken(client) => return client.present(topic),
        };
        let described = block_on(client.describe_configs(&[ResourceSpecifier::Topic(topic)], &self.options));
        let mut described = described.map_err(|error| describe(&error))?;
        let resource = described.pop().ok_or("no settings were told")?.map_err(|code| code.to_string())?;
        let entry = |entry: rdkafka::admin::ConfigEntry| {
            let own = entry.source == ConfigSource::DynamicTopic;
            (entry.name, (entry.value.unwrap_or_default(), own))
        };
        Ok(resource.entries.into_iter().map(entry).collect())
    }

    /// Makes a topic; one that is there is left as it is.
    pub(super) fn create(
        &self,
        topic: &str,
        partitions: i32,
        replication: u16,
        settings: &[(&'static str, String)],
    ) -> Result<(), String> {
        let client = match &self.way {
            Way::Client(client) => client,
            Way::ByToken(client) => {
                let replication = i16::try_from(replication).unwrap_or(i16::MAX);
                return client.create(topic, partitions, replication, settings);
            }
        };
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(i32::from(replication)));
        let new = settings.iter().fold(new, |new, (name, value)| new.set(name, value));
        let created = block_on(client.create_topics(&[new], &self.options));
        for result in created.map_err(|error| describe(&error))? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(code.to_string()),
            }
        }
        Ok(())
    }

    /// Sets these; what else is set stays.
    pub(super) fn set(&self, topic: &str, settings: &BTreeMap<&str, &str>) -> Result<(), String> {
        let client = match &self.way {
            Way::Client(client) => client,
            Way::ByToken(client) => return client.set(topic, settings),
        };
        // This request replaces everything that was set for a topic, so what others have set is said again.
        let own = self.present(topic)?.into_iter().filter(|(_, (_, own))| *own);
        let mut all: BTreeMap<String, String> = own.map(|(name, (value, _))| (name, value)).collect();
        all.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let change = AlterConfig::new(ResourceSpecifier::Topic(topic));
        let change = all.iter().fold(change, |change, (name, value)| change.set(name, value));
        let altered = block_on(client.alter_configs(&[change], &self.options));
        altered
            .map_err(|error| describe(&error))?
            .into_iter()
            .try_for_each(|result| result.map(|_| ()).map_err(|(_, code)| code.to_string()))
    }

    /// Deletes the records of a partition below an offset.
    pub(super) fn delete_below(&self, topic: &str, partition: i32, offset: i64) -> Result<(), String> {
        let client = match &self.way {
            Way::Client(client) => client,
            Way::ByToken(client) => return client.delete_below(topic, partition, offset),
        };
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, rdkafka::Offset::Offset(offset))
            .map_err(|error| describe(&error))?;
        let deleted = block_on(client.delete_records(&list, &self.options));
        match deleted.map_err(|error| describe(&error))?.find_partition(topic, partition) {
            Some(element) => element.error().map_err(|error| describe(&error)),
            None => Err("the broker did not say whether it deleted".to_owned()),
        }
    }
}

/// What a code of the protocol says; nothing for success.
fn words(code: i16) -> Result<(), String> {
    match RDKafkaRespErr::try_from(i32::from(code)).map(RDKafkaErrorCode::from) {
        Ok(RDKafkaErrorCode::NoError) => Ok(()),
        Ok(known) => Err(known.to_string()),
        Err(_) => Err(format!("error {code}")),
    }
}

/// What an answer says next: a code, and perhaps why in the broker's own words.
fn verdict(answer: &mut Answer) -> Result<(), String> {
    let (code, why) = (answer.i16()?, answer.text()?);
    words(code).map_err(|error| why.unwrap_or(error))
}
