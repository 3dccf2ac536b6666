//! The rows, and how a transaction changes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use leadline_schemas::audit::Audit;
use leadline_schemas::avro::{self, AvroError, AvroRecord};
use leadline_schemas::call::CallRecord;
use leadline_schemas::dead_letter::DeadLetter;
use leadline_schemas::delivery::Delivery;
use leadline_schemas::frame::Output;
use leadline_schemas::lead::{Lead, LeadEvent};
use leadline_schemas::request::Request;
use leadline_schemas::window::{WindowKind, WindowMetrics};
use leadline_schemas::{CommitNumber, EventId, LeadId, Millis, Partition, TenantId, Topic};

use crate::contract::store::{Batch, StoreError};

/// What a list needs to know of its records.
pub(super) trait Line {
    /// None only for dead letters of nobody.
    fn tenant(&self) -> Option<&TenantId>;
    /// Unique within the tenant.
    fn key(&self) -> Vec<u8>;
    /// What the list is sorted by.
    fn time(&self) -> Millis;
    fn band(&self) -> Option<&str> {
        None
    }
    fn status(&self) -> Option<&str> {
        None
    }
}

impl Line for Request {
    fn tenant(&self) -> Option<&TenantId> {
        Some(&self.tenant)
    }
    fn key(&self) -> Vec<u8> {
        self.request_id.as_bytes().to_vec()
    }
    fn time(&self) -> Millis {
        self.received_at
    }
    fn status(&self) -> Option<&str> {
        Some(self.status.name())
    }
}

impl Line for CallRecord {
    fn tenant(&self) -> Option<&TenantId> {
        Some(&self.tenant)
    }
    fn key(&self) -> Vec<u8> {
        self.call_id.as_bytes().to_vec()
    }
    fn time(&self) -> Millis {
        self.started_at
    }
    fn band(&self) -> Option<&str> {
        self.score.as_ref().map(|score| score.band.as_str())
    }
}

impl Line for Lead {
    fn tenant(&self) -> Option<&TenantId> {
        Some(&self.tenant)
    }
    fn key(&self) -> Vec<u8> {
        self.lead_id.as_bytes().to_vec()
    }
    fn time(&self) -> Millis {
        self.last_contact_at
    }
    fn band(&self) -> Option<&str> {
        Some(&self.band)
    }
    fn status(&self) -> Option<&str> {
        Some(&self.status)
    }
}

impl Line for Delivery {
    fn tenant(&self) -> Option<&TenantId> {
        Some(&self.tenant)
    }
    fn key(&self) -> Vec<u8> {
        [self.integration.as_bytes(), self.subject.as_bytes()].join(&0)
    }
    fn time(&self) -> Millis {
        self.queued_at
    }
    fn status(&self) -> Option<&str> {
        Some(self.status.name())
    }
}

impl Line for DeadLetter {
    fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }
    fn key(&self) -> Vec<u8> {
        self.id.as_bytes().to_vec()
    }
    fn time(&self) -> Millis {
        self.failed_at
    }
    fn status(&self) -> Option<&str> {
        Some(&self.status)
    }
}

/// A tenant's key within a table.
type RowKey = (Option<TenantId>, Vec<u8>);

/// A listed table. Rows keep the number that they got when they came, so that pages are stable.
#[derive(Clone)]
pub(super) struct Table<R> {
    rows: BTreeMap<RowKey, (i64, Arc<R>)>,
    newest: i64,
}

impl<R> Default for Table<R> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), newest: 0 }
    }
}

impl<R: Line> Table<R> {
    fn put(&mut self, record: R) {
        let key = (record.tenant().cloned(), record.key());
        let record = Arc::new(record);
        if let Some((_, known)) = self.rows.get_mut(&key) {
            *known = record;
            return;
        }
        self.newest = self.newest.saturating_add(1);
        self.rows.insert(key, (self.newest, record));
    }

    pub(super) fn get(&self, tenant: &TenantId, key: &[u8]) -> Option<&R> {
        self.rows.get(&(Some(tenant.clone()), key.to_vec())).map(|(_, record)| &**record)
    }

    /// The tenant's rows with their numbers, in no order that means anything.
    pub(super) fn of(&self, tenant: Option<&TenantId>) -> impl Iterator<Item = (i64, &R)> {
        let from = (tenant.cloned(), Vec::new());
        let rows = self.rows.range(from..).take_while(move |((owner, _), _)| owner.as_ref() == tenant);
        rows.map(|(_, (number, record))| (*number, &**record))
    }

    fn all(&self) -> Vec<R>
    where
        R: Clone,
    {
        self.rows.values().map(|(_, record)| R::clone(record)).collect()
    }
}

/// A line's place in the history of its lead.
type HistoryKey = (TenantId, LeadId, i64, Millis, EventId);
/// A window's place.
type WindowKey = (TenantId, WindowKind, Millis, i32);

/// All tables and the progress of each partition.
#[derive(Clone, Default)]
pub(super) struct Tables {
    pub(super) requests: Table<Request>,
    pub(super) calls: Table<CallRecord>,
    pub(super) aliases: BTreeMap<(TenantId, String), String>,
    pub(super) leads: Table<Lead>,
    pub(super) lead_events: BTreeMap<HistoryKey, Arc<LeadEvent>>,
    pub(super) windows: BTreeMap<WindowKey, Arc<WindowMetrics>>,
    pub(super) deliveries: Table<Delivery>,
    pub(super) dead_letters: Table<DeadLetter>,
    pub(super) audits: BTreeMap<(TenantId, Millis, EventId), Arc<Audit>>,
    progress: BTreeMap<(u32, Partition), CommitNumber>,
}

/// Every row of a store, each table in the order of its keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    /// `requests`.
    pub requests: Vec<Request>,
    /// Calls, texts and forms.
    pub calls: Vec<CallRecord>,
    /// Leads.
    pub leads: Vec<Lead>,
    /// Histories of leads.
    pub lead_events: Vec<LeadEvent>,
    /// Windows.
    pub windows: Vec<WindowMetrics>,
    /// The ledger.
    pub deliveries: Vec<Delivery>,
    /// Dead letters.
    pub dead_letters: Vec<DeadLetter>,
    /// The audit log.
    pub audits: Vec<Audit>,
    /// The last commit of each generation and partition.
    pub progress: BTreeMap<(u32, Partition), CommitNumber>,
}

/// A row to write, already read.
enum RowChange {
    Request(Request),
    Call(Box<CallRecord>),
    Lead(Box<Lead>),
    /// With the output's key.
    LeadEvent(LeadEvent, Bytes),
    Window(WindowMetrics),
    Delivery(Delivery),
    Audit(Audit),
    DeadLetter(DeadLetter),
    DeadLetterEnded(EventId),
}

/// What a transaction does; made before anything changes, so that it changes all or nothing.
pub(super) struct Change {
    rows: Vec<RowChange>,
    progress: BTreeMap<(u32, Partition), CommitNumber>,
}

impl Tables {
    pub(super) fn progress(&self, generation: u32, partition: Partition) -> CommitNumber {
        self.progress.get(&(generation, partition)).copied().unwrap_or_default()
    }

    /// What `batches` change here.
    pub(super) fn change(&self, batches: &[Batch]) -> Result<Change, StoreError> {
        let mut change = Change { rows: Vec::new(), progress: BTreeMap::new() };
        for batch in batches {
            let place = (batch.generation, batch.partition);
            let done = change.progress.get(&place).copied();
            let done = done.unwrap_or_else(|| self.progress(batch.generation, batch.partition));
            if done < batch.from {
                let (partition, progress, from) = (batch.partition, done, batch.from);
                return Err(StoreError::Behind { partition, progress, from });
            }
            for (_, outputs) in batch.commits.iter().filter(|(number, _)| *number > done) {
                for output in outputs.iter() {
                    change.rows.extend(row_change(output)?);
                }
            }
            change.progress.insert(place, done.max(batch.to));
        }
        Ok(change)
    }

    /// Makes a change.
    pub(super) fn take(&mut self, change: Change) {
        for row in change.rows {
            self.take_row(row);
        }
        self.progress.extend(change.progress);
    }

    fn take_row(&mut self, row: RowChange) {
        match row {
            RowChange::Request(request) => self.requests.put(request),
            RowChange::Call(call) => {
                for alias in &call.aliases {
                    self.aliases.insert((call.tenant.clone(), alias.clone()), call.call_id.clone());
                }
                self.calls.put(*call);
            }
            RowChange::Lead(lead) => self.leads.put(*lead),
            RowChange::LeadEvent(line, key) => {
                let key = (line.tenant.clone(), line.lead_id, line.revision, line.at, EventId::of(&[&key]));
                self.lead_events.insert(key, Arc::new(line));
            }
            RowChange::Window(row) => {
                let key = (row.tenant.clone(), row.window, row.start, row.slot);
                self.windows.insert(key, Arc::new(row));
            }
            RowChange::Delivery(line) => self.deliveries.put(line),
            RowChange::Audit(line) => {
                let key = (line.tenant.clone(), line.at, line.id);
                self.audits.insert(key, Arc::new(line));
            }
            RowChange::DeadLetter(letter) => self.dead_letters.put(letter),
            RowChange::DeadLetterEnded(id) => {
                self.dead_letters.rows.retain(|(_, key), _| key != id.as_bytes())
            }
        }
    }

    pub(super) fn contents(&self) -> Contents {
        Contents {
            requests: self.requests.all(),
            calls: self.calls.all(),
            leads: self.leads.all(),
            lead_events: self.lead_events.values().map(|line| LeadEvent::clone(line)).collect(),
            windows: self.windows.values().map(|row| WindowMetrics::clone(row)).collect(),
            deliveries: self.deliveries.all(),
            dead_letters: self.dead_letters.all(),
            audits: self.audits.values().map(|line| Audit::clone(line)).collect(),
            progress: self.progress.clone(),
        }
    }
}

/// The change that an output asks for; none for topics that are not stored.
fn row_change(output: &Output) -> Result<Option<RowChange>, StoreError> {
    if output.value.is_empty() {
        // A tombstone: only dead letters end, when they were replayed.
        let id = std::str::from_utf8(&output.key).ok().and_then(|id| uuid::Uuid::parse_str(id).ok());
        let ended = id.filter(|_| output.topic == Topic::DeadLetters);
        return Ok(ended.map(|id| RowChange::DeadLetterEnded(EventId(id))));
    }
    Ok(Some(match output.topic {
        Topic::Requests => RowChange::Request(read(&output.value)?),
        Topic::Calls => RowChange::Call(Box::new(read(&output.value)?)),
        Topic::Leads => RowChange::Lead(Box::new(read(&output.value)?)),
        Topic::LeadEvents => RowChange::LeadEvent(read(&output.value)?, output.key.clone()),
        Topic::Deliveries => RowChange::Delivery(read(&output.value)?),
        Topic::Metrics => RowChange::Window(read(&output.value)?),
        Topic::Audit => RowChange::Audit(read(&output.value)?),
        Topic::DeadLetters => RowChange::DeadLetter(read(&output.value)?),
        _ => return Ok(None),
    }))
}

fn read<R: AvroRecord>(bytes: &[u8]) -> Result<R, StoreError> {
    avro::decode(bytes).map_err(|error| match error {
        AvroError::Malformed { .. } => StoreError::Damaged(error.to_string()),
        _ => StoreError::Unavailable(error.to_string()),
    })
}
