//! Leads that are gathered into one mail, on the real binary and a real mail server; the hour passes by a clock that is set.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use leadline_tests::smtp::Smtp;
use leadline_tests::{COMPANY, Instance, call, until};
use serde_json::{Value, json};

use crate::clock::Shifted;

const PATIENT: Duration = Duration::from_secs(30);
const HOUR_S: i64 = 3_600;

fn run(leadline: &Instance, args: &[&str]) -> (bool, String) {
    let done = leadline.cli(args);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (done.status.success(), text(&done.stdout) + &text(&done.stderr))
}

fn add(leadline: &Instance, url: &str, digest: &str) -> (bool, String) {
    let digest = format!("digest={digest}");
    let add = ["integration", "add", "summit", "owner", "--kind", "email", "--url", url];
    let options =
        ["--option", "to=owner@summit.example", "--option", "from=leads@summit.example", "--option", &digest];
    run(leadline, &[&add[..], &options].concat())
}

#[test]
fn leads_of_an_hour_are_one_mail_also_over_a_kill_and_a_missed_call_does_not_wait_for_it() {
    let Some(server) = Smtp::start("plain") else { return };
    let mut shifted = Shifted::new();
    // Ten minutes past an hour, so that the test is in one.
    let now_s = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let start_s = 600 - now_s % HOUR_S;
    shifted.set(start_s);
    shifted.leadline.start();
    shifted.leadline.tenant("summit", COMPANY, &[]);
    let url = format!("smtp://127.0.0.1:{}", server.port);
    let (taken, why) = add(&shifted.leadline, &url, "weekly");
    assert!(!taken && why.contains("weekly") && why.contains("daily 07:30"), "{why}");
    let (taken, why) = add(&shifted.leadline, &url, "hourly");
    assert!(taken, "{why}");
    let (_, shown) = run(&shifted.leadline, &["integration", "test", "summit", "owner"]);
    assert!(shown.contains("1 lead, 1 hot until") && shown.contains("nothing was sent"), "{shown}");

    for number in 1..=2 {
        assert_eq!(shifted.leadline.hook(&call(COMPANY, number)), Some(200));
    }
    let mut missed: Value = serde_json::from_str(&call(COMPANY, 3)).unwrap();
    for (name, value) in
        [("answered", json!(false)), ("call_type", json!("missed")), ("transcription", json!(null))]
    {
        missed[name] = value;
    }
    assert_eq!(shifted.leadline.hook(&missed.to_string()), Some(200));
    until("the alert", PATIENT, || server.taken().len() == 1);
    let subject =
        |mail: &Value, part: &str| mail["data"].as_str().unwrap().contains(&format!("Subject: {part}"));
    assert!(subject(&server.taken()[0], "Missed call"), "{:?}", server.taken());
    let waiting = |leadline: &Instance| {
        let (_, listed) = run(leadline, &["delivery", "list", "--tenant", "summit", "--status", "queued"]);
        listed.matches("in the digest of").count()
    };
    until("all leads wait", PATIENT, || waiting(&shifted.leadline) == 3);

    shifted.leadline.kill();
    assert_eq!(server.taken().len(), 1, "no lead was told at once");
    shifted.set(start_s + HOUR_S);
    shifted.leadline.start();
    until("the digest", PATIENT, || server.taken().len() == 2);
    assert!(subject(&server.taken()[1], "3 leads"), "{:?}", server.taken()[1]);
    let told = |leadline: &Instance| {
        let (_, listed) = run(leadline, &["delivery", "list", "--tenant", "summit", "--status", "done"]);
        listed.matches("in the digest of").count()
    };
    until("the ledger says so of each", PATIENT, || told(&shifted.leadline) == 3);
    assert_eq!(server.taken().len(), 2, "nothing else was sent");
}
