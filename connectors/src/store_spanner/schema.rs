//! The database's version, and what it lacks.

use std::sync::Arc;
use std::time::Duration;

use google_cloud_lro::Poller;
use google_cloud_spanner::client::Spanner;
use google_cloud_spanner::mutation::Mutation;

use super::config::SpannerConfig;
use super::ddl::{self, VERSIONS};
use super::error::{Missing, failed, missing};
use super::link::{Link, admin_endpoint, applied, client, connect, unmade};
use crate::contract::schema::StoreSchema;
use crate::contract::store::StoreError;

/// Making indexes over a full database takes as long as it has rows.
const APPLY_TIMEOUT: Duration = Duration::from_secs(3_600);
/// What a column says that is to hold the time of its commit.
pub(super) const COMMIT_TIMESTAMP: &str = "spanner.commit_timestamp()";

/// The tables of the database that a configuration names. The instance must be there; the database is made by `apply`.
pub struct SpannerSchema {
    link: Arc<Link>,
}

impl SpannerSchema {
    /// Asks nobody yet.
    pub fn new(config: SpannerConfig) -> Result<Self, StoreError> {
        Ok(Self { link: Link::new(config)? })
    }

    fn found(&self) -> Result<Found, StoreError> {
        self.link.wait(self.link.config.read_timeout, async {
            look(&client(&self.link.config).await?, &self.link.config).await
        })
    }
}

/// What is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    database: bool,
    version: u32,
}

impl StoreSchema for SpannerSchema {
    fn applied(&mut self) -> Result<u32, StoreError> {
        Ok(self.found()?.version)
    }

    fn wanted(&self) -> u32 {
        ddl::wanted()
    }

    fn plan(&mut self) -> Result<Vec<String>, StoreError> {
        let found = self.found()?;
        let create = (!found.database).then(|| format!("CREATE DATABASE `{}`", self.link.config.database));
        let missing = statements_behind(found.version)?.into_iter().flatten();
        let missing = missing.map(|statement| (*statement).to_owned());
        Ok(create.into_iter().chain(missing).map(|statement| format!("{statement};")).collect())
    }

    fn apply(&mut self) -> Result<(), StoreError> {
        self.link.wait(APPLY_TIMEOUT, async {
            let spanner = client(&self.link.config).await?;
            let found = look(&spanner, &self.link.config).await?;
            apply(&spanner, &self.link.config, found).await
        })
    }
}

/// The statements of each version that comes behind `version`.
fn statements_behind(version: u32) -> Result<Vec<&'static [&'static str]>, StoreError> {
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    match VERSIONS.get(done..) {
        Some(missing) => Ok(missing.to_vec()),
        None => Err(StoreError::Damaged(format!(
            "the database has tables of version {version}, this leadline knows versions up to {}",
            ddl::wanted()
        ))),
    }
}

async fn look(spanner: &Spanner, config: &SpannerConfig) -> Result<Found, StoreError> {
    let found = match connect(spanner, config).await {
        Ok(database) => Found { database: true, version: applied(&database).await? },
        Err(error) if missing(&error) == Some(Missing::Database) => Found { database: false, version: 0 },
        Err(error) => return Err(failed(error)),
    };
    statements_behind(found.version).map(|_| found)
}

/// Each version is one change of the schema, noted when it is there; cut short before the note, it is applied again.
async fn apply(spanner: &Spanner, config: &SpannerConfig, found: Found) -> Result<(), StoreError> {
    let admin = spanner.database_admin_builder();
    let admin = match admin_endpoint(config) {
        Some(endpoint) => admin.with_endpoint(endpoint),
        None => admin,
    };
    let admin = admin.build().await.map_err(unmade)?;
    if !found.database {
        let statement = format!("CREATE DATABASE `{}`", config.database);
        let create = admin.create_database().set_parent(config.instance_path());
        create.set_create_statement(statement).poller().until_done().await.map_err(failed)?;
    }
    for (version, statements) in (found.version + 1..).zip(statements_behind(found.version)?) {
        let change = admin.update_database_ddl().set_database(config.path());
        let change = change.set_statements(statements.iter().copied());
        change.poller().until_done().await.map_err(failed)?;
        let database = connect(spanner, config).await.map_err(failed)?;
        let note = Mutation::new_insert_or_update_builder("schema_versions")
            .set("version")
            .to(i64::from(version))
            .set("applied_at")
            .to(COMMIT_TIMESTAMP.to_owned())
            .build();
        let noted = database.read_write_transaction().build();
        noted.run(async |transaction| transaction.buffer([note.clone()])).await.map_err(failed)?;
    }
    Ok(())
}
