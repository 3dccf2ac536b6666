//! What an output of the dataflow is in the tables.

use std::collections::HashMap;

use google_cloud_spanner::builder::WriteBuilder;
use google_cloud_spanner::mutation::Mutation;
use google_cloud_spanner::value::Value;
use leadline_schemas::columns::{
    AnyColumns, AuditColumns, CallColumns, DeadLetterColumns, DeliveryColumns, LeadColumns, LeadEventColumns,
    RequestColumns, WindowColumns,
};
use leadline_schemas::frame::Output;
use leadline_schemas::{EventId, Millis, Topic};

use super::error::unreadable;
use super::values::{key_text, timestamp};
use crate::contract::store::StoreError;

/// Whose dead letters belong to nobody; no tenant's id is empty.
pub(super) const NOBODY: &str = "";

/// A row to write, and what it costs.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) mutation: Mutation,
    /// Mutations as [`super::limits::MUTATIONS_MAX`] counts them.
    pub(super) cells: usize,
    /// Bytes of its record.
    pub(super) bytes: usize,
}

/// What an output does.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// Rows of one tenant; several, where a call has aliases.
    Put { tenant: String, rows: Vec<Row> },
    /// A dead letter that was replayed ends, whosever it is.
    End { letter_id: String },
}

impl Change {
    pub(super) fn cells(&self) -> usize {
        match self {
            Self::Put { rows, .. } => rows.iter().map(|row| row.cells).sum(),
            // A row deleted, and its entry in each of the three indexes.
            Self::End { .. } => 4,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Put { rows, .. } => rows.iter().map(|row| row.bytes).sum(),
            Self::End { .. } => 0,
        }
    }

    pub(super) fn rows(&self) -> usize {
        match self {
            Self::Put { rows, .. } => rows.len(),
            Self::End { .. } => 1,
        }
    }
}

/// A row being put together.
pub(super) struct Put {
    builder: WriteBuilder,
    cells: usize,
    bytes: usize,
}

impl Put {
    /// `index_cells`: what the table's indexes cost.
    pub(super) fn into(table: &str, index_cells: usize) -> Self {
        Self { builder: Mutation::new_insert_or_update_builder(table), cells: index_cells, bytes: 0 }
    }

    pub(super) fn set(mut self, column: &str, value: impl Into<Value>) -> Self {
        self.builder = self.builder.set(column).to(value);
        self.cells += 1;
        self
    }

    fn key(self, column: &str, text: &str) -> Self {
        self.set(column, key_text(text).into_owned())
    }

    fn time(self, column: &str, at: Millis) -> Self {
        self.set(column, timestamp(at))
    }

    fn record(mut self, bytes: &[u8]) -> Row {
        self.bytes = bytes.len();
        self.set("record", bytes).row()
    }

    pub(super) fn row(self) -> Row {
        Row { mutation: self.builder.build(), cells: self.cells, bytes: self.bytes }
    }
}

/// Reads outputs; knows what the indexes of each table cost.
pub(super) struct Reading<'a> {
    pub(super) costs: &'a HashMap<&'static str, usize>,
}

impl Reading<'_> {
    /// What an output changes; none for topics that are not stored.
    pub(super) fn change(&self, output: &Output) -> Result<Option<Change>, StoreError> {
        let bytes = &output.value;
        if bytes.is_empty() {
            // A tombstone: dead letters end when they were replayed.
            let id = std::str::from_utf8(&output.key).ok().and_then(|id| uuid::Uuid::parse_str(id).ok());
            let id = id.filter(|_| output.topic == Topic::DeadLetters);
            return Ok(id.map(|id| Change::End { letter_id: id.to_string() }));
        }
        let (tenant, rows) = match AnyColumns::of(output.topic, bytes).map_err(unreadable)? {
            Some(AnyColumns::Request(request)) => self.request(&request, bytes),
            Some(AnyColumns::Call(call)) => self.call(&call, bytes),
            Some(AnyColumns::Lead(lead)) => self.lead(&lead, bytes),
            Some(AnyColumns::LeadEvent(line)) => self.lead_event(&line, bytes, &output.key),
            Some(AnyColumns::Delivery(line)) => self.delivery(&line, bytes),
            Some(AnyColumns::Window(window)) => self.window(&window, bytes),
            Some(AnyColumns::Audit(line)) => self.audit(&line, bytes),
            Some(AnyColumns::DeadLetter(letter)) => self.dead_letter(&letter, bytes),
            None => return Ok(None),
        };
        Ok(Some(Change::Put { tenant, rows }))
    }

    fn put(&self, table: &str, tenant: &str) -> Put {
        Put::into(table, self.costs.get(table).copied().unwrap_or(0)).set("tenant_id", tenant)
    }

    fn request(&self, request: &RequestColumns, bytes: &[u8]) -> (String, Vec<Row>) {
        let tenant = request.tenant.as_str();
        let row = self
            .put("requests", tenant)
            .set("request_id", request.request_id.to_string())
            .time("received_at", request.received_at)
            .set("status", request.status.name())
            .record(bytes);
        (tenant.to_owned(), vec![row])
    }

    fn call(&self, call: &CallColumns, bytes: &[u8]) -> (String, Vec<Row>) {
        let tenant = call.tenant.as_str();
        let band = call.band().map(|band| key_text(band).into_owned());
        let row = self
            .put("call_records", tenant)
            .key("call_id", &call.call_id)
            .time("started_at", call.started_at)
            .set("band", band)
            .record(bytes);
        let alias = |alias: &String| {
            self.put("call_aliases", tenant).key("alias", alias).key("call_id", &call.call_id).row()
        };
        (tenant.to_owned(), std::iter::once(row).chain(call.aliases.iter().map(alias)).collect())
    }

    fn lead(&self, lead: &LeadColumns, bytes: &[u8]) -> (String, Vec<Row>) {
        let tenant = lead.tenant.as_str();
        let row = self
            .put("leads", tenant)
            .set("lead_id", lead.lead_id.to_string())
            .time("last_contact_at", lead.last_contact_at)
            .key("band", &lead.band)
            .key("status", &lead.status)
            .record(bytes);
        (tenant.to_owned(), vec![row])
    }

    fn lead_event(&self, line: &LeadEventColumns, bytes: &[u8], key: &[u8]) -> (String, Vec<Row>) {
        let tenant = line.tenant.as_str();
        let row = self
            .put("lead_events", tenant)
            .set("lead_id", line.lead_id.to_string())
            .set("revision", line.revision)
            .time("happened_at", line.at)
            .set("event_key", EventId::of(&[key]).to_string())
            .record(bytes);
        (tenant.to_owned(), vec![row])
    }

    fn delivery(&self, line: &DeliveryColumns, bytes: &[u8]) -> (String, Vec<Row>) {
        let tenant = line.tenant.as_str();
        let row = self
            .put("deliveries", tenant)
            .key("integration", &line.integration)
            .key("subject", &line.subject)
            .time("queued_at", line.queued_at)
            .set("status", line.status.name())
            .record(bytes);
        (tenant.to_owned(), vec![row])
    }

    fn window(&self, window: &WindowColumns, bytes: &[u8]) -> (String, Vec<Row>) {
        let tenant = window.tenant.as_str();
        let row = self
            .put("window_metrics", tenant)
            .set("window_kind", window.window.name())
            .time("starts_at", window.start)
            .set("slot", i64::from(window.slot))
            .record(bytes);
        (tenant.to_owned(), vec![row])
    }

    fn audit(&self, line: &AuditColumns, bytes: &[u8]) -> (String, Vec<Row>) {
        let tenant = line.tenant.as_str();
        let row = self
            .put("audit_log", tenant)
            .time("happened_at", line.at)
            .set("audit_id", line.id.to_string())
            .key("kind", &line.kind)
            .record(bytes);
        (tenant.to_owned(), vec![row])
    }

    fn dead_letter(&self, letter: &DeadLetterColumns, bytes: &[u8]) -> (String, Vec<Row>) {
        let tenant = letter.tenant.as_ref().map_or(NOBODY, |tenant| tenant.as_str());
        let row = self
            .put("dead_letters", tenant)
            .set("letter_id", letter.id.to_string())
            .time("failed_at", letter.failed_at)
            .key("status", &letter.status)
            .record(bytes);
        (tenant.to_owned(), vec![row])
    }
}
