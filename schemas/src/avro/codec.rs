//! The parsed schemas of one record type, and what is done with them.

use std::io::BufRead;
use std::sync::OnceLock;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_avro_fast::de::read::SliceRead;
use serde_avro_fast::de::{DeserializerConfig, DeserializerState};
use serde_avro_fast::ser::{SerializerConfig, SerializerState};

use super::walk::Walk;
use super::{AvroError, HEADER_BYTES, MARKER};

/// The parsed schemas of one record type.
#[derive(Debug)]
pub struct Codec {
    record: &'static str,
    older: Vec<Version>,
    newest: Version,
}

/// One schema of a record type.
#[derive(Debug)]
pub(super) struct Version {
    number: u8,
    json: &'static str,
    fingerprint: u64,
    schema: serde_avro_fast::Schema,
    /// From this version to the newest; built when the first record of this version comes by.
    resolver: OnceLock<Result<Resolver, String>>,
}

/// What makes a datum of an older version one of the newest.
struct Resolver {
    reader: GenericDatumReader<'static>,
    writer: GenericDatumWriter<'static>,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver")
    }
}

impl Codec {
    /// Parses the schemas of `record`, oldest first.
    pub fn new(record: &'static str, versions: &[&'static str]) -> Result<Self, AvroError> {
        let mut parsed = Vec::with_capacity(versions.len());
        for (json, number) in versions.iter().zip(1..) {
            let version = Version::new(number, json)
                .map_err(|why| AvroError::Malformed { record, why: format!("schema v{number}: {why}") })?;
            parsed.push(version);
        }
        match parsed.pop() {
            Some(newest) => Ok(Self { record, older: parsed, newest }),
            None => Err(AvroError::Malformed { record, why: "it has no schema".to_owned() }),
        }
    }

    /// All versions, oldest first: number, schema, fingerprint.
    pub(super) fn versions(&self) -> impl Iterator<Item = (u8, &'static str, u64)> {
        self.older
            .iter()
            .chain([&self.newest])
            .map(|version| (version.number, version.json, version.fingerprint))
    }

    pub(super) fn record(&self) -> &'static str {
        self.record
    }

    pub(super) fn header(&self) -> [u8; HEADER_BYTES] {
        let [a, b] = MARKER;
        let [c, d, e, f, g, h, i, j] = self.newest.fingerprint.to_le_bytes();
        [a, b, c, d, e, f, g, h, i, j]
    }

    pub(super) fn by_fingerprint(&self, fingerprint: u64) -> Result<&Version, AvroError> {
        if self.newest.fingerprint == fingerprint {
            return Ok(&self.newest);
        }
        let unknown = AvroError::UnknownSchema { record: self.record, fingerprint };
        self.older.iter().find(|version| version.fingerprint == fingerprint).ok_or(unknown)
    }

    pub(super) fn by_version(&self, number: u8) -> Result<&Version, AvroError> {
        if self.newest.number == number {
            return Ok(&self.newest);
        }
        let unknown = AvroError::UnknownVersion { record: self.record, version: number };
        self.older.iter().find(|version| version.number == number).ok_or(unknown)
    }

    pub(super) fn append_datum<R: Serialize>(&self, record: &R, out: &mut Vec<u8>) -> Result<(), AvroError> {
        // The config owns buffers for fields out of order; ours are in order (a test), so that it stays empty.
        let mut config = SerializerConfig::new(&self.newest.schema);
        let mut state = SerializerState::from_writer(out, &mut config);
        record.serialize(state.serializer()).map_err(|why| self.malformed(why))
    }

    pub(super) fn decode<R: DeserializeOwned>(
        &self,
        written: &Version,
        datum: &[u8],
    ) -> Result<R, AvroError> {
        if written.number == self.newest.number {
            return read(&written.schema, datum).map_err(|why| self.malformed(why));
        }
        let datum = self.resolve(written, datum).map_err(|why| self.malformed(why))?;
        read(&self.newest.schema, &datum).map_err(|why| self.malformed(why))
    }

    /// The datum as the newest version would have written it.
    fn resolve(&self, written: &Version, datum: &[u8]) -> Result<Vec<u8>, String> {
        // Lengths in the datum are believed by apache-avro, which reserves memory for them, so they are
        // checked against the bytes that are there first.
        read::<Walk>(&written.schema, datum)?;
        let resolver = written.resolver.get_or_init(|| Resolver::new(written.json, self.newest.json));
        let Resolver { reader, writer } = resolver.as_ref().map_err(Clone::clone)?;
        let mut rest = datum;
        let value = reader.read_value(&mut rest).map_err(|why| why.to_string())?;
        writer.write_value_to_vec(value).map_err(|why| why.to_string())
    }

    fn malformed(&self, why: impl std::fmt::Display) -> AvroError {
        AvroError::Malformed { record: self.record, why: why.to_string() }
    }
}

impl Version {
    fn new(number: u8, json: &'static str) -> Result<Self, String> {
        let schema: serde_avro_fast::Schema =
            json.parse().map_err(|why: serde_avro_fast::schema::SchemaError| why.to_string())?;
        let fingerprint = u64::from_le_bytes(*schema.rabin_fingerprint());
        Ok(Self { number, json, fingerprint, schema, resolver: OnceLock::new() })
    }
}

impl Resolver {
    fn new(written: &str, newest: &str) -> Result<Self, String> {
        let parse = |json| apache_avro::Schema::parse_str(json).map_err(|why| why.to_string());
        // Leaked once per older version and process: a resolver lives in a static.
        let written: &'static apache_avro::Schema = Box::leak(Box::new(parse(written)?));
        let newest: &'static apache_avro::Schema = Box::leak(Box::new(parse(newest)?));
        let reader = GenericDatumReader::builder(written).reader_schema(newest).build();
        let writer = GenericDatumWriter::builder(newest).build();
        Ok(Self {
            reader: reader.map_err(|why| why.to_string())?,
            writer: writer.map_err(|why| why.to_string())?,
        })
    }
}

/// Reads one datum that fills `datum` to the last byte.
///
/// Memory is bounded by the bytes that are there: strings and bytes are slices of them, arrays and maps grow by
/// one element at a time, and each element takes at least one byte.
fn read<R: DeserializeOwned>(schema: &serde_avro_fast::Schema, datum: &[u8]) -> Result<R, String> {
    let mut config = DeserializerConfig::new(schema);
    config.max_seq_size = datum.len();
    let mut state = DeserializerState::with_config(SliceRead::new(datum), config);
    let record = R::deserialize(state.deserializer()).map_err(|why| why.to_string())?;
    match state.fill_buf() {
        Ok([]) => Ok(record),
        Ok(rest) => Err(format!("{} bytes too many", rest.len())),
        Err(why) => Err(why.to_string()),
    }
}
