//! stream: the log, decode, dedupe, one-minute windows, commit; beside a loop that only reads and parses.
//!
//! A log is filled first, as the HTTP source would fill it. Then the real engine runs over it in a process of its
//! own, once with state that fits in memory and once with state on disk; what it has committed is read back from
//! the log and compared with an oracle. CPU is that of the whole process, the opening of log and store included.

mod baseline;
mod check;
mod child;
mod engine;
mod events;
mod fill;
mod report;
mod timed;

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use leadline_connectors::clock_system::SystemClock;
use leadline_connectors::contract::clock::Clock;

use child::{Measured, Variant};
use events::Events;

/// Partitions of the log: those of the peers.
const PARTITIONS: u16 = 8;

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
        let mut plan = Self { events: 1_000_000, earlier: 4_000_000, rounds: 1, only: None };
        let mut rest = args;
        if let [first, others @ ..] = rest
            && let Some(variant) = Variant::named(first)
        {
            (plan.only, rest) = (Some(variant), others);
        }
        for pair in rest.chunks(2) {
            let [name, value] = pair else { bail!("{}: each argument is `--name NUMBER`", pair.concat()) };
            let number: u64 = value.parse().with_context(|| format!("{name} {value}: use a whole number"))?;
            match name.as_str() {
                "--events" => plan.events = number.max(1),
                "--earlier" => plan.earlier = number.max(1),
                "--rounds" => plan.rounds = number.max(1),
                _ => bail!("{name} is not an argument here: [memory|disk] --events N --earlier N --rounds N"),
            }
        }
        Ok(plan)
    }

    /// The events, the last of which has just happened: older ones would be backfills.
    fn events(self, variant: Variant) -> Result<Events> {
        let earlier = if variant == Variant::Disk { self.earlier } else { 0 };
        let span_ms = i64::try_from((earlier + self.events) * events::STEP_US / 1_000)?;
        Ok(Events::new(self.events, earlier, SystemClock.wall().plus(-span_ms - 60_000)))
    }
}

/// Runs it: `[memory|disk] --events 1000000 --earlier 4000000 --rounds 1`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    if let [first, rest @ ..] = args
        && first == child::COMMAND
    {
        return child::run(rest);
    }
    if let [first, folder, rest @ ..] = args
        && first == "--fill"
    {
        // For a profiler: `stream --fill DIR`, then `stream --engine DIR memory plain` under it.
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
    let earlier = if variant == Variant::Disk { plan.earlier } else { 0 };
    println!(
        "\n## state {}{}",
        variant.name(),
        if earlier > 0 { format!(", {earlier} ids before") } else { String::new() }
    );
    let events = plan.events(variant)?;
    let filled = tempfile::tempdir()?;
    fill::fill(filled.path(), &events)?;
    let mut samples = Vec::new();
    for round in 1..=plan.rounds {
        let baseline = baseline::run(filled.path(), &events)?;
        let plain = pass(filled.path(), &events, variant, false)?;
        let timed = pass(filled.path(), &events, variant, true)?;
        report::round(round, &plain, &baseline, events.count);
        samples.push((baseline, plain, timed));
    }
    report::shares(&samples, events.count);
    Ok(())
}

/// One run of the engine over a copy of the filled folder, and the comparison with the oracle.
fn pass(filled: &Path, events: &Events, variant: Variant, timed: bool) -> Result<Measured> {
    let folder = tempfile::tempdir()?;
    fill::copy(filled, folder.path())?;
    let measured = child::start(folder.path(), variant, timed)?;
    check::check(folder.path(), events)?;
    Ok(measured)
}
