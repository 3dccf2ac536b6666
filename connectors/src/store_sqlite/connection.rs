//! Connections: how they are set up, and how a file comes to the newest version.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::config::SqliteConfig;
use super::ddl::{APPLICATION_ID, MIGRATIONS, NO_TENANT};
use super::error::{damaged, failed};
use crate::contract::store::StoreError;

/// Records of about a kilobyte: a page of 8 KiB holds several, and is still one write of most disks.
const PAGE_BYTES: u32 = 8 << 10;

/// WAL pages after which the writer carries them over into the file (16 MiB), in the transaction that passes it.
/// More makes writes faster and the WAL that readers look through longer.
const CHECKPOINT_PAGES: u32 = 2_048;

/// What a WAL keeps of its size after a checkpoint; a burst of big transcripts does not hold the disk for ever.
const WAL_BYTES_KEPT: i64 = 64 << 20;

/// Every statement of this module, so that none is prepared twice.
const STATEMENTS: usize = 64;

/// A connection that writes; makes the file and brings it to the newest version.
pub(super) fn writer(config: &SqliteConfig) -> Result<Connection, StoreError> {
    let mut connection = made(config)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    // The log is the truth: a power cut may take the newest transactions, whole ones, and they come again.
    connection.pragma_update(None, "synchronous", "NORMAL").map_err(failed)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES).map_err(failed)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT).map_err(failed)?;
    migrate(&mut connection, &config.path)?;
    Ok(connection)
}

/// A connection that fills a file which nobody has yet, and which nobody wants if that is cut short.
pub(super) fn filler(config: &SqliteConfig) -> Result<Connection, StoreError> {
    let mut connection = made(config)?;
    let hasty = [("locking_mode", "EXCLUSIVE"), ("journal_mode", "OFF"), ("synchronous", "OFF")];
    for (pragma, value) in hasty {
        connection.pragma_update(None, pragma, value).map_err(failed)?;
    }
    migrate(&mut connection, &config.path)?;
    Ok(connection)
}

fn made(config: &SqliteConfig) -> Result<Connection, StoreError> {
    if let Some(folder) = config.path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|error| StoreError::Unavailable(format!("{}: {error}", folder.display())))?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = open(config, flags, config.writer_cache_bytes)?;
    // The page size counts before the first write only; the journal mode stays with the file.
    connection.pragma_update(None, "page_size", PAGE_BYTES).map_err(failed)?;
    // As the page size. Files of before keep what they have: pages that sweeps free are used again, and not given back.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(failed)?;
    Ok(connection)
}

/// A connection that reads an existing, migrated file.
pub(super) fn reader(config: &SqliteConfig) -> Result<Connection, StoreError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = open(config, flags, config.reader_cache_bytes)?;
    let version = version(&connection)?;
    if usize::try_from(version).is_ok_and(|version| version == MIGRATIONS.len()) {
        return Ok(connection);
    }
    Err(StoreError::Damaged(format!(
        "{} has version {version}, this leadline reads version {}",
        config.path.display(),
        MIGRATIONS.len()
    )))
}

fn open(config: &SqliteConfig, flags: OpenFlags, cache_bytes: u64) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(&config.path, flags).map_err(failed)?;
    connection.busy_timeout(config.wait).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Negative: in KiB instead of pages.
    let cache_kib = i64::try_from(cache_bytes >> 10).unwrap_or(i64::MAX).saturating_neg();
    connection.pragma_update(None, "cache_size", cache_kib).map_err(failed)?;
    connection.pragma_update(None, "temp_store", "MEMORY").map_err(failed)?;
    Ok(connection)
}

fn version(connection: &Connection) -> Result<i64, StoreError> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)
}

/// The version of an existing file; refuses one of another program, or of a newer leadline.
pub(super) fn applied(config: &SqliteConfig) -> Result<u32, StoreError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = open(config, flags, config.reader_cache_bytes)?;
    let done = done(&connection, &config.path)?;
    Ok(u32::try_from(done).unwrap_or(u32::MAX))
}

/// How many migrations the file has had.
fn done(connection: &Connection, path: &Path) -> Result<usize, StoreError> {
    let found = version(connection)?;
    let application: i32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(failed)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    if application != APPLICATION_ID && tables > 0 {
        return Err(damaged(format!("{} is a database of another program", path.display())));
    }
    let done = usize::try_from(found).unwrap_or(usize::MAX);
    if done > MIGRATIONS.len() {
        return Err(damaged(format!(
            "{} has version {found}, this leadline knows versions up to {}",
            path.display(),
            MIGRATIONS.len()
        )));
    }
    Ok(done)
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    // Alone with the file: of two processes that start at once, the second finds the work done.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let done = done(&transaction, path)?;
    let missing = MIGRATIONS.get(done..).unwrap_or_default();
    if missing.is_empty() {
        return Ok(());
    }
    for migration in missing {
        transaction.execute_batch(migration).map_err(failed)?;
    }
    if done == 0 {
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
        transaction
            .execute("INSERT INTO tenants (number, tenant) VALUES (?1, '')", [NO_TENANT])
            .map_err(failed)?;
    }
    transaction
        .pragma_update(None, "user_version", i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX))
        .map_err(failed)?;
    transaction.commit().map_err(failed)
}
