//! ingest: signed webhooks at full speed, durable, beside a bare handler in the same run.
//!
//! Each round starts each receiver anew on an empty folder, so that no one pays for another's dirty pages for long, and
//! a round's ratio compares what ran within the same half minute: on a shared machine only ratios mean something.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::arguments::numbers;
use crate::bare::BareHandler;
use crate::disk::sync_ms;
use crate::instance::{Instance, START_MAX, folder};
use crate::load::{self, Answers, Plan};
use crate::payload::{Events, Request, now};
use crate::process::{cpu_s, cpu_s_by_thread, memory};
use crate::stats::{median, percentile, sorted};

/// Bytes of a body.
pub(crate) const BODY_BYTES: usize = 1_024;
/// Tenants that the events belong to: enough to spread over all partitions.
pub(crate) const TENANTS: usize = 64;
/// Before anything is measured: caches, connections and the log's first segments.
const WARM_UP: Duration = Duration::from_secs(1);
/// Events that are signed per second of a round: more than any receiver takes.
const EVENTS_PER_S: u64 = 200_000;

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Receiver {
    Bare,
    Role(&'static str),
}

const RECEIVERS: [Receiver; 3] = [Receiver::Bare, Receiver::Role("webhook"), Receiver::Role("all")];

impl Receiver {
    fn name(self) -> String {
        match self {
            Self::Bare => "bare axum handler".to_owned(),
            Self::Role(role) => format!("leadline --role {role}"),
        }
    }
}

/// One receiver in one round.
pub(crate) struct Sample {
    pub(crate) per_s: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) cpu_s_per_100k: f64,
    pub(crate) client_s_per_100k: f64,
    pub(crate) resident_mb: f64,
    /// Of the server's CPU, s per 100k, by thread.
    by_thread: BTreeMap<String, f64>,
    /// What a group costs on this disk, just before.
    sync_ms: f64,
}

impl Sample {
    /// What the two cores spend on it, s per 100k.
    fn all_cpu_s(&self) -> f64 {
        self.cpu_s_per_100k + self.client_s_per_100k
    }
}

/// Runs it: `--rounds 5 --seconds 4 --connections 64 --receivers 3`, of the receivers the first so many.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let known = [("rounds", 5), ("seconds", 4), ("connections", 64), ("receivers", 3)];
    let [rounds, seconds, connections, receivers] = numbers(args, known)?;
    let receivers = RECEIVERS.get(..receivers as usize).unwrap_or(&RECEIVERS);
    let load = Load::sign(connections, seconds)?;
    println!(
        "{rounds} interleaved rounds of {seconds} s, {connections} keep-alive connections, {BODY_BYTES}-byte bodies of {TENANTS} tenants"
    );
    let mut samples: Vec<Vec<Sample>> = receivers.iter().map(|_| Vec::new()).collect();
    for round in 1..=rounds {
        let mut line = format!("round {round}:");
        for (receiver, samples) in receivers.iter().zip(&mut samples) {
            let sample = load.measure(*receiver)?;
            line += &format!("  {} {:.0}/s", receiver.name(), sample.per_s);
            samples.push(sample);
        }
        println!("{line}");
    }
    report(&samples, connections);
    Ok(())
}

/// What every receiver gets.
pub(crate) struct Load {
    request: Request,
    events: Events,
    connections: usize,
    time: Duration,
}

impl Load {
    /// Signs more events than any receiver takes in so many seconds.
    pub(crate) fn sign(connections: u64, seconds: u64) -> Result<Self> {
        let request = Request::post_call(BODY_BYTES, TENANTS, &now()?)?;
        let count = (seconds + WARM_UP.as_secs()) * EVENTS_PER_S;
        Ok(Self {
            events: Events::sign(&request, 0, count)?,
            request,
            connections: usize::try_from(connections)?,
            time: Duration::from_secs(seconds),
        })
    }

    fn measure(&self, receiver: Receiver) -> Result<Sample> {
        match receiver {
            Receiver::Bare => {
                let bare = BareHandler::start()?;
                self.sample(bare.address, bare.pid())
            }
            Receiver::Role(role) => {
                let data = folder()?;
                let instance = Instance::start(role, data.path())?;
                instance.add_tenants(TENANTS, |_| {})?;
                instance.settle(START_MAX)?;
                let sync_ms = sync_ms(data.path())?;
                let sample = self.sample(instance.address, instance.pid())?;
                instance.terminate()?;
                Ok(Sample { sync_ms, ..sample })
            }
        }
    }

    /// Measures whoever listens there.
    pub(crate) fn sample(&self, address: SocketAddr, pid: u32) -> Result<Sample> {
        let me = std::process::id();
        let mut before = (0.0, 0.0, BTreeMap::new());
        let mut begins = || {
            before = (cpu_s(pid)?, cpu_s(me)?, cpu_s_by_thread(pid)?);
            Ok(())
        };
        let plan = Plan { warm_up: WARM_UP, measure: Some(self.time), begins: &mut begins };
        let answers = load::run(address, self.connections, &self.request, &self.events, plan)?;
        let (server_s, client_s) = (cpu_s(pid)? - before.0, cpu_s(me)? - before.1);
        let mut by_thread = cpu_s_by_thread(pid)?;
        check(&answers)?;
        let latencies = sorted(answers.latencies_us.iter().map(|us| f64::from(*us) / 1e3));
        let per_100k = 1e5 / latencies.len() as f64;
        for (name, cpu_s) in &mut by_thread {
            *cpu_s = (*cpu_s - before.2.get(name).copied().unwrap_or(0.0)) * per_100k;
        }
        Ok(Sample {
            per_s: latencies.len() as f64 / answers.measured.as_secs_f64(),
            p50_ms: percentile(&latencies, 0.5),
            p99_ms: percentile(&latencies, 0.99),
            cpu_s_per_100k: server_s * per_100k,
            client_s_per_100k: client_s * per_100k,
            resident_mb: memory(pid)?.resident_mb,
            by_thread,
            sync_ms: 0.0,
        })
    }
}

fn check(answers: &Answers) -> Result<()> {
    let refusal = answers.refusal.as_deref().unwrap_or_default();
    ensure!(answers.refused == 0, "{} requests were refused: {refusal}", answers.refused);
    Ok(())
}

/// The medians; a ratio is the median of the rounds' ratios.
fn report(samples: &[Vec<Sample>], connections: u64) {
    println!(
        "{:<24}{:>9}{:>9}{:>9}{:>9}{:>9}{:>13}{:>9}{:>8}",
        "receiver", "req/s", "of bare", "by CPU", "p50 ms", "p99 ms", "CPU s/100k", "client", "RSS MB"
    );
    let Some(bare) = samples.first() else { return };
    for (receiver, samples) in RECEIVERS.iter().zip(samples) {
        let of = |value: fn(&Sample) -> f64| median(samples.iter().map(value));
        let pairs = || samples.iter().zip(bare);
        println!(
            "{:<24}{:>9.0}{:>9.2}{:>9.2}{:>9.2}{:>9.2}{:>13.2}{:>9.2}{:>8.0}",
            receiver.name(),
            of(|sample| sample.per_s),
            median(pairs().map(|(sample, bare)| sample.per_s / bare.per_s)),
            median(pairs().map(|(sample, bare)| bare.all_cpu_s() / sample.all_cpu_s())),
            of(|sample| sample.p50_ms),
            of(|sample| sample.p99_ms),
            of(|sample| sample.cpu_s_per_100k),
            of(|sample| sample.client_s_per_100k),
            of(|sample| sample.resident_mb),
        );
    }
    println!("by CPU: what the ratio is where nothing but CPU is waited for, server and client together");
    println!("CPU s/100k by thread:");
    for (receiver, samples) in RECEIVERS.iter().zip(samples) {
        println!("  {:<24}{}", receiver.name(), threads(samples.iter()));
    }
    let durable = samples.get(1..).unwrap_or_default();
    if durable.is_empty() {
        return;
    }
    let sync_ms = median(durable.iter().flatten().map(|sample| sample.sync_ms));
    println!(
        "the disk syncs 32 KiB in {sync_ms:.2} ms: {connections} connections that wait for one sync each cannot get more than {:.0}/s",
        connections as f64 / sync_ms * 1e3
    );
}

/// The threads that took a share worth naming, the largest first.
pub(crate) fn threads<'s>(samples: impl Iterator<Item = &'s Sample> + Clone) -> String {
    const WORTH_NAMING_S: f64 = 0.01;
    let names: BTreeSet<&String> = samples.clone().flat_map(|sample| sample.by_thread.keys()).collect();
    let of = |name: &String| {
        median(samples.clone().map(|sample| sample.by_thread.get(name).copied().unwrap_or(0.0)))
    };
    let mut shares: Vec<(f64, &String)> = names.into_iter().map(|name| (of(name), name)).collect();
    shares.retain(|(cpu_s, _)| *cpu_s >= WORTH_NAMING_S);
    shares.sort_by(|a, b| b.0.total_cmp(&a.0));
    shares.iter().map(|(cpu_s, name)| format!("{name} {cpu_s:.2}")).collect::<Vec<_>>().join(", ")
}
