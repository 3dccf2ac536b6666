//! One partition: a tree that holds its rows and its applied marker.

use std::ops::{Bound, ControlFlow};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use fjall::{Database, Keyspace, OwnedWriteBatch, PersistMode, Readable, Snapshot};
use leadline_schemas::CommitNumber;

use super::config::FjallConfig;
use super::error::running;
use crate::contract::state::{Change, PartitionState, StateError, StateView, Visit};

/// The key of the applied marker. It sorts behind every row: keys that start with it are refused, and no key of
/// the engine starts with 32 bytes of 0xFF (they start with a key group below 1,024).
pub(super) const MARKER: &[u8] = &[0xFF; 32];

/// The longest key that fjall takes.
const KEY_BYTES_MAX: usize = u16::MAX as usize;

/// What a row takes in a memtable besides its bytes: a node of the skip list, two `Bytes`, two allocations.
/// Measured as resident memory per row of 40 + 16 bytes.
const ROW_OVERHEAD_BYTES: u64 = 160;

pub(super) struct FjallPartition {
    database: Database,
    keyspace: Keyspace,
    memory: Arc<Memory>,
    /// Estimated bytes in the memtable.
    buffered: AtomicU64,
    /// Set when the partition was cleared: this handle's tree is no longer the partition's.
    retired: AtomicBool,
}

impl FjallPartition {
    pub(super) fn new(database: Database, keyspace: Keyspace, memory: Arc<Memory>) -> Self {
        Self { database, keyspace, memory, buffered: AtomicU64::new(0), retired: AtomicBool::new(false) }
    }

    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    fn check_current(&self) -> Result<(), StateError> {
        if self.retired.load(Ordering::Acquire) {
            return Err(StateError::Failed("the partition was cleared; open it again".to_owned()));
        }
        Ok(())
    }

    fn write_out(&self) -> Result<(), StateError> {
        self.buffered.store(0, Ordering::Relaxed);
        self.keyspace.rotate_memtable().map(|_| ()).map_err(running)
    }
}

impl PartitionState for FjallPartition {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        self.check_current()?;
        Ok(self.keyspace.get(key).map_err(running)?.map(Bytes::from))
    }

    fn scan(&self, from: &[u8], to: Option<&[u8]>, visit: Visit<'_>) -> Result<(), StateError> {
        self.check_current()?;
        scan(&self.database.snapshot(), &self.keyspace, from, to, visit)
    }

    fn apply(&self, changes: &[Change], applied: CommitNumber) -> Result<(), StateError> {
        self.check_current()?;
        let mut batch =
            OwnedWriteBatch::with_capacity(self.database.clone(), changes.len().saturating_add(1))
                // To the kernel, not to the disk: a crash of the process alone loses nothing.
                .durability(Some(PersistMode::Buffer));
        let mut bytes = 0_u64;
        for change in last_of_each_key(changes).iter() {
            check_key(&change.key)?;
            // Copied: a key or value that is a slice of a commit frame would keep the whole frame in memory.
            let key: &[u8] = &change.key;
            let length = match &change.value {
                Some(value) => {
                    let value: &[u8] = value;
                    batch.insert(&self.keyspace, key, value);
                    value.len()
                }
                None => {
                    batch.remove(&self.keyspace, key);
                    0
                }
            };
            bytes = bytes.saturating_add((key.len() + length) as u64 + ROW_OVERHEAD_BYTES);
        }
        batch.insert(&self.keyspace, MARKER, applied.0.to_be_bytes());
        batch.commit().map_err(running)?;
        self.buffered.fetch_add(bytes + ROW_OVERHEAD_BYTES, Ordering::Relaxed);
        self.memory.settle()
    }

    fn applied(&self) -> Result<CommitNumber, StateError> {
        self.check_current()?;
        marker(self.keyspace.get(MARKER))
    }

    fn view(&self) -> Result<Box<dyn StateView>, StateError> {
        self.check_current()?;
        Ok(Box::new(FjallView { snapshot: self.database.snapshot(), keyspace: self.keyspace.clone() }))
    }
}

struct FjallView {
    snapshot: Snapshot,
    keyspace: Keyspace,
}

impl StateView for FjallView {
    fn scan(&self, from: &[u8], to: Option<&[u8]>, visit: Visit<'_>) -> Result<(), StateError> {
        scan(&self.snapshot, &self.keyspace, from, to, visit)
    }

    fn applied(&self) -> Result<CommitNumber, StateError> {
        marker(self.snapshot.get(&self.keyspace, MARKER))
    }
}

fn scan(
    snapshot: &Snapshot,
    keyspace: &Keyspace,
    from: &[u8],
    to: Option<&[u8]>,
    visit: Visit<'_>,
) -> Result<(), StateError> {
    let to = to.map_or(MARKER, |to| to.min(MARKER));
    if from >= to {
        return Ok(());
    }
    for row in snapshot.range::<&[u8], _>(keyspace, (Bound::Included(from), Bound::Excluded(to))) {
        let (key, value) = row.into_inner().map_err(running)?;
        if let ControlFlow::Break(()) = visit(&key, &value) {
            break;
        }
    }
    Ok(())
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

/// The changes with only the last of each key: a batch has one sequence number, under which a tree keeps one
/// entry per key in no promised order. Frames come sorted and without repeats, so this is a look, not a copy.
fn last_of_each_key(changes: &[Change]) -> std::borrow::Cow<'_, [Change]> {
    if changes.is_sorted_by(|left, right| left.key < right.key) {
        return changes.into();
    }
    let by_key: std::collections::BTreeMap<&Bytes, &Change> =
        changes.iter().map(|change| (&change.key, change)).collect();
    by_key.into_values().cloned().collect::<Vec<_>>().into()
}

/// The memtables of all partitions together, kept within bounds.
///
/// fjall bounds each tree's memtable only, with a figure fixed when the tree is created; many lightly used
/// partitions would add up. So the bounds are kept here, and fjall's own (64 MiB a tree) is a second net.
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

    /// Writes out the fullest memtable while it, or all together, are over their bound.
    fn settle(&self) -> Result<(), StateError> {
        let partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let mut total = 0_u64;
            let mut fullest: Option<(u64, Arc<FjallPartition>)> = None;
            for partition in partitions.iter().filter_map(Weak::upgrade) {
                let bytes = partition.buffered.load(Ordering::Relaxed);
                total = total.saturating_add(bytes);
                if fullest.as_ref().is_none_or(|(most, _)| bytes > *most) {
                    fullest = Some((bytes, partition));
                }
            }
            match fullest {
                Some((bytes, partition))
                    if bytes >= self.partition_bytes_max || total >= self.total_bytes_max =>
                {
                    partition.write_out()?;
                }
                _ => return Ok(()),
            }
        }
    }
}
