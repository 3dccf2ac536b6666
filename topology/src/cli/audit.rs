//! `leadline audit`.

use clap::{Args, Subcommand};
use leadline_schemas::{Millis, TenantId};

use super::output::Output;
use super::{Failure, Source, parse_time, records};

#[derive(Args)]
pub(super) struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Subcommand)]
enum AuditCommand {
    /// List what somebody should be able to find later, newest first: calls that no webhook told of, transcriptions that
    /// were skipped, scores by a stand-in, late events.
    #[command(
        after_help = "Example:\n  leadline audit list --tenant summit --kind missed_by_webhooks --from 2026-01-31 --data ./data"
    )]
    List(ListArgs),
}

#[derive(Args)]
struct ListArgs {
    /// Whose.
    #[arg(long)]
    tenant: String,
    /// Only this kind, such as missed_by_webhooks, medium_not_fetched, transcription_skipped, scored_by_fallback or late_event.
    #[arg(long)]
    kind: Option<String>,
    /// Not before this, a date or time such as 2026-01-31 or 2026-01-31T09:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from: Option<Millis>,
    /// Before this.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    to: Option<Millis>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(args: &AuditArgs, output: &Output) -> Result<(), Failure> {
    let AuditCommand::List(args) = &args.command;
    let config = args.source.read()?;
    let tenant = TenantId::new(&args.tenant).map_err(anyhow::Error::from)?;
    let reader = records(&config)?;
    let (from, to) = (args.from.unwrap_or(Millis(i64::MIN)), args.to.unwrap_or(Millis(i64::MAX)));
    let lines = reader.audit(&tenant, args.kind.as_deref(), from, to).map_err(anyhow::Error::from)?;
    if args.json {
        output.json(&lines);
        return Ok(());
    }
    for line in &lines {
        output.line(&format!("{}  {:<22} {}  {}", line.at, line.kind, line.subject, line.text));
    }
    output.line(&format!("{} lines", lines.len()));
    Ok(())
}
