//! The record store on a real Cassandra.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod conformance;
mod crashes;
mod schema;
mod secure;
mod tenants;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::schema::StoreSchema;
use leadline_connectors::contract::store::StoreError;
use leadline_connectors::store_cassandra::{CassandraConfig, CassandraSchema};
use leadline_schemas::Millis;
use leadline_tests::cassandra::{Cassandra, USER};
use leadline_tests::until;

/// The clock of the suite's records: they are from 1970, and would have lived long ago.
struct Then;

impl Clock for Then {
    fn wall(&self) -> Millis {
        Millis(0)
    }

    fn boot_ms(&self) -> u64 {
        0
    }
}

/// The server that most tests share; it ends with the process.
fn shared() -> Option<&'static Cassandra> {
    static SERVER: OnceLock<Option<Cassandra>> = OnceLock::new();
    SERVER.get_or_init(Cassandra::start).as_ref()
}

/// A keyspace of its own.
fn fresh(server: &Cassandra) -> CassandraConfig {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let keyspace = format!("test_{}", NEXT.fetch_add(1, Ordering::SeqCst));
    let login = Some((USER.0.to_owned(), USER.1.to_owned()));
    CassandraConfig {
        replication: 1,
        login,
        ..CassandraConfig::new(vec![server.contact_point()], keyspace, Arc::new(Then))
    }
}

/// Connects, once the server has made its first user.
fn schema(config: &CassandraConfig) -> CassandraSchema {
    let mut schema = None;
    until("a login", Duration::from_secs(60), || {
        schema = CassandraSchema::connect(config.clone()).ok();
        schema.is_some()
    });
    schema.unwrap()
}

/// The same with tables.
fn with_tables(config: &CassandraConfig) {
    schema(config).apply().unwrap();
}

fn is_unavailable<T>(result: Result<T, StoreError>, why: &str) -> String {
    match result.map(drop) {
        Err(StoreError::Unavailable(text)) => text,
        other => panic!("{why}: {other:?}"),
    }
}
