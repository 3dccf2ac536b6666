//! Blobs in a bucket of Google Cloud Storage (feature `gcs`).
//!
//! Bytes go in and out through Google's own client: resumable uploads of unknown length with a bounded buffer, CRC32C
//! compared on both ways, interrupted reads gone on with, links signed (V4). What that client has only over gRPC
//! (metadata, lists, removal, the bucket itself) is asked for over the JSON API ([`json`]), with the same credentials:
//! one protocol, and the only one that servers for tests speak.
//!
//! Every write has a generation as its precondition, so sending it again is safe; nothing else is ever sent again.

pub mod bucket;
mod identity;
mod json;
mod retry;
mod source;
mod usable;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use google_cloud_auth::credentials::Builder;
use google_cloud_auth::signer::Signer;
use google_cloud_storage::builder::storage::SignedUrlBuilder;
use google_cloud_storage::client::Storage;
use google_cloud_storage::error::{ReadError, WriteError};
use google_cloud_storage::model_ext::ReadRange;
use google_cloud_storage::read_object::ReadObjectResponse;
use google_cloud_storage::streaming_source::{Payload, StreamingSource};
use google_cloud_wkt::Timestamp;
use leadline_schemas::Millis;
use tokio::sync::OnceCell;

use self::identity::Identity;
use self::json::{Json, Known};
use self::retry::AnsweredErrors;
use self::source::Source;
pub use self::usable::{Looked, Unusable};
use crate::contract::BoxFuture;
use crate::contract::blob::{About, Blob, BlobError, BlobStream, Content, Created, Stat, checked_name, cut};
use crate::contract::clock::Clock;

/// Google's own address.
const ENDPOINT: &str = "https://storage.googleapis.com";
/// What is kept of an upload until the service has it; larger ones are sent in pieces of this size.
const BUFFER_BYTES: usize = 1 << 20;
/// How often a replacement or removal starts again because somebody else was faster.
const TURNS_MAX: u32 = 16;
/// The longest a V4 link may last.
const LINK_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Which bucket, and in whose name.
#[derive(Clone)]
pub struct GoogleConfig {
    /// The bucket's name.
    pub bucket: String,
    /// A server for tests in place of Google's; it is asked without credentials.
    pub endpoint: Option<String>,
    /// Signs links in place of the application's default credentials.
    pub signer: Option<Signer>,
}

/// A bucket. Cheap to clone.
#[derive(Clone)]
pub struct GoogleBlob {
    shared: Arc<Shared>,
}

struct Shared {
    config: GoogleConfig,
    clock: Arc<dyn Clock>,
    json: Json,
    /// Made at the first use, for it belongs to the runtime that it is made in.
    storage: OnceCell<Storage>,
    identity: Arc<Identity>,
}

impl GoogleBlob {
    /// A bucket, with the application's default credentials; nobody is asked yet, and no runtime is needed.
    pub fn open(config: GoogleConfig, clock: Arc<dyn Clock>) -> Result<Self, BlobError> {
        let refused = |why: String| BlobError::Unavailable(format!("bucket {}: {why}", config.bucket));
        let identity = Arc::new(Identity::new(config.endpoint.is_some()));
        let endpoint = config.endpoint.as_deref().unwrap_or(ENDPOINT);
        let json = Json::new(endpoint, &config.bucket, Arc::clone(&identity)).map_err(refused)?;
        let shared = Shared { config, clock, json, storage: OnceCell::new(), identity };
        Ok(Self { shared: Arc::new(shared) })
    }

    async fn storage(&self) -> Result<&Storage, BlobError> {
        let Shared { config, storage, identity, .. } = &*self.shared;
        let make = || async move {
            let builder = Storage::builder()
                .with_endpoint(config.endpoint.as_deref().unwrap_or(ENDPOINT))
                .with_credentials(identity.credentials()?)
                .with_resumable_upload_threshold(BUFFER_BYTES)
                .with_resumable_upload_buffer_size(BUFFER_BYTES);
            builder.build().await.map_err(|error| BlobError::Unavailable(error.to_string()))
        };
        storage.get_or_try_init(make).await
    }

    fn bucket(&self) -> String {
        format!("projects/_/buckets/{}", self.shared.config.bucket)
    }

    /// Writes where the object is of this generation; 0 = where there is none. None when it is not.
    async fn write<S>(
        &self,
        name: &str,
        about: &About,
        generation: i64,
        content: Payload<S>,
    ) -> Result<Option<Stat>, BlobError>
    where
        S: StreamingSource + Send + Sync + 'static,
        S::Error: std::error::Error + Send + Sync + 'static,
    {
        let mut writing = self
            .storage()
            .await?
            .write_object::<_, _, _, S>(self.bucket(), name, content)
            .with_retry_policy(AnsweredErrors)
            .set_if_generation_match(generation)
            .set_content_type(&about.content_type);
        if let Some(time) = about.custom_time.and_then(timestamp) {
            writing = writing.set_custom_time(time);
        }
        match writing.send_buffered().await {
            Ok(object) => Ok(Some(Stat {
                bytes: u64::try_from(object.size).unwrap_or(0),
                crc32c: object.checksums.and_then(|sums| sums.crc32c).unwrap_or(0),
                about: about.clone(),
            })),
            Err(error) if error.http_status_code() == Some(412) => Ok(None),
            Err(error) => {
                // The object was made of other bytes than ours: nobody may take it for there.
                if let Some(WriteError::ChecksumMismatch { object, .. }) = cause(&error) {
                    self.shared.json.remove(name, object.generation).await?;
                }
                Err(unavailable(name, &error))
            }
        }
    }

    async fn known(&self, name: &str) -> Result<Option<Known>, BlobError> {
        self.shared.json.object(checked(name)?).await
    }

    /// The newest content in one request, so that no replacement falls between two.
    async fn read_whole(&self, name: &str) -> Result<Option<Bytes>, BlobError> {
        let mut response = match self.storage().await?.read_object(self.bucket(), checked(name)?).send().await
        {
            Ok(response) => response,
            Err(error) if error.http_status_code() == Some(404) => return Ok(None),
            Err(error) => return Err(unavailable(name, &error)),
        };
        let bytes = usize::try_from(response.object().size).unwrap_or(0);
        let mut whole = BytesMut::with_capacity(bytes);
        while let Some(piece) = response.next().await {
            whole.extend_from_slice(&piece.map_err(|error| broken(name, &error))?);
        }
        Ok(Some(whole.freeze()))
    }

    async fn read_from(&self, name: &str, range: Option<Range<u64>>) -> Result<Option<Content>, BlobError> {
        for _ in 0..TURNS_MAX {
            let Some(Known { stat, generation }) = self.known(name).await? else { return Ok(None) };
            let range = cut(range.clone(), stat.bytes);
            if range.is_empty() {
                return Ok(Some(Content { stat, range, stream: Box::pin(stream::empty()) }));
            }
            let mut reading =
                self.storage().await?.read_object(self.bucket(), name).set_generation(generation);
            if range != (0..stat.bytes) {
                reading = reading.set_read_range(ReadRange::segment(range.start, range.end - range.start));
            }
            match reading.send().await {
                Ok(response) => {
                    return Ok(Some(Content { stat, range, stream: pieces(name.to_owned(), response) }));
                }
                // It was replaced or removed in between.
                Err(error) if error.http_status_code() == Some(404) => {}
                Err(error) => return Err(unavailable(name, &error)),
            }
        }
        Err(contended(name))
    }

    async fn replace_at(&self, name: &str, content: &Bytes) -> Result<(), BlobError> {
        for _ in 0..TURNS_MAX {
            let generation = self.known(name).await?.map_or(0, |known| known.generation);
            if self.write(name, &About::default(), generation, content.clone().into()).await?.is_some() {
                return Ok(());
            }
        }
        Err(contended(name))
    }

    async fn signed(&self, name: &str, until: Millis) -> Result<String, BlobError> {
        let left_ms = until.0.saturating_sub(self.shared.clock.wall().0);
        let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0)).min(LINK_MAX);
        let config = &self.shared.config;
        let signer = match &config.signer {
            Some(signer) => signer.clone(),
            None => Builder::default()
                .build_signer()
                .map_err(|error| BlobError::Unavailable(format!("links cannot be signed: {error}")))?,
        };
        let mut link = SignedUrlBuilder::for_object(self.bucket(), name).with_expiration(left);
        if let Some(endpoint) = &config.endpoint {
            link = link.with_endpoint(endpoint);
        }
        let signed = link.sign_with(&signer).await;
        signed.map_err(|error| BlobError::Unavailable(format!("{name}: the link was not signed: {error}")))
    }
}

impl Blob for GoogleBlob {
    fn create(&self, name: &str, content: Bytes) -> BoxFuture<'_, Result<Created, BlobError>> {
        let name = name.to_owned();
        Box::pin(async move {
            let written = self.write(checked(&name)?, &About::default(), 0, content.into()).await?;
            Ok(if written.is_some() { Created::New } else { Created::Exists })
        })
    }

    fn create_from(
        &self,
        name: &str,
        about: About,
        content: BlobStream,
    ) -> BoxFuture<'_, Result<(Created, Stat), BlobError>> {
        let name = name.to_owned();
        Box::pin(async move {
            // Asked first, so that what is there is not sent once more.
            if let Some(known) = self.known(&name).await? {
                return Ok((Created::Exists, known.stat));
            }
            let (source, failed) = Source::new(content);
            let written = self.write(&name, &about, 0, Payload::from_stream(source)).await;
            if let Some(own) = failed.take() {
                return Err(own);
            }
            match written? {
                Some(stat) => Ok((Created::New, stat)),
                None => {
                    let known = self.known(&name).await?.ok_or_else(|| contended(&name))?;
                    Ok((Created::Exists, known.stat))
                }
            }
        })
    }

    fn replace(&self, name: &str, content: Bytes) -> BoxFuture<'_, Result<(), BlobError>> {
        let name = name.to_owned();
        Box::pin(async move { self.replace_at(checked(&name)?, &content).await })
    }

    fn read(&self, name: &str) -> BoxFuture<'_, Result<Option<Bytes>, BlobError>> {
        let name = name.to_owned();
        Box::pin(async move { self.read_whole(&name).await })
    }

    fn open(
        &self,
        name: &str,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'_, Result<Option<Content>, BlobError>> {
        let name = name.to_owned();
        Box::pin(async move { self.read_from(&name, range).await })
    }

    fn stat(&self, name: &str) -> BoxFuture<'_, Result<Option<Stat>, BlobError>> {
        let name = name.to_owned();
        Box::pin(async move { Ok(self.known(&name).await?.map(|known| known.stat)) })
    }

    fn link(&self, name: &str, until: Millis) -> BoxFuture<'_, Result<String, BlobError>> {
        let name = name.to_owned();
        Box::pin(async move { self.signed(checked(&name)?, until).await })
    }

    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, BlobError>> {
        let prefix = prefix.to_owned();
        Box::pin(async move { self.shared.json.names(&prefix, None, usize::MAX).await })
    }

    fn list_page(
        &self,
        prefix: &str,
        after: Option<&str>,
        count_max: usize,
    ) -> BoxFuture<'_, Result<Vec<String>, BlobError>> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        Box::pin(async move { self.shared.json.names(&prefix, after.as_deref(), count_max).await })
    }

    fn remove(&self, name: &str) -> BoxFuture<'_, Result<(), BlobError>> {
        let name = name.to_owned();
        Box::pin(async move {
            for _ in 0..TURNS_MAX {
                let Some(known) = self.known(&name).await? else { return Ok(()) };
                if self.shared.json.remove(&name, known.generation).await? {
                    return Ok(());
                }
            }
            Err(contended(&name))
        })
    }
}

fn checked(name: &str) -> Result<&str, BlobError> {
    checked_name(name).ok_or_else(|| BlobError::Name(name.to_owned()))
}

fn timestamp(time: Millis) -> Option<Timestamp> {
    let nanos = i32::try_from(time.0.rem_euclid(1_000) * 1_000_000).ok()?;
    Timestamp::new(time.0.div_euclid(1_000), nanos).ok()
}

fn pieces(name: String, response: ReadObjectResponse) -> BlobStream {
    Box::pin(stream::unfold((name, response), |(name, mut response)| async move {
        let piece = response.next().await?.map_err(|error| broken(&name, &error));
        Some((piece, (name, response)))
    }))
}

fn unavailable(name: &str, error: &google_cloud_storage::Error) -> BlobError {
    BlobError::Unavailable(format!("{name}: {error}"))
}

fn contended(name: &str) -> BlobError {
    BlobError::Unavailable(format!("{name}: others changed it {TURNS_MAX} times meanwhile"))
}

/// What a read that began well ended with.
fn broken(name: &str, error: &google_cloud_storage::Error) -> BlobError {
    match cause(error) {
        Some(wrong @ (ReadError::ChecksumMismatch(_) | ReadError::LongRead { .. })) => {
            BlobError::Damaged { name: name.to_owned(), why: wrong.to_string() }
        }
        _ => unavailable(name, error),
    }
}

/// The first of an error's causes that is one of these.
fn cause<E: std::error::Error + 'static>(error: &google_cloud_storage::Error) -> Option<&E> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_of_googles_own_is_opened_before_there_is_a_runtime() {
        let config = GoogleConfig { bucket: "my-audio".to_owned(), endpoint: None, signer: None };
        assert!(GoogleBlob::open(config, Arc::new(crate::clock_system::SystemClock)).is_ok());
    }
}
