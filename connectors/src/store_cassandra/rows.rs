//! What an output record is to the tables.

use std::collections::HashMap;

use leadline_schemas::columns::{
    AnyColumns, AuditColumns, CallColumns, DeadLetterColumns, DeliveryColumns, LeadColumns, LeadEventColumns,
    RequestColumns, WindowColumns,
};
use leadline_schemas::frame::Output;
use leadline_schemas::window::WindowKind;
use leadline_schemas::{EventId, Millis, Topic};

use super::config::CassandraConfig;
use super::error::unreadable;
use super::lists::List;
use crate::contract::store::StoreError;

/// A record by its id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) list: List,
    /// Empty for dead letters, which are known by their id alone.
    pub(super) tenant: String,
    pub(super) id: String,
}

/// Where lists show a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The tenant whose lists they are; empty = that of dead letters of nobody.
    pub(super) tenant: String,
    pub(super) at: i64,
    pub(super) band: Option<String>,
    pub(super) status: Option<String>,
}

/// A row to write.
#[derive(Debug)]
pub(super) enum Row {
    /// A record that is listed; no place = it has ended.
    Listed {
        key: Key,
        place: Option<Place>,
        ttl_s: i32,
        aliases: Vec<String>,
    },
    LeadEvent {
        tenant: String,
        lead_id: String,
        revision: i64,
        at: i64,
        key: EventId,
    },
    Window {
        tenant: String,
        kind: WindowKind,
        start: i64,
        slot: i32,
    },
    Audit {
        tenant: String,
        at: i64,
        id: EventId,
        ttl_s: i32,
    },
}

/// An output with what it is.
#[derive(Debug)]
pub(super) struct Change<'a> {
    pub(super) row: Row,
    pub(super) record: &'a [u8],
    pub(super) stamp: i64,
}

/// How long rows of a kind live, counted from now.
#[derive(Clone, Copy)]
pub(super) struct Lives<'a> {
    config: &'a CassandraConfig,
    now: Millis,
}

impl<'a> Lives<'a> {
    pub(super) fn new(config: &'a CassandraConfig) -> Self {
        Self { now: config.clock.wall(), config }
    }

    /// Seconds that are left of `kept_ms` behind `since`, at least one, at most the 20 years that servers know.
    fn left_s(self, since: Millis, kept_ms: i64) -> i32 {
        let until_ms = since.0.saturating_add(kept_ms).saturating_sub(self.now.0);
        i32::try_from((until_ms / 1_000).clamp(1, 20 * 365 * 86_400)).unwrap_or(1)
    }
}

/// Forever.
const NO_TTL: i32 = 0;

/// Takes an output apart; none for topics that are no rows, and for tombstones of what never ends.
pub(super) fn row(output: &Output, lives: Lives<'_>) -> Result<Option<Row>, StoreError> {
    let bytes = &output.value;
    if bytes.is_empty() {
        return Ok(ended(output));
    }
    let row = match AnyColumns::of(output.topic, bytes).map_err(unreadable)? {
        Some(AnyColumns::Request(columns)) => request(columns, lives),
        Some(AnyColumns::Call(columns)) => call(columns),
        Some(AnyColumns::Lead(columns)) => lead(columns),
        Some(AnyColumns::LeadEvent(columns)) => lead_event(columns, &output.key),
        Some(AnyColumns::Delivery(columns)) => delivery(columns),
        Some(AnyColumns::Window(columns)) => window(columns),
        Some(AnyColumns::Audit(columns)) => audit(columns, lives),
        Some(AnyColumns::DeadLetter(columns)) => dead_letter(columns, lives),
        None => return Ok(None),
    };
    Ok(Some(row))
}

/// Dead letters end when they were replayed.
fn ended(output: &Output) -> Option<Row> {
    let id = std::str::from_utf8(&output.key).ok().and_then(|id| uuid::Uuid::parse_str(id).ok());
    let (Topic::DeadLetters, Some(id)) = (output.topic, id) else { return None };
    let key = Key { list: List::DeadLetters, tenant: String::new(), id: id.to_string() };
    Some(Row::Listed { key, place: None, ttl_s: NO_TTL, aliases: Vec::new() })
}

fn listed(key: Key, at: Millis, band: Option<String>, status: Option<String>, ttl_s: i32) -> Row {
    let place = Place { tenant: key.tenant.clone(), at: at.0, band, status };
    Row::Listed { key, place: Some(place), ttl_s, aliases: Vec::new() }
}

fn request(request: RequestColumns, lives: Lives<'_>) -> Row {
    let key = Key {
        list: List::Requests,
        tenant: request.tenant.as_str().to_owned(),
        id: request.request_id.to_string(),
    };
    let ttl_s = lives.left_s(request.received_at, lives.config.requests_kept_ms);
    listed(key, request.received_at, None, Some(request.status.name().to_owned()), ttl_s)
}

fn call(call: CallColumns) -> Row {
    let tenant = call.tenant.as_str().to_owned();
    let place = Place {
        tenant: tenant.clone(),
        at: call.started_at.0,
        band: call.band().map(str::to_owned),
        status: None,
    };
    let key = Key { list: List::Calls, tenant, id: call.call_id };
    Row::Listed { key, place: Some(place), ttl_s: NO_TTL, aliases: call.aliases }
}

fn lead(lead: LeadColumns) -> Row {
    let key =
        Key { list: List::Leads, tenant: lead.tenant.as_str().to_owned(), id: lead.lead_id.to_string() };
    listed(key, lead.last_contact_at, Some(lead.band), Some(lead.status), NO_TTL)
}

fn lead_event(line: LeadEventColumns, key: &[u8]) -> Row {
    Row::LeadEvent {
        tenant: line.tenant.as_str().to_owned(),
        lead_id: line.lead_id.to_string(),
        revision: line.revision,
        at: line.at.0,
        key: EventId::of(&[key]),
    }
}

/// What a delivery is filed under. Names of integrations hold no NUL, so it names one delivery.
pub(super) fn delivery_id(integration: &str, subject: &str) -> String {
    format!("{integration}\0{subject}")
}

fn delivery(line: DeliveryColumns) -> Row {
    let key = Key {
        list: List::Deliveries,
        tenant: line.tenant.as_str().to_owned(),
        id: delivery_id(&line.integration, &line.subject),
    };
    listed(key, line.queued_at, None, Some(line.status.name().to_owned()), NO_TTL)
}

fn window(row: WindowColumns) -> Row {
    Row::Window {
        tenant: row.tenant.as_str().to_owned(),
        kind: row.window,
        start: row.start.0,
        slot: row.slot,
    }
}

fn audit(line: AuditColumns, lives: Lives<'_>) -> Row {
    let ttl_s = lives.left_s(line.at, lives.config.audit_kept_ms);
    Row::Audit { tenant: line.tenant.as_str().to_owned(), at: line.at.0, id: line.id, ttl_s }
}

fn dead_letter(letter: DeadLetterColumns, lives: Lives<'_>) -> Row {
    let key = Key { list: List::DeadLetters, tenant: String::new(), id: letter.id.to_string() };
    let place = Place {
        tenant: letter.tenant.map_or_else(String::new, |tenant| tenant.as_str().to_owned()),
        at: letter.failed_at.0,
        band: None,
        status: Some(letter.status),
    };
    let ttl_s = lives.left_s(letter.failed_at, lives.config.dead_letters_kept_ms);
    Row::Listed { key, place: Some(place), ttl_s, aliases: Vec::new() }
}

/// Of each key the last output of a commit: the others were never seen by anybody.
pub(super) fn last_of_each_key(outputs: &[Output]) -> impl Iterator<Item = &Output> {
    let mut last: HashMap<(Topic, &[u8]), usize> = HashMap::with_capacity(outputs.len());
    for (index, output) in outputs.iter().enumerate() {
        last.insert((output.topic, &output.key), index);
    }
    let keep =
        move |(index, output): &(usize, &Output)| last.get(&(output.topic, &*output.key)) == Some(index);
    outputs.iter().enumerate().filter(keep).map(|(_, output)| output)
}
