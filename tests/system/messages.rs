//! Leads and alerts as messages, on the real binary and a strict double of Slack.

use std::time::{Duration, Instant};

use leadline_tests::slack::{Fault, Slack, TOKEN};
use leadline_tests::{COMPANY, Instance, Receiver, call, get, post, until};
use serde_json::{Value, json};

const PATIENT: Duration = Duration::from_secs(20);

fn cli(leadline: &Instance, args: &[&str]) -> String {
    let done = leadline.cli(args);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(done.status.success(), "{args:?}: {}{}", text(&done.stdout), text(&done.stderr));
    text(&done.stdout)
}

fn with_slack(leadline: &Instance, slack: &Slack) {
    let url = slack.api();
    cli(
        leadline,
        &[
            "integration",
            "add",
            "summit",
            "sales",
            "--kind",
            "slack",
            "--url",
            &url,
            "--secret",
            TOKEN,
            "--option",
            "channel=C0LEADS",
        ],
    );
}

/// A post-call of caller `n` that nobody answered.
fn missed(n: u64) -> String {
    let mut body: Value = serde_json::from_str(&call(COMPANY, n)).unwrap();
    for (name, value) in
        [("answered", json!(false)), ("call_type", json!("missed")), ("transcription", json!(null))]
    {
        body[name] = value;
    }
    body.to_string()
}

fn texts(slack: &Slack, part: &str) -> Vec<String> {
    slack.messages().into_iter().map(|message| message.text).filter(|text| text.contains(part)).collect()
}

#[test]
fn a_missed_call_is_in_slack_within_five_seconds_whatever_others_crms_do_and_a_lead_is_one_message() {
    let (slack, dead) = (Slack::start(), Receiver::start(true));
    let mut leadline = Instance::new();
    leadline.start();
    let rival = "COM00000000000000000000000000000009";
    leadline.tenant("rival", rival, &["--integration", &dead.address]);
    leadline.tenant("summit", COMPANY, &[]);
    with_slack(&leadline, &slack);
    for number in 100..140 {
        assert_eq!(leadline.hook(&call(rival, number)), Some(200));
    }
    until("the rival's CRM hangs", PATIENT, || !dead.seen.lock().unwrap().is_empty());

    let proved = Instant::now();
    assert_eq!(leadline.hook(&missed(1)), Some(200));
    until("the alert", Duration::from_secs(5), || {
        !texts(&slack, "Missed call from (303) 555-0001").is_empty()
    });
    assert!(proved.elapsed() < Duration::from_secs(5));
    until("the lead's own message", PATIENT, || slack.messages().len() == 2);

    // The same person calls again: the lead grows, and its message with it.
    let mut again: Value = serde_json::from_str(&call(COMPANY, 1)).unwrap();
    again["resource_id"] = json!("CAL00000000000000000000000000009999");
    assert_eq!(leadline.hook(&again.to_string()), Some(200));
    until("the lead's message has changed", PATIENT, || {
        slack.messages().iter().any(|message| message.changes > 0 && message.text.contains("Kitchen"))
    });
    assert_eq!((slack.messages().len(), slack.complaints()), (2, vec![]), "one message a lead");
    assert_eq!(slack.limited(), 0);

    // What was sent and heard is in the ledger, without the token.
    let subject = format!("missed:CAL{:032x}", 1);
    let shown = || cli(&leadline, &["delivery", "show", "sales", &subject, "--tenant", "summit"]);
    until("the ledger", PATIENT, || shown().contains("\"status\": \"done\""));
    let shown = shown();
    assert!(
        shown.contains("chat.postMessage") && shown.contains("Missed call") && !shown.contains(TOKEN),
        "{shown}"
    );

    // A trial shows everything and sends nothing, unless it is asked to.
    let tried = cli(&leadline, &["integration", "test", "summit", "sales"]);
    assert!(
        tried.contains("POST http") && tried.contains("nothing was sent") && !tried.contains(TOKEN),
        "{tried}"
    );
    assert_eq!(slack.messages().len(), 2);
    let sent = cli(&leadline, &["integration", "test", "summit", "sales", "--sample", "notice", "--send"]);
    assert!(sent.contains("it was sent") && slack.messages().len() == 3, "{sent}");
}

#[test]
fn a_dead_integration_is_switched_off_and_told_of_and_what_it_missed_is_replayed() {
    let (slack, crm) = (Slack::start(), Receiver::start(false));
    slack.unlimited();
    let mut leadline = Instance::new();
    leadline.start();
    let token = leadline.tenant("summit", COMPANY, &["--integration", &crm.address]);
    with_slack(&leadline, &slack);
    slack.fail(Fault::Answer {
        status: 200,
        headers: vec![],
        body: r#"{"ok":false,"error":"token_revoked"}"#.to_owned(),
    });
    assert_eq!(leadline.hook(&call(COMPANY, 1)), Some(200));
    let told = |part: &str| crm.seen.lock().unwrap().iter().any(|(_, body)| body.contains(part));
    until("the tenant is told", PATIENT, || told("sales was switched off: Slack says token_revoked"));
    let listed = cli(&leadline, &["integration", "list", "summit"]);
    assert!(listed.contains("switched off: Slack says token_revoked"), "{listed}");

    // The next one is not even tried.
    assert_eq!(leadline.hook(&call(COMPANY, 2)), Some(200));
    let ledger =
        |status: &str| cli(&leadline, &["delivery", "list", "--tenant", "summit", "--status", status]);
    until("it is left out", PATIENT, || ledger("skipped").contains("the integration is switched off"));
    assert!(slack.messages().is_empty());

    cli(&leadline, &["integration", "add", "summit", "sales", "--enable"]);
    let range =
        ["--tenant", "summit", "--from", "2020-01-01", "--to", "2100-01-01", "--integration", "sales"];
    let dry = cli(&leadline, &[&["delivery", "replay"][..], &range].concat());
    assert!(dry.contains("2 deliveries would be sent again"), "{dry}");
    // The API says the same.
    let bearer = format!("Bearer {token}");
    let ask = |body: &str| {
        post(leadline.port, "/v1/tenants/summit/deliveries/replay", &[("Authorization", &bearer)], body)
            .unwrap()
    };
    let (status, answer) =
        ask(r#"{"from":"2020-01-01T00:00:00Z","to":"2100-01-01T00:00:00Z","integration":"sales"}"#);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(
        (status, answer["dry_run"].as_bool(), answer["items"].as_array().unwrap().len()),
        (200, Some(true), 2)
    );
    assert_eq!(ask(r#"{"from":"yesterday","to":"2100-01-01T00:00:00Z"}"#).0, 400);
    let parked = answer["items"].as_array().unwrap().iter().find(|one| one["status"] == "parked").unwrap();
    let path = format!("/v1/tenants/summit/deliveries/sales/{}", parked["subject"].as_str().unwrap());
    let (status, shown) = get(leadline.port, &path, &token).unwrap();
    assert!(status == 200 && shown.contains("token_revoked") && !shown.contains(TOKEN), "{shown}");
    assert_eq!(get(leadline.port, "/v1/tenants/summit/deliveries/sales/nothing", &token).unwrap().0, 404);
    assert!(slack.messages().is_empty(), "a dry run sends nothing");
    cli(&leadline, &[&["delivery", "replay", "--yes"][..], &range].concat());
    until("both arrive", PATIENT, || slack.messages().len() == 2);
    let arrived = || ledger("done").lines().filter(|line| line.contains("  sales  ")).count();
    until("the ledger", PATIENT, || arrived() == 2);
}

#[test]
fn a_delivery_command_that_would_change_nothing_is_refused_in_words() {
    let crm = Receiver::start(false);
    let mut leadline = Instance::new();
    leadline.start();
    let token = leadline.tenant("summit", COMPANY, &["--integration", &crm.address]);
    assert_eq!(leadline.hook(&call(COMPANY, 1)), Some(200));
    let of_summit = ["delivery", "list", "--json", "--tenant", "summit", "--status", "done"];
    let done = || -> Vec<Value> { serde_json::from_str(&cli(&leadline, &of_summit)).unwrap() };
    until("the lead has arrived", PATIENT, || !done().is_empty());
    let (name, subject) = (done()[0]["integration"].clone(), done()[0]["subject"].clone());
    let (name, subject) = (name.as_str().unwrap(), subject.as_str().unwrap());

    let refused = |args: &[&str]| {
        let ended = leadline.cli(&[&["delivery"][..], args].concat());
        assert!(!ended.status.success(), "{args:?}");
        String::from_utf8_lossy(&ended.stderr).into_owned()
    };
    for command in ["show", "retry", "skip"] {
        let why = refused(&[command, name, "nobody", "--tenant", "summit"]);
        assert!(why.contains("no delivery to") && why.contains("nobody"), "{why}");
    }
    let why = refused(&["skip", name, subject, "--tenant", "summit"]);
    assert!(why.contains("it has arrived already"), "{why}");
    assert!(refused(&["list", "--tenant", "sumit"]).contains("sumit"));
    let range = |from, to| ["replay", "--tenant", "summit", "--from", from, "--to", to];
    let why = refused(&range("2026-03-02", "2026-03-01"));
    assert!(why.contains("2026-03-02") && why.contains("2026-03-01"), "{why}");

    let bearer = format!("Bearer {token}");
    let path = format!("/v1/tenants/summit/deliveries/{name}/nobody/retry");
    let (status, answer) = post(leadline.port, &path, &[("Authorization", &bearer)], "").unwrap();
    assert_eq!(status, 404, "{answer}");
    assert_eq!(crm.seen.lock().unwrap().len(), 1, "nothing was sent again");
}
