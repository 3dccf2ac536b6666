//! Blobs that outlive the machine, in a store that is away at times.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use leadline_connectors::contract::BoxFuture;
use leadline_connectors::contract::blob::{Blob, BlobError, Created};

#[derive(Default)]
struct Shared {
    objects: BTreeMap<String, Bytes>,
    /// Operations that will be refused, after how many others.
    refused: Option<(u32, u32)>,
}

/// Clones are the same store.
#[derive(Clone, Default)]
pub struct SimBlob(Arc<Mutex<Shared>>);

impl SimBlob {
    /// Refuses `count` operations after the next `after`.
    pub fn refuse(&self, after: u32, count: u32) {
        self.0.lock().unwrap().refused = Some((after, count));
    }

    pub fn heal(&self) {
        self.0.lock().unwrap().refused = None;
    }

    /// Puts an object there, whatever the store refuses: its source waited until it could.
    pub fn hold(&self, name: &str, content: Bytes) {
        self.0.lock().unwrap().objects.insert(name.to_owned(), content);
    }

    /// Puts a wrong byte into an object, behind everybody's back.
    pub fn damage(&self, name: &str) -> bool {
        let mut shared = self.0.lock().unwrap();
        let Some(content) = shared.objects.get_mut(name).filter(|content| !content.is_empty()) else {
            return false;
        };
        let mut bytes = content.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] = !bytes[middle];
        *content = Bytes::from(bytes);
        true
    }

    /// Partitions' two newest snapshots, each by the name of its first piece: newest, second.
    pub fn snapshots(&self) -> Vec<(String, String)> {
        let shared = self.0.lock().unwrap();
        let mut firsts: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (name, json) in shared.objects.iter().filter(|(name, _)| name.ends_with(".json")) {
            let manifest: serde_json::Value = serde_json::from_slice(json).unwrap();
            let piece = manifest["pieces"][0]["blob"].as_str().unwrap().to_owned();
            firsts.entry(name.rsplit_once('/').unwrap().0).or_default().insert(0, piece);
        }
        let both =
            firsts.into_values().filter_map(|pieces| Some((pieces.first()?.clone(), pieces.get(1)?.clone())));
        both.collect()
    }

    fn run<T>(&self, work: impl FnOnce(&mut BTreeMap<String, Bytes>) -> T) -> Result<T, BlobError> {
        let mut shared = self.0.lock().unwrap();
        match shared.refused {
            Some((0, count)) => {
                shared.refused = (count > 1).then_some((0, count - 1));
                Err(BlobError::Unavailable("the simulator refuses".to_owned()))
            }
            Some((after, count)) => {
                shared.refused = Some((after - 1, count));
                Ok(work(&mut shared.objects))
            }
            None => Ok(work(&mut shared.objects)),
        }
    }
}

impl Blob for SimBlob {
    fn create(&self, name: &str, content: Bytes) -> BoxFuture<'_, Result<Created, BlobError>> {
        let answer = self.run(|objects| match objects.contains_key(name) {
            true => Created::Exists,
            false => {
                objects.insert(name.to_owned(), content);
                Created::New
            }
        });
        Box::pin(std::future::ready(answer))
    }
    fn replace(&self, name: &str, content: Bytes) -> BoxFuture<'_, Result<(), BlobError>> {
        let answer = self.run(|objects| {
            objects.insert(name.to_owned(), content);
        });
        Box::pin(std::future::ready(answer))
    }
    fn read(&self, name: &str) -> BoxFuture<'_, Result<Option<Bytes>, BlobError>> {
        Box::pin(std::future::ready(self.run(|objects| objects.get(name).cloned())))
    }
    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, BlobError>> {
        let answer =
            self.run(|objects| objects.keys().filter(|name| name.starts_with(prefix)).cloned().collect());
        Box::pin(std::future::ready(answer))
    }
    fn remove(&self, name: &str) -> BoxFuture<'_, Result<(), BlobError>> {
        let answer = self.run(|objects| {
            objects.remove(name);
        });
        Box::pin(std::future::ready(answer))
    }
}
