//! A provider whose answers are counted for what they cost, and who is not asked when the process has spent its budget of the
//! day, or would by this. It wraps any other.

mod baseline;
mod budget;
mod operations;
mod worth;

use std::sync::Arc;
use std::time::Duration;

use leadline_schemas::JobId;
use leadline_schemas::reply::PendingJob;
use leadline_schemas::settings::SpeechPrice;
use leadline_schemas::transcription::{TranscribeJob, Transcribed};

use self::budget::InFlight;
pub use self::budget::{DayBudget, DayBudgetConfig};
use self::worth::Worth;

use crate::contract::BoxFuture;
use crate::contract::provider::{CallError, Limits, Provider, ProviderAnswer};

/// The provider and its meter.
pub struct MeteredProvider {
    kind: &'static str,
    inner: Arc<dyn Provider>,
    budget: Arc<DayBudget>,
    /// Whether there is none that costs less: it is asked up to the hard budget.
    is_cheapest: bool,
    limits: Option<Limits>,
    /// Whether what it answers was paid for before it is asked.
    is_paid: bool,
    worth: Worth,
}

impl MeteredProvider {
    /// Meters `inner`, which answers jobs of `kind`.
    pub fn new(
        kind: &'static str,
        inner: Arc<dyn Provider>,
        budget: Arc<DayBudget>,
        is_cheapest: bool,
    ) -> Self {
        Self { kind, inner, budget, is_cheapest, limits: None, is_paid: false, worth: Worth::default() }
    }

    /// The same for jobs that fetch what is paid for: they are asked whatever was spent.
    #[must_use]
    pub fn fetching(self) -> Self {
        Self { is_paid: true, ..self }
    }

    /// The same for transcripts at this price: what each will cost is kept of the budget until it has ended.
    #[must_use]
    pub fn priced(self, price: SpeechPrice) -> Self {
        Self { worth: Worth::Speech(price), ..self }
    }

    /// The same for scores: each is expected to cost what those before it have cost.
    #[must_use]
    pub fn averaged(self) -> Self {
        Self { worth: Worth::usual(), ..self }
    }

    /// The same, which takes no more than this from all tenants together.
    #[must_use]
    pub fn within(self, limits: Limits) -> Self {
        Self { limits: Some(limits), ..self }
    }
}

impl Provider for MeteredProvider {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn attempt_timeout(&self) -> Option<Duration> {
        self.inner.attempt_timeout()
    }

    fn limits(&self) -> Option<Limits> {
        self.limits.or_else(|| self.inner.limits())
    }

    fn call(&self, job: PendingJob, deadline: Duration) -> BoxFuture<'_, Result<ProviderAnswer, CallError>> {
        Box::pin(async move {
            let expected_micros = self.worth.expected_micros(&job);
            let in_flight = match self.is_paid {
                true => None,
                false => Some(self.admit(job.job_id, expected_micros)?),
            };
            let (asked, job_id) = (self.operation_asked(&job), job.job_id);
            if let Some(operation) = &asked {
                self.budget.runs(operation, None, expected_micros).await;
            }
            let answered = self.inner.call(job, deadline).await;
            if let (None, Some(started)) = (&asked, self.operation_told(&answered)) {
                self.budget.runs(&started, Some(job_id), expected_micros).await;
            }
            self.note(asked.as_deref(), &answered).await;
            // What runs on is kept by now.
            drop(in_flight);
            answered
        })
    }
}

impl MeteredProvider {
    fn admit(&self, job: JobId, expected_micros: i64) -> Result<InFlight<'_>, CallError> {
        self.budget.admit(job, expected_micros, self.is_cheapest).map_err(|why| CallError::Reject { why })
    }

    /// The operation that a job asks about.
    fn operation_asked(&self, job: &PendingJob) -> Option<String> {
        let is_fetched = self.is_paid && matches!(self.worth, Worth::Speech(_));
        let asks = is_fetched.then(|| serde_json::from_slice::<TranscribeJob>(&job.request.payload).ok());
        asks.flatten()?.operation
    }

    /// The operation that an answer says to run.
    fn operation_told(&self, answered: &Result<ProviderAnswer, CallError>) -> Option<String> {
        let answer = answered.as_ref().ok().filter(|_| matches!(self.worth, Worth::Speech(_)))?;
        match serde_json::from_slice(&answer.body) {
            Ok(Transcribed::Operation(operation)) => Some(operation.name),
            _ => None,
        }
    }

    /// What an answer has cost, and whether the operation that was asked about has ended.
    async fn note(&self, asked: Option<&str>, answered: &Result<ProviderAnswer, CallError>) {
        if let Ok(answer) = answered
            && let Ok(cost_micros) = u64::try_from(answer.cost_micros)
            && cost_micros > 0
        {
            let provider = self.inner.name().to_owned();
            metrics::counter!("leadline_ai_cost_micros_total", "kind" => self.kind, "provider" => provider)
                .increment(cost_micros);
            self.worth.learn(answer.cost_micros);
            self.budget.spend(answer.cost_micros).await;
        }
        let Some(operation) = asked else { return };
        // One that could not be asked about runs on, as far as anybody knows.
        let has_ended = match answered {
            Ok(_) => self.operation_told(answered).is_none(),
            Err(error) => matches!(error, CallError::Reject { .. }),
        };
        if has_ended {
            self.budget.ended(operation).await;
        }
    }
}

#[cfg(test)]
mod tests;
