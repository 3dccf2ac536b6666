//! The record store on Cloud Spanner: its keys, in section `google`.

use super::values::{name, number};
use super::{Config, RecordsStore};

/// Where the records lie when `records.store` is `spanner`, in the project `google.project`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanner {
    /// `SPANNER_INSTANCE`; it has to be there.
    pub instance: String,
    /// `SPANNER_DATABASE`; `leadline db apply` makes it.
    pub database: String,
    /// `SPANNER_EMULATOR_HOST`: a server for tests in place of Google's.
    pub endpoint: Option<String>,
    /// How old a list may be.
    pub staleness_ms: u64,
}

impl Default for Spanner {
    fn default() -> Self {
        Self {
            instance: "upai-customers".to_owned(),
            database: "agent_platform".to_owned(),
            endpoint: None,
            staleness_ms: 1_000,
        }
    }
}

pub(super) fn instance(config: &mut Config, text: &str) -> Result<(), String> {
    config.spanner.instance = name(text)?;
    Ok(())
}

pub(super) fn database(config: &mut Config, text: &str) -> Result<(), String> {
    config.spanner.database = name(text)?;
    Ok(())
}

pub(super) fn endpoint(config: &mut Config, text: &str) -> Result<(), String> {
    config.spanner.endpoint = Some(name(text)?);
    Ok(())
}

pub(super) fn staleness_ms(config: &mut Config, text: &str) -> Result<(), String> {
    config.spanner.staleness_ms = number(text, 0, 3_600_000)?;
    Ok(())
}

/// What is wrong with keys that are right one by one.
pub(super) fn together(config: &Config) -> Option<(&'static str, String)> {
    let is_missing = config.records_store == RecordsStore::Spanner && config.google_cloud_project.is_none();
    let what = "is missing, and records.store is spanner: name the project (GOOGLE_CLOUD_PROJECT)";
    is_missing.then(|| ("google.project", what.to_owned()))
}
