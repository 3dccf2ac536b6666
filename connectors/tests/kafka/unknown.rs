//! A commit whose answer is lost is answered when it is known.

use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use leadline_connectors::contract::log::{CommitAnswer, Log as _};
use leadline_schemas::{Offset, Topic};
use leadline_tests::kafka::Cluster;
use leadline_tests::proxy::{Cut, END_TRANSACTION};
use leadline_tests::until;

use crate::{P0, P1, PATIENCE, commit, epoch, foreign, fresh, open, output, send};

#[test]
fn a_commit_whose_answer_is_lost_is_answered_as_it_ended_as_soon_as_that_is_known() {
    let Some(broker) = Cluster::behind_proxy() else { return };
    let mut config = fresh(&broker, 2);
    config.transaction_timeout_ms = 2_000;
    let log = open(&config);
    let call = |number: u64| vec![output(Topic::Calls, "call", number.to_string())];
    assert_eq!(commit(&log, epoch(P0, 1, call(1))), CommitAnswer::Committed);
    assert_eq!(commit(&log, epoch(P1, 1, Vec::new())), CommitAnswer::Committed);

    for (number, cut, expected) in
        [(2, Cut::Answer, CommitAnswer::Committed), (3, Cut::Request, CommitAnswer::Aborted(String::new()))]
    {
        broker.proxy().cut_at(END_TRANSACTION, cut);
        let answer = send(&log, epoch(P0, number, call(number)));
        until("the way is cut", PATIENCE, || broker.proxy().is_down());
        // The time-out of the commit passes, and longer.
        let silent = answer.recv_timeout(Duration::from_secs(5));
        assert_eq!(silent, Err(RecvTimeoutError::Timeout), "nobody can know yet");
        broker.proxy().mend();
        let answer = answer.recv_timeout(PATIENCE).unwrap();
        assert_eq!(std::mem::discriminant(&answer), std::mem::discriminant(&expected), "{cut:?}: {answer:?}");
        let end = if answer == CommitAnswer::Committed { number } else { number - 1 };
        assert_eq!(log.range(Topic::State, P0).unwrap(), (Offset(0), Offset(end)));
        assert_eq!(foreign(&config, Topic::Calls, P0).len() as u64, end);
    }
    assert_eq!(commit(&log, epoch(P0, 3, call(3))), CommitAnswer::Committed, "and it goes on");
    assert_eq!(commit(&log, epoch(P1, 2, Vec::new())), CommitAnswer::Committed);
}
