//! `leadline tenant`.

use std::path::Path;

use clap::{Args, Subcommand};
use leadline::admin::{AiSpec, TenantSpec};
use leadline::config::control_socket;
use leadline::control::{Admin, Ask, ask_running};
use leadline::parts::Parts;
use serde_json::Value;

use super::output::Output;
use super::tenant_connect::ConnectArgs;
use super::{Failure, Source};

#[derive(Args)]
pub(super) struct TenantArgs {
    #[command(subcommand)]
    command: TenantCommand,
}

#[derive(Subcommand)]
enum TenantCommand {
    /// Add a tenant, or change one: what is not given stays.
    #[command(
        after_help = "Example:\n  leadline tenant add summit --name \"Summit Kitchens\" --company-id COM338e6107d0eb4712af2d4f2f8a18c900 --company-id 155920786 --signing-key KEY\n  leadline tenant add summit --form quote --form-origin https://www.summit.example --form-honeypot website\n  leadline tenant add summit --new-token"
    )]
    Add(Box<AddArgs>),
    /// List tenants, without secrets.
    #[command(after_help = "Example:\n  leadline tenant list --data ./data")]
    List(ListArgs),
    /// Give a company a new signing key; the one before stays accepted.
    #[command(
        after_help = "Example:\n  leadline tenant rotate-key summit --company-id 155920786 --signing-key KEY"
    )]
    RotateKey(RotateArgs),
    /// Connect a tenant's CallRail account: its webhooks are installed beside those of other tools, signing keys stored,
    /// calls that webhooks miss are asked for. Without --apply it only shows what would change.
    #[command(
        after_help = "Example:\n  leadline tenant connect-callrail summit --api-key-file key.txt --public-url https://hooks.example.com\n  leadline tenant connect-callrail summit --api-key-file key.txt --public-url https://hooks.example.com --company COM338e6107d0eb4712af2d4f2f8a18c900 --apply\n  leadline tenant connect-callrail summit --disconnect --apply"
    )]
    ConnectCallrail(Box<ConnectArgs>),
    /// Refuse a tenant's webhooks from now on.
    #[command(after_help = "Example:\n  leadline tenant remove summit")]
    Remove(RemoveArgs),
}

#[derive(Args)]
struct AddArgs {
    /// The tenant's id: a-z, 0-9, - and _.
    tenant: String,
    /// Its name for people.
    #[arg(long)]
    name: Option<String>,
    /// A CallRail company id, COM... or decimal; several may be given.
    #[arg(long = "company-id", value_name = "ID", num_args = 1..)]
    company_ids: Vec<String>,
    /// The company's signing key, from its Webhooks page at CallRail.
    #[arg(long, value_name = "KEY")]
    signing_key: Option<String>,
    /// A project type it offers (kitchen, roof, ...); several may be given.
    #[arg(long = "trade", value_name = "TRADE")]
    trades: Vec<String>,
    /// A city it serves; several may be given.
    #[arg(long = "city", value_name = "CITY")]
    cities: Vec<String>,
    /// A postcode it serves; several may be given.
    #[arg(long = "postcode", value_name = "POSTCODE")]
    postcodes: Vec<String>,
    /// The smallest project it takes, in dollars.
    #[arg(long, value_name = "DOLLARS", allow_negative_numbers = true)]
    min_budget: Option<i64>,
    /// Its time zone, such as America/Denver.
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// An address that leads and alerts are POSTed to; several may be given.
    #[arg(long = "integration", value_name = "URL")]
    integrations: Vec<String>,
    /// What deliveries are signed with.
    #[arg(long, value_name = "SECRET")]
    integration_secret: Option<String>,
    /// The lowest band that integrations want: hot, warm, nurture or cold.
    #[arg(long, value_name = "BAND")]
    band_min: Option<String>,
    /// The key of a web form to accept at /v1/forms/KEY; several may be given.
    #[arg(long = "form", value_name = "KEY")]
    forms: Vec<String>,
    /// An origin that browsers may send these forms from; several may be given, none allows all.
    #[arg(long = "form-origin", value_name = "ORIGIN")]
    form_origins: Vec<String>,
    /// The field of these forms that people do not see: whoever fills it in is a robot.
    #[arg(long, value_name = "FIELD")]
    form_honeypot: Option<String>,
    /// What these forms call our name, email, phone or message; several may be given.
    #[arg(long = "form-field", value_name = "OURS=THEIRS")]
    form_fields: Vec<String>,
    /// Who scores: rules, http for AI_MODEL_ENDPOINT, or a service of [scoring.NAME].
    #[arg(long, value_name = "WHO")]
    score_provider: Option<String>,
    #[command(flatten)]
    ai: AiArgs,
    /// Who transcribes calls that come without a transcript: a NAME of [transcription.NAME], or none; given again, who is asked
    /// when that one fails.
    #[arg(long = "transcribe", value_name = "NAME")]
    transcribe_providers: Vec<String>,
    /// What its callers speak, such as en-US or es-US.
    #[arg(long, value_name = "LANGUAGE")]
    language: Option<String>,
    /// No word leaves for an AI service.
    #[arg(long, value_name = "YES", num_args = 0..=1, default_missing_value = "true")]
    no_ai_processing: Option<bool>,
    /// Recordings are fetched, heard and kept.
    #[arg(long, value_name = "YES", num_args = 0..=1, default_missing_value = "true")]
    fetch_recordings: Option<bool>,
    /// Seconds from a ring to asking whether the call was missed.
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    missed_call_timer_s: Option<i32>,
    /// For how many days a caller's next contact joins the same lead.
    #[arg(long, value_name = "DAYS", allow_negative_numbers = true)]
    lead_window_days: Option<i32>,
    /// Forms and direct events that are taken a second; beyond it they hear 429.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    rate_per_s: Option<i32>,
    /// The tenant attests that callers are told of the recording.
    #[arg(long, value_name = "YES", num_args = 0..=1, default_missing_value = "true")]
    recording_disclosure_attested: Option<bool>,
    /// Give it a new API token; the one before is refused from then on.
    #[arg(long)]
    new_token: bool,
    #[command(flatten)]
    source: Source,
}

#[derive(Args)]
struct ListArgs {
    #[command(flatten)]
    source: Source,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct RotateArgs {
    /// The tenant.
    tenant: String,
    /// The company, by any of its ids.
    #[arg(long, value_name = "ID")]
    company_id: String,
    /// The new key.
    #[arg(long, value_name = "KEY")]
    signing_key: String,
    #[command(flatten)]
    source: Source,
}

#[derive(Args)]
struct RemoveArgs {
    /// The tenant.
    tenant: String,
    #[command(flatten)]
    source: Source,
}

/// Chains, budgets and prompts.
#[derive(Args)]
struct AiArgs {
    /// Who scores when the one before fails, the cheapest last; several may be given, "none" takes them away. The rules
    /// come last by themselves.
    #[arg(long = "score-fallback", value_name = "WHO")]
    score_fallbacks: Vec<String>,
    /// Spent on a day: from there on the cheapest of a chain is asked first. "none" takes it away.
    #[arg(long, value_name = "SUM")]
    ai_budget_soft: Option<String>,
    /// Spent on a day: from there on only the rules score, and nothing is transcribed. "none" takes it away.
    #[arg(long, value_name = "SUM")]
    ai_budget_hard: Option<String>,
    /// The scoring prompt; "none" for the newest.
    #[arg(long, value_name = "VERSION")]
    prompt: Option<String>,
}

impl AiArgs {
    fn spec(&self) -> AiSpec {
        AiSpec {
            score_fallbacks: self.score_fallbacks.clone(),
            ai_budget_soft: self.ai_budget_soft.clone(),
            ai_budget_hard: self.ai_budget_hard.clone(),
            prompt: self.prompt.clone(),
        }
    }
}

pub(super) fn run(args: &TenantArgs, output: &Output) -> Result<(), Failure> {
    match &args.command {
        TenantCommand::Add(args) => {
            let spec = TenantSpec {
                tenant: args.tenant.clone(),
                name: args.name.clone(),
                company_ids: args.company_ids.clone(),
                signing_key: args.signing_key.clone(),
                trades: args.trades.clone(),
                cities: args.cities.clone(),
                postcodes: args.postcodes.clone(),
                min_budget: args.min_budget,
                time_zone: args.time_zone.clone(),
                integrations: args.integrations.clone(),
                integration_secret: args.integration_secret.clone(),
                band_min: args.band_min.clone(),
                forms: args.forms.clone(),
                form_origins: args.form_origins.clone(),
                form_honeypot: args.form_honeypot.clone(),
                form_fields: args.form_fields.clone(),
                score_provider: args.score_provider.clone(),
                ai: args.ai.spec(),
                transcribe_providers: args.transcribe_providers.clone(),
                language: args.language.clone(),
                missed_call_timer_s: args.missed_call_timer_s,
                no_ai_processing: args.no_ai_processing,
                fetch_recordings: args.fetch_recordings,
                lead_window_days: args.lead_window_days,
                rate_per_s: args.rate_per_s,
                recording_disclosure_attested: args.recording_disclosure_attested,
                new_token: args.new_token,
            };
            output.json(&ask(&args.source, Ask::PutTenant { spec: Box::new(spec) })?);
        }
        TenantCommand::List(args) => {
            let tenants = ask(&args.source, Ask::ListTenants)?;
            if args.json {
                output.json(&tenants);
            } else {
                list(&tenants, output);
            }
        }
        TenantCommand::RotateKey(args) => {
            let ask_for = Ask::RotateKey {
                tenant: args.tenant.clone(),
                company_id: args.company_id.clone(),
                signing_key: args.signing_key.clone(),
            };
            output.json(&ask(&args.source, ask_for)?);
        }
        TenantCommand::ConnectCallrail(args) => return super::tenant_connect::run(args, output),
        TenantCommand::Remove(args) => {
            output.json(&ask(&args.source, Ask::RemoveTenant { tenant: args.tenant.clone() })?);
        }
    }
    Ok(())
}

fn list(tenants: &Value, output: &Output) {
    for tenant in tenants.as_array().into_iter().flatten() {
        let text = |name: &str| tenant.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let companies: Vec<&str> = tenant
            .get("companies")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|ids| ids.get(0)?.as_str())
            .collect();
        output.line(&format!("{:<20} {:<32} {}", text("tenant"), text("name"), companies.join(", ")));
    }
}

/// Asks the running instance on the data folder, else does it on the stopped one.
pub(super) fn ask(source: &Source, ask: Ask) -> Result<Value, Failure> {
    let config = source.read()?;
    if let Some(answer) = ask_running(&control_socket(Path::new(&config.data)), &ask)? {
        return Ok(answer);
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(anyhow::Error::from)?;
    let parts = Parts::open(&config)?;
    let answer = runtime.block_on(Admin::new(&parts).answer(ask))?;
    parts.close();
    Ok(answer)
}
