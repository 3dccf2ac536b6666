//! Provider by HTTP: POSTs a job's JSON to an endpoint and takes JSON back.
//!
//! For `score` jobs the request is the input and the answer the output of the scoring vocabulary. The job's id goes
//! along as `Idempotency-Key`, the same over attempts and crashes.

use std::time::Duration;

use bytes::Bytes;
use leadline_schemas::reply::PendingJob;

use crate::contract::BoxFuture;
use crate::contract::provider::{CallError, Provider, ProviderAnswer};
use crate::http_client::{Call, Client};

/// An endpoint that answers jobs.
pub struct HttpProvider {
    name: String,
    url: String,
    client: Client,
}

impl HttpProvider {
    /// A provider of this name at `url`.
    pub fn new(name: impl Into<String>, url: impl Into<String>, client: Client) -> Self {
        Self { name: name.into(), url: url.into(), client }
    }
}

impl Provider for HttpProvider {
    fn name(&self) -> &str {
        &self.name
    }

    fn call(&self, job: PendingJob, deadline: Duration) -> BoxFuture<'_, Result<ProviderAnswer, CallError>> {
        Box::pin(async move {
            let key = job.job_id.to_string();
            let call = Call {
                url: &self.url,
                body: job.request.payload,
                idempotency_key: &key,
                headers: &[],
                deadline,
            };
            let body = self.client.post(call).await?.ok_or_else(|| CallError::Reject {
                why: format!("{} answered more than can be read", self.name),
            })?;
            if serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_err() {
                return Err(CallError::Reject {
                    why: format!("{} answered something that is not JSON", self.name),
                });
            }
            Ok(ProviderAnswer { body: Bytes::from(body), cost_micros: 0 })
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
