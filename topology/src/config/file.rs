//! Reading: `leadline.toml`, the environment, and what is wrong with them.

use std::path::Path;

use toml::Value;

use super::keys::{all, find};
use super::values::SHOWN_CHARS_MAX;
use super::{Config, LogKind, RecordsStore, cassandra, spanner, transcription};

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

/// Takes a flag of the command line like the key of this name.
pub(super) fn take_flag(config: &mut Config, flag: &str, text: &str) -> Result<(), Mistake> {
    let Some(key) = find(flag) else { return Ok(()) };
    let (place, shown) = ("command line".to_owned(), flag.rsplit('.').next().unwrap_or(flag));
    let shown = match flag {
        "log.kind" => "log",
        "admin.listen" => "admin-listen",
        _ => shown,
    };
    key.take(config, flag, text).map_err(|what| Mistake { place, key: format!("--{shown}"), what })
}

/// The configuration of a file (where one is given), the environment and flags by the names of their keys, with every
/// mistake in them.
pub fn read(
    file: Option<&Path>,
    variable: impl Fn(&str) -> Option<String>,
    flags: &[(&str, &str)],
) -> (Config, Vec<Mistake>) {
    let (mut config, mut mistakes) = (Config::default(), Vec::new());
    if let Some(path) = file {
        read_file(path, &mut config, &mut mistakes);
    }
    for key in all() {
        // Empty is not set: that is how a unit or a compose file leaves a variable out.
        let set = |name| Some((name, variable(name).filter(|text| !text.is_empty())?));
        let Some((variable_name, text)) = key.variable.and_then(set) else { continue };
        if let Err(what) = key.take(&mut config, key.name, &text) {
            mistakes.push(Mistake { place: "environment".to_owned(), key: variable_name.to_owned(), what });
        }
    }
    mistakes.extend(flags.iter().filter_map(|(flag, text)| take_flag(&mut config, flag, text).err()));
    let place = file.map_or_else(|| "defaults".to_owned(), |path| path.display().to_string());
    let together = together(&config).into_iter();
    let sections = transcription::mistakes(&config).into_iter();
    let all = together.map(|(key, what)| (key.to_owned(), what)).chain(sections);
    mistakes.extend(all.map(|(key, what)| Mistake { place: place.clone(), key, what }));
    (config, mistakes)
}

/// What is wrong with keys that are right one by one.
pub(super) fn together(config: &Config) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    if config.log_bytes_max < config.segment_bytes.saturating_mul(5) {
        let what = format!(
            "{} is less than five segments of {} bytes: raise it, or lower log.segment_bytes",
            config.log_bytes_max, config.segment_bytes
        );
        wrong.push(("log.max_bytes", what));
    }
    if let Some(address) = config.admin_listen.filter(|address| !address.ip().is_loopback())
        && config.admin_token_file.is_none()
    {
        let what = format!(
            "{address} can be reached from other machines: give admin.token_file, a file with a secret that both \
             processes have, or listen on 127.0.0.1"
        );
        wrong.push(("admin.listen", what));
    }
    if config.log_kind == LogKind::Kafka {
        if config.kafka.brokers.is_empty() {
            wrong.push(("kafka.brokers", "is missing: give host:port of a broker, or --brokers".to_owned()));
        }
        if config.kafka.instance.is_empty() {
            let what = "is missing: give each process a name of its own that stays the same over restarts";
            wrong.push(("kafka.instance", what.to_owned()));
        }
        if config.kafka.processes > 1 && config.records_store == RecordsStore::Sqlite {
            let what = format!(
                "SQLite is a file of one process, and kafka.processes is {}: use cassandra or spanner, or none and read \
                 the topics",
                config.kafka.processes
            );
            wrong.push(("records.store", what));
        }
    }
    let is_used = config.records_store == RecordsStore::Cassandra;
    wrong.extend(cassandra::together(&config.cassandra, is_used));
    wrong.extend(spanner::together(config));
    if config.kafka.spool && config.log_kind != LogKind::Kafka {
        let what = "is for a log on brokers, and log.kind is embedded: leave it out; the embedded log is on this disk";
        wrong.push(("kafka.spool", what.to_owned()));
    }
    let registry = &config.schema_registry;
    if registry.user.is_some() != registry.password_file.is_some() {
        let what = "and schema_registry.password_file go together: give both or none";
        wrong.push(("schema_registry.user", what.to_owned()));
    }
    wrong.extend(super::scoring::together(config));
    wrong.extend(config.oauth.wrong());
    wrong
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
        let Some(key) = find(&name) else {
            let name: String = name.chars().take(SHOWN_CHARS_MAX).collect();
            let is_section = all().any(|key| key.name.starts_with(&format!("{name}.")));
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
        if let Err(what) = key.take(config, &name, &text) {
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
    all().map(|key| key.name).min_by_key(|known| distance(name, known)).unwrap_or_default()
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
