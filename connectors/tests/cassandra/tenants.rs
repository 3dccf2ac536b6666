//! What tenants are called, beside their records.

use std::sync::Arc;

use leadline_connectors::conformance::store::tenants::{Shown, suite};
use leadline_connectors::contract::schema::StoreSchema;
use leadline_connectors::store_cassandra::{CassandraConfig, CassandraWriter, Cluster};
use scylla::value::CqlTimestamp;

use crate::conformance::Beside;
use crate::{fresh, is_unavailable, schema, shared};

type Tenant = (String, String, String, CqlTimestamp, String);
type Integration = (String, String, bool, Option<String>);

/// As somebody sees it who joins: the two tables, one behind the other.
fn shown(beside: &Beside, config: &CassandraConfig) -> Vec<Shown> {
    let keyspace = &config.keyspace;
    let select = "SELECT tenant_id, name, time_zone, created_at, status";
    let mut tenants: Vec<Tenant> = beside.rows(&format!("{select} FROM {keyspace}.tenants"));
    tenants.sort_by(|a, b| a.0.cmp(&b.0));
    let select = "SELECT integration, kind, enabled, disabled_reason";
    let of_one = |(tenant, name, time_zone, created_at, status): Tenant| {
        let which = format!("FROM {keyspace}.crm_integrations WHERE tenant_id = '{tenant}'");
        let integrations: Vec<Integration> = beside.rows(&format!("{select} {which}"));
        let mut all: Vec<Option<Integration>> = integrations.into_iter().map(Some).collect();
        if all.is_empty() {
            all.push(None);
        }
        let one = move |integration| Shown {
            tenant: tenant.clone(),
            name: name.clone(),
            time_zone: time_zone.clone(),
            created_at_ms: created_at.0,
            status: status.clone(),
            integration,
        };
        all.into_iter().map(one).collect::<Vec<_>>()
    };
    tenants.into_iter().flat_map(of_one).collect()
}

#[test]
fn a_keyspace_of_the_version_before_gets_the_tables_and_passes_the_suite() {
    let Some(server) = shared() else { return };
    let config = fresh(server);
    let mut schema = schema(&config);
    let beside = Beside::new(&config);
    for step in schema.plan().unwrap() {
        beside.run(step.trim_end_matches(';'));
        if step.contains("('records', 1)") {
            break;
        }
    }
    assert_eq!(schema.applied(), Ok(1));
    let plan = schema.plan().unwrap();
    assert!(plan.len() == 3 && plan[0].contains(".tenants ("), "{plan:?}");
    let why = is_unavailable(Cluster::connect(config.clone()), "it lacks tables");
    assert!(why.contains("leadline db apply"), "{why}");
    schema.apply().unwrap();
    assert_eq!((schema.applied(), schema.plan()), (Ok(2), Ok(vec![])));

    let cluster = Cluster::connect(config.clone()).unwrap();
    suite(&mut CassandraWriter::new(Arc::clone(&cluster)), &mut || shown(&beside, &config));
}
