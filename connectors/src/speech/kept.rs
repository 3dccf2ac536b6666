//! Words that were paid for, kept beside their recording: whoever asks for the same recording again pays nothing, be it a
//! later payload of the call or the same job after a crash.
//!
//! Words are stored before their reply is appended. What still runs, has failed or was refused is not kept. A store that
//! fails costs money and nothing else.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use leadline_schemas::event::Turn;
use leadline_schemas::reply::PendingJob;
use leadline_schemas::transcription::{TranscribeJob, Transcribed};
use leadline_schemas::{JobId, Millis};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::{answer, asked, language};
use crate::contract::BoxFuture;
use crate::contract::blob::{About, Blob, BlobError, BlobStream};
use crate::contract::clock::Clock;
use crate::contract::provider::{CallError, Limits, Provider, ProviderAnswer};

/// A provider of transcripts whose words are kept.
pub struct KeptWords {
    inner: Arc<dyn Provider>,
    /// What else words depend on: the model.
    version: String,
    blob: Arc<dyn Blob>,
    clock: Arc<dyn Clock>,
    kept_ms: i64,
}

/// Words as they are kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// The job that has paid for them.
    job_id: JobId,
    at: Millis,
    cost_micros: i64,
    turns: Vec<Turn>,
}

impl KeptWords {
    /// Keeps the words of `inner` for so long. Words of another `version` are not taken.
    pub fn new(
        inner: Arc<dyn Provider>,
        version: impl Into<String>,
        blob: Arc<dyn Blob>,
        clock: Arc<dyn Clock>,
        kept: Duration,
    ) -> Self {
        let kept_ms = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
        Self { inner, version: version.into(), blob, clock, kept_ms }
    }

    /// Where the words of a recording are kept.
    fn name(&self, asks: &TranscribeJob) -> String {
        let language = language(asks.language.as_deref());
        let hash = digest(&SHA256, [self.inner.name(), &self.version, &language].join("\0").as_bytes());
        let id: String = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("{}.words-{id}", asks.blob)
    }

    async fn kept(&self, name: &str, job: &PendingJob) -> Option<Result<ProviderAnswer, CallError>> {
        let kept: Kept = match self.blob.read(name).await {
            Ok(stored) => serde_json::from_slice(&stored?).ok()?,
            Err(error) => {
                self.failed(&error);
                return None;
            }
        };
        if self.clock.wall().since(kept.at) > self.kept_ms {
            return None;
        }
        metrics::counter!("leadline_answers_kept_total", "kind" => job.request.kind.clone()).increment(1);
        // The job that has paid and died before it could say so has still paid.
        let cost_micros = if kept.job_id == job.job_id { kept.cost_micros } else { 0 };
        Some(answer(Transcribed::Turns(kept.turns), cost_micros))
    }

    async fn keep(&self, name: &str, recording: &str, job: &PendingJob, answer: &ProviderAnswer) {
        let Ok(Transcribed::Turns(turns)) = serde_json::from_slice(&answer.body) else { return };
        let (job_id, at, cost_micros) = (job.job_id, self.clock.wall(), answer.cost_micros);
        let Ok(content) = serde_json::to_vec(&Kept { job_id, at, cost_micros, turns }) else { return };
        let stored = async {
            // They go when the recording does.
            let custom_time = self.blob.stat(recording).await?.and_then(|stat| stat.about.custom_time);
            let about = About { content_type: "application/json".to_owned(), custom_time };
            let pieces: BlobStream = Box::pin(stream::iter([Ok(Bytes::from(content))]));
            // What is too old to be taken lies in the way.
            self.blob.remove(name).await?;
            self.blob.create_from(name, about, pieces).await
        };
        if let Err(error) = stored.await {
            self.failed(&error);
        }
    }

    fn failed(&self, error: &BlobError) {
        tracing::warn!(provider = self.inner.name(), %error, "kept words cannot be used: they are paid for again");
    }
}

impl Provider for KeptWords {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn attempt_timeout(&self) -> Option<Duration> {
        self.inner.attempt_timeout()
    }

    fn limits(&self) -> Option<Limits> {
        self.inner.limits()
    }

    fn call(&self, job: PendingJob, deadline: Duration) -> BoxFuture<'_, Result<ProviderAnswer, CallError>> {
        Box::pin(async move {
            let asks = asked(&job)?;
            let name = self.name(&asks);
            // What was started is waited for, and counted by whoever asks how it goes.
            if asks.operation.is_none()
                && let Some(kept) = self.kept(&name, &job).await
            {
                return kept;
            }
            let answer = self.inner.call(job.clone(), deadline).await?;
            self.keep(&name, &asks.blob, &job, &answer).await;
            Ok(answer)
        })
    }
}
