//! What the tests of all sinks of CRMs share: deliveries, and what becomes of them when answers are lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use leadline_schemas::TenantId;
use leadline_schemas::delivery::DeliveryKey;
use leadline_schemas::partitioning::Key;
use leadline_schemas::settings::{Grant, Integration, Sealed};
use leadline_tests::crm::{Fault, Server};
use serde_json::{Value, json};

use crate::conformance::other_side::check_why;
use crate::contract::BoxFuture;
use crate::contract::provider::CallError;
use crate::contract::secrets::{SecretError, Secrets};
use crate::contract::sink::{Guarantee, Sink, SinkAnswer, SinkRequest};
use crate::contract::tokens::{AccessToken, Tokens};
use crate::contract::wire::{Trace, WireRequest};

/// A token that must not be told to anybody.
pub(crate) const TOKEN: &str = "pat-na1-s3cr3t-0f-the-tenant";
/// How long a delivery may take.
pub(crate) const PATIENT: Duration = Duration::from_secs(20);

/// Opens what is sealed for the integration of these tests.
pub(crate) struct Plain;

impl Secrets for Plain {
    fn seal(&self, _: &str, plain: &[u8]) -> Result<Sealed, SecretError> {
        Ok(Sealed(String::from_utf8_lossy(plain).into_owned()))
    }
    fn open(&self, context: &str, sealed: &Sealed) -> Result<Vec<u8>, SecretError> {
        assert_eq!(context, "summit/integration/crm");
        Ok(sealed.0.clone().into_bytes())
    }
}

/// A grant whose first token has ended, and whose next one is [`TOKEN`].
pub(crate) struct Granted {
    refused: AtomicBool,
    api_url: Option<String>,
}

impl Granted {
    pub(crate) fn new(api_url: Option<String>) -> Self {
        Self { refused: AtomicBool::new(false), api_url }
    }
}

impl Tokens for Granted {
    fn access(&self, _: &TenantId, _: &Integration) -> BoxFuture<'_, Result<AccessToken, CallError>> {
        let bearer = if self.refused.load(Ordering::SeqCst) { TOKEN } else { "ended" };
        let token = AccessToken { bearer: bearer.to_owned(), api_url: self.api_url.clone() };
        Box::pin(async move { Ok(token) })
    }
    fn refused(&self, _: &TenantId, _: &Integration, token: &AccessToken) {
        assert_eq!(token.bearer, "ended");
        self.refused.store(true, Ordering::SeqCst);
    }
}

/// A grant, as records have it.
pub(crate) fn grant() -> Grant {
    let sealed = Some(Sealed("sealed".to_owned()));
    Grant {
        access_token: sealed.clone(),
        refresh_token: sealed,
        expires_at: leadline_schemas::Millis(0),
        scopes: Vec::new(),
        api_url: None,
        generation: 1,
    }
}

/// A hot lead of a call.
pub(crate) fn lead() -> Value {
    json!({
        "type": "lead", "lead_id": "0190b0c0-0000-8000-8000-000000000001", "revision": 3, "status": "open",
        "score": 92, "band": "hot", "class": "lead", "name": "Dana O'Neil Smith", "phone": "+13035550142",
        "email": "dana@example.com", "city": "Denver", "project_type": "kitchen",
        "source": "Google Ads", "budget_min": 60_000, "budget_max": null, "timeline": "1_3mo",
        "extracted": {"address": "12 Elm St", "postcode": "80202", "year_built": 1971, "hoa": null},
        "factors": {"budget": 25, "scope_area": 20}, "reasons": ["Budget of $60,000 <stated>"],
        "evidence": [{"field": "budget_min", "quote": "about sixty thousand", "turn": 3}],
        "contact_ids": ["FRM1", "CAL019fb93fce197a38a2788269bcf71b70"], "contacted": false,
        "opened_at": "2026-03-04T16:12:33Z", "last_contact_at": "2026-03-04T16:20:00Z", "why": "scored",
    })
}

/// A call that nobody took.
pub(crate) fn missed() -> Value {
    json!({
        "type": "missed_call", "call_id": "CAL019fb93fce197a38a2788269bcf71b70", "caller": "+13035550142",
        "rang_at": "2026-03-04T16:20:00Z", "confirmed": true, "note": null,
    })
}

/// A delivery to an integration.
pub(crate) fn request(integration: Integration, subject: &str, payload: &Value) -> SinkRequest {
    let tenant = TenantId::new("summit").unwrap();
    SinkRequest {
        home: Key::new(tenant.clone(), "+13035550142", 1),
        key: DeliveryKey { tenant, integration: "crm".to_owned(), subject: subject.to_owned() },
        idempotency_key: "job-1".to_owned(),
        integration,
        payload: payload.to_string(),
        remote_id: None,
        may_have_arrived: false,
        failing_since: None,
        trace: Trace::default(),
    }
}

/// What the engine does with a delivery: it is tried again, as one that may have arrived, while that is worth it.
pub(crate) async fn delivered(sink: &dyn Sink, request: &SinkRequest) -> Result<SinkAnswer, CallError> {
    let mut request = request.clone();
    for _ in 0..6 {
        match sink.deliver(request.clone(), PATIENT).await {
            Err(CallError::Retry { .. }) => request.may_have_arrived = true,
            answer => return answer,
        }
    }
    panic!("it never arrived")
}

/// Delivers once for each request that a delivery makes, and loses that one's answer after it took effect. `scene` makes
/// an empty account and its sink, `check` looks at what is there in the end.
pub(crate) async fn lose_each_answer<S: Send + 'static>(
    scene: impl Fn() -> (Server<S>, Box<dyn Sink>, SinkRequest),
    check: impl Fn(&Server<S>, &str),
) {
    let (double, sink, request) = scene();
    delivered(&*sink, &request).await.unwrap();
    check(&double, "nothing was lost");
    let places: Vec<String> =
        double.asked().iter().map(|asked| format!("{} {}", asked.method, asked.path)).collect();
    for place in places {
        let (double, sink, request) = scene();
        // Ids differ from scene to scene.
        let place = place.trim_end_matches(|letter: char| letter.is_ascii_digit()).to_owned();
        double.fail(&place, Fault::Lose);
        delivered(&*sink, &request).await.unwrap_or_else(|error| panic!("{place}: {error}"));
        check(&double, &place);
    }
}

/// What a vendor's kept answer must mean: `passes`, or how it failed and after how many seconds it is tried again; words
/// that the tenant reads; and that no secret is told.
pub(crate) fn check_meaning(
    (name, meaning, words): &(&str, &str, &[&str]),
    answer: Result<SinkAnswer, CallError>,
    trace: &Trace,
    secrets: &[&str],
) {
    let (said, why) = match answer {
        Ok(_) => ("passes".to_owned(), "it arrived".to_owned()),
        Err(CallError::Retry { after: Some(after), why }) => (format!("retry {}", after.as_secs()), why),
        Err(CallError::Retry { after: None, why }) => ("retry".to_owned(), why),
        Err(CallError::Reject { why }) => ("reject".to_owned(), why),
        Err(CallError::Unclear { why }) => ("unclear".to_owned(), why),
    };
    assert_eq!(said, *meaning, "{name}: {why}");
    assert!(words.iter().all(|words| why.contains(words)), "{name}: {why}");
    check_why(&why);
    let shown = format!("{why} {:?}", trace.take());
    assert!(secrets.iter().all(|secret| !shown.contains(secret)), "{name}: {shown}");
}

/// A sink whose deliveries go to a double: the suite names no address.
pub(crate) struct AtDouble<S> {
    pub(crate) sink: S,
    pub(crate) base: String,
    pub(crate) options: &'static [(&'static str, &'static str)],
}

impl<S: Sink> Sink for AtDouble<S> {
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
        request.integration.url.clone_from(&self.base);
        let options = self.options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        request.integration.options.extend(options);
        self.sink.deliver(request, deadline)
    }
    fn preview(&self, request: &SinkRequest) -> Result<Vec<WireRequest>, CallError> {
        self.sink.preview(request)
    }
}
