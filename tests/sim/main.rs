//! The simulator: the real engine, operators, job executor and embedded log in one thread, in virtual time, on a
//! machine that fails. One seed is one run.
//!
//! ```sh
//! cargo test -p leadline-tests --test sim                    # some seeds, then the deliberate bugs
//! cargo test -p leadline-tests --test sim -- --seeds 1000    # more of them
//! cargo test -p leadline-tests --test sim -- --seed 42       # one, with its trace
//! cargo test -p leadline-tests --test sim -- --soak 3600     # new seeds for an hour
//! cargo test -p leadline-tests --test sim -- --day           # the day on which webhooks are lost
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]
#![allow(unreachable_pub, reason = "a program: its modules are its own")]

mod blob;
mod callers;
mod chain;
mod chance;
mod check;
mod clock;
mod day;
mod doubles;
mod faults;
mod folder;
mod layout;
mod log;
mod members;
mod oracle;
mod outside;
mod published;
mod run;
mod script;
mod teeth;
mod tenants;
mod topics;
mod world;

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use run::{Outcome, run};

/// Seeds of a run that is told nothing.
const SEEDS: u64 = 200;
/// Threads: each has runs of its own.
const THREADS: u64 = 2;
/// Lines of a trace that are printed.
const TRACE_LINES: usize = 60;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| -> Option<u64> {
        let at = args.iter().position(|arg| arg == name)?;
        args.get(at + 1).and_then(|text| text.parse().ok())
    };
    // `cargo test NAME` asks every test program for tests of that name.
    if args.first().is_some_and(|arg| !arg.starts_with('-')) {
        return ExitCode::SUCCESS;
    }
    leadline_operators::rules::warm_up();
    if let Some(seed) = value("--seed") {
        return show(seed);
    }
    if let Some(seconds) = value("--soak") {
        let first = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs()) << 20;
        return many(first, u64::MAX, Some(Duration::from_secs(seconds)));
    }
    if args.iter().any(|arg| arg == "--teeth") {
        return teeth::bite();
    }
    doubles::conform();
    match day::run(1) {
        Ok(line) => println!("{line}"),
        Err(why) => {
            println!("the day on which webhooks are lost: {why}");
            return ExitCode::FAILURE;
        }
    }
    if args.iter().any(|arg| arg == "--day") {
        return ExitCode::SUCCESS;
    }
    let first = value("--first").unwrap_or(1);
    let env = std::env::var("SIM_SEEDS").ok().and_then(|text| text.parse().ok());
    let seeds = value("--seeds").or(env).unwrap_or(SEEDS);
    let result = many(first, seeds, None);
    if result != ExitCode::SUCCESS || value("--seeds").is_some() {
        return result;
    }
    teeth::bite()
}

/// Runs one seed twice: what it shows, and that it is the same again.
fn show(seed: u64) -> ExitCode {
    let (outcome, again) = (run(seed), run(seed));
    outcome.trace.iter().for_each(|line| println!("{line}"));
    println!("{} events, {} lives", outcome.events, outcome.lives);
    if outcome.trace != again.trace {
        println!("seed {seed} is not the same twice");
        return ExitCode::FAILURE;
    }
    match outcome.found {
        Ok(()) => {
            println!("seed {seed}: holds");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("seed {seed}: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Runs seeds on all threads until one fails, they are all done, or the time is up.
fn many(first: u64, seeds: u64, within: Option<Duration>) -> ExitCode {
    let started = Instant::now();
    let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let (events, lives) = (AtomicU64::new(0), AtomicU64::new(0));
    let failed = std::sync::Mutex::new(None::<(u64, Outcome)>);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while failed.lock().unwrap().is_none()
                    && within.is_none_or(|within| started.elapsed() < within)
                {
                    let n = next.fetch_add(1, Relaxed);
                    if n >= seeds {
                        return;
                    }
                    let outcome = guarded(first + n);
                    done.fetch_add(1, Relaxed);
                    events.fetch_add(outcome.events as u64, Relaxed);
                    lives.fetch_add(u64::from(outcome.lives), Relaxed);
                    if outcome.found.is_err() {
                        *failed.lock().unwrap() = Some((first + n, outcome));
                    }
                }
            });
        }
    });
    println!(
        "simulator: {} seeds from {first}, {} events, {} lives in {:.1} s",
        done.load(Relaxed),
        events.load(Relaxed),
        lives.load(Relaxed),
        started.elapsed().as_secs_f64()
    );
    match failed.into_inner().unwrap() {
        None => ExitCode::SUCCESS,
        Some((seed, outcome)) => {
            report(seed, &outcome);
            ExitCode::FAILURE
        }
    }
}

/// A panic of anything simulated is a finding like any other.
fn guarded(seed: u64) -> Outcome {
    std::panic::catch_unwind(|| run(seed)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let found = Err(format!("panicked: {}", text.unwrap_or_default()));
        Outcome { found, trace: Vec::new(), lives: 0, events: 0 }
    })
}

fn report(seed: u64, outcome: &Outcome) {
    let skip = outcome.trace.len().saturating_sub(TRACE_LINES);
    outcome.trace.iter().skip(skip).for_each(|line| println!("{line}"));
    if let Err(why) = &outcome.found {
        println!("seed {seed}: {why}");
    }
    println!("again: cargo test -p leadline-tests --test sim -- --seed {seed}");
}
