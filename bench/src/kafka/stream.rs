//! stream on Kafka: the workload and the pipeline of `stream`, topic to topic and exactly once, in one process.
//!
//! A topic is filled first. Then the engine joins its group with no state, in a process of its own, whose CPU is counted
//! from its start to its end; what it has committed is read back from the topics and compared with the oracle. Beside
//! it a bare consumer reads the same topic and parses each body, which every engine must do at the least; and the
//! peers do the same job.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use leadline_connectors::contract::assignment::Assignment as _;
use leadline_connectors::log_kafka::{KafkaAssignment, KafkaConfig, KafkaLog};
use leadline_schemas::Topic;
use rdkafka::Offset;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;

use super::peers::{self, PEERS, Reached};
use super::scene::{ANSWER_MAX, GROUP, Scene};
use crate::arguments::numbers;
use crate::process::cpu_s;
use crate::stats::median;
use crate::stream::PARTITIONS;
use crate::stream::check::Tally;
use crate::stream::child::{Measured, Variant, measured_by, work_off};
use crate::stream::engine;
use crate::stream::events::{BODY_BYTES, Events, TENANTS};
use crate::stream::fill::{fill_log, tenants};

/// Not for people: the argument that makes this process the engine's.
pub(super) const COMMAND: &str = "--engine";

/// One round.
struct Round {
    /// CPU seconds of a bare consumer that parses, per million events.
    least_s: f64,
    engine: Measured,
    broker_s: f64,
    /// Of those of [`PEERS`] that were asked for, in their order.
    peers: Vec<Reached>,
}

/// Runs it: `--events 1000000 --rounds 1 --workers 1 --peers 2`.
pub(super) fn run(args: &[String]) -> Result<()> {
    let options = [("events", 1_000_000), ("rounds", 1), ("workers", 1), ("peers", 2)];
    let [count, rounds, workers, peers] = numbers(args, options)?;
    println!(
        "{count} events of {BODY_BYTES} bytes, {TENANTS} tenants, {PARTITIONS} partitions, {workers} worker; CPU in seconds per million events"
    );
    let mut all = Vec::new();
    for number in 1..=rounds {
        // A broker for each: a group that has done its work has nothing left to do.
        let (scene, events) = (Scene::start(PARTITIONS)?, Events::until_now(count, 0)?);
        let log = KafkaLog::open(scene.config("filler"))?;
        fill_log(&log, &events, &tenants()?)?;
        drop(log);
        let least_s = read_and_parse(&scene, &events)?;
        let broker = scene.broker_cpu_s()?;
        let folder = scene.folder().join("engine");
        std::fs::create_dir(&folder)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args([crate::KAFKA, COMMAND]).arg(folder).arg(scene.brokers()).arg(workers.to_string());
        let engine = measured_by(command)?;
        let broker_s = (scene.broker_cpu_s()? - broker) * 1e6 / count as f64;
        check(&scene, &events)?;
        let peers = run_peers(&scene, &events, peers)?;
        let round = Round { least_s, engine, broker_s, peers };
        round.print(number, count);
        all.push(round);
    }
    report(&all, count);
    Ok(())
}

/// Runs the first so many of them.
fn run_peers(scene: &Scene, events: &Events, count: u64) -> Result<Vec<Reached>> {
    if count == 0 {
        return Ok(Vec::new()); // Nobody reads what they are filled with.
    }
    peers::fill(scene, events)?;
    let chosen = PEERS.iter().take(usize::try_from(count)?);
    chosen.map(|peer| peer.run(scene, events)).collect()
}

/// Is the engine's process: `FOLDER BROKERS WORKERS`.
pub(super) fn child(args: &[String]) -> Result<()> {
    let [folder, brokers, workers] = args else { bail!("{COMMAND} FOLDER BROKERS WORKERS") };
    let (began, workers) = (Instant::now(), workers.parse::<u16>()?);
    let mut config = KafkaConfig::new(brokers, GROUP, "stream");
    config.workers = workers;
    let log = KafkaLog::open(config)?;
    let assignment = KafkaAssignment::new(&log);
    let started =
        engine::start_on(Arc::new(log), true, usize::from(workers), Path::new(folder), Variant::Memory)?;
    assignment.join(started.engine.owner())?;
    work_off(began, started, || assignment.leave())
}

/// CPU seconds of a consumer that reads every event and parses its body, per million.
fn read_and_parse(scene: &Scene, events: &Events) -> Result<f64> {
    let before = cpu_s(std::process::id())?;
    let reader = scene.reader(&[Topic::Inbound], Offset::Beginning)?;
    let mut left = events.count;
    while left > 0 {
        match reader.poll(ANSWER_MAX).context("inbound ends early")? {
            Ok(message) => {
                let value = message.payload().unwrap_or_default();
                // The body is the only JSON in a record and stands near its end.
                let start = value.iter().position(|byte| *byte == b'{').unwrap_or_default();
                let end = value.iter().rposition(|byte| *byte == b'}').unwrap_or_default();
                let body: serde_json::Value =
                    serde_json::from_slice(value.get(start..=end).unwrap_or_default())?;
                ensure!(std::hint::black_box(body).is_object(), "a body is an object");
                left -= 1;
            }
            Err(KafkaError::PartitionEOF(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok((cpu_s(std::process::id())? - before) * 1e6 / events.count as f64)
}

/// Compares the committed records of the output topics with the oracle.
fn check(scene: &Scene, events: &Events) -> Result<()> {
    let mut tally = Tally::default();
    for topic in [Topic::Requests, Topic::Metrics] {
        let reader = scene.reader(&[topic], Offset::Beginning)?;
        let mut open = PARTITIONS;
        while open > 0 {
            match reader.poll(ANSWER_MAX).with_context(|| format!("{topic} has no end"))? {
                Ok(message) => tally.add(topic, message.payload().unwrap_or_default())?,
                Err(KafkaError::PartitionEOF(_)) => open -= 1,
                Err(error) => return Err(error.into()),
            }
        }
    }
    tally.compare(events)
}

impl Round {
    fn print(&self, number: u64, events: u64) {
        let (engine, count, millions) = (&self.engine, events as f64, events as f64 / 1e6);
        let steady_s = engine.get("inputs_s") - engine.get("first_s");
        println!(
            "round {number}: {:.0} events/s from the start of the process ({:.0} from its first commit, which came after {:.1} s), CPU {:.2} s; a bare consumer that parses {:.2} s (ratio {:.2}); peak {:.0} MB, {:.0} commits, broker {:.2} s; right by the oracle",
            count / engine.get("inputs_s"),
            count / steady_s,
            engine.get("first_s"),
            engine.get("cpu_s") / millions,
            self.least_s,
            engine.get("cpu_s") / millions / self.least_s,
            engine.get("peak_mb"),
            engine.get("commits"),
            self.broker_s,
        );
    }
}

/// Medians, by thread, and what the peers need.
fn report(rounds: &[Round], events: u64) {
    let (count, millions) = (events as f64, events as f64 / 1e6);
    let of = |value: &dyn Fn(&Round) -> f64| median(rounds.iter().map(value));
    let cpu_s = of(&|round| round.engine.get("cpu_s") / millions);
    let threads = [
        ("workers", "worker"),
        ("librdkafka", "rdk"),
        ("fetcher", "kafka-fetch"),
        ("committers", "kafka-commit"),
        ("state", "applier"),
        ("state's files", "fjall"),
    ];
    let shares: Vec<String> = threads
        .iter()
        .map(|(about, prefix)| {
            format!("{about} {:.2}", of(&|round| round.engine.threads_s(prefix) / millions))
        })
        .collect();
    println!("of {cpu_s:.2} CPU s: {}", shares.join(", "));
    println!("{:<42}{:>14}{:>12}{:>10}{:>12}", "engine", "events/s", "CPU s/1M", "peak MB", "broker s/1M");
    println!(
        "{:<42}{:>14.0}{cpu_s:>12.1}{:>10.0}{:>12.1}",
        "leadline",
        of(&|round| count / round.engine.get("inputs_s")),
        of(&|round| round.engine.get("peak_mb")),
        of(&|round| round.broker_s)
    );
    for (index, peer) in PEERS.iter().enumerate() {
        let runs: Vec<&Reached> = rounds.iter().filter_map(|round| round.peers.get(index)).collect();
        if runs.is_empty() {
            continue;
        }
        let of = |value: &dyn Fn(&Reached) -> f64| median(runs.iter().map(|reached| value(reached)));
        let peer_s = of(&|reached| reached.cpu_s);
        println!(
            "{:<42}{:>14.0}{peer_s:>12.1}{:>10.0}{:>12.1}   leadline does {:.1} times as many events per CPU second",
            peer.about,
            of(&|reached| reached.events_per_s),
            of(&|reached| reached.peak_mb),
            of(&|reached| reached.broker_s),
            peer_s / cpu_s
        );
    }
    println!("aims: 4 times Kafka Streams (stretch 10), 2.5 times Flink with heap state (stretch 6)");
}
