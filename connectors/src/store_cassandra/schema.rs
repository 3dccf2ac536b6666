//! The keyspace's version, and what it lacks.

use scylla::client::session::Session;

use super::cluster::{Link, execute};
use super::config::CassandraConfig;
use super::ddl::{KEYSPACE, MIGRATIONS, SCHEMA_ROW};
use super::error::{damaged, failed, unavailable};
use crate::contract::schema::StoreSchema;
use crate::contract::store::StoreError;

/// The version of this leadline's tables.
pub(super) const WANTED: u32 = MIGRATIONS.len() as u32;

/// What a keyspace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There is none of this name.
    Nothing,
    /// It is empty.
    NoTables,
    /// Of this version; 0 = being made.
    Ours(u32),
    /// It has tables, and none of ours.
    Foreign,
}

/// Looks at a keyspace.
pub(super) async fn found(session: &Session, keyspace: &str) -> Result<Found, StoreError> {
    let names = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
    if texts(session, names, keyspace).await?.is_empty() {
        return Ok(Found::Nothing);
    }
    let tables = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
    let tables = texts(session, tables, keyspace).await?;
    if tables.is_empty() {
        return Ok(Found::NoTables);
    }
    if !tables.iter().any(|table| table == "leadline_schema") {
        return Ok(Found::Foreign);
    }
    let version = format!("SELECT version FROM {keyspace}.leadline_schema WHERE part = ?");
    let rows = session.query_unpaged(version, (SCHEMA_ROW,)).await.map_err(failed)?;
    let rows = rows.into_rows_result().map_err(unavailable)?;
    let row = rows.maybe_first_row::<(i32,)>().map_err(unavailable)?;
    Ok(Found::Ours(row.map_or(0, |(version,)| u32::try_from(version).unwrap_or(u32::MAX))))
}

async fn texts(session: &Session, statement: &str, keyspace: &str) -> Result<Vec<String>, StoreError> {
    let rows = session.query_unpaged(statement, (keyspace,)).await.map_err(failed)?;
    let rows = rows.into_rows_result().map_err(unavailable)?;
    let rows = rows.rows::<(String,)>().map_err(unavailable)?;
    rows.map(|row| row.map(|(text,)| text).map_err(unavailable)).collect()
}

/// Why tables that are not ours are left alone.
pub(super) fn foreign(keyspace: &str) -> StoreError {
    damaged(format!("keyspace {keyspace} has tables of another program; give leadline a keyspace of its own"))
}

/// The tables of the keyspace that a configuration names.
pub struct CassandraSchema {
    config: CassandraConfig,
    link: Link,
}

impl CassandraSchema {
    /// Connects.
    pub fn connect(config: CassandraConfig) -> Result<Self, StoreError> {
        let link = Link::open(&config)?;
        Ok(Self { config, link })
    }

    fn found(&self) -> Result<Found, StoreError> {
        let found = self.link.run(found(&self.link.session, &self.config.keyspace))?;
        match found {
            Found::Foreign => Err(foreign(&self.config.keyspace)),
            Found::Ours(version) if version > WANTED => Err(damaged(format!(
                "keyspace {} has version {version}, this leadline knows versions up to {WANTED}",
                self.config.keyspace
            ))),
            found => Ok(found),
        }
    }

    /// The statements between two versions, and the one that notes the newer.
    fn steps(&self, from: u32) -> Vec<String> {
        let keyspace = &self.config.keyspace;
        let missing = MIGRATIONS.iter().enumerate().skip(usize::try_from(from).unwrap_or(usize::MAX));
        let of_one = |(index, statements): (usize, &&[&str])| {
            let made = statements.iter().map(|statement| statement.replace(KEYSPACE, keyspace));
            let note = format!(
                "INSERT INTO {keyspace}.leadline_schema (part, version) VALUES ('{SCHEMA_ROW}', {})",
                index + 1
            );
            made.chain([note]).collect::<Vec<_>>()
        };
        missing.flat_map(of_one).collect()
    }

    /// The statement that makes the keyspace.
    fn make_keyspace(&self) -> Result<String, StoreError> {
        let datacenter = match &self.config.datacenter {
            Some(datacenter) => datacenter.clone(),
            None => self.link.run(own_datacenter(&self.link.session))?,
        };
        Ok(format!(
            "CREATE KEYSPACE IF NOT EXISTS {} WITH replication = {{'class': 'NetworkTopologyStrategy', '{}': {}}}",
            self.config.keyspace,
            datacenter.replace('\'', "''"),
            self.config.replication
        ))
    }
}

async fn own_datacenter(session: &Session) -> Result<String, StoreError> {
    let rows = session.query_unpaged("SELECT data_center FROM system.local", ()).await.map_err(failed)?;
    let rows = rows.into_rows_result().map_err(unavailable)?;
    let (datacenter,) = rows.first_row::<(String,)>().map_err(unavailable)?;
    Ok(datacenter)
}

impl StoreSchema for CassandraSchema {
    fn applied(&mut self) -> Result<u32, StoreError> {
        Ok(match self.found()? {
            Found::Ours(version) => version,
            _ => 0,
        })
    }

    fn wanted(&self) -> u32 {
        WANTED
    }

    fn plan(&mut self) -> Result<Vec<String>, StoreError> {
        let found = self.found()?;
        let from = if let Found::Ours(version) = found { version } else { 0 };
        let mut steps = self.steps(from);
        if found == Found::Nothing {
            steps.insert(0, self.make_keyspace()?);
        }
        Ok(steps.into_iter().map(|step| format!("{step};")).collect())
    }

    fn apply(&mut self) -> Result<(), StoreError> {
        for step in self.plan()? {
            self.link.run(execute(&self.link.session, step.trim_end_matches(';')))?;
        }
        Ok(())
    }
}
