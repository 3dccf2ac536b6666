//! What is asked: every statement that reads records. Each names a tenant first, and walks one index in its order.

use rusqlite::types::Value;

use super::cursor::Place;
use crate::contract::store::Page;

/// A tenant's number.
pub(super) const TENANT: &str = "SELECT number FROM tenants WHERE tenant = ?1";

pub(super) const REQUEST: &str = "SELECT record FROM requests WHERE tenant = ?1 AND request_id = ?2";
pub(super) const CALL: &str = "SELECT record FROM call_records WHERE tenant = ?1 AND call_id = coalesce(
    (SELECT call_id FROM call_aliases WHERE tenant = ?1 AND alias = ?2), ?2)";
pub(super) const LEAD: &str = "SELECT record FROM leads WHERE tenant = ?1 AND lead_id = ?2";
pub(super) const LEAD_EVENTS: &str = "SELECT record FROM lead_events WHERE tenant = ?1 AND lead_id = ?2
    ORDER BY revision, at, key LIMIT ?3";
pub(super) const DELIVERY: &str =
    "SELECT record FROM deliveries WHERE tenant = ?1 AND integration = ?2 AND subject = ?3";
pub(super) const WINDOWS: &str =
    "SELECT record FROM window_metrics WHERE tenant = ?1 AND window = ?2 AND start >= ?3 AND start < ?4
    ORDER BY start, slot";
pub(super) const AUDIT: &str =
    "SELECT record FROM audit_log WHERE tenant = ?1 AND at >= ?2 AND at < ?3 ORDER BY at DESC, id DESC";

/// A list: its table, the column of its time, its filters.
pub(super) struct List {
    pub(super) name: &'static str,
    table: &'static str,
    time: &'static str,
    band: bool,
    status: bool,
}

pub(super) const REQUESTS: List =
    List { name: "requests", table: "requests", time: "received_at", band: false, status: true };
pub(super) const CALLS: List =
    List { name: "calls", table: "call_records", time: "started_at", band: true, status: false };
pub(super) const LEADS: List =
    List { name: "leads", table: "leads", time: "last_contact_at", band: true, status: true };
pub(super) const DELIVERIES: List =
    List { name: "deliveries", table: "deliveries", time: "queued_at", band: false, status: true };
pub(super) const DEAD_LETTERS: List =
    List { name: "dead_letters", table: "dead_letters", time: "failed_at", band: false, status: true };

/// The statement of a page: one text per combination of filters, so that it stays prepared.
pub(super) fn page(
    list: &List,
    tenant: i64,
    after: Place,
    page: &Page,
    limit: usize,
) -> (String, Vec<Value>) {
    let (table, time) = (list.table, list.time);
    // One bound alone is where SQLite begins to walk; a second one it would compare row by row, from the newest on.
    let after = match page.to {
        Some(to) if to.0 <= after.time => Place { time: to.0, row: i64::MIN },
        _ => after,
    };
    let mut sql =
        format!("SELECT {time}, row, record FROM {table} WHERE tenant = ?1 AND ({time}, row) < (?2, ?3)");
    let mut values: Vec<Value> = vec![tenant.into(), after.time.into(), after.row.into()];
    let mut filter = |column: &str, compare: &str, value: Value| {
        values.push(value);
        sql.push_str(&format!(" AND {column} {compare} ?{}", values.len()));
    };
    if let Some(from) = page.from {
        filter(time, ">=", from.0.into());
    }
    if let Some(band) = page.band.as_ref().filter(|_| list.band) {
        filter("band", "=", band.clone().into());
    }
    if let Some(status) = page.status.as_ref().filter(|_| list.status) {
        filter("status", "=", status.clone().into());
    }
    values.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
    sql.push_str(&format!(" ORDER BY {time} DESC, row DESC LIMIT ?{}", values.len()));
    (sql, values)
}

#[cfg(test)]
mod tests {
    use leadline_schemas::Millis;
    use rusqlite::Connection;

    use super::*;
    use crate::store_sqlite::ddl::MIGRATIONS;

    fn tables() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        MIGRATIONS.iter().for_each(|migration| connection.execute_batch(migration).unwrap());
        connection
    }

    fn every_statement() -> Vec<String> {
        let mut all: Vec<String> =
            [REQUEST, CALL, LEAD, LEAD_EVENTS, DELIVERY, WINDOWS, AUDIT].map(str::to_owned).to_vec();
        for list in [REQUESTS, CALLS, LEADS, DELIVERIES, DEAD_LETTERS] {
            for filters in 0..16_u8 {
                let has = |bit: u8| filters & bit != 0;
                let text = |bit: u8| has(bit).then(|| "x".to_owned());
                let (from, to) = (has(4).then_some(Millis(1)), has(8).then_some(Millis(9)));
                let asked = Page { band: text(1), status: text(2), from, to, ..Page::default() };
                all.push(page(&list, 1, Place::START, &asked, 50).0);
            }
        }
        all
    }

    #[test]
    fn every_statement_walks_one_index_in_its_order_and_reads_one_tenants_rows() {
        let connection = tables();
        for sql in every_statement() {
            let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let marks = plan.parameter_count();
            let steps = plan.query_map(rusqlite::params_from_iter(vec![1; marks]), |row| row.get(3)).unwrap();
            let steps: Vec<String> = steps.map(Result::unwrap).collect();
            for step in &steps {
                let is_search = !step.contains("SCAN") || step == "SCALAR SUBQUERY 1";
                assert!(is_search && !step.contains("TEMP B-TREE"), "{sql}: {steps:?}");
                assert!(!step.starts_with("SEARCH") || step.contains("(tenant=?"), "{sql}: {steps:?}");
            }
        }
    }

    #[test]
    fn a_list_by_band_and_status_does_not_walk_over_rows_of_others() {
        let asked = Page { band: Some("hot".to_owned()), status: Some("won".to_owned()), ..Page::default() };
        let (sql, _) = page(&LEADS, 1, Place::START, &asked, 50);
        let connection = tables();
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let marks = plan.parameter_count();
        let step: String =
            plan.query_row(rusqlite::params_from_iter(vec![1; marks]), |row| row.get(3)).unwrap();
        assert!(step.contains("tenant=? AND band=? AND status=?"), "{step}");
    }

    #[test]
    fn a_list_of_before_a_time_does_not_walk_over_what_came_since() {
        let connection = tables();
        let calls = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
            INSERT INTO call_records (tenant, call_id, started_at, record)
            SELECT 1, 'CAL' || i, i, x'' FROM n";
        connection.execute_batch(calls).unwrap();
        let asked = Page { to: Some(Millis(100)), ..Page::default() };
        let (sql, values) = page(&CALLS, 1, Place::START, &asked, 50);
        let mut statement = connection.prepare(&sql).unwrap();
        let found =
            statement.query_map(rusqlite::params_from_iter(values), |row| row.get::<_, i64>(0)).unwrap();
        let found: Vec<i64> = found.map(Result::unwrap).collect();
        assert_eq!(found, (50..100).rev().collect::<Vec<_>>());
        let steps = statement.get_status(rusqlite::StatementStatus::VmStep);
        assert!(steps < 2_000, "{steps} steps for 50 rows");
    }

    #[test]
    fn nothing_is_asked_without_a_tenant_and_nothing_is_asked_elsewhere() {
        for sql in every_statement() {
            assert!(sql.contains(" WHERE tenant = ?1 AND "), "{sql}");
        }
        let reader = include_str!("reader.rs");
        let asked: Vec<&str> = reader.lines().filter(|line| line.contains("SELECT")).collect();
        assert_eq!(
            asked.len(),
            1,
            "beside `ping`, whose table has no tenants, statements stand here: {asked:?}"
        );
        assert!(asked[0].contains("FROM sink_progress"), "{asked:?}");
    }
}
