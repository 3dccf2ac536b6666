//! A state store, a record store, a clock and a provider in memory, just enough to drive the engine; log and blobs are the connectors'.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use leadline_connectors::contract::BoxFuture;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::provider::{CallError, Provider, ProviderAnswer};
use leadline_connectors::contract::state::*;
use leadline_connectors::contract::store::{Batch, RecordWriter, StoreError};
use leadline_connectors::contract::tenants::TenantRow;
use leadline_schemas::{CommitNumber, Millis, Partition};

#[derive(Default)]
pub(super) struct TestState {
    partitions: Mutex<HashMap<Partition, Arc<TestRows>>>,
}

#[derive(Default)]
pub(super) struct TestRows(Mutex<(BTreeMap<Vec<u8>, Bytes>, CommitNumber)>);

impl State for TestState {
    fn open(&self, partition: Partition) -> Result<Arc<dyn PartitionState>, StateError> {
        Ok(self.partitions.lock().unwrap().entry(partition).or_default().clone())
    }
    fn clear(&self, partition: Partition) -> Result<(), StateError> {
        self.partitions.lock().unwrap().remove(&partition);
        Ok(())
    }
    fn sync(&self) -> Result<(), StateError> {
        Ok(())
    }
    fn disk_bytes(&self) -> u64 {
        0
    }
}

fn scan_rows(rows: &BTreeMap<Vec<u8>, Bytes>, from: &[u8], to: Option<&[u8]>, visit: Visit<'_>) {
    for (key, value) in rows.range(from.to_vec()..) {
        if to.is_some_and(|to| key.as_slice() >= to) || visit(key, value) == ControlFlow::Break(()) {
            return;
        }
    }
}

impl PartitionState for TestRows {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        Ok(self.0.lock().unwrap().0.get(key).cloned())
    }
    fn scan(&self, from: &[u8], to: Option<&[u8]>, visit: Visit<'_>) -> Result<(), StateError> {
        scan_rows(&self.0.lock().unwrap().0, from, to, visit);
        Ok(())
    }
    fn apply(&self, changes: &[Change], applied: CommitNumber) -> Result<(), StateError> {
        let mut rows = self.0.lock().unwrap();
        for change in changes {
            match &change.value {
                Some(value) => rows.0.insert(change.key.to_vec(), value.clone()),
                None => rows.0.remove(&change.key.to_vec()),
            };
        }
        rows.1 = applied;
        Ok(())
    }
    fn applied(&self) -> Result<CommitNumber, StateError> {
        Ok(self.0.lock().unwrap().1)
    }
    fn view(&self) -> Result<Box<dyn StateView>, StateError> {
        let rows = self.0.lock().unwrap();
        Ok(Box::new(TestView(rows.0.clone(), rows.1)))
    }
}

pub(super) struct TestView(BTreeMap<Vec<u8>, Bytes>, CommitNumber);

impl StateView for TestView {
    fn scan(&self, from: &[u8], to: Option<&[u8]>, visit: Visit<'_>) -> Result<(), StateError> {
        scan_rows(&self.0, from, to, visit);
        Ok(())
    }
    fn applied(&self) -> Result<CommitNumber, StateError> {
        Ok(self.1)
    }
}

#[derive(Default)]
pub(super) struct TestClock {
    pub(super) wall: AtomicI64,
    /// When it was first looked at, and how often.
    began: OnceLock<Instant>,
    pub(super) boot: AtomicU64,
}

impl Clock for TestClock {
    fn wall(&self) -> Millis {
        Millis(self.wall.load(Relaxed))
    }
    fn boot_ms(&self) -> u64 {
        // Time passes, and each look at it takes some, so that whoever waits for it comes to his end.
        let passed = self.began.get_or_init(Instant::now).elapsed();
        u64::try_from(passed.as_millis()).unwrap() + self.boot.fetch_add(1, Relaxed)
    }
}

/// A version of the settings, and the names that came with it.
type Told = (u64, Vec<String>);

/// A record store that only keeps how far it is, and what it was told of tenants. Clones are the same store.
#[derive(Clone, Default)]
pub(super) struct TestRecords {
    progress: Arc<Mutex<HashMap<(u32, Partition), CommitNumber>>>,
    pub(super) told: Arc<Mutex<Vec<Told>>>,
    /// Whether it is away for who tells it of tenants.
    pub(super) is_deaf: Arc<AtomicBool>,
}

impl RecordWriter for TestRecords {
    fn progress(&mut self, generation: u32, partition: Partition) -> Result<CommitNumber, StoreError> {
        Ok(self.progress.lock().unwrap().get(&(generation, partition)).copied().unwrap_or_default())
    }
    fn write(&mut self, batches: &[Batch]) -> Result<(), StoreError> {
        let all = batches.iter().map(|batch| ((batch.generation, batch.partition), batch.to));
        self.progress.lock().unwrap().extend(all);
        Ok(())
    }
    fn put_tenants(&mut self, version: u64, tenants: &[TenantRow]) -> Result<(), StoreError> {
        if self.is_deaf.load(Relaxed) {
            return Err(StoreError::Unavailable("away".to_owned()));
        }
        let mut names: Vec<String> = tenants.iter().map(|tenant| tenant.name.clone()).collect();
        names.sort();
        self.told.lock().unwrap().push((version, names));
        Ok(())
    }
}

/// A provider that answers what it is asked.
pub(super) struct Oracle;

impl Provider for Oracle {
    fn name(&self) -> &str {
        "oracle"
    }
    fn call(
        &self,
        job: leadline_schemas::reply::PendingJob,
        _: Duration,
    ) -> BoxFuture<'_, Result<ProviderAnswer, CallError>> {
        Box::pin(async move { Ok(ProviderAnswer { body: job.request.payload, cost_micros: 0 }) })
    }
}
