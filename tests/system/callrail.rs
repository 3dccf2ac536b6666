//! A tenant's account at CallRail, on the real binary and the strict double.

use std::time::Duration;

use leadline_tests::callrail::{CallRail, SIGNING_KEY};
use leadline_tests::{COMPANY, Instance, Receiver, until};
use serde_json::{Value, json};

const ACCOUNT: &str = "ACC8154748ae6bd4e278a7cddd38a662f4f";
const API_KEY: &str = "the-key-of-the-api-0123456789";
const OTHERS: &str = "https://crm.example/hook";
const CALL: &str = "CAL019fb93fce197a38a2788269bcf71b70";
const PATIENT: Duration = Duration::from_secs(20);

/// CallRail with one company that another tool is installed in, and a leadline that has never heard of it.
fn scene(more: &str) -> (CallRail, Instance) {
    let double = CallRail::start();
    double.account(ACCOUNT, API_KEY);
    double.company(ACCOUNT, COMPANY, "Summit Kitchens");
    double.integration(COMPANY, json!({"post_call_webhook": [OTHERS], "custom": 1}));
    let leadline = Instance::configured(&format!("{}{more}", double.toml()));
    std::fs::write(leadline.data.path().join("api.key"), format!("{API_KEY}\n")).unwrap();
    (double, leadline)
}

fn add(leadline: &Instance, more: &[&str]) -> String {
    let done = leadline.cli(&[&["tenant", "add", "summit"], more].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let answer: Value = serde_json::from_slice(&done.stdout).unwrap();
    answer["api_token"].as_str().unwrap_or_default().to_owned()
}

/// What `connect-callrail` prints; none where it fails, with why.
fn connect(leadline: &Instance, more: &[&str]) -> Result<String, String> {
    let key = leadline.data.path().join("api.key");
    let url = format!("http://127.0.0.1:{}", leadline.port);
    let mut args = vec!["tenant", "connect-callrail", "summit", "--api-key-file", key.to_str().unwrap()];
    if !more.contains(&"--public-url") {
        args.extend(["--public-url", &url]);
    }
    let done = leadline.cli(&[&args[..], more].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) }
}

fn addresses(double: &CallRail, list: &str) -> Vec<String> {
    let config = double.config(COMPANY).unwrap();
    let all = config[list].as_array().cloned().unwrap_or_default();
    all.iter().map(|address| address.as_str().unwrap().to_owned()).collect()
}

fn writes(double: &CallRail) -> usize {
    double.asked().iter().filter(|asked| asked.method != "GET").count()
}

#[test]
fn connecting_shows_what_it_would_do_does_it_once_and_takes_out_only_what_is_its_own() {
    for runs in [false, true] {
        let (double, mut leadline) = scene("");
        add(&leadline, &[]);
        if runs {
            leadline.start();
        }
        double.filter(COMPANY, json!({"id": 1, "call_type": "first_call"}));
        let shown = connect(&leadline, &[]).unwrap();
        for part in [ACCOUNT, "Summit Kitchens", OTHERS, "+ http://127.0.0.1", "call_type", "--apply"] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
        assert_eq!(writes(&double), 0, "nothing was asked to be changed");

        let done = connect(&leadline, &["--apply"]).unwrap();
        assert!(done.contains("done"), "{done}");
        let post_call = addresses(&double, "post_call_webhook");
        assert_eq!((post_call.len(), post_call[0].as_str()), (2, OTHERS), "{post_call:?}");
        assert!(post_call[1].ends_with("/callrail/post_call"), "{post_call:?}");
        assert_eq!(double.config(COMPANY).unwrap()["custom"], 1, "what is not known stays");
        assert_eq!(addresses(&double, "sms_sent_webhook").len(), 1);

        let before = writes(&double);
        let again = connect(&leadline, &["--apply"]).unwrap();
        assert!(again.contains("nothing was to be changed") && writes(&double) == before, "{again}");

        // Webhooks come, signed with the key that the integration has told.
        if !runs {
            leadline.start();
        }
        double.call(COMPANY, CALL, json!({}));
        let sent = double.post_call(CALL);
        assert_eq!(sent[1].status, Some(200), "{sent:?}: {}", leadline.log_text());

        let out = connect(&leadline, &["--disconnect", "--apply"]).unwrap();
        assert!(out.contains("done"), "{out}");
        assert_eq!(addresses(&double, "post_call_webhook"), [OTHERS]);
        assert_eq!(addresses(&double, "sms_sent_webhook"), [""; 0]);
        assert_eq!(double.integration_state(COMPANY).as_deref(), Some("active"));
        let listed = leadline.cli(&["tenant", "list", "--json"]);
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(text.contains("\"callrail\": null") && !text.contains(API_KEY), "{text}");
        let log = leadline.log_text();
        assert!(!log.contains(API_KEY) && !log.contains(SIGNING_KEY), "{log}");
    }
}

#[test]
fn connecting_says_what_is_missing_or_wrong() {
    let (double, leadline) = scene("");
    let refused = |leadline: &Instance, more: &[&str], words: &[&str]| {
        let why = connect(leadline, more).unwrap_err();
        assert!(words.iter().all(|word| why.contains(word)), "{words:?} in {why}");
        assert!(!why.contains(API_KEY), "{why}");
    };
    refused(&leadline, &[], &["no tenant", "tenant list"]);
    add(&leadline, &[]);
    refused(&leadline, &["--account", "ACC1"], &["ACC1", ACCOUNT]);
    refused(&leadline, &["--company", "COM1"], &["COM1"]);
    refused(&leadline, &["--public-url", "nowhere"], &["nowhere", "https://"]);
    double.company(ACCOUNT, "COM2", "Another customer of the agency");
    refused(&leadline, &[], &["--company", "COM2", "Summit Kitchens"]);
    double.account("ACC2", API_KEY);
    refused(&leadline, &[], &["--account", "ACC2"]);
    std::fs::write(leadline.data.path().join("api.key"), "wrong\n").unwrap();
    refused(&leadline, &[], &["401", "API key"]);
    assert_eq!(writes(&double), 0);
}

#[test]
fn a_company_without_an_integration_gets_one_whose_first_webhook_is_known() {
    let (double, mut leadline) = scene("");
    double.company(ACCOUNT, "COM2", "New");
    add(&leadline, &[]);
    leadline.start();
    connect(&leadline, &["--company", "COM2", COMPANY, "--apply"]).unwrap();
    double.call("COM2", CALL, json!({}));
    assert_eq!(double.post_call(CALL)[0].status, Some(200), "{}", leadline.log_text());
}

/// What the receiver was told of a kind.
fn told(receiver: &Receiver, kind: &str) -> Vec<Value> {
    let seen = receiver.seen.lock().unwrap();
    let bodies = seen.iter().map(|(_, body)| serde_json::from_str::<Value>(body).unwrap());
    bodies.filter(|body| body["type"] == kind).collect()
}

#[test]
fn a_call_that_rang_is_asked_for_until_it_is_over_and_a_missed_one_is_told_once() {
    // No listing but the first may tell of the call: rounds are a day apart.
    let (double, mut leadline) = scene("pull_interval_s = 86400\n");
    let receiver = Receiver::start(false);
    add(&leadline, &["--integration", &receiver.address, "--missed-call-timer-s", "1"]);
    leadline.start();
    connect(&leadline, &["--apply"]).unwrap();
    // What rings from here on is in no listing.
    until("the first listing", PATIENT, || double.count("/calls.json") > 0);
    let answered = "CAL00000000000000000000000000000001";
    double.call(COMPANY, CALL, json!({"call_type": "in_progress", "answered": null, "duration": null}));
    double.call(COMPANY, answered, json!({"customer_phone_number": "+13035550143"}));
    for call in [CALL, answered] {
        assert_eq!(double.pre_call(call)[0].status, Some(200), "{}", leadline.log_text());
    }
    let asked = |call: &str| double.count(&format!("/calls/{call}.json"));
    until("both were asked for", PATIENT, || asked(CALL) == 1 && asked(answered) == 1);
    double.change(CALL, json!({"call_type": "missed", "answered": false, "duration": 20}));
    // While people talk it is asked again once a minute.
    until("an alert", Duration::from_secs(90), || told(&receiver, "missed_call").len() == 1);
    let alert = told(&receiver, "missed_call").remove(0);
    assert_eq!((&alert["call_id"], &alert["confirmed"]), (&json!(CALL), &json!(true)), "{alert}");
    assert_eq!((asked(CALL), asked(answered)), (2, 1));
    // Its post-call comes late, and says the same.
    double.post_call(CALL);
    double.post_call(answered);
    until("the post-calls", PATIENT, || leadline.metric("leadline_events_accepted_total") >= 4.0);
    assert_eq!(told(&receiver, "missed_call").len(), 1);
}

#[test]
fn a_rotated_key_is_read_again_when_a_signature_is_refused() {
    let (double, mut leadline) = scene("");
    add(&leadline, &[]);
    leadline.start();
    connect(&leadline, &["--apply"]).unwrap();
    let looks = || double.asked().iter().filter(|asked| asked.path.ends_with("/integrations.json")).count();
    let connected = looks();
    until("it is looked at for the first time", PATIENT, || looks() > connected);
    double.call(COMPANY, CALL, json!({}));
    double.rotate_key(COMPANY, "ffffffffffffffffffffffffffffffff");
    assert_eq!(double.post_call(CALL)[1].status, Some(401), "nobody knows the key yet");
    until("the key is read again", PATIENT, || {
        leadline.metric("leadline_callrail_keys_rotated_total") == 1.0
    });
    assert_eq!(double.post_call(CALL)[1].status, Some(200));
}

#[test]
fn an_integration_that_callrail_has_given_up_is_told_of_with_its_remedy() {
    let (double, mut leadline) = scene("watch_interval_s = 1\n");
    let receiver = Receiver::start(false);
    add(&leadline, &["--integration", &receiver.address]);
    leadline.start();
    connect(&leadline, &["--apply"]).unwrap();
    double.set_integration_state(COMPANY, "failed");
    until("a notice", PATIENT, || told(&receiver, "notice").len() == 1);
    let notice = told(&receiver, "notice").remove(0);
    let text = notice["text"].as_str().unwrap();
    assert!(
        notice["trouble"] == true && text.contains("failed") && text.contains("connect-callrail"),
        "{notice}"
    );
    assert_eq!(leadline.metric("leadline_callrail_integrations_troubled"), 1.0);
    assert!(leadline.log_text().contains("CallRail's webhooks do not come"));
    // The remedy that it names.
    let mended = connect(&leadline, &["--apply"]).unwrap();
    assert!(mended.contains("failed -> active"), "{mended}");
    until("it is mended", PATIENT, || told(&receiver, "notice").len() == 2);
    assert_eq!(told(&receiver, "notice")[1]["trouble"], false);
    until("the gauge", PATIENT, || leadline.metric("leadline_callrail_integrations_troubled") == 0.0);
}

#[test]
fn a_score_is_written_to_its_call_once_and_its_echo_changes_nothing() {
    let (double, mut leadline) = scene("");
    let token = add(&leadline, &[]);
    leadline.start();
    connect(&leadline, &["--write-back", "--apply"]).unwrap();
    let transcription = "Agent: Summit Kitchens.\nCaller: Hi, we own our home in Denver and want to remodel the kitchen \
                         next month, our budget is sixty thousand dollars.";
    let call =
        json!({"note": "Ask for Dana.", "tags": ["vip"], "transcription": transcription, "duration": 412});
    double.call(COMPANY, CALL, call);
    assert_eq!(double.post_call(CALL)[1].status, Some(200), "{}", leadline.log_text());
    let wrote = || {
        double
            .asked()
            .into_iter()
            .filter(|asked| asked.method == "PUT" && asked.path.contains("/calls/"))
            .count()
    };
    until("the write-back", PATIENT, || wrote() == 1);
    let echoed = || {
        let requests = leadline.listing("summit", "requests", &token);
        requests
            .iter()
            .any(|request| request["reason"].as_str().is_some_and(|reason| reason.starts_with("echo")))
    };
    until("its echo", PATIENT, echoed);
    let call = double.the_call(CALL).unwrap();
    let note = call["note"].as_str().unwrap();
    assert!(note.starts_with("Ask for Dana.\n[leadline] "), "{note}");
    assert!(call["tags"].as_array().unwrap().contains(&json!("vip")), "{call}");
    assert_eq!(wrote(), 1);
    let deliveries = leadline.listing("summit", "deliveries", &token);
    assert_eq!((deliveries.len(), &deliveries[0]["status"]), (1, &json!("done")), "{deliveries:?}");

    // Off again: the next score stays here.
    connect(&leadline, &["--write-back", "false", "--apply"]).unwrap();
    let other = "CAL00000000000000000000000000000002";
    double.call(
        COMPANY,
        other,
        json!({"transcription": transcription, "customer_phone_number": "+13035550199"}),
    );
    double.post_call(other);
    until("the other lead", PATIENT, || leadline.listing("summit", "leads", &token).len() == 2);
    let deliveries = leadline.listing("summit", "deliveries", &token);
    assert_eq!((deliveries.len(), wrote()), (1, 1), "{deliveries:?}");
}
