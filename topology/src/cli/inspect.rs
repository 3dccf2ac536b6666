//! `leadline log inspect`.

use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use leadline_connectors::disk_folder::FolderDisk;
use leadline_connectors::log_embedded::inspect;

use super::output::Output;
use super::{Failure, Source};

#[derive(Args)]
pub(super) struct LogArgs {
    #[command(subcommand)]
    command: LogCommand,
}

#[derive(Subcommand)]
enum LogCommand {
    /// Check every frame of a stopped instance's log and say what it holds.
    #[command(after_help = "Example:\n  leadline log inspect --data ./data")]
    Inspect(InspectArgs),
}

#[derive(Args)]
struct InspectArgs {
    #[command(flatten)]
    source: Source,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &LogArgs, output: &Output) -> Result<(), Failure> {
    let LogCommand::Inspect(args) = &args.command;
    let config = args.source.read()?;
    let disk = FolderDisk::open(&config.log_folder()).map_err(anyhow::Error::from)?;
    let progress = ProgressBar::new(0);
    let reports = inspect(&disk, |done, total| {
        progress.set_length(total);
        progress.set_position(done);
    });
    progress.finish_and_clear();
    let reports = reports.map_err(anyhow::Error::from)?;
    if args.json {
        output.json(&reports);
    } else {
        for report in &reports {
            let records: u64 = report.holds.iter().map(|holding| holding.count).sum();
            let kind = if report.sealed { "sealed" } else { "newest" };
            output.line(&format!("{}  {kind}  {:>12} bytes  {records:>9} records", report.file, report.end));
        }
    }
    let damaged: Vec<&str> = reports.iter().filter_map(|report| report.damage.as_deref()).collect();
    if damaged.is_empty() {
        return Ok(());
    }
    Err(Failure(format!("the log is damaged: {}", damaged.join("; ")), 1))
}
