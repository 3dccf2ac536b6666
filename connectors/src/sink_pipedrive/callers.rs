//! Whom a process has just made or found: search does not show them for half a minute, and a missed call and its lead come
//! within seconds of each other, as two deliveries.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

/// Far longer than search is behind, and than a missed call's lead is.
const KEPT: Duration = Duration::from_secs(15 * 60);
/// Callers that are remembered; then those go that are old, and nobody asks for.
const CALLERS_MAX: usize = 10_000;

type Slot = Arc<tokio::sync::Mutex<Option<(String, Instant)>>>;

/// The callers of all accounts. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub(super) struct Callers(Arc<Mutex<HashMap<String, Slot>>>);

/// The turn of one delivery at a caller: no other looks for the caller's person or makes it meanwhile.
pub(super) struct Caller(OwnedMutexGuard<Option<(String, Instant)>>);

impl Callers {
    /// Waits for a caller's turn.
    pub(super) async fn turn(&self, account: &str, caller: &str) -> Caller {
        let slot = {
            let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if slots.len() >= CALLERS_MAX {
                slots.retain(|_, slot| {
                    Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|it| is_new(&it))
                });
            }
            Arc::clone(slots.entry(format!("{account}\0{caller}")).or_default())
        };
        Caller(slot.lock_owned().await)
    }
}

fn is_new(made: &Option<(String, Instant)>) -> bool {
    made.as_ref().is_some_and(|(_, at)| at.elapsed() < KEPT)
}

impl Caller {
    /// The person's id, where it is remembered.
    pub(super) fn id(&self) -> Option<&str> {
        self.0.as_ref().filter(|(_, at)| at.elapsed() < KEPT).map(|(id, _)| id.as_str())
    }

    /// Remembers it.
    pub(super) fn is(&mut self, id: &str) {
        *self.0 = Some((id.to_owned(), Instant::now()));
    }
}
