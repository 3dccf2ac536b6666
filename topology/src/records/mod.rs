//! The record store that the configuration names: its writer, its reader, its tables. One arm for each store.

#[cfg(feature = "kafka")]
mod on_brokers;
mod rebuild;
mod record;
#[cfg(feature = "spanner")]
mod spanner;
mod verify;

use std::sync::Arc;

#[cfg(feature = "scylla")]
use anyhow::Context as _;
#[cfg(not(all(feature = "scylla", feature = "spanner")))]
use anyhow::anyhow;
use leadline_connectors::contract::schema::StoreSchema;
use leadline_connectors::contract::store::{RecordReader, RecordWriter};
#[cfg(feature = "scylla")]
use leadline_connectors::store_cassandra::{
    CassandraConfig, CassandraReader, CassandraSchema, CassandraWriter, Cluster, Tls,
};
use leadline_connectors::store_sqlite::{SqliteConfig, SqliteFill, SqliteReader, SqliteSchema, SqliteWriter};

use crate::config::{Config, RecordsStore};
#[cfg(feature = "kafka")]
pub use on_brokers::ReadBack;
#[cfg(feature = "kafka")]
pub(crate) use on_brokers::refuse_others_beside_a_file;
pub use rebuild::{Filled, Step, rebuild};
pub use verify::{Compared, Difference, Kept, Verified, What, verify};

/// Both sides of the store.
pub type Both = (Box<dyn RecordWriter>, Arc<dyn RecordReader>);

/// Opens both sides; none when nobody keeps records. SQLite's file is made, and brought to the newest version.
pub fn open(config: &Config) -> anyhow::Result<Option<Both>> {
    Ok(Some(match config.records_store {
        RecordsStore::None => return Ok(None),
        RecordsStore::Sqlite => {
            let sqlite = sqlite(config);
            (Box::new(SqliteWriter::open(sqlite.clone())?), Arc::new(SqliteReader::open(sqlite)?))
        }
        #[cfg(feature = "scylla")]
        RecordsStore::Cassandra => {
            let cluster = Cluster::connect(cassandra(config)?)?;
            (Box::new(CassandraWriter::new(Arc::clone(&cluster))), Arc::new(CassandraReader::new(cluster)))
        }
        #[cfg(not(feature = "scylla"))]
        RecordsStore::Cassandra => return Err(not_built("Cassandra", "scylla")),
        #[cfg(feature = "spanner")]
        RecordsStore::Spanner => spanner::open(config)?,
        #[cfg(not(feature = "spanner"))]
        RecordsStore::Spanner => return Err(not_built("Spanner", "spanner")),
    }))
}

/// Opens the writing side of a store that is to be filled anew, alone; none when nobody keeps records. SQLite's file is
/// there when all of it is filled.
pub fn open_to_rebuild(config: &Config) -> anyhow::Result<Option<Box<dyn RecordWriter>>> {
    match config.records_store {
        RecordsStore::Sqlite => Ok(Some(Box::new(SqliteFill::open(sqlite(config))?))),
        _ => Ok(open(config)?.map(|(writer, _)| writer)),
    }
}

/// Whether a rebuild was cut short and has left something that is no store.
pub fn was_cut_short(config: &Config) -> bool {
    config.records_store == RecordsStore::Sqlite && SqliteFill::was_cut_short(&sqlite(config))
}

/// Opens the reading side of a store that is there already; none when nobody keeps records.
pub fn open_reader(config: &Config) -> anyhow::Result<Option<Arc<dyn RecordReader>>> {
    Ok(Some(match config.records_store {
        RecordsStore::None => return Ok(None),
        RecordsStore::Sqlite => Arc::new(SqliteReader::open(sqlite(config))?),
        #[cfg(feature = "scylla")]
        RecordsStore::Cassandra => Arc::new(CassandraReader::new(Cluster::connect(cassandra(config)?)?)),
        #[cfg(not(feature = "scylla"))]
        RecordsStore::Cassandra => return Err(not_built("Cassandra", "scylla")),
        #[cfg(feature = "spanner")]
        RecordsStore::Spanner => spanner::open_reader(config)?,
        #[cfg(not(feature = "spanner"))]
        RecordsStore::Spanner => return Err(not_built("Spanner", "spanner")),
    }))
}

/// The store's tables; none when nobody keeps records.
pub fn schema(config: &Config) -> anyhow::Result<Option<Box<dyn StoreSchema>>> {
    Ok(Some(match config.records_store {
        RecordsStore::None => return Ok(None),
        RecordsStore::Sqlite => Box::new(SqliteSchema::new(sqlite(config))),
        #[cfg(feature = "scylla")]
        RecordsStore::Cassandra => Box::new(CassandraSchema::connect(cassandra(config)?)?),
        #[cfg(not(feature = "scylla"))]
        RecordsStore::Cassandra => return Err(not_built("Cassandra", "scylla")),
        #[cfg(feature = "spanner")]
        RecordsStore::Spanner => spanner::schema(config)?,
        #[cfg(not(feature = "spanner"))]
        RecordsStore::Spanner => return Err(not_built("Spanner", "spanner")),
    }))
}

/// The store in words, for messages.
pub fn named(config: &Config) -> String {
    match config.records_store {
        RecordsStore::None => "no record store".to_owned(),
        RecordsStore::Sqlite => config.records_file().display().to_string(),
        RecordsStore::Cassandra => {
            format!("keyspace {} at {}", config.cassandra.keyspace, config.cassandra.contact_points)
        }
        RecordsStore::Spanner => {
            format!("database {} of instance {}", config.spanner.database, config.spanner.instance)
        }
    }
}

/// How long the store keeps records: as SQLite does.
pub fn kept() -> Kept {
    let sqlite = SqliteConfig::new("");
    Kept {
        requests_ms: sqlite.requests_kept_ms,
        dead_letters_ms: sqlite.dead_letters_kept_ms,
        audit_ms: sqlite.audit_kept_ms,
    }
}

fn sqlite(config: &Config) -> SqliteConfig {
    SqliteConfig::new(config.records_file())
}

#[cfg(not(all(feature = "scylla", feature = "spanner")))]
fn not_built(store: &str, feature: &str) -> anyhow::Error {
    anyhow!("this leadline was built without {store}: build it with --features {feature}")
}

#[cfg(feature = "scylla")]
fn cassandra(config: &Config) -> anyhow::Result<CassandraConfig> {
    let place = &config.cassandra;
    let points = place.contact_points.split(',').map(|point| point.trim().to_owned()).collect();
    let clock = Arc::new(leadline_connectors::clock_system::SystemClock);
    let mut cassandra = CassandraConfig::new(points, &place.keyspace, clock);
    cassandra.datacenter.clone_from(&place.datacenter);
    cassandra.replication = place.replication;
    if let (Some(user), Some(file)) = (&place.user, &place.password_file) {
        let password = std::fs::read_to_string(file)
            .with_context(|| format!("cassandra.password_file: {} cannot be read", file.display()))?;
        // Editors end a file with a new line, which is no part of a password.
        cassandra.login = Some((user.clone(), password.trim_end_matches(['\r', '\n']).to_owned()));
    }
    cassandra.tls = place.tls.then(|| Tls { authorities: place.ca_file.clone() });
    Ok(cassandra)
}
