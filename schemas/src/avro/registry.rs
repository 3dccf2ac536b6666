//! All schemas that this binary knows: what is published under its fingerprint before its first use.

use std::sync::LazyLock;

use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};

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
use crate::pull::Pull;
use crate::reply::{PendingJob, Reply};
use crate::request::Request;
use crate::settings::Tenant;
use crate::state::{
    Asked, DeliveryState, Digest, Reaction, Ringing, Routed, Seen, Spent, WindowState, WriteBack,
};
use crate::topic::Topic;
use crate::transcription::Transcription;
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

const RECORDS: [CodecOf; 27] = [
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
    Reaction::codec,
    DeliveryState::codec,
    Digest::codec,
    Pull::codec,
    Asked::codec,
    Spent::codec,
    Transcription::codec,
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

/// All versions of the record that a topic holds, oldest first; none of `state`, whose frames are no single record.
pub fn of_topic(topic: Topic) -> impl Iterator<Item = &'static SchemaEntry> {
    let name = match topic {
        Topic::Inbound => Inbound::NAME,
        Topic::Replies => Reply::NAME,
        Topic::Settings => Tenant::NAME,
        Topic::State => "",
        Topic::Requests => Request::NAME,
        Topic::Calls => CallRecord::NAME,
        Topic::Leads => Lead::NAME,
        Topic::LeadEvents => LeadEvent::NAME,
        Topic::Deliveries => Delivery::NAME,
        Topic::Metrics => WindowMetrics::NAME,
        Topic::Audit => Audit::NAME,
        Topic::DeadLetters => DeadLetter::NAME,
    };
    all().iter().filter(move |entry| entry.name == name)
}

/// The fingerprint of a schema that somebody else keeps (JSON); an error says why it is none.
pub fn fingerprint_of_schema(json: &str) -> Result<u64, String> {
    let schema: serde_avro_fast::Schema =
        json.parse().map_err(|why: serde_avro_fast::schema::SchemaError| why.to_string())?;
    Ok(u64::from_le_bytes(*schema.rabin_fingerprint()))
}

/// Whether whoever has one of two schemas (JSON) reads what was written with the other; an error says why not.
pub fn are_compatible(one: &str, other: &str) -> Result<(), String> {
    let parse = |json| apache_avro::Schema::parse_str(json).map_err(|why| why.to_string());
    let verdict = SchemaCompatibility::mutual_read(&parse(one)?, &parse(other)?);
    match verdict.map_err(|why| why.to_string())? {
        Compatibility::Full => Ok(()),
        Compatibility::Partial => Err("what one writes the other reads only in part".to_owned()),
    }
}

/// The fingerprint of one version of a record's schema.
pub fn fingerprint(name: &str, version: u8) -> Option<u64> {
    let entry = all().iter().find(|entry| entry.name == name && entry.version == version)?;
    Some(entry.fingerprint)
}
