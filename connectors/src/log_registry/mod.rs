//! Registry: values on the log in the wire format of Confluent's schema registry, for every client that knows it.
//!
//! Inside leadline a record starts with `0xC3 0x01` and the fingerprint of its schema. A [`RegistryLog`] stands before
//! a log and gives each value that goes out the magic byte 0 and the registry's four-byte id of the same schema
//! instead, and turns what comes in back. It reads both, so a topic can change over while it is used. Topic `state`
//! stays as it is: its frames are leadline's own.
//!
//! All schemas that this binary may write are registered before the log is used, under `{topic}-value`: one that
//! does not go with what others have registered there is refused in words, and never replaces it. An id that is not known
//! is asked for; until the registry has answered, the partition waits as if the record had not come yet, and health
//! says so.

mod client;
mod resolver;
mod schemas;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{BufMut as _, Bytes, BytesMut};
use leadline_schemas::avro::{HEADER_BYTES, MARKER, fingerprint_of};
use leadline_schemas::frame::Output;
use leadline_schemas::{Offset, Partition, Topic};

use crate::contract::BoxFuture;
use crate::contract::log::{
    Append, AppendError, Chunk, Commit, CommitAnswer, Log, LogHealth, RECORD_BYTES_MAX, ReadError, Record,
};
pub use client::{RegistryConfig, RegistryError};
use resolver::Resolver;
use schemas::Schemas;

/// What a value in the registry's wire format starts with
/// (<https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format>).
const MAGIC: u8 = 0;
/// The magic byte and the id, big endian.
const PREFIX_BYTES: usize = 5;

type Listener = Arc<dyn Fn() + Send + Sync>;
type Place = (Topic, Partition);

/// A log whose values are in the registry's wire format.
pub struct RegistryLog {
    log: Arc<dyn Log>,
    schemas: Arc<Schemas>,
    resolver: Resolver,
    listeners: Arc<Mutex<HashMap<Place, Listener>>>,
}

impl RegistryLog {
    /// Registers the schemas of all topics and stands before the log. `name` is what a topic is called for others.
    /// Waits for the registry.
    pub fn open(
        log: Arc<dyn Log>,
        config: RegistryConfig,
        name: impl Fn(Topic) -> String,
    ) -> Result<Self, RegistryError> {
        let subjects =
            Topic::ALL.into_iter().map(|topic| (topic, format!("{}-value", name(topic)))).collect();
        let listeners = Arc::<Mutex<HashMap<Place, Listener>>>::default();
        let tell = Arc::clone(&listeners);
        let (resolver, schemas) = Resolver::start(config, subjects, move |place| {
            let listener = lock(&tell).get(&place).cloned();
            if let Some(listener) = listener {
                listener();
            }
        })?;
        Ok(Self { log, schemas, resolver, listeners })
    }

    /// Turns what was read; ends before a record whose schema is not known yet.
    fn incoming(&self, mut chunk: Chunk) -> Result<Chunk, (Chunk, u32)> {
        for index in 0..chunk.records.len() {
            let Some(record) = chunk.records.get_mut(index) else { break };
            let Some(id) = id_of(&record.value) else { continue };
            match self.schemas.fingerprint(id) {
                Some(fingerprint) => record.value = inside(&record.value, fingerprint),
                None => {
                    let offset = record.offset;
                    chunk.records.truncate(index);
                    (chunk.next, chunk.end) = (offset, offset);
                    return Err((chunk, id));
                }
            }
        }
        Ok(chunk)
    }
}

/// Turns values that were read without a log, as long as the registry answers; it is only asked if one needs it.
pub fn unframe<'v>(
    values: impl Iterator<Item = &'v mut Bytes>,
    config: RegistryConfig,
) -> Result<(), RegistryError> {
    let mut registry: Option<(Resolver, Arc<Schemas>)> = None;
    for value in values {
        let Some(id) = id_of(value) else { continue };
        if registry.is_none() {
            registry = Some(Resolver::start(config.clone(), Vec::new(), |_| {})?);
        }
        let Some((resolver, schemas)) = &registry else { continue };
        if schemas.fingerprint(id).is_none() {
            resolver.resolve(id)?;
        }
        if let Some(fingerprint) = schemas.fingerprint(id) {
            *value = inside(value, fingerprint);
        }
    }
    Ok(())
}

/// As much of a chunk as may be read at once, at least one record: inside, values are a little larger.
fn within(mut chunk: Chunk, limit_bytes: usize) -> Chunk {
    let mut bytes = 0;
    let mut fits = |record: &Record| {
        bytes += record.value.len();
        bytes <= limit_bytes
    };
    let count = chunk.records.iter().take_while(|record| fits(record)).count().max(1);
    if let Some(record) = chunk.records.get(count) {
        chunk.next = record.offset;
        chunk.records.truncate(count);
    }
    chunk
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The registry's id in a value; none where there is none.
fn id_of(value: &[u8]) -> Option<u32> {
    let (prefix, _) = value.split_first_chunk::<PREFIX_BYTES>()?;
    let [magic, id @ ..] = *prefix;
    (magic == MAGIC).then(|| u32::from_be_bytes(id))
}

/// A value of the wire format as single-object encoding.
fn inside(value: &[u8], fingerprint: u64) -> Bytes {
    let datum = value.get(PREFIX_BYTES..).unwrap_or_default();
    let mut bytes = BytesMut::with_capacity(HEADER_BYTES + datum.len());
    bytes.put_slice(&MARKER);
    bytes.put_u64_le(fingerprint);
    bytes.put_slice(datum);
    bytes.freeze()
}

/// A value in single-object encoding as the wire format.
fn outside(value: &[u8], id: u32) -> Bytes {
    let datum = value.get(HEADER_BYTES..).unwrap_or_default();
    let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + datum.len());
    bytes.put_u8(MAGIC);
    bytes.put_u32(id);
    bytes.put_slice(datum);
    bytes.freeze()
}

impl Schemas {
    /// What goes out in place of a value; a tombstone stays one.
    fn outgoing(&self, topic: Topic, value: &Bytes) -> Result<Bytes, String> {
        if value.is_empty() || topic == Topic::State {
            return Ok(value.clone());
        }
        let id = fingerprint_of(value).and_then(|fingerprint| self.id(topic, fingerprint));
        let id = id.ok_or_else(|| format!("a value for {topic} has no schema that is registered for it"))?;
        Ok(outside(value, id))
    }
}

impl Log for RegistryLog {
    fn partitions(&self) -> u16 {
        self.log.partitions()
    }

    fn append(&self, mut records: Vec<Append>) -> BoxFuture<'static, Result<Vec<Offset>, AppendError>> {
        // Outside a value is a little smaller; what is read must not be larger than a record may be.
        if let Some(bytes) = records.iter().map(|record| record.value.len()).find(|n| *n > RECORD_BYTES_MAX) {
            return Box::pin(std::future::ready(Err(AppendError::TooLarge { bytes })));
        }
        for record in &mut records {
            match self.schemas.outgoing(record.topic, &record.value) {
                Ok(value) => record.value = value,
                Err(why) => return Box::pin(std::future::ready(Err(AppendError::Failed(why)))),
            }
        }
        self.log.append(records)
    }

    fn commit(&self, mut commit: Commit, done: Box<dyn FnOnce(CommitAnswer) + Send>) {
        let turned = commit.outputs.iter().map(|output| {
            let value = self.schemas.outgoing(output.topic, &output.value)?;
            Ok(Output { topic: output.topic, key: output.key.clone(), value })
        });
        match turned.collect::<Result<Vec<Output>, String>>() {
            Ok(outputs) => {
                commit.outputs = Arc::new(outputs);
                self.log.commit(commit, done);
            }
            Err(why) => done(CommitAnswer::Aborted(why)),
        }
    }

    fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit_bytes: usize,
    ) -> Result<Chunk, ReadError> {
        let chunk = self.log.read(topic, partition, from, limit_bytes)?;
        if topic == Topic::State {
            return Ok(chunk);
        }
        let chunk = self.incoming(chunk).unwrap_or_else(|(chunk, id)| {
            // Its listener is told when it can be read.
            self.resolver.want(id, (topic, partition));
            chunk
        });
        Ok(within(chunk, limit_bytes))
    }

    fn fetch(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit_bytes: usize,
    ) -> Result<Chunk, ReadError> {
        loop {
            let chunk = self.log.fetch(topic, partition, from, limit_bytes)?;
            if topic == Topic::State {
                return Ok(chunk);
            }
            match self.incoming(chunk) {
                Ok(chunk) => return Ok(within(chunk, limit_bytes)),
                Err((chunk, _)) if !chunk.records.is_empty() => return Ok(within(chunk, limit_bytes)),
                Err((_, id)) => {
                    self.resolver.resolve(id).map_err(|error| ReadError::Unavailable(error.to_string()))?
                }
            }
        }
    }

    fn range(&self, topic: Topic, partition: Partition) -> Result<(Offset, Offset), ReadError> {
        self.log.range(topic, partition)
    }

    fn range_so_far(&self, partition: Partition) -> Result<(Offset, Offset), ReadError> {
        self.log.range_so_far(partition)
    }

    fn listen(&self, topic: Topic, partition: Partition, listener: Listener) {
        lock(&self.listeners).insert((topic, partition), Arc::clone(&listener));
        self.log.listen(topic, partition, listener);
    }

    fn set_floor(&self, topic: Topic, partition: Partition, floor: Offset) {
        self.log.set_floor(topic, partition, floor);
    }

    fn health(&self) -> LogHealth {
        let health = self.log.health();
        LogHealth { unavailable: health.unavailable.or_else(|| self.resolver.trouble()), ..health }
    }
}
