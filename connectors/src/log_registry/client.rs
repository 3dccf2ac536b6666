//! Client: what a registry is asked. Its interface is Confluent's
//! (<https://docs.confluent.io/platform/current/schema-registry/develop/api.html>), which others speak too.

use std::path::PathBuf;
use std::time::Duration;

use leadline_schemas::avro;
use serde_json::{Value, json};

use crate::http_client::{Client, Question};

const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";
/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How much of a refusal is quoted.
const QUOTE_CHARS_MAX: usize = 300;

/// Where the registry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryConfig {
    /// Its address, with the path below which `subjects` lies.
    pub url: String,
    /// For basic authentication.
    pub user: Option<String>,
    /// A file with the password; read again for each question, so that it can be changed.
    pub password_file: Option<PathBuf>,
}

/// Why schemas cannot be registered or found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// It does not answer, or not in a way that can be understood; asked again it may.
    #[error("the schema registry at {url} does not answer: {why}")]
    Unavailable {
        /// Its address.
        url: String,
        /// What came of it.
        why: String,
    },
    /// A schema does not go with what is registered.
    #[error(
        "schema {schema} cannot be registered as {subject}: {why}. Others have registered there what is not compatible with \
         this leadline: give its topics another prefix (kafka.group), or remove the subject if nobody needs it"
    )]
    Incompatible {
        /// The subject.
        subject: String,
        /// Record and version.
        schema: String,
        /// The difference.
        why: String,
    },
    /// It says no.
    #[error(
        "the schema registry at {url} refuses: {why}; check schema_registry.url, .user and .password_file"
    )]
    Refused {
        /// Its address.
        url: String,
        /// Its words.
        why: String,
    },
}

/// Asks a registry.
pub(super) struct RegistryClient {
    config: RegistryConfig,
    client: Client,
}

impl RegistryClient {
    pub(super) fn new(config: RegistryConfig) -> Result<Self, RegistryError> {
        let client = Client::new().map_err(|error| RegistryError::Unavailable {
            url: config.url.clone(),
            why: error.to_string(),
        })?;
        Ok(Self { config, client })
    }

    /// Registers one version of a record's schema, unless it is there; its id.
    pub(super) async fn register(
        &self,
        subject: &str,
        entry: &avro::SchemaEntry,
    ) -> Result<u32, RegistryError> {
        let body = json!({ "schema": entry.json }).to_string();
        let (status, text) = self.ask(&format!("subjects/{subject}/versions"), Some(body)).await?;
        match status {
            200 => self.number(&text, "id"),
            409 | 422 => Err(incompatible(subject, entry, &reason(&text))),
            _ => Err(self.refused(status, &text)),
        }
    }

    /// What was registered last, if anything.
    pub(super) async fn newest(&self, subject: &str) -> Result<Option<String>, RegistryError> {
        let (status, text) = self.ask(&format!("subjects/{subject}/versions/latest"), None).await?;
        match status {
            200 => self.text(&text, "schema").map(Some),
            404 => Ok(None),
            _ => Err(self.refused(status, &text)),
        }
    }

    /// The fingerprint of the schema with this id.
    pub(super) async fn fingerprint(&self, id: u32) -> Result<u64, RegistryError> {
        let (status, text) = self.ask(&format!("schemas/ids/{id}"), None).await?;
        if status != 200 {
            return Err(self.refused(status, &text));
        }
        let schema = self.text(&text, "schema")?;
        avro::fingerprint_of_schema(&schema)
            .map_err(|why| self.unavailable(format!("schema {id} cannot be used: {why}")))
    }

    async fn ask(&self, path: &str, body: Option<String>) -> Result<(u16, String), RegistryError> {
        let url = format!("{}/{path}", self.config.url.trim_end_matches('/'));
        let password = match &self.config.password_file {
            Some(file) => std::fs::read_to_string(file).map_err(|error| {
                self.unavailable(format!("schema_registry.password_file {}: {error}", file.display()))
            })?,
            None => String::new(),
        };
        let user = self.config.user.as_deref().map(|user| (user, password.trim()));
        let question = Question { url: &url, body, content_type: CONTENT_TYPE, user, deadline: ANSWER_MAX };
        let (status, text) =
            self.client.ask(question).await.map_err(|error| self.unavailable(error.to_string()))?;
        match status {
            429 | 500.. => Err(self.unavailable(format!("it answers {status}: {}", reason(&text)))),
            _ => Ok((status, text)),
        }
    }

    fn number(&self, text: &str, field: &str) -> Result<u32, RegistryError> {
        let number = field_of(text, field).and_then(|value| value.as_u64());
        let number = number.and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| self.unavailable(format!("its answer has no {field}: {}", quote(text))))
    }

    fn text(&self, text: &str, field: &str) -> Result<String, RegistryError> {
        let found = field_of(text, field).and_then(|value| value.as_str().map(str::to_owned));
        found.ok_or_else(|| self.unavailable(format!("its answer has no {field}: {}", quote(text))))
    }

    fn unavailable(&self, why: String) -> RegistryError {
        RegistryError::Unavailable { url: self.config.url.clone(), why }
    }

    fn refused(&self, status: u16, text: &str) -> RegistryError {
        let why = format!("it answers {status}: {}", reason(text));
        RegistryError::Refused { url: self.config.url.clone(), why }
    }
}

pub(super) fn incompatible(subject: &str, entry: &avro::SchemaEntry, why: &str) -> RegistryError {
    RegistryError::Incompatible {
        subject: subject.to_owned(),
        schema: format!("{} v{}", entry.name, entry.version),
        why: why.to_owned(),
    }
}

fn field_of(text: &str, field: &str) -> Option<Value> {
    serde_json::from_str::<Value>(text).ok()?.get(field).cloned()
}

/// The registry's own words, if there are any.
fn reason(text: &str) -> String {
    match field_of(text, "message") {
        Some(Value::String(message)) => quote(&message),
        _ => quote(text),
    }
}

fn quote(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(QUOTE_CHARS_MAX).collect()
}
