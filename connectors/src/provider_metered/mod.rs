//! A provider whose answers are counted for what they cost, and who is not asked when the process has spent its budget of the
//! day. It wraps any other.

mod budget;

use std::sync::Arc;
use std::time::Duration;

use leadline_schemas::reply::PendingJob;

pub use budget::{DayBudget, DayBudgetConfig};

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
}

impl MeteredProvider {
    /// Meters `inner`, which answers jobs of `kind`.
    pub fn new(
        kind: &'static str,
        inner: Arc<dyn Provider>,
        budget: Arc<DayBudget>,
        is_cheapest: bool,
    ) -> Self {
        Self { kind, inner, budget, is_cheapest, limits: None, is_paid: false }
    }

    /// The same for jobs that fetch what is paid for: they are asked whatever was spent.
    #[must_use]
    pub fn fetching(self) -> Self {
        Self { is_paid: true, ..self }
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
            let admitted = if self.is_paid { Ok(()) } else { self.budget.admit(self.is_cheapest) };
            admitted.map_err(|why| CallError::Reject { why })?;
            let answer = self.inner.call(job, deadline).await?;
            if let Ok(cost_micros) = u64::try_from(answer.cost_micros)
                && cost_micros > 0
            {
                let provider = self.inner.name().to_owned();
                metrics::counter!("leadline_ai_cost_micros_total", "kind" => self.kind, "provider" => provider)
                    .increment(cost_micros);
                self.budget.spend(answer.cost_micros).await;
            }
            Ok(answer)
        })
    }
}

#[cfg(test)]
mod tests;
