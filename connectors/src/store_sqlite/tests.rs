//! The suite, and what only a file can suffer.

use std::sync::Arc;

use leadline_schemas::{CommitNumber, Partition};
use rusqlite::Connection;

use super::*;
use crate::conformance::store::{OpenStore, StoreUnderTest, suite};
use crate::contract::store::{Batch, RecordReader, RecordWriter, StoreError};

struct OnDisk(tempfile::TempDir);

impl OnDisk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn config(&self) -> SqliteConfig {
        SqliteConfig::new(self.0.path().join("records.db"))
    }
}

impl StoreUnderTest for OnDisk {
    fn start(&mut self) -> OpenStore {
        let writer = SqliteWriter::open(self.config()).unwrap();
        (Box::new(writer), Arc::new(SqliteReader::open(self.config()).unwrap()))
    }
}

#[test]
fn it_passes_the_suite() {
    suite(&|| Box::new(OnDisk::new()));
}

#[test]
fn a_database_of_another_program_or_of_a_newer_version_is_refused_and_left_alone() {
    let store = OnDisk::new();
    let foreign = Connection::open(store.config().path).unwrap();
    foreign.execute_batch("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)").unwrap();
    let refused = SqliteWriter::open(store.config()).map(drop);
    assert!(
        matches!(&refused, Err(StoreError::Damaged(why)) if why.contains("another program")),
        "{refused:?}"
    );
    assert_eq!(foreign.query_row("SELECT a FROM theirs", [], |row| row.get::<_, i64>(0)), Ok(1));

    let store = OnDisk::new();
    drop(SqliteWriter::open(store.config()).unwrap());
    Connection::open(store.config().path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    for refused in
        [SqliteWriter::open(store.config()).map(drop), SqliteReader::open(store.config()).map(drop)]
    {
        assert!(
            matches!(&refused, Err(StoreError::Damaged(why)) if why.contains("version 99")),
            "{refused:?}"
        );
    }
}

#[test]
fn a_file_that_is_no_database_is_damage_and_not_a_reason_to_try_again() {
    let store = OnDisk::new();
    std::fs::write(store.config().path, [0x5A; 20_000]).unwrap();
    let refused = SqliteWriter::open(store.config()).map(drop);
    assert!(matches!(refused, Err(StoreError::Damaged(_))), "{refused:?}");
}

#[test]
fn a_lock_that_another_process_holds_passes_and_is_no_damage() {
    let store = OnDisk::new();
    let config = SqliteConfig { wait: std::time::Duration::from_millis(10), ..store.config() };
    let mut writer = SqliteWriter::open(config).unwrap();
    let other = Connection::open(store.config().path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let commit = [Batch {
        generation: 1,
        partition: Partition(0),
        from: CommitNumber(0),
        to: CommitNumber(1),
        commits: vec![],
    }];
    let busy = writer.write(&commit);
    assert!(matches!(busy, Err(StoreError::Unavailable(_))), "{busy:?}");
    other.execute_batch("ROLLBACK").unwrap();
    writer.write(&commit).unwrap();
    assert_eq!(writer.progress(1, Partition(0)), Ok(CommitNumber(1)));
}

#[test]
fn a_pool_without_readers_has_one_all_the_same() {
    let store = OnDisk::new();
    drop(SqliteWriter::open(store.config()).unwrap());
    SqliteReader::open(SqliteConfig { readers: 0, ..store.config() }).unwrap().ping().unwrap();
}
