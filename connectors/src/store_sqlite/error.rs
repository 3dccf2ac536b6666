//! What SQLite's and Avro's errors mean to the engine.

use leadline_schemas::avro::AvroError;
use rusqlite::ErrorCode;

use crate::contract::store::StoreError;

/// The file is not what we wrote: only a rebuild helps.
pub(super) fn damaged(why: impl Into<String>) -> StoreError {
    StoreError::Damaged(why.into())
}

/// SQLite refused. All that may pass by itself (locks, a full disk, a disk that is away) is `Unavailable`.
pub(super) fn failed(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => damaged(error.to_string()),
        // A statement of ours that does not fit the tables: somebody changed them.
        Some(ErrorCode::Unknown | ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch) => {
            damaged(error.to_string())
        }
        Some(_) => StoreError::Unavailable(error.to_string()),
        None => damaged(error.to_string()),
    }
}

/// A record that was read does not decode. An unknown schema passes with an upgrade and is no damage.
pub(super) fn unreadable(error: AvroError) -> StoreError {
    match error {
        AvroError::Malformed { .. } => damaged(error.to_string()),
        _ => StoreError::Unavailable(error.to_string()),
    }
}
