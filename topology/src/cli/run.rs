//! `leadline run`.

use std::io::IsTerminal;
use std::sync::Arc;

use clap::Args;
use leadline::config::{Config, Role};
use leadline::demo;
use leadline::run::{RunOptions, run as run_instance};
use leadline_schemas::Topic;
use leadline_schemas::avro;
use leadline_schemas::frame::Output as Record;
use leadline_schemas::lead::Lead;

use super::output::Output;
use super::{Failure, Source};

#[derive(Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    source: Source,
    /// Where to listen: ADDR:PORT, or fd:3 for a socket that systemd hands in [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// What keeps the messages: embedded or kafka [default: embedded].
    #[arg(long, value_name = "KIND")]
    log: Option<String>,
    /// Kafka's brokers: host:port, more of them with commas.
    #[arg(long, value_name = "BROKERS")]
    brokers: Option<String>,
    /// Take the place of the running process with this admin address: bring up its state, follow it, then have it hand
    /// over. Needs --log kafka, the same kafka.instance, and a data folder of its own.
    #[arg(long, value_name = "URL")]
    standby: Option<String>,
    /// Where such a process may ask this one: a port of 127.0.0.1, or IP:PORT with admin.token_file [default: nowhere].
    #[arg(long, value_name = "ADDR")]
    admin_listen: Option<String>,
    /// Which parts to run [default: all].
    #[arg(long, value_enum)]
    role: Option<Role>,
    /// Add two sample tenants, send real signed webhooks and print leads as they are scored.
    #[arg(long)]
    demo: bool,
}

pub(super) fn run(args: &RunArgs, output: &Output) -> Result<(), Failure> {
    let flags = [
        ("listen", &args.listen),
        ("admin.listen", &args.admin_listen),
        ("log.kind", &args.log),
        ("kafka.brokers", &args.brokers),
    ];
    let mut config = args.source.read_with(&flags)?;
    config.role = args.role.unwrap_or(config.role);
    if args.demo && args.source.config.is_none() && std::env::var_os("LOG_LEVEL").is_none() {
        config.log_level = "warn".to_owned(); // The leads are the output.
    }
    start_logging(&config);
    let printer = output.clone();
    let is_demo = args.demo;
    let stored: leadline::engine::Stored = Arc::new(move |records: &[Record]| {
        if is_demo {
            records
                .iter()
                .filter(|record| record.topic == Topic::Leads)
                .for_each(|record| print_lead(&printer, record));
        }
    });
    let printer = output.clone();
    let ready = Box::new(move |address, parts: &leadline::parts::Parts| {
        if is_demo {
            demo::start(address, parts, move |line| printer.line(line));
        }
    });
    Ok(run_instance(RunOptions { config, stored, ready, standby: args.standby.clone() })?)
}

/// `HOT   92  Dana Whitfield   +13035550142   kitchen   reason`
fn print_lead(output: &Output, record: &Record) {
    let Ok(lead) = avro::decode::<Lead>(&record.value) else { return };
    let detail: serde_json::Value = serde_json::from_str(&lead.detail).unwrap_or_default();
    let reason = detail.get("reasons").and_then(|reasons| reasons.get(0)?.as_str()).unwrap_or_default();
    let name = lead.name.as_deref().unwrap_or("unknown caller");
    let phone = lead.phone.as_deref().unwrap_or(&lead.caller);
    let project = lead.project_type.as_deref().unwrap_or("-");
    let band = output.in_band(&lead.band, &format!("{:<7} {:>3}", lead.band, lead.score));
    output
        .line(&format!("{band}  {:<9} {name:<22} {phone:<14} {project:<12} {reason}", lead.tenant.as_str()));
}

/// Logs go to standard error; a panic of an operator is logged like everything else.
fn start_logging(config: &Config) {
    let filter = tracing_subscriber::EnvFilter::try_new(&config.log_level)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let logs =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(coloured).with_writer(std::io::stderr);
    let started =
        if config.log_format == "json" { logs.json().try_init() } else { logs.compact().try_init() };
    if started.is_ok() {
        std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a thread panicked")));
    }
}
