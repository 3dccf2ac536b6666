//! Providers of transcripts, as the configuration has them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use leadline_connectors::bearer::{Bearer, TokenFile};
use leadline_connectors::contract::provider::Provider;
use leadline_connectors::http_client::Client;
use leadline_connectors::provider_metered::MeteredProvider;
use leadline_connectors::provider_speech_command::{CommandSpeech, CommandSpeechConfig};
use leadline_connectors::provider_speech_google::{Channels, GoogleSpeech, GoogleSpeechConfig};
use leadline_connectors::provider_speech_openai::{OpenAiSpeech, OpenAiSpeechConfig};
use leadline_connectors::speech::KeptWords;
use leadline_schemas::settings::{SpeechPrice, SpeechPrices};
use leadline_schemas::transcription::{TRANSCRIBE, TRANSCRIBE_POLL};

use crate::config::{Config, SpeechKind, Transcription, google_location, google_model};
use crate::parts::Parts;
use crate::scorers::google_credentials;

/// Google's prices of 2026: $0.016 a minute, $0.003 where it may take a day.
const GOOGLE_PRICE_MICROS: i64 = 16_000;
const GOOGLE_BATCH_PRICE_MICROS: i64 = 3_000;
/// A call of an hour by a model on a processor takes some minutes.
const TIMEOUT_S: u64 = 600;
/// What OpenAI's own service takes.
const OPENAI_BYTES_MAX: u64 = 25 << 20;
/// A model takes all cores.
const COMMANDS_MAX: usize = 1;

/// All of them, with the kinds of jobs that each answers.
pub(crate) fn providers(
    parts: &Parts,
    config: &Config,
    client: &Client,
) -> anyhow::Result<Vec<(&'static str, Arc<dyn Provider>)>> {
    let mut providers: Vec<(&str, Arc<dyn Provider>)> = Vec::new();
    let cheapest = config.transcription.values().map(price_micros).min();
    let prices = prices(config);
    for (name, one) in &config.transcription {
        let metered = |provider: Arc<dyn Provider>| {
            let is_cheapest = Some(price_micros(one)) == cheapest;
            let budget = Arc::clone(&parts.ai_budget);
            let metered = MeteredProvider::new("transcribe", provider, budget, is_cheapest);
            match prices.get(name) {
                Some(price) => metered.priced(*price),
                None => metered,
            }
        };
        let in_words = || format!("transcription.{name}");
        match one.kind {
            Some(SpeechKind::Google) => {
                let google = google(parts, config, name, one, client).with_context(in_words)?;
                let version = match channels(one) {
                    Channels::Separate => google_model(one).to_owned(),
                    Channels::Mixed => format!("{} mixed", google_model(one)),
                };
                let starts = Arc::new(metered(Arc::clone(&google)));
                let polls = Arc::new(metered(google).fetching());
                providers.push((TRANSCRIBE, kept(starts, &version, parts, config)));
                providers.push((TRANSCRIBE_POLL, kept(polls, &version, parts, config)));
            }
            Some(SpeechKind::OpenAi) => {
                let openai = openai(parts, config, name, one, client).with_context(in_words)?;
                let version =
                    [one.endpoint.as_deref(), one.model.as_deref()].map(Option::unwrap_or_default).join(" ");
                providers.push((TRANSCRIBE, kept(Arc::new(metered(openai)), &version, parts, config)));
            }
            Some(SpeechKind::Command) => {
                let command = command(parts, config, name, one).with_context(in_words)?;
                let version = one.command.as_deref().unwrap_or_default();
                providers.push((TRANSCRIBE, kept(Arc::new(metered(command)), version, parts, config)));
            }
            None => {} // `check` has told of it.
        }
    }
    Ok(providers)
}

/// What a minute costs.
fn price_micros(one: &Transcription) -> i64 {
    let usual = if one.kind == Some(SpeechKind::Google) { GOOGLE_PRICE_MICROS } else { 0 };
    one.price_micros_per_minute.unwrap_or(usual)
}

/// What a minute costs where nobody waits.
fn backfill_price_micros(one: &Transcription) -> i64 {
    match one.kind {
        Some(SpeechKind::Google) => one.batch_price_micros_per_minute.unwrap_or(GOOGLE_BATCH_PRICE_MICROS),
        _ => price_micros(one),
    }
}

fn channels(one: &Transcription) -> Channels {
    one.channels.unwrap_or_default()
}

/// What recognition costs at each provider: so much of a tenant's budget is kept for an answer.
pub(crate) fn prices(config: &Config) -> SpeechPrices {
    let price = |one: &Transcription| SpeechPrice {
        micros_per_minute: price_micros(one),
        backfill_micros_per_minute: backfill_price_micros(one),
        is_per_channel: one.kind == Some(SpeechKind::Google) && channels(one) == Channels::Separate,
    };
    config.transcription.iter().map(|(name, one)| (name.clone(), price(one))).collect()
}

/// A provider whose words are paid for: they are kept, as far as is configured.
fn kept(provider: Arc<dyn Provider>, version: &str, parts: &Parts, config: &Config) -> Arc<dyn Provider> {
    let Some(kept) = config.answers_kept() else { return provider };
    let (blob, clock) = (Arc::clone(&parts.blob), Arc::clone(&parts.clock));
    Arc::new(KeptWords::new(provider, version, blob, clock, kept))
}

fn google(
    parts: &Parts,
    config: &Config,
    name: &str,
    one: &Transcription,
    client: &Client,
) -> anyhow::Result<Arc<dyn Provider>> {
    let tokens: Arc<dyn Bearer> = match &one.key_file {
        Some(path) => Arc::new(TokenFile::new(path)),
        None => google_credentials()?,
    };
    let project = one.project.as_ref().or(config.google_cloud_project.as_ref());
    let speech = GoogleSpeechConfig {
        name: name.to_owned(),
        project: project.cloned().unwrap_or_default(),
        location: google_location(one).to_owned(),
        model: google_model(one).to_owned(),
        bucket: one.bucket.clone().or_else(|| config.audio_storage_bucket.clone()),
        endpoint: one.endpoint.clone(),
        price_micros_per_minute: price_micros(one),
        batch_price_micros_per_minute: backfill_price_micros(one),
        channels: channels(one),
        limits: one.limits(config.ai_limits),
    };
    Ok(Arc::new(GoogleSpeech::new(speech, tokens, Arc::clone(&parts.blob), client.clone())))
}

fn openai(
    parts: &Parts,
    config: &Config,
    name: &str,
    one: &Transcription,
    client: &Client,
) -> anyhow::Result<Arc<dyn Provider>> {
    let speech = OpenAiSpeechConfig {
        name: name.to_owned(),
        endpoint: one.endpoint.clone().unwrap_or_default(),
        model: one.model.clone().unwrap_or_default(),
        key: one.key_file.as_deref().map(key).transpose()?,
        price_micros_per_minute: price_micros(one),
        timeout: Duration::from_secs(one.timeout_s.unwrap_or(TIMEOUT_S)),
        bytes_max: one.bytes_max.unwrap_or(OPENAI_BYTES_MAX),
        limits: one.limits(config.ai_limits),
    };
    Ok(Arc::new(OpenAiSpeech::new(speech, Arc::clone(&parts.blob), client.clone())))
}

fn key(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| {
        format!("key_file {} cannot be read; check the path and its permissions", path.display())
    })?;
    let key = text.trim();
    anyhow::ensure!(!key.is_empty(), "key_file {} is empty", path.display());
    Ok(key.to_owned())
}

fn command(
    parts: &Parts,
    config: &Config,
    name: &str,
    one: &Transcription,
) -> anyhow::Result<Arc<dyn Provider>> {
    let folder = config.data.join("transcription").join(name);
    let speech = CommandSpeechConfig {
        name: name.to_owned(),
        command: one
            .command
            .iter()
            .flat_map(|command| command.split_whitespace())
            .map(str::to_owned)
            .collect(),
        price_micros_per_minute: price_micros(one),
        timeout: Duration::from_secs(one.timeout_s.unwrap_or(TIMEOUT_S)),
        running_max: one.calls_max.unwrap_or(COMMANDS_MAX),
        folder: folder.clone(),
    };
    let speech = CommandSpeech::new(speech, Arc::clone(&parts.blob))
        .with_context(|| format!("the folder {} cannot be used", folder.display()))?;
    Ok(Arc::new(speech))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read;

    fn of(text: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leadline.toml");
        std::fs::write(&path, text).unwrap();
        let (config, mistakes) = read(Some(&path), |_| None, &[]);
        assert_eq!(mistakes, Vec::new());
        config
    }

    const GOOGLE: &str =
        "[transcription.google]\nkind = \"google\"\nproject = \"p\"\nbucket = \"b\"\nkey_file = \"t\"\n";

    /// What a call of seven minutes may cost, in millionths.
    const CALL_MICROS_MAX: i64 = 200_000;

    #[test]
    fn what_seven_minutes_of_a_call_cost_as_configured_is_known_before() {
        let minutes_7 = |more: &str, channels| {
            let prices = prices(&of(&format!("{GOOGLE}{more}")));
            prices["google"].expected_micros(Some(7 * 60_000), Some(channels), false)
        };
        for channels in [1, 2] {
            assert_eq!(minutes_7("", channels), 112_000);
            assert!(
                minutes_7("", channels) < CALL_MICROS_MAX,
                "as it is without a word, with {channels} channels"
            );
        }
        assert_eq!(minutes_7("channels = \"separate\"", 2), 224_000);
        let prices = prices(&of(&format!(
            "{GOOGLE}[transcription.own]\nkind = \"command\"\ncommand = \"hear {{audio}}\"\n"
        )));
        assert_eq!(prices["google"].expected_micros(Some(7 * 60_000), Some(2), true), 21_000);
        assert_eq!(prices["own"].expected_micros(Some(7 * 60_000), Some(2), false), 0);
    }

    #[test]
    fn a_service_takes_what_it_says_or_else_what_all_take() {
        let config = of(&format!(
            "[ai]\ncalls_max = 9\ncalls_per_minute = 70\n{GOOGLE}[transcription.fast]\nkind = \"openai\"\n\
             endpoint = \"http://127.0.0.1:1/x\"\nmodel = \"m\"\ncalls_max = 3\ncalls_per_minute = 40\n"
        ));
        let limits = |name: &str| config.transcription[name].limits(config.ai_limits);
        assert_eq!((limits("google").calls_max, limits("google").per_minute), (9, Some(70)));
        assert_eq!((limits("fast").calls_max, limits("fast").per_minute), (3, Some(40)));
    }
}
