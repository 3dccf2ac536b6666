//! The reading side. Lists are sorted when they are asked for: the store is small, and nobody measures it.

use leadline_schemas::audit::Audit;
use leadline_schemas::call::CallRecord;
use leadline_schemas::dead_letter::DeadLetter;
use leadline_schemas::delivery::Delivery;
use leadline_schemas::lead::{Lead, LeadEvent};
use leadline_schemas::request::Request;
use leadline_schemas::window::{WindowKind, WindowMetrics};
use leadline_schemas::{CommitNumber, LeadId, Millis, Partition, TenantId};

use super::MemoryStore;
use super::tables::{Line, Table};
use crate::contract::store::{AUDIT_LINES_MAX, Listed, Page, RecordReader, StoreError};
use crate::store_sqlite::cursor::Place;

/// Lines of a lead's history at most.
const HISTORY_MAX: usize = 1_000;

/// A page of a list, newest first. A filter that the list has no column for is left out, as SQLite does.
fn list<R: Line + Clone>(
    table: &Table<R>,
    (name, banded, with_status): (&str, bool, bool),
    tenant: Option<&TenantId>,
    page: &Page,
) -> Result<Listed<R>, StoreError> {
    let tenant_name = tenant.map_or("", TenantId::as_str);
    let after = Place::of(name, tenant_name, page)?;
    let wanted = |number: i64, record: &R| {
        let time = record.time();
        (time.0, number) < (after.time, after.row)
            && page.from.is_none_or(|from| time >= from)
            && page.to.is_none_or(|to| time < to)
            && (!banded || page.band.is_none() || record.band() == page.band.as_deref())
            && (!with_status || page.status.is_none() || record.status() == page.status.as_deref())
    };
    let mut rows: Vec<(i64, &R)> =
        table.of(tenant).filter(|(number, record)| wanted(*number, record)).collect();
    rows.sort_by_key(|(number, record)| std::cmp::Reverse((record.time(), *number)));
    let limit = page.limit.clamp(1, 200);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let last = rows.last().filter(|_| more).map(|(row, record)| Place { time: record.time().0, row: *row });
    Ok(Listed {
        items: rows.into_iter().map(|(_, record)| record.clone()).collect(),
        next_cursor: last.map(|last| last.cursor(name, tenant_name, page)),
    })
}

/// The bytes of an id; what is no id is found nowhere.
fn id_bytes(id: &str) -> Option<[u8; 16]> {
    uuid::Uuid::parse_str(id).ok().map(uuid::Uuid::into_bytes)
}

impl RecordReader for MemoryStore {
    fn requests(&self, tenant: &TenantId, page: &Page) -> Result<Listed<Request>, StoreError> {
        list(&self.live()?.current.requests, ("requests", false, true), Some(tenant), page)
    }

    fn request(&self, tenant: &TenantId, request_id: &str) -> Result<Option<Request>, StoreError> {
        let store = self.live()?;
        Ok(id_bytes(request_id).and_then(|id| store.current.requests.get(tenant, &id)).cloned())
    }

    fn calls(&self, tenant: &TenantId, page: &Page) -> Result<Listed<CallRecord>, StoreError> {
        list(&self.live()?.current.calls, ("calls", true, false), Some(tenant), page)
    }

    fn call(&self, tenant: &TenantId, call_id: &str) -> Result<Option<CallRecord>, StoreError> {
        let store = self.live()?;
        let alias = store.current.aliases.get(&(tenant.clone(), call_id.to_owned()));
        let call_id = alias.map_or(call_id, String::as_str);
        Ok(store.current.calls.get(tenant, call_id.as_bytes()).cloned())
    }

    fn leads(&self, tenant: &TenantId, page: &Page) -> Result<Listed<Lead>, StoreError> {
        list(&self.live()?.current.leads, ("leads", true, true), Some(tenant), page)
    }

    fn lead(&self, tenant: &TenantId, lead_id: &str) -> Result<Option<Lead>, StoreError> {
        let store = self.live()?;
        Ok(id_bytes(lead_id).and_then(|id| store.current.leads.get(tenant, &id)).cloned())
    }

    fn lead_events(&self, tenant: &TenantId, lead_id: &str) -> Result<Vec<LeadEvent>, StoreError> {
        let store = self.live()?;
        let Ok(id) = uuid::Uuid::parse_str(lead_id).map(LeadId) else { return Ok(Vec::new()) };
        let lines = store.current.lead_events.iter();
        let lines = lines.filter(|((owner, lead, ..), _)| owner == tenant && *lead == id);
        Ok(lines.take(HISTORY_MAX).map(|(_, line)| LeadEvent::clone(line)).collect())
    }

    fn deliveries(&self, tenant: &TenantId, page: &Page) -> Result<Listed<Delivery>, StoreError> {
        list(&self.live()?.current.deliveries, ("deliveries", false, true), Some(tenant), page)
    }

    fn delivery(
        &self,
        tenant: &TenantId,
        integration: &str,
        subject: &str,
    ) -> Result<Option<Delivery>, StoreError> {
        let key = [integration.as_bytes(), subject.as_bytes()].join(&0);
        Ok(self.live()?.current.deliveries.get(tenant, &key).cloned())
    }

    fn windows(
        &self,
        tenant: &TenantId,
        kind: WindowKind,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<WindowMetrics>, StoreError> {
        let store = self.live()?;
        let rows = store.current.windows.iter();
        let rows = rows.filter(|((owner, window, start, _), _)| {
            owner == tenant && *window == kind && (from..to).contains(start)
        });
        Ok(rows.map(|(_, row)| WindowMetrics::clone(row)).collect())
    }

    fn audit(
        &self,
        tenant: &TenantId,
        kind: Option<&str>,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<Audit>, StoreError> {
        let store = self.live()?;
        let lines = store.current.audits.iter().rev().filter(|((owner, at, _), line)| {
            owner == tenant && (from..to).contains(at) && kind.is_none_or(|kind| line.kind == kind)
        });
        Ok(lines.take(AUDIT_LINES_MAX).map(|(_, line)| Audit::clone(line)).collect())
    }

    fn dead_letters(&self, tenant: Option<&TenantId>, page: &Page) -> Result<Listed<DeadLetter>, StoreError> {
        list(&self.live()?.current.dead_letters, ("dead_letters", false, true), tenant, page)
    }

    fn stored_up_to(&self, generation: u32, partition: Partition) -> Result<CommitNumber, StoreError> {
        Ok(self.live()?.current.progress(generation, partition))
    }

    fn ping(&self) -> Result<(), StoreError> {
        self.live().map(drop)
    }
}
