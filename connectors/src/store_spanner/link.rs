//! The way to the database: the client, connected at its first use, and the runtime that it works in.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use google_cloud_auth::credentials::anonymous;
use google_cloud_spanner::client::{DatabaseClient, Spanner};
use google_cloud_spanner::key::KeySet;
use google_cloud_spanner::read::ReadRequest;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::OnceCell;

use super::config::SpannerConfig;
use super::ddl;
use super::error::{Missing, failed, missing, told};
use crate::contract::store::StoreError;

/// Threads of the runtime: calls are few, and wait for the network.
const THREADS: usize = 2;

/// One client for all that ask the same database.
pub(super) struct Link {
    pub(super) config: SpannerConfig,
    database: OnceCell<DatabaseClient>,
    /// None only while it is dropped.
    runtime: Option<Runtime>,
}

impl Link {
    /// Asks nobody yet.
    pub(super) fn new(config: SpannerConfig) -> Result<Arc<Self>, StoreError> {
        crate::http_client::install_cryptography();
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("spanner")
            .enable_all()
            .build()
            .map_err(|error| StoreError::Unavailable(format!("no threads for Spanner's client: {error}")))?;
        Ok(Arc::new(Self { config, database: OnceCell::new(), runtime: Some(runtime) }))
    }

    /// Runs a question to its end, in at most `timeout`. Blocks: never called on an async thread.
    pub(super) fn wait<T>(
        &self,
        timeout: Duration,
        question: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let Some(runtime) = &self.runtime else {
            return Err(StoreError::Unavailable("the store is being closed".to_owned()));
        };
        let late = || StoreError::Unavailable(format!("Spanner: no answer within {timeout:?}"));
        runtime
            .block_on(async { tokio::time::timeout(timeout, question).await.unwrap_or_else(|_| Err(late())) })
    }

    /// The database, whose tables are of our version.
    pub(super) async fn database(&self) -> Result<&DatabaseClient, StoreError> {
        self.database
            .get_or_try_init(|| async {
                let database = connect(&client(&self.config).await?, &self.config).await.map_err(failed)?;
                let (applied, wanted) = (applied(&database).await?, ddl::wanted());
                if applied == wanted {
                    return Ok(database);
                }
                let (path, what) = (self.config.path(), "run `leadline db apply` with the newer leadline");
                Err(StoreError::Unavailable(format!(
                    "{path} has tables of version {applied}, this leadline writes version {wanted}: {what}"
                )))
            })
            .await
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The last one may be dropped on an async thread, where waiting for the runtime is not allowed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The client: Google's address and the application's default credentials, or a server for tests and none.
pub(super) async fn client(config: &SpannerConfig) -> Result<Spanner, StoreError> {
    let builder = match &config.endpoint {
        Some(_) => {
            let nobody = anonymous::Builder::new().build();
            Spanner::builder().with_endpoint(endpoint(config)).with_credentials(nobody)
        }
        None => Spanner::builder(),
    };
    builder.build().await.map_err(unmade)
}

/// The client could not be made; nobody was asked.
pub(super) fn unmade(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!(
        "Spanner's client cannot be made: {error}; set GOOGLE_APPLICATION_CREDENTIALS, or google.spanner_endpoint"
    ))
}

/// The address of the server for tests.
fn endpoint(config: &SpannerConfig) -> String {
    match config.endpoint.as_deref().unwrap_or_default() {
        address if address.contains("://") => address.trim_end_matches('/').to_owned(),
        host => format!("http://{host}"),
    }
}

/// Where schemas are changed: Google's emulator has another port for that.
pub(super) fn admin_endpoint(config: &SpannerConfig) -> Option<String> {
    config.endpoint.as_ref()?;
    let endpoint = endpoint(config);
    Some(match endpoint.strip_suffix(":9010") {
        Some(host) => format!("{host}:9020"),
        None => endpoint,
    })
}

/// A session with the database.
pub(super) async fn connect(
    spanner: &Spanner,
    config: &SpannerConfig,
) -> Result<DatabaseClient, google_cloud_spanner::Error> {
    spanner.database_client(config.path()).build().await
}

/// The version of the tables; 0 where there are none.
pub(super) async fn applied(database: &DatabaseClient) -> Result<u32, StoreError> {
    let all = ReadRequest::builder("schema_versions", ["version"]).with_keys(KeySet::all()).build();
    let unknown = |error| match missing(&error) {
        Some(Missing::Table) => Ok(0),
        _ => Err(StoreError::Unavailable(format!("Spanner: {}", told(&error)))),
    };
    let mut rows = match database.single_use().build().execute_read(all).await {
        Ok(rows) => rows,
        Err(error) => return unknown(error),
    };
    let mut newest = 0;
    while let Some(row) = rows.next().await {
        match row {
            Ok(row) => newest = newest.max(row.get::<i64>(0).map_err(failed)?),
            Err(error) => return unknown(error),
        }
    }
    Ok(u32::try_from(newest).unwrap_or(u32::MAX))
}
