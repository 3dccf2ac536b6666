use leadline_schemas::settings::Sealed;

use super::*;
use crate::clock_system::SystemClock;
use crate::conformance::other_side::{Behaviour, Mood, OtherSide};
use crate::conformance::sink::{PAYLOAD, SinkUnderTest, suite_of_double};
use crate::contract::secrets::SecretError;

/// The example of the specification: https://github.com/standard-webhooks/standard-webhooks, "Signature scheme".
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

struct Plain;

impl Secrets for Plain {
    fn seal(&self, _: &str, plain: &[u8]) -> Result<Sealed, SecretError> {
        Ok(Sealed(String::from_utf8_lossy(plain).into_owned()))
    }
    fn open(&self, _: &str, sealed: &Sealed) -> Result<Vec<u8>, SecretError> {
        Ok(sealed.0.clone().into_bytes())
    }
}

#[derive(Default)]
struct Switched(Mutex<Vec<String>>);

impl Switch for Switched {
    fn off<'a>(&'a self, _: &'a TenantId, integration: &'a str, why: &'a str) -> BoxFuture<'a, ()> {
        self.0.lock().unwrap().push(format!("{integration}: {why}"));
        Box::pin(async {})
    }
}

fn sink() -> (SinkUnderTest, Arc<Switched>) {
    let switched = Arc::new(Switched::default());
    let sink =
        WebhookSink::new(Client::new().unwrap(), Arc::new(Plain), Arc::new(SystemClock), switched.clone());
    let secret = Some(Sealed(SECRET.to_owned()));
    (SinkUnderTest { sink: Arc::new(sink), secret, payload: PAYLOAD, good: "" }, switched)
}

#[test]
fn the_signature_is_that_of_the_specification() {
    let key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let found = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
    assert_eq!(found, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    for wrong in ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_***", "whsec_c2hvcnQ="] {
        assert!(key_of(wrong).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn an_attempt_has_the_deliverys_id_and_a_signature_of_what_is_sent() {
    let other = OtherSide::start().await;
    let (test, _) = sink();
    for status in [503, 200] {
        other.next(Behaviour::Answer(status, "", Vec::new()));
        let _ = test.sink.deliver(test.request(&other.url(), 1), Duration::from_secs(20)).await;
    }
    for seen in other.seen() {
        assert_eq!(seen.header("webhook-id"), Some("job-1"), "the same over attempts");
        assert_eq!(seen.body, PAYLOAD.as_bytes());
        let at_s = seen.header("webhook-timestamp").unwrap().parse().unwrap();
        let wanted = signature(&key_of(SECRET).unwrap(), "job-1", at_s, &seen.body);
        assert_eq!(seen.header("webhook-signature").unwrap(), wanted.to_lowercase());
    }
    assert_eq!(other.seen().len(), 2);
}

#[tokio::test]
async fn an_address_that_takes_nothing_for_days_is_switched_off_and_one_that_takes_others_is_not() {
    let other = OtherSide::start().await;
    let (test, switched) = sink();
    let now = SystemClock.wall();
    let mut failing = test.request(&other.url(), 1);
    failing.failing_since = Some(now.plus(-FAILING_MS_MAX - 1));
    let fail = async |request: &SinkRequest| {
        other.next(Behaviour::Answer(500, "", Vec::new()));
        test.sink.deliver(request.clone(), Duration::from_secs(20)).await.unwrap_err();
        std::mem::take(&mut *switched.0.lock().unwrap())
    };
    assert_eq!(fail(&test.request(&other.url(), 2)).await, [""; 0], "it has only begun");
    assert_eq!(fail(&failing).await.len(), 1);
    other.next(Behaviour::Answer(200, "", Vec::new()));
    test.sink.deliver(test.request(&other.url(), 3), Duration::from_secs(20)).await.unwrap();
    assert_eq!(fail(&failing).await, [""; 0], "it takes others");
    other.next(Behaviour::Answer(410, "", Vec::new()));
    test.sink.deliver(failing, Duration::from_secs(20)).await.unwrap_err();
    assert!(switched.0.lock().unwrap()[0].contains("410"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sink_passes_the_suite() {
    suite_of_double(&|mood| {
        let (test, _) = sink();
        let other =
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(OtherSide::start()));
        let answer = |status| Behaviour::Answer(status, "", Vec::new());
        match mood {
            Mood::Answers => (0..2).for_each(|_| other.next(answer(204))),
            Mood::Refuses => other.next(answer(429)),
            Mood::Hangs => {}
        }
        SinkUnderTest { sink: Arc::new(At { sink: test.sink, url: other.url() }), ..sink().0 }
    })
    .await;
}

/// The suite of doubles names no address.
struct At {
    sink: Arc<dyn Sink>,
    url: String,
}

impl Sink for At {
    fn kind(&self) -> &str {
        self.sink.kind()
    }
    fn guarantee(&self) -> Guarantee {
        self.sink.guarantee()
    }
    fn deliver(
        &self,
        mut request: SinkRequest,
        deadline: Duration,
    ) -> BoxFuture<'_, Result<SinkAnswer, CallError>> {
        request.integration.url.clone_from(&self.url);
        self.sink.deliver(request, deadline)
    }
    fn preview(&self, request: &SinkRequest) -> Result<Vec<WireRequest>, CallError> {
        self.sink.preview(request)
    }
}
