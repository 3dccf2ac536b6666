//! What every [`Sink`] promises, by the guarantee that it declares.

use std::sync::Arc;
use std::time::Duration;

use leadline_schemas::TenantId;
use leadline_schemas::delivery::DeliveryKey;
use leadline_schemas::partitioning::Key;
use leadline_schemas::settings::{Integration, Sealed};

use super::other_side::{Behaviour, Mood, OtherSide, SECRET, check_why, slack};
use crate::contract::provider::CallError;
use crate::contract::sink::{Guarantee, Sink, SinkAnswer, SinkRequest};
use crate::contract::wire::Trace;

/// A sink and what the other side answers.
pub struct SinkUnderTest {
    /// The sink.
    pub sink: Arc<dyn Sink>,
    /// The integration's secret, as records have it.
    pub secret: Option<Sealed>,
    /// What is delivered: it must arrive byte for byte where the sink does not say it in words of its own.
    pub payload: &'static str,
    /// What the other side answers to a delivery, with `#` for its id.
    pub good: &'static str,
}

/// Runs the suite on a runtime with timers.
pub async fn suite(test: &SinkUnderTest) {
    a_delivery_arrives_whole_and_its_id_comes_back(test).await;
    the_key_is_the_deliverys_over_all_attempts(test).await;
    an_answer_that_cannot_be_read_is_still_an_answer(test).await;
    what_certainly_did_not_arrive_is_to_be_tried_again(test).await;
    what_will_not_pass_is_refused_in_one_line(test).await;
    what_may_have_arrived_is_told_as_the_guarantee_says(test).await;
    a_delivery_that_hangs_delays_no_other(test).await;
}

/// What of the suite can be asked of a double that calls nobody; `told` makes one that behaves so.
pub async fn suite_of_double(told: &dyn Fn(Mood) -> SinkUnderTest) {
    let test = told(Mood::Answers);
    assert!(!test.sink.kind().is_empty());
    let first = test.deliver("", 1, PATIENT).await;
    let repeated = SinkRequest { may_have_arrived: true, ..test.request("", 1) };
    let again = test.attempt(repeated, PATIENT).await;
    assert!(first.is_ok() && first == again, "the same delivery has the same id: {first:?}, {again:?}");
    let answer = told(Mood::Refuses).deliver("", 1, PATIENT).await;
    assert!(matches!(answer, Err(CallError::Retry { .. })), "it certainly did not arrive: {answer:?}");
    let test = told(Mood::Hangs);
    let started = tokio::time::Instant::now();
    let (one, other) = tokio::join!(test.deliver("", 1, DEADLINE), test.deliver("", 2, DEADLINE));
    for answer in [one, other] {
        assert!(is_as_declared(test.sink.guarantee(), &answer), "silence: {answer:?}");
    }
    assert!(started.elapsed() >= DEADLINE && started.elapsed() < 2 * DEADLINE, "a delivery delays no other");
}

/// Whether what may have arrived is told as the guarantee says.
fn is_as_declared(guarantee: Guarantee, answer: &Result<SinkAnswer, CallError>) -> bool {
    match guarantee {
        // Once more does nothing there, or is looked for first.
        Guarantee::Once | Guarantee::Reconciled => matches!(answer, Err(CallError::Retry { .. })),
        // Once more may be once too often.
        Guarantee::AtLeastOnce => matches!(answer, Err(CallError::Unclear { .. })),
    }
}

const DEADLINE: Duration = Duration::from_millis(300);
const PATIENT: Duration = Duration::from_secs(20);
/// What sinks deliver that take anything.
pub const PAYLOAD: &str = "{\"lead\":\"Zo\u{eb} \u{1f3e0}\",\"score\":71}";

impl SinkUnderTest {
    /// A delivery to this address.
    pub fn request(&self, url: &str, number: u64) -> SinkRequest {
        let integration = Integration {
            secret: self.secret.clone(),
            alerts: true,
            ..Integration::new("crm", self.sink.kind(), url)
        };
        let tenant = TenantId::new("summit").unwrap();
        SinkRequest {
            home: Key::new(tenant.clone(), "+13035550142", 1),
            key: DeliveryKey { tenant, integration: "crm".to_owned(), subject: format!("lead-{number}") },
            idempotency_key: format!("job-{number}"),
            integration,
            payload: self.payload.to_owned(),
            remote_id: None,
            may_have_arrived: false,
            failing_since: None,
            trace: Trace::default(),
        }
    }

    async fn deliver(&self, url: &str, number: u64, deadline: Duration) -> Result<SinkAnswer, CallError> {
        self.attempt(self.request(url, number), deadline).await
    }

    async fn attempt(&self, request: SinkRequest, deadline: Duration) -> Result<SinkAnswer, CallError> {
        let delivery = self.sink.deliver(request, deadline);
        let answer = tokio::time::timeout(slack(deadline), delivery).await.expect("it bounds its own time");
        if let Err(CallError::Retry { why, .. } | CallError::Reject { why } | CallError::Unclear { why }) =
            &answer
        {
            check_why(why);
        }
        answer
    }

    fn good(&self, status: u16, id: &str) -> Behaviour {
        Behaviour::Answer(status, "", self.good.replace('#', id).into_bytes())
    }
}

async fn a_delivery_arrives_whole_and_its_id_comes_back(test: &SinkUnderTest) {
    assert!(!test.sink.kind().is_empty());
    for status in [200, 201, 202] {
        let other = OtherSide::start().await;
        other.next(test.good(status, "\"R-1\""));
        let answer = test.deliver(&other.url(), 1, PATIENT).await.unwrap();
        assert_eq!(answer.remote_id.as_deref(), Some("R-1"));
        let seen = other.seen();
        assert_eq!(seen.len(), 1, "one attempt is one request");
        let body = String::from_utf8_lossy(&seen[0].body).into_owned();
        assert!(body.contains(test.payload), "{body}");
        assert!(
            !seen[0].head.lines().skip(1).any(|line| line.contains(SECRET)),
            "the secret travels in clear"
        );
    }
}

async fn the_key_is_the_deliverys_over_all_attempts(test: &SinkUnderTest) {
    if test.sink.guarantee() != Guarantee::Once {
        return; // It has no key to send.
    }
    let other = OtherSide::start().await;
    for number in [1, 1, 2] {
        other.next(test.good(503, "1"));
        let _ = test.deliver(&other.url(), number, PATIENT).await;
    }
    let keys: Vec<String> = other
        .seen()
        .iter()
        .map(|seen| seen.header("idempotency-key").expect("every attempt carries the key").to_owned())
        .collect();
    assert_eq!(keys, ["job-1", "job-1", "job-2"]);
}

/// The other side has it: whatever it says beside "2xx" is no reason to deliver it again, or to tell a person that it
/// did not arrive.
async fn an_answer_that_cannot_be_read_is_still_an_answer(test: &SinkUnderTest) {
    let other = OtherSide::start().await;
    let nonsense: [&[u8]; 6] = [b"", b"ok", b"{\"id\":", b"[1,2]", b"{\"id\":null}", &[0xFF, 0xFE]];
    for body in nonsense {
        other.next(Behaviour::Answer(200, "", body.to_vec()));
        let answer = test.deliver(&other.url(), 1, PATIENT).await;
        assert_eq!(answer, Ok(SinkAnswer { remote_id: None }), "{body:?}");
    }
    other.next(Behaviour::Answer(204, "", Vec::new()));
    assert!(test.deliver(&other.url(), 1, PATIENT).await.is_ok());
    let long = test.good.replace('#', &format!("\"{}\"", "x".repeat(100_000)));
    other.next(Behaviour::Answer(200, "", long.into_bytes()));
    let answer = test.deliver(&other.url(), 1, PATIENT).await.unwrap();
    let bytes = answer.remote_id.map_or(0, |id| id.len());
    assert!(bytes <= 1_024, "an id of {bytes} bytes is kept and sent again with each delivery");
    other.next(Behaviour::Flood(200));
    assert!(test.deliver(&other.url(), 1, PATIENT).await.is_ok(), "an answer without an end");
}

async fn what_certainly_did_not_arrive_is_to_be_tried_again(test: &SinkUnderTest) {
    let other = OtherSide::start().await;
    for (headers, wanted) in
        [("Retry-After: 7\r\n", Some(Duration::from_secs(7))), ("Retry-After: never\r\n", None), ("", None)]
    {
        other.next(Behaviour::Answer(429, headers, b"slow\ndown".to_vec()));
        let answer = test.deliver(&other.url(), 1, PATIENT).await;
        let Err(CallError::Retry { after, .. }) = answer else { panic!("{answer:?}") };
        assert_eq!(after, wanted);
    }
    let answer = test.deliver(&OtherSide::nobody(), 1, PATIENT).await;
    assert!(matches!(answer, Err(CallError::Retry { .. })), "nobody listens: {answer:?}");
}

async fn what_will_not_pass_is_refused_in_one_line(test: &SinkUnderTest) {
    let other = OtherSide::start().await;
    let page = "<html>\r\n\t<b>no</b> \u{1b}[31m\n".repeat(5_000).into_bytes();
    for status in [301, 307, 400, 401, 403, 404, 410, 413, 422] {
        other.next(Behaviour::Answer(status, "Location: http://127.0.0.1:1/\r\n", page.clone()));
        let answer = test.deliver(&other.url(), 1, PATIENT).await;
        let Err(CallError::Reject { why }) = answer else { panic!("{status}: {answer:?}") };
        assert!(why.contains(&status.to_string()), "{why}");
    }
    let answer = test.deliver("no address", 1, PATIENT).await;
    assert!(matches!(answer, Err(CallError::Reject { .. })), "{answer:?}");
}

async fn what_may_have_arrived_is_told_as_the_guarantee_says(test: &SinkUnderTest) {
    let other = OtherSide::start().await;
    let as_declared = |answer: &Result<SinkAnswer, CallError>| is_as_declared(test.sink.guarantee(), answer);
    for behaviour in [Behaviour::Cut, Behaviour::CutInside(500)] {
        other.next(behaviour.clone());
        let answer = test.deliver(&other.url(), 1, PATIENT).await;
        assert!(as_declared(&answer), "{behaviour:?}: {answer:?}");
    }
    let started = tokio::time::Instant::now();
    let answer = test.deliver(&other.url(), 1, DEADLINE).await;
    assert!(as_declared(&answer), "silence: {answer:?}");
    assert!(started.elapsed() >= DEADLINE);
}

async fn a_delivery_that_hangs_delays_no_other(test: &SinkUnderTest) {
    let other = OtherSide::start().await;
    let url = other.url();
    other.next(Behaviour::Hang);
    let hanging = test.deliver(&url, 1, PATIENT);
    let others = async {
        while other.seen().is_empty() {
            tokio::task::yield_now().await;
        }
        for number in 2..6 {
            other.next(test.good(200, "1"));
            test.deliver(&url, number, PATIENT).await.unwrap();
        }
    };
    tokio::select! {
        answer = hanging => panic!("it was to hang: {answer:?}"),
        () = others => {} // And a delivery may be given up at any time.
    }
}
