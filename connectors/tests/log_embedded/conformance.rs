//! One suite, every log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use leadline_connectors::conformance::log;
use leadline_connectors::contract::disk::Disk;
use leadline_connectors::disk_folder::FolderDisk;
use leadline_connectors::disk_simulated::SimulatedDisk;
use leadline_connectors::log_embedded::{EmbeddedLog, EmbeddedLogConfig, system_randomness};
use leadline_connectors::log_memory::MemoryLog;

use crate::simulated::StepClock;

fn config() -> EmbeddedLogConfig {
    // Smaller than the largest record and commit, so that both need segments of their own.
    EmbeddedLogConfig {
        partitions: 4,
        segment_bytes: 256 << 10,
        group_bytes_max: 32 << 10,
        tail_cache_bytes_max: 8 << 10,
        ..EmbeddedLogConfig::default()
    }
}

fn embedded(disk: Arc<dyn Disk>) -> Arc<EmbeddedLog> {
    let clock = Arc::new(StepClock::default());
    Arc::new(EmbeddedLog::open(config(), disk, clock, system_randomness()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_log_keeps_the_contract_on_a_real_disk() {
    let folder = tempfile::tempdir().unwrap();
    let logs = AtomicU64::new(0);
    let next = || folder.path().join(logs.fetch_add(1, Ordering::Relaxed).to_string());
    log::run(|| embedded(Arc::new(FolderDisk::open(&next()).unwrap()))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_log_keeps_the_contract_on_a_simulated_disk() {
    log::run(|| embedded(Arc::new(SimulatedDisk::new(1)))).await;
}

#[tokio::test]
async fn the_memory_log_keeps_the_contract() {
    log::run(|| Arc::new(MemoryLog::new(4))).await;
}
