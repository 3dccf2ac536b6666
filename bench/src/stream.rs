//! stream: the log, decode, dedupe, one-minute windows, commit; beside a loop that only reads and parses.
//!
//! A log is filled first, as the HTTP source would fill it. Then the real engine runs over it in a process of its
//! own, once with state that fits in memory and once with state on disk; what it has committed is read back from
//! the log and compared with an oracle. CPU is that of the whole process, the opening of log and store included.

mod baseline;
pub(crate) mod check;
pub(crate) mod child;
pub(crate) mod engine;
pub(crate) mod events;
pub(crate) mod fill;
mod report;
mod timed;

use std::path::Path;

use anyhow::Result;

use crate::arguments::numbers;
use child::Variant;
use events::Events;
use report::Round;

/// Partitions of the log: those of the peers.
pub(crate) const PARTITIONS: u16 = 8;

/// What is run.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// Events in the log.
    events: u64,
    /// Ids that the state on disk holds before.
    earlier: u64,
    /// How often everything is run.
    rounds: u64,
    /// One variant; none = both.
    only: Option<Variant>,
}

impl Plan {
    fn parse(args: &[String]) -> Result<Self> {
        let named = args.first().and_then(|first| Variant::named(first));
        let rest = args.get(usize::from(named.is_some())..).unwrap_or_default();
        let known = [("events", 1_000_000), ("earlier", 4_000_000), ("rounds", 3)];
        let [events, earlier, rounds] = numbers(rest, known)?;
        Ok(Self { events, earlier, rounds, only: named })
    }

    fn events(self, variant: Variant) -> Result<Events> {
        let earlier = if variant == Variant::Disk { self.earlier } else { 0 };
        Events::until_now(self.events, earlier)
    }
}

/// Runs it: `[memory|disk] --events 1000000 --earlier 4000000 --rounds 3`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    if let [first, rest @ ..] = args
        && first == child::COMMAND
    {
        return child::run(rest);
    }
    if let [first, folder, rest @ ..] = args
        && first == "--fill"
    {
        // For a profiler: `stream --fill DIR`, then `stream --engine DIR memory` under it.
        return fill::fill(Path::new(folder), &Plan::parse(rest)?.events(Variant::Memory)?);
    }
    let plan = Plan::parse(args)?;
    println!(
        "{} events of {} bytes, {} tenants, {PARTITIONS} partitions; CPU in seconds per million events",
        plan.events,
        events::BODY_BYTES,
        events::TENANTS
    );
    for variant in Variant::ALL {
        if plan.only.is_none_or(|only| only == variant) {
            run_variant(plan, variant)?;
        }
    }
    Ok(())
}

fn run_variant(plan: Plan, variant: Variant) -> Result<()> {
    let events = plan.events(variant)?;
    println!("\n## state: {}", variant.about(events.earlier));
    let filled = tempfile::tempdir()?;
    fill::fill(filled.path(), &events)?;
    let mut rounds = Vec::new();
    for number in 1..=plan.rounds {
        let baseline = baseline::run(filled.path(), &events)?;
        let folder = tempfile::tempdir()?;
        fill::copy(filled.path(), folder.path())?;
        let engine = child::start(folder.path(), variant)?;
        let frames_s = check::check(folder.path(), &events)?;
        let round = Round { baseline, engine, frames_s };
        round.print(number, events.count);
        rounds.push(round);
    }
    report::shares(&rounds, events.count);
    Ok(())
}
