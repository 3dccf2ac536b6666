//! Provider: answers one kind of job (score, transcribe, fetch a recording, get a call).
//!
//! The executor calls it after the job's epoch has committed, holds no lock or epoch meanwhile, and appends the
//! result to `replies`. The same job may be asked twice after a crash: `job_id` is the idempotency key.

use std::time::Duration;

use bytes::Bytes;
use leadline_schemas::reply::PendingJob;

use super::BoxFuture;
use super::secrets::SecretError;

/// Answers jobs. Implementations bound their own time to `deadline` and never panic on an odd answer.
pub trait Provider: Send + Sync + 'static {
    /// Its name: what `JobRequest::target` says.
    fn name(&self) -> &str;

    /// How long one attempt may take, where that is longer than a call usually does: for answers that are large. A process
    /// that hands over names its calls with it, up to 10 minutes, and its successor leaves them alone as long; after a crash
    /// attempts may overlap.
    fn attempt_timeout(&self) -> Option<Duration> {
        None
    }

    /// What it takes from all tenants together; none where it counts by itself, or per tenant. Then calls of one tenant
    /// that fail say nothing of those of others.
    fn limits(&self) -> Option<Limits> {
        None
    }

    /// One attempt.
    fn call(&self, job: PendingJob, deadline: Duration) -> BoxFuture<'_, Result<ProviderAnswer, CallError>>;
}

/// What a provider takes from all tenants together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls at once of one process. The executor begins with fewer, and goes back where calls are refused or slow.
    pub calls_max: usize,
    /// Calls a minute of all processes together: each takes the part of them that it has of the partitions.
    pub per_minute: Option<u32>,
}

impl Limits {
    /// These, but for what is given for one provider.
    pub fn or_own(self, calls_max: Option<usize>, per_minute: Option<u32>) -> Self {
        Self { calls_max: calls_max.unwrap_or(self.calls_max), per_minute: per_minute.or(self.per_minute) }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderAnswer {
    /// In the vocabulary of the job's kind (JSON).
    pub body: Bytes,
    /// What it cost, in millionths of the tenant's currency.
    pub cost_micros: i64,
}

/// Why an attempt brought no answer. `why` is one line, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Ask again, not before `after` if given (429, 5xx, cut connection, time-out).
    #[error("{why}")]
    Retry {
        /// Retry-After.
        after: Option<Duration>,
        /// What happened.
        why: String,
    },
    /// Asking again changes nothing (4xx, an answer that is not what was asked for).
    #[error("{why}")]
    Reject {
        /// What happened.
        why: String,
    },
    /// The request may have taken effect, and the other side has no idempotency.
    #[error("{why}")]
    Unclear {
        /// What happened.
        why: String,
    },
}

/// What cannot be opened now cannot be opened by the next attempt.
impl From<SecretError> for CallError {
    fn from(error: SecretError) -> Self {
        Self::Reject { why: error.to_string() }
    }
}
