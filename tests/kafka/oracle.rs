//! What must have come of accepted calls, as any client of Kafka sees it: each call once, one lead each, exact windows, one
//! delivery key for each lead.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use leadline_schemas::Topic;
use leadline_schemas::call::CallRecord;
use leadline_schemas::lead::{Lead, LeadEvent};
use leadline_schemas::window::{WindowKind, WindowMetrics};
use leadline_tests::{Receiver, until, within};

use crate::company::{Company, counts};

/// Waits until all accepted calls are scored, and the leads delivered where there is a receiver; then all must be right.
pub fn check(company: &Company, accepted: &BTreeSet<String>, receiver: Option<&Receiver>) {
    let all_there = within(Duration::from_secs(120), || {
        let known: BTreeSet<String> = scored(company).into_keys().collect();
        accepted.is_subset(&known)
    });
    let known = scored(company);
    let missing: Vec<&String> = accepted.iter().filter(|id| !known.contains_key(*id)).take(5).collect();
    assert!(all_there, "of {} calls {missing:?} are missing\n{}", accepted.len(), company.said());

    let lead_events: Vec<LeadEvent> = company.records(Topic::LeadEvents);
    let lines = counts(lead_events.iter().map(|line| (line.lead_id, line.revision)));
    assert!(lines.values().all(|count| *count == 1), "each change of a lead is told once");
    let leads: Vec<Lead> = company.records(Topic::Leads);
    let leads: BTreeMap<_, _> = leads.into_iter().map(|lead| (lead.lead_id, lead)).collect();
    assert_eq!(leads.len(), known.len(), "each caller has one lead");
    assert!(leads.values().all(|lead| lead.revision == 1), "each call had its effect once");
    assert_eq!(window_calls(company), known.len() as i64, "windows are exact");

    let Some(receiver) = receiver else { return };
    until("every lead is delivered", Duration::from_secs(120), || {
        let seen = receiver.seen.lock().unwrap();
        counts(seen.iter().map(|(key, _)| key.clone())).len() >= leads.len()
    });
    let seen = receiver.seen.lock().unwrap().clone();
    let keys: BTreeSet<&String> = seen.iter().map(|(key, _)| key).collect();
    assert_eq!(keys.len(), leads.len(), "one idempotency key for each lead");
}

/// The calls that have a score, each as last told.
pub fn scored(company: &Company) -> BTreeMap<String, CallRecord> {
    let calls: Vec<CallRecord> = company.records(Topic::Calls);
    let scored = calls.into_iter().filter(|call| call.score.is_some() && call.lead_id.is_some());
    scored.map(|call| (call.call_id.clone(), call)).collect()
}

/// Calls in all windows of a day, each as last told.
pub fn window_calls(company: &Company) -> i64 {
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
