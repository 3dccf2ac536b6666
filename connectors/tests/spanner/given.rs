//! A database that outlives the test: Google's emulator (SPANNER_EMULATOR_HOST), or a real instance.
//!
//! `LEADLINE_TEST_SPANNER=PROJECT/INSTANCE` names an instance that is there. Databases take long to make there, so one
//! is emptied before each part; where nothing is named the front stands in, so that this is tried at all.

use google_cloud_auth::credentials::anonymous;
use google_cloud_spanner::client::{DatabaseClient, Spanner};
use google_cloud_spanner::key::KeySet;
use google_cloud_spanner::mutation::Mutation;
use leadline_connectors::conformance::store::{OpenStore, StoreUnderTest, suite};
use leadline_connectors::contract::schema::StoreSchema;
use leadline_connectors::store_spanner::{SpannerConfig, SpannerReader, SpannerSchema};
use leadline_tests::spanner::SpannerFront;
use std::sync::Arc;
use std::time::Duration;

use crate::scene::config;

/// Only a database of this name is ever emptied.
const DATABASE: &str = "leadline_test";

struct Given {
    config: SpannerConfig,
}

impl StoreUnderTest for Given {
    fn start(&mut self) -> OpenStore {
        let reader = SpannerReader::open(self.config.clone()).unwrap();
        (Box::new(reader.writer()), Arc::new(reader))
    }
}

#[test]
fn it_passes_the_suite_on_a_database_that_is_emptied_for_each_part() {
    let named = std::env::var("LEADLINE_TEST_SPANNER").ok();
    let mut front = None;
    let config = match &named {
        Some(named) => {
            let (project, instance) = named.split_once('/').expect("PROJECT/INSTANCE");
            SpannerConfig {
                instance: instance.to_owned(),
                endpoint: std::env::var("SPANNER_EMULATOR_HOST").ok(),
                staleness: Duration::ZERO,
                ..SpannerConfig::new(project)
            }
        }
        None => {
            let Some(started) = SpannerFront::start() else { return };
            config(front.insert(started))
        }
    };
    let config = SpannerConfig { database: DATABASE.to_owned(), ..config };
    SpannerSchema::new(config.clone()).unwrap().apply().unwrap();
    suite(&|| {
        empty(&config);
        Box::new(Given { config: config.clone() })
    });
}

fn empty(config: &SpannerConfig) {
    let tables = [
        "sink_progress",
        "requests",
        "call_records",
        "call_aliases",
        "lead_events",
        "leads",
        "window_metrics",
        "deliveries",
        "audit_log",
        "dead_letters",
        "crm_integrations",
        "tenants",
    ];
    let all = tables.map(|table| Mutation::delete(table, KeySet::all())).to_vec();
    write(config, all);
}

/// Says that the tables are of a version.
pub(crate) fn note_version(config: &SpannerConfig, version: i64) {
    let note = Mutation::new_insert_or_update_builder("schema_versions").set("version").to(version);
    write(config, vec![note.set("applied_at").to("spanner.commit_timestamp()".to_owned()).build()]);
}

fn write(config: &SpannerConfig, mutations: Vec<Mutation>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let database = client(config).await;
        database.write_only_transaction().build().write(mutations).await.unwrap();
    });
}

pub(crate) async fn client(config: &SpannerConfig) -> DatabaseClient {
    let builder = match &config.endpoint {
        Some(host) => Spanner::builder()
            .with_endpoint(format!("http://{host}"))
            .with_credentials(anonymous::Builder::new().build()),
        None => Spanner::builder(),
    };
    let SpannerConfig { project, instance, database, .. } = config;
    let path = format!("projects/{project}/instances/{instance}/databases/{database}");
    builder.build().await.unwrap().database_client(path).build().await.unwrap()
}
