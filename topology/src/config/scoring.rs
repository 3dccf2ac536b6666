//! `[scoring.NAME]`: services that score by language models, and what they cost.

use std::collections::BTreeMap;
use std::path::PathBuf;

use leadline_connectors::contract::provider::Limits;
use leadline_connectors::provider_gemini::{LOCATION_GLOBAL, MODELS_DEFAULT};
use leadline_connectors::scoring::{Model, Price};

use super::Config;
use super::values::{address, name, number, shown};

/// In front of the names of these keys.
pub(super) const PREFIX: &str = "scoring.";
/// The keys of a service.
pub(super) const FIELDS: [&str; 11] = [
    "kind",
    "endpoint",
    "project",
    "location",
    "models",
    "key_file",
    "price_micros_per_million_input_tokens",
    "price_micros_per_million_cached_tokens",
    "price_micros_per_million_output_tokens",
    "calls_max",
    "calls_per_minute",
];
/// Names that mean something else in a tenant's chain.
const TAKEN: [&str; 2] = ["rules", "http"];
/// Most that a million tokens are believed to cost: 10,000.00.
const PRICE_MAX: u64 = 10_000_000_000;
/// Longest chain of models.
const MODELS_MAX: usize = 8;

/// How a service is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScorerKind {
    /// Gemini on Vertex AI.
    Gemini,
    /// Chat completions as OpenAI's, with a JSON schema.
    OpenAi,
}

/// A service that scores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scorer {
    /// How it is asked.
    pub kind: Option<ScorerKind>,
    /// Where it is, if not where Google's is.
    pub endpoint: Option<String>,
    /// Gemini: the project that pays, if not `google.project`.
    pub project: Option<String>,
    /// Gemini: `global` or a region, if not `google.location`.
    pub location: Option<String>,
    /// The models, the one to ask first first.
    pub models: Vec<String>,
    /// A file with the key, or with Google's token where that is not to be had otherwise.
    pub key_file: Option<PathBuf>,
    /// For a million tokens, in millionths: one price for all models, or one for each.
    pub input: Vec<u64>,
    /// As `input`; without it cached tokens cost what others cost.
    pub cached: Vec<u64>,
    /// As `input`.
    pub output: Vec<u64>,
    /// How many calls it is asked about at once, if not `ai.calls_max`.
    pub calls_max: Option<usize>,
    /// How many it is asked about in a minute, if not `ai.calls_per_minute`.
    pub calls_per_minute: Option<u32>,
}

/// Whether this is a name of such a key.
pub(super) fn is_key(key: &str) -> bool {
    parts(key).is_some()
}

/// The service's name and the field.
fn parts(key: &str) -> Option<(&str, &str)> {
    let (service, field) = key.strip_prefix(PREFIX)?.rsplit_once('.')?;
    (!service.is_empty() && FIELDS.contains(&field)).then_some((service, field))
}

/// Takes a value of a service.
pub(super) fn take(config: &mut Config, key: &str, text: &str) -> Result<(), String> {
    let Some((service, field)) = parts(key) else { return Ok(()) };
    let is_name =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_-".contains(letter);
    if !service.chars().all(is_name) || service.len() > 40 || TAKEN.contains(&service) {
        return Err(format!(
            "{} is no name of a service: use small letters, digits, - and _, and neither of {}",
            shown(service),
            TAKEN.join(", ")
        ));
    }
    let scorer = config.scoring.entry(service.to_owned()).or_default();
    match field {
        "kind" => {
            scorer.kind = Some(match text {
                "gemini" => ScorerKind::Gemini,
                "openai" => ScorerKind::OpenAi,
                other => return Err(format!("{} is no kind of service: use gemini or openai", shown(other))),
            });
        }
        "endpoint" => scorer.endpoint = Some(address(text)?),
        "project" => scorer.project = Some(segment(text)?),
        "location" => scorer.location = Some(segment(text)?),
        "models" => {
            scorer.models = items(text).map(segment_or_slash).collect::<Result<_, _>>()?;
            if scorer.models.is_empty() || scorer.models.len() > MODELS_MAX {
                return Err(format!("{} models: give 1 to {MODELS_MAX}", scorer.models.len()));
            }
        }
        "key_file" => scorer.key_file = Some(name(text)?.into()),
        "price_micros_per_million_input_tokens" => scorer.input = prices(text)?,
        "price_micros_per_million_cached_tokens" => scorer.cached = prices(text)?,
        "price_micros_per_million_output_tokens" => scorer.output = prices(text)?,
        "calls_max" => scorer.calls_max = Some(number(text, 1, 768)?),
        _ => scorer.calls_per_minute = Some(number(text, 1, 10_000_000)?),
    }
    Ok(())
}

/// The items of a list as TOML writes it, or of a text with commas.
fn items(text: &str) -> impl Iterator<Item = &str> {
    let inner = text.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    inner.split(',').map(|item| item.trim().trim_matches('"')).filter(|item| !item.is_empty())
}

fn prices(text: &str) -> Result<Vec<u64>, String> {
    let price = |item: &str| {
        item.parse::<u64>().ok().filter(|price| *price <= PRICE_MAX).ok_or_else(|| {
            format!(
                "{} is no price: use millionths of the currency for a million tokens, 300000 for 0.30",
                shown(item)
            )
        })
    };
    items(text).map(price).collect()
}

/// A part of an address.
fn segment(text: &str) -> Result<String, String> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    if text.is_empty() || text.len() > 100 || !text.bytes().all(is_part) {
        return Err(format!("{} is not valid here: use letters, digits and -_.:", shown(text)));
    }
    Ok(text.to_owned())
}

/// Models of chat endpoints may have an owner in front.
fn segment_or_slash(text: &str) -> Result<String, String> {
    text.split('/').map(segment).collect::<Result<Vec<_>, _>>().map(|parts| parts.join("/"))
}

/// What is wrong with services whose keys are right one by one.
pub(super) fn together(config: &Config) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    for (service, scorer) in &config.scoring {
        let mut say = |what: &str| wrong.push(("scoring", format!("[scoring.{service}] {what}")));
        match scorer.kind {
            None => say("has no kind: use gemini or openai"),
            Some(ScorerKind::Gemini) => {
                if scorer.project.is_none() && config.google_cloud_project.is_none() {
                    say("has no project: give one, or google.project");
                }
                if scorer.key_file.is_none() && !cfg!(feature = "gcs") {
                    say(
                        "needs Google's credentials: build leadline with --features gcs, or give key_file, a file with a token",
                    );
                }
            }
            Some(ScorerKind::OpenAi) => {
                if scorer.endpoint.is_none() {
                    say(
                        "has no endpoint: give the address before /chat/completions, such as https://api.openai.com/v1",
                    );
                }
                if scorer.models.is_empty() {
                    say("has no models: name one, or more of which each stands in for the one before");
                }
            }
        }
        let count = scorer.models.len();
        let is_usual = scorer.kind == Some(ScorerKind::Gemini) && count == 0;
        for (prices, which) in
            [(&scorer.input, "input"), (&scorer.output, "output"), (&scorer.cached, "cached")]
        {
            if prices.is_empty() && !is_usual && which != "cached" {
                say(&format!(
                    "has no price_micros_per_million_{which}_tokens: give it (0 where it costs nothing), for budgets count by it"
                ));
            }
            if prices.len() > 1 && prices.len() != count {
                say(&format!(
                    "has {} prices of {which} tokens for {count} models: give one for all, or one for each",
                    prices.len()
                ));
            }
        }
    }
    wrong
}

impl Scorer {
    /// What it takes from all tenants together: its own limits, else those of all.
    pub fn limits(&self, all: Limits) -> Limits {
        all.or_own(self.calls_max, self.calls_per_minute)
    }

    /// The chain of models with their prices.
    pub fn chain(&self) -> Vec<Model> {
        if self.models.is_empty() {
            return MODELS_DEFAULT
                .iter()
                .map(|(name, price)| Model { name: (*name).to_owned(), price: self.price(0, *price) })
                .collect();
        }
        let models = self.models.iter().enumerate();
        models
            .map(|(at, name)| Model { name: name.clone(), price: self.price(at, Price::default()) })
            .collect()
    }

    fn price(&self, at: usize, usual: Price) -> Price {
        let of = |prices: &[u64]| prices.get(at).or(prices.first()).copied();
        let input = of(&self.input).unwrap_or(usual.input);
        let cached = of(&self.cached).unwrap_or(if self.input.is_empty() { usual.cached } else { input });
        Price { input, cached, output: of(&self.output).unwrap_or(usual.output) }
    }
}

/// Gemini's location: its own, the process's, or all of them.
pub fn location(config: &Config, scorer: &Scorer) -> String {
    let own = scorer.location.clone().or_else(|| config.google_cloud_location.clone());
    own.unwrap_or_else(|| LOCATION_GLOBAL.to_owned())
}

/// The services of a configuration.
pub type Scorers = BTreeMap<String, Scorer>;

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    fn of(text: &str) -> (Config, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leadline.toml");
        std::fs::write(&path, text).unwrap();
        let (config, mistakes) = read(Some(&path), |_| None, &[]);
        (config, mistakes.iter().map(|mistake| format!("{mistake}\n")).collect())
    }

    #[test]
    fn a_service_has_models_with_a_price_each() {
        let (config, mistakes) = of(
            "[scoring.gemini]\nkind = \"gemini\"\nproject = \"acme\"\nkey_file = \"token\"\n[scoring.own]\nkind = \"openai\"\n\
             endpoint = \"http://127.0.0.1:8000/v1\"\nmodels = [\"org/big\", \"small\"]\n\
             price_micros_per_million_input_tokens = [400000, 100000]\nprice_micros_per_million_output_tokens = 0\n",
        );
        assert_eq!(mistakes, "");
        assert_eq!(location(&config, &config.scoring["gemini"]), "global");
        let gemini = config.scoring["gemini"].chain();
        assert_eq!(gemini.len(), 3);
        assert_eq!((gemini[0].name.as_str(), gemini[2].price.output), ("gemini-2.5-flash", 1_500_000));
        let own = config.scoring["own"].chain();
        let price = |input| Price { input, cached: input, output: 0 };
        assert_eq!(own[0], Model { name: "org/big".to_owned(), price: price(400_000) });
        assert_eq!(own[1], Model { name: "small".to_owned(), price: price(100_000) });
    }

    #[test]
    fn what_is_wrong_with_a_service_is_told_with_its_name_and_the_remedy() {
        let (_, mistakes) = of(
            "[scoring.rules]\nkind = \"gemini\"\n[scoring.a]\nmodels = \"m\"\n[scoring.b]\nkind = \"openai\"\n\
             price_micros_per_million_input_tokens = [1, 2]\n[scoring.c]\nkind = \"gpt\"\nprice_micros_per_million_output_tokens = -1\n\
             models = [\"a?b\"]\n[scoring.d]\nkidn = \"gemini\"\n",
        );
        for part in [
            "\"rules\" is no name of a service",
            "[scoring.a] has no kind",
            "[scoring.a] has no price_micros_per_million_input_tokens",
            "[scoring.b] has no endpoint",
            "[scoring.b] has no models",
            "[scoring.b] has 2 prices of input tokens for 0 models",
            "\"gpt\" is no kind of service",
            "\"-1\" is no price",
            "\"a?b\" is not valid here",
            "scoring.d.kidn: is not known; did you mean",
        ] {
            assert!(mistakes.contains(part), "{part} in {mistakes}");
        }
    }
}
