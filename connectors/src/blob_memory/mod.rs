//! Blobs in memory, in a store that can be told to be away and whose objects can go bad: for simulation and tests.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use leadline_schemas::Millis;

use crate::contract::BoxFuture;
use crate::contract::blob::{About, Blob, BlobError, BlobStream, Content, Created, Stat, checked_name, cut};

/// In how large pieces objects are read.
const PIECE_BYTES: usize = 64 << 10;

/// An object.
#[derive(Clone, Debug, Default)]
pub struct Object {
    /// Its bytes as they are now.
    pub content: Bytes,
    /// CRC32C of what was stored.
    pub crc32c: u32,
    /// What was said of it.
    pub about: About,
}

impl Object {
    /// One of these bytes.
    pub fn new(content: Bytes, about: About) -> Self {
        Self { crc32c: crc32c::crc32c(&content), content, about }
    }

    fn stat(&self) -> Stat {
        Stat { bytes: self.content.len() as u64, crc32c: self.crc32c, about: self.about.clone() }
    }

    fn check(&self, name: &str) -> Result<(), BlobError> {
        match crc32c::crc32c(&self.content) == self.crc32c {
            true => Ok(()),
            false => Err(BlobError::Damaged { name: name.to_owned(), why: "its CRC32C differs".to_owned() }),
        }
    }
}

type Objects = BTreeMap<String, Object>;

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
        self.with(|objects| objects.insert(name.to_owned(), Object::new(content, About::default())));
    }

    /// Puts a wrong byte into an object, behind everybody's back: its CRC32C is that of what is there now, for whoever
    /// reads has checks of its own. False if there is no such object, or nothing in it.
    pub fn damage(&self, name: &str) -> bool {
        self.with(|objects| {
            let Some(object) = objects.get_mut(name) else { return false };
            let mut bytes = object.content.to_vec();
            let middle = bytes.len() / 2;
            let Some(byte) = bytes.get_mut(middle) else { return false };
            *byte = !*byte;
            *object = Object::new(Bytes::from(bytes), object.about.clone());
            true
        })
    }

    /// All objects, by name.
    pub fn objects(&self) -> BTreeMap<String, Bytes> {
        self.with(|objects| {
            objects.iter().map(|(name, object)| (name.clone(), object.content.clone())).collect()
        })
    }

    /// Looks at the objects, or changes them, whatever the store refuses.
    pub fn with<T>(&self, work: impl FnOnce(&mut Objects) -> T) -> T {
        work(&mut self.lock().objects)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this operation is one that is refused.
    fn admit(&self) -> Result<(), BlobError> {
        let mut shared = self.lock();
        match shared.refused {
            Some((0, count)) => {
                shared.refused = (count > 1).then(|| (0, count - 1));
                return Err(BlobError::Unavailable("refused, as in a simulation".to_owned()));
            }
            Some((after, count)) => shared.refused = Some((after - 1, count)),
            None => {}
        }
        Ok(())
    }

    fn answer<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&mut Objects, &str) -> Result<T, BlobError>,
    ) -> BoxFuture<'static, Result<T, BlobError>> {
        let answer = match checked_name(name) {
            Some(name) => self.admit().and_then(|()| self.with(|objects| work(objects, name))),
            None => Err(BlobError::Name(name.to_owned())),
        };
        Box::pin(std::future::ready(answer))
    }

    fn place(&self, name: &str, object: Object) -> (Created, Stat) {
        self.with(|objects| match objects.get(name) {
            Some(there) => (Created::Exists, there.stat()),
            None => {
                let stat = object.stat();
                objects.insert(name.to_owned(), object);
                (Created::New, stat)
            }
        })
    }
}

impl Blob for MemoryBlob {
    fn create(&self, name: &str, content: Bytes) -> BoxFuture<'_, Result<Created, BlobError>> {
        let answer = match checked_name(name) {
            Some(name) => self.admit().map(|()| self.place(name, Object::new(content, About::default())).0),
            None => Err(BlobError::Name(name.to_owned())),
        };
        Box::pin(std::future::ready(answer))
    }

    fn create_from(
        &self,
        name: &str,
        about: About,
        mut content: BlobStream,
    ) -> BoxFuture<'_, Result<(Created, Stat), BlobError>> {
        let name = name.to_owned();
        Box::pin(async move {
            if let Some(stat) = self.stat(&name).await? {
                return Ok((Created::Exists, stat));
            }
            let mut bytes = BytesMut::new();
            while let Some(piece) = content.next().await {
                bytes.extend_from_slice(&piece?);
            }
            Ok(self.place(&name, Object::new(bytes.freeze(), about)))
        })
    }

    fn replace(&self, name: &str, content: Bytes) -> BoxFuture<'_, Result<(), BlobError>> {
        self.answer(name, |objects, name| {
            objects.insert(name.to_owned(), Object::new(content, About::default()));
            Ok(())
        })
    }

    fn read(&self, name: &str) -> BoxFuture<'_, Result<Option<Bytes>, BlobError>> {
        self.answer(name, |objects, name| {
            let Some(object) = objects.get(name) else { return Ok(None) };
            object.check(name)?;
            Ok(Some(object.content.clone()))
        })
    }

    fn open(
        &self,
        name: &str,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'_, Result<Option<Content>, BlobError>> {
        self.answer(name, |objects, name| {
            let Some(object) = objects.get(name) else { return Ok(None) };
            let stat = object.stat();
            let range = cut(range, stat.bytes);
            let position = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
            let mut left = object.content.slice(position(range.start)..position(range.end));
            let end = if left.len() == object.content.len() { object.check(name) } else { Ok(()) };
            let pieces = std::iter::from_fn(move || {
                (!left.is_empty()).then(|| Ok(left.split_to(left.len().min(PIECE_BYTES))))
            });
            let stream = stream::iter(pieces.chain(end.err().map(Err)));
            Ok(Some(Content { stat, range, stream: Box::pin(stream) }))
        })
    }

    fn stat(&self, name: &str) -> BoxFuture<'_, Result<Option<Stat>, BlobError>> {
        self.answer(name, |objects, name| Ok(objects.get(name).map(Object::stat)))
    }

    fn link(&self, name: &str, until: Millis) -> BoxFuture<'_, Result<String, BlobError>> {
        self.answer(name, |_, name| Ok(format!("memory:{name}?until={}", until.0)))
    }

    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, BlobError>> {
        self.list_page(prefix, None, usize::MAX)
    }

    fn list_page(
        &self,
        prefix: &str,
        after: Option<&str>,
        count_max: usize,
    ) -> BoxFuture<'_, Result<Vec<String>, BlobError>> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let names = self.admit().map(|()| {
            self.with(|objects| {
                let behind = objects.range::<str, _>((from, Bound::Unbounded)).map(|(name, _)| name);
                behind.take_while(|name| name.starts_with(prefix)).take(count_max).cloned().collect()
            })
        });
        Box::pin(std::future::ready(names))
    }

    fn remove(&self, name: &str) -> BoxFuture<'_, Result<(), BlobError>> {
        self.answer(name, |objects, name| {
            objects.remove(name);
            Ok(())
        })
    }
}
