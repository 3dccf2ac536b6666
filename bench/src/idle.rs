//! idle: what an instance takes that has nothing to do, and how soon it takes events.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::arguments::numbers;
use crate::instance::{Instance, START_MAX, folder};
use crate::load::{self, Plan};
use crate::payload::{Events, Request, now};
use crate::process::{cpu_s, memory};
use crate::stats::{median, ms};

/// Events that the folder of the idle instance holds: a small company's month.
const EVENTS: u64 = 5_000;
const CONNECTIONS: usize = 8;
const TENANTS: usize = 16;
const BODY_BYTES: usize = 1_024;

/// Runs it: `--seconds 10 --starts 7`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let [seconds, starts] = numbers(args, [("seconds", 10), ("starts", 7)])?;
    let fresh = (0..starts).map(|_| {
        let data = folder()?;
        Ok(ms(Instance::start("all", data.path())?.ready_after))
    });
    report("start to ready, new folder", &fresh.collect::<Result<Vec<_>>>()?);

    let data = folder()?;
    fill(data.path())?;
    let filled = (0..starts).map(|_| {
        let instance = Instance::start("all", data.path())?;
        let took = ms(instance.ready_after);
        instance.terminate()?;
        Ok(took)
    });
    report("start to ready, after 5,000 events", &filled.collect::<Result<Vec<_>>>()?);

    let instance = Instance::start("all", data.path())?;
    instance.settle(START_MAX)?;
    let (before, started) = (cpu_s(instance.pid())?, Instant::now());
    std::thread::sleep(Duration::from_secs(seconds));
    let share = (cpu_s(instance.pid())? - before) / started.elapsed().as_secs_f64();
    let memory = memory(instance.pid())?;
    println!("idle for {seconds} s: {:.2}% of a core", share * 100.0);
    println!("resident: {:.0} MB, {:.0} MB at most since its start", memory.resident_mb, memory.peak_mb);
    Ok(())
}

/// Takes in the events and works them off.
fn fill(data: &Path) -> Result<()> {
    let instance = Instance::start("all", data)?;
    instance.add_tenants(TENANTS, |_| {})?;
    let request = Request::post_call(BODY_BYTES, TENANTS, &now()?)?;
    let events = Events::sign(&request, 0, EVENTS)?;
    let plan = Plan { warm_up: Duration::ZERO, measure: None, begins: &mut || Ok(()) };
    let answers = load::run(instance.address, CONNECTIONS, &request, &events, plan)?;
    ensure!(answers.refused == 0, "{} requests were refused: {:?}", answers.refused, answers.refusal);
    instance.settle(START_MAX)?;
    let memory = memory(instance.pid())?;
    println!("resident after {EVENTS} events: {:.0} MB", memory.resident_mb);
    instance.terminate()
}

fn report(what: &str, times_ms: &[f64]) {
    let worst = times_ms.iter().copied().fold(0.0, f64::max);
    println!(
        "{what}: {:.0} ms, at worst {worst:.0} ms of {}",
        median(times_ms.iter().copied()),
        times_ms.len()
    );
}
