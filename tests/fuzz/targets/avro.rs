//! Hostile Avro: every record type in every version, with header and as a datum.
//!
//! Input: a byte that chooses the record, a byte that chooses version and form, the bytes.

use leadline_schemas::avro::{self, AvroError, AvroRecord};

use super::Target;

pub const TARGET: Target = Target {
    name: "avro",
    run: avro_record,
    tokens: &[
        b"\xC3\x01",
        b"\x00",
        b"\x02",
        b"\x01",
        b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
        b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01",
        b"\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F",
        b"\xFE\xFF\xFF\xFF\x0F",
        b"\x48",
        b"0f8fad5b-d9cb-869f-a165-70867728950e",
        b"summit",
        b"\xE2\x82",
    ],
    // Parsed schemas are kept; they are loaded with the first inputs.
    memory_bytes_base: 4 << 20,
    memory_bytes_per_byte: 512,
    large: &[],
};

macro_rules! records {
    ($($record:ty),+ $(,)?) => {
        const RECORDS: &[fn(u8, &[u8])] = &[$(one::<$record>),+];
    };
}

records!(
    leadline_schemas::inbound::Inbound,
    leadline_schemas::reply::Reply,
    leadline_schemas::reply::PendingJob,
    leadline_schemas::call::CallRecord,
    leadline_schemas::lead::Lead,
    leadline_schemas::lead::LeadEvent,
    leadline_schemas::request::Request,
    leadline_schemas::delivery::Delivery,
    leadline_schemas::window::WindowMetrics,
    leadline_schemas::dead_letter::DeadLetter,
    leadline_schemas::audit::Audit,
    leadline_schemas::frame::CommitFrame,
    leadline_schemas::settings::Tenant,
    leadline_schemas::layout::LayoutRecord,
    leadline_schemas::contact::Contact,
    leadline_schemas::state::Seen,
    leadline_schemas::state::WriteBack,
    leadline_schemas::state::WindowState,
    leadline_schemas::state::Routed,
    leadline_schemas::state::Ringing,
    leadline_schemas::state::DeliveryState,
);

/// Reads a record.
pub fn avro_record(input: &[u8]) {
    let [which, form, bytes @ ..] = input else { return };
    let read = RECORDS[usize::from(*which) % RECORDS.len()];
    read(*form, bytes);
}

fn one<R: AvroRecord>(form: u8, bytes: &[u8]) {
    let versions = avro::newest_version::<R>();
    let version = form >> 1;
    let read = if form & 1 == 0 {
        avro::decode_datum::<R>(version % (versions + 2), bytes)
    } else {
        // Under a real fingerprint where one was chosen, else as the bytes say.
        match avro::fingerprint(R::NAME, version % (versions + 2)) {
            Some(fingerprint) => {
                let header = [&avro::MARKER[..], &fingerprint.to_le_bytes()].concat();
                avro::decode::<R>(&[&header, bytes].concat())
            }
            None => avro::decode::<R>(bytes),
        }
    };
    match read {
        Ok(record) => {
            // A record that was read can be written and read again, and is the same then. Compared as bytes: not a
            // number is no number.
            let again = avro::encode(&record).unwrap();
            let twice = avro::encode(&avro::decode::<R>(&again).unwrap()).unwrap();
            assert_eq!(again, twice);
        }
        Err(AvroError::Malformed { why, .. }) => assert!(why.len() < 2_000, "{why}"),
        Err(_) => {}
    }
}
