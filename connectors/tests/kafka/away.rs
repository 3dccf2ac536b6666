//! Brokers that are away: it is said, in time, and nothing is lost.

use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use leadline_connectors::contract::log::{Append, AppendError, CommitAnswer, Log};
use leadline_schemas::{Offset, Topic};
use leadline_tests::kafka::Cluster;
use leadline_tests::until;

use crate::{P0, P1, PATIENCE, append, commit, epoch, fresh, open, send};

/// Appends until it is refused.
fn fill(log: &dyn Log) -> AppendError {
    for _ in 0..100 {
        let value = Bytes::from(vec![0; 100_000]);
        let mut appending =
            log.append(vec![Append { topic: Topic::Inbound, partition: P0, key: Bytes::new(), value }]);
        match appending.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => return answer.unwrap_err(),
            Poll::Pending => {}
        }
    }
    panic!("a queue has a bound");
}

#[test]
fn a_broker_that_is_away_is_said_in_time_and_the_log_goes_on_when_it_is_back() {
    let Some(mut broker) = Cluster::start(1) else { return };
    let mut config = fresh(&broker, 2);
    config.append_timeout_ms = 2_000;
    config.queue_bytes_max = 1 << 20;
    let log = open(&config);
    assert_eq!(append(&log, Topic::Inbound, P0, "before"), Ok(vec![Offset(0)]));
    assert_eq!(commit(&log, epoch(P0, 1, Vec::new())), CommitAnswer::Committed);

    // It hangs: connections stay open.
    broker.pause(0);
    let refused = fill(&log);
    assert_eq!(refused, AppendError::Busy { queue_bytes_max: config.queue_bytes_max });
    until("what waited is given up", PATIENCE, || log.health().queued_bytes == 0);
    let asked = Instant::now();
    let refused = append(&log, Topic::Inbound, P0, "while it hung");
    assert!(matches!(refused, Err(AppendError::Unavailable(_))), "{refused:?}");
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    until("health says so", PATIENCE, || log.health().unavailable.is_some());
    let waiting = send(&log, epoch(P0, 2, Vec::new()));
    broker.resume(0);
    until("health says that it is back", PATIENCE, || log.health().unavailable.is_none());
    let before = match waiting.recv_timeout(PATIENCE).unwrap() {
        CommitAnswer::Committed => 2,
        CommitAnswer::Aborted(_) => 1,
        other => panic!("{other:?}"),
    };
    assert_eq!(log.range(Topic::State, P0).unwrap(), (Offset(0), Offset(before)), "as it was answered");
    // What was given up may be there: whoever appends it again does no harm.
    assert!(append(&log, Topic::Inbound, P0, "after").unwrap()[0] >= Offset(1));

    // It dies.
    broker.kill(0);
    let refused = append(&log, Topic::Inbound, P1, "while it was down");
    assert!(matches!(refused, Err(AppendError::Unavailable(_))), "{refused:?}");
    until("health says so", PATIENCE, || log.health().unavailable.is_some());
    let waiting = send(&log, epoch(P0, before + 1, Vec::new()));
    broker.restart(0);
    until("health says that it is back", PATIENCE, || log.health().unavailable.is_none());
    assert_eq!(append(&log, Topic::Inbound, P1, "after"), Ok(vec![Offset(0)]));
    let before = match waiting.recv_timeout(PATIENCE).unwrap() {
        CommitAnswer::Committed => before + 1,
        CommitAnswer::Aborted(_) => before,
        other => panic!("{other:?}"),
    };
    until("a commit after the restart", PATIENCE, || {
        let answer = commit(&log, epoch(P0, before + 1, Vec::new()));
        assert!(!matches!(answer, CommitAnswer::Unknown(_) | CommitAnswer::Fenced(_)), "{answer:?}");
        answer == CommitAnswer::Committed
    });
    assert_eq!(log.range(Topic::State, P0).unwrap(), (Offset(0), Offset(before + 1)));
    assert_eq!(log.health().failed, None);
}
