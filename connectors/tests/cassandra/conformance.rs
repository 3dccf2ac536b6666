//! The suite that every record store passes.

use std::cell::RefCell;
use std::sync::Arc;

use leadline_connectors::conformance::store::{OpenStore, StoreUnderTest, suite};
use leadline_connectors::store_cassandra::{CassandraConfig, CassandraReader, CassandraWriter, Cluster};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::deserialize::row::DeserializeRow;

use crate::{fresh, shared, with_tables};

struct OnCassandra(CassandraConfig);

impl StoreUnderTest for OnCassandra {
    fn start(&mut self) -> OpenStore {
        let cluster = Cluster::connect(self.0.clone()).unwrap();
        (Box::new(CassandraWriter::new(Arc::clone(&cluster))), Arc::new(CassandraReader::new(cluster)))
    }
}

/// A connection beside leadline's.
pub(crate) struct Beside {
    runtime: tokio::runtime::Runtime,
    session: Session,
}

impl Beside {
    pub(crate) fn new(config: &CassandraConfig) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (user, password) = config.login.clone().unwrap();
        let session = SessionBuilder::new().known_nodes(&config.contact_points).user(user, password);
        let session = runtime.block_on(session.build()).unwrap();
        Self { runtime, session }
    }

    pub(crate) fn run(&self, statement: &str) {
        self.runtime.block_on(self.session.query_unpaged(statement, ())).unwrap();
    }

    /// Rows of an answer.
    pub(crate) fn rows<R>(&self, statement: &str) -> Vec<R>
    where
        R: for<'f, 'm> DeserializeRow<'f, 'm>,
    {
        let rows = self.runtime.block_on(self.session.query_unpaged(statement, ())).unwrap();
        let rows = rows.into_rows_result().unwrap();
        rows.rows::<R>().unwrap().map(Result::unwrap).collect()
    }
}

/// Empties tables: making them anew for each part would take minutes.
pub(crate) struct Emptier {
    runtime: tokio::runtime::Runtime,
    session: Session,
    tables: Vec<String>,
}

impl Emptier {
    pub(crate) fn new(config: &CassandraConfig) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (user, password) = config.login.clone().unwrap();
        let session = SessionBuilder::new().known_nodes(&config.contact_points).user(user, password);
        let session = runtime.block_on(session.build()).unwrap();
        let names = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
        let rows = runtime.block_on(session.query_unpaged(names, (&config.keyspace,))).unwrap();
        let rows = rows.into_rows_result().unwrap();
        let names = rows.rows::<(String,)>().unwrap().map(|row| row.unwrap().0);
        let tables = names.filter(|name| name != "leadline_schema");
        let tables = tables.map(|name| format!("{}.{name}", config.keyspace)).collect();
        Self { runtime, session, tables }
    }

    pub(crate) fn empty(&self) {
        for table in &self.tables {
            let rows = self
                .runtime
                .block_on(self.session.query_unpaged(format!("SELECT * FROM {table} LIMIT 1"), ()));
            if rows.unwrap().into_rows_result().unwrap().rows_num() > 0 {
                self.runtime.block_on(self.session.query_unpaged(format!("TRUNCATE {table}"), ())).unwrap();
            }
        }
    }
}

#[test]
fn it_passes_the_suite() {
    let Some(server) = shared() else { return };
    let config = fresh(server);
    with_tables(&config);
    let emptier = RefCell::new(Emptier::new(&config));
    suite(&|| {
        emptier.borrow_mut().empty();
        Box::new(OnCassandra(config.clone()))
    });
}
