//! The tables, as a list of migrations: number n of the list brings a keyspace from version n to n + 1.
//!
//! The tenant comes first in every key, and is part of the partition key: a query without one cannot be routed to a node,
//! and servers refuse it. Partitions are bounded: a record, a lead's history, a list's day, a window kind's bucket.

/// The keyspace is put in its place.
pub(super) const KEYSPACE: &str = "{keyspace}";

/// Never change an entry that was released; append one. Each statement may run again: a migration that was cut short is
/// begun anew. The first statement makes the table by which a keyspace is known to be ours.
pub(super) const MIGRATIONS: &[&[&str]] = &[V1, V2];

/// Names the only row of `leadline_schema`.
pub(super) const SCHEMA_ROW: &str = "records";

/// A record by its id: where its lists show it, since which stamp, and the record as Avro.
macro_rules! records {
    ($name:literal) => {
        concat!(
            "CREATE TABLE IF NOT EXISTS {keyspace}.",
            $name,
            " (tenant_id text, id text, at bigint, band text, status text, stamp bigint, record blob, \
             PRIMARY KEY ((tenant_id, id)))"
        )
    };
}

/// A list, by filter and day of `at`. Rows of the same time are told apart by their ids.
macro_rules! list {
    ($name:literal) => {
        concat!(
            "CREATE TABLE IF NOT EXISTS {keyspace}.",
            $name,
            " (tenant_id text, filter text, bucket bigint, at bigint, id text, record blob, \
             PRIMARY KEY ((tenant_id, filter, bucket), at, id)) WITH CLUSTERING ORDER BY (at DESC, id DESC)"
        )
    };
}

const V1: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS {keyspace}.leadline_schema (part text PRIMARY KEY, version int)",
    records!("requests"),
    records!("call_records"),
    records!("leads"),
    records!("deliveries"),
    // A tombstone names a letter by its id alone: so they lie under no tenant here, and the tenant is a column. Only the
    // writer reads this table.
    "CREATE TABLE IF NOT EXISTS {keyspace}.dead_letters (tenant_id text, id text, owner text, at bigint, band text, \
     status text, stamp bigint, PRIMARY KEY ((tenant_id, id)))",
    list!("requests_by_time"),
    list!("calls_by_time"),
    list!("leads_by_time"),
    list!("deliveries_by_time"),
    list!("dead_letters_by_time"),
    // `list` is a table's name and filter.
    "CREATE TABLE IF NOT EXISTS {keyspace}.list_buckets (tenant_id text, list text, bucket bigint, \
     PRIMARY KEY ((tenant_id, list), bucket)) WITH CLUSTERING ORDER BY (bucket DESC)",
    "CREATE TABLE IF NOT EXISTS {keyspace}.call_aliases (tenant_id text, alias text, call_id text, \
     PRIMARY KEY ((tenant_id, alias)))",
    "CREATE TABLE IF NOT EXISTS {keyspace}.lead_events (tenant_id text, lead_id text, revision bigint, at bigint, \
     key blob, record blob, PRIMARY KEY ((tenant_id, lead_id), revision, at, key))",
    "CREATE TABLE IF NOT EXISTS {keyspace}.window_metrics (tenant_id text, window text, bucket bigint, start bigint, \
     slot int, record blob, PRIMARY KEY ((tenant_id, window, bucket), start, slot))",
    "CREATE TABLE IF NOT EXISTS {keyspace}.audit_log (tenant_id text, bucket bigint, at bigint, id text, record blob, \
     PRIMARY KEY ((tenant_id, bucket), at, id)) WITH CLUSTERING ORDER BY (at DESC, id DESC)",
    "CREATE TABLE IF NOT EXISTS {keyspace}.sink_progress (generation int, partition int, number bigint, \
     PRIMARY KEY ((generation, partition)))",
];

/// What tenants are called, and where their leads go: for who joins records with them. The settings are in the log.
const V2: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS {keyspace}.tenants (tenant_id text, name text, time_zone text, created_at timestamp, \
     status text, settings_version bigint, PRIMARY KEY ((tenant_id)))",
    "CREATE TABLE IF NOT EXISTS {keyspace}.crm_integrations (tenant_id text, integration text, kind text, \
     enabled boolean, disabled_reason text, settings_version bigint, PRIMARY KEY ((tenant_id), integration))",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_comes_first_in_every_key_but_those_of_no_tenants_rows() {
        let tables = MIGRATIONS.iter().flat_map(|migration| migration.iter());
        for table in tables.filter(|table| table.contains("CREATE TABLE")) {
            let is_ours = ["leadline_schema", "sink_progress"].iter().any(|name| table.contains(name));
            let is_theirs = ["((tenant_id, ", "((tenant_id)"].iter().any(|key| table.contains(key));
            assert!(is_ours || is_theirs, "{table}");
            assert!(table.contains("IF NOT EXISTS") && table.contains(KEYSPACE), "{table}");
        }
    }
}
