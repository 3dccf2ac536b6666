//! `leadline storage`.

use clap::{Args, Subcommand};
use leadline::config::Config;
use leadline_connectors::blob_retention::DELETE_DAYS;

use super::output::Output;
use super::{Failure, Source};

#[derive(Args)]
pub(super) struct StorageArgs {
    #[command(subcommand)]
    command: StorageCommand,
}

#[derive(Subcommand)]
enum StorageCommand {
    /// Say what of the bucket is not as it should be.
    #[command(after_help = "Example:\n  AUDIO_STORAGE_BUCKET=my-audio leadline storage plan")]
    Plan(PlaceArgs),
    /// Make the bucket what it should be: recordings to COLDLINE after 90 days of their call, to ARCHIVE after a year,
    /// deleted after seven; nothing public.
    #[command(after_help = "Example:\n  AUDIO_STORAGE_BUCKET=my-audio leadline storage apply")]
    Apply(PlaceArgs),
}

#[derive(Args)]
struct PlaceArgs {
    #[command(flatten)]
    source: Source,
    /// The bucket [default: google.audio_bucket, AUDIO_STORAGE_BUCKET].
    #[arg(long, value_name = "NAME")]
    bucket: Option<String>,
}

pub(super) fn run(args: &StorageArgs, output: &Output) -> Result<(), Failure> {
    let (applies, place) = match &args.command {
        StorageCommand::Plan(place) => (false, place),
        StorageCommand::Apply(place) => (true, place),
    };
    let config = place.source.read_with(&[("google.audio_bucket", &place.bucket)])?;
    match &config.audio_storage_bucket {
        Some(bucket) => of_bucket(&config, bucket, applies, output),
        None => {
            output.line(&format!(
                "{} is as it should be: a running leadline deletes recordings there {DELETE_DAYS} days after their \
                 call, once a day",
                config.blob_folder().display()
            ));
            Ok(())
        }
    }
}

#[cfg(feature = "gcs")]
fn of_bucket(config: &Config, bucket: &str, applies: bool, output: &Output) -> Result<(), Failure> {
    use std::sync::Arc;

    use leadline_connectors::blob_google::GoogleBlob;
    use leadline_connectors::clock_system::SystemClock;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(anyhow::Error::from)?;
    let google = leadline::blobs::google_config(config, bucket);
    let google = GoogleBlob::open(google, Arc::new(SystemClock)).map_err(anyhow::Error::from)?;
    let (differences, seen) = runtime.block_on(google.plan()).map_err(anyhow::Error::from)?;
    for difference in &differences {
        output.line(&format!("{}:", difference.what));
        output.line(&format!("  - {}", difference.is));
        output.line(&format!("  + {}", difference.should));
    }
    match (differences.len(), applies) {
        (0, _) => output.line(&format!("bucket {bucket} is as it should be")),
        (count, false) => output.line(&format!("{count} changes: `leadline storage apply` makes them")),
        (count, true) => {
            let left = runtime.block_on(google.apply(&seen)).map_err(anyhow::Error::from)?;
            if let Some(left) = left.first() {
                return Err(Failure(
                    format!(
                        "bucket {bucket} took the change and has other {} all the same: {}",
                        left.what, left.is
                    ),
                    1,
                ));
            }
            output
                .line(&format!("{count} changes were made; Google takes up to 24 hours to go by new rules"));
        }
    }
    Ok(())
}

#[cfg(not(feature = "gcs"))]
fn of_bucket(_: &Config, bucket: &str, applies: bool, _: &Output) -> Result<(), Failure> {
    let what = if applies { "changed" } else { "looked at" };
    Err(Failure(format!("bucket {bucket:?} cannot be {what}: build leadline with --features gcs"), 2))
}
