//! `leadline lead`.

use clap::{Args, Subcommand};
use leadline::admin::micros;
use leadline::control::Ask;
use leadline_schemas::TenantId;
use leadline_schemas::command::Command;

use super::output::Output;
use super::{Failure, Source, records, tenant};

#[derive(Args)]
pub(super) struct LeadArgs {
    #[command(subcommand)]
    command: LeadCommand,
}

#[derive(Subcommand)]
enum LeadCommand {
    /// Say what became of a lead: good or bad, and what was sold. It is the outcome that scores are measured by.
    #[command(
        after_help = "Example:\n  leadline lead feedback LEAD --tenant summit --good --sold 12500 --data ./data\n  leadline lead feedback LEAD --tenant summit --bad --note \"wanted a job\" --data ./data"
    )]
    Feedback(FeedbackArgs),
}

#[derive(Args)]
struct FeedbackArgs {
    /// The lead's id.
    lead: String,
    /// Whose.
    #[arg(long)]
    tenant: String,
    /// It was worth calling back.
    #[arg(long, required_unless_present = "bad", conflicts_with = "bad")]
    good: bool,
    /// It was not.
    #[arg(long)]
    bad: bool,
    /// What was sold, in the tenant's currency.
    #[arg(long, value_name = "SUM", conflicts_with = "bad")]
    sold: Option<String>,
    /// In your own words.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(args: &LeadArgs, output: &Output) -> Result<(), Failure> {
    let LeadCommand::Feedback(args) = &args.command;
    let config = args.source.read()?;
    let id = TenantId::new(&args.tenant).map_err(anyhow::Error::from)?;
    let reader = records(&config)?;
    let lead = reader.lead(&id, &args.lead).map_err(anyhow::Error::from)?;
    let Some(lead) = lead else {
        let why = format!("tenant {id} has no lead {:?}: GET /v1/tenants/{id}/leads lists them", args.lead);
        return Err(Failure(why, 1));
    };
    let sold_micros = args.sold.as_deref().map(|sold| micros("the sum", sold)).transpose();
    let command = Command::Feedback {
        caller: lead.caller.clone(),
        lead_id: lead.lead_id.to_string(),
        good: args.good,
        sold_micros: sold_micros.map_err(anyhow::Error::from)?,
        note: args.note.clone(),
    };
    let ask = Ask::AboutCaller { tenant: args.tenant.clone(), caller: lead.caller, command };
    output.json(&tenant::ask(&args.source, ask)?);
    Ok(())
}
