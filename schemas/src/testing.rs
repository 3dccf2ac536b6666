//! Test support: arbitrary records, made from the `.avsc` files.
//!
//! A strategy written by hand for every record would only know the fields that its author remembered. Here the
//! schema makes the values, `apache-avro` writes them, and the record type has to make sense of every one.

use apache_avro::Schema;
use apache_avro::schema::Name;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;
use std::collections::HashMap;

use crate::avro::AvroRecord;

/// The newest schema of a record, parsed by apache-avro.
pub(crate) fn newest_schema<R: AvroRecord>() -> Schema {
    Schema::parse_str(R::VERSIONS.last().unwrap()).unwrap()
}

/// Any value of the newest schema of `R` that its newtypes allow.
pub(crate) fn any_value<R: AvroRecord>() -> BoxedStrategy<Value> {
    any_value_of(&newest_schema::<R>())
}

/// Any value of a schema of ours that the newtypes allow.
pub(crate) fn any_value_of(schema: &Schema) -> BoxedStrategy<Value> {
    let mut names = HashMap::new();
    collect_names(schema, &mut names);
    value_of(schema, "", &names)
}

/// A datum as apache-avro writes it.
pub(crate) fn write(schema: &Schema, value: Value) -> Vec<u8> {
    GenericDatumWriter::builder(schema).build().unwrap().write_value_to_vec(value).unwrap()
}

fn collect_names(schema: &Schema, names: &mut HashMap<Name, Schema>) {
    match schema {
        Schema::Record(record) => {
            names.insert(record.name.clone(), schema.clone());
            record.fields.iter().for_each(|field| collect_names(&field.schema, names));
        }
        Schema::Enum(symbols) => {
            names.insert(symbols.name.clone(), schema.clone());
        }
        Schema::Array(array) => collect_names(&array.items, names),
        Schema::Map(map) => collect_names(&map.types, names),
        Schema::Union(union) => union.variants().iter().for_each(|variant| collect_names(variant, names)),
        _ => {}
    }
}

/// Any value of `schema`; `field` is its name, by which the narrower types are known.
fn value_of(schema: &Schema, field: &str, names: &HashMap<Name, Schema>) -> BoxedStrategy<Value> {
    match schema {
        Schema::Null => Just(Value::Null).boxed(),
        Schema::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        Schema::Int => any_int(field).prop_map(Value::Int).boxed(),
        Schema::Long => any_long(field).prop_map(Value::Long).boxed(),
        Schema::TimestampMillis => any::<i64>().prop_map(Value::TimestampMillis).boxed(),
        Schema::Double => (-1e12..1e12_f64).prop_map(Value::Double).boxed(),
        Schema::Bytes => prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::Bytes).boxed(),
        Schema::String => any_text(field).prop_map(Value::String).boxed(),
        Schema::Uuid(_) => {
            any::<[u8; 16]>().prop_map(|bytes| Value::Uuid(uuid::Uuid::from_bytes(bytes))).boxed()
        }
        Schema::Array(array) => {
            prop::collection::vec(value_of(&array.items, field, names), 0..4).prop_map(Value::Array).boxed()
        }
        // One entry: apache-avro writes maps in the order of a hash map, and the tests compare bytes.
        Schema::Map(map) => {
            prop::collection::hash_map("[a-z_]{0,9}", value_of(&map.types, field, names), 0..2)
                .prop_map(Value::Map)
                .boxed()
        }
        Schema::Enum(symbols) => (0..symbols.symbols.len())
            .prop_map({
                let symbols = symbols.symbols.clone();
                move |index| Value::Enum(index as u32, symbols[index].clone())
            })
            .boxed(),
        Schema::Union(union) => {
            let variants = union.variants().iter().zip(0..).map(|(variant, index)| {
                value_of(variant, field, names)
                    .prop_map(move |value| Value::Union(index, Box::new(value)))
                    .boxed()
            });
            prop::strategy::Union::new(variants).boxed()
        }
        Schema::Record(record) => {
            record.fields.iter().fold(Just(Value::Record(vec![])).boxed(), |all, field| {
                let name = field.name.clone();
                (all, value_of(&field.schema, &name, names))
                    .prop_map(move |(all, value)| {
                        let Value::Record(mut fields) = all else { unreachable!("folded from a record") };
                        fields.push((name.clone(), value));
                        Value::Record(fields)
                    })
                    .boxed()
            })
        }
        Schema::Ref { name } => value_of(&names[name], field, names),
        other => unreachable!("our schemas have no {other:?}"),
    }
}

/// A number that the field's Rust type holds.
fn any_int(field: &str) -> BoxedStrategy<i32> {
    match field {
        "bucket" => (0..=255).boxed(),
        "key_group" | "spread" => (0..=65_535).boxed(),
        // `commit_frame` has a u16 there, `dead_letter` an i32.
        "partition" | "partitions" => (0..=65_535).boxed(),
        _ => any::<i32>().boxed(),
    }
}

fn any_long(field: &str) -> BoxedStrategy<i64> {
    match field {
        "generation" => (0..=i64::from(u32::MAX)).boxed(),
        "number" | "inbound_next" | "replies_next" | "settings_version" => (0..=i64::MAX).boxed(),
        _ => any::<i64>().boxed(),
    }
}

fn any_text(field: &str) -> BoxedStrategy<String> {
    match field {
        "tenant" => "[a-z0-9][a-z0-9_-]{0,62}".boxed(),
        _ => "\\PC{0,12}".boxed(),
    }
}
