//! Ending, and coming back.

use std::time::{Duration, Instant};

use leadline_schemas::Topic;
use leadline_schemas::call::CallRecord;
use leadline_tests::kafka::Cluster;
use leadline_tests::{until, within};

use crate::company::{Company, Senders};

/// What a stop may take: HTTP's half second, the group's patience, the engine's and the log's bounds.
const STOP_MAX: Duration = Duration::from_secs(15);

#[test]
fn a_stop_while_no_broker_answers_is_short_and_loses_nothing() {
    let Some(cluster) = Cluster::start(1) else { return };
    let mut company = Company::start(&cluster, 2, 1, &[]);
    let senders = Senders::start(company.webhook.port, 2, Duration::from_millis(20));
    until("calls come out", Duration::from_secs(60), || {
        !company.records::<CallRecord>(Topic::Calls).is_empty()
    });
    cluster.pause(0);
    let refused = company.webhook.hook(&leadline_tests::call(leadline_tests::COMPANY, 999_999));
    assert_eq!(refused, Some(503), "nobody is told that it was accepted");
    let worker = &mut company.workers[0];
    let took = worker.terminate();
    assert!(took < STOP_MAX, "a worker took {took:?} to stop");
    cluster.resume(0);
    std::thread::sleep(Duration::from_secs(2));
    let accepted = senders.finish();

    let started = Instant::now();
    company.workers[0].start();
    let whole = within(Duration::from_secs(60), || {
        let calls: Vec<CallRecord> = company.records(Topic::Calls);
        let known: std::collections::BTreeSet<String> = calls.into_iter().map(|call| call.call_id).collect();
        accepted.is_subset(&known)
    });
    assert!(
        whole,
        "after {:?} not all of {} are there\n{}",
        started.elapsed(),
        accepted.len(),
        company.said()
    );
}
