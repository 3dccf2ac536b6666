//! The reading side: keyset pages over the days of a list that have rows.

use std::ops::ControlFlow;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use leadline_schemas::audit::Audit;
use leadline_schemas::avro::{self, AvroRecord};
use leadline_schemas::call::CallRecord;
use leadline_schemas::dead_letter::DeadLetter;
use leadline_schemas::delivery::Delivery;
use leadline_schemas::lead::{Lead, LeadEvent};
use leadline_schemas::request::Request;
use leadline_schemas::window::{WindowKind, WindowMetrics};
use leadline_schemas::{CommitNumber, Millis, Partition, TenantId};
use scylla::deserialize::row::DeserializeRow;
use scylla::response::{PagingState, PagingStateResponse};
use scylla::statement::prepared::PreparedStatement;

use super::cluster::Cluster;
use super::cursor::LastLine;
use super::ddl::SCHEMA_ROW;
use super::error::{failed, unavailable, unreadable};
use super::lists::{List, bucket, named, window_bucket};
use super::plan::{AUDIT, WINDOWS};
use super::rows::delivery_id;
use super::value::Value;
use super::writer::progress;
use crate::contract::store::{AUDIT_LINES_MAX, Listed, Page, RecordReader, StoreError};

/// Lines of a lead's history at most.
const HISTORY_MAX: i32 = 1_000;
/// Buckets that are asked for at once by name; the rest follow.
const BUCKETS_READ: i32 = 100;
/// Days of a list that are read at once, behind the first: a quiet tenant's page takes many.
const DAYS_AT_ONCE: usize = 4;

/// Reads from a cluster.
pub struct CassandraReader {
    cluster: Arc<Cluster>,
}

/// A row of a list.
type ListRow = (i64, String, Vec<u8>);

/// Buckets of a list that have rows, newest first, in a range that shrinks as they are read.
struct Buckets<'a> {
    tenant: &'a str,
    list: String,
    newest: i64,
    oldest: i64,
}

impl CassandraReader {
    /// Reads through a connection.
    pub fn new(cluster: Arc<Cluster>) -> Self {
        Self { cluster }
    }

    /// The rows of a statement, page by page, until `each` has enough.
    async fn rows<R>(
        &self,
        statement: &PreparedStatement,
        values: &[Value<'_>],
        mut each: impl FnMut(R) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError>
    where
        R: for<'r> DeserializeRow<'r, 'r>,
    {
        let mut state = PagingState::start();
        loop {
            let page = self.cluster.link.session.execute_single_page(statement, values, state);
            let (rows, next) = page.await.map_err(failed)?;
            let rows = rows.into_rows_result().map_err(unavailable)?;
            for row in rows.rows::<R>().map_err(unavailable)? {
                if each(row.map_err(unavailable)?)?.is_break() {
                    return Ok(());
                }
            }
            match next {
                PagingStateResponse::HasMorePages { state: next } => state = next,
                PagingStateResponse::NoMorePages => return Ok(()),
            }
        }
    }

    /// The records of a statement.
    async fn records<R: AvroRecord>(
        &self,
        statement: &PreparedStatement,
        values: &[Value<'_>],
    ) -> Result<Vec<R>, StoreError> {
        let mut found = Vec::new();
        self.rows(statement, values, |(bytes,): (Vec<u8>,)| {
            found.push(record(&bytes)?);
            Ok(ControlFlow::Continue(()))
        })
        .await?;
        Ok(found)
    }

    /// One record by its id.
    fn one<R: AvroRecord>(&self, list: List, tenant: &TenantId, id: &str) -> Result<Option<R>, StoreError> {
        let Some(statement) = &self.cluster.statements.of(list).record else { return Ok(None) };
        let values = [Value::Text(tenant.as_str()), Value::Text(id)];
        Ok(self.cluster.run(self.records(statement, &values))?.pop())
    }

    /// The next buckets; none at the end.
    async fn next_buckets(&self, buckets: &mut Buckets<'_>) -> Result<Vec<i64>, StoreError> {
        let values = [
            Value::Text(buckets.tenant),
            Value::Text(&buckets.list),
            Value::Big(buckets.newest),
            Value::Big(buckets.oldest),
            Value::Int(BUCKETS_READ),
        ];
        let mut found = Vec::new();
        self.rows(&self.cluster.statements.buckets, &values, |(bucket,): (i64,)| {
            found.push(bucket);
            Ok(ControlFlow::Continue(()))
        })
        .await?;
        if let Some(oldest) = found.last() {
            buckets.newest = oldest.saturating_sub(1);
        }
        Ok(found)
    }

    /// Rows of one day, newest first.
    async fn day(
        &self,
        list: List,
        day: (&str, &str, i64),
        (before, from): (&LastLine, i64),
        limit: usize,
    ) -> Result<Vec<ListRow>, StoreError> {
        let (tenant, filter, bucket) = day;
        let values = [
            Value::Text(tenant),
            Value::Text(filter),
            Value::Big(bucket),
            Value::Big(before.at),
            Value::Text(&before.id),
            Value::Big(from),
            Value::Int(i32::try_from(limit).unwrap_or(i32::MAX)),
        ];
        let mut found = Vec::new();
        self.rows(&self.cluster.statements.of(list).page, &values, |row: ListRow| {
            found.push(row);
            Ok(ControlFlow::Continue(()))
        })
        .await?;
        Ok(found)
    }

    /// A page of a list, newest first. Ties in time are told apart by the record's id.
    async fn page<R: AvroRecord>(
        &self,
        list: List,
        tenant: &str,
        page: &Page,
    ) -> Result<Listed<R>, StoreError> {
        let after = LastLine::of(list.by_time(), tenant, page)?;
        let filter = list.filter(page);
        let limit = page.limit.clamp(1, 200);
        let from = page.from.map_or(i64::MIN, |from| from.0);
        // Before the first id of that time: nothing of it.
        let before = match page.to {
            Some(to) if to.0 < after.at => LastLine { at: to.0, id: String::new() },
            _ => after,
        };
        let mut buckets = Buckets {
            tenant,
            list: named(list.by_time(), &filter),
            newest: bucket(before.at),
            oldest: bucket(from),
        };
        let mut found: Vec<ListRow> = Vec::new();
        let mut at_once = 1;
        'lists: loop {
            let names = self.next_buckets(&mut buckets).await?;
            let is_end = names.len() < usize::try_from(BUCKETS_READ).unwrap_or(usize::MAX);
            let mut names = names.as_slice();
            while let Some((now, rest)) =
                names.split_at_checked(at_once.min(names.len())).filter(|_| !names.is_empty())
            {
                let wanted = limit + 1 - found.len();
                let days =
                    now.iter().map(|name| self.day(list, (tenant, &filter, *name), (&before, from), wanted));
                let days: Vec<Vec<ListRow>> = stream::iter(days).buffered(DAYS_AT_ONCE).try_collect().await?;
                found.extend(days.into_iter().flatten().take(wanted));
                if found.len() > limit {
                    break 'lists;
                }
                (names, at_once) = (rest, DAYS_AT_ONCE);
            }
            if is_end {
                break;
            }
        }
        let is_more = found.len() > limit;
        found.truncate(limit);
        let next_cursor = found
            .last()
            .filter(|_| is_more)
            .map(|(at, id, _)| LastLine { at: *at, id: id.clone() }.cursor(list.by_time(), tenant, page));
        let items = found.iter().map(|(_, _, bytes)| record(bytes)).collect::<Result<_, _>>()?;
        Ok(Listed { items, next_cursor })
    }

    fn list<R: AvroRecord>(
        &self,
        list: List,
        tenant: &TenantId,
        page: &Page,
    ) -> Result<Listed<R>, StoreError> {
        self.cluster.run(self.page(list, tenant.as_str(), page))
    }

    /// Lines of the audit log of a range.
    async fn audit_lines(
        &self,
        tenant: &str,
        kind: Option<&str>,
        (from, to): (i64, i64),
    ) -> Result<Vec<Audit>, StoreError> {
        let mut buckets =
            Buckets { tenant, list: AUDIT.to_owned(), newest: bucket(to), oldest: bucket(from) };
        let mut found: Vec<Audit> = Vec::new();
        loop {
            let names = self.next_buckets(&mut buckets).await?;
            for name in &names {
                let values = [Value::Text(tenant), Value::Big(*name), Value::Big(from), Value::Big(to)];
                self.rows(&self.cluster.statements.audit, &values, |(bytes,): (Vec<u8>,)| {
                    let line: Audit = record(&bytes)?;
                    if kind.is_none_or(|kind| line.kind == kind) {
                        found.push(line);
                    }
                    Ok(match found.len() == AUDIT_LINES_MAX {
                        true => ControlFlow::Break(()),
                        false => ControlFlow::Continue(()),
                    })
                })
                .await?;
                if found.len() == AUDIT_LINES_MAX {
                    return Ok(found);
                }
            }
            if names.is_empty() {
                return Ok(found);
            }
        }
    }

    /// Windows of a range, oldest first.
    async fn window_rows(
        &self,
        tenant: &str,
        kind: WindowKind,
        (from, to): (i64, i64),
    ) -> Result<Vec<WindowMetrics>, StoreError> {
        let mut buckets = Buckets {
            tenant,
            list: named(WINDOWS, kind.name()),
            newest: window_bucket(kind, to),
            oldest: window_bucket(kind, from),
        };
        let mut names = Vec::new();
        loop {
            let more = self.next_buckets(&mut buckets).await?;
            if more.is_empty() {
                break;
            }
            names.extend(more);
        }
        let rows = names.iter().rev().map(|name| async move {
            let place = [Value::Text(tenant), Value::Text(kind.name()), Value::Big(*name)];
            let values: Vec<Value<'_>> =
                place.into_iter().chain([Value::Big(from), Value::Big(to)]).collect();
            self.records(&self.cluster.statements.windows, &values).await
        });
        let rows: Vec<Vec<WindowMetrics>> = stream::iter(rows).buffered(DAYS_AT_ONCE).try_collect().await?;
        Ok(rows.into_iter().flatten().collect())
    }
}

fn record<R: AvroRecord>(bytes: &[u8]) -> Result<R, StoreError> {
    avro::decode(bytes).map_err(unreadable)
}

/// An id as records are filed under; what is no id is found nowhere.
fn id(text: &str) -> String {
    uuid::Uuid::parse_str(text).map_or_else(|_| String::new(), |id| id.to_string())
}

impl RecordReader for CassandraReader {
    fn requests(&self, tenant: &TenantId, page: &Page) -> Result<Listed<Request>, StoreError> {
        self.list(List::Requests, tenant, page)
    }

    fn request(&self, tenant: &TenantId, request_id: &str) -> Result<Option<Request>, StoreError> {
        self.one(List::Requests, tenant, &id(request_id))
    }

    fn calls(&self, tenant: &TenantId, page: &Page) -> Result<Listed<CallRecord>, StoreError> {
        self.list(List::Calls, tenant, page)
    }

    fn call(&self, tenant: &TenantId, call_id: &str) -> Result<Option<CallRecord>, StoreError> {
        let values = [Value::Text(tenant.as_str()), Value::Text(call_id)];
        let mut alias = None;
        self.cluster.run(self.rows(&self.cluster.statements.alias, &values, |(of,): (String,)| {
            alias = Some(of);
            Ok(ControlFlow::Break(()))
        }))?;
        self.one(List::Calls, tenant, alias.as_deref().unwrap_or(call_id))
    }

    fn leads(&self, tenant: &TenantId, page: &Page) -> Result<Listed<Lead>, StoreError> {
        self.list(List::Leads, tenant, page)
    }

    fn lead(&self, tenant: &TenantId, lead_id: &str) -> Result<Option<Lead>, StoreError> {
        self.one(List::Leads, tenant, &id(lead_id))
    }

    fn lead_events(&self, tenant: &TenantId, lead_id: &str) -> Result<Vec<LeadEvent>, StoreError> {
        let lead_id = id(lead_id);
        let values = [Value::Text(tenant.as_str()), Value::Text(&lead_id), Value::Int(HISTORY_MAX)];
        self.cluster.run(self.records(&self.cluster.statements.lead_events, &values))
    }

    fn deliveries(&self, tenant: &TenantId, page: &Page) -> Result<Listed<Delivery>, StoreError> {
        self.list(List::Deliveries, tenant, page)
    }

    fn delivery(
        &self,
        tenant: &TenantId,
        integration: &str,
        subject: &str,
    ) -> Result<Option<Delivery>, StoreError> {
        self.one(List::Deliveries, tenant, &delivery_id(integration, subject))
    }

    fn windows(
        &self,
        tenant: &TenantId,
        kind: WindowKind,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<WindowMetrics>, StoreError> {
        self.cluster.run(self.window_rows(tenant.as_str(), kind, (from.0, to.0)))
    }

    fn audit(
        &self,
        tenant: &TenantId,
        kind: Option<&str>,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<Audit>, StoreError> {
        self.cluster.run(self.audit_lines(tenant.as_str(), kind, (from.0, to.0)))
    }

    fn dead_letters(&self, tenant: Option<&TenantId>, page: &Page) -> Result<Listed<DeadLetter>, StoreError> {
        let tenant = tenant.map_or("", TenantId::as_str);
        self.cluster.run(self.page(List::DeadLetters, tenant, page))
    }

    fn stored_up_to(&self, generation: u32, partition: Partition) -> Result<CommitNumber, StoreError> {
        self.cluster.run(progress(&self.cluster, (generation, partition)))
    }

    fn ping(&self) -> Result<(), StoreError> {
        let values = [Value::Text(SCHEMA_ROW)];
        let each = |_: (i32,)| Ok(ControlFlow::Continue(()));
        self.cluster.run(self.rows(&self.cluster.statements.ping, &values, each))
    }
}
