//! What tenants are called, beside their records.

use std::collections::BTreeMap;

use google_cloud_spanner::key::KeySet;
use google_cloud_spanner::read::ReadRequest;
use leadline_connectors::conformance::store::tenants::{Shown, suite};
use leadline_connectors::contract::schema::StoreSchema;
use leadline_connectors::contract::store::{RecordWriter, StoreError};
use leadline_connectors::store_spanner::{SpannerConfig, SpannerSchema, SpannerWriter};
use leadline_schemas::{Millis, Partition};
use leadline_tests::spanner::SpannerFront;

use crate::given::client;
use crate::scene::config;

/// As somebody sees it who joins: the two tables, put together here.
fn shown(config: &SpannerConfig) -> Vec<Shown> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let database = client(config).await;
        let read = |table: &str, columns: Vec<&'static str>| {
            ReadRequest::builder(table.to_owned(), columns).with_keys(KeySet::all()).build()
        };
        let single_use = database.single_use().build();
        let columns = vec!["tenant_id", "integration", "kind", "enabled", "disabled_reason"];
        let mut rows = single_use.execute_read(read("crm_integrations", columns)).await.unwrap();
        let mut integrations: BTreeMap<String, Vec<_>> = BTreeMap::new();
        while let Some(row) = rows.next().await.transpose().unwrap() {
            let why: Option<String> = row.get(4).unwrap();
            let one = (row.get(1).unwrap(), row.get(2).unwrap(), row.get(3).unwrap(), why);
            integrations.entry(row.get(0).unwrap()).or_default().push(Some(one));
        }
        let columns = vec!["tenant_id", "name", "time_zone", "created_at", "status"];
        let single_use = database.single_use().build();
        let mut rows = single_use.execute_read(read("tenants", columns)).await.unwrap();
        let mut shown = Vec::new();
        while let Some(row) = rows.next().await.transpose().unwrap() {
            let text = |index: usize| row.get::<String>(index).unwrap();
            for integration in integrations.remove(&text(0)).unwrap_or_else(|| vec![None]) {
                shown.push(Shown {
                    tenant: text(0),
                    name: text(1),
                    time_zone: text(2),
                    created_at_ms: Millis::parse(&text(3)).unwrap().0,
                    status: text(4),
                    integration,
                });
            }
        }
        shown
    })
}

#[test]
fn a_database_of_the_version_before_gets_the_columns_and_passes_the_suite() {
    let Some(front) = SpannerFront::start() else { return };
    let config = config(&front);
    let mut schema = SpannerSchema::new(config.clone()).unwrap();
    // The first version is noted; of the second the tables are made, and the note is refused.
    front.faults().refuse_commits(1, 1);
    assert!(matches!(schema.apply(), Err(StoreError::Unavailable(_))));
    assert_eq!(schema.applied(), Ok(1));
    let plan = schema.plan().unwrap();
    assert!(plan[0].starts_with("ALTER TABLE tenants ADD COLUMN IF NOT EXISTS name"), "{plan:?}");
    assert!(!plan.iter().any(|line| line.contains("call_records")), "{plan:?}");
    let refused = SpannerWriter::open(config.clone()).unwrap().progress(1, Partition(0));
    assert!(matches!(&refused, Err(StoreError::Unavailable(why)) if why.contains("db apply")), "{refused:?}");
    schema.apply().unwrap();
    assert_eq!((schema.applied(), schema.plan()), (Ok(2), Ok(vec![])));
    // Two attempts are aborted, and made again by the client.
    front.faults().abort_commits(2);
    suite(&mut SpannerWriter::open(config.clone()).unwrap(), &mut || shown(&config));
    assert_eq!(front.seen().single_use_commits(), 0);
}
