//! `leadline db`.

use std::sync::Arc;

use clap::{Args, Subcommand};
use leadline::config::{Config, LogKind, RecordsStore};
use leadline::engine::CommittedRecords;
use leadline::parts::Parts;
use leadline::records::{self, Compared, Step, What};
use leadline_connectors::clock_system::SystemClock;
use leadline_connectors::contract::clock::Clock as _;
use leadline_connectors::contract::schema::StoreSchema;
use leadline_connectors::disk_folder::FolderDisk;
use leadline_schemas::TenantId;
use leadline_schemas::settings::Settings;
use serde_json::json;

use super::output::Output;
use super::progress::Progress;
use super::{Failure, NO_RECORDS, Source};

#[derive(Args)]
pub(super) struct DbArgs {
    #[command(subcommand)]
    command: DbCommand,
}

#[derive(Subcommand)]
enum DbCommand {
    /// Say which version the store's tables have, and which this leadline wants.
    #[command(after_help = "Example:\n  leadline db status --data ./data")]
    Status(StatusArgs),
    /// Say what `apply` would run.
    #[command(after_help = "Example:\n  leadline db plan --data ./data")]
    Plan(PlaceArgs),
    /// Make the tables, or bring them to this leadline's version.
    #[command(after_help = "Example:\n  leadline db apply --data ./data")]
    Apply(PlaceArgs),
    /// Fill an empty store of a stopped instance, or of stopped workers on Kafka, with what was committed.
    #[command(
        after_help = "Example:\n  mv data/records.db old.db\n  leadline db rebuild --from-log --data ./data"
    )]
    Rebuild(RebuildArgs),
    /// Compare the store of a stopped instance, or of stopped workers on Kafka, with what was committed, and name what
    /// differs.
    #[command(after_help = "Example:\n  leadline db verify --data ./data")]
    Verify(VerifyArgs),
}

#[derive(Args)]
struct PlaceArgs {
    #[command(flatten)]
    source: Source,
}

#[derive(Args)]
struct StatusArgs {
    #[command(flatten)]
    source: Source,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct RebuildArgs {
    /// From the log, and from snapshots where it has dropped the beginning: the only way there is.
    #[arg(long, required = true)]
    from_log: bool,
    #[command(flatten)]
    source: Source,
}

#[derive(Args)]
struct VerifyArgs {
    #[command(flatten)]
    source: Source,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &DbArgs, output: &Output) -> Result<(), Failure> {
    match &args.command {
        DbCommand::Status(args) => status(args, output),
        DbCommand::Plan(args) => plan(&args.source.read()?, output),
        DbCommand::Apply(args) => apply(&args.source.read()?, output),
        DbCommand::Rebuild(args) => rebuild(&args.source.read()?, output),
        DbCommand::Verify(args) => verify(&args.source.read()?, args.json, output),
    }
}

fn schema(config: &Config) -> Result<Box<dyn StoreSchema>, Failure> {
    records::schema(config)?.ok_or_else(|| Failure(NO_RECORDS.to_owned(), 2))
}

fn failed(error: impl Into<anyhow::Error>) -> Failure {
    Failure::from(error.into())
}

fn status(args: &StatusArgs, output: &Output) -> Result<(), Failure> {
    let config = args.source.read()?;
    let (mut schema, named) = (schema(&config)?, records::named(&config));
    let (applied, wanted) = (schema.applied().map_err(failed)?, schema.wanted());
    if args.json {
        output.json(&json!({ "store": named, "version": applied, "wanted": wanted }));
        return Ok(());
    }
    output.line(&match applied {
        0 => format!("{named} has no tables yet; this leadline makes version {wanted}: `leadline db apply`"),
        applied if applied > wanted => {
            format!("{named} has version {applied}, and this leadline knows versions up to {wanted}")
        }
        applied if applied < wanted => {
            format!("{named} has version {applied}, this leadline wants {wanted}: `leadline db apply`")
        }
        applied => format!("{named} has version {applied}, as this leadline wants it"),
    });
    Ok(())
}

fn plan(config: &Config, output: &Output) -> Result<(), Failure> {
    let steps = schema(config)?.plan().map_err(failed)?;
    steps.iter().for_each(|step| output.line(step));
    output.line(&match steps.len() {
        0 => format!("{} is as it should be", records::named(config)),
        count => format!("{count} statements: `leadline db apply` runs them"),
    });
    Ok(())
}

fn apply(config: &Config, output: &Output) -> Result<(), Failure> {
    // A file has one writer: an instance that runs brings it up by itself.
    let _owned = match config.records_store {
        RecordsStore::Sqlite => Some(FolderDisk::open(&config.log_folder()).map_err(failed)?),
        _ => None,
    };
    let mut schema = schema(config)?;
    let from = schema.applied().map_err(failed)?;
    schema.apply().map_err(failed)?;
    let (named, to) = (records::named(config), schema.wanted());
    output.line(&match from == to {
        true => format!("{named} is as it should be"),
        false => format!("{named} was brought from version {from} to {to}"),
    });
    Ok(())
}

/// What stopped workers have committed, for `work`, with the settings of now.
fn with_committed<T>(
    config: &Config,
    work: impl FnOnce(&Settings, &CommittedRecords) -> anyhow::Result<T>,
) -> Result<T, Failure> {
    if config.log_kind == LogKind::Kafka {
        return with_committed_on_brokers(config, work);
    }
    if !config.log_folder().exists() {
        let why = format!("{} has no log: name the data folder of an instance", config.data.display());
        return Err(Failure(why, 2));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    // It takes the data folder's lock: while an instance runs, this says so.
    let parts = Parts::open(config)?;
    let committed = CommittedRecords {
        log: Arc::clone(&parts.log),
        state: parts.state.clone(),
        blob: Arc::clone(&parts.blob),
        runtime: runtime.handle().clone(),
        generation: 1,
        origin: None,
        settings: parts.settings.current(),
    };
    let done = work(&committed.settings, &committed);
    parts.close();
    Ok(done?)
}

#[cfg(feature = "kafka")]
fn with_committed_on_brokers<T>(
    config: &Config,
    work: impl FnOnce(&Settings, &CommittedRecords) -> anyhow::Result<T>,
) -> Result<T, Failure> {
    // A file has one writer, on Kafka too.
    let _owned = match config.records_store {
        RecordsStore::Sqlite => Some(FolderDisk::open(&config.log_folder()).map_err(failed)?),
        _ => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let read_back = records::ReadBack::open(config, &runtime)?;
    let done = work(&read_back.settings, &read_back.committed)?;
    read_back.nobody_came()?;
    Ok(done)
}

/// Without Kafka no log kind but the embedded one is accepted.
#[cfg(not(feature = "kafka"))]
fn with_committed_on_brokers<T>(
    _: &Config,
    _: impl FnOnce(&Settings, &CommittedRecords) -> anyhow::Result<T>,
) -> Result<T, Failure> {
    Err(Failure("log.kind is kafka: build leadline with --features kafka".to_owned(), 2))
}

fn rebuild(config: &Config, output: &Output) -> Result<(), Failure> {
    if config.records_store == RecordsStore::None {
        return Err(Failure(NO_RECORDS.to_owned(), 2));
    }
    let progress = Progress::new();
    let filled = with_committed(config, |_, committed| {
        if records::was_cut_short(config) {
            output.error(
                "a rebuild before this was cut short; what it left is removed, and this one begins anew",
            );
        }
        let Some(mut writer) = records::open_to_rebuild(config)? else { anyhow::bail!(NO_RECORDS) };
        records::rebuild(committed, &mut *writer, &mut |step| match step {
            Step::Partitions(done, all) => progress.show("partitions brought up", done, all),
            Step::Commits(done, all) => progress.show("commits written", done, all),
            Step::Finishing => progress.wait("making indexes"),
        })
    });
    progress.end();
    let filled = filled?;
    output.line(&format!(
        "{} was filled: {} rows of {} commits",
        records::named(config),
        filled.rows,
        filled.commits
    ));
    Ok(())
}

fn verify(config: &Config, as_json: bool, output: &Output) -> Result<(), Failure> {
    let reader = super::records(config)?;
    let progress = Progress::new();
    let verified = with_committed(config, |settings, committed| {
        let tenants: Vec<TenantId> = settings.tenants().map(|tenant| tenant.tenant.clone()).collect();
        let mut seen = |step| match step {
            Compared::Read(records) => progress.show("committed records read", records, 0),
            Compared::Found(records, all) => progress.show("records compared", records, all),
        };
        records::verify(committed, &*reader, &tenants, (records::kept(), SystemClock.wall()), &mut seen)
    });
    progress.end();
    let verified = verified?;
    if as_json {
        output.json(&verified);
    } else {
        for difference in &verified.differences {
            let what = match difference.what {
                What::Missing => "missing in the store",
                What::Differs => "not as it was committed",
                What::Unexpected => "never committed so",
            };
            output.line(&format!("{:<12} {}: {what}", difference.topic, difference.record));
        }
    }
    if verified.differ == 0 {
        if !as_json {
            let rest = match verified.behind {
                0 => String::new(),
                behind => format!("; the next start notes {behind} commits"),
            };
            output.line(&format!("{} has all {} records{rest}", records::named(config), verified.records));
        }
        return Ok(());
    }
    let (differ, named) = (verified.differ, verified.differences.len());
    let why = format!(
        "{differ} of {} records differ, {named} were named; move the store aside and run `leadline db rebuild --from-log`",
        verified.records
    );
    Err(Failure(why, 1))
}
