//! History: what brokers know, asked and waited for: ends, and records anywhere.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use leadline_schemas::{Offset, Partition, Topic};
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::config::KafkaConfig;
use super::link::Link;
use super::reader::{Next, Reader, unavailable};
use super::{lock, wait};
use crate::contract::log::{Chunk, ReadError, Record};

/// How many readers there are at once; more callers wait. Each has threads and connections of its own.
const READERS_MAX: usize = 4;
/// After how long without use a reader is closed.
const IDLE: Duration = Duration::from_secs(60);

/// Reads of the past. Every call waits, at most `fetch_timeout_ms`.
pub(super) struct History {
    pub(super) config: Arc<KafkaConfig>,
    /// The fetcher's consumer: it is polled, so it can be asked.
    pub(super) asked: Arc<BaseConsumer<Link>>,
    link: Link,
    pool: Mutex<Pool>,
    freed: Condvar,
    /// Ends of `inbound`, `replies` and `settings` that brokers have told; what lies below is there.
    known_ends: Mutex<BTreeMap<(Topic, Partition), u64>>,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Reader>,
    out: usize,
}

impl History {
    pub(super) fn new(config: Arc<KafkaConfig>, asked: Arc<BaseConsumer<Link>>, link: Link) -> Self {
        Self {
            config,
            asked,
            link,
            pool: Mutex::default(),
            freed: Condvar::new(),
            known_ends: Mutex::default(),
        }
    }

    pub(super) fn patience(&self) -> Duration {
        Duration::from_millis(self.config.fetch_timeout_ms)
    }

    /// The first offset that is kept and the end of what is committed, of any topic.
    pub(super) fn watermarks(&self, topic: Topic, partition: Partition) -> Result<(u64, u64), ReadError> {
        let name = self.config.topic(topic);
        let asked = self.asked.fetch_watermarks(&name, i32::from(partition.0), self.patience());
        let (first, end) = asked.map_err(|error| unavailable(&error))?;
        self.link.health.back();
        let whole = |offset: i64| u64::try_from(offset).unwrap_or(0);
        Ok((whole(first), whole(end)))
    }

    /// The range of a topic whose offsets are Kafka's own.
    pub(super) fn range(&self, topic: Topic, partition: Partition) -> Result<(Offset, Offset), ReadError> {
        let (first, end) = self.watermarks(topic, partition)?;
        lock(&self.known_ends).insert((topic, partition), end);
        Ok((Offset(first), Offset(end)))
    }

    /// Records of a topic whose offsets are Kafka's own.
    pub(super) fn fetch(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit_bytes: usize,
    ) -> Result<Chunk, ReadError> {
        let known = lock(&self.known_ends).get(&(topic, partition)).copied().unwrap_or(0);
        let end = if from.0 < known { known } else { self.range(topic, partition)?.1.0 };
        if from.0 >= end {
            return Ok(Chunk { records: Vec::new(), next: from, end: Offset(end) });
        }
        let name = self.config.topic(topic);
        let number = i32::from(partition.0);
        self.with_reader(&name, number, Some(from.0), |reader| {
            if !reader.stands_at(&name, number, from.0) {
                reader.seek(&name, number, from.0)?;
            }
            match collect(reader, end, limit_bytes, Instant::now() + self.patience())? {
                Some(records) => {
                    let next = records.last().map_or(end, |last: &Record| last.offset.0.saturating_add(1));
                    Ok(Chunk { records, next: Offset(next), end: Offset(end) })
                }
                None => Err(self.dropped(topic, partition, from)),
            }
        })
    }

    fn dropped(&self, topic: Topic, partition: Partition, asked: Offset) -> ReadError {
        match self.range(topic, partition) {
            Ok((first, _)) => ReadError::Dropped { topic, partition, asked, first },
            Err(error) => error,
        }
    }

    /// Lends a reader: the one that stands there, if any.
    pub(super) fn with_reader<T>(
        &self,
        topic: &str,
        partition: i32,
        offset: Option<u64>,
        work: impl FnOnce(&mut Reader) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let mut reader = self.take(topic, partition, offset)?;
        let answer = work(&mut reader);
        reader.used = Instant::now();
        let mut pool = lock(&self.pool);
        pool.out -= 1;
        // One that failed may stand anywhere: its next user seeks, or opens another.
        if answer.is_ok() {
            pool.idle.push(reader);
        }
        drop(pool);
        self.freed.notify_one();
        answer
    }

    fn take(&self, topic: &str, partition: i32, offset: Option<u64>) -> Result<Reader, ReadError> {
        let deadline = Instant::now() + self.patience();
        let mut pool = lock(&self.pool);
        while pool.out >= READERS_MAX {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ReadError::Unavailable(format!("all {READERS_MAX} readers of the log are busy")));
            }
            pool = wait(&self.freed, pool, left);
        }
        pool.out += 1;
        let exact = |reader: &Reader| offset.is_some_and(|offset| reader.stands_at(topic, partition, offset));
        let same = |reader: &Reader| reader.stands_in(topic, partition);
        let fit = pool.idle.iter().position(exact).or_else(|| pool.idle.iter().position(same));
        if let Some(index) = fit {
            return Ok(pool.idle.swap_remove(index));
        }
        if pool.idle.len() + pool.out > READERS_MAX
            && let Some(reader) = pool.idle.pop()
        {
            return Ok(reader);
        }
        drop(pool);
        Reader::open(&self.config, self.link.clone()).inspect_err(|_| {
            lock(&self.pool).out -= 1;
            self.freed.notify_one();
        })
    }

    /// Closes readers that nobody uses.
    pub(super) fn tidy(&self) {
        let mut pool = lock(&self.pool);
        let idle = std::mem::take(&mut pool.idle);
        let (kept, closed): (Vec<_>, Vec<_>) = idle.into_iter().partition(|r| r.used.elapsed() < IDLE);
        pool.idle = kept;
        drop(pool);
        drop(closed);
    }
}

/// Whole records below `end`, at least one, up to the limit; none if where the reader stands was dropped.
fn collect(
    reader: &mut Reader,
    end: u64,
    limit_bytes: usize,
    deadline: Instant,
) -> Result<Option<Vec<Record>>, ReadError> {
    let (mut bytes, mut records) = (0_usize, Vec::<Record>::new());
    while records.last().is_none_or(|last| last.offset.0.saturating_add(1) < end) {
        match reader.next(deadline)? {
            Next::OutOfRange => return Ok(None),
            // Compaction may have taken the last ones before the end.
            Next::End if !records.is_empty() => break,
            Next::End => {}
            Next::Record(fetched) => {
                bytes = bytes.saturating_add(fetched.value.len());
                if !records.is_empty() && bytes > limit_bytes {
                    reader.give_back(fetched);
                    break;
                }
                records.push(Record { offset: Offset(fetched.offset), value: fetched.value });
            }
        }
    }
    Ok(Some(records))
}
