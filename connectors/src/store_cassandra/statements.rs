//! Every statement, prepared once: servers know it by its id, and the client which nodes have its rows.

use scylla::client::session::Session;
use scylla::statement::prepared::PreparedStatement;

use super::error::unavailable;
use super::lists::List;
use crate::contract::store::StoreError;

/// Rows of one answer: a record may have megabytes.
const PAGE_ROWS: i32 = 50;

/// The statements of one list.
pub(super) struct ListStatements {
    /// Where a record is listed, by tenant and id: id, owner, at, band, status, stamp.
    pub(super) known: PreparedStatement,
    /// The same of several ids of a tenant.
    pub(super) known_of_several: PreparedStatement,
    pub(super) put: PreparedStatement,
    pub(super) delete: PreparedStatement,
    /// A record by tenant and id; dead letters have none here.
    pub(super) record: Option<PreparedStatement>,
    pub(super) put_entry: PreparedStatement,
    pub(super) delete_entry: PreparedStatement,
    /// A day behind a line and not before a time.
    pub(super) page: PreparedStatement,
}

pub(super) struct Statements {
    lists: [ListStatements; 5],
    pub(super) put_bucket: PreparedStatement,
    pub(super) buckets: PreparedStatement,
    pub(super) put_alias: PreparedStatement,
    pub(super) alias: PreparedStatement,
    pub(super) put_lead_event: PreparedStatement,
    pub(super) lead_events: PreparedStatement,
    pub(super) put_window: PreparedStatement,
    pub(super) windows: PreparedStatement,
    pub(super) put_audit: PreparedStatement,
    pub(super) audit: PreparedStatement,
    pub(super) put_tenant: PreparedStatement,
    pub(super) put_integration: PreparedStatement,
    pub(super) delete_integrations: PreparedStatement,
    pub(super) put_progress: PreparedStatement,
    pub(super) progress: PreparedStatement,
    pub(super) ping: PreparedStatement,
}

impl Statements {
    pub(super) fn of(&self, list: List) -> &ListStatements {
        let [requests, calls, leads, deliveries, dead_letters] = &self.lists;
        match list {
            List::Requests => requests,
            List::Calls => calls,
            List::Leads => leads,
            List::Deliveries => deliveries,
            List::DeadLetters => dead_letters,
        }
    }

    pub(super) async fn prepare(session: &Session, keyspace: &str) -> Result<Self, StoreError> {
        let prepare = Prepare { session, keyspace };
        let [requests, calls, leads, deliveries, dead_letters] = List::ALL;
        Ok(Self {
            lists: [
                prepare.list(requests).await?,
                prepare.list(calls).await?,
                prepare.list(leads).await?,
                prepare.list(deliveries).await?,
                prepare.list(dead_letters).await?,
            ],
            put_bucket: prepare.put("list_buckets", "tenant_id, list, bucket").await?,
            buckets: prepare
                .get(
                    "bucket",
                    "list_buckets",
                    "tenant_id = ? AND list = ? AND bucket <= ? AND bucket >= ? LIMIT ?",
                )
                .await?,
            put_alias: prepare.put("call_aliases", "tenant_id, alias, call_id").await?,
            alias: prepare.get("call_id", "call_aliases", "tenant_id = ? AND alias = ?").await?,
            put_lead_event: prepare
                .put("lead_events", "tenant_id, lead_id, revision, at, key, record")
                .await?,
            lead_events: prepare
                .get("record", "lead_events", "tenant_id = ? AND lead_id = ? LIMIT ?")
                .await?,
            put_window: prepare
                .put("window_metrics", "tenant_id, window, bucket, start, slot, record")
                .await?,
            windows: prepare
                .get(
                    "record",
                    "window_metrics",
                    "tenant_id = ? AND window = ? AND bucket = ? AND start >= ? AND start < ?",
                )
                .await?,
            put_audit: prepare.put("audit_log", "tenant_id, bucket, at, id, record").await?,
            audit: prepare
                .get("record", "audit_log", "tenant_id = ? AND bucket = ? AND at >= ? AND at < ?")
                .await?,
            put_tenant: prepare
                .put("tenants", "tenant_id, name, time_zone, created_at, status, settings_version")
                .await?,
            put_integration: prepare
                .put(
                    "crm_integrations",
                    "tenant_id, integration, kind, enabled, disabled_reason, settings_version",
                )
                .await?,
            delete_integrations: prepare.delete("crm_integrations", "tenant_id = ?").await?,
            put_progress: prepare.put("sink_progress", "generation, partition, number").await?,
            progress: prepare.get("number", "sink_progress", "generation = ? AND partition = ?").await?,
            ping: prepare.get("version", "leadline_schema", "part = ?").await?,
        })
    }
}

/// Makes statements of a keyspace.
struct Prepare<'a> {
    session: &'a Session,
    keyspace: &'a str,
}

impl Prepare<'_> {
    async fn list(&self, list: List) -> Result<ListStatements, StoreError> {
        let (records, by_time) = (list.records(), list.by_time());
        let is_letters = list == List::DeadLetters;
        let (owner, last) = if is_letters { ("owner", "owner") } else { ("tenant_id", "record") };
        let columns = format!("tenant_id, id, at, band, status, stamp, {last}");
        let known = format!("id, {owner}, at, band, status, stamp");
        let one = "tenant_id = ? AND id = ?";
        let record = match is_letters {
            true => None,
            false => Some(self.get("record", records, one).await?),
        };
        let day = "tenant_id = ? AND filter = ? AND bucket = ?";
        Ok(ListStatements {
            known: self.get(&known, records, one).await?,
            known_of_several: self.get(&known, records, "tenant_id = ? AND id IN ?").await?,
            put: self.put(records, &columns).await?,
            delete: self.delete(records, one).await?,
            record,
            put_entry: self.put(by_time, "tenant_id, filter, bucket, at, id, record").await?,
            delete_entry: self.delete(by_time, &format!("{day} AND at = ? AND id = ?")).await?,
            page: self
                .get(
                    "at, id, record",
                    by_time,
                    &format!("{day} AND (at, id) < (?, ?) AND (at) >= (?) LIMIT ?"),
                )
                .await?,
        })
    }

    /// Writes a row; behind its columns come the stamp, and the seconds that it lives, 0 = for ever.
    async fn put(&self, table: &str, columns: &str) -> Result<PreparedStatement, StoreError> {
        let marks = vec!["?"; columns.split(',').count()].join(", ");
        let keyspace = self.keyspace;
        self.statement(&format!(
            "INSERT INTO {keyspace}.{table} ({columns}) VALUES ({marks}) USING TIMESTAMP ? AND TTL ?"
        ))
        .await
    }

    /// Deletes a row; the stamp comes first.
    async fn delete(&self, table: &str, which: &str) -> Result<PreparedStatement, StoreError> {
        self.statement(&format!("DELETE FROM {}.{table} USING TIMESTAMP ? WHERE {which}", self.keyspace))
            .await
    }

    async fn get(&self, what: &str, table: &str, which: &str) -> Result<PreparedStatement, StoreError> {
        self.statement(&format!("SELECT {what} FROM {}.{table} WHERE {which}", self.keyspace)).await
    }

    async fn statement(&self, text: &str) -> Result<PreparedStatement, StoreError> {
        let mut statement = self.session.prepare(text).await.map_err(unavailable)?;
        statement.set_page_size(PAGE_ROWS);
        // With a stamp of its own a write may come twice, so that the client may ask another node.
        statement.set_is_idempotent(true);
        Ok(statement)
    }
}
