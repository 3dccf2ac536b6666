//! `leadline delivery`.

use std::sync::Arc;

use clap::{Args, Subcommand};
use leadline::control::Ask;
use leadline::integrations::IntegrationStep;
use leadline_connectors::api_http::{Replay, caller_of, delivery_detail_json, delivery_json, to_replay};
use leadline_connectors::contract::store::{Page, RecordReader};
use leadline_schemas::command::Command;
use leadline_schemas::delivery::{Delivery, DeliveryStatus};
use leadline_schemas::{Millis, TenantId};
use serde_json::{Value, json};

use super::output::Output;
use super::tenant::ask;
use super::{Failure, Source, parse_time};

/// What a delivery can be.
const STATUSES: [&str; 6] = ["queued", "sending", "done", "parked", "unclear", "skipped"];

#[derive(Args)]
pub(super) struct DeliveryArgs {
    #[command(subcommand)]
    command: DeliveryCommand,
}

#[derive(Subcommand)]
enum DeliveryCommand {
    /// List deliveries, newest first.
    #[command(
        after_help = "Example:\n  leadline delivery list --tenant summit --status parked --data ./data"
    )]
    List(ListArgs),
    /// Show one: what was sent and answered last, secrets masked, and how its last attempts ended.
    #[command(
        after_help = "Example:\n  leadline delivery show sales missed:CAL0123 --tenant summit --data ./data"
    )]
    Show(OneArgs),
    /// Send one again now.
    #[command(
        after_help = "Example:\n  leadline delivery retry sales missed:CAL0123 --tenant summit --data ./data"
    )]
    Retry(OneArgs),
    /// Leave one out.
    #[command(
        after_help = "Example:\n  leadline delivery skip sales missed:CAL0123 --tenant summit --data ./data"
    )]
    Skip(OneArgs),
    /// Send the deliveries of a time range again, each by itself. Without --yes it only shows which.
    #[command(
        after_help = "Example:\n  leadline delivery replay --tenant summit --from 2026-03-01 --to 2026-03-02 --data ./data\n  leadline delivery replay --tenant summit --integration erp --status parked --from 2026-03-01 --to 2026-03-02 --yes --data ./data"
    )]
    Replay(ReplayArgs),
}

#[derive(Args)]
struct ListArgs {
    /// The tenant.
    #[arg(long)]
    tenant: String,
    /// Only those that are so.
    #[arg(long, value_parser = STATUSES)]
    status: Option<String>,
    /// How many at most, 1 to 200.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: u16,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

#[derive(Args)]
struct OneArgs {
    /// The integration.
    integration: String,
    /// The lead, or missed: and a call.
    subject: String,
    /// The tenant.
    #[arg(long)]
    tenant: String,
    #[command(flatten)]
    source: Source,
}

#[derive(Args)]
struct ReplayArgs {
    /// The tenant.
    #[arg(long)]
    tenant: String,
    /// Queued at this time or later.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from: Millis,
    /// Queued before this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    to: Millis,
    /// Only those of this integration.
    #[arg(long)]
    integration: Option<String>,
    /// Only those that are so.
    #[arg(long, value_parser = STATUSES)]
    status: Option<String>,
    /// Send them.
    #[arg(long)]
    yes: bool,
    /// Only show which: so it is without --yes too.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(args: &DeliveryArgs, output: &Output) -> Result<(), Failure> {
    match &args.command {
        DeliveryCommand::List(args) => list(args, output),
        DeliveryCommand::Show(args) => {
            let (reader, tenant) = open(&args.source, &args.tenant)?;
            let found = reader.delivery(&tenant, &args.integration, &args.subject);
            let found = found.map_err(anyhow::Error::from)?.ok_or_else(|| unknown(args))?;
            output.json(&delivery_detail_json(&found));
            Ok(())
        }
        DeliveryCommand::Retry(args) => {
            let (integration, subject) = (args.integration.clone(), args.subject.clone());
            act(args, Command::RetryDelivery { integration, subject }, output)
        }
        DeliveryCommand::Skip(args) => {
            let (integration, subject) = (args.integration.clone(), args.subject.clone());
            act(args, Command::SkipDelivery { integration, subject }, output)
        }
        DeliveryCommand::Replay(args) => replay(args, output),
    }
}

fn open(source: &Source, tenant: &str) -> Result<(Arc<dyn RecordReader>, TenantId), Failure> {
    let tenant = TenantId::new(tenant).map_err(anyhow::Error::from)?;
    Ok((super::records(&source.read()?)?, tenant))
}

/// Where nothing was found: refused if there is no such tenant, for its name may be misspelt.
fn is_tenant(source: &Source, tenant: &TenantId) -> Result<(), Failure> {
    let (tenant, step) = (tenant.to_string(), Box::new(IntegrationStep::List));
    ask(source, Ask::Integrations { tenant, step }).map(drop)
}

fn unknown(args: &OneArgs) -> Failure {
    let (integration, subject) = (&args.integration, &args.subject);
    Failure(
        format!(
            "there is no delivery to {integration:?} about {subject:?}: `leadline delivery list` shows them"
        ),
        1,
    )
}

fn list(args: &ListArgs, output: &Output) -> Result<(), Failure> {
    let (reader, tenant) = open(&args.source, &args.tenant)?;
    let page = Page { limit: args.limit.into(), status: args.status.clone(), ..Page::default() };
    let listed = reader.deliveries(&tenant, &page).map_err(anyhow::Error::from)?;
    if listed.items.is_empty() {
        is_tenant(&args.source, &tenant)?;
    }
    if args.json {
        output.json(&listed.items.iter().map(delivery_json).collect::<Vec<_>>());
        return Ok(());
    }
    listed.items.iter().for_each(|line| output.line(&shown(line)));
    output.line(&format!("{} deliveries", listed.items.len()));
    Ok(())
}

fn shown(line: &Delivery) -> String {
    let why = line.reason.as_deref().unwrap_or_default();
    let (status, attempts) = (line.status.name(), line.attempts);
    format!(
        "{}  {:<12} {:<8} {attempts} attempts  {}  {why}",
        line.queued_at, line.integration, status, line.subject
    )
}

fn act(args: &OneArgs, command: Command, output: &Output) -> Result<(), Failure> {
    let (reader, tenant) = open(&args.source, &args.tenant)?;
    let line = reader.delivery(&tenant, &args.integration, &args.subject).map_err(anyhow::Error::from)?;
    let line = line.ok_or_else(|| unknown(args))?;
    if let Some(why) = pointless(&command, line.status) {
        return Err(Failure(why.to_owned(), 1));
    }
    let caller = caller_of(&*reader, &tenant, &args.subject).map_err(anyhow::Error::from)?;
    let caller = caller.ok_or_else(|| unknown(args))?;
    output.json(&about(&args.source, &tenant, caller, command)?);
    Ok(())
}

/// Why a command would change nothing.
fn pointless(command: &Command, status: DeliveryStatus) -> Option<&'static str> {
    match (command, status) {
        (Command::RetryDelivery { .. }, DeliveryStatus::Sending) => {
            Some("it is under way already: `leadline delivery show` tells what comes of it")
        }
        (Command::SkipDelivery { .. }, DeliveryStatus::Done) => {
            Some("it has arrived already: there is nothing left to skip")
        }
        _ => None,
    }
}

fn about(source: &Source, tenant: &TenantId, caller: String, command: Command) -> Result<Value, Failure> {
    ask(source, Ask::AboutCaller { tenant: tenant.to_string(), caller, command })
}

fn replay(args: &ReplayArgs, output: &Output) -> Result<(), Failure> {
    if args.from >= args.to {
        let why = format!("--from {} is not before --to {}: no time lies between them", args.from, args.to);
        return Err(Failure(why, 2));
    }
    let (reader, tenant) = open(&args.source, &args.tenant)?;
    let replay = Replay {
        from: Some(args.from),
        to: Some(args.to),
        integration: args.integration.clone(),
        status: args.status.clone(),
    };
    let (found, more) = to_replay(&*reader, &tenant, &replay).map_err(anyhow::Error::from)?;
    if found.is_empty() {
        is_tenant(&args.source, &tenant)?;
    }
    for (line, caller) in found.iter().filter(|_| args.yes) {
        let (integration, subject) = (line.integration.clone(), line.subject.clone());
        about(&args.source, &tenant, caller.clone(), Command::RetryDelivery { integration, subject })?;
    }
    if args.json {
        let items: Vec<Value> = found.iter().map(|(line, _)| delivery_json(line)).collect();
        output.json(&json!({ "dry_run": !args.yes, "items": items, "more": more }));
        return Ok(());
    }
    found.iter().for_each(|(line, _)| output.line(&shown(line)));
    let what = if args.yes { "are sent again" } else { "would be sent again: --yes sends them" };
    let rest = if more { ", and there are more: replay up to the oldest of these next" } else { "" };
    output.line(&format!("{} deliveries {what}{rest}", found.len()));
    Ok(())
}
