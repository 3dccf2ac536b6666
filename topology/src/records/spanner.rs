//! The record store on Cloud Spanner, as the configuration names it.

use std::sync::Arc;
use std::time::Duration;

use leadline_connectors::contract::schema::StoreSchema;
use leadline_connectors::contract::store::RecordReader;
use leadline_connectors::store_spanner::{SpannerConfig, SpannerReader, SpannerSchema};

use super::Both;
use crate::config::Config;

/// That there is a project, whoever read the configuration has seen to.
fn place(config: &Config) -> SpannerConfig {
    SpannerConfig {
        instance: config.spanner.instance.clone(),
        database: config.spanner.database.clone(),
        endpoint: config.spanner.endpoint.clone(),
        staleness: Duration::from_millis(config.spanner.staleness_ms),
        ..SpannerConfig::new(config.google_cloud_project.clone().unwrap_or_default())
    }
}

/// Both sides, on one client.
pub(super) fn open(config: &Config) -> anyhow::Result<Both> {
    let reader = SpannerReader::open(place(config))?;
    Ok((Box::new(reader.writer()), Arc::new(reader)))
}

pub(super) fn open_reader(config: &Config) -> anyhow::Result<Arc<dyn RecordReader>> {
    Ok(Arc::new(SpannerReader::open(place(config))?))
}

pub(super) fn schema(config: &Config) -> anyhow::Result<Box<dyn StoreSchema>> {
    Ok(Box::new(SpannerSchema::new(place(config))?))
}
