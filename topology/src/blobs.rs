//! The blob store that the configuration asks for, and how long what lies in it is kept.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use leadline_connectors::blob_folder::{FolderBlob, LinkSigner};
#[cfg(feature = "gcs")]
use leadline_connectors::blob_google::{GoogleBlob, GoogleConfig, Looked};
use leadline_connectors::blob_retention::Sweep;
use leadline_connectors::clock_system::SystemClock;
use leadline_connectors::contract::blob::Blob;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::source_audio::AudioFolder;

use crate::config::Config;
use crate::handover::{Phase, Phases};
use crate::parts::Parts;

/// How often the watched folder is looked at: a file is taken at the second look that finds it settled.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// How often recordings are looked at whose time may have passed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(24 * 3_600);
/// Pause between the steps of a sweep: it is never in a hurry.
const SWEEP_PAUSE: Duration = Duration::from_millis(200);

/// A folder, or a bucket where one is configured.
pub(crate) fn open(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Blob>> {
    match &config.audio_storage_bucket {
        Some(bucket) => open_bucket(config, bucket, clock),
        None => Ok(Arc::new(FolderBlob::open(config.blob_folder())?)),
    }
}

/// The same with links: what signs those that this process answers itself is none where the store does it.
pub(crate) fn open_with_links(
    config: &Config,
    clock: &Arc<dyn Clock>,
    links: LinkSigner,
) -> anyhow::Result<(Arc<dyn Blob>, Option<LinkSigner>)> {
    if config.audio_storage_bucket.is_some() {
        return Ok((open(config, clock)?, None));
    }
    let folder = FolderBlob::open(config.blob_folder())?.with_links(links.clone());
    Ok((Arc::new(folder), Some(links)))
}

/// The bucket's configuration.
#[cfg(feature = "gcs")]
pub fn google_config(config: &Config, bucket: &str) -> GoogleConfig {
    GoogleConfig { bucket: bucket.to_owned(), endpoint: config.google_storage_endpoint.clone(), signer: None }
}

/// Asks whether the blob store can be used. A mistake of the configuration is an error; what may pass is told, and keeps
/// nobody from starting.
pub fn look(config: &Config, runtime: &tokio::runtime::Runtime) -> anyhow::Result<Option<String>> {
    config.audio_storage_bucket.as_deref().map_or(Ok(None), |bucket| look_at_bucket(config, bucket, runtime))
}

#[cfg(feature = "gcs")]
fn look_at_bucket(
    config: &Config,
    bucket: &str,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<Option<String>> {
    let google = GoogleBlob::open(google_config(config, bucket), Arc::new(SystemClock))?;
    match runtime.block_on(google.look()) {
        Ok(Looked::Usable) => Ok(None),
        Ok(Looked::Away(why)) => Ok(Some(format!("bucket {bucket:?} cannot be reached now: {why}"))),
        Err(why) => Err(anyhow::anyhow!("bucket {bucket:?} cannot be used: {why}")),
    }
}

#[cfg(not(feature = "gcs"))]
fn look_at_bucket(
    config: &Config,
    bucket: &str,
    _: &tokio::runtime::Runtime,
) -> anyhow::Result<Option<String>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    open_bucket(config, bucket, &clock).map(|_| None)
}

#[cfg(feature = "gcs")]
fn open_bucket(config: &Config, bucket: &str, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Blob>> {
    Ok(Arc::new(GoogleBlob::open(google_config(config, bucket), Arc::clone(clock))?))
}

#[cfg(not(feature = "gcs"))]
fn open_bucket(_: &Config, bucket: &str, _: &Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Blob>> {
    Err(anyhow::anyhow!(
        "google.audio_bucket is {bucket:?}, and this leadline knows no buckets: build it with --features gcs, or leave \
         the key (AUDIO_STORAGE_BUCKET) out and use blobs.folder"
    ))
}

/// Takes what is put into the watched folder, if there is one, as long as the process takes events.
pub(crate) fn watch_folder(
    runtime: &tokio::runtime::Runtime,
    parts: &Parts,
    config: &Config,
    phases: &Arc<Phases>,
) -> anyhow::Result<()> {
    let Some(root) = config.audio_folder.clone().filter(|_| config.role.takes_events()) else {
        return Ok(());
    };
    let (blob, intake) = (Arc::clone(&parts.blob), parts.settings.clone());
    let mut folder = AudioFolder::open(root.clone(), blob, intake, Arc::clone(&parts.clock))
        .with_context(|| format!("blobs.watched_folder {} cannot be used", root.display()))?;
    let phases = Arc::clone(phases);
    runtime.spawn(async move {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            match phases.now() {
                Phase::Running => _ = folder.look().await,
                Phase::Stopping | Phase::HandedOver | Phase::Replaced => return,
                _ => {}
            }
        }
    });
    Ok(())
}

/// Deletes recordings whose time has passed, at the start and once a day. A bucket does that itself.
pub(crate) fn keep_retention(runtime: &tokio::runtime::Runtime, parts: &Parts, config: &Config) {
    if config.audio_storage_bucket.is_some() || !config.role.works() {
        return;
    }
    let (blob, clock) = (Arc::downgrade(&parts.blob), Arc::clone(&parts.clock));
    runtime.spawn(async move {
        let mut sweep = Sweep::default();
        loop {
            let Some(blob) = blob.upgrade() else { return };
            match sweep.step(&*blob, clock.wall()).await {
                Ok(()) => {}
                // What could not be looked at today is looked at tomorrow.
                Err(error) => {
                    tracing::warn!(%error, "recordings whose time has passed could not be deleted");
                    sweep.is_over = true;
                }
            }
            drop(blob);
            if sweep.is_over {
                if sweep.deleted > 0 {
                    tracing::info!(deleted = sweep.deleted, "recordings whose time had passed were deleted");
                }
                metrics::counter!("leadline_recordings_deleted_total").increment(sweep.deleted);
                sweep = Sweep::default();
                tokio::time::sleep(SWEEP_INTERVAL).await;
            } else {
                tokio::time::sleep(SWEEP_PAUSE).await;
            }
        }
    });
}
