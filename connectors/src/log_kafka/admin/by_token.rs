//! By token: the admin client where brokers want OAUTHBEARER.
//!
//! rdkafka's own asks for no token: librdkafka wants one from whoever polls its main queue, and of that client nobody does. So
//! brokers are asked directly here, by the same token and the same keys; who they are, a consumer says.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::metadata::Metadata;

use super::super::config::KafkaConfig;
use super::super::error::describe;
use super::super::link::Link;
use super::connection::{Connection, Door};
use super::wire::Api;
use super::{NOT_CONTROLLER, Present, TOPIC_EXISTS, verdict, words};

/// What a topic is among the resources that have settings.
const TOPIC: i8 = 2;
/// Where a setting comes from: somebody set it for this topic.
const OF_TOPIC: i8 = 1;
/// What is done to a setting.
const SET: i8 = 0;

pub(super) struct ByToken {
    link: Link,
    /// Says who the brokers are.
    asked: BaseConsumer<Link>,
    door: Door,
    client_id: String,
    patience: Duration,
}

impl ByToken {
    pub(super) fn open(config: &KafkaConfig, role: &str, link: Link) -> Result<Self, String> {
        let patience = Duration::from_millis(config.fetch_timeout_ms);
        let door = Door::new(&config.security, patience)?;
        let asked = link.clone().asks(&config.client(role)).map_err(|error| error.to_string())?;
        Ok(Self { link, asked, door, client_id: config.client_id(role), patience })
    }

    pub(super) fn metadata(&self, topic: Option<&str>) -> Result<Metadata, String> {
        self.asked.fetch_metadata(topic, self.patience).map_err(|error| {
            // What the connections have to say has not been heard yet.
            while self.asked.poll(Duration::from_millis(10)).is_some() {}
            self.link.health.reason_or(describe(&error))
        })
    }

    fn connect(&self, host: &str, port: i32) -> Result<Connection, String> {
        let token = self.link.token().map_err(|error| error.to_string())?.token;
        let at = (host, u16::try_from(port).map_err(|_| format!("port {port}"))?);
        Connection::open(&self.door, at, &self.client_id, &token)
            .map_err(|error| format!("{host}:{port}: {error}"))
    }

    /// Asks one broker after the other until one answers; the last one's refusal if none does.
    fn ask_any<T>(&self, ask: impl Fn(&mut Connection) -> Result<T, String>) -> Result<T, String> {
        let mut refusal = "there is no broker".to_owned();
        for broker in self.metadata(None)?.brokers() {
            match self.connect(broker.host(), broker.port()).and_then(|mut connection| ask(&mut connection)) {
                Ok(answer) => return Ok(answer),
                Err(why) => refusal = why,
            }
        }
        Err(refusal)
    }

    fn timeout_ms(&self) -> i32 {
        i32::try_from(self.patience.as_millis()).unwrap_or(i32::MAX)
    }

    /// With ZooKeeper only the controller does it; the others say so.
    pub(super) fn create(
        &self,
        topic: &str,
        partitions: i32,
        replication: i16,
        settings: &[(&'static str, String)],
    ) -> Result<(), String> {
        self.ask_any(|connection| {
            let mut answer = connection.call(Api::CreateTopics, |request| {
                // No assignment: the brokers choose.
                let request = request.count(1).text(topic).i32(partitions).i16(replication).count(0);
                let request =
                    settings.iter().fold(request.count(settings.len()), |request, (name, value)| {
                        request.text(name).text(value)
                    });
                request.i32(self.timeout_ms()).flag(false)
            })?;
            let _throttle_ms = answer.i32()?;
            for _ in 0..answer.count()? {
                let (_, code, why) = (answer.text()?, answer.i16()?, answer.text()?);
                match code {
                    TOPIC_EXISTS => {}
                    NOT_CONTROLLER => return words(code),
                    code => words(code).map_err(|error| why.unwrap_or(error))?,
                }
            }
            Ok(())
        })
    }

    pub(super) fn present(&self, topic: &str) -> Result<Present, String> {
        self.ask_any(|connection| {
            let mut answer = connection.call(Api::DescribeConfigs, |request| {
                // All keys, without synonyms.
                request.count(1).i8(TOPIC).text(topic).i32(-1).flag(false)
            })?;
            let _throttle_ms = answer.i32()?;
            let mut present = BTreeMap::new();
            for _ in 0..answer.count()? {
                verdict(&mut answer)?;
                let _resource = (answer.i8()?, answer.text()?);
                for _ in 0..answer.count()? {
                    let (name, value) = (answer.text()?, answer.text()?);
                    let (_read_only, source, _sensitive) = (answer.i8()?, answer.i8()?, answer.i8()?);
                    for _ in 0..answer.count()? {
                        let _synonym = (answer.text()?, answer.text()?, answer.i8()?);
                    }
                    present.insert(name.unwrap_or_default(), (value.unwrap_or_default(), source == OF_TOPIC));
                }
            }
            Ok(present)
        })
    }

    /// Sets these; what else is set stays.
    pub(super) fn set(&self, topic: &str, settings: &BTreeMap<&str, &str>) -> Result<(), String> {
        self.ask_any(|connection| {
            let mut answer = connection.call(Api::IncrementalAlterConfigs, |request| {
                let request = request.count(1).i8(TOPIC).text(topic).count(settings.len());
                let request = settings
                    .iter()
                    .fold(request, |request, (name, value)| request.text(name).i8(SET).text(value));
                request.flag(false)
            })?;
            let _throttle_ms = answer.i32()?;
            for _ in 0..answer.count()? {
                verdict(&mut answer)?;
                let _resource = (answer.i8()?, answer.text()?);
            }
            Ok(())
        })
    }

    /// Asks whoever leads the partition.
    pub(super) fn delete_below(&self, topic: &str, partition: i32, offset: i64) -> Result<(), String> {
        let metadata = self.metadata(Some(topic))?;
        let mut led = metadata.topics().iter().filter(|found| found.name() == topic);
        let leader = led.find_map(|found| {
            found.partitions().iter().find(|found| found.id() == partition).map(|found| found.leader())
        });
        let broker = metadata.brokers().iter().find(|broker| Some(broker.id()) == leader);
        let broker = broker.ok_or_else(|| format!("nobody leads {topic}/{partition}"))?;
        let mut answer = self.connect(broker.host(), broker.port())?.call(Api::DeleteRecords, |request| {
            let request = request.count(1).text(topic).count(1).i32(partition).i64(offset);
            request.i32(self.timeout_ms())
        })?;
        let _throttle_ms = answer.i32()?;
        for _ in 0..answer.count()? {
            let _topic = answer.text()?;
            for _ in 0..answer.count()? {
                let _deleted_below = (answer.i32()?, answer.i64()?);
                words(answer.i16()?)?;
            }
        }
        Ok(())
    }
}
