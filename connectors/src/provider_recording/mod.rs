//! Provider of recordings: from where a call's audio lies into the blob store, as a stream, once.
//!
//! Nothing is kept of an attempt but a whole object. An attempt that comes again, after a crash in the middle or for a
//! later payload of the call, finds the object under the call's name, or what was noted of it beside it, and answers by
//! that: no recording is stored twice.

mod callrail;
mod name;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use leadline_schemas::TenantId;
use leadline_schemas::recording::{FetchRecordingJob, FetchedRecording};
use leadline_schemas::reply::PendingJob;
use tokio::sync::Semaphore;

pub use self::callrail::CallRailRecordings;
use self::name::note_name;
pub use self::name::{BLOB_SCHEME, inbox_tenant, is_medium, media_prefix, medium_name, recording_name};
use crate::audio::{self, ProbeError};
use crate::contract::BoxFuture;
use crate::contract::blob::{About, Blob, BlobError, BlobStream};
use crate::contract::provider::{CallError, Provider, ProviderAnswer};

/// The largest recording that is taken: four hours of telephone have some 60 MB.
pub const RECORDING_BYTES_MAX: u64 = 200 << 20;
/// One attempt, with the largest recording over a slow line.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(600);
/// A line on which nothing comes for so long is broken.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// When a recording that is not there yet is asked for again; five such pauses and it is given up.
const NOT_YET: Duration = Duration::from_secs(60);

/// Whose recording is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The tenant.
    pub tenant: TenantId,
    /// The call.
    pub call_id: String,
    /// Where it is said to be.
    pub url: String,
    /// Whether it is a text's picture: it is there or nowhere, and `call_id` is the text's.
    pub is_medium: bool,
    /// Whether it has time.
    pub background: bool,
}

/// A recording on its way.
pub struct Media {
    /// Its media type, if it was told.
    pub content_type: Option<String>,
    /// Its length, if it was told.
    pub bytes: Option<u64>,
    /// The bytes.
    pub stream: BoxStream<'static, Result<Bytes, CallError>>,
}

/// Where recordings come from.
pub trait RecordingSource: Send + Sync + 'static {
    /// Opens one, its bytes unread; none when there is no recording, or none yet. All of it comes within `deadline`.
    fn open(&self, wanted: Wanted, deadline: Duration) -> BoxFuture<'_, Result<Option<Media>, CallError>>;
}

/// Answers `fetch_recording` jobs.
pub struct RecordingProvider {
    source: Arc<dyn RecordingSource>,
    blob: Arc<dyn Blob>,
    /// Listening takes a core.
    ears: Semaphore,
}

impl RecordingProvider {
    /// One that brings recordings from there to here.
    pub fn new(source: Arc<dyn RecordingSource>, blob: Arc<dyn Blob>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1));
        Self { source, blob, ears: Semaphore::new(cores) }
    }

    async fn fetch(&self, job: PendingJob, deadline: Duration) -> Result<ProviderAnswer, CallError> {
        let asked: FetchRecordingJob = serde_json::from_slice(&job.request.payload)
            .map_err(|error| reject(format!("the job cannot be read: {error}")))?;
        let about =
            |content_type: &str| About { content_type: content_type.to_owned(), custom_time: Some(asked.at) };
        let own_name = asked.url.strip_prefix(BLOB_SCHEME).filter(|_| asked.medium.is_none());
        let lies_at = own_name.map(|name| own(&job.tenant, name)).transpose()?;
        // What was put into the inbox gets the name of a call, and leaves.
        let inbox = lies_at.filter(|name| inbox_tenant(name).is_some());
        let name = match (lies_at, asked.medium) {
            (Some(name), _) if inbox.is_none() => name.to_owned(),
            (_, Some(number)) => medium_name(&job.tenant, asked.at, &asked.call_id, number),
            _ => recording_name(&job.tenant, asked.at, &asked.call_id),
        };
        let note = note_name(&name);
        if let Some(body) = self.blob.read(&note).await.map_err(not_stored)? {
            return Ok(ProviderAnswer { body, cost_micros: 0 });
        }
        if self.blob.stat(&name).await.map_err(not_stored)?.is_none() {
            let media = match (lies_at, inbox) {
                (None, _) => {
                    let (tenant, call_id) = (job.tenant.clone(), asked.call_id.clone());
                    let (is_medium, background) = (asked.medium.is_some(), asked.background);
                    let wanted = Wanted { tenant, call_id, url: asked.url.clone(), is_medium, background };
                    let none = match (is_medium, asked.again) {
                        (true, _) => no_medium,
                        (false, true) => never,
                        (false, false) => not_yet,
                    };
                    self.source.open(wanted, deadline).await?.ok_or_else(none)?
                }
                (Some(_), Some(inbox)) => self.stored(inbox).await?.ok_or_else(removed)?,
                (Some(_), None) => return Err(removed()),
            };
            let media = checked(media).await?;
            let content_type = media.content_type.as_deref().unwrap_or("application/octet-stream");
            self.store(&name, about(content_type), media).await?;
        }
        let fetched = match asked.medium {
            Some(_) => FetchedRecording { blob: name.clone(), audio: None, unheard: None },
            None => self.listen(&name).await?,
        };
        if let Some(inbox) = inbox {
            self.blob.remove(inbox).await.map_err(not_stored)?;
        }
        let body = serde_json::to_vec(&fetched).map_err(|error| reject(error.to_string()))?;
        let body = Bytes::from(body);
        let noted: BlobStream = Box::pin(stream::iter([Ok(body.clone())]));
        self.blob.create_from(&note, about("application/json"), noted).await.map_err(not_stored)?;
        Ok(ProviderAnswer { body, cost_micros: 0 })
    }

    /// Streams a recording into the store.
    async fn store(&self, name: &str, about: About, media: Media) -> Result<(), CallError> {
        let failed: Arc<Mutex<Option<CallError>>> = Arc::default();
        let told = Arc::clone(&failed);
        let (mut left, expected) = (RECORDING_BYTES_MAX, media.bytes);
        let bounded = idle_bounded(media.stream).map(move |piece| {
            let piece = piece.and_then(|piece| {
                left = left.checked_sub(piece.len() as u64).ok_or_else(too_large)?;
                Ok(piece)
            });
            piece.map_err(|error| {
                let why = BlobError::Source(error.to_string());
                *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                why
            })
        });
        let stored = self.blob.create_from(name, about, Box::pin(bounded)).await;
        if let Some(own) = failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(own);
        }
        let (_, stat) = stored.map_err(not_stored)?;
        metrics::counter!("leadline_recordings_stored_total").increment(1);
        metrics::counter!("leadline_recording_bytes_total").increment(stat.bytes);
        match expected {
            // Of another attempt, or of another hand's recording of the call; what is there stays.
            Some(bytes) if bytes != stat.bytes => {
                tracing::warn!(
                    name,
                    bytes,
                    stored = stat.bytes,
                    "the recording stored before has another length"
                );
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A recording that lies in the store already.
    async fn stored(&self, name: &str) -> Result<Option<Media>, CallError> {
        let Some(content) = self.blob.open(name, None).await.map_err(not_stored)? else { return Ok(None) };
        Ok(Some(Media {
            content_type: Some(content.stat.about.content_type),
            bytes: Some(content.stat.bytes),
            stream: content.stream.map(|piece| piece.map_err(not_stored)).boxed(),
        }))
    }

    /// What is stored, heard.
    async fn listen(&self, name: &str) -> Result<FetchedRecording, CallError> {
        let _turn = self.ears.acquire().await.map_err(|_| not_stored(gone(name)))?;
        let content = self.blob.open(name, None).await.map_err(not_stored)?;
        let content = content.ok_or_else(|| not_stored(gone(name)))?;
        let (audio, unheard) = match audio::probe(content.stream).await {
            Ok(audio) => (Some(audio), None),
            Err(why @ ProbeError::NotAudio(_)) => (None, Some(why.to_string())),
            Err(ProbeError::Blob(error @ BlobError::Damaged { .. })) => {
                return Err(reject(error.to_string()));
            }
            Err(ProbeError::Blob(error)) => return Err(not_stored(error)),
        };
        Ok(FetchedRecording { blob: name.to_owned(), audio, unheard })
    }
}

impl Provider for RecordingProvider {
    fn name(&self) -> &str {
        "callrail"
    }

    fn attempt_timeout(&self) -> Option<Duration> {
        Some(ATTEMPT_TIMEOUT)
    }

    fn call(&self, job: PendingJob, deadline: Duration) -> BoxFuture<'_, Result<ProviderAnswer, CallError>> {
        Box::pin(self.fetch(job, deadline))
    }
}

/// The name of an uploaded recording, if it is one of the tenant's own.
fn own<'n>(tenant: &TenantId, name: &'n str) -> Result<&'n str, CallError> {
    let is_own = name.strip_prefix(tenant.as_str()).is_some_and(|rest| rest.starts_with('/'));
    is_own.then_some(name).ok_or_else(|| reject("the address is none of a recording".to_owned()))
}

/// Looks at what is told of a recording, and at its first bytes.
async fn checked(mut media: Media) -> Result<Media, CallError> {
    let text = |media: &&str| ["text/", "application/json"].iter().any(|text| media.starts_with(text));
    if let Some(content_type) = media.content_type.as_deref().filter(text) {
        let content_type: String = content_type.chars().take(80).collect();
        return Err(reject(format!("what lies there is {content_type} and no recording")));
    }
    if media.bytes.is_some_and(|bytes| bytes > RECORDING_BYTES_MAX) {
        return Err(too_large());
    }
    let mut pieces = idle_bounded(media.stream);
    let first = loop {
        match pieces.next().await {
            Some(Ok(piece)) if piece.is_empty() => {}
            Some(piece) => break piece?,
            None => return Err(not_yet()),
        }
    };
    media.stream = stream::iter([Ok(first)]).chain(pieces).boxed();
    Ok(media)
}

/// The same, broken off when nothing comes any more.
fn idle_bounded(
    pieces: BoxStream<'static, Result<Bytes, CallError>>,
) -> BoxStream<'static, Result<Bytes, CallError>> {
    let next = |mut pieces: BoxStream<'static, Result<Bytes, CallError>>| async move {
        match tokio::time::timeout(IDLE_MAX, pieces.next()).await {
            Ok(piece) => piece.map(|piece| (piece, pieces)),
            Err(_) => {
                let why = format!("nothing of the recording came for {IDLE_MAX:?}");
                Some((Err(CallError::Retry { after: None, why }), stream::empty().boxed()))
            }
        }
    };
    stream::unfold(pieces, next).boxed()
}

fn reject(why: String) -> CallError {
    CallError::Reject { why }
}

fn removed() -> CallError {
    reject("what was put into the blob store is not there any more".to_owned())
}

fn too_large() -> CallError {
    reject(format!("the recording has more than the {RECORDING_BYTES_MAX} bytes that are kept"))
}

fn not_yet() -> CallError {
    CallError::Retry { after: Some(NOT_YET), why: "there is no recording, or none yet".to_owned() }
}

fn never() -> CallError {
    reject("there is no recording".to_owned())
}

fn no_medium() -> CallError {
    reject("what was sent with the text is not there any more".to_owned())
}

fn not_stored(error: BlobError) -> CallError {
    CallError::Retry { after: None, why: error.to_string() }
}

fn gone(name: &str) -> BlobError {
    BlobError::Unavailable(format!("{name} was removed meanwhile"))
}
