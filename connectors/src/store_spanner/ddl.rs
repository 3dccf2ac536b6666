//! The tables, as statements by version: those of number n bring a database from version n to n + 1.
//!
//! `tenant_id` comes first in every key but those of our own bookkeeping, so that a tenant's rows are neighbours and no
//! key starts with a time. Tables lie in `tenants` and `leads` by `INTERLEAVE IN` without `PARENT`: rows are near what
//! they belong to, and none waits for its parent, which comes from another topic or partition.
//!
//! A record lies whole, as Avro, in the last column; beside it only what queries look for. `IF NOT EXISTS` everywhere:
//! a version that was cut short is applied again.

use std::collections::HashMap;

/// Never change statements that were released; append a version.
pub(super) const VERSIONS: &[&[&str]] = &[V1, V2];

const V1: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS schema_versions (
  version INT64 NOT NULL,
  applied_at TIMESTAMP NOT NULL OPTIONS (allow_commit_timestamp = true),
) PRIMARY KEY (version)",
    "CREATE TABLE IF NOT EXISTS sink_progress (
  generation INT64 NOT NULL,
  partition_id INT64 NOT NULL,
  commit_number INT64 NOT NULL,
  part_number INT64 NOT NULL,
  part_rows INT64 NOT NULL,
  written_at TIMESTAMP NOT NULL OPTIONS (allow_commit_timestamp = true),
) PRIMARY KEY (generation, partition_id)",
    "CREATE TABLE IF NOT EXISTS tenants (
  tenant_id STRING(63) NOT NULL,
) PRIMARY KEY (tenant_id)",
    "CREATE TABLE IF NOT EXISTS requests (
  tenant_id STRING(63) NOT NULL,
  request_id STRING(36) NOT NULL,
  received_at TIMESTAMP NOT NULL,
  status STRING(MAX) NOT NULL,
  record BYTES(MAX) NOT NULL,
) PRIMARY KEY (tenant_id, request_id),
  INTERLEAVE IN tenants,
  ROW DELETION POLICY (OLDER_THAN(received_at, INTERVAL 90 DAY))",
    "CREATE INDEX IF NOT EXISTS requests_by_time ON requests (tenant_id, received_at DESC), INTERLEAVE IN tenants",
    "CREATE INDEX IF NOT EXISTS requests_by_status ON requests (tenant_id, status, received_at DESC), INTERLEAVE IN tenants",
    "CREATE TABLE IF NOT EXISTS call_records (
  tenant_id STRING(63) NOT NULL,
  call_id STRING(MAX) NOT NULL,
  started_at TIMESTAMP NOT NULL,
  band STRING(MAX),
  record BYTES(MAX) NOT NULL,
) PRIMARY KEY (tenant_id, call_id),
  INTERLEAVE IN tenants",
    "CREATE INDEX IF NOT EXISTS call_records_by_time ON call_records (tenant_id, started_at DESC), INTERLEAVE IN tenants",
    "CREATE INDEX IF NOT EXISTS call_records_by_band ON call_records (tenant_id, band, started_at DESC), INTERLEAVE IN tenants",
    "CREATE TABLE IF NOT EXISTS call_aliases (
  tenant_id STRING(63) NOT NULL,
  alias STRING(MAX) NOT NULL,
  call_id STRING(MAX) NOT NULL,
) PRIMARY KEY (tenant_id, alias),
  INTERLEAVE IN tenants",
    "CREATE TABLE IF NOT EXISTS leads (
  tenant_id STRING(63) NOT NULL,
  lead_id STRING(36) NOT NULL,
  last_contact_at TIMESTAMP NOT NULL,
  band STRING(MAX) NOT NULL,
  status STRING(MAX) NOT NULL,
  record BYTES(MAX) NOT NULL,
) PRIMARY KEY (tenant_id, lead_id),
  INTERLEAVE IN tenants",
    "CREATE INDEX IF NOT EXISTS leads_by_time ON leads (tenant_id, last_contact_at DESC), INTERLEAVE IN tenants",
    "CREATE INDEX IF NOT EXISTS leads_by_band ON leads (tenant_id, band, last_contact_at DESC), INTERLEAVE IN tenants",
    "CREATE INDEX IF NOT EXISTS leads_by_status ON leads (tenant_id, status, last_contact_at DESC), INTERLEAVE IN tenants",
    "CREATE TABLE IF NOT EXISTS lead_events (
  tenant_id STRING(63) NOT NULL,
  lead_id STRING(36) NOT NULL,
  revision INT64 NOT NULL,
  happened_at TIMESTAMP NOT NULL,
  event_key STRING(36) NOT NULL,
  record BYTES(MAX) NOT NULL,
) PRIMARY KEY (tenant_id, lead_id, revision, happened_at, event_key),
  INTERLEAVE IN leads",
    "CREATE TABLE IF NOT EXISTS window_metrics (
  tenant_id STRING(63) NOT NULL,
  window_kind STRING(32) NOT NULL,
  starts_at TIMESTAMP NOT NULL,
  slot INT64 NOT NULL,
  record BYTES(MAX) NOT NULL,
) PRIMARY KEY (tenant_id, window_kind, starts_at, slot),
  INTERLEAVE IN tenants",
    "CREATE TABLE IF NOT EXISTS deliveries (
  tenant_id STRING(63) NOT NULL,
  integration STRING(MAX) NOT NULL,
  subject STRING(MAX) NOT NULL,
  queued_at TIMESTAMP NOT NULL,
  status STRING(MAX) NOT NULL,
  record BYTES(MAX) NOT NULL,
) PRIMARY KEY (tenant_id, integration, subject),
  INTERLEAVE IN tenants",
    "CREATE INDEX IF NOT EXISTS deliveries_by_time ON deliveries (tenant_id, queued_at DESC), INTERLEAVE IN tenants",
    "CREATE INDEX IF NOT EXISTS deliveries_by_status ON deliveries (tenant_id, status, queued_at DESC), INTERLEAVE IN tenants",
    "CREATE TABLE IF NOT EXISTS audit_log (
  tenant_id STRING(63) NOT NULL,
  happened_at TIMESTAMP NOT NULL,
  audit_id STRING(36) NOT NULL,
  kind STRING(MAX) NOT NULL,
  record BYTES(MAX) NOT NULL,
) PRIMARY KEY (tenant_id, happened_at DESC, audit_id),
  INTERLEAVE IN tenants,
  ROW DELETION POLICY (OLDER_THAN(happened_at, INTERVAL 760 DAY))",
    "CREATE TABLE IF NOT EXISTS dead_letters (
  tenant_id STRING(63) NOT NULL,
  letter_id STRING(36) NOT NULL,
  failed_at TIMESTAMP NOT NULL,
  status STRING(MAX) NOT NULL,
  record BYTES(MAX) NOT NULL,
) PRIMARY KEY (tenant_id, letter_id),
  INTERLEAVE IN tenants,
  ROW DELETION POLICY (OLDER_THAN(failed_at, INTERVAL 90 DAY))",
    "CREATE INDEX IF NOT EXISTS dead_letters_by_time ON dead_letters (tenant_id, failed_at DESC), INTERLEAVE IN tenants",
    "CREATE INDEX IF NOT EXISTS dead_letters_by_status ON dead_letters (tenant_id, status, failed_at DESC), INTERLEAVE IN tenants",
    "CREATE INDEX IF NOT EXISTS dead_letters_by_id ON dead_letters (letter_id)",
];

/// What tenants are called, and where their leads go: for who joins records with them. The settings are in the log.
const V2: &[&str] = &[
    "ALTER TABLE tenants ADD COLUMN IF NOT EXISTS name STRING(MAX)",
    "ALTER TABLE tenants ADD COLUMN IF NOT EXISTS time_zone STRING(MAX)",
    "ALTER TABLE tenants ADD COLUMN IF NOT EXISTS created_at TIMESTAMP",
    "ALTER TABLE tenants ADD COLUMN IF NOT EXISTS status STRING(16)",
    "ALTER TABLE tenants ADD COLUMN IF NOT EXISTS settings_version INT64",
    "CREATE TABLE IF NOT EXISTS crm_integrations (
  tenant_id STRING(63) NOT NULL,
  integration STRING(MAX) NOT NULL,
  kind STRING(MAX) NOT NULL,
  enabled BOOL NOT NULL,
  disabled_reason STRING(MAX),
  settings_version INT64 NOT NULL,
) PRIMARY KEY (tenant_id, integration),
  INTERLEAVE IN tenants",
];

/// The version that this leadline reads and writes.
pub(super) fn wanted() -> u32 {
    u32::try_from(VERSIONS.len()).unwrap_or(u32::MAX)
}

/// What a row costs beside its own columns: for each table, the columns of its indexes, twice.
pub(super) fn index_costs() -> HashMap<&'static str, usize> {
    let mut costs = HashMap::new();
    for statement in VERSIONS.iter().copied().flatten() {
        let Some((head, columns)) = statement.split_once('(') else { continue };
        if !head.contains(" INDEX ") {
            continue;
        }
        let table = head.rsplit(" ON ").next().unwrap_or_default().trim();
        let columns = columns.split(')').next().unwrap_or_default();
        *costs.entry(table).or_insert(0) += 2 * columns.split(',').count();
    }
    costs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_a_tenants_table_starts_with_the_tenant() {
        for statement in VERSIONS.iter().copied().flatten() {
            let own = ["schema_versions", "sink_progress"].iter().any(|table| statement.contains(table));
            if own || !statement.starts_with("CREATE TABLE") {
                continue;
            }
            assert!(statement.contains("PRIMARY KEY (tenant_id"), "{statement}");
            assert!(
                !statement.contains("INTERLEAVE IN PARENT"),
                "a child would wait for its parent: {statement}"
            );
        }
    }

    #[test]
    fn an_index_costs_its_columns_twice() {
        let costs = index_costs();
        assert_eq!(costs["leads"], 2 * (2 + 3 + 3));
        assert_eq!(costs["call_records"], 2 * (2 + 3));
        assert_eq!(costs["dead_letters"], 2 * (2 + 3 + 1));
        assert!(!costs.contains_key("window_metrics"), "no index");
    }
}
