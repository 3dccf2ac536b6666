//! The statements that a write comes to.

use std::collections::HashSet;

use scylla::statement::prepared::PreparedStatement;

use super::lists::{bucket, named, window_bucket};
use super::packs::Piece;
use super::places::{EntryWrite, Version};
use super::rows::{Change, Key, Row};
use super::statements::Statements;
use super::value::Value;

/// The table of the audit log, and its name among lists with buckets.
pub(super) const AUDIT: &str = "audit_log";
/// The table of windows; each kind is a list with buckets.
pub(super) const WINDOWS: &str = "window_metrics";

/// One statement with its values.
pub(super) struct Write<'a> {
    /// Writes of the same group go to the same partition of a table.
    pub(super) group: String,
    pub(super) statement: &'a PreparedStatement,
    pub(super) values: Vec<Value<'a>>,
}

impl Piece for Write<'_> {
    fn group(&self) -> &str {
        &self.group
    }

    fn bytes(&self) -> usize {
        self.values.iter().map(Value::bytes).sum()
    }
}

/// What is to be written, in three steps.
pub(super) struct Plan<'a> {
    pub(super) buckets: Vec<Write<'a>>,
    pub(super) lines: Vec<Write<'a>>,
    pub(super) records: Vec<Write<'a>>,
    pub(super) statements: &'a Statements,
    noted: HashSet<(String, String, i64)>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(statements: &'a Statements) -> Self {
        let noted = HashSet::new();
        Self { buckets: Vec::new(), lines: Vec::new(), records: Vec::new(), statements, noted }
    }

    /// What lists show of a record.
    pub(super) fn entries(&mut self, writes: Vec<EntryWrite<'a>>) {
        for write in writes {
            let day = &write.entry().day;
            let statements = self.statements.of(day.list);
            let group = format!("{}\0{}\0{}\0{}", day.list.by_time(), day.tenant, day.filter, day.bucket);
            let name = named(day.list.by_time(), &day.filter);
            let key = |entry: super::places::Entry| {
                let day = entry.day;
                [
                    Value::Name(day.tenant),
                    Value::Name(day.filter),
                    Value::Big(day.bucket),
                    Value::Big(entry.at),
                    Value::Name(entry.id),
                ]
            };
            let (statement, values) = match write {
                EntryWrite::Put { entry, record, ttl_s, stamp } => {
                    self.noted.insert((entry.day.tenant.clone(), name, entry.day.bucket));
                    let last = [Value::Bytes(record), Value::Big(stamp), Value::Int(ttl_s)];
                    (&statements.put_entry, key(entry).into_iter().chain(last).collect())
                }
                EntryWrite::Delete { entry, stamp } => {
                    let values = std::iter::once(Value::Big(stamp)).chain(key(entry)).collect();
                    (&statements.delete_entry, values)
                }
            };
            self.lines.push(Write { group, statement, values });
        }
    }

    /// A record by its id.
    pub(super) fn record(&mut self, key: &'a Key, version: &Version<'a>) {
        let statements = self.statements.of(key.list);
        let (tenant, id, stamp) = (Value::Text(&key.tenant), Value::Text(&key.id), Value::Big(version.stamp));
        let (statement, values) = match &version.place {
            None => (&statements.delete, vec![stamp, tenant, id]),
            Some(place) => {
                let last = match statements.record {
                    Some(_) => Value::Bytes(version.record),
                    None => Value::Name(place.tenant.clone()),
                };
                let name = |text: &Option<String>| text.clone().map_or(Value::Null, Value::Name);
                let (at, band, status) = (Value::Big(place.at), name(&place.band), name(&place.status));
                let ttl = Value::Int(version.ttl_s);
                (&statements.put, vec![tenant, id, at, band, status, stamp.clone(), last, stamp, ttl])
            }
        };
        let group = format!("{}\0{}\0{}", key.list.records(), key.tenant, key.id);
        self.records.push(Write { group, statement, values });
    }

    /// What is read by one key or range: aliases, lines of a history, windows, the audit log.
    pub(super) fn line(&mut self, change: &'a Change<'a>) {
        let (record, stamp) = (Value::Bytes(change.record), Value::Big(change.stamp));
        let forever = Value::Int(0);
        let (group, statement, values) = match &change.row {
            Row::Listed { key, aliases, .. } => {
                for alias in aliases {
                    let group = format!("call_aliases\0{}\0{alias}", key.tenant);
                    let values = vec![
                        Value::Text(&key.tenant),
                        Value::Text(alias),
                        Value::Text(&key.id),
                        stamp.clone(),
                        forever.clone(),
                    ];
                    self.lines.push(Write { group, statement: &self.statements.put_alias, values });
                }
                return;
            }
            Row::LeadEvent { tenant, lead_id, revision, at, key } => {
                let place =
                    [Value::Text(tenant), Value::Text(lead_id), Value::Big(*revision), Value::Big(*at)];
                let values = place.into_iter().chain([Value::Bytes(key.as_bytes()), record, stamp, forever]);
                (
                    format!("lead_events\0{tenant}\0{lead_id}"),
                    &self.statements.put_lead_event,
                    values.collect(),
                )
            }
            Row::Window { tenant, kind, start, slot } => {
                let bucket = window_bucket(*kind, *start);
                self.noted.insert((tenant.clone(), named(WINDOWS, kind.name()), bucket));
                let place = [Value::Text(tenant), Value::Text(kind.name()), Value::Big(bucket)];
                let values =
                    place.into_iter().chain([Value::Big(*start), Value::Int(*slot), record, stamp, forever]);
                let group = format!("{WINDOWS}\0{tenant}\0{}\0{bucket}", kind.name());
                (group, &self.statements.put_window, values.collect())
            }
            Row::Audit { tenant, at, id, ttl_s } => {
                let bucket = bucket(*at);
                self.noted.insert((tenant.clone(), AUDIT.to_owned(), bucket));
                let place =
                    [Value::Text(tenant), Value::Big(bucket), Value::Big(*at), Value::Name(id.to_string())];
                let values = place.into_iter().chain([record, stamp, Value::Int(*ttl_s)]).collect::<Vec<_>>();
                (format!("{AUDIT}\0{tenant}\0{bucket}"), &self.statements.put_audit, values)
            }
        };
        self.lines.push(Write { group, statement, values });
    }

    /// Notes the buckets that have rows now, but for those that are `known`; answers which.
    pub(super) fn buckets(&mut self, known: &HashSet<String>) -> Vec<String> {
        let mut fresh = Vec::new();
        for (tenant, list, bucket) in self.noted.drain() {
            let name = format!("{tenant}\0{list}\0{bucket}");
            if known.contains(&name) {
                continue;
            }
            let group = format!("{tenant}\0{list}");
            // Of no commit: it says the same whoever writes it, and is never deleted.
            let values = vec![
                Value::Name(tenant),
                Value::Name(list),
                Value::Big(bucket),
                Value::Big(1),
                Value::Int(0),
            ];
            self.buckets.push(Write { group, statement: &self.statements.put_bucket, values });
            fresh.push(name);
        }
        fresh
    }
}
