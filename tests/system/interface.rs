//! Names and shapes that scripts rely on.

use std::process::Command;
use std::time::{Duration, Instant};

use leadline_tests::{COMPANY, Instance, Receiver, binary, get, post, until};
use serde_json::Value;

#[test]
fn every_command_has_help_with_an_example() {
    let commands = "run|tenant|tenant add|tenant list|tenant rotate-key|tenant remove|send|check|topology|plan|\
         score|score replay|score promote|score calibration|lead|lead feedback|\
         integration|integration add|integration list|integration test|integration remove|integration routes|\
         delivery|delivery list|delivery show|delivery retry|delivery skip|delivery replay|\
         db|db status|db plan|db apply|db rebuild|db verify|dlq|dlq list|dlq show|dlq replay|log|log inspect|state|state rebuild";
    for command in commands.split('|').map(str::trim) {
        let help = Command::new(binary()).args(command.split(' ')).arg("--help").output().unwrap();
        let text = String::from_utf8_lossy(&help.stdout).into_owned();
        assert!(help.status.success() && text.contains("Example:"), "{command}: {text}");
        assert!(!text.contains('\u{1b}'), "{command}: colours are for terminals");
    }
}

#[test]
fn two_processes_on_one_data_folder_the_second_says_who_has_it() {
    let mut leadline = Instance::new();
    leadline.start();
    let owner = leadline.process.as_ref().unwrap().id().to_string();
    let second = Command::new(binary())
        .args(["run", "--listen", "127.0.0.1:0", "--data"])
        .arg(leadline.data.path())
        .output()
        .unwrap();
    let why = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && why.contains(&owner), "{why}");
    // Commands reach the running one instead.
    leadline.tenant("summit", COMPANY, &[]);
    let listed = leadline.cli(&["tenant", "list", "--json"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("summit"));
    assert!(!leadline.log_text().contains('\u{1b}'), "a file is no terminal: {}", leadline.log_text());
}

#[test]
fn a_tenant_added_while_it_runs_is_known_at_once_and_keys_rotate() {
    let mut leadline = Instance::new();
    leadline.start();
    assert_eq!(leadline.hook(&leadline_tests::call(COMPANY, 1)), Some(401));
    leadline.tenant("summit", COMPANY, &[]);
    assert_eq!(leadline.hook(&leadline_tests::call(COMPANY, 1)), Some(200));
    let rotated = leadline.cli(&[
        "tenant",
        "rotate-key",
        "summit",
        "--company-id",
        COMPANY,
        "--signing-key",
        "another-key-of-callrail",
    ]);
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    assert_eq!(
        leadline.hook(&leadline_tests::call(COMPANY, 2)),
        Some(200),
        "the key before is still accepted"
    );
}

#[test]
fn process_answers_with_the_score_and_direct_events_keep_their_key() {
    let mut leadline = Instance::new();
    let token = leadline.tenant("summit", COMPANY, &[]);
    leadline.start();
    let bearer = format!("Bearer {token}");
    let body = r#"{"transcript": [{"speaker": "caller", "text": "We own our home and need a new kitchen next month, our budget is sixty thousand dollars."}], "caller": {"phone": "+13035550142"}}"#;
    let (status, answer) =
        post(leadline.port, "/v1/tenants/summit/process", &[("Authorization", &bearer)], body).unwrap();
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert!(answer["call"]["score"]["score"].as_i64().unwrap() > 50, "{answer}");
    assert_eq!(answer["call"]["score"]["class"], "lead");

    let event = r#"{"type": "text", "id": "t-1", "caller": {"phone": "+13035550199"}, "content": "How much for a new bathroom?"}"#;
    for _ in 0..3 {
        let headers = [("Authorization", bearer.as_str()), ("Idempotency-Key", "t-1")];
        let (status, answer) = post(leadline.port, "/v1/tenants/summit/events", &headers, event).unwrap();
        assert_eq!(status, 202, "{answer}");
    }
    until("both contacts", Duration::from_secs(10), || {
        leadline.listing("summit", "calls", &token).len() == 2
    });
    // The event's own request, and not what became of its repetitions.
    let requests = leadline.listing("summit", "requests", &token);
    let texts: Vec<&Value> = requests.iter().filter(|request| request["kind"] == "text_received").collect();
    assert_eq!(texts.len(), 1, "{requests:?}");
    assert_eq!((&texts[0]["status"], &texts[0]["source"]), (&"done".into(), &"direct".into()));
    assert!(texts[0]["lead_id"].is_string(), "{texts:?}");
    let (status, health) = get(leadline.port, "/health", "").unwrap();
    assert_eq!(status, 200, "{health}");
    assert!(health.contains("\"version\"") && health.contains("\"timestamp\""), "{health}");
}

#[test]
fn process_scores_a_known_call_again_by_any_of_its_ids() {
    let mut leadline = Instance::new();
    let token = leadline.tenant("summit", COMPANY, &[]);
    leadline.start();
    let mut body: Value = serde_json::from_str(&leadline_tests::call(COMPANY, 7)).unwrap();
    body["id"] = 766_970_532.into();
    assert_eq!(leadline.hook(&body.to_string()), Some(200));
    let id = format!("CAL{:032x}", 7);
    let path = format!("/v1/tenants/summit/calls/{id}");
    let stored = || get(leadline.port, &path, &token).filter(|(status, _)| *status == 200);
    until("the record", Duration::from_secs(10), || stored().is_some());
    let before: Value = serde_json::from_str(&stored().unwrap().1).unwrap();
    let bearer = format!("Bearer {token}");
    let process = |body: &str| {
        let headers = [("Authorization", bearer.as_str())];
        let (status, answer) = post(leadline.port, "/v1/tenants/summit/process", &headers, body).unwrap();
        (status, serde_json::from_str::<Value>(&answer).unwrap())
    };
    // Other services are offered now, so the same words are worth something else.
    leadline.tenant("summit", COMPANY, &["--min-budget", "900000"]);
    let mut revision = before["revision"].as_i64().unwrap();
    for known in [id.as_str(), "766970532"] {
        let (status, answer) = process(&format!("{{\"call_id\":\"{known}\"}}"));
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["request"]["status"], "done", "{answer}");
        revision += 1;
        assert_eq!(
            (&answer["call"]["call_id"], answer["call"]["revision"].as_i64()),
            (&id.as_str().into(), Some(revision))
        );
        assert!(answer["call"]["score"]["score"].as_i64() < before["score"]["score"].as_i64(), "{answer}");
        assert_eq!(answer["call"]["transcript"], before["transcript"]);
    }
    let (status, answer) = process("{\"call_id\":\"CAL0\"}");
    assert_eq!((status, answer["detail"].as_str().unwrap().contains("CAL0")), (404, true), "{answer}");
    assert_eq!(leadline.listing("summit", "leads", &token).len(), 1);
}

#[test]
fn process_waits_no_longer_than_it_is_told_and_says_where_the_result_will_be() {
    let provider = Receiver::start(true);
    let mut leadline = Instance::new();
    leadline.env.push(("AI_MODEL_ENDPOINT", provider.address.clone()));
    leadline.env.push(("WEBHOOK_TIMEOUT_SECONDS", "1".to_owned()));
    let token = leadline.tenant("summit", COMPANY, &["--score-provider", "http"]);
    leadline.start();
    let bearer = format!("Bearer {token}");
    let started = Instant::now();
    let (status, answer) = post(
        leadline.port,
        "/v1/tenants/summit/process",
        &[("Authorization", &bearer)],
        r#"{"transcript": "Caller: We need a new kitchen."}"#,
    )
    .unwrap();
    assert_eq!(status, 202, "{answer}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let (status, request) = get(leadline.port, answer["location"].as_str().unwrap(), &token).unwrap();
    assert_eq!(status, 200, "{request}");
    assert!(request.contains("\"processing\""), "{request}");
}

#[test]
fn who_waits_for_a_result_when_it_stops_hears_where_it_will_be() {
    let provider = Receiver::start(true);
    let mut leadline = Instance::new();
    leadline.env.push(("AI_MODEL_ENDPOINT", provider.address.clone()));
    let token = leadline.tenant("summit", COMPANY, &["--score-provider", "http"]);
    leadline.start();
    let (port, bearer) = (leadline.port, format!("Bearer {token}"));
    let waiting = std::thread::spawn(move || {
        let body = r#"{"transcript": "Caller: We need a new kitchen."}"#;
        post(port, "/v1/tenants/summit/process", &[("Authorization", &bearer)], body)
    });
    until("the provider is asked", Duration::from_secs(10), || !provider.seen.lock().unwrap().is_empty());
    let took = leadline.terminate();
    let (status, answer) = waiting.join().unwrap().expect("an answer, and no cut connection");
    assert_eq!(status, 202, "{answer}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    leadline.start();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let (status, request) = get(leadline.port, answer["location"].as_str().unwrap(), &token).unwrap();
    assert_eq!(status, 200, "{request}");
}

#[test]
fn bad_input_is_named_and_never_an_error_of_ours() {
    let mut leadline = Instance::new();
    let token = leadline.tenant("summit", COMPANY, &["--form", "quote"]);
    leadline.start();
    let bearer = format!("Bearer {token}");
    let signed = |body: &str| leadline_tests::sign(body);
    let (hook, list) = ("/v1/callrail/webhook", "/v1/tenants/summit/calls");
    let cases = [
        (post(leadline.port, hook, &[("Signature", &signed("not json"))], "not json"), 401, "Signature"),
        (post(leadline.port, "/v1/callrail/webhook/nope", &[], "{}"), 404, "post_call"),
        (post(leadline.port, "/v1/forms/nobody", &[], "{}"), 404, "form"),
        (post(leadline.port, "/v1/forms/quote", &[], "{\"a\":"), 400, "form"),
        (
            post(
                leadline.port,
                "/v1/tenants/summit/events",
                &[("Authorization", &bearer)],
                "{\"type\":\"fax\"}",
            ),
            400,
            "type",
        ),
        (post(leadline.port, "/v1/tenants/summit/events", &[], "{}"), 401, "bearer"),
        (get(leadline.port, &format!("{list}?limit=900"), &token), 400, "limit"),
        (get(leadline.port, &format!("{list}?colour=red"), &token), 400, "colour"),
        (get(leadline.port, &format!("{list}?cursor=xyz"), &token), 400, "cursor"),
        (get(leadline.port, "/v1/tenants/summit/requests?status=odd", &token), 400, "duplicate"),
        (get(leadline.port, "/v1/tenants/summit/leads?status=odd", &token), 400, "open"),
        (get(leadline.port, "/v1/tenants/summit/deliveries?status=odd", &token), 400, "parked"),
        (get(leadline.port, "/nowhere", &token), 404, "nowhere"),
        (post(leadline.port, list, &[], "{}"), 405, "method"),
    ];
    for (answer, status, word) in cases {
        let (got, body) = answer.unwrap();
        assert_eq!(got, status, "{word}: {body}");
        assert!(body.contains(word), "{word} in {body}");
        assert!(body.contains("\"detail\""), "problem+json: {body}");
    }
}
