//! The connection to a cluster, and the threads that keep it.

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;

use openssl::ssl::{SslConnector, SslConnectorBuilder, SslMethod};
use scylla::client::PoolSize;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::{OpenSsl010Config, Session};
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::statement::Consistency;
use uuid::Uuid;

use super::config::{CassandraConfig, Tls};
use super::error::{damaged, failed, unavailable};
use super::packs::Spread;
use super::plan::Write;
use super::schema::{Found, found};
use super::statements::Statements;
use crate::contract::store::StoreError;

/// Threads that read and write sockets; what is sent is made by whoever calls.
const THREADS: usize = 2;

/// A cluster with its prepared statements, shared by a writer and a reader.
pub struct Cluster {
    pub(super) link: Link,
    pub(super) statements: Statements,
    pub(super) config: CassandraConfig,
    pub(super) spread: Spread,
}

/// A session, and the runtime that it lives on: the contracts' calls block.
pub(super) struct Link {
    pub(super) session: Session,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Cluster {
    /// Connects, and refuses tables of another version than this leadline's.
    pub fn connect(config: CassandraConfig) -> Result<Arc<Self>, StoreError> {
        let link = Link::open(&config)?;
        let keyspace = &config.keyspace;
        match link.run(found(&link.session, keyspace))? {
            Found::Ours(version) if version == super::schema::WANTED => {}
            Found::Ours(version) if version > super::schema::WANTED => {
                return Err(damaged(format!(
                    "keyspace {keyspace} has version {version}, this leadline knows versions up to {}",
                    super::schema::WANTED
                )));
            }
            Found::Nothing | Found::NoTables | Found::Ours(_) => {
                return Err(StoreError::Unavailable(format!(
                    "keyspace {keyspace} lacks tables: run `leadline db apply`"
                )));
            }
            Found::Foreign => return Err(super::schema::foreign(keyspace)),
        }
        let statements = link.run(Statements::prepare(&link.session, keyspace))?;
        let spread = link.run(link.spread());
        Ok(Arc::new(Self { link, statements, config, spread }))
    }

    /// Waits for a request.
    pub(super) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.link.run(work)
    }
}

impl Link {
    pub(super) fn open(config: &CassandraConfig) -> Result<Self, StoreError> {
        if !CassandraConfig::is_keyspace_name(&config.keyspace) {
            let what =
                "is no keyspace: use small letters, digits and underscores, a letter first, at most 48";
            return Err(StoreError::Unavailable(format!("{:?} {what}", config.keyspace)));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("cassandra")
            .enable_all()
            .build()
            .map_err(unavailable)?;
        let session = runtime.block_on(connect(config))?;
        Ok(Self { session, runtime: Some(runtime) })
    }

    pub(super) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        match &self.runtime {
            Some(runtime) => runtime.block_on(work),
            // It is taken only by `drop`.
            None => unreachable!("a link without its runtime"),
        }
    }
}

impl Link {
    /// The nodes that have a write's partition, in an order that says nothing. Unknown = none: whoever takes it passes
    /// it on.
    pub(super) fn home(&self, write: &Write<'_>) -> Vec<Uuid> {
        let cluster = self.session.get_cluster_state();
        if cluster.get_nodes_info().len() == 1 {
            return Vec::new();
        }
        let token = write.statement.calculate_token(&write.values).ok().flatten();
        let Some((token, table)) = token.zip(write.statement.get_table_spec()) else { return Vec::new() };
        let nodes = cluster.get_token_endpoints(table.ks_name(), table.table_name(), token);
        let mut nodes: Vec<Uuid> = nodes.into_iter().map(|(node, _)| node.host_id).collect();
        nodes.sort_unstable();
        nodes
    }

    /// What the server that answers takes of several partitions in one request. Not every user may ask, and not every
    /// version knows.
    async fn spread(&self) -> Spread {
        let mut settings = Vec::new();
        // Cassandra's table, and ScyllaDB's.
        for table in ["system_views.settings", "system.config"] {
            for name in Spread::SETTINGS {
                let statement = format!("SELECT value FROM {table} WHERE name = ?");
                let Ok(answer) = self.session.query_unpaged(statement, (name,)).await else { continue };
                let Ok(rows) = answer.into_rows_result() else { continue };
                if let Ok(Some((Some(value),))) = rows.maybe_first_row::<(Option<String>,)>() {
                    settings.push((name, value));
                }
            }
        }
        Spread::of(settings.iter().map(|(name, value)| (*name, value.as_str())))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // A reader may end on an async thread, where waiting for threads is not allowed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn connect(config: &CassandraConfig) -> Result<Session, StoreError> {
    let mut policy = DefaultPolicy::builder().token_aware(true);
    if let Some(datacenter) = &config.datacenter {
        policy = policy.prefer_datacenter(datacenter.clone());
    }
    let profile = ExecutionProfile::builder()
        // With a majority written and a majority read, what one process has written another reads.
        .consistency(Consistency::LocalQuorum)
        .request_timeout(Some(config.timeout))
        .load_balancing_policy(policy.build())
        .build();
    let mut builder = SessionBuilder::new()
        .known_nodes(&config.contact_points)
        .connection_timeout(config.timeout)
        .pool_size(PoolSize::PerHost(NonZeroUsize::MIN))
        .keyspaces_to_fetch([config.keyspace.clone()])
        .default_execution_profile_handle(profile.into_handle());
    if let Some((user, password)) = &config.login {
        builder = builder.user(user, password);
    }
    if let Some(tls) = &config.tls {
        let connector = connector(tls).map_err(|error| unavailable(format!("TLS: {error}")))?;
        builder = builder.tls_context(Some(OpenSsl010Config::new(connector)));
    }
    let points = config.contact_points.join(",");
    builder.build().await.map_err(|error| unavailable(format!("{points} cannot be reached: {error}")))
}

fn connector(tls: &Tls) -> Result<SslConnectorBuilder, openssl::error::ErrorStack> {
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    if let Some(file) = &tls.authorities {
        // These alone, not those of the system beside them.
        builder.set_cert_store(openssl::x509::store::X509StoreBuilder::new()?.build());
        builder.set_ca_file(file)?;
    }
    Ok(builder)
}

/// Runs a statement that returns nothing.
pub(super) async fn execute(session: &Session, statement: &str) -> Result<(), StoreError> {
    session.query_unpaged(statement, ()).await.map_err(failed)?;
    Ok(())
}
