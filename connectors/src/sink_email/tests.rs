use leadline_schemas::TenantId;
use leadline_schemas::delivery::DeliveryKey;
use leadline_schemas::partitioning::Key;
use leadline_schemas::settings::{Integration, Sealed};
use leadline_tests::smtp::{PASSWORD, Smtp, USER};
use leadline_tests::until;

use super::*;
use crate::conformance::other_side::{Mood, check_why};
use crate::conformance::sink::{SinkUnderTest, suite_of_double};
use crate::contract::secrets::SecretError;
use crate::contract::wire::Trace;

struct Plain;

impl Secrets for Plain {
    fn seal(&self, _: &str, plain: &[u8]) -> Result<Sealed, SecretError> {
        Ok(Sealed(String::from_utf8_lossy(plain).into_owned()))
    }
    fn open(&self, _: &str, sealed: &Sealed) -> Result<Vec<u8>, SecretError> {
        Ok(sealed.0.clone().into_bytes())
    }
}

const PATIENT: Duration = Duration::from_secs(20);
const LEAD: &str = r#"{"type":"lead","lead_id":"L1","score":92,"band":"hot","class":"lead","name":"Ana Núñez <b>\r\nBcc: all@x.example",
    "phone":"+13035550142","project_type":"kitchen","budget_min":40000,"reasons":["Budget of $40,000."],
    "evidence":[{"quote":"about <i>forty</i> thousand"}],"why":"Opened by a call: hot 92."}"#;

fn request(url: &str, to: &str, secret: Option<&str>) -> SinkRequest {
    let tenant = TenantId::new("summit").unwrap();
    let options = [("to", to), ("from", "Leads <leads@summit.example>"), ("user", USER)];
    let integration = Integration {
        secret: secret.map(|secret| Sealed(secret.to_owned())),
        options: options.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect(),
        ..Integration::new("mail", "email", url)
    };
    SinkRequest {
        home: Key::new(tenant.clone(), "+13035550142", 1),
        key: DeliveryKey { tenant, integration: "mail".to_owned(), subject: "L1".to_owned() },
        idempotency_key: "job-1".to_owned(),
        integration,
        payload: LEAD.to_owned(),
        remote_id: None,
        may_have_arrived: false,
        failing_since: None,
        trace: Trace::default(),
    }
}

fn why(answer: Result<SinkAnswer, CallError>) -> (&'static str, String) {
    let (outcome, why) = match answer {
        Ok(_) => return ("done", String::new()),
        Err(CallError::Retry { why, .. }) => ("retry", why),
        Err(CallError::Reject { why }) => ("reject", why),
        Err(CallError::Unclear { why }) => ("unclear", why),
    };
    check_why(&why);
    (outcome, why)
}

#[tokio::test]
async fn a_mail_arrives_whole_under_tls_as_text_and_html_and_nobody_writes_headers_into_it() {
    for (mode, scheme) in [("starttls", "smtp"), ("smtps", "smtps")] {
        let Some(server) = Smtp::start(mode) else { return };
        let url = format!("{scheme}://localhost:{}", server.port);
        let sink = EmailSink::new(Arc::new(Plain), None).trusting(server.certificate());
        let request = request(&url, "Sales <sales@summit.example>, owner@summit.example", Some(PASSWORD));
        let answer = sink.deliver(request.clone(), PATIENT).await;
        assert_eq!(answer, Ok(SinkAnswer { remote_id: None }), "{mode}");
        until("the message", PATIENT, || server.taken().len() == 1);
        let taken = server.taken().remove(0);
        assert_eq!((taken["tls"].as_bool(), taken["user"].as_str()), (Some(true), Some(USER)), "{mode}");
        assert_eq!(taken["from"], "leads@summit.example");
        assert_eq!(taken["to"], serde_json::json!(["sales@summit.example", "owner@summit.example"]));
        let data = taken["data"].as_str().unwrap();
        assert!(data.contains("text/plain") && data.contains("text/html"), "{data}");
        assert!(data.contains("Message-ID: <job-1@leadline.invalid>"), "{data}");
        assert!(data.contains("References: <L1@leadline.invalid>"), "one conversation a lead: {data}");
        assert!(!data.lines().any(|line| line.starts_with("Bcc:")), "{data}");
        let exchange = request.trace.take().pop().unwrap();
        assert!(exchange.request.contains("Budget of $40,000.") && exchange.answer.starts_with("250"));
        assert!(!format!("{exchange:?}").contains(PASSWORD));
    }
}

/// Two messages of one digest, as the dataflow makes them.
fn digest(part: usize, leads: &serde_json::Value) -> String {
    serde_json::json!({"type": "digest", "clock": "07:30", "part": part, "parts": 2, "leads": leads})
        .to_string()
}

#[tokio::test]
async fn a_digest_lists_its_leads_in_one_mail_whose_id_is_the_digests_whatever_job_carries_it() {
    let Some(server) = Smtp::start("plain") else { return };
    let sink = EmailSink::new(Arc::new(Plain), None);
    let mut request = request(&format!("smtp://127.0.0.1:{}", server.port), "sales@summit.example", None);
    request.integration.options.insert("link".to_owned(), "https://crm.example/leads/{subject}".to_owned());
    request.key.subject = "digest:2026-03-04T14:30:00.000Z:1".to_owned();
    request.payload = digest(
        1,
        &serde_json::json!([
            {"lead_id": "L1", "score": 92, "band": "hot", "name": "Ana <b>\r\nBcc: all@x.example", "phone": "+13035550142",
             "project_type": "kitchen", "city": "Denver", "reasons": ["Budget of $40,000."], "told_before": false},
            {"lead_id": "L2", "score": 41, "band": "nurture", "email": "bo@x.example", "reasons": [], "told_before": true},
        ]),
    );
    for job in ["job-1", "job-2"] {
        request.idempotency_key = job.to_owned();
        sink.deliver(request.clone(), PATIENT).await.unwrap();
    }
    until("both", PATIENT, || server.taken().len() == 2);
    let taken: Vec<String> =
        server.taken().iter().map(|mail| mail["data"].as_str().unwrap().to_owned()).collect();
    let id = "<summit.mail.digest.2026-03-04T14.30.00.000Z.1@leadline.invalid>";
    assert!(taken.iter().all(|mail| mail.contains(id) && !mail.contains("References:")), "{}", taken[0]);
    assert!(taken[0].contains("Subject: 2 leads, 1 hot until 07:30 (1 of 2)"), "{}", taken[0]);
    assert!(!taken[0].lines().any(|line| line.starts_with("Bcc:")), "{}", taken[0]);
    // Both parts as the reader has them.
    let letter =
        Letter::of(&request.payload, request.integration.options.get("link").map(String::as_str)).unwrap();
    let (text, html) = (letter.text(), letter.html());
    for part in [
        "Hot 92, Kitchen, Ana <b>",
        "Call back: +13035550142",
        "- Budget of $40,000.",
        "Open: https://crm.example/leads/L1",
        "Nurture 41",
        "Email: bo@x.example",
        "told before, and changed since",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.find("Hot 92") < text.find("Nurture 41"));
    for part in [
        "Ana &lt;b&gt;",
        "<a href=\"tel:+13035550142\">",
        "<a href=\"https://crm.example/leads/L2\">Open</a>",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
    let one = Letter::of(&digest(2, &serde_json::json!([{"band": "warm", "score": 61}])), None).unwrap();
    assert_eq!(one.title, "1 lead until 07:30 (2 of 2)");
    let shown = sink.preview(&request).unwrap().remove(0).shown();
    assert!(shown.contains("Call back: +13035550142") && shown.contains("2 leads, 1 hot"), "{shown}");
}

#[tokio::test]
async fn each_failure_says_whether_the_mail_may_have_arrived() {
    let Some(server) = Smtp::start("plain") else { return };
    let url = format!("smtp://127.0.0.1:{}", server.port);
    let sink = EmailSink::new(Arc::new(Plain), None);
    let send = async |to: &str, deadline| why(sink.deliver(request(&url, to, None), deadline).await);
    assert_eq!(send("sales@summit.example", PATIENT).await.0, "done");
    let (outcome, why) = send("refuse@summit.example", PATIENT).await;
    assert!(outcome == "reject" && why.contains("no such user"), "{why}");
    let (outcome, why) = send("later@summit.example", PATIENT).await;
    assert!(outcome == "retry" && why.contains("come back later"), "{why}");
    // Some are refused: the others have it, and the ledger says who has not.
    let some = request(&url, "refuse@summit.example, sales@summit.example", None);
    sink.deliver(some.clone(), PATIENT).await.unwrap();
    assert!(some.trace.take()[0].answer.contains("refused: refuse@summit.example"));
    // Taken, and not answered.
    let (outcome, _) = send("hang@summit.example", Duration::from_millis(500)).await;
    assert_eq!(outcome, "unclear");
    until("three have arrived", PATIENT, || server.taken().len() == 3);
    let nobody = EmailSink::new(Arc::new(Plain), None);
    let answer = nobody.deliver(request("smtp://127.0.0.1:1", "a@x.example", None), PATIENT).await;
    assert_eq!(super::tests::why(answer).0, "retry");
}

#[tokio::test]
async fn a_wrong_password_and_a_certificate_that_nobody_knows_are_told_and_nothing_is_sent() {
    let Some(server) = Smtp::start("smtps") else { return };
    let url = format!("smtps://localhost:{}", server.port);
    let sink = EmailSink::new(Arc::new(Plain), None).trusting(server.certificate());
    let (outcome, text) = why(sink.deliver(request(&url, "a@x.example", Some("wrong")), PATIENT).await);
    assert!(outcome == "reject" && text.contains("login") && !text.contains("wrong"), "{text}");
    let stranger = EmailSink::new(Arc::new(Plain), None);
    let answer = stranger.deliver(request(&url, "a@x.example", Some(PASSWORD)), PATIENT).await;
    assert_eq!(why(answer).0, "reject");
    assert!(server.taken().is_empty());
}

#[test]
fn what_is_missing_is_said_and_another_machine_is_never_spoken_to_in_the_clear() {
    let sink = EmailSink::new(Arc::new(Plain), None);
    for (name, part) in [("to", "option to"), ("from", "option from")] {
        let mut request = request("smtp://127.0.0.1:25", "a@x.example", None);
        request.integration.options.remove(name);
        let Err(CallError::Reject { why }) = sink.preview(&request) else { panic!("{name}") };
        assert!(why.contains(part), "{why}");
    }
    for (url, part) in [("", "email.server"), ("http://x.example", "smtps://"), ("smtp", "no address")] {
        let Err(CallError::Reject { why }) = sink.preview(&request(url, "a@x.example", None)) else {
            panic!("{url}")
        };
        assert!(why.contains(part), "{why}");
    }
    let own = EmailServer {
        url: "smtps://mail.example.com".to_owned(),
        user: Some("leads".to_owned()),
        password: Some(PASSWORD.to_owned()),
        from: None,
    };
    assert!(!format!("{own:?}").contains(PASSWORD));
    let sink = EmailSink::new(Arc::new(Plain), Some(own));
    let shown = format!("{:?}", sink.preview(&request("", "a@x.example", None)).unwrap());
    assert!(shown.contains("MAIL smtps://mail.example.com:465") && shown.contains("Kitchen"), "{shown}");
}

#[test]
fn a_letter_says_the_same_as_text_and_as_html_and_acts_in_neither() {
    let letter = Letter::of(LEAD, None).unwrap();
    assert_eq!(letter.title, "Hot lead 92, Kitchen, Ana Núñez <b>  Bcc: all@x.example");
    let (text, html) = (letter.text(), letter.html());
    assert!(text.contains("Phone: +13035550142") && text.contains("> about <i>forty</i> thousand"), "{text}");
    assert!(html.contains("tel:+13035550142") && html.contains("&lt;i&gt;forty&lt;/i&gt;"), "{html}");
    let missed = r#"{"type":"missed_call","call_id":"CAL1","caller":"+13035550142","rang_at":"2026-03-04T16:12:33Z","escalated_after_s":600}"#;
    let letter = Letter::of(missed, None).unwrap();
    assert_eq!(letter.title, "Nobody has reacted: Missed call from +13035550142");
    assert!(letter.text().contains("Waiting for: 10 min"));
}

/// The suite of doubles names neither server nor people.
struct Told {
    sink: EmailSink,
    server: Smtp,
    to: &'static str,
}

impl Sink for Told {
    fn kind(&self) -> &str {
        self.sink.kind()
    }
    fn guarantee(&self) -> Guarantee {
        self.sink.guarantee()
    }
    fn deliver(
        &self,
        mut given: SinkRequest,
        deadline: Duration,
    ) -> BoxFuture<'_, Result<SinkAnswer, CallError>> {
        given.integration =
            request(&format!("smtp://127.0.0.1:{}", self.server.port), self.to, None).integration;
        self.sink.deliver(given, deadline)
    }
    fn preview(&self, request: &SinkRequest) -> Result<Vec<WireRequest>, CallError> {
        self.sink.preview(request)
    }
}

#[tokio::test]
async fn the_sink_passes_the_suite() {
    if Smtp::start("plain").is_none() {
        return;
    }
    suite_of_double(&|mood| {
        let to = match mood {
            Mood::Answers => "sales@summit.example",
            Mood::Refuses => "later@summit.example",
            Mood::Hangs => "hang@summit.example",
        };
        let server = Smtp::start("plain").expect("it started before");
        let sink = Arc::new(Told { sink: EmailSink::new(Arc::new(Plain), None), server, to });
        SinkUnderTest { sink, secret: None, payload: LEAD, good: "" }
    })
    .await;
}
