//! `leadline layout`.

use clap::{Args, Subcommand};
use leadline::config::LogKind;
#[cfg(feature = "kafka")]
use leadline::layout::{apply::Cluster, plan::Asked, plan::Plan};

use super::output::Output;
use super::{Failure, Source};

#[derive(Args)]
pub(super) struct LayoutArgs {
    #[command(subcommand)]
    command: LayoutCommand,
}

#[derive(Subcommand)]
enum LayoutCommand {
    /// Say what a change would come to, or why it cannot be.
    #[command(after_help = "Example:\n  leadline layout plan --partitions 16 --spread summit=8")]
    Plan(ChangeArgs),
    /// Change the layout of a running cluster. A run that was stopped is gone on with by the next; the processes do
    /// not wait for it once events go to the new layout.
    #[command(
        after_help = "Example:\n  leadline layout apply --partitions 16\n  leadline layout apply --spread summit=8"
    )]
    Apply(ChangeArgs),
}

#[derive(Args)]
struct ChangeArgs {
    #[command(flatten)]
    source: Source,
    /// Kafka's brokers: host:port, more of them with commas.
    #[arg(long, value_name = "BROKERS")]
    brokers: Option<String>,
    /// How many brokers keep each record [default: 3].
    #[arg(long, value_name = "COUNT")]
    replication: Option<String>,
    /// Partitions of each topic but `settings`, 1 to 1024 [default: as many as there are].
    #[arg(long, value_name = "COUNT")]
    partitions: Option<u32>,
    /// Spread the callers of a tenant too big for one partition over this many slots, 1 to 256; it can only grow.
    #[arg(long, value_name = "TENANT=SLOTS", value_parser = parse_spread)]
    spread: Vec<(String, u32)>,
}

fn parse_spread(text: &str) -> Result<(String, u32), String> {
    let parts =
        text.split_once('=').and_then(|(tenant, slots)| Some((tenant.to_owned(), slots.parse().ok()?)));
    parts.ok_or_else(|| format!("{text:?} is no spread: use TENANT=SLOTS, such as summit=8"))
}

pub(super) fn run(args: &LayoutArgs, output: &Output) -> Result<(), Failure> {
    let (applies, args) = match &args.command {
        LayoutCommand::Plan(args) => (false, args),
        LayoutCommand::Apply(args) => (true, args),
    };
    // Brokers that are named make it a log on Kafka, whatever the file says; a name of its own takes nobody's place.
    let kind = args.brokers.as_ref().map(|_| "kafka".to_owned());
    let instance = Some("layout".to_owned());
    let flags = [
        ("log.kind", &kind),
        ("kafka.instance", &instance),
        ("kafka.brokers", &args.brokers),
        ("kafka.replication", &args.replication),
    ];
    let config = args.source.read_with(&flags)?;
    if config.log_kind == LogKind::Embedded {
        return Err(Failure(
            "the layout of an embedded log is fixed when it is made: start a new data folder with other `partitions` \
             and send its sources there, or move to Kafka, where the layout changes while everything runs"
                .to_owned(),
            2,
        ));
    }
    change(&config, args, applies, output)
}

#[cfg(feature = "kafka")]
fn change(
    config: &leadline::config::Config,
    args: &ChangeArgs,
    applies: bool,
    output: &Output,
) -> Result<(), Failure> {
    let cluster = Cluster::open(config)?;
    let plan = cluster.plan(&Asked { partitions: args.partitions, spreads: args.spread.clone() })?;
    match &plan {
        Plan::Nothing => output.line("the layout is as it should be"),
        Plan::GoOn(record) => output.line(&format!(
            "layout {} ({} partitions) is on its way{}",
            record.shape.generation,
            record.shape.partitions,
            if applies { "" } else { ": `leadline layout apply` brings it to its end" }
        )),
        Plan::Change(change) => {
            cluster.describe(change)?.iter().for_each(|line| output.line(line));
            if !applies {
                output.line("`leadline layout apply` does it; events are accepted all the while");
            }
        }
    }
    if applies {
        cluster.apply(plan, &mut |line| output.line(line))?;
    }
    Ok(())
}

/// Without Kafka no log kind but the embedded one is accepted.
#[cfg(not(feature = "kafka"))]
fn change(_: &leadline::config::Config, args: &ChangeArgs, applies: bool, _: &Output) -> Result<(), Failure> {
    let what = if applies { "changed" } else { "planned" };
    let asked = args.partitions.map_or(args.spread.len(), |_| args.spread.len() + 1);
    Err(Failure(format!("{asked} changes cannot be {what}: build leadline with --features kafka"), 2))
}
