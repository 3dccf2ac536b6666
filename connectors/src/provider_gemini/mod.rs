//! Scores by Gemini on Vertex AI: `generateContent` over REST, with a response schema and without thinking.
//!
//! Google's lifecycle page and its API differ on when a model ends, so models are a chain in the configuration; a 404 goes to
//! the next. There is no idempotency key: an attempt that broke off may have been billed (vendor facts, section 8).

mod wire;

use std::sync::Arc;
use std::time::{Duration, Instant};

use leadline_schemas::reply::PendingJob;

use self::wire::{heard, request_body};
use crate::bearer::Bearer;
use crate::contract::BoxFuture;
use crate::contract::provider::{CallError, Provider, ProviderAnswer};
use crate::contract::wire::{WireAnswer, WireRequest};
use crate::http_client::{Client, judged, one_line};
use crate::scoring::{self, Asking, Heard, Model, Models, Price, Unheard};

/// The chain without a configuration: the model that is listed as retired since 16 October 2026, and its successors.
pub const MODELS_DEFAULT: [(&str, Price); 3] = [
    ("gemini-2.5-flash", Price { input: 300_000, cached: 30_000, output: 2_500_000 }),
    ("gemini-3.5-flash-lite", Price { input: 300_000, cached: 30_000, output: 2_500_000 }),
    ("gemini-3.1-flash-lite", Price { input: 250_000, cached: 25_000, output: 1_500_000 }),
];
/// The location that Google spreads over its regions: fewer refusals, and no word on where data is processed.
pub const LOCATION_GLOBAL: &str = "global";

/// Where Gemini is asked, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeminiConfig {
    /// What a tenant's `score_provider` names.
    pub name: String,
    /// Scheme and host, where they are not Google's own for the location.
    pub endpoint: Option<String>,
    /// The Google Cloud project that pays.
    pub project: String,
    /// `global`, or a region such as `us-central1`.
    pub location: String,
    /// The models, the one to ask first first.
    pub models: Vec<Model>,
}

/// Asks Gemini.
pub struct GeminiProvider {
    name: String,
    /// All of an address before the model.
    base: String,
    models: Models,
    bearer: Arc<dyn Bearer>,
    client: Client,
}

impl GeminiProvider {
    /// One that shows tokens of `bearer`.
    pub fn new(config: GeminiConfig, bearer: Arc<dyn Bearer>, client: Client) -> Self {
        let GeminiConfig { name, endpoint, project, location, models } = config;
        let host = endpoint.unwrap_or_else(|| host_of(&location));
        let base = format!(
            "{}/v1/projects/{project}/locations/{location}/publishers/google/models",
            host.trim_end_matches('/')
        );
        Self { name, base, models: Models::new(models), bearer, client }
    }

    async fn put(&self, model: &Model, asking: &Asking, deadline: Duration) -> Result<Heard, Unheard> {
        let started = Instant::now();
        let body = request_body(&model.name, asking);
        let url = format!("{}/{}:generateContent", self.base, model.name);
        let request = WireRequest::json(url, &body).header("idempotency-key", &asking.job);
        let token = self.bearer.token().await?;
        let mut answer = self.send(&request, &token, deadline).await?;
        if answer.status == 401 {
            // It may have ended on its way; whoever has the same again has none that is good.
            self.bearer.refused(&token);
            let fresh = self.bearer.token().await?;
            if fresh != token {
                answer = self.send(&request, &fresh, deadline.saturating_sub(started.elapsed())).await?;
            }
        }
        if answer.status == 404 {
            return Err(Unheard::Gone(format!("answered 404: {}", one_line(&answer.body))));
        }
        Ok(heard(&judged(answer)?.body)
            .map_err(|why| CallError::Reject { why: format!("{} {why}", self.name) })?)
    }

    async fn send(
        &self,
        request: &WireRequest,
        token: &str,
        deadline: Duration,
    ) -> Result<WireAnswer, CallError> {
        let request = request.clone().bearer(token);
        scoring::exchange(&self.name, &self.client, &request, deadline).await
    }
}

impl Provider for GeminiProvider {
    fn name(&self) -> &str {
        &self.name
    }

    fn call(&self, job: PendingJob, deadline: Duration) -> BoxFuture<'_, Result<ProviderAnswer, CallError>> {
        Box::pin(async move {
            let started = Instant::now();
            let left = || deadline.saturating_sub(started.elapsed());
            scoring::answer(&self.name, &self.models, &job, |model, asking| async move {
                self.put(model, &asking, left()).await
            })
            .await
        })
    }
}

/// Google's own host of a location.
fn host_of(location: &str) -> String {
    match location {
        LOCATION_GLOBAL => "https://aiplatform.googleapis.com".to_owned(),
        region => format!("https://{region}-aiplatform.googleapis.com"),
    }
}

#[cfg(test)]
mod tests;
