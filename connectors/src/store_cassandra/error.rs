//! What the cluster's errors mean to the engine.

use leadline_schemas::avro::AvroError;
use scylla::errors::{DbError, ExecutionError, RequestAttemptError};

use crate::contract::store::StoreError;

/// The tables are not what we made: only a rebuild helps.
pub(super) fn damaged(why: impl Into<String>) -> StoreError {
    StoreError::Damaged(why.into())
}

/// It may pass by itself, or when somebody has changed the cluster's settings.
pub(super) fn unavailable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// A request failed. What a server calls wrong in itself is a table that somebody changed; all else may pass.
pub(super) fn failed(error: ExecutionError) -> StoreError {
    match &error {
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(
            DbError::Invalid | DbError::SyntaxError,
            _,
        ))
        | ExecutionError::BadQuery(_) => damaged(error.to_string()),
        _ => unavailable(error),
    }
}

/// A record that was read does not decode. An unknown schema passes with an upgrade and is no damage.
pub(super) fn unreadable(error: AvroError) -> StoreError {
    match error {
        AvroError::Malformed { .. } => damaged(error.to_string()),
        _ => unavailable(error),
    }
}
