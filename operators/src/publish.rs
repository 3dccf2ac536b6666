//! Records as they stand in their output topics: topic, natural key, Avro.

use bytes::Bytes;
use leadline_schemas::audit::Audit;
use leadline_schemas::avro::{self, AvroError, AvroRecord};
use leadline_schemas::call::CallRecord;
use leadline_schemas::delivery::Delivery;
use leadline_schemas::frame::Output;
use leadline_schemas::lead::{Lead, LeadEvent};
use leadline_schemas::request::Request;
use leadline_schemas::window::WindowMetrics;
use leadline_schemas::{TenantId, Topic};

/// What an operator emits and may be a record of a topic.
pub trait Publish {
    /// The record for the log; none for what only flows on.
    fn publish(&self) -> Option<Result<Output, AvroError>>;
}

/// Room that a record is encoded in, enough for most; it is given back but for what the record takes.
const ROOM_BYTES: usize = 4 << 10;

/// Tenant first, so that a tenant's records are a range; parts end with a zero byte. Key and value share one allocation.
fn record<R: AvroRecord>(
    topic: Topic,
    tenant: &TenantId,
    parts: &[&[u8]],
    value: &R,
) -> Result<Output, AvroError> {
    let mut bytes = Vec::with_capacity(ROOM_BYTES);
    bytes.extend_from_slice(tenant.as_str().as_bytes());
    for part in parts {
        bytes.push(0);
        bytes.extend_from_slice(part);
    }
    let key_bytes = bytes.len();
    avro::append(value, &mut bytes)?;
    let mut value = Bytes::from(bytes.into_boxed_slice());
    let key = value.split_to(key_bytes);
    Ok(Output { topic, key, value })
}

macro_rules! publish {
    ($record:ty, $topic:ident, |$value:ident| [$($part:expr),*]) => {
        impl Publish for $record {
            fn publish(&self) -> Option<Result<Output, AvroError>> {
                let $value = self;
                Some(record(Topic::$topic, &self.tenant, &[$($part),*], self))
            }
        }
    };
}

publish!(CallRecord, Calls, |call| [call.call_id.as_bytes()]);
publish!(Lead, Leads, |lead| [lead.lead_id.as_bytes()]);
publish!(LeadEvent, LeadEvents, |line| [line.lead_id.as_bytes(), &line.revision.to_be_bytes()]);
publish!(Request, Requests, |request| [request.request_id.as_bytes()]);
publish!(Delivery, Deliveries, |line| [line.integration.as_bytes(), line.subject.as_bytes()]);
publish!(WindowMetrics, Metrics, |row| [
    row.window.name().as_bytes(),
    &row.start.0.to_be_bytes(),
    &row.slot.to_be_bytes()
]);
publish!(Audit, Audit, |line| [line.id.as_bytes()]);
