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

/// What servers count for a value beside its bytes, at most: a cell's time, and its life and end.
const CELL_BYTES: usize = 24;

impl Value<'_> {
    /// At least what a server counts for it.
    pub(super) fn bytes(&self) -> usize {
        CELL_BYTES
            + match self {
                Self::Text(text) => text.len(),
                Self::Name(text) => text.len(),
                Self::Bytes(bytes) => bytes.len(),
                Self::Big(_) | Self::Time(_) => size_of::<i64>(),
                Self::Int(_) => size_of::<i32>(),
                Self::Bool(_) => size_of::<bool>(),
                Self::Null => 0,
            }
    }
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
