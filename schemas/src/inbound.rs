//! The envelope of an accepted event: topic `inbound`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::avro::{self, AvroError, avro_record};
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
    pub content_type: String,
    /// The raw body.
    pub body: Bytes,
    /// Where a body of over 4 MiB lies in the blob store.
    pub body_ref: Option<String>,
}

avro_record!(Inbound, "inbound", ["v1", "v2"]);

/// An envelope that borrows its body. Fields as in [`Inbound`], in the order of the newest schema.
#[derive(Deserialize)]
struct Borrowed<'a> {
    event_id: EventId,
    tenant: TenantId,
    key_group: KeyGroup,
    bucket: Bucket,
    caller: String,
    origin: Origin,
    kind: EventKind,
    received_at: Millis,
    settings_version: u64,
    attempt: i32,
    key_id: Option<String>,
    trace: Option<String>,
    content_type: String,
    body: &'a [u8],
    body_ref: Option<String>,
}

impl Inbound {
    /// Reads a record of topic `inbound`, as [`avro::decode`] does; the body stays a part of `bytes`.
    pub fn decode(bytes: &Bytes) -> Result<Self, AvroError> {
        let Some(read) = avro::decode_borrowed::<Self, Borrowed<'_>>(bytes) else {
            return avro::decode(bytes);
        };
        let read = read?;
        Ok(Self {
            event_id: read.event_id,
            tenant: read.tenant,
            key_group: read.key_group,
            bucket: read.bucket,
            caller: read.caller,
            origin: read.origin,
            kind: read.kind,
            received_at: read.received_at,
            settings_version: read.settings_version,
            attempt: read.attempt,
            key_id: read.key_id,
            trace: read.trace,
            content_type: read.content_type,
            body: bytes.slice_ref(read.body),
            body_ref: read.body_ref,
        })
    }

    /// The key that its state is filed under.
    pub fn key(&self) -> Key {
        Key { key_group: self.key_group, tenant: self.tenant.clone(), bucket: self.bucket }
    }
}
