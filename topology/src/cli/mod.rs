//! The command line: one file per command, one line per error.

mod audit;
mod backfill;
mod db;
mod delivery;
mod dlq;
mod inspect;
mod integration;
mod integration_crm;
mod layout;
mod lead;
mod output;
mod progress;
mod run;
mod score;
mod score_calibration;
mod score_replay;
mod send;
mod shape;
mod state;
mod storage;
mod tenant;
mod tenant_connect;
#[cfg(feature = "kafka")]
mod topics;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use leadline::config::{self, Config, FILE_DEFAULT, Mistake};
use leadline_connectors::contract::store::RecordReader;
use leadline_schemas::Millis;

use self::output::Output;

/// Signed webhooks in, scored leads out, through a durable log.
#[derive(Parser)]
#[command(
    version,
    about,
    after_help = "Example:\n  leadline run --data ./data --listen 127.0.0.1:8080\n  leadline tenant add summit --name \"Summit Kitchens\" --company-id COM338e6107d0eb4712af2d4f2f8a18c900 --signing-key KEY"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run an instance.
    #[command(
        after_help = "Example:\n  leadline run --data ./data --listen 127.0.0.1:8080\n  leadline run --demo\n  leadline run --log kafka --brokers 127.0.0.1:9092 --data ./data-2 --admin-listen 9181 --standby http://127.0.0.1:9180"
    )]
    Run(run::RunArgs),
    /// Add, list and change tenants, of a running or a stopped instance.
    #[command(
        after_help = "Example:\n  leadline tenant add summit --name \"Summit Kitchens\" --company-id COM338e6107d0eb4712af2d4f2f8a18c900 --signing-key KEY --data ./data"
    )]
    Tenant(tenant::TenantArgs),
    /// Sign files like CallRail and POST them.
    #[command(
        after_help = "Example:\n  leadline send call.json more.jsonl --url http://127.0.0.1:8080 --signing-key KEY"
    )]
    Send(send::SendArgs),
    /// Bring in calls from before an account of CallRail was connected, as far back as CallRail keeps them.
    #[command(
        after_help = "Example:\n  leadline backfill --tenant summit --from 2026-01-31 --data ./data\n  leadline backfill --tenant summit --from 2026-01-31 --to 2026-03-31 --deliver --data ./data"
    )]
    Backfill(backfill::BackfillArgs),
    /// Score calls, texts and forms of a file; try a prompt on history, and see how scores do against what was sold.
    #[command(
        after_help = "Example:\n  leadline score --input calls.jsonl --output scores.jsonl\n  leadline score replay --prompt v2 --since 2026-01-31 --tenant summit --data ./data\n  leadline score promote --prompt v2 --tenant summit --data ./data\n  leadline score calibration --tenant summit --data ./data"
    )]
    Score(score::ScoreArgs),
    /// Say what became of leads.
    #[command(
        after_help = "Example:\n  leadline lead feedback LEAD --tenant summit --good --sold 12500 --data ./data"
    )]
    Lead(lead::LeadArgs),
    /// Report every mistake in the configuration at once.
    #[command(after_help = "Example:\n  leadline check --config leadline.toml")]
    Check(CheckArgs),
    /// Print the dataflow.
    #[command(after_help = "Example:\n  leadline topology --format mermaid")]
    Topology(shape::TopologyArgs),
    /// Say what this binary would change in a data folder.
    #[command(after_help = "Example:\n  leadline plan --data ./data")]
    Plan(shape::PlanArgs),
    /// Add, list, try and remove integrations: where leads and alerts go; and the rules that say which is told of what.
    #[command(
        after_help = "Example:\n  leadline integration add summit sales --kind slack --secret xoxb-... --option channel=C0123456789\n  leadline integration test summit sales"
    )]
    Integration(integration::IntegrationArgs),
    /// Look at deliveries, and send, leave out or replay them.
    #[command(
        after_help = "Example:\n  leadline delivery list --tenant summit --status parked --data ./data\n  leadline delivery replay --tenant summit --from 2026-03-01 --to 2026-03-02 --data ./data"
    )]
    Delivery(delivery::DeliveryArgs),
    /// Look at the record store: its tables, and whether it has what the log says.
    #[command(
        after_help = "Example:\n  leadline db status --data ./data\n  leadline db apply --data ./data\n  leadline db rebuild --from-log --data ./data\n  leadline db verify --data ./data"
    )]
    Db(db::DbArgs),
    /// Look at dead letters, and feed them once more.
    #[command(
        after_help = "Example:\n  leadline dlq list --data ./data\n  leadline dlq replay ID --data ./data"
    )]
    Dlq(dlq::DlqArgs),
    /// Look at what somebody should be able to find later.
    #[command(
        after_help = "Example:\n  leadline audit list --tenant summit --kind missed_by_webhooks --data ./data"
    )]
    Audit(audit::AuditArgs),
    /// Look into the log.
    #[command(after_help = "Example:\n  leadline log inspect --data ./data")]
    Log(inspect::LogArgs),
    /// Change how many partitions a log on Kafka has, and how tenants are spread over them.
    #[command(
        after_help = "Example:\n  leadline layout plan --partitions 16 --brokers 127.0.0.1:9092\n  leadline layout apply --partitions 16 --brokers 127.0.0.1:9092"
    )]
    Layout(layout::LayoutArgs),
    /// Make the topics of a log on Kafka what they should be.
    #[cfg(feature = "kafka")]
    #[command(
        after_help = "Example:\n  leadline topics plan --brokers 127.0.0.1:9092\n  leadline topics apply --brokers 127.0.0.1:9092"
    )]
    Topics(topics::TopicsArgs),
    /// Make the bucket of recordings what it should be.
    #[command(
        after_help = "Example:\n  leadline storage plan --bucket my-audio\n  leadline storage apply --bucket my-audio"
    )]
    Storage(storage::StorageArgs),
    /// Rebuild the state store.
    #[command(after_help = "Example:\n  leadline state rebuild --data ./data")]
    State(state::StateArgs),
}

/// Where the configuration comes from.
#[derive(Args, Clone)]
struct Source {
    /// The configuration file [default: leadline.toml, where there is one].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data folder [default: ./data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Args)]
struct CheckArgs {
    /// Print the mistakes as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

/// Why a command did not do it: one line, and the exit code.
pub(crate) struct Failure(String, u8);

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self(format!("{error:#}"), 1)
    }
}

impl Source {
    /// The configuration and all of its mistakes.
    fn look(&self, flags: &[(&str, &Option<String>)]) -> (Config, Vec<Mistake>) {
        let given: Vec<(&str, &str)> =
            flags.iter().filter_map(|(flag, text)| Some((*flag, text.as_deref()?))).collect();
        let (mut config, mistakes) = config::read(self.file(), |name| std::env::var(name).ok(), &given);
        if let Some(data) = &self.data {
            config.data.clone_from(data);
        }
        (config, mistakes)
    }

    /// A mistake that shows where a key's value is used: where that came from, and what is wrong.
    fn mistake(&self, key: &str, what: &str) -> Mistake {
        let variable = config::KEYS.iter().find(|known| known.name == key).and_then(|known| known.variable);
        let set = |name: &&str| std::env::var(name).is_ok_and(|text| !text.is_empty());
        let (place, key) = match variable.filter(set) {
            Some(variable) => ("environment".to_owned(), variable),
            None => {
                (self.file().map_or_else(|| "defaults".to_owned(), |file| file.display().to_string()), key)
            }
        };
        Mistake { place, key: key.to_owned(), what: what.to_owned() }
    }

    /// The file that is read, if one is.
    fn file(&self) -> Option<&Path> {
        let usual = Path::new(FILE_DEFAULT);
        self.config.as_deref().or_else(|| usual.exists().then_some(usual))
    }

    /// The configuration; all of its mistakes at once when there are any.
    fn read(&self) -> Result<Config, Failure> {
        self.read_with(&[])
    }

    /// The same under flags, which win.
    fn read_with(&self, flags: &[(&str, &Option<String>)]) -> Result<Config, Failure> {
        let (config, mistakes) = self.look(flags);
        refuse(&mistakes)?;
        Ok(config)
    }
}

/// The record store's reading side, of a running or a stopped instance.
fn records(config: &Config) -> Result<Arc<dyn RecordReader>, Failure> {
    leadline::records::open_reader(config)?.ok_or_else(|| Failure(NO_RECORDS.to_owned(), 2))
}

const NO_RECORDS: &str = "records.store is none: this instance keeps no records; read the topics, or set it to sqlite, cassandra or spanner";

/// A time as people write it.
fn parse_time(text: &str) -> Result<Millis, String> {
    Millis::parse(text)
        .ok_or_else(|| format!("{text:?} is no time: use a date such as 2026-01-31, or 2026-01-31T09:00:00Z"))
}

fn refuse(mistakes: &[Mistake]) -> Result<(), Failure> {
    if mistakes.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    Err(Failure(lines.join("\n"), 2))
}

/// `leadline check`.
fn check(args: &CheckArgs, output: &Output) -> Result<(), Failure> {
    let (config, mut mistakes) = args.source.look(&[]);
    let mut away = None;
    if mistakes.is_empty() {
        // As a start does; what is named by a configuration with mistakes is not asked.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match leadline::blobs::look(&config, &runtime.map_err(anyhow::Error::from)?) {
            Ok(told) => away = told,
            Err(error) => mistakes.push(args.source.mistake("google.audio_bucket", &format!("{error:#}"))),
        }
    }
    if !args.json {
        refuse(&mistakes)?;
        output.line("the configuration is right");
        away.iter().for_each(|away| output.line(&format!("{away}; a start does not wait for it")));
        return Ok(());
    }
    output.json(&mistakes);
    match mistakes.len() {
        0 => Ok(()),
        count => Err(Failure(format!("{count} mistakes in the configuration"), 2)),
    }
}

/// Runs the command that the arguments name.
pub(crate) fn main() -> ExitCode {
    let output = Output::default();
    let result = match Cli::parse().command {
        Command::Run(args) => run::run(&args, &output),
        Command::Tenant(args) => tenant::run(&args, &output),
        Command::Send(args) => send::run(&args, &output),
        Command::Backfill(args) => backfill::run(&args, &output),
        Command::Score(args) => score::run(&args, &output),
        Command::Lead(args) => lead::run(&args, &output),
        Command::Check(args) => check(&args, &output),
        Command::Topology(args) => shape::topology(&args, &output),
        Command::Plan(args) => shape::plan(&args, &output),
        Command::Integration(args) => integration::run(&args, &output),
        Command::Delivery(args) => delivery::run(&args, &output),
        Command::Db(args) => db::run(&args, &output),
        Command::Dlq(args) => dlq::run(&args, &output),
        Command::Audit(args) => audit::run(&args, &output),
        Command::Log(args) => inspect::run(&args, &output),
        Command::Layout(args) => layout::run(&args, &output),
        #[cfg(feature = "kafka")]
        Command::Topics(args) => topics::run(&args, &output),
        Command::Storage(args) => storage::run(&args, &output),
        Command::State(args) => state::run(&args, &output),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(why, code)) => {
            output.error(&why);
            ExitCode::from(code)
        }
    }
}
