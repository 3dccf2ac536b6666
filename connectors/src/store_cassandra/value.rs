//! Values of a statement, without a copy of what is large.

use scylla::cluster::metadata::ColumnType;
use scylla::serialize::SerializationError;
use scylla::serialize::value::SerializeValue;
use scylla::serialize::writers::{CellWriter, WrittenCellProof};
use scylla::value::CqlTimestamp;

/// What a marker of a statement stands for.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Text(&'a str),
    /// A text of its own.
    Name(String),
    Big(i64),
    Int(i32),
    Bool(bool),
    /// A time, in milliseconds since 1970.
    Time(i64),
    Bytes(&'a [u8]),
    Null,
}

impl SerializeValue for Value<'_> {
    fn serialize<'b>(
        &self,
        typ: &ColumnType<'_>,
        writer: CellWriter<'b>,
    ) -> Result<WrittenCellProof<'b>, SerializationError> {
        match self {
            Self::Text(text) => text.serialize(typ, writer),
            Self::Name(text) => text.serialize(typ, writer),
            Self::Big(number) => number.serialize(typ, writer),
            Self::Int(number) => number.serialize(typ, writer),
            Self::Bool(is) => is.serialize(typ, writer),
            Self::Time(ms) => CqlTimestamp(*ms).serialize(typ, writer),
            Self::Bytes(bytes) => bytes.serialize(typ, writer),
            Self::Null => Ok(writer.set_null()),
        }
    }
}
