//! Shelf: answers that were paid for, by the names of their questions. A store that fails costs money and nothing else.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use leadline_schemas::reply::PendingJob;
use leadline_schemas::{JobId, Millis};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::contract::blob::{About, Blob, BlobError, BlobStream};
use crate::contract::clock::Clock;
use crate::contract::provider::ProviderAnswer;

/// Where answers are kept, and for how long.
pub(crate) struct Shelf {
    blob: Arc<dyn Blob>,
    clock: Arc<dyn Clock>,
    kept_ms: i64,
}

/// An answer as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// The job that it was paid for.
    job_id: JobId,
    at: Millis,
    cost_micros: i64,
    answer: Box<RawValue>,
}

impl Shelf {
    pub(crate) fn new(blob: Arc<dyn Blob>, clock: Arc<dyn Clock>, kept: Duration) -> Self {
        let kept_ms = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
        Self { blob, clock, kept_ms }
    }

    /// The answer of this name, unless it is too old. It costs what it has cost where it was paid for this very job,
    /// which died before it could say so, and nothing for any other.
    pub(crate) async fn take(&self, name: &str, job: &PendingJob) -> Option<ProviderAnswer> {
        let kept: Kept = match self.blob.read(name).await {
            Ok(stored) => serde_json::from_slice(&stored?).ok()?,
            Err(error) => {
                failed(job, &error);
                return None;
            }
        };
        if self.clock.wall().since(kept.at) > self.kept_ms {
            return None;
        }
        metrics::counter!("leadline_answers_kept_total", "kind" => job.request.kind.clone()).increment(1);
        let cost_micros = if kept.job_id == job.job_id { kept.cost_micros } else { 0 };
        Some(ProviderAnswer { body: Bytes::copy_from_slice(kept.answer.get().as_bytes()), cost_micros })
    }

    /// Keeps a JSON answer; its retention counts from `custom_time`.
    pub(crate) async fn put(
        &self,
        name: &str,
        job: &PendingJob,
        answer: &ProviderAnswer,
        custom_time: Option<Millis>,
    ) {
        let Ok(raw) = serde_json::from_slice(&answer.body) else { return };
        let (job_id, at, cost_micros) = (job.job_id, self.clock.wall(), answer.cost_micros);
        let Ok(content) = serde_json::to_vec(&Kept { job_id, at, cost_micros, answer: raw }) else { return };
        let about = About { content_type: "application/json".to_owned(), custom_time };
        let pieces: BlobStream = Box::pin(stream::iter([Ok(Bytes::from(content))]));
        let stored = async {
            // One that is too old to be taken lies in the way.
            self.blob.remove(name).await?;
            self.blob.create_from(name, about, pieces).await
        };
        if let Err(error) = stored.await {
            failed(job, &error);
        }
    }

    /// What the retention of another object counts from: who is kept beside it goes with it.
    pub(crate) async fn time_of(&self, beside: &str, job: &PendingJob) -> Result<Option<Millis>, BlobError> {
        let stat = self.blob.stat(beside).await.inspect_err(|error| failed(job, error))?;
        Ok(stat.and_then(|stat| stat.about.custom_time))
    }
}

fn failed(job: &PendingJob, error: &BlobError) {
    let provider = &job.request.target;
    tracing::warn!(provider, %error, "kept answers cannot be used: they are paid for again");
}
