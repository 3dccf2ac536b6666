//! The suite of all logs: with somebody behind it, each of these is the log behind.

use std::sync::Arc;
use std::time::Duration;

use leadline_tests::until;

use super::*;
use crate::clock_system::SystemClock;
use crate::conformance::log::{LogUnderTest, suite};
use crate::log_memory::MemoryLog;

/// A log of memory with something before it.
struct Before {
    behind: Option<MemoryLog>,
    open: fn(MemoryLog) -> Arc<dyn Log>,
}

impl LogUnderTest for Before {
    fn start(&mut self) -> Arc<dyn Log> {
        let behind = self.behind.take().map_or_else(|| MemoryLog::new(2), |log| log.crash(0));
        self.behind = Some(behind.clone());
        (self.open)(behind)
    }
    fn upkeep(&mut self) {}
    fn fill(&mut self) -> bool {
        self.behind.as_ref().unwrap().set_full(true);
        true
    }
    fn free(&mut self) {
        self.behind.as_ref().unwrap().set_full(false);
    }
}

fn before(open: fn(MemoryLog) -> Arc<dyn Log>) {
    suite(&|| Box::new(Before { behind: None, open }));
}

#[test]
fn with_somebody_behind_it_is_the_log_behind() {
    before(|behind| {
        let spool = Arc::new(MemoryLog::new(1));
        Arc::new(SpooledLog::open(Arc::new(behind), spool, Arc::new(SystemClock)).unwrap())
    });
}

/// It was away when it was opened, and came.
#[test]
fn once_it_is_there_a_late_log_is_the_one_that_was_opened() {
    before(|behind| {
        let late = LateLog::open(2, move || Ok(Arc::new(behind.clone()) as Arc<dyn Log>)).unwrap();
        until("it is there", Duration::from_secs(10), || late.health().unavailable.is_none());
        late
    });
}
