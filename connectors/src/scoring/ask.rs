//! Asking a model: along the chain, with every answer paid for and told as what it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use leadline_schemas::reply::PendingJob;
use leadline_schemas::score::{
    Band, Factors, ScoreInput, ScoreJob, ScoreOutcome, ScoreOutput, ScoreReply, TokenUsage,
};
use serde_json::{Value, json};

use super::prompt;
use super::{Model, Models, Prompt};
use crate::contract::provider::{CallError, ProviderAnswer};
use crate::contract::wire::{Trace, WireAnswer, WireRequest};
use crate::http_client::Client;

/// What a job asks, ready to be put to a model.
pub(crate) struct Asking {
    pub(crate) prompt: Prompt,
    /// The contact as the model sees it.
    pub(crate) contact: String,
    /// The job's id: services that know idempotency may use it.
    pub(crate) job: String,
    /// The tenant, for the vendor's bill.
    pub(crate) tenant: String,
    input: ScoreInput,
}

/// What a model has said.
pub(crate) struct Heard {
    pub(crate) words: Words,
    pub(crate) tokens: TokenUsage,
    /// What the model calls itself; none = as it was asked for.
    pub(crate) model: Option<String>,
}

/// The words of an answer.
pub(crate) enum Words {
    Said(String),
    Blocked(String),
    Cut,
}

/// Why a model was not heard.
pub(crate) enum Unheard {
    /// The vendor does not have this model.
    Gone(String),
    Failed(CallError),
}

impl From<CallError> for Unheard {
    fn from(error: CallError) -> Self {
        Self::Failed(error)
    }
}

impl Asking {
    pub(crate) fn of(job: &PendingJob) -> Result<Self, CallError> {
        let reject = |why: String| CallError::Reject { why };
        let asked: ScoreJob = serde_json::from_slice(&job.request.payload)
            .map_err(|error| reject(format!("the job cannot be read: {error}")))?;
        let prompt = Prompt::of(asked.prompt_version.as_deref()).map_err(reject)?;
        Ok(Self {
            prompt,
            contact: prompt::contact(&asked.input),
            job: job.job_id.to_string(),
            tenant: job.tenant.as_str().to_owned(),
            input: asked.input,
        })
    }
}

/// Puts a job to the models in turn, by `put`, until one is there.
pub(crate) async fn answer<'a, F>(
    provider: &str,
    models: &'a Models,
    job: &PendingJob,
    put: impl Fn(&'a Model, Arc<Asking>) -> F,
) -> Result<ProviderAnswer, CallError>
where
    F: Future<Output = Result<Heard, Unheard>>,
{
    let asking = Arc::new(Asking::of(job)?);
    let (mut notes, mut last) = (Vec::new(), String::new());
    for (at, model) in models.to_ask(Instant::now()) {
        match put(model, Arc::clone(&asking)).await {
            Ok(heard) => {
                models.is_there(at);
                return told(provider, model, &asking, heard, notes);
            }
            Err(Unheard::Failed(error)) => return Err(error),
            Err(Unheard::Gone(why)) => {
                metrics::counter!("leadline_ai_model_gone_total", "provider" => provider.to_owned(), "model" => model.name.clone())
                    .increment(1);
                if models.is_gone(at, Instant::now()) {
                    tracing::error!(
                        provider,
                        model = model.name,
                        why,
                        "the vendor no longer has this model: the next of the chain is asked; name another in \
                         scoring.{provider}.models"
                    );
                    notes.push(format!("model {} of {provider} is gone: {why}", model.name));
                }
                last = why;
            }
        }
    }
    Err(CallError::Reject { why: format!("no model of {provider} is there: {last}") })
}

/// The reply to a job, whatever the model has said: it is paid for.
fn told(
    provider: &str,
    model: &Model,
    asking: &Asking,
    heard: Heard,
    notes: Vec<String>,
) -> Result<ProviderAnswer, CallError> {
    let cost_micros = model.price.cost_micros(heard.tokens);
    let outcome = match heard.words {
        Words::Blocked(why) => ScoreOutcome::Blocked(why),
        Words::Cut => ScoreOutcome::Cut,
        Words::Said(text) if text.trim().is_empty() => ScoreOutcome::Empty,
        Words::Said(text) => match output(&text, &asking.input) {
            Ok(output) => ScoreOutcome::Scored(Box::new(output)),
            Err(why) => ScoreOutcome::Invalid(why),
        },
    };
    let labels = || [("provider", provider.to_owned()), ("outcome", outcome.name().to_owned())];
    metrics::counter!("leadline_ai_scores_total", &labels()).increment(1);
    let reply = ScoreReply {
        outcome,
        model: Some(heard.model.unwrap_or_else(|| model.name.clone())),
        prompt_version: Some(asking.prompt.version.to_owned()),
        tokens: heard.tokens,
        cost_micros,
        notes,
    };
    let body = serde_json::to_vec(&reply).map_err(|error| CallError::Reject { why: error.to_string() })?;
    Ok(ProviderAnswer { body: Bytes::from(body), cost_micros })
}

/// The score in a model's words; what follows from factors and class is added where it was not said.
fn output(text: &str, input: &ScoreInput) -> Result<ScoreOutput, String> {
    let mut value: Value =
        serde_json::from_str(unfenced(text)).map_err(|error| format!("no JSON: {error}"))?;
    let Some(fields) = value.as_object_mut() else { return Err("JSON, but no object".to_owned()) };
    fields.insert("id".to_owned(), input.id.clone());
    if !fields.contains_key("score") {
        let class = fields.get("class").cloned().unwrap_or_default();
        let class = serde_json::from_value(class).map_err(|error| format!("class: {error}"))?;
        let factors = fields.get("factors").cloned().unwrap_or_default();
        let factors: Factors =
            serde_json::from_value(factors).map_err(|error| format!("factors: {error}"))?;
        let (gated, score) = factors.gated(class);
        fields.insert("factors".to_owned(), json!(gated));
        fields.insert("score".to_owned(), json!(score));
        fields.insert("band".to_owned(), json!(Band::of(score)));
    }
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// One request. These services know no idempotency: an attempt that broke off may have been billed, and is counted.
pub(crate) async fn exchange(
    provider: &str,
    client: &Client,
    request: &WireRequest,
    deadline: Duration,
) -> Result<WireAnswer, CallError> {
    let unclear = || {
        metrics::counter!("leadline_ai_unclear_attempts_total", "provider" => provider.to_owned())
            .increment(1);
    };
    let answer = client.exchange(request, deadline, &Trace::default()).await.inspect_err(|error| {
        if !matches!(error, CallError::Reject { .. }) && error.to_string() != "could not be reached" {
            unclear();
        }
    })?;
    if answer.too_large && answer.status == 200 {
        unclear();
        return Err(CallError::Reject { why: format!("{provider} answered more than can be read") });
    }
    Ok(answer)
}

/// Some models write a fence around what they answer, whatever they are told.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let inner = text.strip_prefix("```json").or_else(|| text.strip_prefix("```"));
    inner.and_then(|inner| inner.strip_suffix("```")).unwrap_or(text)
}
