//! latency on Kafka: from a webhook to the record of its call in topic `calls`, with events that come when they come.
//!
//! One process takes webhooks, another runs the whole pipeline, and a consumer that reads committed records only waits
//! for the first record of each call. Both processes, the broker, the sender and the consumer share the cores.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use leadline_schemas::Topic;
use rdkafka::Offset;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;

use super::open_loop::{self, Due};
use super::scene::{Company, Scene};
use crate::arguments::numbers;
use crate::instance::{Instance, START_MAX};
use crate::latency::arrivals;
use crate::payload::{Events, Request, now, number_of_call};
use crate::process::cpu_s;
use crate::stats::{ms, percentile, sorted};

const PARTITIONS: u16 = 8;
const TENANTS: usize = 64;
const BODY_BYTES: usize = 1_024;
const CONNECTIONS: usize = 256;
/// Events a second, one run after the other.
const RATES: [u64; 3] = [1_000, 3_000, 10_000];
/// A call whose record takes longer is lost.
const RECORD_MAX: Duration = Duration::from_secs(120);
/// One poll of the consumer.
const POLL: Duration = Duration::from_millis(100);
/// A rate whose last records come later than this behind the last arrival is more than the machine can.
const BEHIND_MS: f64 = 1_000.0;

/// The processes.
struct Running {
    webhook: Instance,
    worker: Instance,
    request: Request,
    reader: BaseConsumer,
    next: u64,
}

/// What became of the events of one run, in ms from when they were due.
struct Times {
    answered: Vec<f64>,
    readable: Vec<f64>,
    /// How long after the last arrival the last record came.
    behind_ms: f64,
}

/// Runs it: `--seconds 10 --warm-up 40`, at each rate. Before anything is measured the first rate runs for `warm-up` seconds:
/// the broker's virtual machine takes that long to compile what a transaction runs through. The first hundred cost it
/// some 80 ms of CPU each, those behind the thousandth 10.
pub(super) fn run(args: &[String]) -> Result<()> {
    let [seconds, warm_up_s] = numbers(args, [("seconds", 10), ("warm-up", 40)])?;
    let scene = Scene::start(PARTITIONS)?;
    let webhook = scene.instance("webhook", "webhook", Company::DEFAULT)?;
    webhook.add_tenants(TENANTS, |_| {})?;
    let worker = scene.instance("worker", "worker", Company::DEFAULT)?;
    worker.settle(START_MAX)?;
    let reader = scene.reader(&[Topic::Calls], Offset::Beginning)?;
    let request = Request::post_call(BODY_BYTES, TENANTS, &now()?)?;
    let mut company = Running { webhook, worker, request, reader, next: 0 };
    company.round(RATES[0], warm_up_s)?;
    println!(
        "Poisson arrivals for {seconds} s each after {warm_up_s} s, {PARTITIONS} partitions; ms from when an event was due, p50 / p99"
    );
    println!(
        "{:>8}{:>9}{:>17}{:>21}{:>13}{:>13}{:>13}",
        "events/s", "events", "answered", "in `calls`", "webhook CPU", "worker CPU", "broker CPU"
    );
    for rate in RATES {
        let pids = [company.webhook.pid(), company.worker.pid()];
        let used = || -> Result<[f64; 3]> { Ok([cpu_s(pids[0])?, cpu_s(pids[1])?, scene.broker_cpu_s()?]) };
        let (before, started) = (used()?, Instant::now());
        let times = company.round(rate, seconds)?;
        let took_s = started.elapsed().as_secs_f64();
        let cores = used()?.into_iter().zip(before).map(|(now, before)| (now - before) / took_s * 100.0);
        let cores: String = cores.map(|percent| format!("{percent:>12.0}%")).collect();
        let both =
            |values: &[f64]| format!("{:.1} / {:.1}", percentile(values, 0.5), percentile(values, 0.99));
        let (answered, readable) = (both(&times.answered), both(&times.readable));
        println!("{rate:>8}{:>9}{answered:>17}{readable:>21}{cores}", times.answered.len());
        if times.behind_ms > BEHIND_MS {
            println!(
                "         more than this machine can: the last record came {:.1} s behind the last arrival",
                times.behind_ms / 1e3
            );
        }
    }
    println!("aim: p99 150 ms in `calls` at 1,000/s and 10,000/s");
    company.worker.terminate()?;
    company.webhook.terminate()
}

impl Running {
    /// Sends for so many seconds at a rate, and waits for all records.
    fn round(&mut self, rate: u64, seconds: u64) -> Result<Times> {
        let events = Events::sign(&self.request, self.next, rate * seconds)?;
        self.next = events.numbers().end;
        // The sender needs a moment to connect.
        let begin = Instant::now() + Duration::from_millis(200);
        let due = arrivals(begin, rate, events.numbers());
        let mut order: Vec<Due> = due.iter().map(|(number, at)| (*number, *at)).collect();
        order.sort_unstable_by_key(|(_, at)| *at);
        let last = order.last().context("there are events")?.1;
        let (address, request, stop) = (self.webhook.address, &self.request, AtomicBool::new(false));
        let reader = &self.reader;
        let (answered, seen) = std::thread::scope(|scope| {
            let sender =
                scope.spawn(|| open_loop::run(address, CONNECTIONS, request, &events, &order, &stop));
            let seen = read(reader, &due, last);
            (sender.join().unwrap_or_else(|_| anyhow::bail!("the sender ended badly")), seen)
        });
        let seen = seen?;
        let behind_ms = seen.values().map(|at| ms(at.saturating_duration_since(last))).fold(0.0, f64::max);
        let readable = seen.iter().filter_map(|(number, at)| Some(ms(*at - *due.get(number)?)));
        Ok(Times { answered: sorted(answered?), readable: sorted(readable), behind_ms })
    }
}

/// When the first record of each of these calls could be read.
fn read(reader: &BaseConsumer, due: &HashMap<u64, Instant>, last: Instant) -> Result<HashMap<u64, Instant>> {
    let mut seen = HashMap::with_capacity(due.len());
    while seen.len() < due.len() {
        let late = Instant::now().saturating_duration_since(last);
        let missing = due.len() - seen.len();
        ensure!(late < RECORD_MAX, "{missing} of {} calls have no record after {late:?}", due.len());
        match reader.poll(POLL) {
            Some(Ok(message)) => {
                let number = message.payload().and_then(number_of_call);
                // Those of an earlier run are told once more, when their windows or leads move.
                if let Some(number) = number.filter(|number| due.contains_key(number)) {
                    seen.entry(number).or_insert_with(Instant::now);
                }
            }
            None | Some(Err(KafkaError::PartitionEOF(_))) => {}
            Some(Err(error)) => return Err(error.into()),
        }
    }
    Ok(seen)
}
