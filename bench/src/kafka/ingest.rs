//! ingest on Kafka: signed webhooks to acks=all, beside a bare handler and a bare producer of the same records.
//!
//! What taking a webhook costs beyond HTTP is checking its signature, finding its company, the Avro envelope and the
//! producer. So leadline's CPU above that of a bare handler is compared with that of a loop around a producer: once
//! with as many records under way as there are connections, whose batches are as small, and once at full speed.

use std::time::Duration;

use anyhow::Result;

use super::bare_producer::{self, Produced};
use super::scene::{Company, Scene};
use crate::arguments::numbers;
use crate::bare::BareHandler;
use crate::ingest::{BODY_BYTES, Load, Sample, TENANTS, threads};
use crate::instance::START_MAX;
use crate::stats::median;

const PARTITIONS: u16 = 8;
/// Records of `inbound` that the bare producer sends round and round, once there are as many.
const RECORDS: usize = 20_000;
/// Records under way at full speed.
const FULL_SPEED: usize = 10_000;

/// One round, in the order in which it runs.
struct Round {
    bare: Sample,
    leadline: Sample,
    /// CPU seconds of the broker meanwhile, per 100k.
    broker_s_per_100k: f64,
    alike: Produced,
    full_speed: Produced,
}

impl Round {
    /// Leadline's CPU above the bare handler's, s per 100k.
    fn above_s(&self) -> f64 {
        self.leadline.cpu_s_per_100k - self.bare.cpu_s_per_100k
    }
}

/// Runs it: `--rounds 3 --seconds 4 --connections 64 --warm-up 2`; so many rounds before are not counted, for the broker's
/// virtual machine compiles meanwhile what it runs most. Each connection has a request under way, so leadline may take as
/// many at once.
pub(super) fn run(args: &[String]) -> Result<()> {
    let known = [("rounds", 3), ("seconds", 4), ("connections", 64), ("warm-up", 2)];
    let [rounds, seconds, connections, warm_up] = numbers(args, known)?;
    let (load, time) = (Load::sign(connections, seconds)?, Duration::from_secs(seconds));
    let scene = Scene::start(PARTITIONS)?;
    let requests_max = connections.max(Company::DEFAULT.requests_max);
    let instance = scene.instance("webhook", "webhook", Company { requests_max, ..Company::DEFAULT })?;
    instance.add_tenants(TENANTS, |_| {})?;
    println!(
        "{rounds} interleaved rounds of {seconds} s, {connections} keep-alive connections, {BODY_BYTES}-byte bodies of {TENANTS} tenants, {PARTITIONS} partitions; {warm_up} rounds before are not counted"
    );
    let mut all = Vec::new();
    for number in 1..=warm_up + rounds {
        let bare = BareHandler::start()?;
        let bare = load.sample(bare.address, bare.pid())?;
        instance.settle(START_MAX)?;
        let (broker_s, before) = (scene.broker_cpu_s()?, scene.ends()?);
        let leadline = load.sample(instance.address, instance.pid())?;
        let taken = scene.ends()? - before;
        let broker_s_per_100k = (scene.broker_cpu_s()? - broker_s) * 1e5 / taken as f64;
        let records = bare_producer::records(&scene, RECORDS.min(usize::try_from(scene.ends()?)?))?;
        let alike = bare_producer::run(&scene, &records, usize::try_from(connections)?, time)?;
        let full_speed = bare_producer::run(&scene, &records, FULL_SPEED, time)?;
        let name = if number <= warm_up { "warm-up" } else { "round" };
        println!(
            "{name} {number}:  bare axum handler {:.0}/s  leadline --role webhook {:.0}/s  bare producer {:.0}/s, at full speed {:.0}/s",
            bare.per_s, leadline.per_s, alike.per_s, full_speed.per_s
        );
        if number <= warm_up {
            continue;
        }
        all.push(Round { bare, leadline, broker_s_per_100k, alike, full_speed });
    }
    report(&all, connections);
    instance.terminate()
}

/// A part of a round.
type Of<T> = fn(&Round) -> &T;

/// The medians; a ratio is the median of the rounds' ratios.
fn report(rounds: &[Round], connections: u64) {
    let of = |value: &dyn Fn(&Round) -> f64| median(rounds.iter().map(value));
    println!(
        "{:<34}{:>9}{:>9}{:>9}{:>9}{:>13}{:>9}{:>8}",
        "", "per s", "of bare", "p50 ms", "p99 ms", "CPU s/100k", "client", "RSS MB"
    );
    let servers: [(&str, Of<Sample>); 2] = [
        ("bare axum handler", |round| &round.bare),
        ("leadline --role webhook, acks=all", |round| &round.leadline),
    ];
    for (name, sample) in servers {
        println!(
            "{name:<34}{:>9.0}{:>9.2}{:>9.2}{:>9.2}{:>13.2}{:>9.2}{:>8.0}",
            of(&|round| sample(round).per_s),
            of(&|round| sample(round).per_s / round.bare.per_s),
            of(&|round| sample(round).p50_ms),
            of(&|round| sample(round).p99_ms),
            of(&|round| sample(round).cpu_s_per_100k),
            of(&|round| sample(round).client_s_per_100k),
            of(&|round| sample(round).resident_mb),
        );
    }
    let producers: [(String, Of<Produced>); 2] = [
        (format!("bare producer, {connections} under way"), |round| &round.alike),
        (format!("bare producer, {FULL_SPEED} under way"), |round| &round.full_speed),
    ];
    for (name, produced) in producers {
        println!(
            "{name:<34}{:>9.0}{:>9}{:>9}{:>9}{:>13.2}",
            of(&|round| produced(round).per_s),
            "",
            "",
            "",
            of(&|round| produced(round).cpu_s_per_100k)
        );
    }
    println!(
        "the broker meanwhile: {:.2} CPU s/100k; leadline by thread: {}",
        of(&|round| round.broker_s_per_100k),
        threads(rounds.iter().map(|round| &round.leadline))
    );
    println!(
        "rate of the bare handler: {:.2} (aim 0.6); its own CPU above the handler's: {:.2} s/100k, {:.2} times the bare producer's (aim 1.3), {:.2} times that at full speed",
        of(&|round| round.leadline.per_s / round.bare.per_s),
        of(&|round| round.above_s()),
        of(&|round| round.above_s() / round.alike.cpu_s_per_100k),
        of(&|round| round.above_s() / round.full_speed.cpu_s_per_100k),
    );
}
