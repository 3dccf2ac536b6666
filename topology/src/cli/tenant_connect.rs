//! `leadline tenant connect-callrail`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use leadline::callrail::ConnectStep;
use leadline::control::Ask;
use serde_json::Value;

use super::output::Output;
use super::tenant::ask;
use super::{Failure, Source};

/// How long a step that CallRail's limit holds up is waited for, all in all: an hour's limit frees within an hour.
const WAIT_MAX: Duration = Duration::from_secs(3_700);
/// A pause between two tries.
const AGAIN: Duration = Duration::from_secs(20);

#[derive(Args)]
pub(super) struct ConnectArgs {
    /// The tenant; `leadline tenant add` makes one.
    tenant: String,
    /// A file with a key of CallRail's API (CallRail: Settings, API keys) [default: the key given before].
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    /// The account, ACC... [default: the one given before, or the only one that the key sees].
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// A company of the account, COM...; several may be given [default: the tenant's own, or the only one].
    #[arg(long = "company", value_name = "COMPANY", num_args = 1..)]
    companies: Vec<String>,
    /// Where CallRail reaches leadline, such as https://hooks.example.com [default: the one given before].
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Scores are written to its calls: tags, a note, the lead status.
    #[arg(long, value_name = "YES", num_args = 0..=1, default_missing_value = "true")]
    write_back: Option<bool>,
    /// Take leadline's addresses out of the integrations, and forget the account.
    #[arg(long)]
    disconnect: bool,
    /// Do it; without, it is only shown what would change.
    #[arg(long)]
    apply: bool,
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(args: &ConnectArgs, output: &Output) -> Result<(), Failure> {
    let mut step = ConnectStep {
        tenant: args.tenant.clone(),
        api_key: args.api_key_file.as_ref().map(read_key).transpose()?,
        account: args.account.clone(),
        companies: args.companies.clone(),
        public_url: args.public_url.clone(),
        write_back: args.write_back,
        apply: args.apply,
        disconnect: args.disconnect,
        ..ConnectStep::default()
    };
    let account = patiently(args, &step, output)?;
    let text =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    output.line(&format!("account {} {}", text(&account, "account"), text(&account, "name")));
    output.line(&format!("webhooks to {}", text(&account, "public_url")));
    step.account = Some(text(&account, "account")).filter(|account| !account.is_empty());
    let (mut count, companies) = (0, list(&account, "companies"));
    for (place, company) in companies.iter().enumerate() {
        step.company = Some(text(company, "id"));
        step.company_name = Some(text(company, "name")).filter(|name| !name.is_empty());
        let found = patiently(args, &step, output)?;
        let of_all = format!("{} of {}", place + 1, companies.len());
        output.line(&format!("\ncompany {} {} ({of_all})", text(company, "id"), text(company, "name")));
        count += show(&found, args.apply, output);
    }
    if args.disconnect && args.apply && !companies.is_empty() {
        // The key was needed until now.
        (step.company, step.company_name) = (None, None);
        patiently(args, &step, output)?;
    }
    output.line(match (args.apply, count) {
        (true, 0) => "\nnothing was to be changed",
        (true, _) => "\ndone",
        (false, 0) => "\nnothing is to be changed at CallRail; --apply stores the account",
        (false, _) => "\nnothing was changed; --apply does it",
    });
    Ok(())
}

/// Shows what a company's integration has, and would have; answers how many changes that are.
fn show(found: &Value, applied: bool, output: &Output) -> usize {
    let flag = |name: &str| found.get(name).and_then(Value::as_bool).unwrap_or(false);
    let mut count = 0;
    match found.get("state").and_then(Value::as_str) {
        Some(state) if flag("activates") => {
            count += 1;
            output.line(&format!("  integration: {state} -> active"));
        }
        Some(state) => output.line(&format!("  integration: {state}")),
        None if flag("activates") => {
            count += 1;
            output.line("  integration: none -> a new one");
        }
        None => output.line("  integration: none"),
    }
    let others = found.get("others").and_then(Value::as_object).cloned().unwrap_or_default();
    let changes = list(found, "changes");
    let of_list = |change: &Value, name: &str| change.get("list").and_then(Value::as_str) == Some(name);
    let mut names: Vec<String> = others.keys().cloned().collect();
    for change in &changes {
        let name = change.get("list").and_then(Value::as_str).unwrap_or_default().to_owned();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for name in names {
        let own: Vec<&Value> = changes.iter().filter(|change| of_list(change, &name)).collect();
        let others = others.get(&name).and_then(Value::as_array).cloned().unwrap_or_default();
        if own.is_empty() {
            continue;
        }
        count += own.len();
        output.line(&format!("  {name}"));
        others.iter().filter_map(Value::as_str).for_each(|address| output.line(&format!("      {address}")));
        for change in own {
            let sign = if change.get("adds").and_then(Value::as_bool) == Some(true) { '+' } else { '-' };
            let address = change.get("address").and_then(Value::as_str).unwrap_or_default();
            output.line(&format!("    {sign} {address}"));
        }
    }
    if count == 0 && !applied {
        output.line("  as it should be");
    }
    for warning in list(found, "warnings") {
        output.line(&format!("  warning: {}", warning.as_str().unwrap_or_default()));
    }
    count
}

fn list(value: &Value, name: &str) -> Vec<Value> {
    value.get(name).and_then(Value::as_array).cloned().unwrap_or_default()
}

/// One step; where CallRail's limit holds it up, it is tried again and said so.
fn patiently(args: &ConnectArgs, step: &ConnectStep, output: &Output) -> Result<Value, Failure> {
    let mut waited = Duration::ZERO;
    loop {
        let answer = ask(&args.source, Ask::ConnectCallrail { step: Box::new(step.clone()) });
        match answer {
            Err(Failure(why, _)) if why.contains("asked again in") && waited < WAIT_MAX => {
                output.error(&format!("{why}; waiting"));
                std::thread::sleep(AGAIN);
                waited += AGAIN;
            }
            answer => return answer,
        }
    }
}

fn read_key(path: &PathBuf) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure(format!("--api-key-file {} cannot be read: {error}", path.display()), 1))?;
    let key = text.trim();
    if key.is_empty() || key.contains(char::is_whitespace) {
        return Err(Failure(format!("--api-key-file {} has no key alone in it", path.display()), 1));
    }
    Ok(key.to_owned())
}
