//! Records as rows: the statements that write.

use std::collections::HashMap;

use leadline_schemas::columns::{
    AnyColumns, AuditColumns, CallColumns, DeadLetterColumns, DeliveryColumns, LeadColumns, LeadEventColumns,
    RequestColumns, WindowColumns,
};
use leadline_schemas::frame::Output;
use leadline_schemas::{CommitNumber, EventId, Millis, Partition, Topic};
use rusqlite::{Connection, OptionalExtension, params};

use super::ddl::NO_TENANT;
use super::error::{failed, unreadable};
use crate::contract::store::{Batch, StoreError};

/// The last commit of a partition whose rows are there; 0 = none.
pub(super) fn progress(
    connection: &Connection,
    generation: u32,
    partition: Partition,
) -> Result<CommitNumber, StoreError> {
    let sql = "SELECT number FROM sink_progress WHERE generation = ?1 AND partition = ?2";
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let number: Option<i64> =
        statement.query_row(params![generation, partition.0], |row| row.get(0)).optional().map_err(failed)?;
    Ok(CommitNumber(u64::try_from(number.unwrap_or(0)).unwrap_or(0)))
}

/// The outputs behind `done`, of each key only the last: the others would be overwritten in the same transaction.
fn newest_of_each_key(batch: &Batch, done: CommitNumber) -> Vec<&Output> {
    let mut last: HashMap<(Topic, &[u8]), usize> = HashMap::new();
    let outputs: Vec<&Output> = batch
        .commits
        .iter()
        .filter(|(number, _)| *number > done)
        .flat_map(|(_, outputs)| outputs.iter())
        .collect();
    for (index, output) in outputs.iter().enumerate() {
        last.insert((output.topic, &output.key), index);
    }
    let keep = |(index, output): &(usize, &Output)| last.get(&(output.topic, &*output.key)) == Some(index);
    outputs.iter().copied().enumerate().filter(keep).map(|(_, output)| output).collect()
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Writes records within one transaction.
pub(super) struct Rows<'a> {
    connection: &'a Connection,
    /// Numbers of tenants that are committed.
    known: &'a HashMap<String, i64>,
    /// Those that this transaction has added.
    pub(super) fresh: HashMap<String, i64>,
    /// The newest time seen in a record.
    pub(super) newest: Millis,
}

impl<'a> Rows<'a> {
    /// Begins with what was known before the transaction.
    pub(super) fn new(connection: &'a Connection, known: &'a HashMap<String, i64>, newest: Millis) -> Self {
        Self { connection, known, fresh: HashMap::new(), newest }
    }

    /// Writes what a batch has behind its partition's progress, and moves that. Progress below its `from` is refused.
    pub(super) fn batch(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let done = progress(self.connection, batch.generation, batch.partition)?;
        if done < batch.from {
            let (partition, from) = (batch.partition, batch.from);
            return Err(StoreError::Behind { partition, progress: done, from });
        }
        for output in newest_of_each_key(batch, done) {
            self.write(output)?;
        }
        if batch.to <= done {
            return Ok(());
        }
        let sql = "INSERT INTO sink_progress (generation, partition, number) VALUES (?1, ?2, ?3)
            ON CONFLICT (generation, partition) DO UPDATE SET number = excluded.number";
        self.execute(sql, params![batch.generation, batch.partition.0, signed(batch.to.0)])
    }

    fn write(&mut self, output: &Output) -> Result<(), StoreError> {
        let bytes = &output.value;
        if bytes.is_empty() {
            return self.delete(output);
        }
        match AnyColumns::of(output.topic, bytes).map_err(unreadable)? {
            Some(AnyColumns::Request(request)) => self.request(&request, bytes),
            Some(AnyColumns::Call(call)) => self.call(&call, bytes),
            Some(AnyColumns::Lead(lead)) => self.lead(&lead, bytes),
            Some(AnyColumns::LeadEvent(line)) => self.lead_event(&line, bytes, &output.key),
            Some(AnyColumns::Delivery(line)) => self.delivery(&line, bytes),
            Some(AnyColumns::Window(row)) => self.window(&row, bytes),
            Some(AnyColumns::Audit(line)) => self.audit(&line, bytes),
            Some(AnyColumns::DeadLetter(letter)) => self.dead_letter(&letter, bytes),
            None => Ok(()),
        }
    }

    /// A tombstone: dead letters end when they were replayed.
    fn delete(&self, output: &Output) -> Result<(), StoreError> {
        let id = std::str::from_utf8(&output.key).ok().and_then(|id| uuid::Uuid::parse_str(id).ok());
        if let (Topic::DeadLetters, Some(id)) = (output.topic, id) {
            self.execute("DELETE FROM dead_letters WHERE id = ?1", params![&id.as_bytes()[..]])?;
        }
        Ok(())
    }

    fn execute(&self, sql: &str, values: impl rusqlite::Params) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(values))
            .map_err(failed)?;
        Ok(())
    }

    /// The tenant's number; a new tenant gets the next.
    fn tenant(&mut self, tenant: &str) -> Result<i64, StoreError> {
        if let Some(number) = self.known.get(tenant).or_else(|| self.fresh.get(tenant)) {
            return Ok(*number);
        }
        self.execute("INSERT OR IGNORE INTO tenants (tenant) VALUES (?1)", params![tenant])?;
        let mut statement =
            self.connection.prepare_cached("SELECT number FROM tenants WHERE tenant = ?1").map_err(failed)?;
        let number: i64 = statement.query_row(params![tenant], |row| row.get(0)).map_err(failed)?;
        self.fresh.insert(tenant.to_owned(), number);
        Ok(number)
    }

    fn request(&mut self, request: &RequestColumns, bytes: &[u8]) -> Result<(), StoreError> {
        let tenant = self.tenant(request.tenant.as_str())?;
        self.newest = self.newest.max(request.updated_at);
        let sql = "INSERT INTO requests (tenant, request_id, received_at, status, record) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT (tenant, request_id) DO UPDATE SET status = excluded.status, record = excluded.record";
        let id = &request.request_id.as_bytes()[..];
        self.execute(sql, params![tenant, id, request.received_at.0, request.status.name(), bytes])
    }

    fn call(&mut self, call: &CallColumns, bytes: &[u8]) -> Result<(), StoreError> {
        let tenant = self.tenant(call.tenant.as_str())?;
        let sql = "INSERT INTO call_records (tenant, call_id, started_at, band, record) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT (tenant, call_id) DO UPDATE SET started_at = excluded.started_at, band = excluded.band,
                record = excluded.record";
        self.execute(sql, params![tenant, call.call_id, call.started_at.0, call.band(), bytes])?;
        for alias in &call.aliases {
            let sql = "INSERT INTO call_aliases (tenant, alias, call_id) VALUES (?1, ?2, ?3)
                ON CONFLICT (tenant, alias) DO UPDATE SET call_id = excluded.call_id";
            self.execute(sql, params![tenant, alias, call.call_id])?;
        }
        Ok(())
    }

    fn lead(&mut self, lead: &LeadColumns, bytes: &[u8]) -> Result<(), StoreError> {
        let tenant = self.tenant(lead.tenant.as_str())?;
        let sql = "INSERT INTO leads (tenant, lead_id, last_contact_at, band, status, record)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)
            ON CONFLICT (tenant, lead_id) DO UPDATE SET last_contact_at = excluded.last_contact_at,
                band = excluded.band, status = excluded.status, record = excluded.record";
        let id = &lead.lead_id.as_bytes()[..];
        self.execute(sql, params![tenant, id, lead.last_contact_at.0, lead.band, lead.status, bytes])
    }

    fn lead_event(&mut self, line: &LeadEventColumns, bytes: &[u8], key: &[u8]) -> Result<(), StoreError> {
        let tenant = self.tenant(line.tenant.as_str())?;
        let sql = "INSERT OR REPLACE INTO lead_events (tenant, lead_id, revision, at, key, record)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let id = &line.lead_id.as_bytes()[..];
        self.execute(
            sql,
            params![tenant, id, line.revision, line.at.0, EventId::of(&[key]).as_bytes(), bytes],
        )
    }

    fn delivery(&mut self, line: &DeliveryColumns, bytes: &[u8]) -> Result<(), StoreError> {
        let tenant = self.tenant(line.tenant.as_str())?;
        let sql = "INSERT INTO deliveries (tenant, integration, subject, queued_at, status, record)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)
            ON CONFLICT (tenant, integration, subject) DO UPDATE SET status = excluded.status,
                record = excluded.record";
        let values =
            params![tenant, line.integration, line.subject, line.queued_at.0, line.status.name(), bytes];
        self.execute(sql, values)
    }

    fn window(&mut self, row: &WindowColumns, bytes: &[u8]) -> Result<(), StoreError> {
        let tenant = self.tenant(row.tenant.as_str())?;
        let sql = "INSERT OR REPLACE INTO window_metrics (tenant, window, start, slot, record)
            VALUES (?1, ?2, ?3, ?4, ?5)";
        self.execute(sql, params![tenant, row.window.name(), row.start.0, row.slot, bytes])
    }

    fn audit(&mut self, line: &AuditColumns, bytes: &[u8]) -> Result<(), StoreError> {
        let tenant = self.tenant(line.tenant.as_str())?;
        let sql = "INSERT OR REPLACE INTO audit_log (tenant, at, id, record) VALUES (?1, ?2, ?3, ?4)";
        self.execute(sql, params![tenant, line.at.0, line.id.as_bytes(), bytes])
    }

    fn dead_letter(&mut self, letter: &DeadLetterColumns, bytes: &[u8]) -> Result<(), StoreError> {
        let tenant = match &letter.tenant {
            Some(tenant) => self.tenant(tenant.as_str())?,
            None => NO_TENANT,
        };
        let sql =
            "INSERT INTO dead_letters (tenant, id, failed_at, status, record) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT (tenant, id) DO UPDATE SET failed_at = excluded.failed_at, status = excluded.status,
                record = excluded.record";
        let id = &letter.id.as_bytes()[..];
        self.execute(sql, params![tenant, id, letter.failed_at.0, letter.status, bytes])
    }
}
