//! `leadline topology` and `leadline plan`.

use clap::{Args, ValueEnum};
use leadline::engine::{Topology, describe};
use leadline::pipeline;
use leadline::plan::{self, Change};
use serde_json::{Value, json};

use super::output::Output;
use super::{Failure, Source};

#[derive(Args)]
pub(super) struct TopologyArgs {
    /// How to print it.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Mermaid,
    Dot,
    Json,
}

#[derive(Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    source: Source,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn topology(args: &TopologyArgs, output: &Output) -> Result<(), Failure> {
    let topology = describe(pipeline::pipeline);
    let mut edges: Vec<(&str, &str)> =
        topology.edges.iter().map(|edge| (edge.from.as_str(), edge.to.as_str())).collect();
    edges.sort_unstable();
    edges.dedup();
    match args.format {
        Format::Text => text(&topology, &edges, output),
        Format::Mermaid => {
            output.line("flowchart LR");
            edges.iter().for_each(|(from, to)| output.line(&format!("  {from} --> {to}")));
        }
        Format::Dot => {
            output.line("digraph leadline {\n  rankdir=LR;");
            edges.iter().for_each(|(from, to)| output.line(&format!("  {from} -> {to};")));
            output.line("}");
        }
        Format::Json => output.json(&json(&topology, &edges)),
    }
    Ok(())
}

fn text(topology: &Topology, edges: &[(&str, &str)], output: &Output) {
    for node in &topology.nodes {
        let from: Vec<&str> =
            edges.iter().filter(|(_, to)| *to == node.id.name).map(|(from, _)| *from).collect();
        output.line(&format!("{:>3} {:<12} <- {}", node.id.number, node.id.name, from.join(", ")));
        for table in &node.tables {
            let kept = table
                .ttl_ms
                .map_or_else(|| "kept until deleted".to_owned(), |ms| format!("kept {} d", ms / 86_400_000));
            output
                .line(&format!("      table {:<12} {} v{}, {kept}", table.name, table.record, table.version));
        }
    }
}

fn json(topology: &Topology, edges: &[(&str, &str)]) -> Value {
    let nodes = topology.nodes.iter().map(|node| {
        let tables = node.tables.iter().map(|table| {
            json!({ "table": table.name, "record": table.record, "version": table.version, "ttl_ms": table.ttl_ms })
        });
        json!({ "number": node.id.number, "operator": node.id.name, "tables": tables.collect::<Vec<_>>() })
    });
    json!({ "operators": nodes.collect::<Vec<_>>(), "edges": edges })
}

pub(super) fn plan(args: &PlanArgs, output: &Output) -> Result<(), Failure> {
    let config = args.source.read()?;
    let lines = plan::plan(&config.data)?;
    if args.json {
        output.json(&lines);
    } else {
        for line in &lines {
            let sign = match line.change {
                Change::Same => " ",
                Change::Added => "+",
                Change::Removed => "-",
                Change::Migratable => "~",
                Change::Incompatible => "!",
            };
            output.line(&format!("{sign} {:<28} {}", line.table, line.why));
        }
    }
    if lines.iter().any(|line| line.change == Change::Incompatible) {
        return Err(Failure("this binary cannot run the data folder".to_owned(), 1));
    }
    Ok(())
}
