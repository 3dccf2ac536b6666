//! A store that is filled anew, all at once: beside its place, and put there when it is whole.
//!
//! Nobody reads it before and nobody misses it after a power cut, so it does without what an open store pays for both: no
//! WAL, no sync before the last, one transaction, and indexes of lists made from sorted rows at the end instead of row by
//! row. A fill that is cut short leaves a file of another name, which says nothing to anybody: the next begins anew.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use leadline_schemas::{CommitNumber, Millis, Partition};
use rusqlite::Connection;

use super::config::SqliteConfig;
use super::connection;
use super::error::failed;
use super::rows::{Rows, progress, signed};
use crate::contract::store::{Batch, RecordWriter, StoreError};
use crate::contract::tenants::TenantRow;
use crate::disk_room::{DiskRoom, Purpose};

/// Pages kept in memory while filling, and the rows of an index that are sorted there: rows come in no order, so all levels
/// of the keys should stay in memory.
const CACHE_BYTES: u64 = 256 << 20;

/// The indexes that no statement of a writer asks: those of lists.
const LIST_INDEXES: &str = "SELECT name, sql FROM sqlite_schema
    WHERE type = 'index' AND sql IS NOT NULL AND tbl_name <> 'dead_letters'";

/// Fills an empty store. Dropped before [`RecordWriter::filled`] it leaves nothing.
pub struct SqliteFill {
    config: SqliteConfig,
    room: DiskRoom,
    /// What lies in the place now; none = no file.
    place: Option<Connection>,
    /// The file beside it, in its one transaction; none when it is done.
    filling: Option<Connection>,
    /// The statements that make the indexes.
    indexes: Vec<String>,
    tenants: HashMap<String, i64>,
    newest: Millis,
    /// A statement failed, and nothing takes its half back.
    is_broken: bool,
}

impl SqliteFill {
    /// Begins. The caller sees to it that nobody else has the store.
    pub fn open(config: SqliteConfig) -> Result<Self, StoreError> {
        let room = DiskRoom::of(config.folder());
        let place = config.path.exists().then(|| connection::writer(&config)).transpose()?;
        let path = beside(&config.path);
        remove(&path)?;
        let filling = SqliteConfig { path, writer_cache_bytes: CACHE_BYTES, ..config.clone() };
        let filling = connection::filler(&filling)?;
        let indexes = drop_list_indexes(&filling)?;
        filling.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
        Ok(Self {
            config,
            room,
            place,
            filling: Some(filling),
            indexes,
            tenants: HashMap::new(),
            newest: Millis(0),
            is_broken: false,
        })
    }

    /// Whether a fill of this place was cut short. The next one, and the next start, removes what it left.
    pub fn was_cut_short(config: &SqliteConfig) -> bool {
        beside(&config.path).exists()
    }

    fn filling(&self) -> Result<&Connection, StoreError> {
        let over =
            || StoreError::Unavailable("this store was filled already, or not filled whole".to_owned());
        self.filling.as_ref().filter(|_| !self.is_broken).ok_or_else(over)
    }

    fn write_all(&mut self, batches: &[Batch]) -> Result<(), StoreError> {
        let connection = self.filling()?;
        let mut rows = Rows::new(connection, &self.tenants, self.newest);
        batches.iter().try_for_each(|batch| rows.batch(batch))?;
        let (fresh, newest) = (rows.fresh, rows.newest);
        self.tenants.extend(fresh);
        self.newest = newest;
        Ok(())
    }

    /// Nothing takes half a write back here, so a gap is found before.
    fn gap(&self, batches: &[Batch]) -> Result<Option<StoreError>, StoreError> {
        let mut reached: HashMap<(u32, Partition), CommitNumber> = HashMap::new();
        for batch in batches {
            let place = (batch.generation, batch.partition);
            let done = match reached.get(&place) {
                Some(done) => *done,
                None => progress(self.filling()?, batch.generation, batch.partition)?,
            };
            if done < batch.from {
                let (partition, from) = (batch.partition, batch.from);
                return Ok(Some(StoreError::Behind { partition, progress: done, from }));
            }
            reached.insert(place, done.max(batch.to));
        }
        Ok(None)
    }

    fn put_in_place(&mut self) -> Result<(), StoreError> {
        // The last connection takes the files of a WAL with it.
        if let Some(place) = self.place.take() {
            place.close().map_err(|(_, error)| failed(error))?;
        }
        let (path, filled) = (&self.config.path, beside(&self.config.path));
        remove(path)?;
        let moved = File::open(&filled)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(&filled, path))
            .and_then(|()| File::open(self.config.folder()))
            .and_then(|folder| folder.sync_all());
        moved.map_err(|error| away(path, &error))
    }
}

impl RecordWriter for SqliteFill {
    fn progress(&mut self, generation: u32, partition: Partition) -> Result<CommitNumber, StoreError> {
        let filled = progress(self.filling()?, generation, partition)?;
        let Some(place) = &self.place else { return Ok(filled) };
        // Of any layout: what is there is not to be lost.
        let sql = "SELECT coalesce(max(number), 0) FROM sink_progress WHERE partition = ?1";
        let there: i64 = place.query_row(sql, [partition.0], |row| row.get(0)).map_err(failed)?;
        Ok(filled.max(CommitNumber(u64::try_from(there).unwrap_or(0))))
    }

    fn write(&mut self, batches: &[Batch]) -> Result<(), StoreError> {
        self.room.check(Purpose::Ends).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        if let Some(behind) = self.gap(batches)? {
            return Err(behind);
        }
        let written = self.write_all(batches);
        self.is_broken |= written.is_err();
        written
    }

    fn put_tenants(&mut self, version: u64, tenants: &[TenantRow]) -> Result<(), StoreError> {
        let written = super::tenants::write(self.filling()?, signed(version), tenants);
        self.is_broken |= written.is_err();
        written
    }

    fn filled(&mut self) -> Result<(), StoreError> {
        let connection = self.filling()?;
        let indexes = self.indexes.iter().try_for_each(|index| connection.execute_batch(index));
        indexes.and_then(|()| connection.execute_batch("COMMIT")).map_err(failed)?;
        // As a writer leaves its file.
        connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
        if let Some(filling) = self.filling.take() {
            filling.close().map_err(|(_, error)| failed(error))?;
        }
        self.put_in_place()
    }
}

impl Drop for SqliteFill {
    fn drop(&mut self) {
        if self.filling.take().is_some() {
            // What cannot be removed now is removed by whoever comes next.
            let _ = remove(&beside(&self.config.path));
        }
    }
}

/// Removes what a fill left that was cut short: for who opens the store in its place.
pub(super) fn tidy(config: &SqliteConfig) -> Result<(), StoreError> {
    let left = beside(&config.path);
    if left.exists() {
        tracing::warn!(file = %left.display(), "a rebuild was cut short; what it left is removed");
        remove(&left)?;
    }
    Ok(())
}

fn drop_list_indexes(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare(LIST_INDEXES).map_err(failed)?;
    let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?;
    let found: Vec<(String, String)> = found.collect::<Result<_, _>>().map_err(failed)?;
    for (name, _) in &found {
        connection.execute_batch(&format!("DROP INDEX {name}")).map_err(failed)?;
    }
    Ok(found.into_iter().map(|(_, sql)| sql).collect())
}

/// The file that is being filled.
fn beside(path: &Path) -> PathBuf {
    with_suffix(path, "-filling")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes a database with the files that SQLite keeps beside it.
fn remove(path: &Path) -> Result<(), StoreError> {
    for file in ["-wal", "-shm", "-journal", ""].map(|suffix| with_suffix(path, suffix)) {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(away(&file, &error)),
            _ => {}
        }
    }
    Ok(())
}

fn away(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unavailable(format!("{}: {error}", path.display()))
}
