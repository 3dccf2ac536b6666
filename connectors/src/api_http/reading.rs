//! The record store behind the API: blocking reads on threads of their own, a bounded number at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::contract::store::{RecordReader, StoreError};
use crate::source_http::Problem;

use super::query;

/// Reads at a time: SQLite answers from its cache, so more than the machine has threads only queue up there.
const READS_MAX: usize = 16;
/// How long a request waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(2);

/// Reads records off the async threads.
#[derive(Clone)]
pub(crate) struct Reading {
    reader: Arc<dyn RecordReader>,
    turns: Arc<Semaphore>,
}

impl Reading {
    pub(crate) fn new(reader: Arc<dyn RecordReader>) -> Self {
        Self { reader, turns: Arc::new(Semaphore::new(READS_MAX)) }
    }

    /// Runs `read` on a blocking thread. A client that goes away does not free its turn before the read is over.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn RecordReader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = tokio::time::timeout(TURN_TIMEOUT, Arc::clone(&self.turns).acquire_owned());
        let Ok(Ok(turn)) = turn.await else {
            return Err(Problem::unavailable("too many reads at once; ask again"));
        };
        let reader = Arc::clone(&self.reader);
        let task = tokio::task::spawn_blocking(move || {
            let result = read(&*reader);
            drop(turn);
            result
        });
        match task.await {
            Ok(result) => result.map_err(problem),
            Err(error) => {
                tracing::error!(%error, "a read of the record store broke off");
                Err(unavailable())
            }
        }
    }
}

fn unavailable() -> Problem {
    Problem::unavailable("the record store does not answer; ask again")
}

fn problem(error: StoreError) -> Problem {
    match error {
        StoreError::Cursor(_) => query::bad_cursor(),
        StoreError::Behind { .. } | StoreError::Unavailable(_) | StoreError::Damaged(_) => {
            tracing::error!(%error, "the record store could not be read");
            unavailable()
        }
    }
}
