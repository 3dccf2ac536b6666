//! Configuration: flag, then environment, then file, then default. Every mistake is reported at once.

mod cassandra;
mod file;
mod keys;
mod oauth;
pub mod scoring;
mod spanner;
#[cfg(test)]
mod tests;
mod transcription;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use cassandra::Cassandra;
pub use file::{Mistake, read};
pub use keys::KEYS;
use leadline_connectors::callrail::CallRailConfig;
use leadline_connectors::contract::provider::Limits;
use leadline_connectors::provider_metered::DayBudgetConfig;
use leadline_connectors::sink_email::EmailServer;
pub use oauth::{OauthApp, OauthApps};
pub use spanner::Spanner;
pub use transcription::{SpeechKind, Transcription};
pub(crate) use transcription::{google_location, google_model};

/// The file that is read when none is named, if it is there.
pub const FILE_DEFAULT: &str = "leadline.toml";

/// Which parts of leadline a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Everything.
    All,
    /// Webhooks, forms and direct events into the log.
    Webhook,
    /// The read API and the page.
    Api,
    /// The dataflow, jobs and record store.
    Worker,
}

impl Role {
    /// Whether it takes events.
    pub fn takes_events(self) -> bool {
        matches!(self, Self::All | Self::Webhook)
    }

    /// Whether it answers queries.
    pub fn answers(self) -> bool {
        matches!(self, Self::All | Self::Api)
    }

    /// Whether it runs the dataflow.
    pub fn works(self) -> bool {
        matches!(self, Self::All | Self::Worker)
    }
}

/// What keeps the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogKind {
    /// Files of this process.
    Embedded,
    /// Kafka, for many processes.
    Kafka,
}

/// What keeps the records that the API reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordsStore {
    /// A file of this process.
    Sqlite,
    /// A keyspace of Cassandra or ScyllaDB.
    Cassandra,
    /// A database of Cloud Spanner.
    Spanner,
    /// Nobody: they are in the topics, for others to read.
    None,
}

/// The log on Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kafka {
    /// `host:port`, more of them with commas.
    pub brokers: String,
    /// This process's name, the same after a restart.
    pub instance: String,
    /// The consumer group; in front of the topics' names.
    pub group: String,
    /// How many processes share the partitions.
    pub processes: u32,
    /// How many brokers keep each record.
    pub replication: u16,
    /// `none`, `lz4` or `zstd`.
    pub codec: String,
    /// After how long a silent process loses its partitions, in milliseconds.
    pub session_timeout_ms: u64,
    /// Where the token for OAUTHBEARER is.
    pub oauth_token_file: Option<PathBuf>,
    /// The client's own keys of TLS and SASL.
    pub client: BTreeMap<String, String>,
    /// Whether events are spooled on this process's disk while brokers are away.
    pub spool: bool,
    /// How many bytes the spool may take on disk.
    pub spool_bytes_max: u64,
}

/// A schema registry, for a log on Kafka.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemaRegistry {
    /// Its address; without one values carry the fingerprints of their schemas.
    pub url: Option<String>,
    /// For basic authentication.
    pub user: Option<String>,
    /// Where the password is.
    pub password_file: Option<PathBuf>,
}

/// All settings of a process. `deploy/leadline.example.toml` explains each.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The data folder.
    pub data: PathBuf,
    /// Where to listen: `ADDR:PORT`, or `fd:N` for a socket handed in.
    pub listen: String,
    /// Where another process may ask for a hand-over; none: nowhere.
    pub admin_listen: Option<std::net::SocketAddr>,
    /// The file of the token that it has to show.
    pub admin_token_file: Option<PathBuf>,
    /// Which parts run.
    pub role: Role,
    /// Partitions; never changes in place.
    pub partitions: u16,
    /// Worker threads.
    pub workers: usize,
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter of `tracing`.
    pub log_level: String,
    /// `text` or `json`.
    pub log_format: String,
    /// `MAX_CONCURRENT_REQUESTS`.
    pub requests_max: usize,
    /// `WEBHOOK_TIMEOUT_SECONDS`: bounds `process` only.
    pub process_timeout_s: u64,
    /// `AI_MODEL_ENDPOINT`: who answers `score` jobs.
    pub ai_model_endpoint: Option<String>,
    /// What it takes from all tenants together.
    pub ai_limits: Limits,
    /// For how many days its answers are taken again where the same is asked; 0: never.
    pub ai_answers_kept_days: u32,
    /// Services that score, by the names that tenants' chains have.
    pub scoring: scoring::Scorers,
    /// What this process may spend on AI services in a day, for all tenants together.
    pub ai_budget: DayBudgetConfig,
    /// The mail server for integrations that name none; its password lies in `email_password_file`.
    pub email: Option<EmailServer>,
    /// The file that holds the mail server's password.
    pub email_password_file: Option<PathBuf>,
    /// Who answers `transcribe` jobs, by the names that tenants' policies have for them.
    pub transcription: BTreeMap<String, Transcription>,
    /// What keeps the messages.
    pub log_kind: LogKind,
    /// The log on Kafka.
    pub kafka: Kafka,
    /// Whose ids values on Kafka carry.
    pub schema_registry: SchemaRegistry,
    /// The record store on Cassandra.
    pub cassandra: Cassandra,
    /// What keeps the records.
    pub records_store: RecordsStore,
    /// The API's address as others see it: in front of links. None: links are paths.
    pub public_url: Option<String>,
    /// Where blobs lie, if not in the data folder.
    pub blob_folder: Option<PathBuf>,
    /// The folder whose files become events.
    pub audio_folder: Option<PathBuf>,
    /// The key that secrets are sealed with, if not in the data folder.
    pub secret_key_file: Option<PathBuf>,
    /// Size of a log segment.
    pub segment_bytes: u64,
    /// Size of the log at most.
    pub log_bytes_max: u64,
    /// How often snapshots are taken.
    pub snapshot_interval_s: u64,
    /// What the state store may keep in memory.
    pub state_cache_bytes: u64,
    /// `GOOGLE_CLOUD_PROJECT`, for parts that use Google Cloud.
    pub google_cloud_project: Option<String>,
    /// `GOOGLE_CLOUD_LOCATION`.
    pub google_cloud_location: Option<String>,
    /// The record store on Spanner.
    pub spanner: Spanner,
    /// `AUDIO_STORAGE_BUCKET`: where blobs lie instead of in a folder.
    pub audio_storage_bucket: Option<String>,
    /// What the path of the bucket's notifications ends with.
    pub google_notification_key: Option<String>,
    /// `STORAGE_EMULATOR_HOST`: a server for tests in place of Google Cloud Storage.
    pub google_storage_endpoint: Option<String>,
    /// `CALLRAIL_WEBHOOK_SECRET_NAME`.
    pub callrail_webhook_secret_name: Option<String>,
    /// CallRail's API, and how much an account of it is asked.
    pub callrail: CallRailConfig,
    /// How often connected companies are looked at, whether they still send.
    pub callrail_watch_interval_s: u64,
    /// How often an account is listed for what no webhook has told.
    pub callrail_pull_interval_s: u64,
    /// leadline's applications at vendors whose accounts people connect.
    pub oauth: OauthApps,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("./data"),
            listen: "127.0.0.1:8080".to_owned(),
            admin_listen: None,
            admin_token_file: None,
            role: Role::All,
            partitions: leadline_schemas::partitioning::PARTITIONS_DEFAULT,
            workers: std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1)),
            log_level: "info".to_owned(),
            log_format: "text".to_owned(),
            requests_max: 100,
            process_timeout_s: 900,
            ai_model_endpoint: None,
            ai_limits: Limits { calls_max: 64, per_minute: None },
            ai_answers_kept_days: 30,
            scoring: BTreeMap::new(),
            ai_budget: DayBudgetConfig::default(),
            email: None,
            email_password_file: None,
            transcription: BTreeMap::new(),
            log_kind: LogKind::Embedded,
            kafka: Kafka {
                brokers: String::new(),
                instance: String::new(),
                group: "leadline".to_owned(),
                processes: 1,
                replication: 3,
                codec: "lz4".to_owned(),
                session_timeout_ms: 10_000,
                oauth_token_file: None,
                client: BTreeMap::new(),
                spool: false,
                spool_bytes_max: 16 << 30,
            },
            schema_registry: SchemaRegistry::default(),
            cassandra: Cassandra::default(),
            records_store: RecordsStore::Sqlite,
            public_url: None,
            blob_folder: None,
            audio_folder: None,
            secret_key_file: None,
            segment_bytes: 64 << 20,
            log_bytes_max: 64 << 30,
            snapshot_interval_s: 600,
            state_cache_bytes: 32 << 20,
            google_cloud_project: None,
            google_cloud_location: None,
            spanner: Spanner::default(),
            audio_storage_bucket: None,
            google_notification_key: None,
            google_storage_endpoint: None,
            callrail_webhook_secret_name: None,
            callrail: CallRailConfig::default(),
            callrail_watch_interval_s: 3_600,
            callrail_pull_interval_s: 900,
            oauth: OauthApps::default(),
        }
    }
}

impl Config {
    /// For how long answers of models are kept; none: they are not.
    pub fn answers_kept(&self) -> Option<Duration> {
        let kept = Duration::from_secs(u64::from(self.ai_answers_kept_days) * 86_400);
        (!kept.is_zero()).then_some(kept)
    }

    /// The log's folder.
    pub fn log_folder(&self) -> PathBuf {
        self.data.join("log")
    }

    /// The copy of the settings beside the state store.
    pub fn settings_copy(&self) -> PathBuf {
        self.data.join("settings.avro")
    }

    /// Where events wait while brokers are away.
    pub fn spool_folder(&self) -> PathBuf {
        self.data.join("spool")
    }

    /// The state store's folder.
    pub fn state_folder(&self) -> PathBuf {
        self.data.join("state")
    }

    /// The blob store's folder.
    pub fn blob_folder(&self) -> PathBuf {
        self.blob_folder.clone().unwrap_or_else(|| self.data.join("blobs"))
    }

    /// The record store's file.
    pub fn records_file(&self) -> PathBuf {
        self.data.join("records.db")
    }

    /// Where it is written down what AI services have cost today.
    pub fn ai_spent_file(&self) -> PathBuf {
        self.data.join("ai_spent.json")
    }

    /// The file of the key that secrets are sealed with.
    pub fn secret_key_file(&self) -> PathBuf {
        self.secret_key_file.clone().unwrap_or_else(|| self.data.join("secret.key"))
    }

    /// Where a running instance is reached.
    pub fn control_socket(&self) -> PathBuf {
        control_socket(&self.data)
    }
}

/// Where the instance on this data folder is reached.
pub fn control_socket(data: &Path) -> PathBuf {
    data.join("control.sock")
}
