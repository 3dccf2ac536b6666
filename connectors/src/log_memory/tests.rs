//! The suite, and the answers that only this log can be told to give.

use std::sync::mpsc;
use std::task::{Context, Poll, Waker};

use leadline_schemas::CommitNumber;

use super::*;
use crate::conformance::log::{LogUnderTest, suite};

pub(crate) struct Restarted {
    pub(crate) log: Option<MemoryLog>,
    pub(crate) held: bool,
    pub(crate) kept: usize,
}

impl LogUnderTest for Restarted {
    fn start(&mut self) -> Arc<dyn Log> {
        let next = self.log.take().map_or_else(|| MemoryLog::new(2), |log| log.crash(self.kept));
        if self.held {
            next.hold();
        }
        self.log = Some(next.clone());
        Arc::new(next)
    }
    fn work(&mut self) -> bool {
        self.log.as_ref().unwrap().release()
    }
    fn holds_still(&self) -> bool {
        self.held
    }
    fn upkeep(&mut self) {}
    fn fill(&mut self) -> bool {
        self.log.as_ref().unwrap().set_full(true);
        true
    }
    fn free(&mut self) {
        self.log.as_ref().unwrap().set_full(false);
    }
}

#[test]
fn it_passes_the_suite_at_once_and_held() {
    for (held, kept) in [(false, 0), (true, 0), (true, 3), (true, usize::MAX)] {
        suite(&|| Box::new(Restarted { log: None, held, kept }));
    }
}

const P: Partition = Partition(0);

fn append(log: &MemoryLog, text: &'static str) -> Poll<Result<Vec<Offset>, AppendError>> {
    let value = Bytes::from_static(text.as_bytes());
    let mut appending =
        log.append(vec![Append { topic: Topic::Inbound, partition: P, key: Bytes::new(), value }]);
    appending.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

fn commit(log: &MemoryLog, number: u64) -> mpsc::Receiver<CommitAnswer> {
    let (sender, receiver) = mpsc::channel();
    let commit = Commit {
        partition: P,
        number: CommitNumber(number),
        inbound_next: Offset(0),
        replies_next: Offset(0),
        outputs: Arc::default(),
        frame: Bytes::from(number.to_string()),
    };
    log.commit(commit, Box::new(move |answer| sender.send(answer).unwrap()));
    receiver
}

#[test]
fn appends_end_as_planned_and_then_well_again() {
    let log = MemoryLog::new(1);
    let faults = [
        AppendFault::Busy,
        AppendFault::Full,
        AppendFault::Failed { written: false },
        AppendFault::Failed { written: true },
    ];
    for fault in faults {
        log.fail_append(fault);
    }
    assert!(matches!(append(&log, "busy"), Poll::Ready(Err(AppendError::Busy { .. }))));
    assert_eq!(append(&log, "full"), Poll::Ready(Err(AppendError::Full)));
    assert!(matches!(append(&log, "lost"), Poll::Ready(Err(AppendError::Failed(_)))));
    assert!(log.all(Topic::Inbound, P).is_empty());
    assert!(matches!(append(&log, "written"), Poll::Ready(Err(AppendError::Failed(_)))));
    assert_eq!(append(&log, "well"), Poll::Ready(Ok(vec![Offset(1)])));
    assert_eq!(log.all(Topic::Inbound, P), ["written", "well"]);
}

#[test]
fn commits_end_as_planned_and_then_well_again() {
    let log = MemoryLog::new(1);
    let faults = [
        CommitFault::Aborted,
        CommitFault::Fenced,
        CommitFault::Unknown { written: false },
        CommitFault::Unknown { written: true },
    ];
    for fault in faults {
        log.fail_commit(fault);
    }
    assert!(matches!(commit(&log, 1).recv().unwrap(), CommitAnswer::Aborted(_)));
    assert!(matches!(commit(&log, 1).recv().unwrap(), CommitAnswer::Fenced(_)));
    assert!(matches!(commit(&log, 1).recv().unwrap(), CommitAnswer::Unknown(_)));
    assert!(log.all(Topic::State, P).is_empty());
    assert!(matches!(commit(&log, 1).recv().unwrap(), CommitAnswer::Unknown(_)));
    assert_eq!(log.all(Topic::State, P), ["1"], "it is there though nobody said so");
    assert_eq!(commit(&log, 2).recv().unwrap(), CommitAnswer::Committed);
}

#[test]
fn held_work_is_answered_one_by_one_and_a_crash_keeps_as_much_of_it_as_asked_for() {
    for kept in 0..=3 {
        let log = MemoryLog::new(1);
        log.hold();
        assert!(append(&log, "a").is_pending());
        let first = commit(&log, 1);
        assert!(append(&log, "b").is_pending());
        let second = commit(&log, 2);
        assert!(log.release() && log.release());
        assert_eq!(first.recv().unwrap(), CommitAnswer::Committed);
        assert_eq!(log.all(Topic::Inbound, P), ["a"]);
        assert_eq!(log.waiting(), 2);

        let next = log.crash(kept);
        assert_eq!(next.all(Topic::Inbound, P).len(), if kept >= 1 { 2 } else { 1 });
        assert_eq!(next.all(Topic::State, P).len(), if kept >= 2 { 2 } else { 1 });
        assert!(second.recv().is_err(), "nobody answers in a crash");
        assert!(matches!(append(&log, "c"), Poll::Ready(Err(AppendError::Failed(_)))));
        assert!(log.range(Topic::Inbound, P).is_err());
    }
    let log = MemoryLog::new(1);
    log.hold();
    let answer = commit(&log, 1);
    log.let_go();
    assert_eq!(answer.recv().unwrap(), CommitAnswer::Committed);
    assert_eq!(append(&log, "at once"), Poll::Ready(Ok(vec![Offset(0)])));
}
