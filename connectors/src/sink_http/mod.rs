//! Sink by HTTP: POSTs a lead or an alert to an address of the tenant's.
//!
//! Headers: `Idempotency-Key`, the same over attempts and crashes, and, where the integration has a secret,
//! `Leadline-Signature: t=SECONDS,v1=HEX`, the HMAC-SHA256 of `SECONDS.BODY`. A receiver that honours the key sees
//! each revision once. An `id` in a JSON answer is kept as the other side's id.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use ring::hmac;
use serde::Deserialize;

use crate::contract::BoxFuture;
use crate::contract::clock::Clock;
use crate::contract::provider::CallError;
use crate::contract::secrets::Secrets;
use crate::contract::sink::{Guarantee, Sink, SinkAnswer, SinkRequest};
use crate::contract::wire::WireRequest;
use crate::http_client::{Client, judged};

/// The longest id of the other side that is kept: it is stored, and sent again, with each delivery.
const REMOTE_ID_BYTES_MAX: usize = 256;

/// Delivers to any HTTP address.
pub struct HttpSink {
    client: Client,
    secrets: Arc<dyn Secrets>,
    clock: Arc<dyn Clock>,
}

/// What an integration's secret is sealed for.
pub fn integration_secret_context(tenant: &leadline_schemas::TenantId, integration: &str) -> String {
    format!("{tenant}/integration/{integration}")
}

#[derive(Deserialize)]
struct Answer {
    id: Option<serde_json::Value>,
}

impl HttpSink {
    /// A sink that signs with the integrations' own secrets.
    pub fn new(client: Client, secrets: Arc<dyn Secrets>, clock: Arc<dyn Clock>) -> Self {
        Self { client, secrets, clock }
    }

    fn wire(&self, request: &SinkRequest) -> Result<WireRequest, CallError> {
        let wire = WireRequest::new(Method::POST, &request.integration.url)
            .header("content-type", "application/json")
            .header("idempotency-key", &request.idempotency_key)
            .body(Bytes::from(request.payload.clone()));
        Ok(match self.signature(request)? {
            Some(signature) => wire.header("leadline-signature", signature),
            None => wire,
        })
    }

    fn signature(&self, request: &SinkRequest) -> Result<Option<String>, CallError> {
        let Some(sealed) = &request.integration.secret else { return Ok(None) };
        let context = integration_secret_context(&request.key.tenant, &request.integration.id);
        let secret = self.secrets.open(&context, sealed)?;
        let at_s = self.clock.wall().0 / 1_000;
        let mut signed = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &secret));
        signed.update(format!("{at_s}.").as_bytes());
        signed.update(request.payload.as_bytes());
        let hex: String = signed.sign().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Some(format!("t={at_s},v1={hex}")))
    }
}

impl Sink for HttpSink {
    fn kind(&self) -> &str {
        "http"
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::Once
    }

    fn deliver(
        &self,
        request: SinkRequest,
        deadline: Duration,
    ) -> BoxFuture<'_, Result<SinkAnswer, CallError>> {
        Box::pin(async move {
            let wire = self.wire(&request)?;
            // What says 2xx has it, whatever else it says.
            let answer = judged(self.client.exchange(&wire, deadline, &request.trace).await?)?;
            let id = serde_json::from_slice::<Answer>(&answer.body).ok().and_then(|answer| answer.id);
            let remote_id = id.map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned));
            let remote_id = remote_id.filter(|id| id.len() <= REMOTE_ID_BYTES_MAX);
            Ok(SinkAnswer { remote_id })
        })
    }

    fn preview(&self, request: &SinkRequest) -> Result<Vec<WireRequest>, CallError> {
        Ok(vec![self.wire(request)?])
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use leadline_schemas::TenantId;
    use leadline_schemas::settings::Sealed;

    use super::{HttpSink, integration_secret_context};
    use crate::clock_system::SystemClock;
    use crate::conformance::other_side::{Behaviour, OtherSide, SECRET};
    use crate::conformance::sink::{PAYLOAD, SinkUnderTest, suite};
    use crate::contract::secrets::{SecretError, Secrets};
    use crate::http_client::Client;

    /// Opens what is sealed for the integration of the suite, and nothing else.
    struct OneSecret;

    impl Secrets for OneSecret {
        fn seal(&self, _: &str, _: &[u8]) -> Result<Sealed, SecretError> {
            Ok(Sealed("sealed".to_owned()))
        }
        fn open(&self, context: &str, sealed: &Sealed) -> Result<Vec<u8>, SecretError> {
            assert_eq!(context, integration_secret_context(&TenantId::new("summit").unwrap(), "crm"));
            assert_eq!(sealed.0, "sealed");
            Ok(SECRET.as_bytes().to_vec())
        }
    }

    fn sink(secret: Option<&str>) -> SinkUnderTest {
        let sink = HttpSink::new(Client::new().unwrap(), Arc::new(OneSecret), Arc::new(SystemClock));
        let secret = secret.map(|text| Sealed(text.to_owned()));
        SinkUnderTest { sink: Arc::new(sink), secret, payload: PAYLOAD, good: r##"{"id":#}"## }
    }

    #[tokio::test]
    async fn it_passes_the_suite_with_and_without_a_secret() {
        suite(&sink(None)).await;
        suite(&sink(Some("sealed"))).await;
    }

    #[tokio::test]
    async fn a_signature_is_the_hmac_of_time_and_body() {
        let other = OtherSide::start().await;
        other.next(Behaviour::Answer(200, "", Vec::new()));
        let test = sink(Some("sealed"));
        let request = test.request(&other.url(), 1);
        test.sink.deliver(request, Duration::from_secs(20)).await.unwrap();
        let seen = other.seen().remove(0);
        let signature = seen.header("leadline-signature").unwrap();
        let (at, hex) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
        let signed = [format!("{at}.").as_bytes(), &seen.body].concat();
        let wanted: String =
            ring::hmac::sign(&key, &signed).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, wanted);
    }
}
