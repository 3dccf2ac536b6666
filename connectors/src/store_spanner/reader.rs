//! The reading side: keyset pages over indexes, each question a transaction of its own.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use google_cloud_spanner::client::DatabaseClient;
use google_cloud_spanner::statement::Statement;
use google_cloud_spanner::transaction::TimestampBound;
use leadline_schemas::audit::Audit;
use leadline_schemas::avro::{self, AvroRecord};
use leadline_schemas::call::CallRecord;
use leadline_schemas::dead_letter::DeadLetter;
use leadline_schemas::delivery::Delivery;
use leadline_schemas::lead::{Lead, LeadEvent};
use leadline_schemas::request::Request;
use leadline_schemas::window::{WindowKind, WindowMetrics};
use leadline_schemas::{CommitNumber, Millis, Partition, TenantId};

use super::ask::{Ask, Owner};
use super::config::SpannerConfig;
use super::cursor::Place;
use super::error::{failed, unreadable};
use super::link::Link;
use super::values::{clamped, key_text};
use super::writer::{SpannerWriter, whereabouts};
use crate::contract::store::{AUDIT_LINES_MAX, Listed, Page, RecordReader, StoreError};

/// Lines of a lead's history at most.
const HISTORY_MAX: usize = 1_000;
/// Windows of one answer at most: a month of minutes.
const WINDOWS_MAX: usize = 50_000;
/// Somebody waits for the word how the process is.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// Reads; safe to use from many threads.
pub struct SpannerReader {
    link: Arc<Link>,
}

/// How fresh an answer has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fresh {
    /// As the last commit has left it.
    Now,
    /// As it was at most the configured staleness ago.
    Lately,
}

/// A list: its table, the columns of its time and key, its filters. Index `TABLE_by_COLUMN` has the tenant, the filter
/// and the time, newest first; behind them lie the key's columns.
struct List {
    table: &'static str,
    time: &'static str,
    key: &'static [&'static str],
    band: bool,
    status: bool,
}

/// A line of a list, by what the list is sorted by.
trait Line: AvroRecord {
    const LIST: List;
    fn time(&self) -> Millis;
    fn key(&self) -> Vec<String>;
}

impl Line for Request {
    const LIST: List =
        List { table: "requests", time: "received_at", key: &["request_id"], band: false, status: true };
    fn time(&self) -> Millis {
        self.received_at
    }
    fn key(&self) -> Vec<String> {
        vec![self.request_id.to_string()]
    }
}

impl Line for CallRecord {
    const LIST: List =
        List { table: "call_records", time: "started_at", key: &["call_id"], band: true, status: false };
    fn time(&self) -> Millis {
        self.started_at
    }
    fn key(&self) -> Vec<String> {
        vec![key_text(&self.call_id).into_owned()]
    }
}

impl Line for Lead {
    const LIST: List =
        List { table: "leads", time: "last_contact_at", key: &["lead_id"], band: true, status: true };
    fn time(&self) -> Millis {
        self.last_contact_at
    }
    fn key(&self) -> Vec<String> {
        vec![self.lead_id.to_string()]
    }
}

impl Line for Delivery {
    const LIST: List = List {
        table: "deliveries",
        time: "queued_at",
        key: &["integration", "subject"],
        band: false,
        status: true,
    };
    fn time(&self) -> Millis {
        self.queued_at
    }
    fn key(&self) -> Vec<String> {
        vec![key_text(&self.integration).into_owned(), key_text(&self.subject).into_owned()]
    }
}

impl Line for DeadLetter {
    const LIST: List =
        List { table: "dead_letters", time: "failed_at", key: &["letter_id"], band: false, status: true };
    fn time(&self) -> Millis {
        self.failed_at
    }
    fn key(&self) -> Vec<String> {
        vec![self.id.to_string()]
    }
}

impl SpannerReader {
    /// Asks nobody yet.
    pub fn open(config: SpannerConfig) -> Result<Self, StoreError> {
        Ok(Self { link: Link::new(config)? })
    }

    /// A writer on the same client.
    pub fn writer(&self) -> SpannerWriter {
        SpannerWriter::on(Arc::clone(&self.link))
    }

    fn list<R: Line>(&self, owner: Owner<'_>, page: &Page) -> Result<Listed<R>, StoreError> {
        let (list, limit) = (R::LIST, page.limit.clamp(1, 200));
        let after = Place::of(list.table, owner.name(), page)?;
        let mut items: Vec<R> =
            self.ask(Fresh::Lately, question(&list, owner, page, after, limit + 1).statement())?;
        let more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| more);
        let place = last.map(|last| Place { time: clamped(last.time()), key: last.key() });
        let next_cursor = place.map(|place| place.cursor(list.table, owner.name(), page));
        Ok(Listed { items, next_cursor })
    }

    fn one<R: AvroRecord>(&self, ask: Ask) -> Result<Option<R>, StoreError> {
        Ok(self.ask(Fresh::Now, ask.statement())?.pop())
    }

    /// The records that a statement finds, in its order.
    fn ask<R: AvroRecord>(&self, fresh: Fresh, statement: Statement) -> Result<Vec<R>, StoreError> {
        self.link.wait(self.link.config.read_timeout, async {
            let database = self.link.database().await?;
            rows(database, self.bound(fresh), statement).await
        })
    }

    /// Bounded staleness lets the nearest replica answer; a single question is the only one that may have it.
    fn bound(&self, fresh: Fresh) -> TimestampBound {
        let staleness = self.link.config.staleness;
        match fresh {
            Fresh::Lately if !staleness.is_zero() => TimestampBound::max_staleness(staleness),
            _ => TimestampBound::strong(),
        }
    }
}

async fn rows<R: AvroRecord>(
    database: &DatabaseClient,
    bound: TimestampBound,
    statement: Statement,
) -> Result<Vec<R>, StoreError> {
    let transaction = database.single_use().set_timestamp_bound(bound).build();
    let mut found = transaction.execute_query(statement).await.map_err(failed)?;
    let mut records = Vec::new();
    while let Some(row) = found.next().await {
        let bytes: Vec<u8> = row.and_then(|mut row| row.take(0)).map_err(failed)?;
        records.push(avro::decode(&bytes).map_err(unreadable)?);
    }
    Ok(records)
}

/// A page of a list, newest first; of the same time, by key.
fn question(list: &List, owner: Owner<'_>, page: &Page, after: Option<Place>, limit: usize) -> Ask {
    let band = page.band.as_deref().filter(|_| list.band);
    let status = page.status.as_deref().filter(|_| list.status);
    // Without a hint Spanner may take to scanning the table: it plans by what it knows of its size, which is old.
    let by = if band.is_some() {
        "band"
    } else if status.is_some() {
        "status"
    } else {
        "time"
    };
    let mut ask = Ask::records(owner, list.table, Some(&format!("{}_by_{by}", list.table)));
    if let Some(band) = band {
        ask = ask.and("band = @band").text("band", &key_text(band));
    }
    if let Some(status) = status {
        ask = ask.and("status = @status").text("status", &key_text(status));
    }
    if let Some(from) = page.from {
        ask = ask.and(&format!("{} >= @from_time", list.time)).time("from_time", from);
    }
    if let Some(to) = page.to {
        ask = ask.and(&format!("{} < @to_time", list.time)).time("to_time", to);
    }
    if let Some(after) = after {
        ask = behind(ask, list, &after);
    }
    ask.ending(&format!("{} DESC, {}", list.time, list.key.join(", ")), limit)
}

/// Only what comes behind a place: GoogleSQL compares no tuples. The first condition alone is what the index seeks by.
fn behind(mut ask: Ask, list: &List, after: &Place) -> Ask {
    let time = list.time;
    let (mut cases, mut equal) = (vec![format!("{time} < @after_time")], String::new());
    for (index, (column, value)) in list.key.iter().zip(&after.key).enumerate() {
        cases.push(format!("({equal}{column} > @after_{index})"));
        equal.push_str(&format!("{column} = @after_{index} AND "));
        ask = ask.text(&format!("after_{index}"), value);
    }
    let ask = ask.and(&format!("{time} <= @after_time")).and(&format!("({})", cases.join(" OR ")));
    ask.time("after_time", after.time)
}

/// An id as it stands in a key; none where it is no id, and so found nowhere.
fn id_text(id: &str) -> Option<String> {
    uuid::Uuid::parse_str(id).ok().map(|id| id.to_string())
}

impl RecordReader for SpannerReader {
    fn requests(&self, tenant: &TenantId, page: &Page) -> Result<Listed<Request>, StoreError> {
        self.list(Owner::Tenant(tenant), page)
    }

    fn request(&self, tenant: &TenantId, request_id: &str) -> Result<Option<Request>, StoreError> {
        let Some(id) = id_text(request_id) else { return Ok(None) };
        let ask = Ask::records(Owner::Tenant(tenant), "requests", None);
        self.one(ask.and("request_id = @id").text("id", &id))
    }

    fn calls(&self, tenant: &TenantId, page: &Page) -> Result<Listed<CallRecord>, StoreError> {
        self.list(Owner::Tenant(tenant), page)
    }

    fn call(&self, tenant: &TenantId, call_id: &str) -> Result<Option<CallRecord>, StoreError> {
        let ask = Ask::records(Owner::Tenant(tenant), "call_records", None);
        let alias = "(SELECT call_id FROM call_aliases WHERE tenant_id = @tenant AND alias = @id)";
        self.one(ask.and(&format!("call_id = COALESCE({alias}, @id)")).text("id", &key_text(call_id)))
    }

    fn leads(&self, tenant: &TenantId, page: &Page) -> Result<Listed<Lead>, StoreError> {
        self.list(Owner::Tenant(tenant), page)
    }

    fn lead(&self, tenant: &TenantId, lead_id: &str) -> Result<Option<Lead>, StoreError> {
        let Some(id) = id_text(lead_id) else { return Ok(None) };
        self.one(Ask::records(Owner::Tenant(tenant), "leads", None).and("lead_id = @id").text("id", &id))
    }

    fn lead_events(&self, tenant: &TenantId, lead_id: &str) -> Result<Vec<LeadEvent>, StoreError> {
        let Some(id) = id_text(lead_id) else { return Ok(Vec::new()) };
        let ask = Ask::records(Owner::Tenant(tenant), "lead_events", None);
        let ask = ask.and("lead_id = @id").text("id", &id);
        self.ask(Fresh::Now, ask.ending("revision, happened_at, event_key", HISTORY_MAX).statement())
    }

    fn deliveries(&self, tenant: &TenantId, page: &Page) -> Result<Listed<Delivery>, StoreError> {
        self.list(Owner::Tenant(tenant), page)
    }

    fn delivery(
        &self,
        tenant: &TenantId,
        integration: &str,
        subject: &str,
    ) -> Result<Option<Delivery>, StoreError> {
        let ask = Ask::records(Owner::Tenant(tenant), "deliveries", None)
            .and("integration = @integration AND subject = @subject")
            .text("integration", &key_text(integration))
            .text("subject", &key_text(subject));
        self.one(ask)
    }

    fn windows(
        &self,
        tenant: &TenantId,
        kind: WindowKind,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<WindowMetrics>, StoreError> {
        let ask = Ask::records(Owner::Tenant(tenant), "window_metrics", None)
            .and("window_kind = @kind AND starts_at >= @from_time AND starts_at < @to_time")
            .text("kind", kind.name())
            .time("from_time", from)
            .time("to_time", to);
        self.ask(Fresh::Lately, ask.ending("starts_at, slot", WINDOWS_MAX).statement())
    }

    fn audit(
        &self,
        tenant: &TenantId,
        kind: Option<&str>,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<Audit>, StoreError> {
        let mut ask = Ask::records(Owner::Tenant(tenant), "audit_log", None)
            .and("happened_at >= @from_time AND happened_at < @to_time")
            .time("from_time", from)
            .time("to_time", to);
        if let Some(kind) = kind {
            ask = ask.and("kind = @kind").text("kind", &key_text(kind));
        }
        self.ask(Fresh::Lately, ask.ending("happened_at DESC, audit_id", AUDIT_LINES_MAX).statement())
    }

    fn dead_letters(&self, tenant: Option<&TenantId>, page: &Page) -> Result<Listed<DeadLetter>, StoreError> {
        self.list(Owner::from(tenant), page)
    }

    fn stored_up_to(&self, generation: u32, partition: Partition) -> Result<CommitNumber, StoreError> {
        let place = (generation, partition);
        let found = whereabouts(&self.link, &HashSet::from([place]))?;
        Ok(found.get(&place).map(|at| at.number).unwrap_or_default())
    }

    fn ping(&self) -> Result<(), StoreError> {
        self.link.wait(self.link.config.read_timeout.min(PING_TIMEOUT), async {
            let database = self.link.database().await?;
            super::link::applied(database).await.map(drop)
        })
    }
}
