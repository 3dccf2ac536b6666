//! The services that score, as they are configured: for the engine's jobs, and for commands that score without it.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use leadline_connectors::bearer::{Bearer, TokenFile};
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::provider::Provider;
use leadline_connectors::http_client::Client;
use leadline_connectors::provider_chat::{ChatConfig, ChatProvider};
use leadline_connectors::provider_gemini::{GeminiConfig, GeminiProvider};
use leadline_connectors::provider_http::HttpProvider;
use leadline_connectors::provider_metered::{DayBudget, MeteredProvider};
use leadline_connectors::scoring::PROMPTS;
use leadline_operators::score::RULES;

use crate::config::Config;
use crate::config::scoring::{Scorer, ScorerKind, location};

/// The provider that `AI_MODEL_ENDPOINT` makes; a tenant's `score_provider` names it.
pub(crate) const HTTP_PROVIDER: &str = "http";

/// What the process may spend in a day, and has spent: one for the process.
pub fn day_budget(config: &Config, clock: &Arc<dyn Clock>) -> Arc<DayBudget> {
    Arc::new(DayBudget::open(config.ai_budget, Arc::clone(clock), Some(config.ai_spent_file())))
}

/// Names that a tenant's chain may have here.
pub fn names(config: &Config) -> Vec<String> {
    let always = [RULES, HTTP_PROVIDER].map(str::to_owned);
    always.into_iter().chain(config.scoring.keys().cloned()).collect()
}

/// A service and what its answers depend on beside the question: the same words of others are another answer.
pub struct NamedScorer {
    /// Who answers.
    pub provider: Arc<dyn Provider>,
    /// Its models and the newest prompt, or its address.
    pub version: String,
}

/// All services that are configured, metered.
pub fn scorers(
    config: &Config,
    client: &Client,
    budget: &Arc<DayBudget>,
) -> anyhow::Result<Vec<NamedScorer>> {
    let mut found = Vec::new();
    if let Some(url) = &config.ai_model_endpoint {
        // It names no price: what it costs is somebody else's.
        let http = HttpProvider::new(HTTP_PROVIDER, url, client.clone()).within(config.ai_limits);
        found.push(NamedScorer { provider: Arc::new(http), version: url.clone() });
    }
    let cheapest = config.scoring.values().map(dearness).min();
    for (name, scorer) in &config.scoring {
        let service = service(name, scorer, config, client)?;
        let is_cheapest = Some(dearness(scorer)) == cheapest;
        let metered = MeteredProvider::new("score", service, Arc::clone(budget), is_cheapest).averaged();
        let models: Vec<String> = scorer.chain().into_iter().map(|model| model.name).collect();
        let newest = PROMPTS.last().map_or("", |prompt| prompt.version);
        found.push(NamedScorer {
            provider: Arc::new(metered.within(scorer.limits(config.ai_limits))),
            version: format!("{} {newest}", models.join(" ")),
        });
    }
    Ok(found)
}

/// What services are compared by: a call is some four times as many tokens as its score.
fn dearness(scorer: &Scorer) -> u64 {
    scorer
        .chain()
        .first()
        .map_or(0, |model| model.price.input.saturating_mul(4).saturating_add(model.price.output))
}

fn service(
    name: &str,
    scorer: &Scorer,
    config: &Config,
    client: &Client,
) -> anyhow::Result<Arc<dyn Provider>> {
    let missing = |what: &str| anyhow!("[scoring.{name}] has no {what}: `leadline check` says what to do");
    let key = scorer.key_file.as_deref().map(|file| -> Arc<dyn Bearer> { Arc::new(TokenFile::new(file)) });
    match scorer.kind.ok_or_else(|| missing("kind"))? {
        ScorerKind::Gemini => {
            let project = scorer.project.clone().or_else(|| config.google_cloud_project.clone());
            let gemini = GeminiConfig {
                name: name.to_owned(),
                endpoint: scorer.endpoint.clone(),
                project: project.ok_or_else(|| missing("project"))?,
                location: location(config, scorer),
                models: scorer.chain(),
            };
            let bearer = match key {
                Some(key) => key,
                None => google_credentials().with_context(|| format!("[scoring.{name}]"))?,
            };
            Ok(Arc::new(GeminiProvider::new(gemini, bearer, client.clone())))
        }
        ScorerKind::OpenAi => {
            let endpoint = scorer.endpoint.clone().ok_or_else(|| missing("endpoint"))?;
            let chat = ChatConfig { name: name.to_owned(), endpoint, models: scorer.chain() };
            Ok(Arc::new(ChatProvider::new(chat, key, client.clone())))
        }
    }
}

/// The application's default credentials, for services of Google's that name no key of their own.
#[cfg(feature = "gcs")]
pub(crate) fn google_credentials() -> anyhow::Result<Arc<dyn Bearer>> {
    Ok(Arc::new(leadline_connectors::bearer::GoogleCredentials::default()))
}

#[cfg(not(feature = "gcs"))]
pub(crate) fn google_credentials() -> anyhow::Result<Arc<dyn Bearer>> {
    Err(anyhow!("needs key_file, for this leadline was built without --features gcs"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read;
    use leadline_connectors::clock_system::SystemClock;
    use leadline_connectors::contract::provider::Limits;

    #[test]
    fn each_service_is_asked_within_its_own_limits_or_else_within_those_of_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leadline.toml");
        let service = |name: &str, more: &str| {
            format!(
                "[scoring.{name}]\nkind = \"openai\"\nendpoint = \"http://127.0.0.1:1/v1\"\nmodels = \"m\"\n\
                 price_micros_per_million_input_tokens = 0\nprice_micros_per_million_output_tokens = 0\n{more}"
            )
        };
        let text = format!(
            "[ai]\ncalls_max = 30\ncalls_per_minute = 300\n{}{}",
            service("own", "calls_max = 2\ncalls_per_minute = 12\n"),
            service("usual", "")
        );
        std::fs::write(&path, text).unwrap();
        let (config, mistakes) = read(Some(&path), |_| None, &[]);
        assert_eq!(mistakes, Vec::new());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let budget = Arc::new(DayBudget::open(config.ai_budget, clock, None));
        let found = scorers(&config, &Client::new().unwrap(), &budget).unwrap();
        let limits: Vec<_> = found.iter().map(|one| (one.provider.name(), one.provider.limits())).collect();
        let of = |calls_max, per_minute| Some(Limits { calls_max, per_minute: Some(per_minute) });
        assert_eq!(limits, [("own", of(2, 12)), ("usual", of(30, 300))]);
    }
}
