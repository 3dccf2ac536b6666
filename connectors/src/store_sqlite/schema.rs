//! The file's version, and what it lacks.

use super::config::SqliteConfig;
use super::connection;
use super::ddl::MIGRATIONS;
use crate::contract::schema::StoreSchema;
use crate::contract::store::StoreError;

/// The tables of the file that a configuration names.
#[derive(Debug)]
pub struct SqliteSchema(SqliteConfig);

impl SqliteSchema {
    /// Opens nothing yet.
    pub fn new(config: SqliteConfig) -> Self {
        Self(config)
    }
}

impl StoreSchema for SqliteSchema {
    fn applied(&mut self) -> Result<u32, StoreError> {
        match self.0.path.exists() {
            true => connection::applied(&self.0),
            false => Ok(0),
        }
    }

    fn wanted(&self) -> u32 {
        u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
    }

    fn plan(&mut self) -> Result<Vec<String>, StoreError> {
        let applied = usize::try_from(self.applied()?).unwrap_or(usize::MAX);
        let missing = MIGRATIONS.get(applied..).unwrap_or_default();
        let statements = missing.iter().flat_map(|migration| migration.split(';'));
        Ok(statements.map(str::trim).filter(|text| !text.is_empty()).map(|text| format!("{text};")).collect())
    }

    fn apply(&mut self) -> Result<(), StoreError> {
        connection::writer(&self.0).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::store_sqlite::SqliteWriter;

    fn schema(folder: &tempfile::TempDir) -> SqliteSchema {
        SqliteSchema::new(SqliteConfig::new(folder.path().join("records.db")))
    }

    #[test]
    fn looking_makes_nothing_and_applying_leaves_nothing_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let mut schema = schema(&folder);
        assert_eq!(schema.applied(), Ok(0));
        let plan = schema.plan().unwrap();
        assert!(plan.iter().any(|line| line.starts_with("CREATE TABLE call_records (")), "{plan:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "looking made a file");

        schema.apply().unwrap();
        assert_eq!(schema.applied(), Ok(schema.wanted()));
        assert_eq!(schema.plan(), Ok(vec![]));
        schema.apply().unwrap();
        SqliteWriter::open(schema.0.clone()).unwrap();
    }

    #[test]
    fn the_planned_statements_make_the_same_tables_as_applying() {
        let folder = tempfile::tempdir().unwrap();
        let mut schema = schema(&folder);
        let by_hand = Connection::open_in_memory().unwrap();
        by_hand.execute_batch(&schema.plan().unwrap().join("\n")).unwrap();
        schema.apply().unwrap();
        let tables = |connection: &Connection| -> Vec<String> {
            let mut statement = connection
                .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY sql")
                .unwrap();
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        assert_eq!(tables(&by_hand), tables(&Connection::open(&schema.0.path).unwrap()));
    }

    #[test]
    fn a_newer_file_or_one_of_another_program_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut newer = schema(&folder);
        newer.apply().unwrap();
        Connection::open(&newer.0.path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut foreign = schema(&folder);
        Connection::open(&foreign.0.path).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
        for (schema, why) in [(&mut newer, "version 99"), (&mut foreign, "another program")] {
            for refused in [schema.plan().map(drop), schema.applied().map(drop), schema.apply()] {
                assert!(
                    matches!(&refused, Err(StoreError::Damaged(text)) if text.contains(why)),
                    "{refused:?}"
                );
            }
        }
    }
}
