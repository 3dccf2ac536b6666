//! Retention, in bounded pieces beside the writes: what its time is over is deleted, and room is given back.

use leadline_schemas::Millis;
use rusqlite::{Connection, params};

use super::config::SqliteConfig;
use super::error::failed;
use crate::contract::store::StoreError;

/// Rows that one turn deletes at most, so that it is never felt.
const ROWS_MAX: i64 = 2_000;
/// Tenants that one turn looks at; each costs three look-ups where nothing is old.
const TENANTS_MAX: usize = 200;
/// Pages that one turn gives back to the disk at most: 4 MiB.
const PAGES_GIVEN_BACK: i64 = 512;
/// Free pages that a file keeps, as a share of all: the next rows take them.
const FREE_SHARE: i64 = 8;

/// Each by its index: without the tenant a turn that finds nothing would read the whole table.
const REQUESTS: &str = "DELETE FROM requests WHERE row IN
    (SELECT row FROM requests WHERE tenant = ?1 AND received_at < ?2 LIMIT ?3)";
const DEAD_LETTERS: &str = "DELETE FROM dead_letters WHERE row IN
    (SELECT row FROM dead_letters WHERE tenant = ?1 AND failed_at < ?2 LIMIT ?3)";
const AUDIT: &str = "DELETE FROM audit_log WHERE (tenant, at, id) IN
    (SELECT tenant, at, id FROM audit_log WHERE tenant = ?1 AND at < ?2 LIMIT ?3)";

/// Goes round the tenants.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// The tenant looked at last in this round.
    behind: Option<i64>,
}

impl Sweep {
    /// Deletes a bounded piece of what is no longer kept; `newest` is what is counted from.
    pub(super) fn turn(
        &mut self,
        connection: &Connection,
        config: &SqliteConfig,
        newest: Millis,
    ) -> Result<(), StoreError> {
        let kept = [
            (REQUESTS, config.requests_kept_ms),
            (DEAD_LETTERS, config.dead_letters_kept_ms),
            (AUDIT, config.audit_kept_ms),
        ];
        let tenants = self.tenants(connection)?;
        let mut rows_left = ROWS_MAX;
        for tenant in &tenants {
            for (sql, kept_ms) in kept {
                let mut statement = connection.prepare_cached(sql).map_err(failed)?;
                let deleted =
                    statement.execute(params![tenant, newest.plus(-kept_ms).0, rows_left]).map_err(failed)?;
                rows_left -= i64::try_from(deleted).unwrap_or(i64::MAX);
                if rows_left <= 0 {
                    // The next turn begins with this tenant.
                    return give_back(connection);
                }
            }
            self.behind = Some(*tenant);
        }
        if tenants.len() < TENANTS_MAX {
            self.behind = None;
        }
        give_back(connection)
    }

    fn tenants(&self, connection: &Connection) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT number FROM tenants WHERE number > ?1 ORDER BY number LIMIT ?2";
        let mut statement = connection.prepare_cached(sql).map_err(failed)?;
        let limit = i64::try_from(TENANTS_MAX).unwrap_or(i64::MAX);
        // Tenants begin with 0: dead letters of nobody.
        let behind = self.behind.unwrap_or(-1);
        let found = statement.query_map(params![behind, limit], |row| row.get(0)).map_err(failed)?;
        found.collect::<Result<_, _>>().map_err(failed)
    }
}

/// Gives free pages back to the disk, where the file was made for that and has many.
fn give_back(connection: &Connection) -> Result<(), StoreError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(failed);
    let (free, all) = (pragma("freelist_count")?, pragma("page_count")?);
    if free > all / FREE_SHARE {
        let pages = (free - all / FREE_SHARE).min(PAGES_GIVEN_BACK);
        // Each step gives one page back.
        let mut vacuum =
            connection.prepare(&format!("PRAGMA incremental_vacuum({pages})")).map_err(failed)?;
        let mut steps = vacuum.query([]).map_err(failed)?;
        while steps.next().map_err(failed)?.is_some() {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store_sqlite::connection;

    fn filled(tenants: i64, rows: i64) -> (tempfile::TempDir, SqliteConfig, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let config = SqliteConfig::new(folder.path().join("records.db"));
        let connection = connection::writer(&config).unwrap();
        connection.execute_batch("BEGIN").unwrap();
        for tenant in 1..=tenants {
            connection
                .execute(
                    "INSERT INTO tenants (number, tenant) VALUES (?1, ?2)",
                    params![tenant, tenant.to_string()],
                )
                .unwrap();
            for row in 0..rows {
                let id = [tenant.to_be_bytes(), row.to_be_bytes()].concat();
                let sql = "INSERT INTO requests (tenant, request_id, received_at, status, record) VALUES (?1, ?2, ?3, 'done', ?4)";
                connection.execute(sql, params![tenant, id, row, vec![7_u8; 4_000]]).unwrap();
            }
        }
        connection.execute_batch("COMMIT").unwrap();
        (folder, config, connection)
    }

    fn count(connection: &Connection) -> i64 {
        connection.query_row("SELECT count(*) FROM requests", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn what_is_over_goes_in_bounded_pieces_whosever_it_is_and_its_room_is_given_back() {
        let (folder, config, connection) = filled(3, 1_500);
        let config = SqliteConfig { requests_kept_ms: 100, ..config };
        let mut sweep = Sweep::default();
        let size = || {
            connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
            folder.path().join("records.db").metadata().unwrap().len()
        };
        let before = size();
        // Rows 0 to 1399 of each are over.
        for turn in 1..=3 {
            let had = count(&connection);
            sweep.turn(&connection, &config, Millis(1_500)).unwrap();
            assert_eq!(had - count(&connection), [2_000, 2_000, 200][turn - 1], "turn {turn}");
        }
        assert_eq!(count(&connection), 300);
        (0..20).for_each(|_| sweep.turn(&connection, &config, Millis(1_500)).unwrap());
        assert_eq!(count(&connection), 300, "what is not over stays");
        let after = size();
        assert!(after < before / 5, "{before} bytes before, {after} after");
    }

    #[test]
    fn a_turn_that_finds_nothing_reads_no_table_and_every_tenant_has_its_turn() {
        let (_folder, config, connection) = filled(450, 1);
        for sql in [REQUESTS, DEAD_LETTERS, AUDIT] {
            let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let steps = plan.query_map([1, 1, 1], |row| row.get(3)).unwrap();
            let steps: Vec<String> = steps.map(Result::unwrap).collect();
            assert!(steps.iter().all(|step| !step.starts_with("SCAN")), "{sql}: {steps:?}");
        }
        let mut sweep = Sweep::default();
        let config = SqliteConfig { requests_kept_ms: 1, ..config };
        for left in [251, 51, 0] {
            sweep.turn(&connection, &config, Millis(10)).unwrap();
            assert_eq!(count(&connection), left);
        }
        sweep.turn(&connection, &config, Millis(10)).unwrap();
        assert_eq!(sweep.behind, Some(199), "a new round");
    }
}
