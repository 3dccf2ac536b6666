//! leadline with its records in Cloud Spanner: the real binary on Spanner's interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use leadline_tests::spanner::{Lost, SpannerFront};
use leadline_tests::{COMPANY, Instance, call, get, until};
use serde_json::Value;

const PATIENT: Duration = Duration::from_secs(30);

/// A leadline whose records are in Spanner.
fn instance(front: &SpannerFront) -> Instance {
    let toml = format!(
        "[records]\nstore = \"spanner\"\n[google]\nproject = \"test-project\"\nspanner_endpoint = \"{}\"\n\
         spanner_staleness_ms = 0\n",
        front.host()
    );
    Instance::configured(&toml)
}

fn count(leadline: &Instance, what: &str, token: &str) -> usize {
    leadline.try_listing("summit", what, token).map_or(0, |items| items.len())
}

#[test]
fn its_api_answers_from_spanner_whatever_becomes_of_commits_and_of_the_process() {
    let Some(front) = SpannerFront::start() else { return };
    let mut leadline = instance(&front);
    let token = leadline.tenant("summit", COMPANY, &[]);
    leadline.start();
    // Nobody has made the tables: it says so, and takes events all the same.
    let (status, health) = get(leadline.port, "/health", "").unwrap();
    assert!(status == 503 && health.contains("leadline db apply"), "{status} {health}");
    assert_eq!(leadline.hook(&call(COMPANY, 1)), Some(200));

    let applied = leadline.cli(&["db", "apply"]);
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    until("the first call in Spanner", PATIENT, || count(&leadline, "calls", &token) == 1);
    until("a health that is well", PATIENT, || get(leadline.port, "/health", "").unwrap().0 == 200);

    front.faults().abort_commits(3);
    front.faults().lose_answers(2, Lost::Gone);
    for number in 2..=20 {
        assert_eq!(leadline.hook(&call(COMPANY, number)), Some(200));
    }
    until("all calls in Spanner", PATIENT, || count(&leadline, "calls", &token) == 20);
    let leads = leadline.listing("summit", "leads", &token);
    assert_eq!(leads.len(), 20, "one of each caller");
    let one: Value = serde_json::from_str(
        &get(
            leadline.port,
            &format!("/v1/tenants/summit/leads/{}", leads[0]["lead_id"].as_str().unwrap()),
            &token,
        )
        .unwrap()
        .1,
    )
    .unwrap();
    assert_eq!(one["lead_id"], leads[0]["lead_id"]);
    assert!(front.seen().aborted() >= 3);

    leadline.kill();
    leadline.start();
    assert_eq!(leadline.hook(&call(COMPANY, 21)), Some(200));
    until("the call after the kill", PATIENT, || count(&leadline, "calls", &token) == 21);
    assert_eq!(front.seen().single_use_commits(), 0);
    let listed = leadline.cli(&["audit", "list", "--tenant", "summit"]);
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
}
