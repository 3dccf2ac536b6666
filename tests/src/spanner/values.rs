//! Values: from the wire to literals of PostgreSQL, and from its rows to the wire.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use googleapis_tonic_google_spanner_v1::google::spanner::v1::{Type, TypeCode};
use leadline_schemas::Millis;
use prost_types::Value;
use prost_types::value::Kind as Wire;
use tokio_postgres::Row;
use tokio_postgres::types::Type as Postgres;
use tonic::Status;

use super::catalog::{Column, Kind};

/// What stands for the time of the commit.
pub(super) const COMMIT_TIMESTAMP: &str = "spanner.commit_timestamp()";
/// The largest cell.
const CELL_BYTES_MAX: usize = 10 << 20;

/// A text as a literal. PostgreSQL keeps no U+0000, which Spanner does: it and U+0001 stand there as two signs each, in
/// the same order.
pub(super) fn quoted(text: &str) -> String {
    let kept = text.replace('\u{1}', "\u{1}\u{2}").replace('\0', "\u{1}\u{1}");
    format!("'{}'", kept.replace('\'', "''"))
}

/// The text that [`quoted`] has kept.
fn unquoted(kept: &str) -> String {
    kept.replace("\u{1}\u{1}", "\0").replace("\u{1}\u{2}", "\u{1}")
}

/// The literal of a value of a type. `name` is for the error's text.
pub(super) fn literal(name: &str, kind: Kind, value: &Value) -> Result<String, Status> {
    let unfit = || Status::failed_precondition(format!("Invalid value for {name}: not a {kind:?}"));
    let text = match &value.kind {
        None | Some(Wire::NullValue(_)) => return Ok("NULL".to_owned()),
        Some(Wire::BoolValue(value)) if kind == Kind::Bool => return Ok(value.to_string()),
        Some(Wire::NumberValue(value)) if kind == Kind::Float64 => return Ok(format!("'{value}'")),
        Some(Wire::StringValue(text)) => text,
        _ => return Err(unfit()),
    };
    let too_large = |bytes: usize| {
        let why = format!("The size of {name} exceeds the limit of {CELL_BYTES_MAX} bytes: {bytes}");
        (bytes > CELL_BYTES_MAX).then(|| Status::invalid_argument(why))
    };
    match kind {
        Kind::Int64 => text.parse::<i64>().map(|number| number.to_string()).map_err(|_| unfit()),
        Kind::String(length) => {
            if let Some(error) = too_large(text.len()) {
                return Err(error);
            }
            if text.chars().count() > length {
                let why =
                    format!("New value exceeds the maximum size limit for this column: {name}, {length}");
                return Err(Status::failed_precondition(why));
            }
            Ok(format!("{}::text", quoted(text)))
        }
        Kind::Bytes => {
            let bytes = STANDARD.decode(text).map_err(|_| unfit())?;
            if let Some(error) = too_large(bytes.len()) {
                return Err(error);
            }
            let mut hex = String::with_capacity(2 * bytes.len() + 12);
            hex.push_str("'\\x");
            for byte in bytes {
                hex.push(char::from_digit(u32::from(byte >> 4), 16).unwrap());
                hex.push(char::from_digit(u32::from(byte & 15), 16).unwrap());
            }
            hex.push_str("'::bytea");
            Ok(hex)
        }
        Kind::Timestamp => match text.ends_with('Z') && Millis::parse(text).is_some() {
            true => Ok(format!("{}::timestamptz", quoted(text))),
            false => Err(unfit()),
        },
        Kind::Bool | Kind::Float64 => Err(unfit()),
    }
}

/// The literal of a column's value in a commit at a time.
pub(super) fn cell(column: &Column, value: &Value, now: &str) -> Result<String, Status> {
    let is_commit_timestamp =
        matches!(&value.kind, Some(Wire::StringValue(text)) if text == COMMIT_TIMESTAMP);
    if column.kind == Kind::Timestamp && is_commit_timestamp {
        let why = format!(
            "Cannot write commit timestamp because allow_commit_timestamp is not set: {}",
            column.name
        );
        return if column.commit_timestamp {
            Ok(now.to_owned())
        } else {
            Err(Status::failed_precondition(why))
        };
    }
    if column.required && matches!(value.kind, None | Some(Wire::NullValue(_))) {
        let why = format!("{} must not be NULL", column.name);
        return Err(Status::failed_precondition(why));
    }
    literal(&column.name, column.kind, value)
}

/// The type that a parameter says it has.
pub(super) fn kind(name: &str, type_: Option<&Type>) -> Result<Kind, Status> {
    match type_.map(Type::code) {
        Some(TypeCode::Bool) => Ok(Kind::Bool),
        Some(TypeCode::Int64) => Ok(Kind::Int64),
        Some(TypeCode::Float64) => Ok(Kind::Float64),
        Some(TypeCode::String) => Ok(Kind::String(usize::MAX)),
        Some(TypeCode::Bytes) => Ok(Kind::Bytes),
        Some(TypeCode::Timestamp) => Ok(Kind::Timestamp),
        Some(other) => Err(Status::unimplemented(format!("this front takes no parameter of type {other:?}"))),
        None => Err(Status::invalid_argument(format!("parameter {name} has no type"))),
    }
}

/// The type of a column that PostgreSQL answers.
pub(super) fn type_of(postgres: &Postgres) -> Result<Type, Status> {
    let code = match *postgres {
        Postgres::BOOL => TypeCode::Bool,
        Postgres::INT8 => TypeCode::Int64,
        Postgres::FLOAT8 => TypeCode::Float64,
        Postgres::TEXT => TypeCode::String,
        Postgres::BYTEA => TypeCode::Bytes,
        Postgres::TIMESTAMPTZ => TypeCode::Timestamp,
        ref other => return Err(Status::unimplemented(format!("this front answers no {other}"))),
    };
    Ok(Type { code: code.into(), ..Type::default() })
}

/// A row's values.
pub(super) fn values(row: &Row) -> Result<Vec<Value>, Status> {
    (0..row.len()).map(|index| value(row, index)).collect()
}

fn value(row: &Row, index: usize) -> Result<Value, Status> {
    fn get<'a, T: tokio_postgres::types::FromSql<'a>>(
        row: &'a Row,
        index: usize,
    ) -> Result<Option<T>, Status> {
        row.try_get(index).map_err(|error| Status::internal(error.to_string()))
    }
    let text = |text: String| Wire::StringValue(text);
    let kind = match *row.columns()[index].type_() {
        Postgres::BOOL => get::<bool>(row, index)?.map(Wire::BoolValue),
        Postgres::INT8 => get::<i64>(row, index)?.map(|number| text(number.to_string())),
        Postgres::FLOAT8 => get::<f64>(row, index)?.map(Wire::NumberValue),
        Postgres::TEXT => get::<&str>(row, index)?.map(|kept| text(unquoted(kept))),
        Postgres::BYTEA => get::<&[u8]>(row, index)?.map(|bytes| text(STANDARD.encode(bytes))),
        Postgres::TIMESTAMPTZ => get::<SystemTime>(row, index)?.map(|at| text(millis(at).to_string())),
        ref other => return Err(Status::unimplemented(format!("this front answers no {other}"))),
    };
    Ok(Value { kind: Some(kind.unwrap_or(Wire::NullValue(0))) })
}

fn millis(at: SystemTime) -> Millis {
    let signed = |time: std::time::Duration| i64::try_from(time.as_millis()).unwrap();
    match at.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => Millis(signed(since)),
        Err(before) => Millis(-signed(before.duration())),
    }
}
