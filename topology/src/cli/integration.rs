//! `leadline integration`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use leadline::control::Ask;
use leadline::integrations::{IntegrationSpec, IntegrationStep, Sample};
use serde_json::Value;

use super::integration_crm::{self, ConnectArgs, SetupArgs};
use super::output::Output;
use super::tenant::ask;
use super::{Failure, Source};

#[derive(Args)]
pub(super) struct IntegrationArgs {
    #[command(subcommand)]
    command: IntegrationCommand,
}

#[derive(Subcommand)]
enum IntegrationCommand {
    /// Add an integration, or change what is given of one that is there.
    #[command(
        after_help = "Example:\n  leadline integration add summit sales --kind slack --secret xoxb-... --option channel=C0123456789\n  leadline integration add summit sales --kind slack --secret https://hooks.slack.com/services/...\n  leadline integration add summit erp --kind webhook --url https://erp.example.com/leads\n  leadline integration add summit owner --kind email --option to=owner@example.com --option 'digest=daily 07:30'\n  leadline integration add summit sales --quiet 21:00-08:00 --band-min warm\n  leadline integration add summit sales --enable"
    )]
    Add(Box<AddArgs>),
    /// List a tenant's integrations.
    #[command(after_help = "Example:\n  leadline integration list summit --data ./data")]
    List(ListArgs),
    /// Show the exact requests that a delivery would make. Nothing is sent without --send.
    #[command(
        after_help = "Example:\n  leadline integration test summit sales\n  leadline integration test summit sales --sample missed-call --send"
    )]
    Test(TestArgs),
    /// Look at the fields that an integration with a CRM needs there, and make those that are missing.
    #[command(
        after_help = "Example:\n  leadline integration setup summit crm\n  leadline integration setup summit crm --apply"
    )]
    Setup(SetupArgs),
    /// Print a link by which a person allows leadline to use an account of HubSpot, Salesforce, Pipedrive or Slack.
    #[command(after_help = "Example:\n  leadline integration connect summit crm --kind hubspot")]
    Connect(ConnectArgs),
    /// Take an integration away.
    #[command(after_help = "Example:\n  leadline integration remove summit sales")]
    Remove(RemoveArgs),
    /// Show the rules that say who is told of what, and when somebody is there; or set them from a file of JSON.
    #[command(
        after_help = "Example:\n  leadline integration routes summit > routes.json\n  leadline integration routes summit --set routes.json\n\nA file:\n  {\"hours\": [\"mon 08:00-17:30\"],\n   \"routes\": [{\"id\": \"hot\", \"kinds\": [\"lead\"], \"bands\": [\"hot\"], \"to\": [\"sales\"],\n               \"escalate_after_s\": 900, \"escalate_to\": [\"owner\"]}]}"
    )]
    Routes(RoutesArgs),
}

#[derive(Args)]
struct AddArgs {
    /// The tenant.
    tenant: String,
    /// The integration's id: letters, digits, - and _.
    id: String,
    /// http, webhook, slack, email, hubspot, salesforce or pipedrive; needed for a new one.
    #[arg(long)]
    kind: Option<String>,
    /// Where to send.
    #[arg(long)]
    url: Option<String>,
    /// Token, signing secret, password, or the address of an incoming webhook; kept sealed.
    #[arg(long)]
    secret: Option<String>,
    /// The lowest band it wants, where no rules say otherwise: hot, warm, nurture or cold.
    #[arg(long, value_name = "BAND")]
    band_min: Option<String>,
    /// Whether it wants missed calls and notices, where no rules say otherwise.
    #[arg(long, value_name = "YES", num_args = 0..=1, default_missing_value = "true")]
    alerts: Option<bool>,
    /// What its kind needs, such as channel=C0123456789; an empty value takes one away; several may be given.
    #[arg(long = "option", value_name = "NAME=VALUE")]
    options: Vec<String>,
    /// A field of the other side and ours, such as budget__c=budget_min; several may be given.
    #[arg(long = "field", value_name = "THEIRS=OURS")]
    fields: Vec<String>,
    /// When it hears nothing, in the tenant's time, such as 21:00-08:00; none takes it away.
    #[arg(long, value_name = "FROM-TO")]
    quiet: Option<String>,
    /// Switch it on again.
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Switch it off: deliveries are skipped.
    #[arg(long)]
    disable: bool,
    #[command(flatten)]
    source: Source,
}

#[derive(Args)]
struct ListArgs {
    /// The tenant.
    tenant: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

#[derive(Args)]
struct TestArgs {
    /// The tenant.
    tenant: String,
    /// The integration.
    id: String,
    /// What it is told of.
    #[arg(long, value_enum, default_value_t = SampleArg::Lead)]
    sample: SampleArg,
    /// Send it.
    #[arg(long)]
    send: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

#[derive(Clone, Copy, ValueEnum)]
enum SampleArg {
    /// A hot lead.
    Lead,
    /// A missed call.
    MissedCall,
    /// Something that is no call.
    Notice,
}

#[derive(Args)]
struct RemoveArgs {
    /// The tenant.
    tenant: String,
    /// The integration.
    id: String,
    #[command(flatten)]
    source: Source,
}

#[derive(Args)]
struct RoutesArgs {
    /// The tenant.
    tenant: String,
    /// A file of JSON that takes the place of what is there.
    #[arg(long, value_name = "FILE")]
    set: Option<PathBuf>,
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(args: &IntegrationArgs, output: &Output) -> Result<(), Failure> {
    match &args.command {
        IntegrationCommand::Add(args) => {
            output.json(&step(&args.source, &args.tenant, IntegrationStep::Put { spec: spec(args)? })?);
        }
        IntegrationCommand::List(args) => {
            let listed = step(&args.source, &args.tenant, IntegrationStep::List)?;
            if args.json { output.json(&listed) } else { list(&listed, output) }
        }
        IntegrationCommand::Test(args) => return test(args, output),
        IntegrationCommand::Setup(args) => return integration_crm::setup(args, output),
        IntegrationCommand::Connect(args) => return integration_crm::connect(args, output),
        IntegrationCommand::Remove(args) => {
            let remove = IntegrationStep::Remove { id: args.id.clone() };
            output.json(&step(&args.source, &args.tenant, remove)?);
        }
        IntegrationCommand::Routes(args) => {
            let set = args.set.as_ref().map(|file| {
                let text = std::fs::read_to_string(file).with_context(|| format!("{}", file.display()))?;
                serde_json::from_str(&text).with_context(|| format!("{} cannot be read", file.display()))
            });
            let set = set.transpose()?;
            output.json(&step(&args.source, &args.tenant, IntegrationStep::Routes { set })?);
        }
    }
    Ok(())
}

fn step(source: &Source, tenant: &str, step: IntegrationStep) -> Result<Value, Failure> {
    ask(source, Ask::Integrations { tenant: tenant.to_owned(), step: Box::new(step) })
}

fn spec(args: &AddArgs) -> Result<IntegrationSpec, Failure> {
    let pairs = |texts: &[String]| {
        let pair = |text: &String| {
            let (name, value) = text.split_once('=')?;
            Some((name.trim().to_owned(), value.trim().to_owned()))
        };
        let wrong = |text: &String| Failure(format!("{text:?} is not NAME=VALUE"), 2);
        texts.iter().map(|text| pair(text).ok_or_else(|| wrong(text))).collect::<Result<_, _>>()
    };
    Ok(IntegrationSpec {
        id: args.id.clone(),
        kind: args.kind.clone(),
        url: args.url.clone(),
        secret: args.secret.clone(),
        band_min: args.band_min.clone(),
        alerts: args.alerts,
        options: pairs(&args.options)?,
        fields: pairs(&args.fields)?,
        quiet: args.quiet.clone(),
        disabled: (args.enable || args.disable).then_some(args.disable),
    })
}

fn list(listed: &Value, output: &Output) {
    for one in listed.as_array().into_iter().flatten() {
        let text = |name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let is = |name: &str| one.get(name).and_then(Value::as_bool).unwrap_or_default();
        let state = match (is("disabled"), text("disabled_why").as_str()) {
            (false, _) => String::new(),
            (true, "") => "switched off".to_owned(),
            (true, why) => format!("switched off: {why}"),
        };
        let wants = if is("alerts") { "leads and alerts" } else { "leads" };
        output.line(&format!(
            "{:<20} {:<10} {wants} from {:<8} {} {state}",
            text("id"),
            text("kind"),
            text("band_min"),
            text("url"),
        ));
    }
}

fn test(args: &TestArgs, output: &Output) -> Result<(), Failure> {
    let sample = match args.sample {
        SampleArg::Lead => Sample::Lead,
        SampleArg::MissedCall => Sample::MissedCall,
        SampleArg::Notice => Sample::Notice,
    };
    let test = IntegrationStep::Test { id: args.id.clone(), sample, send: args.send };
    let answer = step(&args.source, &args.tenant, test)?;
    if args.json {
        output.json(&answer);
        return Ok(());
    }
    for request in answer.get("requests").and_then(Value::as_array).into_iter().flatten() {
        output.line(&format!("{}\n", request.as_str().unwrap_or_default()));
    }
    for exchange in answer.get("exchanges").and_then(Value::as_array).into_iter().flatten() {
        let text = |name: &str| exchange.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        output.line(&format!("{}\n\n{}\n", text("request"), text("answer")));
    }
    let sent = answer.get("sent").and_then(Value::as_bool).unwrap_or_default();
    output.line(if sent { "it was sent" } else { "nothing was sent: --send sends it" });
    Ok(())
}
