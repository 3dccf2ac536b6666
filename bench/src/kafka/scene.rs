//! Scene: a broker, the topics of a group on it, and processes of that group.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use leadline_connectors::log_kafka::{KafkaConfig, topics};
use leadline_schemas::Topic;
use leadline_tests::kafka::Cluster;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tempfile::TempDir;

use crate::instance::{Instance, folder};
use crate::process::cpu_s;

/// The group, and what the topics' names begin with.
pub(super) const GROUP: &str = "bench";
/// How long a broker may take to answer.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Between two looks how far the group is.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A running broker with topics.
pub(super) struct Scene {
    cluster: Cluster,
    /// Data folders, and what all processes share.
    shared: TempDir,
    pub(super) partitions: u16,
}

/// What a process is told beside its name.
#[derive(Clone, Copy)]
pub(super) struct Company {
    /// How many processes share the partitions.
    pub(super) processes: usize,
    pub(super) session_timeout_ms: u64,
    pub(super) snapshot_interval_s: u64,
    /// Requests that may wait for the log at once.
    pub(super) requests_max: u64,
}

impl Company {
    /// As `deploy/leadline.example.toml` has it.
    pub(super) const DEFAULT: Self =
        Self { processes: 1, session_timeout_ms: 10_000, snapshot_interval_s: 600, requests_max: 100 };
}

impl Scene {
    /// Starts the broker and makes the topics.
    pub(super) fn start(partitions: u16) -> Result<Self> {
        let cluster = Cluster::for_load().context("a broker needs a JDK 17 and Maven")?;
        let scene = Self { cluster, shared: folder()?, partitions };
        topics::apply(&scene.config("topics"), partitions, 1)?;
        Ok(scene)
    }

    /// The log's configuration of a process of this group.
    pub(super) fn config(&self, instance: &str) -> KafkaConfig {
        KafkaConfig::new(&self.cluster.bootstrap(), GROUP, instance)
    }

    pub(super) fn brokers(&self) -> String {
        self.cluster.bootstrap()
    }

    /// A folder that lives as long as the scene.
    pub(super) fn folder(&self) -> &Path {
        self.shared.path()
    }

    /// What a topic is called on the broker.
    pub(super) fn topic(&self, topic: Topic) -> String {
        self.config("").topic(topic)
    }

    /// Starts the process of this name, or starts it again on what it left.
    pub(super) fn instance(&self, role: &str, name: &str, company: Company) -> Result<Instance> {
        self.instance_in(name, role, name, company, &[])
    }

    /// The same in a data folder of another name, with more of a command line.
    pub(super) fn instance_in(
        &self,
        folder: &str,
        role: &str,
        name: &str,
        company: Company,
        args: &[String],
    ) -> Result<Instance> {
        let (shared, data) = (self.shared.path(), self.shared.path().join(folder));
        let (blobs, key) = (shared.join("blobs"), shared.join("secret.key"));
        let Company { processes, session_timeout_ms, snapshot_interval_s, requests_max } = company;
        std::fs::create_dir_all(&data)?;
        let text = format!(
            "[log]\nkind = \"kafka\"\n[records]\nstore = \"none\"\n[blobs]\nfolder = {blobs:?}\n\
             [secrets]\nkey_file = {key:?}\n[state]\nsnapshot_interval_s = {snapshot_interval_s}\n\
             [kafka]\nbrokers = {:?}\ninstance = {name:?}\ngroup = {GROUP:?}\nprocesses = {processes}\n\
             session_timeout_ms = {session_timeout_ms}\n[http]\nrequests_max = {requests_max}\n",
            self.brokers()
        );
        std::fs::write(data.join("leadline.toml"), text)?;
        Instance::start_with(role, &data, args)
    }

    /// A client of this broker, as a stranger would configure it.
    pub(super) fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", self.brokers());
        client
    }

    /// Reads committed records of topics from an offset on, in all partitions; says where a partition ends.
    pub(super) fn reader(&self, topics: &[Topic], from: Offset) -> Result<BaseConsumer> {
        let reader: BaseConsumer = self
            .client()
            .set("group.id", "reader")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            // What is there is told at once.
            .set("fetch.wait.max.ms", "10")
            .set("fetch.queue.backoff.ms", "10")
            .create()?;
        let mut list = TopicPartitionList::new();
        for topic in topics {
            for partition in 0..self.partitions {
                list.add_partition_offset(&self.topic(*topic), i32::from(partition), from)?;
            }
        }
        reader.assign(&list)?;
        Ok(reader)
    }

    /// Waits until the group has committed all of `inbound`; answers how long that took.
    pub(super) fn drain(&self, within: Duration) -> Result<Duration> {
        let asked: BaseConsumer = self.client().set("group.id", GROUP).create()?;
        let started = Instant::now();
        loop {
            let lag = self.lag(&asked)?;
            if lag == 0 {
                return Ok(started.elapsed());
            }
            ensure!(started.elapsed() < within, "{lag} events were still unread after {within:?}");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Events in `inbound` that the group has not committed.
    fn lag(&self, asked: &BaseConsumer) -> Result<i64> {
        let topic = self.topic(Topic::Inbound);
        let mut list = TopicPartitionList::new();
        for partition in 0..self.partitions {
            list.add_partition(&topic, i32::from(partition));
        }
        let committed = asked.committed_offsets(list, ANSWER_MAX)?;
        let mut lag = 0;
        for element in committed.elements() {
            let (first, end) = asked.fetch_watermarks(&topic, element.partition(), ANSWER_MAX)?;
            let next = match element.offset() {
                Offset::Offset(next) => next,
                _ => first,
            };
            lag += end - next;
        }
        Ok(lag)
    }

    /// Records of `inbound` so far.
    pub(super) fn ends(&self) -> Result<i64> {
        let asked: BaseConsumer = self.client().create()?;
        let topic = self.topic(Topic::Inbound);
        let end = |partition| Ok(asked.fetch_watermarks(&topic, i32::from(partition), ANSWER_MAX)?.1);
        (0..self.partitions).map(end).sum()
    }

    /// Seconds of CPU that the broker has used so far.
    pub(super) fn broker_cpu_s(&self) -> Result<f64> {
        self.cluster.processes().into_iter().map(cpu_s).sum()
    }
}
