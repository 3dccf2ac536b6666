//! Provider of transcripts: Google Speech-to-Text v2, with Chirp 3, over REST.
//!
//! What lasts up to a minute is recognised in one request. All else is a batch: a `transcribe` job starts an operation and is
//! answered with its name, `transcribe_poll` jobs ask how it goes. Starting bills, and Google has no idempotency; how a start
//! is made only once all the same stands in [`submit`]. Batches read the recording from the bucket that it lies in.
//!
//! Of a recording with one channel voices are told apart. Several are made one before, or recognised each for itself, and
//! billed so: [`Channels`].

mod answer;
mod ask;
mod channels;
mod error;
mod request;
mod submit;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leadline_schemas::reply::PendingJob;
use leadline_schemas::transcription::{Operation, TranscribeJob, Transcribed};
use serde_json::json;

use self::answer::{Polled, polled, recognised};
pub use self::channels::Channels;
pub use self::request::LOCATIONS;
use crate::bearer::Bearer;
use crate::contract::BoxFuture;
use crate::contract::blob::{Blob, Content};
use crate::contract::provider::{CallError, Limits, Provider, ProviderAnswer};
use crate::http_client::Client;
use crate::speech::{answer, asked, cost_micros, recording, reject};

/// The longest sound that one request takes.
const SYNC_MS_MAX: i64 = 60_000;
/// The largest recording that one request takes: Google's 10 MB are those of the request, where it stands as base64.
const SYNC_BYTES_MAX: u64 = 7_000_000;
/// The longest sound that a Chirp 3 batch takes.
const CHIRP_MS_MAX: i64 = 3_600_000;
/// One attempt: a request of a minute's sound takes seconds.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(120);
/// When a batch is worth asking about: it takes about a fifth of the sound's length.
const POLL_AFTER_MS: i64 = 5_000;
/// When a dynamic batch is.
const DYNAMIC_POLL_AFTER_MS: i64 = 60_000;
/// When a batch is given up; hung ones have been seen for hours, and nobody waits so long for a lead.
const BATCH_ENDS_WITHIN_MS: i64 = 7_200_000;
/// When a dynamic batch is: Google promises 24 hours.
const DYNAMIC_ENDS_WITHIN_MS: i64 = 25 * 3_600_000;

/// Which project, place and model, and at what price.
#[derive(Clone, Debug)]
pub struct GoogleSpeechConfig {
    /// What a tenant's policy calls it.
    pub name: String,
    /// The project that pays.
    pub project: String,
    /// The region; see [`LOCATIONS`].
    pub location: String,
    /// The model, `chirp_3`.
    pub model: String,
    /// The bucket that recordings lie in; without one only what lasts up to a minute can be recognised.
    pub bucket: Option<String>,
    /// A server for tests in place of Google's of the region.
    pub endpoint: Option<String>,
    /// The price of a minute of one channel, in millionths of the currency.
    pub price_micros_per_minute: i64,
    /// The same, where nobody waits (dynamic batching).
    pub batch_price_micros_per_minute: i64,
    /// What becomes of a recording with several channels.
    pub channels: Channels,
    /// What it takes from all tenants together.
    pub limits: Limits,
}

/// Speech-to-Text in one region.
pub struct GoogleSpeech {
    config: GoogleSpeechConfig,
    tokens: Arc<dyn Bearer>,
    blob: Arc<dyn Blob>,
    client: Client,
}

impl GoogleSpeech {
    /// This service for recordings of this store.
    pub fn new(
        config: GoogleSpeechConfig,
        tokens: Arc<dyn Bearer>,
        blob: Arc<dyn Blob>,
        client: Client,
    ) -> Self {
        Self { config, tokens, blob, client }
    }

    async fn transcribe(&self, job: PendingJob, deadline: Duration) -> Result<ProviderAnswer, CallError> {
        let asks = asked(&job)?;
        if let Some(operation) = &asks.operation {
            return self.poll(&asks, operation, deadline).await;
        }
        let content = recording(&self.blob, &asks.blob).await?;
        let is_short = asks.duration_ms.is_some_and(|duration_ms| duration_ms <= SYNC_MS_MAX);
        // One channel of a minute is small, whatever the recording is.
        if is_short && (content.stat.bytes <= SYNC_BYTES_MAX || self.mixed_hz(&asks).is_some()) {
            return self.recognise(&job, &asks, content, deadline).await;
        }
        self.refuse_what_is_too_long(&asks)?;
        self.uri(&asks.blob)?;
        let (about, began) = (content.stat.about.clone(), tokio::time::Instant::now());
        let object = match self.mixed_hz(&asks) {
            Some(rate_hz) => self.put_mixed(&asks, rate_hz, content).await?,
            None => asks.blob.clone(),
        };
        let (uri, left) = (self.uri(&object)?, deadline.saturating_sub(began.elapsed()));
        let name = self.submit(&job, &asks, &uri, about, left).await?;
        let (poll_after_ms, ends_within_ms) = match asks.backfill {
            true => (DYNAMIC_POLL_AFTER_MS, DYNAMIC_ENDS_WITHIN_MS),
            false => (POLL_AFTER_MS, BATCH_ENDS_WITHIN_MS),
        };
        answer(Transcribed::Operation(Operation { name, poll_after_ms, ends_within_ms }), 0)
    }

    /// One request, with the sound in it.
    async fn recognise(
        &self,
        job: &PendingJob,
        asks: &TranscribeJob,
        content: Content,
        deadline: Duration,
    ) -> Result<ProviderAnswer, CallError> {
        let about = content.stat.about.clone();
        let sound = self.sound(asks, content).await?;
        let body = json!({ "config": self.recognition(asks), "content": STANDARD.encode(&sound) });
        let path = format!("{}/recognizers/_:recognize", self.parent());
        let answered = self.request(&path, &body, job, (&asks.blob, about), deadline).await?;
        let found = recognised(&answered, asks.first).map_err(reject)?;
        let billed_ms = found.billed_ms.unwrap_or_else(|| self.heard_ms(asks));
        answer(Transcribed::Turns(found.turns), cost_micros(self.config.price_micros_per_minute, billed_ms))
    }

    /// How an operation goes. Asking costs nothing.
    async fn poll(
        &self,
        asks: &TranscribeJob,
        operation: &str,
        deadline: Duration,
    ) -> Result<ProviderAnswer, CallError> {
        let path = self.operation_path(operation)?;
        let answered = self.ask(&path, deadline).await?;
        // What it was started with may have been configured otherwise.
        let uris = [self.uri(&asks.blob)?, self.uri(&Self::mixed_name(asks))?];
        let price = match asks.backfill {
            true => self.config.batch_price_micros_per_minute,
            false => self.config.price_micros_per_minute,
        };
        let polled = polled(&answered, &uris, asks.first).map_err(reject)?;
        if !matches!(polled, Polled::Runs) {
            self.remove_mixed(asks).await;
        }
        match polled {
            Polled::Runs => {
                let poll_after_ms = if asks.backfill { DYNAMIC_POLL_AFTER_MS } else { POLL_AFTER_MS };
                let (name, ends_within_ms) = (operation.to_owned(), BATCH_ENDS_WITHIN_MS);
                answer(Transcribed::Operation(Operation { name, poll_after_ms, ends_within_ms }), 0)
            }
            Polled::Failed { why, billed_ms } => {
                answer(Transcribed::Failed(why), cost_micros(price, billed_ms.unwrap_or(0)))
            }
            Polled::Done(found) => {
                let billed_ms = found.billed_ms.unwrap_or_else(|| self.heard_ms(asks));
                answer(Transcribed::Turns(found.turns), cost_micros(price, billed_ms))
            }
        }
    }

    /// What is billed where Google does not tell: the sound, once for each channel that is recognised.
    fn heard_ms(&self, asks: &TranscribeJob) -> i64 {
        let channels = if self.mixed_hz(asks).is_some() { 1 } else { asks.channels.unwrap_or(1).max(1) };
        asks.duration_ms.unwrap_or(0).saturating_mul(i64::from(channels))
    }

    /// Said here and not by Google, which would bill a start for it.
    fn refuse_what_is_too_long(&self, asks: &TranscribeJob) -> Result<(), CallError> {
        let duration_ms = asks.duration_ms.unwrap_or(0);
        if self.config.model.starts_with("chirp") && duration_ms > CHIRP_MS_MAX {
            let (minutes, most) = (duration_ms / 60_000, CHIRP_MS_MAX / 60_000);
            return Err(reject(format!(
                "the recording lasts {minutes} minutes, and {} takes {most} at most",
                self.config.model
            )));
        }
        Ok(())
    }

    /// Where Google finds the recording.
    fn uri(&self, blob: &str) -> Result<String, CallError> {
        let bucket = self.config.bucket.as_ref().ok_or_else(|| {
            reject(
                "the recording lasts more than a minute, and Google reads such from a bucket alone: set \
                 google.audio_bucket"
                    .to_owned(),
            )
        })?;
        Ok(format!("gs://{bucket}/{blob}"))
    }
}

impl Provider for GoogleSpeech {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn attempt_timeout(&self) -> Option<Duration> {
        Some(ATTEMPT_TIMEOUT)
    }

    fn limits(&self) -> Option<Limits> {
        Some(self.config.limits)
    }

    fn call(&self, job: PendingJob, deadline: Duration) -> BoxFuture<'_, Result<ProviderAnswer, CallError>> {
        Box::pin(self.transcribe(job, deadline))
    }
}
