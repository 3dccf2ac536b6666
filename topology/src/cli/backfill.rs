//! `leadline backfill`.

use std::time::{Duration, Instant};

use clap::Args;
use indicatif::ProgressBar;
use leadline::callrail::BackfillStep;
use leadline::control::Ask;
use leadline_schemas::request::{Request, RequestStatus};
use leadline_schemas::{Millis, TenantId};
use serde_json::Value;

use super::output::Output;
use super::tenant::ask;
use super::{Failure, Source, parse_time, records};

/// How often its progress is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Without a word of it for this long, nobody works on it.
const SILENCE_MAX: Duration = Duration::from_secs(30);

#[derive(Args)]
pub(super) struct BackfillArgs {
    /// Whose calls.
    #[arg(long)]
    tenant: String,
    /// The first start that is listed, a date or time such as 2026-01-31 or 2026-01-31T09:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from: Millis,
    /// The last start that is listed [default: when the account was connected; what came since is listed anyway].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    to: Option<Millis>,
    /// Send what it finds to CRMs and receivers of HTTP, with the first backfill of a range: what is known already is not
    /// sent again. Nobody is alerted of old calls, and Slack and email hear nothing of them.
    #[arg(long)]
    deliver: bool,
    /// Do not wait for its end. It goes on by itself either way; the same command shows how far it is.
    #[arg(long)]
    no_wait: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(args: &BackfillArgs, output: &Output) -> Result<(), Failure> {
    let step =
        BackfillStep { tenant: args.tenant.clone(), from: args.from, to: args.to, deliver: args.deliver };
    let begun = ask(&args.source, Ask::Backfill { step })?;
    let text = |name: &str| begun.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    if !args.json {
        output.line(&format!("calls of account {} from {} to {}", text("account"), text("from"), text("to")));
    }
    let request = match args.no_wait {
        true => None,
        false => Some(wait(args, &text("shown_to"), &text("request_id"))?),
    };
    let reason = request.as_ref().and_then(|request| request.reason.clone()).unwrap_or_default();
    match (&request, args.json) {
        (Some(request), true) => {
            let mut shown = begun.clone();
            if let Some(fields) = shown.as_object_mut() {
                fields.insert("status".to_owned(), request.status.name().into());
                fields.insert("progress".to_owned(), reason.clone().into());
            }
            output.json(&shown);
        }
        (None, true) => output.json(&begun),
        (Some(_), false) => output.line(&reason),
        (None, false) => output.line("it goes on by itself; the same command shows how far it is"),
    }
    match request {
        Some(request) if request.status == RequestStatus::Failed => {
            Err(Failure(format!("it was given up: {reason}; the same command goes on with it"), 1))
        }
        _ => Ok(()),
    }
}

/// Waits until it is done or given up.
fn wait(args: &BackfillArgs, shown_to: &str, request_id: &str) -> Result<Request, Failure> {
    let config = args.source.read()?;
    let tenant = TenantId::new(shown_to).map_err(anyhow::Error::from)?;
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(LOOK);
    let (begun, mut heard, mut reader) = (Instant::now(), false, None);
    loop {
        // A store that is not there yet is made by the instance that works on it.
        reader = reader.or_else(|| records(&config).ok());
        let found = reader.as_ref().and_then(|reader| reader.request(&tenant, request_id).ok().flatten());
        if let Some(request) = found {
            heard = true;
            bar.set_message(request.reason.clone().unwrap_or_default());
            if request.status != RequestStatus::Processing {
                bar.finish_and_clear();
                return Ok(request);
            }
        }
        if !heard && begun.elapsed() > SILENCE_MAX {
            bar.finish_and_clear();
            let why = "it was asked for, and nobody works on it: start leadline on this data folder";
            return Err(Failure(why.to_owned(), 1));
        }
        std::thread::sleep(LOOK);
    }
}
