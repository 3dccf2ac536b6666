//! What the codec promises, for every record type.

use std::fmt::Debug;

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde::de::{Deserializer, Error as _, Visitor};

use super::*;
use crate::golden::Golden;
use crate::testing::{any_value, any_value_of, newest_schema, write};

fn check<S: Strategy>(cases: u32, strategy: S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    TestRunner::new(Config { cases, ..Config::default() }).run(&strategy, test).unwrap();
}

/// Writing and reading agree with each other and, byte for byte, with apache-avro under the same `.avsc`.
fn round_trips_like_apache_avro<R: AvroRecord + PartialEq + Debug>() {
    let schema = newest_schema::<R>();
    check(128, any_value::<R>(), |value| {
        let datum = write(&schema, value.clone());
        let record: R = decode_datum(newest_version::<R>(), &datum).unwrap();
        prop_assert_eq!(&encode_datum(&record).unwrap(), &datum);

        let encoded = encode(&record).unwrap();
        prop_assert_eq!(&encoded[HEADER_BYTES..], &datum[..]);
        prop_assert_eq!(fingerprint_of(&encoded), fingerprint(R::NAME, newest_version::<R>()));
        prop_assert_eq!(&decode::<R>(&encoded).unwrap(), &record);
        let read = GenericDatumReader::builder(&schema).build().unwrap().read_value(&mut &datum[..]).unwrap();
        prop_assert_eq!(read, value);

        let mut appended = b"before".to_vec();
        append(&record, &mut appended).unwrap();
        prop_assert_eq!(&appended[6..], &encoded[..]);
        Ok(())
    });
}

/// What any older version wrote is read, and means what apache-avro says it means.
fn every_older_version_is_read_like_apache_avro<R: AvroRecord + PartialEq + Debug>() {
    let newest = newest_schema::<R>();
    for (version, json) in (1..newest_version::<R>()).zip(R::VERSIONS) {
        let schema = Schema::parse_str(json).unwrap();
        let resolver = GenericDatumReader::builder(&schema).reader_schema(&newest).build().unwrap();
        check(128, any_value_of(&schema), |value| {
            let datum = write(&schema, value);
            let record: R = decode_datum(version, &datum).unwrap();
            let resolved = write(&newest, resolver.read_value(&mut &datum[..]).unwrap());
            prop_assert_eq!(&decode_datum::<R>(newest_version::<R>(), &resolved).unwrap(), &record);
            let header = [&MARKER[..], &fingerprint(R::NAME, version).unwrap().to_le_bytes()].concat();
            prop_assert_eq!(&decode::<R>(&[header, datum].concat()).unwrap(), &record);
            Ok(())
        });
    }
}

/// Across one release both ways: the version before can read what this one writes.
fn the_version_before_reads_what_is_written<R: AvroRecord + PartialEq + Debug>() {
    let [.., before, _] = R::VERSIONS else { return };
    let (before, newest) = (Schema::parse_str(before).unwrap(), newest_schema::<R>());
    let reader = GenericDatumReader::builder(&newest).reader_schema(&before).build().unwrap();
    check(128, any_value::<R>(), |value| {
        let read = reader.read_value(&mut &write(&newest, value)[..]);
        prop_assert!(read.is_ok(), "{:?}", read);
        // Written again by it, it is a record of today once more.
        let again = write(&before, read.unwrap());
        prop_assert!(decode_datum::<R>(newest_version::<R>() - 1, &again).is_ok());
        Ok(())
    });
}

/// Whatever the bytes, there is an answer and no panic; what is cut or has a tail is refused.
fn damage_is_an_error<R: AvroRecord + PartialEq + Debug>() {
    let schema = newest_schema::<R>();
    let damage = (any::<prop::sample::Index>(), any::<u8>(), any::<prop::sample::Index>());
    check(128, (any_value::<R>(), damage), |(value, (place, byte, cut))| {
        let datum = write(&schema, value);
        let record: R = decode_datum(newest_version::<R>(), &datum).unwrap();
        let encoded = encode(&record).unwrap();

        let cut = &encoded[..cut.index(encoded.len())];
        prop_assert!(decode::<R>(cut).is_err(), "cut to {} bytes", cut.len());
        let longer = [&encoded[..], &[byte]].concat();
        prop_assert!(decode::<R>(&longer).is_err(), "a byte too many");
        let mut flipped = datum;
        let place = place.index(flipped.len());
        flipped[place] ^= byte | 1;
        for version in 0..=newest_version::<R>() {
            let _ = decode_datum::<R>(version, &flipped);
        }
        Ok(())
    });
}

/// A record of each version lies in `fixtures/`, as users have it in their logs. It was made when the version was, is
/// never made again, and reads as the JSON beside it says.
fn what_every_version_wrote_is_still_read<R: AvroRecord + PartialEq + Debug>() {
    let mut golden = Golden::default();
    for (version, json) in (1..).zip(R::VERSIONS) {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(R::NAME);
        let path = folder.join(format!("v{version}.avro"));
        if !path.exists() && crate::golden::rewrites() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, specimen(&Schema::parse_str(json).unwrap(), R::NAME, version)).unwrap();
        }
        let bytes = std::fs::read(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        assert_eq!(fingerprint_of(&bytes), fingerprint(R::NAME, version), "{}", path.display());
        let record: R = decode(&bytes).unwrap();
        golden.compare(&path.with_extension("golden.json"), &serde_json::to_value(&record).unwrap());
    }
    golden.finish();
}

/// A record with something in most of its fields: the longest of some.
fn specimen(schema: &Schema, name: &str, version: u8) -> Vec<u8> {
    let mut runner = TestRunner::deterministic();
    let any = any_value_of(schema);
    let datums = (0..50).map(|_| write(schema, any.new_tree(&mut runner).unwrap().current()));
    let longest = datums.max_by_key(Vec::len).unwrap();
    [&MARKER[..], &fingerprint(name, version).unwrap().to_le_bytes(), &longest].concat()
}

/// The Rust type has the fields of the schema, in its order: out of order each would cost a buffer.
fn fields_are_in_order<R: AvroRecord>() {
    let Schema::Record(schema) = newest_schema::<R>() else { unreachable!("every schema is a record") };
    let of_schema: Vec<&str> = schema.fields.iter().map(|field| field.name.as_str()).collect();
    let Err(FieldNames(of_type)) = R::deserialize(FieldNames(Vec::new())) else {
        unreachable!("it answers so")
    };
    assert_eq!(of_type, of_schema, "{}", R::NAME);
}

macro_rules! for_every_record {
    ($($module:ident: $record:ty;)+) => {
        $(mod $module {
            #[test]
            fn round_trips_like_apache_avro() {
                super::round_trips_like_apache_avro::<$record>();
            }
            #[test]
            fn every_older_version_is_read_like_apache_avro() {
                super::every_older_version_is_read_like_apache_avro::<$record>();
            }
            #[test]
            fn the_version_before_reads_what_is_written() {
                super::the_version_before_reads_what_is_written::<$record>();
            }
            #[test]
            fn what_every_version_wrote_is_still_read() {
                super::what_every_version_wrote_is_still_read::<$record>();
            }
            #[test]
            fn damage_is_an_error() {
                super::damage_is_an_error::<$record>();
            }
            #[test]
            fn fields_are_in_order() {
                super::fields_are_in_order::<$record>();
            }
        })+

        #[test]
        fn every_record_is_published() {
            let published: std::collections::BTreeSet<_> = all().iter().map(|entry| entry.name).collect();
            let tested = [$(<$record as AvroRecord>::NAME),+].into_iter().collect();
            assert_eq!(published, tested);
            $(for (json, version) in <$record as AvroRecord>::VERSIONS.iter().zip(1..) {
                let entry = all().iter().find(|e| e.name == <$record as AvroRecord>::NAME && e.version == version);
                assert_eq!(entry.unwrap().json, *json);
            })+
        }
    };
}

for_every_record! {
    inbound: crate::inbound::Inbound;
    reply: crate::reply::Reply;
    pending_job: crate::reply::PendingJob;
    call: crate::call::CallRecord;
    lead: crate::lead::Lead;
    lead_event: crate::lead::LeadEvent;
    request: crate::request::Request;
    delivery: crate::delivery::Delivery;
    window_metrics: crate::window::WindowMetrics;
    dead_letter: crate::dead_letter::DeadLetter;
    audit: crate::audit::Audit;
    commit_frame: crate::frame::CommitFrame;
    tenant: crate::settings::Tenant;
    layout: crate::layout::LayoutRecord;
    contact: crate::contact::Contact;
    seen: crate::state::Seen;
    write_back: crate::state::WriteBack;
    window_state: crate::state::WindowState;
    routed: crate::state::Routed;
    ringing: crate::state::Ringing;
    reaction: crate::state::Reaction;
    delivery_state: crate::state::DeliveryState;
    digest: crate::state::Digest;
    pull: crate::pull::Pull;
    asked: crate::state::Asked;
    spent: crate::state::Spent;
    transcription: crate::transcription::Transcription;
}

#[test]
fn every_schema_file_is_published_and_no_other() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("avro");
    let mut on_disk = Vec::new();
    for folder in std::fs::read_dir(root).unwrap().map(Result::unwrap) {
        for file in std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
            let (folder, file) = (folder.file_name(), file.file_name());
            on_disk.push(format!("{}/{}", folder.to_str().unwrap(), file.to_str().unwrap()));
        }
    }
    let mut published: Vec<_> = all().iter().map(|e| format!("{}/v{}.avsc", e.name, e.version)).collect();
    on_disk.sort();
    published.sort();
    assert_eq!(on_disk, published);
}

#[test]
fn fingerprints_are_those_of_apache_avro_and_differ() {
    for entry in all() {
        // Of a primitive type with a logical type, apache-avro 0.22 leaves `{"type":"long"}` where the
        // specification (rule PRIMITIVE) and the Java library have `"long"`.
        let canonical = Schema::parse_str(entry.json).unwrap().canonical_form();
        let canonical = canonical.replace(r#"{"type":"long"}"#, r#""long""#);
        let canonical = canonical.replace(r#"{"type":"string"}"#, r#""string""#);
        let schema = Schema::parse_str(&canonical).unwrap();
        let expected = u64::from_le_bytes(schema.fingerprint::<Rabin>().bytes.try_into().unwrap());
        assert_eq!(entry.fingerprint, expected, "{} v{}", entry.name, entry.version);
        assert_eq!(all().iter().filter(|other| other.fingerprint == expected).count(), 1);
    }
}

#[test]
fn successive_versions_are_compatible_both_ways() {
    for pair in all().windows(2).filter(|pair| pair[0].name == pair[1].name) {
        let [old, new] = [0, 1].map(|i| Schema::parse_str(pair[i].json).unwrap());
        let verdict = SchemaCompatibility::mutual_read(&old, &new).unwrap();
        assert_eq!(verdict, Compatibility::Full, "{} v{}", pair[1].name, pair[1].version);
    }
}

#[test]
fn what_is_not_known_is_told_from_what_is_damaged() {
    use crate::audit::Audit;
    let newer = [&MARKER[..], &[7; 8], b"whatever"].concat();
    let unknown = AvroError::UnknownSchema { record: "audit", fingerprint: 0x0707_0707_0707_0707 };
    assert_eq!(decode::<Audit>(&newer), Err(unknown));
    assert_eq!(decode_datum::<Audit>(2, b""), Err(AvroError::UnknownVersion { record: "audit", version: 2 }));
    for bytes in [&b""[..], b"\xC3", b"\xC3\x01\x01\x01", b"{\"tenant\":\"a\"}........"] {
        assert!(matches!(decode::<Audit>(bytes), Err(AvroError::Malformed { record: "audit", .. })));
    }
}

#[test]
fn lengths_are_not_believed() {
    use crate::frame::CommitFrame;
    // Seven numbers and a watermark, then a block that claims 2^62 rows, or 2^62 bytes of key.
    let numbers = [2_u8; 8];
    let huge = [0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F];
    let rows = [&numbers[..], &huge, &[2, 1, 0]].concat();
    let key = [&numbers[..], &[2], &huge, &[1, 0]].concat();
    // The same number, negative: a block with its length in bytes.
    let skipped = [&numbers[..], &[0xFD, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F], &huge].concat();
    for datum in [rows, key, skipped] {
        assert!(matches!(decode_datum::<CommitFrame>(1, &datum), Err(AvroError::Malformed { .. })));
    }
}

#[test]
fn a_number_that_avro_cannot_hold_is_refused_and_leaves_no_trace() {
    use crate::inbound::Inbound;
    let mut record: Inbound = decode(include_bytes!("../../fixtures/inbound/v1-post-call.avro")).unwrap();
    record.settings_version = u64::MAX;
    let mut out = b"before".to_vec();
    assert!(append(&record, &mut out).is_err());
    assert_eq!(out, b"before");
}

/// A deserializer whose error is the field names that a struct asks for.
#[derive(Debug)]
struct FieldNames(Vec<&'static str>);

impl std::fmt::Display for FieldNames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::error::Error for FieldNames {}

impl serde::de::Error for FieldNames {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        Self(Vec::new())
    }
}

impl<'de> Deserializer<'de> for FieldNames {
    type Error = Self;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self> {
        Err(Self::custom("not a struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self> {
        Err(Self(fields.to_vec()))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
