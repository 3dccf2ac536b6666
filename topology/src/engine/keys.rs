//! The keys of the state store. Their order is their meaning: a key group, a tenant and a caller are ranges.
//!
//! ```text
//! rows      0x01 key_group:2 tenant 0x00 scope:1 bucket|slot:1 operator:1 table:1 key
//! due       0x02 kind:1 at:8 <row key of the timer>
//! ready     0x03 tenant 0x00 lane 0x00 not_before:8 <row key of the job>
//! outputs   0x05 topic:1 <key of the output record>
//! ```
//!
//! Only rows are in commit frames; due and ready are indexes derived from them, outputs are the compacted topics.

use leadline_operators::contract::{Scope, TimerKind};
use leadline_schemas::partitioning::Key;
use leadline_schemas::{JobId, KeyGroup, Topic};

pub(crate) const ROWS: u8 = 0x01;
pub(crate) const DUE: u8 = 0x02;
pub(crate) const READY: u8 = 0x03;
pub(crate) const OUTPUTS: u8 = 0x05;

/// The scope, in keys, of rows that lie with a caller.
pub(crate) const OF_CALLER: u8 = 0;

/// The engine's own operator number in keys.
pub(crate) const ENGINE: u8 = 200;
/// Table of pending jobs.
pub(crate) const JOBS: u8 = 1;
/// Table of how far the records of layouts before are told again; one row, of no tenant.
pub(crate) const RETOLD: u8 = 2;
/// Tables of timers lie above those of operators: 240 + kind.
pub(crate) const TIMERS_FIRST: u8 = 240;

/// Writes `key`'s prefix: all of a row key before the operator.
pub(crate) fn row_prefix(into: &mut Vec<u8>, key: &Key, scope: Scope, slot: u16) {
    into.clear();
    into.push(ROWS);
    into.extend_from_slice(&key.key_group.0.to_be_bytes());
    into.extend_from_slice(key.tenant.as_str().as_bytes());
    into.push(0);
    match scope {
        Scope::Caller => into.extend_from_slice(&[OF_CALLER, key.bucket.0]),
        Scope::Slot => into.extend_from_slice(&[1, (slot & 0xff) as u8]),
    }
}

/// A whole row key.
pub(crate) fn row(prefix: &[u8], operator: u8, table: u8, key: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(prefix.len() + 2 + key.len());
    whole.extend_from_slice(prefix);
    whole.push(operator);
    whole.push(table);
    whole.extend_from_slice(key);
    whole
}

/// The row of a pending job.
pub(crate) fn job(key: &Key, job_id: JobId) -> Vec<u8> {
    let mut prefix = Vec::new();
    row_prefix(&mut prefix, key, Scope::Caller, 0);
    row(&prefix, ENGINE, JOBS, job_id.as_bytes())
}

pub(crate) const fn timer_table(kind: TimerKind) -> u8 {
    match kind {
        TimerKind::Now => TIMERS_FIRST,
        TimerKind::Event => TIMERS_FIRST + 1,
    }
}

/// A row key taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowKey<'a> {
    pub(crate) key_group: u16,
    pub(crate) tenant: &'a str,
    pub(crate) scope: u8,
    pub(crate) bucket: u8,
    pub(crate) operator: u8,
    pub(crate) table: u8,
    pub(crate) key: &'a [u8],
}

/// Takes a row key apart; none when it is not one.
pub(crate) fn parse_row(key: &[u8]) -> Option<RowKey<'_>> {
    let (&namespace, rest) = key.split_first()?;
    if namespace != ROWS {
        return None;
    }
    let (group, rest) = rest.split_at_checked(2)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    let (tenant, rest) = rest.split_at_checked(end)?;
    let [_, scope, bucket, operator, table, key @ ..] = rest else { return None };
    Some(RowKey {
        key_group: u16::from_be_bytes(group.try_into().ok()?),
        tenant: std::str::from_utf8(tenant).ok()?,
        scope: *scope,
        bucket: *bucket,
        operator: *operator,
        table: *table,
        key,
    })
}

/// The row that says how far the records of layouts before are told again.
pub(crate) fn retold() -> Vec<u8> {
    vec![ROWS, 0, 0, 0, 0, 0, ENGINE, RETOLD]
}

/// The same row in another key group.
pub(crate) fn in_group(row_key: &[u8], group: KeyGroup) -> Vec<u8> {
    let mut moved = row_key.to_vec();
    if let Some(place) = moved.get_mut(1..3) {
        place.copy_from_slice(&group.0.to_be_bytes());
    }
    moved
}

/// Index entry of a timer.
pub(crate) fn due(kind: TimerKind, at_ms: i64, row_key: &[u8]) -> Vec<u8> {
    let mut key = due_bound(kind, at_ms);
    key.extend_from_slice(row_key);
    key
}

/// The first index entry of timers due at `at_ms` or later.
pub(crate) fn due_bound(kind: TimerKind, at_ms: i64) -> Vec<u8> {
    let mut key = vec![DUE, timer_table(kind)];
    key.extend_from_slice(&sortable(at_ms));
    key
}

/// Time and row key of a due entry.
pub(crate) fn parse_due(key: &[u8]) -> Option<(i64, &[u8])> {
    let (at, row_key) = key.get(2..)?.split_at_checked(8)?;
    Some((unsortable(at)?, row_key))
}

/// Index entry of a job. A lane is what jobs queue for: their kind and target.
pub(crate) fn ready(tenant: &str, lane: &str, not_before_ms: i64, row_key: &[u8]) -> Vec<u8> {
    let mut key = ready_prefix(tenant, lane);
    key.extend_from_slice(&sortable(not_before_ms));
    key.extend_from_slice(row_key);
    key
}

/// What all ready entries of a tenant's lane start with.
pub(crate) fn ready_prefix(tenant: &str, lane: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(tenant.len() + lane.len() + 96);
    key.push(READY);
    key.extend_from_slice(tenant.as_bytes());
    key.push(0);
    key.extend_from_slice(lane.as_bytes());
    key.push(0);
    key
}

/// A ready entry taken apart.
pub(crate) struct Ready<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) lane: &'a str,
    pub(crate) not_before_ms: i64,
    pub(crate) row_key: &'a [u8],
}

/// Takes a ready entry apart; none when it is not one.
pub(crate) fn parse_ready(key: &[u8]) -> Option<Ready<'_>> {
    let (tenant, rest) = text(key.strip_prefix(&[READY])?)?;
    let (lane, rest) = text(rest)?;
    let (at, row_key) = rest.split_at_checked(8)?;
    Some(Ready { tenant, lane, not_before_ms: unsortable(at)?, row_key })
}

/// A text up to its 0, and what follows.
fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let (text, rest) = bytes.split_at_checked(end)?;
    Some((std::str::from_utf8(text).ok()?, rest.get(1..)?))
}

/// The row of an output record.
pub(crate) fn output(topic: Topic, key: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(key.len() + 2);
    whole.push(OUTPUTS);
    whole.push(topic.number());
    whole.extend_from_slice(key);
    whole
}

/// The key just behind all keys that start with `prefix`.
pub(crate) fn behind(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

/// Big endian with the sign flipped, so that bytes sort as numbers do.
fn sortable(value: i64) -> [u8; 8] {
    ((value as u64) ^ (1 << 63)).to_be_bytes()
}

fn unsortable(bytes: &[u8]) -> Option<i64> {
    Some((u64::from_be_bytes(bytes.try_into().ok()?) ^ (1 << 63)) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use leadline_schemas::TenantId;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_row_key_is_taken_apart_as_it_was_put_together(caller in ".{0,20}", operator: u8, table: u8, key: Vec<u8>) {
            let whole_key = Key::new(TenantId::new("summit").unwrap(), &caller, 4);
            let mut prefix = Vec::new();
            row_prefix(&mut prefix, &whole_key, Scope::Caller, 0);
            let whole = row(&prefix, operator, table, &key);
            let parsed = parse_row(&whole).unwrap();
            prop_assert_eq!(parsed.tenant, "summit");
            prop_assert_eq!(parsed.key_group, whole_key.key_group.0);
            prop_assert_eq!((parsed.bucket, parsed.operator, parsed.table, parsed.key), (whole_key.bucket.0, operator, table, &key[..]));
        }

        #[test]
        fn due_entries_sort_by_time(a: i64, b: i64) {
            let (first, second) = (due(TimerKind::Now, a, b"x"), due(TimerKind::Now, b, b"x"));
            prop_assert_eq!(a.cmp(&b), first.cmp(&second));
            prop_assert_eq!(parse_due(&first).unwrap().0, a);
        }
    }

    #[test]
    fn behind_is_the_least_key_after_a_prefix() {
        assert_eq!(behind(&[1, 2]), vec![1, 3]);
        assert_eq!(behind(&[1, 255]), vec![2]);
    }
}
