//! All schemas that this binary knows: what is published under its fingerprint before its first use.

use std::sync::LazyLock;

use super::{AvroError, AvroRecord, Codec};
use crate::audit::Audit;
use crate::call::CallRecord;
use crate::contact::Contact;
use crate::dead_letter::DeadLetter;
use crate::delivery::Delivery;
use crate::frame::CommitFrame;
use crate::inbound::Inbound;
use crate::layout::LayoutRecord;
use crate::lead::{Lead, LeadEvent};
use crate::reply::{PendingJob, Reply};
use crate::request::Request;
use crate::settings::Tenant;
use crate::state::{DeliveryState, Ringing, Routed, Seen, WindowState, WriteBack};
use crate::window::WindowMetrics;

/// One version of one record's schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaEntry {
    /// The record's name: the folder under `schemas/avro/`.
    pub name: &'static str,
    /// From 1.
    pub version: u8,
    /// The schema as it lies in its file.
    pub json: &'static str,
    /// CRC-64-AVRO of its canonical form.
    pub fingerprint: u64,
}

type CodecOf = fn() -> Result<&'static Codec, AvroError>;

const RECORDS: [CodecOf; 21] = [
    Inbound::codec,
    Reply::codec,
    PendingJob::codec,
    CallRecord::codec,
    Lead::codec,
    LeadEvent::codec,
    Request::codec,
    Delivery::codec,
    WindowMetrics::codec,
    DeadLetter::codec,
    Audit::codec,
    CommitFrame::codec,
    Tenant::codec,
    LayoutRecord::codec,
    Contact::codec,
    Seen::codec,
    WriteBack::codec,
    WindowState::codec,
    Routed::codec,
    Ringing::codec,
    DeliveryState::codec,
];

/// All schemas of all records, each record's oldest first.
pub fn all() -> &'static [SchemaEntry] {
    static ALL: LazyLock<Vec<SchemaEntry>> = LazyLock::new(|| {
        let codecs = RECORDS.iter().filter_map(|codec| codec().ok());
        let entries = codecs.flat_map(|codec| {
            codec.versions().map(|(version, json, fingerprint)| SchemaEntry {
                name: codec.record(),
                version,
                json,
                fingerprint,
            })
        });
        entries.collect()
    });
    &ALL
}

/// The fingerprint of one version of a record's schema.
pub fn fingerprint(name: &str, version: u8) -> Option<u64> {
    let entry = all().iter().find(|entry| entry.name == name && entry.version == version)?;
    Some(entry.fingerprint)
}
