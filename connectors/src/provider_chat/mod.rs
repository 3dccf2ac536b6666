//! Scores by any endpoint that speaks OpenAI's chat completions with a JSON schema: OpenAI itself, vLLM, llama.cpp, Ollama, and
//! the gateways before them.

mod wire;

use std::sync::Arc;
use std::time::{Duration, Instant};

use leadline_schemas::reply::PendingJob;

use self::wire::{heard, refused, request_body};
use crate::bearer::Bearer;
use crate::contract::BoxFuture;
use crate::contract::provider::{CallError, Provider, ProviderAnswer};
use crate::contract::wire::WireRequest;
use crate::http_client::{Client, judged};
use crate::scoring::{self, Asking, Heard, Model, Models, Unheard};

/// Where a chat endpoint is, and which models it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatConfig {
    /// What a tenant's `score_provider` names.
    pub name: String,
    /// All of the address before `/chat/completions`, such as `https://api.openai.com/v1`.
    pub endpoint: String,
    /// The models, the one to ask first first.
    pub models: Vec<Model>,
}

/// Asks a chat endpoint.
pub struct ChatProvider {
    name: String,
    url: String,
    models: Models,
    /// None: the endpoint asks for no key.
    bearer: Option<Arc<dyn Bearer>>,
    client: Client,
}

impl ChatProvider {
    /// One that shows keys of `bearer`.
    pub fn new(config: ChatConfig, bearer: Option<Arc<dyn Bearer>>, client: Client) -> Self {
        let ChatConfig { name, endpoint, models } = config;
        let url = format!("{}/chat/completions", endpoint.trim_end_matches('/'));
        Self { name, url, models: Models::new(models), bearer, client }
    }

    async fn put(&self, model: &Model, asking: &Asking, deadline: Duration) -> Result<Heard, Unheard> {
        let mut request = WireRequest::json(&self.url, &request_body(&model.name, asking))
            .header("idempotency-key", &asking.job);
        if let Some(bearer) = &self.bearer {
            request = request.bearer(&bearer.token().await?);
        }
        let answer = scoring::exchange(&self.name, &self.client, &request, deadline).await?;
        if let Some(refused) = refused(&answer) {
            return refused;
        }
        Ok(heard(&judged(answer)?.body)
            .map_err(|why| CallError::Reject { why: format!("{} {why}", self.name) })?)
    }
}

impl Provider for ChatProvider {
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

#[cfg(test)]
mod tests;
