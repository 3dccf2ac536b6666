//! `leadline state rebuild`.

use clap::{Args, Subcommand};
use leadline::parts::set_aside;
use leadline_connectors::clock_system::SystemClock;
use leadline_connectors::disk_folder::FolderDisk;

use super::output::Output;
use super::{Failure, Source};

#[derive(Args)]
pub(super) struct StateArgs {
    #[command(subcommand)]
    command: StateCommand,
}

#[derive(Subcommand)]
enum StateCommand {
    /// Move a stopped instance's state store aside; the next start rebuilds it from snapshots and the log.
    #[command(after_help = "Example:\n  leadline state rebuild --data ./data")]
    Rebuild(RebuildArgs),
}

#[derive(Args)]
struct RebuildArgs {
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(args: &StateArgs, output: &Output) -> Result<(), Failure> {
    let StateCommand::Rebuild(args) = &args.command;
    let config = args.source.read()?;
    // The log's lock is the data folder's: while it is held, nobody runs on the store.
    let _owned = FolderDisk::open(&config.log_folder()).map_err(anyhow::Error::from)?;
    let aside = set_aside(&config.state_folder(), &SystemClock)?;
    output.line(&format!("the state store was moved aside ({aside}); the next `leadline run` rebuilds it"));
    Ok(())
}
