//! What Spanner's and Avro's errors mean to the engine.

use google_cloud_gax::error::rpc::Code;
use leadline_schemas::avro::AvroError;

use crate::contract::store::StoreError;

/// Spanner refused, or nobody answered. None of it is damage: the database is not ours alone to move aside.
pub(super) fn failed(error: google_cloud_spanner::Error) -> StoreError {
    let code = error.status().map(|status| status.code);
    let advice = match code {
        Some(Code::NotFound) => "; run `leadline db apply`, and check google.spanner_instance and _database",
        Some(Code::PermissionDenied | Code::Unauthenticated) => {
            "; give the service account roles/spanner.databaseUser, and check GOOGLE_APPLICATION_CREDENTIALS"
        }
        _ => "",
    };
    StoreError::Unavailable(format!("Spanner: {}{advice}", told(&error)))
}

/// The server's own words where it had any.
pub(super) fn told(error: &google_cloud_spanner::Error) -> String {
    match error.status() {
        Some(status) => format!("{}: {}", status.code.name(), status.message),
        None => error.to_string(),
    }
}

/// What is missing: a table, the database, or what it lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Table,
    Database,
}

/// What an answer says is missing; none where that is not what it says.
pub(super) fn missing(error: &google_cloud_spanner::Error) -> Option<Missing> {
    let status = error.status().filter(|status| status.code == Code::NotFound)?;
    [("Table not found", Missing::Table), ("Database not found", Missing::Database)]
        .into_iter()
        .find_map(|(text, missing)| status.message.contains(text).then_some(missing))
}

/// A record that was read does not decode. An unknown schema passes with an upgrade and is no damage.
pub(super) fn unreadable(error: AvroError) -> StoreError {
    match error {
        AvroError::Malformed { .. } => StoreError::Damaged(error.to_string()),
        _ => StoreError::Unavailable(error.to_string()),
    }
}
