//! Which database, and how fresh what is read from it has to be.

use std::time::Duration;

/// The database, and how it is asked.
#[derive(Clone, Debug)]
pub struct SpannerConfig {
    /// The project's id.
    pub project: String,
    /// The instance's id.
    pub instance: String,
    /// The database's id.
    pub database: String,
    /// A server for tests in place of Google's, `host:port` or an address; it is asked without credentials.
    pub endpoint: Option<String>,
    /// How old a list may be; zero: as new as the last commit. What is written is seen by then at the latest.
    pub staleness: Duration,
    /// How long a question may take.
    pub read_timeout: Duration,
    /// How long a transaction may take, with all its attempts.
    pub write_timeout: Duration,
}

impl SpannerConfig {
    /// The instance where none is named.
    pub const INSTANCE: &str = "upai-customers";
    /// The database where none is named.
    pub const DATABASE: &str = "agent_platform";

    /// The default database of a project.
    pub fn new(project: impl Into<String>) -> Self {
        Self {
            project: project.into(),
            instance: Self::INSTANCE.to_owned(),
            database: Self::DATABASE.to_owned(),
            endpoint: None,
            staleness: Duration::from_secs(1),
            read_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(60),
        }
    }

    /// `projects/…/instances/…`.
    pub(super) fn instance_path(&self) -> String {
        format!("projects/{}/instances/{}", self.project, self.instance)
    }

    /// `projects/…/instances/…/databases/…`.
    pub(super) fn path(&self) -> String {
        format!("{}/databases/{}", self.instance_path(), self.database)
    }
}
