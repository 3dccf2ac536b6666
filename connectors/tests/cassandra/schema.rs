//! Tables and their version.

use std::sync::Arc;

use leadline_connectors::contract::schema::StoreSchema;
use leadline_connectors::contract::store::{RecordReader, StoreError};
use leadline_connectors::store_cassandra::{CassandraConfig, CassandraReader, Cluster};
use scylla::client::session_builder::SessionBuilder;

use crate::{fresh, is_unavailable, schema, shared};

/// Runs a statement beside leadline.
fn run(config: &CassandraConfig, statement: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (user, password) = config.login.clone().unwrap();
    runtime.block_on(async {
        let session = SessionBuilder::new().known_nodes(&config.contact_points).user(user, password);
        let statement = statement.replace("{keyspace}", &config.keyspace);
        session.build().await.unwrap().query_unpaged(statement, ()).await.unwrap();
    });
}

#[test]
fn tables_are_planned_made_and_then_there() {
    let Some(server) = shared() else { return };
    let config = fresh(server);
    let mut schema = schema(&config);
    let why = is_unavailable(Cluster::connect(config.clone()), "tables are missing");
    assert!(why.contains("leadline db apply"), "{why}");
    assert_eq!(schema.applied(), Ok(0));
    let plan = schema.plan().unwrap();
    assert!(plan[0].starts_with(&format!("CREATE KEYSPACE IF NOT EXISTS {} ", config.keyspace)), "{plan:?}");
    assert!(plan[0].contains("'datacenter1': 1"), "{plan:?}");
    assert_eq!(schema.applied(), Ok(0), "looking changes nothing");

    // Cut short behind the first tables, as by a crash, it is begun anew.
    plan[..3].iter().for_each(|step| run(&config, step.trim_end_matches(';')));
    assert_eq!(schema.applied(), Ok(0));
    schema.apply().unwrap();
    assert_eq!(schema.applied(), Ok(schema.wanted()));
    assert_eq!(schema.plan(), Ok(vec![]));
    let cluster = Cluster::connect(config.clone()).unwrap();
    CassandraReader::new(Arc::clone(&cluster)).ping().unwrap();

    run(&config, "INSERT INTO {keyspace}.leadline_schema (part, version) VALUES ('records', 99)");
    for refused in [schema.plan().map(drop), schema.apply(), Cluster::connect(config).map(drop)] {
        assert!(
            matches!(&refused, Err(StoreError::Damaged(why)) if why.contains("version 99")),
            "{refused:?}"
        );
    }
}

#[test]
fn a_keyspace_of_another_program_is_refused_and_left_alone() {
    let Some(server) = shared() else { return };
    let config = fresh(server);
    let mut schema = schema(&config);
    run(
        &config,
        "CREATE KEYSPACE {keyspace} WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
    );
    run(&config, "CREATE TABLE {keyspace}.theirs (a int PRIMARY KEY)");
    for refused in [schema.plan().map(drop), schema.apply(), Cluster::connect(config.clone()).map(drop)] {
        assert!(
            matches!(&refused, Err(StoreError::Damaged(why)) if why.contains("another program")),
            "{refused:?}"
        );
    }
    run(&config, "SELECT a FROM {keyspace}.theirs");
}
