//! Avro: the `.avsc` files are the source of truth; records travel as single-object encoding.
//!
//! `apache-avro` parses schemas, computes fingerprints and judges compatibility. The records themselves are
//! coded by `serde_avro_fast`, which writes the same bytes without building a `Value` tree per record.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A record type with its schemas.
pub trait AvroRecord: Serialize + DeserializeOwned {
    /// The record's name: the folder under `schemas/avro/`.
    const NAME: &'static str;
    /// Its schemas (JSON), oldest first; the last is written, all are read.
    const VERSIONS: &'static [&'static str];
}

/// Why bytes are not a record.
#[derive(Debug, thiserror::Error)]
pub enum AvroError {
    /// Written with a schema that this binary does not know; the record is not at fault.
    #[error("{record}: unknown schema fingerprint {fingerprint:016x}; a newer leadline wrote it")]
    UnknownSchema {
        /// The record type that was asked for.
        record: &'static str,
        /// The fingerprint in the header.
        fingerprint: u64,
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

/// Appends the record as a bare datum of its newest version; for rows that carry their version themselves.
pub fn encode_datum<R: AvroRecord>(_record: &R, _into: &mut Vec<u8>) -> Result<(), AvroError> {
    Err(AvroError::Malformed {
        record: R::NAME,
        why: "placeholder until branch schemas is merged".to_owned(),
    })
}

/// Reads a bare datum that was written with `version` (from 1).
pub fn decode_datum<R: AvroRecord>(_version: u8, _datum: &[u8]) -> Result<R, AvroError> {
    Err(AvroError::Malformed {
        record: R::NAME,
        why: "placeholder until branch schemas is merged".to_owned(),
    })
}
