//! latency: from a webhook to its record and to its delivery, with events that come when they come.
//!
//! Arrivals are Poisson at a fixed rate, and a latency counts from the time at which the event was due, not from when a
//! sender was free for it: a server that stalls is charged for all that should have come meanwhile.
//!
//! Looking for a record costs the server as much as a webhook. So one event in twenty is watched, by asking the read API
//! for its call every 2 ms until it is there: what is found is at most 2 ms and one answer too late.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::arguments::numbers;
use crate::double::Double;
use crate::instance::{Client, Instance, START_MAX, folder};
use crate::payload::{Events, Request, call_id, now};
use crate::process::cpu_s;
use crate::stats::{ms, percentile, sorted};

/// Events a second, one run after the other.
const RATES: [u64; 2] = [200, 500];
/// Connections that send; an event waits for its own.
const SENDERS: u64 = 16;
/// Connections that look for records.
const WATCHERS: usize = 2;
/// One event in so many is watched.
const WATCHED_OF: u64 = 20;
/// Between two looks for a record.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Events before anything is measured, at the first rate.
const WARM_UP_S: u64 = 2;
const TENANTS: usize = 16;
const BODY_BYTES: usize = 1_024;
/// Deliveries that take longer are lost.
const DELIVERY_MAX: Duration = Duration::from_secs(30);

/// An event whose record is waited for.
struct Watched {
    number: u64,
    due: Instant,
}

/// What became of the events of one run, in ms from when they were due.
#[derive(Default)]
struct Times {
    accepted: Vec<f64>,
    readable: Vec<f64>,
    delivered: Vec<f64>,
}

/// A running leadline with its receiver.
struct Scene {
    instance: Instance,
    tokens: Vec<String>,
    double: Double,
    request: Request,
}

/// Runs it: `--seconds 10`, at each rate.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let [seconds] = numbers(args, [("seconds", 10)])?;
    let double = Double::start()?;
    let data = folder()?;
    let instance = Instance::start("all", data.path())?;
    let url = double.url();
    let tokens = instance.add_tenants(TENANTS, |spec| {
        spec.integrations = vec![url.clone()];
        spec.band_min = Some("cold".to_owned());
    })?;
    instance.settle(START_MAX)?;
    let scene =
        Scene { instance, tokens, double, request: Request::post_call(BODY_BYTES, TENANTS, &now()?)? };
    let mut first = 0;
    scene.round(&mut first, RATES[0], WARM_UP_S)?;
    println!("Poisson arrivals for {seconds} s each; ms from when an event was due, p50 / p99");
    println!(
        "{:>7}{:>9}{:>17}{:>17}{:>17}{:>12}",
        "events/s", "events", "answered", "record", "delivery", "CPU"
    );
    for rate in RATES {
        let (before, started) = (cpu_s(scene.instance.pid())?, Instant::now());
        let times = scene.round(&mut first, rate, seconds)?;
        let cores = (cpu_s(scene.instance.pid())? - before) / started.elapsed().as_secs_f64();
        let both =
            |values: &[f64]| format!("{:.1} / {:.1}", percentile(values, 0.5), percentile(values, 0.99));
        println!(
            "{rate:>7}{:>10}{:>17}{:>17}{:>17}{:>11.0}%",
            times.accepted.len(),
            both(&times.accepted),
            both(&times.readable),
            both(&times.delivered),
            cores * 100.0
        );
    }
    scene.instance.terminate()
}

impl Scene {
    /// Sends for so many seconds at a rate, and waits until all is delivered. `first` is the number of the next event.
    fn round(&self, first: &mut u64, rate: u64, seconds: u64) -> Result<Times> {
        let count = rate * seconds;
        let events = Events::sign(&self.request, *first, count)?;
        *first += count;
        // The senders need a moment to connect.
        let begin = Instant::now() + Duration::from_millis(200);
        let due = arrivals(begin, rate, events.numbers());
        let (watch, watched) = channel();
        let watched = Arc::new(Mutex::new(watched));
        let (accepted, readable) = std::thread::scope(|scope| {
            let (events, due) = (&events, &due);
            let senders: Vec<_> = (0..SENDERS)
                .map(|index| {
                    let watch = watch.clone();
                    scope.spawn(move || self.send(index, events, due, &watch))
                })
                .collect();
            drop(watch);
            let watchers: Vec<_> =
                (0..WATCHERS).map(|_| scope.spawn(|| self.look_for_records(&watched))).collect();
            (senders.into_iter().map(joined).collect(), watchers.into_iter().map(joined).collect())
        });
        let (accepted, readable): (Result<Vec<_>>, Result<Vec<_>>) = (accepted, readable);
        self.wait_for_deliveries(due.len())?;
        let delivered = self.double.take();
        let delivered = due.iter().filter_map(|(number, due)| Some(ms(*delivered.get(number)? - *due)));
        Ok(Times {
            accepted: sorted(accepted?.into_iter().flatten()),
            readable: sorted(readable?.into_iter().flatten()),
            delivered: sorted(delivered),
        })
    }

    /// Sends the events of one connection, each when it is due.
    fn send(
        &self,
        index: u64,
        events: &Events,
        due: &HashMap<u64, Instant>,
        watch: &Sender<Watched>,
    ) -> Result<Vec<f64>> {
        let (mut client, mut request) = (Client::open(self.instance.address)?, self.request.clone());
        let mut times = Vec::new();
        for number in events.numbers().filter(|number| number % SENDERS == index) {
            let due = *due.get(&number).context("each event is due some time")?;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let (status, body) = client.send(request.of(events, number).context("each event is signed")?)?;
            ensure!(status == 200, "a webhook was answered by {status}: {body}");
            times.push(ms(due.elapsed()));
            if number % WATCHED_OF == 0 {
                watch.send(Watched { number, due })?;
            }
        }
        Ok(times)
    }

    /// Asks for the records of watched events until they can be read.
    fn look_for_records(&self, watched: &Mutex<Receiver<Watched>>) -> Result<Vec<f64>> {
        let (mut client, mut times) = (Client::open(self.instance.address)?, Vec::new());
        loop {
            let next = watched.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(Watched { number, due }) = next else { return Ok(times) };
            let tenant = usize::try_from(number)? % TENANTS;
            let token = self.tokens.get(tenant).context("each tenant has a token")?;
            let path = format!("/v1/tenants/bench-{tenant}/calls/{}", call_id(number));
            while client.get(&path, token)?.0 != 200 {
                ensure!(due.elapsed() < DELIVERY_MAX, "there was no {path} after {DELIVERY_MAX:?}");
                std::thread::sleep(LOOK_EVERY);
            }
            times.push(ms(due.elapsed()));
        }
    }

    fn wait_for_deliveries(&self, count: usize) -> Result<()> {
        let started = Instant::now();
        while self.double.count() < count {
            let missing = count - self.double.count();
            ensure!(started.elapsed() < DELIVERY_MAX, "{missing} of {count} events were not delivered");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

fn joined(thread: std::thread::ScopedJoinHandle<'_, Result<Vec<f64>>>) -> Result<Vec<f64>> {
    thread.join().unwrap_or_else(|_| anyhow::bail!("a thread of the load ended badly"))
}

/// When each event is due: gaps are exponential, from a fixed seed, so that each run has the same bursts.
pub(crate) fn arrivals(begin: Instant, rate: u64, numbers: std::ops::Range<u64>) -> HashMap<u64, Instant> {
    let (mut at, mut state) = (begin, 0x9E37_79B9_7F4A_7C15_u64);
    numbers
        .map(|number| {
            // xorshift64*, and of it the 53 bits that fit a float's fraction.
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            let uniform = (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1_u64 << 53) as f64;
            at += Duration::from_secs_f64(-(1.0 - uniform).ln() / rate as f64);
            (number, at)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_keep_their_rate_and_are_not_even() {
        let begin = Instant::now();
        let due = arrivals(begin, 500, 0..10_000);
        let at = |number: u64| (due[&number] - begin).as_secs_f64();
        assert!((19.0..21.0).contains(&at(9_999)), "{}", at(9_999));
        let gaps = sorted((1..10_000).map(|number| at(number) - at(number - 1)));
        assert!(percentile(&gaps, 0.99) > 6.0 * percentile(&gaps, 0.5), "the gaps of a Poisson process vary");
    }
}
