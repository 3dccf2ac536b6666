//! The reading side: keyset pages over indexes, a pool of connections.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

use leadline_schemas::audit::Audit;
use leadline_schemas::avro::{self, AvroRecord};
use leadline_schemas::call::CallRecord;
use leadline_schemas::dead_letter::DeadLetter;
use leadline_schemas::delivery::Delivery;
use leadline_schemas::lead::{Lead, LeadEvent};
use leadline_schemas::request::Request;
use leadline_schemas::window::{WindowKind, WindowMetrics};
use leadline_schemas::{CommitNumber, Millis, Partition, TenantId};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::config::SqliteConfig;
use super::connection;
use super::cursor::Place;
use super::ddl::NO_TENANT;
use super::error::{failed, unreadable};
use super::rows::progress;
use super::sql;
use crate::contract::store::{AUDIT_LINES_MAX, Listed, Page, RecordReader, StoreError};

/// Lines of a lead's history at most.
const HISTORY_MAX: i64 = 1_000;

/// Reads beside the writer; each query takes a connection of the pool.
pub struct SqliteReader {
    pool: Mutex<Vec<Connection>>,
    freed: Condvar,
    config: SqliteConfig,
}

impl SqliteReader {
    /// Opens the pool on a file that a writer has made.
    pub fn open(config: SqliteConfig) -> Result<Self, StoreError> {
        let pool =
            (0..config.readers.max(1)).map(|_| connection::reader(&config)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { pool: Mutex::new(pool), freed: Condvar::new(), config })
    }

    fn with<T>(&self, ask: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let deadline = Instant::now() + self.config.wait;
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = loop {
            if let Some(connection) = pool.pop() {
                break connection;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(StoreError::Unavailable("all connections are busy".to_owned()));
            }
            pool = self.freed.wait_timeout(pool, left).unwrap_or_else(PoisonError::into_inner).0;
        };
        drop(pool);
        let result = ask(&connection);
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        self.freed.notify_one();
        result
    }

    /// A page of a list, newest first. Ties in time are told apart by the row's number, which never changes.
    fn list<R: AvroRecord>(
        &self,
        list: &sql::List,
        tenant: Option<&TenantId>,
        page: &Page,
    ) -> Result<Listed<R>, StoreError> {
        let name = tenant.map_or("", TenantId::as_str);
        let after = Place::of(list.name, name, page)?;
        self.with(|connection| {
            let number = match tenant {
                None => NO_TENANT,
                Some(tenant) => match tenant_number(connection, tenant)? {
                    Some(number) => number,
                    None => return Ok(Listed { items: Vec::new(), next_cursor: None }),
                },
            };
            let limit = page.limit.clamp(1, 200);
            let (sql, values) = sql::page(list, number, after, page, limit + 1);
            let mut statement = connection.prepare_cached(&sql).map_err(failed)?;
            let mut rows = statement.query(params_from_iter(values)).map_err(failed)?;
            let (mut items, mut last, mut more) = (Vec::with_capacity(limit), after, false);
            while let Some(row) = rows.next().map_err(failed)? {
                if items.len() == limit {
                    more = true;
                    break;
                }
                last = Place { time: row.get(0).map_err(failed)?, row: row.get(1).map_err(failed)? };
                items.push(record(row.get_ref(2).map_err(failed)?.as_blob().unwrap_or_default())?);
            }
            Ok(Listed { items, next_cursor: more.then(|| last.cursor(list.name, name, page)) })
        })
    }

    /// One record by its key.
    fn one<R: AvroRecord>(&self, tenant: &TenantId, sql: &str, key: Value) -> Result<Option<R>, StoreError> {
        self.with(|connection| {
            let Some(number) = tenant_number(connection, tenant)? else { return Ok(None) };
            let mut statement = connection.prepare_cached(sql).map_err(failed)?;
            let found: Option<Vec<u8>> =
                statement.query_row(params![number, key], |row| row.get(0)).optional().map_err(failed)?;
            found.map(|bytes| record(&bytes)).transpose()
        })
    }
}

fn tenant_number(connection: &Connection, tenant: &TenantId) -> Result<Option<i64>, StoreError> {
    let mut statement = connection.prepare_cached(sql::TENANT).map_err(failed)?;
    statement.query_row(params![tenant.as_str()], |row| row.get(0)).optional().map_err(failed)
}

fn record<R: AvroRecord>(bytes: &[u8]) -> Result<R, StoreError> {
    avro::decode(bytes).map_err(unreadable)
}

/// The bytes of an id; what is no id is found nowhere.
fn id_bytes(id: &str) -> Value {
    uuid::Uuid::parse_str(id).map_or(Value::Null, |id| Value::Blob(id.as_bytes().to_vec()))
}

impl RecordReader for SqliteReader {
    fn requests(&self, tenant: &TenantId, page: &Page) -> Result<Listed<Request>, StoreError> {
        self.list(&sql::REQUESTS, Some(tenant), page)
    }

    fn request(&self, tenant: &TenantId, request_id: &str) -> Result<Option<Request>, StoreError> {
        self.one(tenant, sql::REQUEST, id_bytes(request_id))
    }

    fn calls(&self, tenant: &TenantId, page: &Page) -> Result<Listed<CallRecord>, StoreError> {
        self.list(&sql::CALLS, Some(tenant), page)
    }

    fn call(&self, tenant: &TenantId, call_id: &str) -> Result<Option<CallRecord>, StoreError> {
        self.one(tenant, sql::CALL, Value::Text(call_id.to_owned()))
    }

    fn leads(&self, tenant: &TenantId, page: &Page) -> Result<Listed<Lead>, StoreError> {
        self.list(&sql::LEADS, Some(tenant), page)
    }

    fn lead(&self, tenant: &TenantId, lead_id: &str) -> Result<Option<Lead>, StoreError> {
        self.one(tenant, sql::LEAD, id_bytes(lead_id))
    }

    fn lead_events(&self, tenant: &TenantId, lead_id: &str) -> Result<Vec<LeadEvent>, StoreError> {
        self.with(|connection| {
            let Some(number) = tenant_number(connection, tenant)? else { return Ok(Vec::new()) };
            let mut statement = connection.prepare_cached(sql::LEAD_EVENTS).map_err(failed)?;
            let found =
                statement.query_map(params![number, id_bytes(lead_id), HISTORY_MAX], |row| row.get(0));
            let found: Vec<Vec<u8>> = found.map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
            found.iter().map(|bytes| record(bytes)).collect()
        })
    }

    fn deliveries(&self, tenant: &TenantId, page: &Page) -> Result<Listed<Delivery>, StoreError> {
        self.list(&sql::DELIVERIES, Some(tenant), page)
    }

    fn delivery(
        &self,
        tenant: &TenantId,
        integration: &str,
        subject: &str,
    ) -> Result<Option<Delivery>, StoreError> {
        self.with(|connection| {
            let Some(number) = tenant_number(connection, tenant)? else { return Ok(None) };
            let mut statement = connection.prepare_cached(sql::DELIVERY).map_err(failed)?;
            let mut rows = statement.query(params![number, integration, subject]).map_err(failed)?;
            let Some(row) = rows.next().map_err(failed)? else { return Ok(None) };
            record(row.get_ref(0).map_err(failed)?.as_blob().unwrap_or_default()).map(Some)
        })
    }

    fn windows(
        &self,
        tenant: &TenantId,
        kind: WindowKind,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<WindowMetrics>, StoreError> {
        self.with(|connection| {
            let Some(number) = tenant_number(connection, tenant)? else { return Ok(Vec::new()) };
            let mut statement = connection.prepare_cached(sql::WINDOWS).map_err(failed)?;
            let found = statement.query_map(params![number, kind.name(), from.0, to.0], |row| row.get(0));
            let found: Vec<Vec<u8>> = found.map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
            found.iter().map(|bytes| record(bytes)).collect()
        })
    }

    fn audit(
        &self,
        tenant: &TenantId,
        kind: Option<&str>,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<Audit>, StoreError> {
        self.with(|connection| {
            let Some(number) = tenant_number(connection, tenant)? else { return Ok(Vec::new()) };
            let mut statement = connection.prepare_cached(sql::AUDIT).map_err(failed)?;
            let mut rows = statement.query(params![number, from.0, to.0]).map_err(failed)?;
            let mut found: Vec<Audit> = Vec::new();
            while let Some(row) = rows.next().map_err(failed)? {
                let line: Audit = record(row.get_ref(0).map_err(failed)?.as_blob().unwrap_or_default())?;
                if kind.is_none_or(|kind| line.kind == kind) {
                    found.push(line);
                }
                if found.len() == AUDIT_LINES_MAX {
                    break;
                }
            }
            Ok(found)
        })
    }

    fn dead_letters(&self, tenant: Option<&TenantId>, page: &Page) -> Result<Listed<DeadLetter>, StoreError> {
        self.list(&sql::DEAD_LETTERS, tenant, page)
    }

    fn stored_up_to(&self, generation: u32, partition: Partition) -> Result<CommitNumber, StoreError> {
        self.with(|connection| progress(connection, generation, partition))
    }

    fn ping(&self) -> Result<(), StoreError> {
        self.with(|connection| {
            connection
                .query_row("SELECT count(*) FROM sink_progress", [], |row| row.get::<_, i64>(0))
                .map_err(failed)?;
            Ok(())
        })
    }
}
