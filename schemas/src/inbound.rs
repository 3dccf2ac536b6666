//! The envelope of an accepted event: topic `inbound`.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::avro::{self, AvroError, Datum, DatumWriter, avro_record};
use crate::command::Command;
use crate::partitioning::Key;
use crate::{Bucket, EventId, KeyGroup, Millis, TenantId};

/// Who accepted the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A webhook of CallRail.
    CallrailWebhook,
    /// A row of CallRail's API (the reconciler, a backfill).
    CallrailPull,
    /// A web form.
    Form,
    /// `POST /v1/tenants/{tenant}/events`.
    Direct,
    /// `POST /v1/tenants/{tenant}/process`.
    Process,
    /// A command of the API or the command line (`command.rs`).
    Command,
}

/// What kind of event the path or the shape of the body says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The phone rings.
    PreCall,
    /// The call was routed; says nothing of an answer.
    CallRoutingComplete,
    /// The call is over; up to 20 minutes late.
    PostCall,
    /// A call's record changed.
    CallModified,
    /// An outbound call is over.
    OutboundPostCall,
    /// An outbound call's record changed.
    OutboundCallModified,
    /// A text came in.
    TextReceived,
    /// A text went out.
    TextSent,
    /// A form was submitted.
    FormSubmission,
    /// Convert Assist finished its answers about a call.
    ConvertAssistComplete,
    /// A command.
    Command,
}

impl Origin {
    /// All of them, in the order of the schema's symbols.
    const ALL: [Self; 6] =
        [Self::CallrailWebhook, Self::CallrailPull, Self::Form, Self::Direct, Self::Process, Self::Command];
}

impl EventKind {
    /// The ten kinds of CallRail, as their webhook paths name them.
    pub const CALLRAIL: [Self; 10] = [
        Self::PreCall,
        Self::CallRoutingComplete,
        Self::PostCall,
        Self::CallModified,
        Self::OutboundPostCall,
        Self::OutboundCallModified,
        Self::TextReceived,
        Self::TextSent,
        Self::FormSubmission,
        Self::ConvertAssistComplete,
    ];

    /// The kind at this place among the schema's symbols: those of CallRail, then the command.
    fn of_symbol(place: usize) -> Option<Self> {
        let command = (place == Self::CALLRAIL.len()).then_some(Self::Command);
        Self::CALLRAIL.get(place).copied().or(command)
    }

    /// The name in paths, records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PreCall => "pre_call",
            Self::CallRoutingComplete => "call_routing_complete",
            Self::PostCall => "post_call",
            Self::CallModified => "call_modified",
            Self::OutboundPostCall => "outbound_post_call",
            Self::OutboundCallModified => "outbound_call_modified",
            Self::TextReceived => "text_received",
            Self::TextSent => "text_sent",
            Self::FormSubmission => "form_submission",
            Self::ConvertAssistComplete => "convert_assist_complete",
            Self::Command => "command",
        }
    }

    /// The kind that a webhook path names.
    pub fn from_path(name: &str) -> Option<Self> {
        Self::CALLRAIL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One accepted event. `schemas/avro/inbound/`.
///
/// Either `body` or `body_ref` holds the raw body, byte for byte as it was signed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inbound {
    /// Unique per accepted event; a client's own idempotency key decides it where there is one.
    pub event_id: EventId,
    /// The tenant it belongs to.
    pub tenant: TenantId,
    /// The key group, computed by the source.
    pub key_group: KeyGroup,
    /// The caller's bucket, computed by the source.
    pub bucket: Bucket,
    /// E.164 number, else email, else the event's subject id: what `bucket` is the hash of.
    pub caller: String,
    /// Who accepted it.
    pub origin: Origin,
    /// What it is.
    pub kind: EventKind,
    /// When it was accepted, by the source's clock.
    pub received_at: Millis,
    /// The settings it was accepted under; no epoch with older settings takes it.
    pub settings_version: u64,
    /// 0 at first; how often it was replayed.
    pub attempt: i32,
    /// The key its payload is sealed with; none = plain.
    pub key_id: Option<String>,
    /// W3C traceparent of the request, where it carried one.
    pub trace: Option<String>,
    /// Media type of the body.
    pub content_type: Cow<'static, str>,
    /// The raw body.
    pub body: Bytes,
    /// Where a body of over 4 MiB lies in the blob store.
    pub body_ref: Option<String>,
}

avro_record!(Inbound, "inbound", ["v1", "v2"]);

/// The media type of nearly all bodies.
const JSON: &str = "application/json";

/// A media type; the usual one takes no memory of its own.
fn media_type(text: &str) -> Cow<'static, str> {
    if text == JSON { Cow::Borrowed(JSON) } else { Cow::Owned(text.to_owned()) }
}

/// What the envelope of most bodies fits in, beside the body.
const ENVELOPE_BYTES_USUAL: usize = 256;

impl Inbound {
    /// Reads a record of topic `inbound`, as [`avro::decode`] does; the body stays a part of `bytes`.
    ///
    /// Every event passes here. A record of today's version is read field by field, three times as fast as by serde;
    /// what cannot be read so goes the usual way, which knows older versions and says what is wrong.
    pub fn decode(bytes: &Bytes) -> Result<Self, AvroError> {
        match avro::newest_datum::<Self>(bytes).and_then(|datum| Self::read(bytes, datum)) {
            Some(inbound) => Ok(inbound),
            None => avro::decode(bytes),
        }
    }

    /// A datum of the newest version, a part of `bytes`.
    fn read(bytes: &Bytes, datum: &[u8]) -> Option<Self> {
        let mut datum = Datum::new(datum);
        let inbound = Self {
            event_id: EventId(Uuid::parse_str(datum.text()?).ok()?),
            tenant: TenantId::new(datum.text()?).ok()?,
            key_group: KeyGroup(datum.number()?),
            bucket: Bucket(datum.number()?),
            caller: datum.text()?.to_owned(),
            origin: *Origin::ALL.get(datum.number::<usize>()?)?,
            kind: EventKind::of_symbol(datum.number()?)?,
            received_at: Millis(datum.number()?),
            settings_version: datum.number()?,
            attempt: datum.number()?,
            key_id: datum.optional_text()?.map(str::to_owned),
            trace: datum.optional_text()?.map(str::to_owned),
            content_type: media_type(datum.text()?),
            body: bytes.slice_ref(datum.bytes()?),
            body_ref: datum.optional_text()?.map(str::to_owned),
        };
        datum.is_at_end().then_some(inbound)
    }

    /// The record as it lies on topic `inbound`: what [`avro::encode`] makes of it, three times as fast.
    pub fn encode(&self) -> Result<Vec<u8>, AvroError> {
        // Room for all but the longest callers and media types.
        let mut bytes = Vec::with_capacity(self.body.len() + ENVELOPE_BYTES_USUAL);
        bytes.extend_from_slice(&avro::header::<Self>()?);
        match self.write(&mut DatumWriter(&mut bytes)) {
            Some(()) => Ok(bytes),
            None => avro::encode(self),
        }
    }

    /// Appends a datum of the newest version; none if it holds a number that the schema has no room for.
    fn write(&self, datum: &mut DatumWriter<'_>) -> Option<()> {
        let mut event_id = [0; uuid::fmt::Hyphenated::LENGTH];
        datum.bytes(self.event_id.0.hyphenated().encode_lower(&mut event_id).as_bytes());
        datum.bytes(self.tenant.as_str().as_bytes());
        datum.number(self.key_group.0.into());
        datum.number(self.bucket.0.into());
        datum.bytes(self.caller.as_bytes());
        // Both are declared in the order of the schema's symbols.
        datum.number(self.origin as i64);
        datum.number(self.kind as i64);
        datum.number(self.received_at.0);
        datum.number(i64::try_from(self.settings_version).ok()?);
        datum.number(self.attempt.into());
        datum.optional_text(self.key_id.as_deref());
        datum.optional_text(self.trace.as_deref());
        datum.bytes(self.content_type.as_bytes());
        datum.bytes(&self.body);
        datum.optional_text(self.body_ref.as_deref());
        Some(())
    }

    /// A JSON body that was accepted now, for the first time.
    pub fn new(
        event_id: EventId,
        key: Key,
        caller: &str,
        (origin, kind): (Origin, EventKind),
        (received_at, settings_version): (Millis, u64),
        body: Bytes,
    ) -> Self {
        Self {
            event_id,
            tenant: key.tenant,
            key_group: key.key_group,
            bucket: key.bucket,
            caller: caller.to_owned(),
            origin,
            kind,
            received_at,
            settings_version,
            attempt: 0,
            key_id: None,
            trace: None,
            content_type: Cow::Borrowed(JSON),
            body,
            body_ref: None,
        }
    }

    /// A command about what lies under a key; the error is that of writing JSON.
    pub fn command(
        event_id: EventId,
        key: Key,
        caller: &str,
        command: &Command,
        at: (Millis, u64),
    ) -> Result<Self, serde_json::Error> {
        let body = Bytes::from(serde_json::to_vec(command)?);
        Ok(Self::new(event_id, key, caller, (Origin::Command, EventKind::Command), at, body))
    }

    /// The key that its state is filed under.
    pub fn key(&self) -> Key {
        Key { key_group: self.key_group, tenant: self.tenant.clone(), bucket: self.bucket }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{any_value, newest_schema, write};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn field_by_field_it_is_what_avro_reads(value in any_value::<Inbound>(), place: prop::sample::Index, flip: u8) {
            let datum = write(&newest_schema::<Inbound>(), value);
            let record: Inbound = avro::decode_datum(avro::newest_version::<Inbound>(), &datum).unwrap();
            let encoded = Bytes::from(avro::encode(&record).unwrap());
            prop_assert_eq!(&record.encode().unwrap(), &encoded);
            let read = Inbound::read(&encoded, &encoded[avro::HEADER_BYTES..]);
            prop_assert_eq!(read.as_ref(), Some(&record));
            prop_assert_eq!(&Inbound::decode(&encoded).unwrap(), &record);

            let mut damaged = encoded.to_vec();
            let place = place.index(damaged.len());
            damaged[place] ^= flip;
            let damaged = Bytes::from(damaged);
            prop_assert_eq!(Inbound::decode(&damaged), avro::decode(&damaged));
            let cut = encoded.slice(..place);
            prop_assert_eq!(Inbound::decode(&cut), avro::decode(&cut));
        }
    }
}
