//! Blobs in memory, in a store that can be told to be away and whose objects can go bad: for simulation and tests.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::blob_folder::checked;
use crate::contract::BoxFuture;
use crate::contract::blob::{Blob, BlobError, Created};

type Objects = BTreeMap<String, Bytes>;

#[derive(Default)]
struct Shared {
    objects: Objects,
    /// Operations that will be refused, after how many others.
    refused: Option<(u32, u32)>,
}

/// A store of blobs. Clones are the same store; it outlives whoever uses it.
#[derive(Clone, Default)]
pub struct MemoryBlob {
    shared: Arc<Mutex<Shared>>,
}

impl MemoryBlob {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Refuses `count` operations after the next `after`.
    pub fn refuse(&self, after: u32, count: u32) {
        self.lock().refused = (count > 0).then_some((after, count));
    }

    /// Refuses nothing any more.
    pub fn heal(&self) {
        self.lock().refused = None;
    }

    /// Puts an object there, whatever the store refuses: as if its source had waited until it could.
    pub fn hold(&self, name: &str, content: Bytes) {
        self.lock().objects.insert(name.to_owned(), content);
    }

    /// Puts a wrong byte into an object, behind everybody's back. False if there is no such object, or nothing in it.
    pub fn damage(&self, name: &str) -> bool {
        let mut shared = self.lock();
        let Some(content) = shared.objects.get_mut(name) else { return false };
        let mut bytes = content.to_vec();
        let middle = bytes.len() / 2;
        let Some(byte) = bytes.get_mut(middle) else { return false };
        *byte = !*byte;
        *content = Bytes::from(bytes);
        true
    }

    /// All objects, by name.
    pub fn objects(&self) -> BTreeMap<String, Bytes> {
        self.lock().objects.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Objects) -> T,
    ) -> BoxFuture<'static, Result<T, BlobError>> {
        let mut shared = self.lock();
        let answer = match shared.refused {
            Some((0, count)) => {
                shared.refused = (count > 1).then(|| (0, count - 1));
                Err(BlobError::Unavailable("refused, as in a simulation".to_owned()))
            }
            Some((after, count)) => {
                shared.refused = Some((after - 1, count));
                Ok(work(&mut shared.objects))
            }
            None => Ok(work(&mut shared.objects)),
        };
        Box::pin(std::future::ready(answer))
    }

    /// As `work`, on an object.
    fn work_on<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&mut Objects) -> T,
    ) -> BoxFuture<'static, Result<T, BlobError>> {
        match checked(name) {
            Some(_) => self.work(work),
            None => Box::pin(std::future::ready(Err(BlobError::Name(name.to_owned())))),
        }
    }
}

impl Blob for MemoryBlob {
    fn create(&self, name: &str, content: Bytes) -> BoxFuture<'_, Result<Created, BlobError>> {
        self.work_on(name, |objects| match objects.contains_key(name) {
            true => Created::Exists,
            false => {
                objects.insert(name.to_owned(), content);
                Created::New
            }
        })
    }

    fn replace(&self, name: &str, content: Bytes) -> BoxFuture<'_, Result<(), BlobError>> {
        self.work_on(name, |objects| _ = objects.insert(name.to_owned(), content))
    }

    fn read(&self, name: &str) -> BoxFuture<'_, Result<Option<Bytes>, BlobError>> {
        self.work_on(name, |objects| objects.get(name).cloned())
    }

    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, BlobError>> {
        self.work(|objects| objects.keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }

    fn remove(&self, name: &str) -> BoxFuture<'_, Result<(), BlobError>> {
        self.work_on(name, |objects| _ = objects.remove(name))
    }
}
