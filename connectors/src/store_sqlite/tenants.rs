//! Tenants and their integrations, as the settings have them.

use rusqlite::{Connection, TransactionBehavior, params};

use super::error::failed;
use crate::contract::store::StoreError;
use crate::contract::tenants::TenantRow;

/// Writes tenants as of a version of the settings, in a transaction of their own.
pub(super) fn put(
    connection: &mut Connection,
    version: i64,
    tenants: &[TenantRow],
) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    write(&transaction, version, tenants)?;
    transaction.commit().map_err(failed)
}

/// Writes tenants in the transaction that is open; none that the file has of a later version.
pub(super) fn write(connection: &Connection, version: i64, tenants: &[TenantRow]) -> Result<(), StoreError> {
    for row in tenants {
        let tenant = row.tenant.as_str();
        let execute = |sql: &str, values: &[&dyn rusqlite::ToSql]| -> Result<usize, StoreError> {
            connection.prepare_cached(sql).and_then(|mut one| one.execute(values)).map_err(failed)
        };
        execute("INSERT OR IGNORE INTO tenants (tenant) VALUES (?1)", params![tenant])?;
        let changed = execute(
            "UPDATE tenants SET name = ?2, time_zone = ?3, created_at = ?4, status = ?5, settings_version = ?6
             WHERE tenant = ?1 AND coalesce(settings_version, 0) <= ?6",
            params![tenant, row.name, row.time_zone, row.created_at.0, row.status(), version],
        )?;
        if changed == 0 {
            continue;
        }
        let number = "(SELECT number FROM tenants WHERE tenant = ?1)";
        execute(&format!("DELETE FROM crm_integrations WHERE tenant = {number}"), params![tenant])?;
        for one in &row.integrations {
            execute(
                &format!(
                    "INSERT INTO crm_integrations (tenant, integration, kind, enabled, disabled_reason, settings_version)
                     VALUES ({number}, ?2, ?3, ?4, ?5, ?6)"
                ),
                params![tenant, one.integration, one.kind, one.enabled, one.disabled_reason, version],
            )?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::ddl::{APPLICATION_ID, MIGRATIONS};
    use super::super::{SqliteConfig, SqliteSchema, SqliteWriter};
    use super::*;
    use crate::conformance::store::tenants::{Shown, suite};
    use crate::contract::schema::StoreSchema as _;

    /// As somebody sees it who joins.
    fn shown(connection: &Connection) -> Vec<Shown> {
        let sql = "SELECT t.tenant, t.name, t.time_zone, t.created_at, t.status, i.integration, i.kind, i.enabled, \
                   i.disabled_reason FROM tenants t LEFT JOIN crm_integrations i ON i.tenant = t.number \
                   WHERE t.name IS NOT NULL ORDER BY t.tenant, i.integration";
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| {
            Ok(Shown {
                tenant: row.get(0)?,
                name: row.get(1)?,
                time_zone: row.get(2)?,
                created_at_ms: row.get(3)?,
                status: row.get(4)?,
                integration: row
                    .get::<_, Option<String>>(5)?
                    .map(|id| (id, row.get_unwrap(6), row.get_unwrap(7), row.get_unwrap(8))),
            })
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn a_file_of_the_version_before_gets_the_columns_and_passes_the_suite() {
        let folder = tempfile::tempdir().unwrap();
        let config = SqliteConfig::new(folder.path().join("records.db"));
        let connection = Connection::open(&config.path).unwrap();
        MIGRATIONS[..2].iter().for_each(|migration| connection.execute_batch(migration).unwrap());
        connection.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        connection.pragma_update(None, "user_version", 2).unwrap();
        connection
            .execute_batch("INSERT INTO tenants (number, tenant) VALUES (0, ''), (7, 'summit')")
            .unwrap();
        let mut schema = SqliteSchema::new(config.clone());
        assert_eq!(schema.applied(), Ok(2));
        assert!(schema.plan().unwrap().iter().any(|line| line.starts_with("CREATE TABLE crm_integrations")));
        schema.apply().unwrap();
        assert_eq!((schema.applied(), schema.plan()), (Ok(3), Ok(vec![])));

        suite(&mut SqliteWriter::open(config).unwrap(), &mut || shown(&connection));
        let number = connection
            .query_row("SELECT number FROM tenants WHERE tenant = 'summit'", [], |row| row.get::<_, i64>(0));
        assert_eq!(number, Ok(7), "records find their tenant as before");
    }
}
