//! The suite of all logs: with somebody behind it, each of these is the log behind.

use std::sync::Arc;
use std::time::Duration;

use leadline_tests::until;

use super::*;
use crate::clock_system::SystemClock;
use crate::conformance::log::{LogUnderTest, suite};
use crate::log_memory::MemoryLog;

struct Direct(Option<MemoryLog>);

impl LogUnderTest for Direct {
    fn start(&mut self) -> Arc<dyn Log> {
        let behind = self.0.take().map_or_else(|| MemoryLog::new(2), |log| log.crash(0));
        self.0 = Some(behind.clone());
        let spool = Arc::new(MemoryLog::new(1));
        Arc::new(SpooledLog::open(Arc::new(behind), spool, Arc::new(SystemClock)).unwrap())
    }
    fn upkeep(&mut self) {}
    fn fill(&mut self) -> bool {
        self.0.as_ref().unwrap().set_full(true);
        true
    }
    fn free(&mut self) {
        self.0.as_ref().unwrap().set_full(false);
    }
}

#[test]
fn with_somebody_behind_it_is_the_log_behind() {
    suite(&|| Box::new(Direct(None)));
}

/// A log that was away when it was opened, and came.
struct Late(Option<MemoryLog>);

impl LogUnderTest for Late {
    fn start(&mut self) -> Arc<dyn Log> {
        let behind = self.0.take().map_or_else(|| MemoryLog::new(2), |log| log.crash(0));
        self.0 = Some(behind.clone());
        let late = LateLog::open(2, move || Ok(Arc::new(behind.clone()) as Arc<dyn Log>)).unwrap();
        until("it is there", Duration::from_secs(10), || late.health().unavailable.is_none());
        late
    }
    fn upkeep(&mut self) {}
    fn fill(&mut self) -> bool {
        self.0.as_ref().unwrap().set_full(true);
        true
    }
    fn free(&mut self) {
        self.0.as_ref().unwrap().set_full(false);
    }
}

#[test]
fn once_it_is_there_a_late_log_is_the_one_that_was_opened() {
    suite(&|| Box::new(Late(None)));
}
