//! `leadline topics`.

use anyhow::anyhow;
use clap::{Args, Subcommand};
use leadline::logs::{all_settings, kafka_config};
use leadline_connectors::log_kafka::topics;

use super::output::Output;
use super::{Failure, Source};

#[derive(Args)]
pub(super) struct TopicsArgs {
    #[command(subcommand)]
    command: TopicsCommand,
}

#[derive(Subcommand)]
enum TopicsCommand {
    /// Say what `apply` would do.
    Plan(PlaceArgs),
    /// Make missing topics and set what differs. Partitions never change in place.
    Apply(PlaceArgs),
}

#[derive(Args)]
struct PlaceArgs {
    #[command(flatten)]
    source: Source,
    /// Kafka's brokers: host:port, more of them with commas.
    #[arg(long, value_name = "BROKERS")]
    brokers: Option<String>,
    /// Partitions of each topic but `settings` [default: 16].
    #[arg(long, value_name = "COUNT")]
    partitions: Option<String>,
    /// How many brokers keep each record [default: 3].
    #[arg(long, value_name = "COUNT")]
    replication: Option<String>,
}

pub(super) fn run(args: &TopicsArgs, output: &Output) -> Result<(), Failure> {
    let (applies, place) = match &args.command {
        TopicsCommand::Plan(place) => (false, place),
        TopicsCommand::Apply(place) => (true, place),
    };
    // This command needs the brokers, whatever the log of a process that would run here is, and no instance.
    let (kind, instance) = (Some("kafka".to_owned()), Some("topics".to_owned()));
    let flags = [
        ("log.kind", &kind),
        ("kafka.instance", &instance),
        ("kafka.brokers", &place.brokers),
        ("partitions", &place.partitions),
        ("kafka.replication", &place.replication),
    ];
    let config = place.source.read_with(&flags)?;
    let (mut kafka, partitions) = (kafka_config(&config), config.partitions);
    // The topics in use: a change of layout has made others.
    if let Some(layout) = all_settings(&config)?.layout() {
        kafka = kafka.of_generation(layout.shape.generation);
    }
    let lines = match applies {
        true => topics::apply(&kafka, partitions, config.kafka.replication),
        false => topics::plan(&kafka, partitions, config.kafka.replication),
    };
    let lines = lines.map_err(anyhow::Error::from)?;
    lines.iter().for_each(|line| output.line(&line.to_string()));
    let refused = lines.iter().filter(|line| line.is_refusal()).count();
    if refused > 0 {
        return Err(anyhow!(
            "{refused} topics have another number of partitions, which never changes in place"
        )
        .into());
    }
    let changes = lines.iter().filter(|line| line.is_change()).count();
    output.line(&match (applies, changes) {
        (_, 0) => format!("{} topics are as they should be", lines.len()),
        (true, _) => format!("{changes} changes were made"),
        (false, _) => format!("{changes} changes: `leadline topics apply` makes them"),
    });
    Ok(())
}
