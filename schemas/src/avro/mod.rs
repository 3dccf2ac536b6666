//! Avro: the `.avsc` files are the source of truth; records travel as single-object encoding.
//!
//! `0xC3 0x01`, the CRC-64-AVRO fingerprint of the writer's schema (8 bytes, little endian), the datum. Any Avro
//! library of any language reads it, given the schema that this crate publishes under the fingerprint ([`all`]).
//!
//! - Records of today's version are coded by `serde_avro_fast`: straight between bytes and the Rust type.
//! - Records of an older version go through `apache-avro`, which knows all rules of schema resolution (defaults,
//!   promotions, aliases), and are then decoded like today's. That happens for the length of one upgrade.
//!
//! Values in state tables carry the version in one byte of their own instead of the ten: [`append_datum`] and
//! [`decode_datum`].
//!
//! ```
//! use leadline_schemas::avro;
//! use leadline_schemas::reply::{Answered, Reply, ReplyOutcome};
//! # use leadline_schemas::{Bucket, JobId, KeyGroup, Millis, TenantId};
//! let reply = Reply {
//!     job_id: JobId::of(&[b"a job"]),
//!     tenant: TenantId::new("summit-kitchens")?,
//!     key_group: KeyGroup(17),
//!     bucket: Bucket(3),
//!     outcome: ReplyOutcome::Answered(Answered { body: "{}".into(), attempts: 1, cost_micros: 0 }),
//!     at: Millis(1_772_640_753_236),
//! };
//! let bytes = avro::encode(&reply)?;
//! assert_eq!(bytes[..2], [0xC3, 0x01]);
//! assert_eq!(avro::decode::<Reply>(&bytes)?, reply);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod codec;
mod datum;
#[cfg(test)]
mod evolution_tests;
mod registry;
#[cfg(test)]
mod tests;
mod walk;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use codec::Codec;
pub(crate) use datum::{Datum, DatumWriter};
pub use registry::{SchemaEntry, all, are_compatible, fingerprint, fingerprint_of_schema, of_topic};

/// The two bytes that single-object encoding starts with.
pub const MARKER: [u8; 2] = [0xC3, 0x01];

/// What single-object encoding puts before the datum: the marker and the fingerprint.
pub const HEADER_BYTES: usize = 10;

/// What most small records fit in; growing from nothing would move them five times.
const RECORD_BYTES_USUAL: usize = 256;

/// A record type with its schemas. Implemented by [`avro_record!`], in the file of the type.
pub trait AvroRecord: Serialize + DeserializeOwned {
    /// The record's name: the folder under `schemas/avro/`.
    const NAME: &'static str;
    /// Its schemas (JSON), oldest first; the last is written, all are read.
    const VERSIONS: &'static [&'static str];

    /// The parsed schemas, parsed once per process.
    fn codec() -> Result<&'static Codec, AvroError>;
}

/// Why bytes are not a record, or a record has no bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AvroError {
    /// Written with a schema that this binary does not know; the record is not at fault.
    #[error("{record}: unknown schema fingerprint {fingerprint:016x}; a newer leadline wrote it")]
    UnknownSchema {
        /// The record type that was asked for.
        record: &'static str,
        /// The fingerprint in the header.
        fingerprint: u64,
    },
    /// A row of state of a version that this binary does not know; the row is not at fault.
    #[error("{record}: unknown version {version}; a newer leadline wrote it")]
    UnknownVersion {
        /// The record type that was asked for.
        record: &'static str,
        /// The version that the table names.
        version: u8,
    },
    /// Not single-object encoding, or cut, or damaged.
    #[error("{record}: {why}")]
    Malformed {
        /// The record type that was asked for.
        record: &'static str,
        /// What was wrong.
        why: String,
    },
}

/// The record in single-object encoding.
///
/// Fails only for values that the schema cannot hold: an unsigned number above `i64::MAX`.
pub fn encode<R: AvroRecord>(record: &R) -> Result<Vec<u8>, AvroError> {
    let mut out = Vec::with_capacity(RECORD_BYTES_USUAL);
    append(record, &mut out)?;
    Ok(out)
}

/// Appends the record in single-object encoding; `out` is as before when it fails.
pub fn append<R: AvroRecord>(record: &R, out: &mut Vec<u8>) -> Result<(), AvroError> {
    append_as::<R>(record, out)
}

/// As `append`, for a value that serializes as `R` does: one that borrows what a record would own.
pub(crate) fn append_as<R: AvroRecord>(record: &impl Serialize, out: &mut Vec<u8>) -> Result<(), AvroError> {
    let codec = R::codec()?;
    let start = out.len();
    out.extend_from_slice(&codec.header());
    codec.append_datum(record, out).inspect_err(|_| out.truncate(start))
}

/// A record out of single-object encoding, written by today's or any older version.
pub fn decode<R: AvroRecord>(bytes: &[u8]) -> Result<R, AvroError> {
    decode_as::<R, R>(bytes)
}

/// As `decode`, for a type with some of the fields of `R`: the others are walked over.
pub(crate) fn decode_as<R: AvroRecord, V: DeserializeOwned>(bytes: &[u8]) -> Result<V, AvroError> {
    let codec = R::codec()?;
    let written_with = fingerprint_of(bytes).ok_or_else(|| AvroError::Malformed {
        record: R::NAME,
        why: format!("not Avro single-object encoding ({} bytes)", bytes.len()),
    })?;
    let datum = bytes.get(HEADER_BYTES..).unwrap_or_default();
    codec.decode(codec.by_fingerprint(written_with)?, datum)
}

/// Whether these bytes were written by today's version of `R`.
pub fn is_newest<R: AvroRecord>(bytes: &[u8]) -> bool {
    newest_datum::<R>(bytes).is_some()
}

/// What stands in front of a record of today's version.
pub(crate) fn header<R: AvroRecord>() -> Result<[u8; HEADER_BYTES], AvroError> {
    Ok(R::codec()?.header())
}

/// The datum of a record of today's version; none of an older one, and of what is no record.
pub(crate) fn newest_datum<R: AvroRecord>(bytes: &[u8]) -> Option<&[u8]> {
    bytes.strip_prefix(&R::codec().ok()?.header()[..])
}

/// The fingerprint in the header of a record in single-object encoding; none where there is no such header.
pub fn fingerprint_of(bytes: &[u8]) -> Option<u64> {
    let (header, _) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let [first, second, written_with @ ..] = *header;
    ([first, second] == MARKER).then_some(u64::from_le_bytes(written_with))
}

/// The version that [`append_datum`] writes: 1 for a record with one schema.
pub const fn newest_version<R: AvroRecord>() -> u8 {
    R::VERSIONS.len() as u8
}

/// The record without a header; the caller keeps [`newest_version`] beside it.
pub fn encode_datum<R: AvroRecord>(record: &R) -> Result<Vec<u8>, AvroError> {
    let mut out = Vec::new();
    append_datum(record, &mut out)?;
    Ok(out)
}

/// Appends the record without a header; `out` is as before when it fails.
pub fn append_datum<R: AvroRecord>(record: &R, out: &mut Vec<u8>) -> Result<(), AvroError> {
    let start = out.len();
    R::codec()?.append_datum(record, out).inspect_err(|_| out.truncate(start))
}

/// A record out of a datum without a header that was written as `version`.
pub fn decode_datum<R: AvroRecord>(version: u8, datum: &[u8]) -> Result<R, AvroError> {
    let codec = R::codec()?;
    codec.decode(codec.by_version(version)?, datum)
}

/// Ties a record type to its files `schemas/avro/<name>/<version>.avsc`, oldest first.
macro_rules! avro_record {
    ($record:ty, $name:literal, [$($version:literal),+]) => {
        impl $crate::avro::AvroRecord for $record {
            const NAME: &'static str = $name;
            const VERSIONS: &'static [&'static str] =
                &[$(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/avro/", $name, "/", $version, ".avsc"))),+];

            fn codec() -> Result<&'static $crate::avro::Codec, $crate::avro::AvroError> {
                static CODEC: std::sync::LazyLock<Result<$crate::avro::Codec, $crate::avro::AvroError>> =
                    std::sync::LazyLock::new(|| {
                        $crate::avro::Codec::new(
                            <$record as $crate::avro::AvroRecord>::NAME,
                            <$record as $crate::avro::AvroRecord>::VERSIONS,
                        )
                    });
                CODEC.as_ref().map_err(Clone::clone)
            }
        }
    };
}
pub(crate) use avro_record;
