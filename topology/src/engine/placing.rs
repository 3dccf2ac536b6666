//! Placing: to which caller's partition a record of a spread tenant goes when the layout changes.
//!
//! A record's row must lie where its next change is made, or the topics and the record store would be told of what it was
//! after what it is. Calls and leads name their caller; the others name a call, a lead or an event, or keep what was fed.
//! Of what is still under way there is no call or lead yet, but operators have rows of it, which lie with the caller.
//! All of these lie in one snapshot, for one partition had them.

use std::collections::HashMap;

use bytes::Bytes;
use leadline_operators::contract::{Operator as _, OperatorId, TableSpec};
use leadline_operators::dedupe::{self, Dedupe};
use leadline_operators::deliveries::{self, Deliveries};
use leadline_operators::pull::{self, PullCalls};
use leadline_schemas::avro;
use leadline_schemas::call::CallRecord;
use leadline_schemas::dead_letter::{DeadLetter, InputKind};
use leadline_schemas::delivery::Delivery;
use leadline_schemas::inbound::Inbound;
use leadline_schemas::lead::{Lead, LeadEvent};
use leadline_schemas::partitioning::bucket;
use leadline_schemas::reply::Reply;
use leadline_schemas::request::Request;
use leadline_schemas::window::WindowMetrics;
use leadline_schemas::{TenantId, Topic};
use xxhash_rust::xxh3::Xxh3;

use super::keys;
use super::restore::RestoreError;

/// What a record is known by, with its tenant, as a hash: a snapshot may have millions.
type Name = u64;

/// What operators keep under names that records are known by.
const NAMED: [(OperatorId, TableSpec, &[u8]); 4] = [
    (Dedupe::ID, dedupe::SEEN.spec, CALL),
    (Dedupe::ID, dedupe::ALIASES.spec, CALL),
    (PullCalls::ID, pull::PULLS.spec, CALL),
    (Deliveries::ID, deliveries::LINES.spec, DELIVERY),
];

const CALL: &[u8] = b"call";
const LEAD: &[u8] = b"lead";
const EVENT: &[u8] = b"event";
const DELIVERY: &[u8] = b"delivery";

/// The buckets of the calls, leads, deliveries and failed events of a snapshot's spread tenants.
#[derive(Debug, Default)]
pub(super) struct Places(HashMap<Name, u8>);

fn name(tenant: &TenantId, kind: &[u8], id: &[u8]) -> Name {
    let mut hash = Xxh3::new();
    for part in [tenant.as_str().as_bytes(), kind, id] {
        hash.update(&part.len().to_be_bytes());
        hash.update(part);
    }
    hash.digest()
}

fn call(tenant: &TenantId, call_id: &str) -> Name {
    name(tenant, CALL, call_id.as_bytes())
}

impl Places {
    /// Takes in what a record says of where others belong.
    pub(super) fn note(&mut self, topic: Topic, value: &[u8]) -> Result<(), RestoreError> {
        match topic {
            Topic::Calls => {
                let record = decoded::<CallRecord>(value)?;
                let bucket = bucket(&record.caller).0;
                for call_id in record.aliases.iter().chain([&record.call_id]) {
                    self.0.insert(call(&record.tenant, call_id), bucket);
                }
            }
            Topic::Leads => {
                let record = decoded::<Lead>(value)?;
                let lead = name(&record.tenant, LEAD, record.lead_id.as_bytes());
                self.0.insert(lead, bucket(&record.caller).0);
            }
            Topic::DeadLetters => {
                let letter = decoded::<DeadLetter>(value)?;
                if let Some(inbound) = event_of(&letter) {
                    let event = name(&inbound.tenant, EVENT, inbound.event_id.as_bytes());
                    self.0.insert(event, inbound.bucket.0);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes in where a row lies that is kept under a name.
    pub(super) fn note_named(&mut self, tenant: &TenantId, row: &Named<'_>) {
        self.0.insert(name(tenant, row.kind, row.name), row.bucket);
    }

    /// The bucket, of metrics the slot, that a record belongs to; none when it does not say.
    pub(super) fn of(&self, topic: Topic, value: &[u8]) -> Result<Option<u8>, RestoreError> {
        let known = |name: Name| self.0.get(&name).copied();
        Ok(match topic {
            Topic::Requests => {
                let request = decoded::<Request>(value)?;
                let event = name(&request.tenant, EVENT, request.request_id.as_bytes());
                let of_call = request.call_id.and_then(|call_id| known(call(&request.tenant, &call_id)));
                of_call.or_else(|| known(event))
            }
            Topic::Calls => Some(bucket(&decoded::<CallRecord>(value)?.caller).0),
            Topic::Leads => Some(bucket(&decoded::<Lead>(value)?.caller).0),
            Topic::LeadEvents => {
                let line = decoded::<LeadEvent>(value)?;
                known(name(&line.tenant, LEAD, line.lead_id.as_bytes()))
            }
            Topic::Deliveries => {
                let line = decoded::<Delivery>(value)?;
                let key = deliveries::key_of(&line.integration, &line.subject);
                let of_line = known(name(&line.tenant, DELIVERY, &key));
                let of_call = line.call_id().and_then(|call_id| known(call(&line.tenant, call_id)));
                let lead = line.lead_id.map(|lead_id| name(&line.tenant, LEAD, lead_id.as_bytes()));
                of_line.or(of_call).or_else(|| lead.and_then(known))
            }
            Topic::Metrics => u8::try_from(decoded::<WindowMetrics>(value)?.slot).ok(),
            Topic::DeadLetters => bucket_of_input(&decoded::<DeadLetter>(value)?),
            _ => None,
        })
    }
}

/// A row that is kept under a name which records are known by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named<'a> {
    pub(super) tenant: &'a str,
    bucket: u8,
    kind: &'static [u8],
    name: &'a [u8],
}

impl<'a> Named<'a> {
    /// The row of this key, if it is one.
    pub(super) fn of(key: &'a [u8]) -> Option<Self> {
        let row = keys::parse_row(key).filter(|row| row.scope == keys::OF_CALLER)?;
        let is_its = |operator: OperatorId, table: TableSpec| {
            (operator.number, table.number) == (row.operator, row.table)
        };
        let (_, _, kind) = NAMED.into_iter().find(|(operator, table, _)| is_its(*operator, *table))?;
        Some(Self { tenant: row.tenant, bucket: row.bucket, kind, name: row.key })
    }
}

fn event_of(letter: &DeadLetter) -> Option<Inbound> {
    let input = letter.input.as_ref().filter(|_| letter.input_kind == InputKind::Record)?;
    Inbound::decode(input).ok()
}

/// Where what was fed would be fed again.
fn bucket_of_input(letter: &DeadLetter) -> Option<u8> {
    let input = letter.input.as_ref()?;
    match letter.input_kind {
        InputKind::Record => event_of(letter).map(|inbound| inbound.bucket.0),
        InputKind::Reply => avro::decode::<Reply>(input).ok().map(|reply| reply.bucket.0),
        // Kind and time, then the row's key.
        InputKind::Timer => keys::parse_row(input.get(9..)?).map(|row| row.bucket),
    }
}

/// The tenant of an output record, by its key or, of dead letters, by what it says.
pub(super) fn tenant_of(
    topic: Option<Topic>,
    key: &[u8],
    value: &Bytes,
) -> Result<Option<TenantId>, RestoreError> {
    if topic == Some(Topic::DeadLetters) {
        return Ok(decoded::<DeadLetter>(value)?.tenant);
    }
    let name = key.get(2..).and_then(|key| key.split(|byte| *byte == 0).next()).unwrap_or_default();
    Ok(std::str::from_utf8(name).ok().and_then(|name| TenantId::new(name).ok()))
}

fn decoded<R: avro::AvroRecord>(value: &[u8]) -> Result<R, RestoreError> {
    avro::decode(value).map_err(|error| RestoreError::Row(format!("a snapshot's record: {error}")))
}
