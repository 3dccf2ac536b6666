//! Keys: how each is called, and how its value is taken.

use tracing_subscriber::EnvFilter;

use leadline_connectors::sink_email::EmailServer;

use super::values::{address, host, name, number, shown, yes_or_no};
use super::{Config, LogKind, RecordsStore, Role, cassandra, scoring, spanner, transcription};

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
    Key::new("admin.listen", None, |config, text| {
        let loopback = text.parse::<u16>().ok().map(|port| ([127, 0, 0, 1], port).into());
        let Some(address) = text.parse().ok().or(loopback) else {
            return Err(format!("{} is no address: use a port of this machine, or IP:PORT", shown(text)));
        };
        config.admin_listen = Some(address);
        Ok(())
    }),
    Key::new("admin.token_file", None, |config, text| {
        config.admin_token_file = Some(name(text)?.into());
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
    Key::new("log.kind", None, |config, text| {
        config.log_kind = match text {
            "embedded" => LogKind::Embedded,
            "kafka" if cfg!(feature = "kafka") => LogKind::Kafka,
            "kafka" => {
                return Err(
                    "this leadline was built without Kafka: build it with --features kafka".to_owned()
                );
            }
            other => return Err(format!("{} is no log: use embedded or kafka", shown(other))),
        };
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
    Key::new("records.store", None, |config, text| {
        config.records_store = match text {
            "sqlite" => RecordsStore::Sqlite,
            "cassandra" if cfg!(feature = "scylla") => RecordsStore::Cassandra,
            "spanner" if cfg!(feature = "spanner") => RecordsStore::Spanner,
            "cassandra" => return Err(not_built("Cassandra", "scylla")),
            "spanner" => return Err(not_built("Spanner", "spanner")),
            "none" => RecordsStore::None,
            other => {
                let known = "use sqlite, cassandra, spanner or none";
                return Err(format!("{} is no record store: {known}", shown(other)));
            }
        };
        Ok(())
    }),
    Key::new("blobs.folder", None, |config, text| {
        config.blob_folder = Some(name(text)?.into());
        Ok(())
    }),
    Key::new("blobs.watched_folder", None, |config, text| {
        config.audio_folder = Some(name(text)?.into());
        Ok(())
    }),
    Key::new("secrets.key_file", None, |config, text| {
        config.secret_key_file = Some(name(text)?.into());
        Ok(())
    }),
    Key::new("cassandra.contact_points", Some("CASSANDRA_CONTACT_POINTS"), cassandra::contact_points),
    Key::new("cassandra.keyspace", None, cassandra::keyspace),
    Key::new("cassandra.datacenter", None, cassandra::datacenter),
    Key::new("cassandra.replication", None, cassandra::replication),
    Key::new("cassandra.user", None, cassandra::user),
    Key::new("cassandra.password_file", None, cassandra::password_file),
    Key::new("cassandra.tls", None, cassandra::tls),
    Key::new("cassandra.ca_file", None, cassandra::ca_file),
    Key::new("kafka.brokers", Some("KAFKA_BROKERS"), |config, text| {
        if text
            .split(',')
            .any(|broker| broker.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err()))
        {
            return Err(format!("{} are no brokers: use host:port, more of them with commas", shown(text)));
        }
        config.kafka.brokers = text.to_owned();
        Ok(())
    }),
    Key::new("kafka.instance", Some("KAFKA_INSTANCE"), |config, text| {
        config.kafka.instance = name(text)?;
        Ok(())
    }),
    Key::new("kafka.group", None, |config, text| {
        config.kafka.group = name(text)?;
        Ok(())
    }),
    Key::new("kafka.processes", None, |config, text| {
        config.kafka.processes = number(text, 1, 1_024)?;
        Ok(())
    }),
    Key::new("kafka.replication", None, |config, text| {
        config.kafka.replication = number(text, 1, 15)?;
        Ok(())
    }),
    Key::new("kafka.codec", None, |config, text| {
        if !["none", "lz4", "zstd"].contains(&text) {
            return Err(format!("{} is no codec: use none, lz4 or zstd", shown(text)));
        }
        config.kafka.codec = text.to_owned();
        Ok(())
    }),
    Key::new("kafka.session_timeout_ms", None, |config, text| {
        config.kafka.session_timeout_ms = number(text, 6_000, 300_000)?;
        Ok(())
    }),
    Key::new("kafka.oauth_token_file", None, |config, text| {
        config.kafka.oauth_token_file = Some(name(text)?.into());
        Ok(())
    }),
    Key::new("kafka.spool", None, |config, text| {
        config.kafka.spool = yes_or_no(text)?;
        Ok(())
    }),
    Key::new("kafka.spool_max_bytes", None, |config, text| {
        config.kafka.spool_bytes_max = number(text, SPOOL_BYTES_LEAST, u64::MAX)?;
        Ok(())
    }),
    // Stands for all of the client's keys of TLS and SASL.
    Key::new("kafka.client.security.protocol", None, |_, _| Ok(())),
    Key::new("http.requests_max", Some("MAX_CONCURRENT_REQUESTS"), |config, text| {
        config.requests_max = number(text, 1, 100_000)?;
        Ok(())
    }),
    Key::new("http.process_timeout_s", Some("WEBHOOK_TIMEOUT_SECONDS"), |config, text| {
        config.process_timeout_s = number(text, 1, 86_400)?;
        Ok(())
    }),
    Key::new("email.server", None, |config, text| {
        if !["smtp://", "smtps://"].iter().any(|scheme| text.starts_with(scheme)) {
            return Err(format!(
                "{} is no mail server: use smtps://HOST:465 or smtp://HOST:587",
                shown(text)
            ));
        }
        email(config).url = text.to_owned();
        Ok(())
    }),
    Key::new("email.user", None, |config, text| {
        email(config).user = Some(name(text)?.to_owned());
        Ok(())
    }),
    Key::new("email.password_file", None, |config, text| {
        config.email_password_file = Some(name(text)?.into());
        Ok(())
    }),
    Key::new("email.from", None, |config, text| {
        email(config).from = Some(name(text)?.to_owned());
        Ok(())
    }),
    Key::new("http.public_url", None, |config, text| {
        config.public_url = Some(address(text)?);
        Ok(())
    }),
    Key::new("schema_registry.url", None, |config, text| {
        config.schema_registry.url = Some(address(text)?);
        Ok(())
    }),
    Key::new("schema_registry.user", None, |config, text| {
        config.schema_registry.user = Some(name(text)?);
        Ok(())
    }),
    Key::new("schema_registry.password_file", None, |config, text| {
        config.schema_registry.password_file = Some(name(text)?.into());
        Ok(())
    }),
    Key::new("ai.endpoint", Some("AI_MODEL_ENDPOINT"), |config, text| {
        config.ai_model_endpoint = Some(address(text)?);
        Ok(())
    }),
    Key::new("ai.calls_max", None, |config, text| {
        config.ai_limits.calls_max = number(text, 1, 768)?;
        Ok(())
    }),
    Key::new("ai.answers_kept_days", None, |config, text| {
        config.ai_answers_kept_days = number(text, 0, 3_650)?;
        Ok(())
    }),
    Key::new("ai.calls_per_minute", None, |config, text| {
        config.ai_limits.per_minute = Some(number(text, 1, 10_000_000)?);
        Ok(())
    }),
    Key::new("ai.budget_soft_micros", None, |config, text| {
        config.ai_budget.soft_micros = Some(number(text, 0, i64::MAX)?);
        Ok(())
    }),
    Key::new("ai.budget_hard_micros", None, |config, text| {
        config.ai_budget.hard_micros = Some(number(text, 0, i64::MAX)?);
        Ok(())
    }),
    // Stands for all keys of all services that score.
    Key::new("scoring.gemini.kind", None, |_, _| Ok(())),
    // Stands for all keys of all providers of transcripts.
    Key::new("transcription.google.kind", None, |_, _| Ok(())),
    Key::new("callrail.base_url", None, |config, text| {
        config.callrail.base_url = host(text)?;
        Ok(())
    }),
    Key::new("callrail.per_minute", None, |config, text| {
        config.callrail.per_minute = number(text, 1, 100_000)?;
        Ok(())
    }),
    Key::new("callrail.per_hour", None, |config, text| {
        config.callrail.per_hour = number(text, 1, 1_000_000)?;
        Ok(())
    }),
    Key::new("callrail.per_day", None, |config, text| {
        config.callrail.per_day = number(text, 1, 10_000_000)?;
        Ok(())
    }),
    Key::new("callrail.watch_interval_s", None, |config, text| {
        config.callrail_watch_interval_s = number(text, 1, 86_400)?;
        Ok(())
    }),
    Key::new("callrail.pull_interval_s", None, |config, text| {
        config.callrail_pull_interval_s = number(text, 1, 86_400)?;
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
    Key::new("google.spanner_instance", Some("SPANNER_INSTANCE"), spanner::instance),
    Key::new("google.spanner_database", Some("SPANNER_DATABASE"), spanner::database),
    Key::new("google.spanner_endpoint", Some("SPANNER_EMULATOR_HOST"), spanner::endpoint),
    Key::new("google.spanner_staleness_ms", None, spanner::staleness_ms),
    Key::new("google.audio_bucket", Some("AUDIO_STORAGE_BUCKET"), |config, text| {
        config.audio_storage_bucket = Some(name(text)?);
        Ok(())
    }),
    Key::new("google.notification_key", Some("AUDIO_NOTIFICATION_KEY"), |config, text| {
        let is_key =
            text.len() >= NOTIFICATION_KEY_CHARS_MIN && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_key {
            return Err(format!(
                "is no key: use at least {NOTIFICATION_KEY_CHARS_MIN} letters and digits that nobody can guess"
            ));
        }
        config.google_notification_key = Some(text.to_owned());
        Ok(())
    }),
    Key::new("google.storage_endpoint", Some("STORAGE_EMULATOR_HOST"), |config, text| {
        config.google_storage_endpoint = Some(address(text)?);
        Ok(())
    }),
    Key::new("google.callrail_secret_name", Some("CALLRAIL_WEBHOOK_SECRET_NAME"), |config, text| {
        config.callrail_webhook_secret_name = Some(name(text)?);
        Ok(())
    }),
];

/// Every key: those above, and those of applications at vendors.
pub(super) fn all() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().chain(&super::oauth::KEYS)
}

/// 124 bits of letters and digits: it stands in an address, and is all that protects it.
const NOTIFICATION_KEY_CHARS_MIN: usize = 24;

/// Five segments of the smallest size that is worth a file.
const SPOOL_BYTES_LEAST: u64 = 5 << 20;

/// How a key is taken; the error says what is wrong with the value and what to do.
pub(super) type Take = fn(&mut Config, &str) -> Result<(), String>;

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
    pub(super) const fn new(name: &'static str, variable: Option<&'static str>, take: Take) -> Self {
        Self { name, variable, take }
    }

    /// Takes a value; `name` is the key's own, or one of the names that it stands for.
    pub(super) fn take(&self, config: &mut Config, name: &str, text: &str) -> Result<(), String> {
        if scoring::is_key(name) {
            return scoring::take(config, name, text);
        }
        if let Some(client_key) = name.strip_prefix(CLIENT) {
            config.kafka.client.insert(client_key.to_owned(), text.to_owned());
            return Ok(());
        }
        match transcription::parts(name) {
            Some((section, key)) => {
                config.transcription.entry(section.to_owned()).or_default().take(key, text)
            }
            None => (self.take)(config, text),
        }
    }
}

/// Keys of the Kafka client go to it as they are.
const CLIENT: &str = "kafka.client.";
const CLIENT_KEYS: [&str; 3] = ["security.", "ssl.", "sasl."];

/// The key of this name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    let is_client = |name: &str| {
        name.strip_prefix(CLIENT).is_some_and(|key| CLIENT_KEYS.iter().any(|own| key.starts_with(own)))
    };
    let is_speech = |name: &str| transcription::parts(name).is_some();
    let are_alike = |key: &Key| {
        is_client(key.name) && is_client(name)
            || is_speech(key.name) && is_speech(name)
            || scoring::is_key(key.name) && scoring::is_key(name)
    };
    all().find(|key| key.name == name || are_alike(key))
}

fn email(config: &mut Config) -> &mut EmailServer {
    config.email.get_or_insert_with(EmailServer::default)
}

fn not_built(store: &str, feature: &str) -> String {
    format!("this leadline was built without {store}: build it with --features {feature}")
}
