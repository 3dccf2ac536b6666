//! `leadline integration setup` and `leadline integration connect`.

use clap::Args;
use leadline::control::Ask;
use leadline::crms::CrmStep;
use serde_json::Value;

use super::output::Output;
use super::tenant::ask;
use super::{Failure, Source};

#[derive(Args)]
pub(super) struct SetupArgs {
    /// The tenant.
    tenant: String,
    /// The integration.
    id: String,
    /// Make what is missing and ours; without, it is only shown what would be made.
    #[arg(long)]
    apply: bool,
    #[command(flatten)]
    source: Source,
}

#[derive(Args)]
pub(super) struct ConnectArgs {
    /// The tenant.
    tenant: String,
    /// The integration; one that is not there yet is made when the account is connected.
    id: String,
    /// hubspot, salesforce, pipedrive or slack; needed for an integration that is not there yet.
    #[arg(long)]
    kind: Option<String>,
    #[command(flatten)]
    source: Source,
}

pub(super) fn setup(args: &SetupArgs, output: &Output) -> Result<(), Failure> {
    let step = CrmStep::Setup { apply: args.apply };
    let (tenant, integration) = (args.tenant.clone(), args.id.clone());
    let answer = ask(&args.source, Ask::Crm { tenant, integration, step })?;
    let fields = answer.get("fields").and_then(Value::as_array).cloned().unwrap_or_default();
    let is_good = |field: &Value| field.get("good").and_then(Value::as_bool) == Some(true);
    for field in &fields {
        let text = |name: &str| field.get(name).and_then(Value::as_str).unwrap_or_default();
        output.line(&format!("{:<32} {}", text("field"), text("found")));
    }
    let missing = fields.iter().filter(|field| !is_good(field)).count();
    match (missing, args.apply) {
        (0, _) => output.line("\nall is there"),
        (_, false) => output.line("\nnothing was changed; --apply makes what leadline can make"),
        (count, true) => {
            return Err(Failure(format!("{count} fields need a person: see above"), 1));
        }
    }
    Ok(())
}

pub(super) fn connect(args: &ConnectArgs, output: &Output) -> Result<(), Failure> {
    let step = CrmStep::Connect { kind: args.kind.clone() };
    let (tenant, integration) = (args.tenant.clone(), args.id.clone());
    let answer = ask(&args.source, Ask::Crm { tenant, integration, step })?;
    let link = answer.get("link").and_then(Value::as_str).unwrap_or_default();
    let hours = answer.get("hours").and_then(Value::as_i64).unwrap_or_default();
    output
        .line(&format!("open this in the browser of whoever may allow it, within {hours} hours:\n\n{link}"));
    Ok(())
}
