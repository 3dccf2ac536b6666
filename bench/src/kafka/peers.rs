//! Peers: other engines on the workload of `stream`, in the same run, on the same broker; `bench/peers/` has them.
//!
//! Bodies lie as plain JSON in a topic of their own, each under its tenant. An engine is done when the counts that it
//! has committed are those of the oracle; its CPU is counted from its start until then.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::scene::{ANSWER_MAX, Scene};
use crate::process::{cpu_s, memory};
use crate::stream::PARTITIONS;
use crate::stream::check::{Windows, windows};
use crate::stream::events::{Events, company_id};

/// Where the bodies lie.
const INPUT: &str = "peers.calls";
/// A run that takes longer is stuck.
const DEADLINE: Duration = Duration::from_secs(900);

/// An engine to compare with.
pub(super) struct Peer {
    pub(super) about: &'static str,
    /// Its folder in `bench/peers/`.
    folder: &'static str,
    /// Options of the JVM.
    jvm: &'static [&'static str],
}

/// All of them.
pub(super) const PEERS: &[Peer] = &[
    Peer { about: "Kafka Streams, exactly_once_v2", folder: "kafka-streams", jvm: &["-Xms1g", "-Xmx1g"] },
    Peer {
        about: "Flink, heap state, checkpoints 1 s",
        folder: "flink",
        jvm: &[
            "-Xms2g",
            "-Xmx2g",
            // Flink's own start scripts open these to its serializers.
            "--add-opens=java.base/java.lang=ALL-UNNAMED",
            "--add-opens=java.base/java.util=ALL-UNNAMED",
            "--add-opens=java.base/java.time=ALL-UNNAMED",
            "--add-opens=java.base/java.nio=ALL-UNNAMED",
        ],
    },
];

/// What a run of one has cost.
pub(super) struct Reached {
    pub(super) events_per_s: f64,
    /// CPU seconds per million events.
    pub(super) cpu_s: f64,
    pub(super) peak_mb: f64,
    /// CPU seconds of the broker per million events.
    pub(super) broker_s: f64,
}

/// Puts the bodies of all events into the input topic.
pub(super) fn fill(scene: &Scene, events: &Events) -> Result<()> {
    make_topic(scene, INPUT)?;
    let producer: BaseProducer = scene
        .client()
        .set("enable.idempotence", "true")
        .set("compression.codec", "lz4")
        .set("linger.ms", "5")
        .create()?;
    for number in events.numbers() {
        let event = events.of(number);
        let (body, key) = (event.body()?, company_id(event.tenant));
        let mut record = BaseRecord::to(INPUT).key(&key).payload(&body);
        // Its queue is full: it is served until there is room.
        while let Err((error, back)) = producer.send(record) {
            let is_full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            ensure!(is_full, "a body cannot be sent: {error}");
            producer.poll(Duration::from_millis(1));
            record = back;
        }
    }
    producer.flush(ANSWER_MAX)?;
    Ok(())
}

fn make_topic(scene: &Scene, name: &str) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = scene.client().create()?;
    // Event times are of the past, and nothing may expire by them.
    let topic =
        NewTopic::new(name, i32::from(PARTITIONS), TopicReplication::Fixed(1)).set("retention.ms", "-1");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for made in runtime.block_on(admin.create_topics(&[topic], &AdminOptions::new()))? {
        made.map_err(|(topic, code)| anyhow::anyhow!("topic {topic} cannot be made: {code}"))?;
    }
    Ok(())
}

impl Peer {
    /// Builds it where that has not been done.
    fn built(&self) -> Result<PathBuf> {
        let program = std::env::current_exe()?;
        let target =
            program.parent().and_then(Path::parent).context("the program lies in a target folder")?;
        let built = target.join("peers").join(self.folder);
        let done = Command::new("mvn")
            .args(["-q", "-B", "package", "dependency:copy-dependencies", "-DincludeScope=runtime"])
            .arg(format!("-Dbuilt={}", built.display()))
            .arg("-f")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(self.folder))
            .output()
            .context("Maven cannot be started: install it, and a JDK 17")?;
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
        Ok(built)
    }

    /// Runs it on the input topic until all its windows are right.
    pub(super) fn run(&self, scene: &Scene, events: &Events) -> Result<Reached> {
        let (built, expected) = (self.built()?, windows(events));
        let output = format!("peers.{}", self.folder);
        make_topic(scene, &output)?;
        let state = scene.folder().join(self.folder);
        std::fs::create_dir_all(&state)?;
        let (broker, started) = (scene.broker_cpu_s()?, Instant::now());
        let log = std::fs::File::create(state.join("log"))?;
        let process = Command::new("java")
            .args(self.jvm)
            .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
            .arg("-cp")
            .arg(format!("{}/classes:{}/dependency/*", built.display(), built.display()))
            .arg("Peer")
            .args([&scene.brokers(), INPUT, &output])
            .arg(&state)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("java cannot be started: install a JDK 17")?;
        let process = Ends(process);
        wait_for_windows(scene, &output, &expected)
            .with_context(|| format!("{}: see its log\n{}", self.about, tail(&state.join("log"))))?;
        let (took_s, id) = (started.elapsed().as_secs_f64(), process.0.id());
        let (count, millions) = (events.count as f64, events.count as f64 / 1e6);
        Ok(Reached {
            events_per_s: count / took_s,
            cpu_s: cpu_s(id)? / millions,
            peak_mb: memory(id)?.peak_mb,
            broker_s: (scene.broker_cpu_s()? - broker) / millions,
        })
    }
}

/// A process that is killed when it is not needed any more.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill(); // It may have ended.
        let _ = self.0.wait();
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
}

/// Reads committed counts until they are the expected ones; more than those is an error.
fn wait_for_windows(scene: &Scene, output: &str, expected: &Windows) -> Result<()> {
    let reader: BaseConsumer = scene
        .client()
        .set("group.id", "peers-reader")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(output, i32::from(partition), Offset::Beginning)?;
    }
    reader.assign(&list)?;
    let (started, mut found, mut right) = (Instant::now(), BTreeMap::new(), 0_usize);
    while right < expected.len() {
        ensure!(
            started.elapsed() < DEADLINE,
            "{right} of {} windows are right after {DEADLINE:?}",
            expected.len()
        );
        match reader.poll(Duration::from_millis(100)) {
            None => {}
            Some(Ok(message)) => {
                let (key, calls) = window(message.payload().unwrap_or_default())?;
                let wanted = expected.get(&key);
                ensure!(
                    wanted.is_some_and(|wanted| calls <= *wanted),
                    "window {key:?} has {calls} calls, not {wanted:?}"
                );
                let before = found.insert(key, calls);
                right += usize::from(Some(&calls) == wanted);
                right -= usize::from(before.as_ref() == wanted);
            }
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error.into()),
            // A broker that is busy answers later.
            Some(Err(_)) => {}
        }
    }
    Ok(())
}

/// What a count says: tenant and minute, and how many calls.
fn window(value: &[u8]) -> Result<((String, i64), i64)> {
    let json: serde_json::Value = serde_json::from_slice(value)?;
    let odd = || format!("{json} is no count");
    let company = json.get("company").and_then(|company| company.as_str()).with_context(odd)?;
    let number = |name: &str| json.get(name).and_then(serde_json::Value::as_i64).with_context(odd);
    let tenant = usize::from_str_radix(company.trim_start_matches("COM"), 16).with_context(odd)?;
    Ok(((crate::stream::events::tenant_name(tenant), number("start")?), number("calls")?))
}
