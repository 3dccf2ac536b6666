//! Reading: `leadline.toml`, the environment, and what is wrong with them.

use std::path::Path;

use toml::Value;
use tracing_subscriber::EnvFilter;

use super::{Config, Role};

/// One mistake, in words that name its place and its remedy.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Mistake {
    /// The file or `environment`.
    pub place: String,
    /// The key or variable.
    pub key: String,
    /// What is wrong with which value, and what to do.
    pub what: String,
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}: {}", self.place, self.key, self.what)
    }
}

/// Every key: its name in the file, its variable if it has one, and how it is taken.
pub const KEYS: &[Key] = &[
    Key::new("data", None, |config, text| {
        config.data = text.into();
        Ok(())
    }),
    Key::new("listen", None, |config, text| {
        let is_fd = text.strip_prefix("fd:").is_some_and(|fd| fd.parse::<u8>().is_ok_and(|fd| fd >= 3));
        let is_named = text.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains([':', '/', ' ']) && host != "fd" && port.parse::<u16>().is_ok()
        });
        if !is_fd && !is_named && text.parse::<std::net::SocketAddr>().is_err() {
            return Err(format!(
                "{} is no address: use one such as 127.0.0.1:8080, localhost:8080 or fd:3",
                shown(text)
            ));
        }
        config.listen = text.to_owned();
        Ok(())
    }),
    Key::new("role", None, |config, text| {
        config.role = match text {
            "all" => Role::All,
            "webhook" => Role::Webhook,
            "api" => Role::Api,
            "worker" => Role::Worker,
            other => return Err(format!("{} is no role: use all, webhook, api or worker", shown(other))),
        };
        Ok(())
    }),
    Key::new("partitions", None, |config, text| {
        config.partitions = number(text, 1, 1_024)?;
        Ok(())
    }),
    Key::new("workers", None, |config, text| {
        config.workers = number(text, 1, 256)?;
        Ok(())
    }),
    Key::new("log.level", Some("LOG_LEVEL"), |config, text| {
        let level = text.to_ascii_lowercase().replace("warning", "warn");
        let known = ["error", "warn", "info", "debug", "trace", "off"];
        // A word alone is a level; with = or , it is a filter, such as leadline=debug,info.
        let is_filter = level.contains(['=', ',']) && EnvFilter::try_new(&level).is_ok();
        if !known.contains(&level.as_str()) && !is_filter {
            return Err(format!("{} is no level: use error, warn, info, debug or trace", shown(text)));
        }
        config.log_level = level;
        Ok(())
    }),
    Key::new("log.format", None, |config, text| {
        if !["text", "json"].contains(&text) {
            return Err(format!("{} is no format: use text or json", shown(text)));
        }
        config.log_format = text.to_owned();
        Ok(())
    }),
    Key::new("log.segment_bytes", None, |config, text| {
        config.segment_bytes = number(text, 16 << 10, 1 << 30)?;
        Ok(())
    }),
    Key::new("log.max_bytes", None, |config, text| {
        config.log_bytes_max = number(text, 80 << 10, u64::MAX)?;
        Ok(())
    }),
    Key::new("state.snapshot_interval_s", None, |config, text| {
        config.snapshot_interval_s = number(text, 1, 86_400)?;
        Ok(())
    }),
    Key::new("state.cache_bytes", None, |config, text| {
        config.state_cache_bytes = number(text, 1 << 20, 1 << 40)?;
        Ok(())
    }),
    Key::new("http.requests_max", Some("MAX_CONCURRENT_REQUESTS"), |config, text| {
        config.requests_max = number(text, 1, 100_000)?;
        Ok(())
    }),
    Key::new("http.process_timeout_s", Some("WEBHOOK_TIMEOUT_SECONDS"), |config, text| {
        config.process_timeout_s = number(text, 1, 86_400)?;
        Ok(())
    }),
    Key::new("ai.endpoint", Some("AI_MODEL_ENDPOINT"), |config, text| {
        if !text.starts_with("http://") && !text.starts_with("https://") {
            return Err(format!("{} is no address: it must begin with http:// or https://", shown(text)));
        }
        config.ai_model_endpoint = Some(text.to_owned());
        Ok(())
    }),
    Key::new("google.project", Some("GOOGLE_CLOUD_PROJECT"), |config, text| {
        config.google_cloud_project = Some(name(text)?);
        Ok(())
    }),
    Key::new("google.location", Some("GOOGLE_CLOUD_LOCATION"), |config, text| {
        config.google_cloud_location = Some(name(text)?);
        Ok(())
    }),
    Key::new("google.spanner_instance", Some("SPANNER_INSTANCE"), |config, text| {
        config.spanner_instance = Some(name(text)?);
        Ok(())
    }),
    Key::new("google.spanner_database", Some("SPANNER_DATABASE"), |config, text| {
        config.spanner_database = Some(name(text)?);
        Ok(())
    }),
    Key::new("google.audio_bucket", Some("AUDIO_STORAGE_BUCKET"), |config, text| {
        config.audio_storage_bucket = Some(name(text)?);
        Ok(())
    }),
    Key::new("google.callrail_secret_name", Some("CALLRAIL_WEBHOOK_SECRET_NAME"), |config, text| {
        config.callrail_webhook_secret_name = Some(name(text)?);
        Ok(())
    }),
];

/// How a key is taken; the error says what is wrong with the value and what to do.
type Take = fn(&mut Config, &str) -> Result<(), String>;

/// One key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// In the file, with its section.
    pub name: &'static str,
    /// In the environment.
    pub variable: Option<&'static str>,
    take: Take,
}

impl Key {
    const fn new(name: &'static str, variable: Option<&'static str>, take: Take) -> Self {
        Self { name, variable, take }
    }
}

/// How much of a wrong value or name is shown.
const SHOWN_CHARS_MAX: usize = 80;

/// A value in a message: enough of it to be found again.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if start.len() < text.len() { format!("{start:?}...") } else { format!("{start:?}") }
}

fn number<N: std::str::FromStr + PartialOrd + std::fmt::Display>(
    text: &str,
    least: N,
    most: N,
) -> Result<N, String> {
    match text.trim().parse::<N>() {
        Ok(value) if value >= least && value <= most => Ok(value),
        _ => Err(format!("{} is not a whole number between {least} and {most}", shown(text))),
    }
}

fn name(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        Err("is empty: give a name, or leave it out".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

/// Takes a flag of the command line like the key of this name.
pub fn take_flag(config: &mut Config, flag: &str, text: &str) -> Result<(), Mistake> {
    let Some(key) = KEYS.iter().find(|key| key.name == flag) else { return Ok(()) };
    let place = "command line".to_owned();
    (key.take)(config, text).map_err(|what| Mistake { place, key: format!("--{flag}"), what })
}

/// The configuration of a file (where one is given) and the environment, with every mistake in them.
pub fn read(file: Option<&Path>, variable: impl Fn(&str) -> Option<String>) -> (Config, Vec<Mistake>) {
    let (mut config, mut mistakes) = (Config::default(), Vec::new());
    if let Some(path) = file {
        read_file(path, &mut config, &mut mistakes);
    }
    for key in KEYS {
        // Empty is not set: that is how a unit or a compose file leaves a variable out.
        let set = |name| Some((name, variable(name).filter(|text| !text.is_empty())?));
        let Some((variable_name, text)) = key.variable.and_then(set) else { continue };
        if let Err(what) = (key.take)(&mut config, &text) {
            mistakes.push(Mistake { place: "environment".to_owned(), key: variable_name.to_owned(), what });
        }
    }
    if config.log_bytes_max < config.segment_bytes.saturating_mul(5) {
        let what = format!(
            "{} is less than five segments of {} bytes: raise it, or lower log.segment_bytes",
            config.log_bytes_max, config.segment_bytes
        );
        let place = file.map_or_else(|| "defaults".to_owned(), |path| path.display().to_string());
        mistakes.push(Mistake { place, key: "log.max_bytes".to_owned(), what });
    }
    (config, mistakes)
}

fn read_file(path: &Path, config: &mut Config, mistakes: &mut Vec<Mistake>) {
    let place = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let what = format!("cannot be read: {error}; check the path after --config");
            mistakes.push(Mistake { place, key: "file".to_owned(), what });
            return;
        }
    };
    let table: toml::Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            // Its own text shows the line, however long that is; an editor shows it better.
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let what = format!("is no TOML: line {line}: {}", error.message().trim().replace('\n', " "));
            mistakes.push(Mistake { place, key: "file".to_owned(), what });
            return;
        }
    };
    let mut found = Vec::new();
    flatten("", &table, &mut found);
    for (name, value) in found {
        let Some(key) = KEYS.iter().find(|key| key.name == name) else {
            let name: String = name.chars().take(SHOWN_CHARS_MAX).collect();
            let is_section = KEYS.iter().any(|key| key.name.starts_with(&format!("{name}.")));
            let what = match is_section {
                true => format!("is a section: write [{name}], and its keys below it"),
                false => format!("is not known; did you mean {:?}?", nearest(&name)),
            };
            mistakes.push(Mistake { place: place.clone(), key: name, what });
            continue;
        };
        let text = match &value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        if let Err(what) = (key.take)(config, &text) {
            mistakes.push(Mistake { place: place.clone(), key: name, what });
        }
    }
}

fn flatten(section: &str, table: &toml::Table, found: &mut Vec<(String, Value)>) {
    for (name, value) in table {
        let name = if section.is_empty() { name.clone() } else { format!("{section}.{name}") };
        match value {
            Value::Table(inner) => flatten(&name, inner, found),
            value => found.push((name, value.clone())),
        }
    }
}

/// The known key that differs least.
fn nearest(name: &str) -> &'static str {
    KEYS.iter().map(|key| key.name).min_by_key(|known| distance(name, known)).unwrap_or_default()
}

/// Edit distance (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let replaced = row.get(j).copied().unwrap_or(0) + usize::from(from != *to);
            let inserted = next.get(j).copied().unwrap_or(0) + 1;
            let removed = row.get(j + 1).copied().unwrap_or(0) + 1;
            next.push(replaced.min(inserted).min(removed));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
