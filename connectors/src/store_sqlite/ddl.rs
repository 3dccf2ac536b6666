//! The tables, as a list of migrations: number n of the list brings a file from `user_version` n to n + 1.
//!
//! A record lies whole, as Avro, in the last column; beside it only what queries look for. Tenants are numbers here
//! (a name of up to 63 bytes in every index would double their size), and come first in every key, so that a
//! tenant's rows are neighbours and a query without a tenant finds no index.
//!
//! Records of a kilobyte and more lie in rowid tables: they are appended, and only the small index entries go to
//! random places. `row` is explicit because VACUUM renumbers an implicit rowid, and cursors hold it.

/// Marks the file as ours in `file(1)` and against mix-ups: "LEAD".
pub(super) const APPLICATION_ID: i32 = 0x4C45_4144;

/// The number that stands for "tenant unknown" in `dead_letters`.
pub(super) const NO_TENANT: i64 = 0;

/// Never change an entry that was released; append one.
pub(super) const MIGRATIONS: &[&str] = &[V1, V2, V3];

const V1: &str = "
CREATE TABLE tenants (
    number INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE requests (
    row         INTEGER PRIMARY KEY,
    tenant      INTEGER NOT NULL,
    request_id  BLOB    NOT NULL,
    received_at INTEGER NOT NULL,
    status      TEXT    NOT NULL,
    record      BLOB    NOT NULL,
    UNIQUE (tenant, request_id)
) STRICT;
CREATE INDEX requests_by_time   ON requests (tenant, received_at);
CREATE INDEX requests_by_status ON requests (tenant, status, received_at);

CREATE TABLE call_records (
    row        INTEGER PRIMARY KEY,
    tenant     INTEGER NOT NULL,
    call_id    TEXT    NOT NULL,
    started_at INTEGER NOT NULL,
    band       TEXT,
    record     BLOB    NOT NULL,
    UNIQUE (tenant, call_id)
) STRICT;
CREATE INDEX calls_by_time ON call_records (tenant, started_at);
CREATE INDEX calls_by_band ON call_records (tenant, band, started_at) WHERE band IS NOT NULL;

CREATE TABLE call_aliases (
    tenant  INTEGER NOT NULL,
    alias   TEXT    NOT NULL,
    call_id TEXT    NOT NULL,
    PRIMARY KEY (tenant, alias)
) STRICT, WITHOUT ROWID;

CREATE TABLE leads (
    row             INTEGER PRIMARY KEY,
    tenant          INTEGER NOT NULL,
    lead_id         BLOB    NOT NULL,
    last_contact_at INTEGER NOT NULL,
    band            TEXT    NOT NULL,
    status          TEXT    NOT NULL,
    record          BLOB    NOT NULL,
    UNIQUE (tenant, lead_id)
) STRICT;
CREATE INDEX leads_by_time   ON leads (tenant, last_contact_at);
CREATE INDEX leads_by_band   ON leads (tenant, band, last_contact_at);
CREATE INDEX leads_by_status ON leads (tenant, status, last_contact_at);

CREATE TABLE lead_events (
    tenant   INTEGER NOT NULL,
    lead_id  BLOB    NOT NULL,
    revision INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    key      BLOB    NOT NULL,
    record   BLOB    NOT NULL,
    PRIMARY KEY (tenant, lead_id, revision, at, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE window_metrics (
    tenant INTEGER NOT NULL,
    window TEXT    NOT NULL,
    start  INTEGER NOT NULL,
    slot   INTEGER NOT NULL,
    record BLOB    NOT NULL,
    PRIMARY KEY (tenant, window, start, slot)
) STRICT, WITHOUT ROWID;

CREATE TABLE deliveries (
    row         INTEGER PRIMARY KEY,
    tenant      INTEGER NOT NULL,
    integration TEXT    NOT NULL,
    subject     TEXT    NOT NULL,
    queued_at   INTEGER NOT NULL,
    status      TEXT    NOT NULL,
    record      BLOB    NOT NULL,
    UNIQUE (tenant, integration, subject)
) STRICT;
CREATE INDEX deliveries_by_time   ON deliveries (tenant, queued_at);
CREATE INDEX deliveries_by_status ON deliveries (tenant, status, queued_at);

CREATE TABLE audit_log (
    tenant INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    id     BLOB    NOT NULL,
    record BLOB    NOT NULL,
    PRIMARY KEY (tenant, at, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE dead_letters (
    row       INTEGER PRIMARY KEY,
    tenant    INTEGER NOT NULL,
    id        BLOB    NOT NULL,
    failed_at INTEGER NOT NULL,
    status    TEXT    NOT NULL,
    record    BLOB    NOT NULL,
    UNIQUE (tenant, id)
) STRICT;
CREATE INDEX dead_letters_by_time ON dead_letters (tenant, failed_at);
CREATE INDEX dead_letters_by_id   ON dead_letters (id);

CREATE TABLE sink_progress (
    generation INTEGER NOT NULL,
    partition  INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    PRIMARY KEY (generation, partition)
) STRICT, WITHOUT ROWID;
";

/// A list by band and status walked over all leads of the band.
const V2: &str = "
CREATE INDEX leads_by_band_and_status ON leads (tenant, band, status, last_contact_at);
";

/// What tenants are called, and where their leads go: for who joins records with them. The settings are in the log.
const V3: &str = "
ALTER TABLE tenants ADD COLUMN name TEXT;
ALTER TABLE tenants ADD COLUMN time_zone TEXT;
ALTER TABLE tenants ADD COLUMN created_at INTEGER;
ALTER TABLE tenants ADD COLUMN status TEXT;
ALTER TABLE tenants ADD COLUMN settings_version INTEGER;
CREATE TABLE crm_integrations (
    tenant           INTEGER NOT NULL,
    integration      TEXT    NOT NULL,
    kind             TEXT    NOT NULL,
    enabled          INTEGER NOT NULL,
    disabled_reason  TEXT,
    settings_version INTEGER NOT NULL,
    PRIMARY KEY (tenant, integration)
) STRICT, WITHOUT ROWID;
";
