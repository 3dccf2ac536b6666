//! Three workers, killed and frozen under load: each accepted call has its effect once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use leadline_schemas::Topic;
use leadline_schemas::call::CallRecord;
use leadline_schemas::lead::{Lead, LeadEvent};
use leadline_schemas::window::{WindowKind, WindowMetrics};
use leadline_tests::kafka::Cluster;
use leadline_tests::{Receiver, until, within};

use crate::company::{Company, Senders, counts};

const PARTITIONS: u16 = 6;
const WORKERS: usize = 3;
/// How long calls are sent; `KAFKA_SECONDS` makes it ten minutes.
const SECONDS: u64 = 30;
/// Longer than the session's time-out of 6 s: others take over meanwhile.
const FROZEN: Duration = Duration::from_secs(9);

#[test]
fn three_workers_under_kills_and_freezes_count_each_accepted_call_once() {
    let Some(cluster) = Cluster::start(1) else { return };
    let receiver = Receiver::start(false);
    let mut company = Company::start(&cluster, PARTITIONS, WORKERS, &["--integration", &receiver.address]);
    let seconds = std::env::var("KAFKA_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    let senders = Senders::start(company.webhook.port, 4, Duration::from_millis(10));
    let deadline = Instant::now() + Duration::from_secs(seconds);
    // A fixed sequence, so that a failure can be looked at again.
    let (mut step, mut kills, mut freezes) = (5, 0, 0);
    while Instant::now() < deadline {
        step = (step * 7 + 3) % 23;
        let worker = &mut company.workers[step % WORKERS];
        if step % 4 == 0 {
            worker.signal("-STOP");
            std::thread::sleep(FROZEN);
            worker.signal("-CONT");
            freezes += 1;
        } else {
            worker.kill();
            worker.start();
            kills += 1;
        }
        std::thread::sleep(Duration::from_millis(200 + 50 * step as u64));
    }
    let accepted = senders.finish();
    println!("{} calls accepted, {kills} kills and {freezes} freezes", accepted.len());
    assert!(accepted.len() > 200, "only {} were accepted\n{}", accepted.len(), company.said());
    let all_there = within(Duration::from_secs(120), || {
        let known: BTreeSet<String> = scored(&company).into_keys().collect();
        accepted.is_subset(&known)
    });
    let known = scored(&company);
    let missing: Vec<&String> = accepted.iter().filter(|id| !known.contains_key(*id)).take(5).collect();
    assert!(all_there, "of {} calls {missing:?} are missing\n{}", accepted.len(), company.said());

    let lead_events: Vec<LeadEvent> = company.records(Topic::LeadEvents);
    let lines = counts(lead_events.iter().map(|line| (line.lead_id, line.revision)));
    assert!(lines.values().all(|count| *count == 1), "each change of a lead is told once");
    let leads: Vec<Lead> = company.records(Topic::Leads);
    let leads: BTreeMap<_, _> = leads.into_iter().map(|lead| (lead.lead_id, lead)).collect();
    assert_eq!(leads.len(), known.len(), "each caller has one lead");
    assert!(leads.values().all(|lead| lead.revision == 1), "each call had its effect once");
    assert_eq!(window_calls(&company), known.len() as i64, "windows are exact");

    until("every lead is delivered", Duration::from_secs(120), || {
        let seen = receiver.seen.lock().unwrap();
        counts(seen.iter().map(|(key, _)| key.clone())).len() >= leads.len()
    });
    let seen = receiver.seen.lock().unwrap().clone();
    let keys: BTreeSet<&String> = seen.iter().map(|(key, _)| key).collect();
    assert_eq!(keys.len(), leads.len(), "one idempotency key for each lead");
    for worker in &mut company.workers {
        let took = worker.terminate();
        assert!(took < Duration::from_secs(12), "a worker took {took:?} to stop");
    }
}

/// The calls that have a score, each as last told.
fn scored(company: &Company) -> BTreeMap<String, CallRecord> {
    let calls: Vec<CallRecord> = company.records(Topic::Calls);
    let scored = calls.into_iter().filter(|call| call.score.is_some() && call.lead_id.is_some());
    scored.map(|call| (call.call_id.clone(), call)).collect()
}

/// Calls in all windows of a day, each as last told.
fn window_calls(company: &Company) -> i64 {
    let windows: Vec<WindowMetrics> = company.records(Topic::Metrics);
    let mut newest: BTreeMap<_, (i64, i64)> = BTreeMap::new();
    for window in windows.iter().filter(|window| window.window == WindowKind::Day) {
        let at = (window.tenant.clone(), window.start, window.slot);
        let known = newest.entry(at).or_insert((0, 0));
        if window.revision > known.0 {
            *known = (window.revision, window.calls);
        }
    }
    newest.values().map(|(_, calls)| calls).sum()
}
