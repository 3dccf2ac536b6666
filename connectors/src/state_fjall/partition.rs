//! One partition: a tree that holds its rows and its applied marker, and a buffer in front of it.

use std::cmp::Ordering;
use std::hash::BuildHasher as _;
use std::ops::{Bound, ControlFlow};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering as Atomic};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use bytes::Bytes;
use fjall::{Database, Keyspace, Readable, Snapshot};
use hashbrown::DefaultHashBuilder;
use leadline_schemas::CommitNumber;

use super::buffer::Buffer;
use super::config::FjallConfig;
use super::error::running;
use super::run::{Merge, Run};
use super::tree::Tree;
use crate::contract::state::{Change, PartitionState, StateError, StateView, Visit};

/// The key of the applied marker. It sorts behind every row: keys that start with it are refused, and no key of
/// the engine starts with 32 bytes of 0xFF (they start with a key group below 1,024).
pub(super) const MARKER: &[u8] = &[0xFF; 32];

/// The longest key that fjall takes.
const KEY_BYTES_MAX: usize = u16::MAX as usize;

pub(super) struct FjallPartition {
    database: Database,
    tree: Tree,
    memory: Arc<Memory>,
    hasher: DefaultHashBuilder,
    /// What the tree does not hold yet. Held only to look or to replace, never over a copy or a write.
    buffer: RwLock<Buffer>,
    /// Whoever changes the buffer holds this over all of the change.
    changing: Mutex<()>,
    /// Bytes in the buffer.
    buffered: AtomicU64,
    /// Set when the partition was cleared: this handle's tree is no longer the partition's.
    retired: AtomicBool,
}

impl FjallPartition {
    pub(super) fn new(database: Database, tree: Tree, memory: Arc<Memory>) -> Self {
        Self {
            database,
            tree,
            memory,
            hasher: DefaultHashBuilder::default(),
            buffer: RwLock::default(),
            changing: Mutex::default(),
            buffered: AtomicU64::new(0),
            retired: AtomicBool::new(false),
        }
    }

    /// Ends it; waits for what it is writing out.
    pub(super) fn retire(&self) {
        let _changing = self.changing();
        self.retired.store(true, Atomic::Release);
    }

    fn check_current(&self) -> Result<(), StateError> {
        if self.retired.load(Atomic::Acquire) {
            return Err(StateError::Failed("the partition was cleared; open it again".to_owned()));
        }
        Ok(())
    }

    fn buffer(&self) -> RwLockReadGuard<'_, Buffer> {
        self.buffer.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn buffer_mut(&self) -> RwLockWriteGuard<'_, Buffer> {
        self.buffer.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Buffer and tree as of one instant.
    fn snapshot(&self) -> FjallView {
        let buffer = self.buffer();
        FjallView {
            buffer: buffer.clone(),
            snapshot: self.database.snapshot(),
            // After the buffer, for what is no longer there is in the tree.
            keyspace: self.tree.there().cloned(),
        }
    }

    /// Writes the buffer as a sorted file of the tree, rows and marker together.
    pub(super) fn write_out(&self) -> Result<(), StateError> {
        let _changing = self.changing();
        if self.retired.load(Atomic::Acquire) {
            return Ok(());
        }
        let Buffer { runs, applied } = self.buffer().clone();
        let Some(applied) = applied else { return Ok(()) };
        let mut file = self.tree.make()?.start_ingestion().map_err(running)?;
        for (key, value) in Merge::new(&runs, None) {
            match value {
                Some(value) => file.write(key, value),
                None => file.write_tombstone(key),
            }
            .map_err(running)?;
        }
        file.write(MARKER, applied.0.to_be_bytes()).map_err(running)?;
        file.finish().map_err(running)?;
        *self.buffer_mut() = Buffer::default();
        self.buffered.store(0, Atomic::Relaxed);
        Ok(())
    }
}

impl PartitionState for FjallPartition {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        self.check_current()?;
        if let Some(value) = self.buffer().get(self.hasher.hash_one(key), key) {
            return Ok(value.map(Bytes::copy_from_slice));
        }
        let Some(tree) = self.tree.there() else { return Ok(None) };
        Ok(tree.get(key).map_err(running)?.map(Bytes::from))
    }

    fn scan(&self, from: &[u8], to: Option<&[u8]>, visit: Visit<'_>) -> Result<(), StateError> {
        self.check_current()?;
        self.snapshot().scan(from, to, visit)
    }

    fn apply(&self, changes: &[Change], applied: CommitNumber) -> Result<(), StateError> {
        for change in changes {
            check_key(&change.key)?;
        }
        let run = Run::of_changes(changes, &self.hasher)?;
        let changing = self.changing();
        self.check_current()?;
        let mut next = self.buffer().clone();
        next.push(run, applied);
        while let Some(place) = next.crowded_from() {
            let merged = next.merged_from(place, &self.hasher)?;
            next.runs.truncate(place);
            next.runs.push(merged);
        }
        self.buffered.store(next.memory_bytes(), Atomic::Relaxed);
        *self.buffer_mut() = next;
        drop(changing);
        self.memory.settle()
    }

    fn applied(&self) -> Result<CommitNumber, StateError> {
        self.check_current()?;
        match self.buffer().applied {
            Some(applied) => Ok(applied),
            None => self.tree.there().map_or(Ok(CommitNumber(0)), |tree| marker(tree.get(MARKER))),
        }
    }

    fn view(&self) -> Result<Box<dyn StateView>, StateError> {
        self.check_current()?;
        Ok(Box::new(self.snapshot()))
    }
}

struct FjallView {
    buffer: Buffer,
    snapshot: Snapshot,
    /// None while the partition has no tree.
    keyspace: Option<Keyspace>,
}

impl StateView for FjallView {
    fn scan(&self, from: &[u8], to: Option<&[u8]>, visit: Visit<'_>) -> Result<(), StateError> {
        let to = to.map_or(MARKER, |to| to.min(MARKER));
        if from >= to {
            return Ok(());
        }
        let mut newer = Merge::new(&self.buffer.runs, Some((from, to))).peekable();
        let range = (Bound::Included(from), Bound::Excluded(to));
        let mut older =
            self.keyspace.iter().flat_map(|keyspace| self.snapshot.range::<&[u8], _>(keyspace, range));
        let mut next = || older.next().map(|row| row.into_inner().map_err(running)).transpose();
        let mut old = next()?;
        loop {
            let order = match (newer.peek(), &old) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((new, _)), Some((old, _))) => (*new).cmp(&**old),
            };
            let shown = if order == Ordering::Greater {
                old.as_ref().map_or(ControlFlow::Continue(()), |(key, value)| visit(key, value))
            } else {
                match newer.next() {
                    Some((key, Some(value))) => visit(key, value),
                    _ => ControlFlow::Continue(()),
                }
            };
            if shown.is_break() {
                return Ok(());
            }
            if order != Ordering::Less {
                old = next()?;
            }
        }
    }

    fn applied(&self) -> Result<CommitNumber, StateError> {
        match self.buffer.applied {
            Some(applied) => Ok(applied),
            None => match &self.keyspace {
                Some(keyspace) => marker(self.snapshot.get(keyspace, MARKER)),
                None => Ok(CommitNumber(0)),
            },
        }
    }
}

fn marker(read: fjall::Result<Option<fjall::UserValue>>) -> Result<CommitNumber, StateError> {
    let Some(value) = read.map_err(running)? else { return Ok(CommitNumber(0)) };
    let bytes = <[u8; 8]>::try_from(&*value)
        .map_err(|_| StateError::Damaged(format!("the applied marker has {} bytes, not 8", value.len())))?;
    Ok(CommitNumber(u64::from_be_bytes(bytes)))
}

/// Refuses a key that the store cannot hold.
pub(crate) fn check_key(key: &[u8]) -> Result<(), StateError> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX || key.starts_with(MARKER) {
        return Err(StateError::Failed(format!(
            "a key of {} bytes cannot be stored: 1 to {KEY_BYTES_MAX} bytes, not starting with {} bytes of 0xFF",
            key.len(),
            MARKER.len(),
        )));
    }
    Ok(())
}

/// The buffers of all partitions together, kept within bounds: many lightly used partitions would add up.
pub(super) struct Memory {
    partition_bytes_max: u64,
    total_bytes_max: u64,
    partitions: Mutex<Vec<Weak<FjallPartition>>>,
}

impl Memory {
    pub(super) fn new(config: &FjallConfig) -> Self {
        Self {
            partition_bytes_max: config.memtable_bytes,
            total_bytes_max: config.memtables_bytes,
            partitions: Mutex::new(Vec::new()),
        }
    }

    pub(super) fn add(&self, partition: &Arc<FjallPartition>) {
        let mut partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        partitions.retain(|known| known.strong_count() > 0);
        partitions.push(Arc::downgrade(partition));
    }

    /// Writes out the fullest buffer while it, or all together, are over their bound.
    fn settle(&self) -> Result<(), StateError> {
        while let Some(fullest) = self.over() {
            fullest.write_out()?;
        }
        Ok(())
    }

    /// The fullest buffer, if something is over its bound.
    fn over(&self) -> Option<Arc<FjallPartition>> {
        let partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        let mut total = 0_u64;
        let mut fullest: Option<(u64, Arc<FjallPartition>)> = None;
        for partition in partitions.iter().filter_map(Weak::upgrade) {
            let bytes = partition.buffered.load(Atomic::Relaxed);
            total = total.saturating_add(bytes);
            if fullest.as_ref().is_none_or(|(most, _)| bytes > *most) {
                fullest = Some((bytes, partition));
            }
        }
        let (bytes, partition) = fullest?;
        (bytes >= self.partition_bytes_max || total >= self.total_bytes_max).then_some(partition)
    }
}
