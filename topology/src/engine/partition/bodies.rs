//! Bodies that lie in the blob store, on their way to the record that names them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::{Surroundings, lock};

/// What a fetch has brought, or why it has not.
type Slot = Arc<Mutex<Option<Result<Bytes, String>>>>;

/// The bodies of the record that is fed next. There can be two: a replay command's own, and that of what it replays.
#[derive(Default)]
pub(super) struct Bodies(BTreeMap<String, Slot>);

impl Bodies {
    /// A body, if it is here; else it is sent for, and the worker woken when it has come.
    pub(super) fn take(&mut self, name: &str, around: &Surroundings) -> Option<Result<Bytes, String>> {
        if let Some(slot) = self.0.get(name) {
            let found = lock(slot).clone()?;
            if found.is_err() {
                self.0.remove(name); // The next time it is asked for again.
            }
            return Some(found);
        }
        let slot = Slot::default();
        self.0.insert(name.to_owned(), Arc::clone(&slot));
        let (blob, wake, name) = (Arc::clone(&around.blob), Arc::clone(&around.wake), name.to_owned());
        around.runtime.spawn(async move {
            let result = match blob.read(&name).await {
                Ok(Some(body)) => Ok(body),
                Ok(None) => Err("there is no such blob".to_owned()),
                Err(error) => Err(error.to_string()),
            };
            *lock(&slot) = Some(result);
            wake();
        });
        None
    }

    /// The record has been fed.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
