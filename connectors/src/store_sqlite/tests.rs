//! The suite, and what only a file can suffer.

use std::sync::Arc;

use leadline_schemas::frame::Output;
use leadline_schemas::{CommitNumber, Partition};
use rusqlite::Connection;

use super::*;
use crate::conformance::store::{OpenStore, StoreUnderTest, one_of_each, suite};
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

/// Commits of a partition, each with records of several tenants, of which some come again and change.
fn batches(partition: u16, commits: u64) -> Vec<Batch> {
    let outputs = |number: u64| -> Vec<Output> {
        let owner = ["summit", "valley", "harbor"][(number % 3) as usize];
        let of = |number: u64| one_of_each(owner, 40 * u64::from(partition) + number);
        [of(number), of(number / 2)].concat()
    };
    let batch = |number: u64| Batch {
        generation: 1,
        partition: Partition(partition),
        from: CommitNumber(number),
        to: CommitNumber(number + 1),
        commits: vec![(CommitNumber(number + 1), Arc::new(outputs(number)))],
    };
    (0..commits).map(batch).collect()
}

/// All that a file has: its settings, its tables and indexes, its rows.
fn content(config: &SqliteConfig) -> Vec<String> {
    let connection = Connection::open(&config.path).unwrap();
    let mut content: Vec<String> = Vec::new();
    for pragma in
        ["integrity_check", "journal_mode", "page_size", "auto_vacuum", "user_version", "application_id"]
    {
        let value: rusqlite::types::Value =
            connection.pragma_query_value(None, pragma, |row| row.get(0)).unwrap();
        content.push(format!("{pragma}: {value:?}"));
    }
    let all = |sql: &str| -> Vec<String> {
        let mut statement = connection.prepare(sql).unwrap();
        let columns = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| -> rusqlite::Result<String> {
            (0..columns)
                .map(|column| Ok(format!("{:?}|", row.get::<_, rusqlite::types::Value>(column)?)))
                .collect()
        };
        statement.query_map([], row).unwrap().map(Result::unwrap).collect()
    };
    content.extend(all("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name"));
    let mut tables = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    tables.iter().for_each(|table| content.extend(all(&format!("SELECT '{table}', * FROM {table}"))));
    content.sort();
    content
}

#[test]
fn a_store_that_is_filled_is_the_one_that_was_written_row_by_row() {
    let (written, filled) = (OnDisk::new(), OnDisk::new());
    let mut writer = SqliteWriter::open(written.config()).unwrap();
    // What is there may have tables, if it has no rows.
    drop(SqliteWriter::open(filled.config()).unwrap());
    let mut fill = SqliteFill::open(filled.config()).unwrap();
    for batch in [batches(0, 30), batches(7, 30)].concat() {
        writer.write(std::slice::from_ref(&batch)).unwrap();
        fill.write(&[batch]).unwrap();
    }
    assert_eq!(fill.progress(1, Partition(7)), Ok(CommitNumber(30)));
    let repeated = &batches(0, 31)[29..];
    fill.write(repeated).unwrap();
    writer.write(repeated).unwrap();
    assert_eq!(
        fill.write(&batches(0, 40)[35..36]),
        Err(StoreError::Behind {
            partition: Partition(0),
            progress: CommitNumber(31),
            from: CommitNumber(35)
        }),
        "a gap is refused, and nothing is broken by that"
    );
    assert_eq!(
        content(&filled.config()).iter().filter(|line| line.contains("CAL1")).count(),
        0,
        "not before"
    );
    fill.filled().unwrap();
    drop((fill, writer));
    let rows = content(&filled.config());
    assert!(rows.iter().any(|line| line.contains("CAL1")) && rows.iter().any(|line| line.contains("\"ok\"")));
    assert_eq!(rows, content(&written.config()));
    let names: Vec<_> =
        std::fs::read_dir(filled.0.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(names, ["records.db"], "nothing is left beside it");
    // It is a store like any other.
    let mut writer = SqliteWriter::open(filled.config()).unwrap();
    writer.write(&batches(0, 32)[31..]).unwrap();
    assert_eq!(writer.progress(1, Partition(0)), Ok(CommitNumber(32)));
}

#[test]
fn a_fill_that_is_cut_short_is_no_store_and_the_next_begins_anew() {
    let store = OnDisk::new();
    let cut_short = || {
        let mut fill = SqliteFill::open(store.config()).unwrap();
        batches(0, 10).iter().for_each(|batch| fill.write(std::slice::from_ref(batch)).unwrap());
        assert!(SqliteFill::was_cut_short(&store.config()), "as long as it runs nobody can tell");
        fill
    };
    // Its process is killed: nothing of it runs any more.
    std::mem::forget(cut_short());
    assert!(SqliteFill::was_cut_short(&store.config()) && !store.config().path.exists());
    let mut fill = SqliteFill::open(store.config()).unwrap();
    assert_eq!(fill.progress(1, Partition(0)), Ok(CommitNumber(0)), "anew");
    batches(0, 3).iter().for_each(|batch| fill.write(std::slice::from_ref(batch)).unwrap());
    fill.filled().unwrap();
    assert!(fill.write(&batches(0, 4)[3..]).is_err(), "it is over");
    drop(fill);
    assert!(!SqliteFill::was_cut_short(&store.config()));
    let whole = content(&store.config());

    // Given up in words, it takes its file with it; killed, whoever starts does.
    drop(cut_short());
    assert!(!SqliteFill::was_cut_short(&store.config()));
    std::mem::forget(cut_short());
    drop(SqliteWriter::open(store.config()).unwrap());
    assert!(!SqliteFill::was_cut_short(&store.config()));
    assert_eq!(content(&store.config()), whole, "the store that was there is as it was");
}

#[test]
fn a_fill_tells_of_what_is_in_its_place_under_whatever_layout() {
    let store = OnDisk::new();
    let mut writer = SqliteWriter::open(store.config()).unwrap();
    batches(3, 5).into_iter().for_each(|batch| writer.write(&[Batch { generation: 4, ..batch }]).unwrap());
    drop(writer);
    let mut fill = SqliteFill::open(store.config()).unwrap();
    assert_eq!(fill.progress(1, Partition(3)), Ok(CommitNumber(5)));
    assert_eq!(fill.progress(1, Partition(0)), Ok(CommitNumber(0)));
}
