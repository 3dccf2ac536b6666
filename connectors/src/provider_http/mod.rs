//! Provider by HTTP: POSTs a job's JSON to an endpoint and takes JSON back.
//!
//! For `score` jobs the request is the input and the answer the output of the scoring vocabulary. The job's id goes
//! along as `Idempotency-Key`, the same over attempts and crashes.

use std::time::Duration;

use http::Method;
use leadline_schemas::reply::PendingJob;

use crate::contract::BoxFuture;
use crate::contract::provider::{CallError, Limits, Provider, ProviderAnswer};
use crate::contract::wire::{Trace, WireRequest};
use crate::http_client::{Client, judged};

/// An endpoint that answers jobs.
pub struct HttpProvider {
    name: String,
    url: String,
    client: Client,
    limits: Option<Limits>,
}

impl HttpProvider {
    /// A provider of this name at `url`.
    pub fn new(name: impl Into<String>, url: impl Into<String>, client: Client) -> Self {
        Self { name: name.into(), url: url.into(), client, limits: None }
    }

    /// The same, which takes no more than this from all tenants together.
    #[must_use]
    pub fn within(self, limits: Limits) -> Self {
        Self { limits: Some(limits), ..self }
    }
}

impl Provider for HttpProvider {
    fn name(&self) -> &str {
        &self.name
    }

    fn limits(&self) -> Option<Limits> {
        self.limits
    }

    fn call(&self, job: PendingJob, deadline: Duration) -> BoxFuture<'_, Result<ProviderAnswer, CallError>> {
        Box::pin(async move {
            let asked = WireRequest::new(Method::POST, &self.url)
                .header("content-type", "application/json")
                .header("idempotency-key", job.job_id.to_string())
                .body(job.request.payload);
            let answer = judged(self.client.exchange(&asked, deadline, &Trace::default()).await?)?;
            if answer.too_large {
                return Err(CallError::Reject {
                    why: format!("{} answered more than can be read", self.name),
                });
            }
            if serde_json::from_slice::<serde::de::IgnoredAny>(&answer.body).is_err() {
                return Err(CallError::Reject {
                    why: format!("{} answered something that is not JSON", self.name),
                });
            }
            Ok(ProviderAnswer { body: answer.body, cost_micros: 0 })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::HttpProvider;
    use crate::conformance::provider::{ProviderUnderTest, suite};
    use crate::http_client::Client;

    #[tokio::test]
    async fn it_passes_the_suite() {
        let client = Client::new().unwrap();
        suite(&|url| ProviderUnderTest {
            provider: Arc::new(HttpProvider::new("model", url, client.clone())),
            kind: "score",
            payload: r#"{"id":"CAL1","transcript":[]}"#,
            good: r#"{"score":71,"band":"warm"}"#,
        })
        .await;
    }
}
