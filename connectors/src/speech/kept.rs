//! Words that were paid for, kept beside their recording: whoever asks for the same recording again pays nothing, be it a
//! later payload of the call or the same job after a crash.
//!
//! Words are stored before their reply is appended. What still runs, has failed or was refused is not kept. A store that
//! fails costs money and nothing else.

use std::sync::Arc;
use std::time::Duration;

use leadline_schemas::reply::PendingJob;
use leadline_schemas::transcription::{TranscribeJob, Transcribed};
use ring::digest::{SHA256, digest};

use super::{asked, language};
use crate::contract::BoxFuture;
use crate::contract::blob::Blob;
use crate::contract::clock::Clock;
use crate::contract::provider::{CallError, Limits, Provider, ProviderAnswer};
use crate::provider_cached::Shelf;

/// A provider of transcripts whose words are kept.
pub struct KeptWords {
    inner: Arc<dyn Provider>,
    /// What else words depend on: the model.
    version: String,
    shelf: Shelf,
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
        Self { inner, version: version.into(), shelf: Shelf::new(blob, clock, kept) }
    }

    /// Where the words of a recording are kept.
    fn name(&self, asks: &TranscribeJob) -> String {
        let language = language(asks.language.as_deref());
        let hash = digest(&SHA256, [self.inner.name(), &self.version, &language].join("\0").as_bytes());
        let id: String = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("{}.words-{id}", asks.blob)
    }

    async fn keep(&self, name: &str, recording: &str, job: &PendingJob, answer: &ProviderAnswer) {
        let Ok(Transcribed::Turns(_)) = serde_json::from_slice(&answer.body) else { return };
        // They go when the recording does.
        if let Ok(custom_time) = self.shelf.time_of(recording, job).await {
            self.shelf.put(name, job, answer, custom_time).await;
        }
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
                && let Some(kept) = self.shelf.take(&name, &job).await
            {
                return Ok(kept);
            }
            let answer = self.inner.call(job.clone(), deadline).await?;
            self.keep(&name, &asks.blob, &job, &answer).await;
            Ok(answer)
        })
    }
}
