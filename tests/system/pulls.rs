//! What no webhook has told comes by CallRail's lists, on the real binary and the strict double.

use std::collections::BTreeSet;
use std::time::Duration;

use leadline_schemas::Millis;
use leadline_tests::callrail::{CallRail, Fault, Limits};
use leadline_tests::{COMPANY, Instance, Receiver, until};
use serde_json::{Value, json};

const ACCOUNT: &str = "ACC8154748ae6bd4e278a7cddd38a662f4f";
const API_KEY: &str = "the-key-of-the-api-0123456789";
/// A company of the account that no tenant has.
const STRANGERS: &str = "COM00000000000000000000000000000bad";
const PATIENT: Duration = Duration::from_secs(60);

/// An account with a company, and a leadline that is connected with it and lists it every second.
fn scene() -> (CallRail, Instance, String) {
    let double = CallRail::start();
    double.account(ACCOUNT, API_KEY);
    double.company(ACCOUNT, COMPANY, "Summit Kitchens");
    double.company(ACCOUNT, STRANGERS, "Somebody else");
    double.limits(ACCOUNT, Limits { hour: 100_000, day: 100_000 });
    let limits = "per_minute = 100000\nper_hour = 100000\nper_day = 1000000\npull_interval_s = 1\n";
    let leadline = Instance::configured(&format!("{}{limits}", double.toml()));
    let key = leadline.data.path().join("api.key");
    std::fs::write(&key, API_KEY).unwrap();
    let url = format!("http://127.0.0.1:{}", leadline.port);
    let token = json_of(&leadline, &["tenant", "add", "summit"])["api_token"].as_str().unwrap().to_owned();
    let key = key.to_str().unwrap();
    let connect = ["tenant", "connect-callrail", "summit", "--api-key-file", key, "--company", COMPANY];
    let done = leadline.cli(&[&connect[..], &["--public-url", &url, "--apply"]].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    (double, leadline, token)
}

fn json_of(leadline: &Instance, args: &[&str]) -> Value {
    let done = leadline.cli(args);
    let why = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{args:?}: {why}\n{}", leadline.log_text());
    serde_json::from_slice(&done.stdout).unwrap()
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

fn call_id(n: usize) -> String {
    format!("CAL{n:032x}")
}

/// A call of that long ago; each of another caller.
fn add_call(double: &CallRail, company: &str, n: usize, ago_ms: i64, more: Value) {
    let mut call = json!({
        "start_time": Millis(now_ms() - ago_ms).to_string(),
        "customer_phone_number": format!("+1303555{n:04}"),
        "note": format!("call {n}"),
    });
    call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    double.call(company, &call_id(n), call);
}

fn ids(leadline: &Instance, token: &str) -> Vec<String> {
    let calls = leadline.listing("summit", "calls", token);
    calls.iter().map(|call| call["call_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_call_that_no_webhook_told_of_is_listed_and_one_that_was_told_of_counts_once() {
    let (double, mut leadline, token) = scene();
    leadline.start();
    add_call(&double, COMPANY, 1, 120_000, json!({}));
    assert!(double.post_call(&call_id(1)).iter().all(|sent| sent.status == Some(200)));
    add_call(&double, COMPANY, 2, 120_000, json!({}));
    add_call(
        &double,
        COMPANY,
        3,
        120_000,
        json!({"call_type": "in_progress", "answered": true, "duration": 0}),
    );
    add_call(&double, STRANGERS, 4, 120_000, json!({}));
    let at = Millis(now_ms() - 60_000).to_string();
    let text = json!({"direction": "incoming", "content": "Is Friday still good?", "created_at": at});
    double.listed(
        COMPANY,
        "conversations",
        json!({"id": "conv1", "company_id": COMPANY, "customer_phone_number": "+13035550142", "recent_messages": [text]}),
    );
    double.listed(
        COMPANY,
        "form_submissions",
        json!({"id": "FRM1", "company_id": COMPANY, "submitted_at": at, "form_data": {"name": "Ana", "phone": "3035550143"}}),
    );
    until("the call without webhook is there", PATIENT, || ids(&leadline, &token).contains(&call_id(2)));
    until("a whole round more", PATIENT, || {
        let rounds = double.count("form_submissions.json");
        std::thread::sleep(Duration::from_millis(20));
        rounds > 3
    });
    let found = ids(&leadline, &token);
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len(), "{found:?}");
    let calls = found.iter().filter(|id| id.starts_with("CAL")).count();
    assert_eq!(calls, 2, "neither a stranger's nor one that goes on: {found:?}");
    assert_eq!(found.len(), 4, "a text and a form besides: {found:?}");

    // People hang up long after.
    double.change(&call_id(3), json!({"call_type": "answered", "duration": 110}));
    until("the call that went on is there", PATIENT, || ids(&leadline, &token).contains(&call_id(3)));
    let leads = leadline.listing("summit", "leads", &token);
    assert_eq!(leads.len(), 5, "each caller once: {leads:?}");
    let log = leadline.log_text();
    assert!(!log.contains(API_KEY), "{log}");
}

#[test]
fn a_backfill_brings_each_call_once_over_kills_and_refusals_and_wakes_nobody() {
    let (double, mut leadline, token) = scene();
    let receiver = Receiver::start(false);
    let done = leadline.cli(&["tenant", "add", "summit", "--integration", &receiver.address]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    const CALLS: usize = 700;
    for n in 0..CALLS {
        // A few hours ago: too young to be an old call by its age alone.
        let missed = if n % 3 == 0 { json!({"answered": false, "call_type": "missed"}) } else { json!({}) };
        add_call(&double, COMPANY, n, 3 * 3_600_000 + n as i64 * 1_000, missed);
    }
    add_call(&double, STRANGERS, 9_999, 3 * 3_600_000, json!({}));
    double.fail("calls.json", Fault::Answer(503, "{}".to_owned()));
    leadline.start();
    let from = "2026-01-01";
    let backfill = ["backfill", "--tenant", "summit", "--from", from, "--json"];
    let begun = json_of(&leadline, &[&backfill[..], &["--no-wait"]].concat());
    for kill in 0..3 {
        until("some more of it", PATIENT, || {
            leadline.metric("leadline_callrail_rows_listed_total") > 0.0 || kill == 2
        });
        leadline.kill();
        leadline.start();
    }
    let done = json_of(&leadline, &backfill);
    assert_eq!((&done["backfill"], &done["status"]), (&begun["backfill"], &json!("done")), "{done}");
    until("all is there", PATIENT, || ids(&leadline, &token).len() >= CALLS);
    let found = ids(&leadline, &token);
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), CALLS);
    assert_eq!(found.len(), CALLS);
    assert_eq!(receiver.seen.lock().unwrap().len(), 0, "nobody is woken by old calls");

    let refused = |args: &[&str], word: &str| {
        let done = leadline.cli(args);
        let why = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success() && why.contains(word), "{args:?}: {why}");
    };
    refused(&["backfill", "--tenant", "summit", "--from", "2019-01-01"], "25 months");
    refused(&["backfill", "--tenant", "summit", "--from", "tomorrow"], "2026-01-31");
    refused(&["backfill", "--tenant", "summit", "--from", "2026-06-01", "--to", "2026-05-01"], "not before");
    refused(&["backfill", "--tenant", "nobody", "--from", from], "nobody");
}
