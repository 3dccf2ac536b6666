//! What fjall's errors mean to the engine.

use std::io::ErrorKind;
use std::path::Path;

use crate::contract::state::StateError;

/// An error while the store is opened. What would be a passing trouble later is damage here, when it says that a
/// file is missing, cut or not understood.
pub(super) fn opening(folder: &Path, error: fjall::Error) -> StateError {
    match io_kind(&error) {
        Some(ErrorKind::NotFound | ErrorKind::UnexpectedEof | ErrorKind::InvalidData) => {
            StateError::Damaged(format!("{}: {error}", folder.display()))
        }
        _ => match error {
            fjall::Error::Locked => {
                StateError::Failed(format!("{} is in use by another process", folder.display()))
            }
            other => at(&format!("{}: ", folder.display()), other),
        },
    }
}

/// An error while the store runs.
pub(super) fn running(error: fjall::Error) -> StateError {
    at("", error)
}

fn at(place: &str, error: fjall::Error) -> StateError {
    if let Some(kind) = io_kind(&error) {
        return match kind {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StateError::Full(format!("{place}{error}")),
            ErrorKind::InvalidData => StateError::Damaged(format!("{place}{error}")),
            _ => StateError::Failed(format!("{place}{error}")),
        };
    }
    match error {
        fjall::Error::Poisoned => StateError::Closed(format!("{place}an earlier write or sync failed")),
        fjall::Error::Locked | fjall::Error::KeyspaceDeleted => StateError::Failed(format!("{place}{error}")),
        other => StateError::Damaged(format!("{place}{other}")),
    }
}

fn io_kind(error: &fjall::Error) -> Option<ErrorKind> {
    match error {
        fjall::Error::Io(io) | fjall::Error::Storage(fjall::LsmError::Io(io)) => Some(io.kind()),
        _ => None,
    }
}
