//! The suite: on a real folder with threads, and step by step on a simulated disk with every kind of end.

use tempfile::TempDir;

use super::*;
use crate::conformance::log::{LogUnderTest, suite};

fn config() -> EmbeddedLogConfig {
    EmbeddedLogConfig {
        partitions: 2,
        segment_bytes: 64 << 10,
        max_bytes: 1 << 30,
        append_queue_bytes_max: 5 << 20,
        upkeep_interval_ms: 5,
        retention: Retention { inbound_ms: 0, replies_ms: 0, settings_ms: 0, state_ms: 0 },
        ..EmbeddedLogConfig::default()
    }
}

pub(crate) struct Folder {
    pub(crate) folder: TempDir,
    pub(crate) tail_cache_bytes_max: usize,
}

impl LogUnderTest for Folder {
    fn start(&mut self) -> Arc<dyn Log> {
        let disk = Arc::new(FolderDisk::open(self.folder.path()).unwrap());
        let config = EmbeddedLogConfig { tail_cache_bytes_max: self.tail_cache_bytes_max, ..config() };
        Arc::new(EmbeddedLog::open(config, disk, Arc::new(SystemClock), incarnations(1)).unwrap())
    }
    fn upkeep(&mut self) {
        std::thread::sleep(Duration::from_millis(10)); // Two upkeep intervals of real time.
    }
}

#[test]
fn it_passes_the_suite_on_a_folder_with_threads() {
    for tail_cache_bytes_max in [64 << 20, 0] {
        suite(&|| Box::new(Folder { folder: tempfile::tempdir().unwrap(), tail_cache_bytes_max }));
    }
}

/// How a life of the log ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Orderly,
    Process,
    Machine(u64),
}

pub(crate) struct Stepped {
    disk: SimulatedDisk,
    clock: Arc<HandClock>,
    log: Weak<EmbeddedLog>,
    steps: Option<LogSteps>,
    end: End,
    lives: u64,
}

impl Stepped {
    pub(crate) fn new(end: End) -> Self {
        let clock = Arc::new(HandClock(AtomicU64::new(1_000)));
        Self { disk: SimulatedDisk::new(), clock, log: Weak::new(), steps: None, end, lives: 0 }
    }

    fn end(&mut self) {
        let Some(mut steps) = self.steps.take() else { return };
        match self.end {
            // The log was closed when it was dropped; a process that ends in order does what is left.
            End::Orderly => while steps.turn() {},
            End::Process => self.disk = self.disk.crash_process(),
            End::Machine(seed) => self.disk = self.disk.crash_machine(&mut Seeded::new(seed ^ self.lives)),
        }
    }
}

impl LogUnderTest for Stepped {
    fn start(&mut self) -> Arc<dyn Log> {
        assert!(self.log.upgrade().is_none(), "the one before was dropped");
        self.end();
        self.lives += 1;
        let config = EmbeddedLogConfig { tail_cache_bytes_max: 10_000, ..config() };
        let disk = Arc::new(self.disk.clone());
        let clock = self.clock.clone();
        let (log, steps) = EmbeddedLog::open_stepped(config, disk, clock, incarnations(self.lives)).unwrap();
        let log = Arc::new(log);
        (self.log, self.steps) = (Arc::downgrade(&log), Some(steps));
        log
    }
    fn work(&mut self) -> bool {
        self.steps.as_mut().unwrap().turn()
    }
    fn holds_still(&self) -> bool {
        true
    }
    fn upkeep(&mut self) {
        self.clock.0.fetch_add(5, Relaxed);
        while self.work() {}
    }
    fn fill(&mut self) -> bool {
        self.disk.set_capacity(Some(self.disk.used_bytes()));
        true
    }
    fn free(&mut self) {
        self.disk.set_capacity(None);
    }
}

#[test]
fn it_passes_the_suite_step_by_step_whatever_its_end() {
    let ends = [End::Orderly, End::Process, End::Machine(1), End::Machine(2), End::Machine(3)];
    for end in ends {
        suite(&|| Box::new(Stepped::new(end)));
    }
}
