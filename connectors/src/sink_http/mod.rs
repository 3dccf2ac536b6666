//! Sink by HTTP: POSTs a lead or an alert to an address of the tenant's.
//!
//! Headers: `Idempotency-Key`, the same over attempts and crashes, and, where the integration has a secret,
//! `Leadline-Signature: t=SECONDS,v1=HEX`, the HMAC-SHA256 of `SECONDS.BODY`. A receiver that honours the key sees
//! each revision once. An `id` in a JSON answer is kept as the other side's id.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ring::hmac;
use serde::Deserialize;

use crate::contract::BoxFuture;
use crate::contract::clock::Clock;
use crate::contract::provider::CallError;
use crate::contract::secrets::Secrets;
use crate::contract::sink::{Guarantee, Sink, SinkAnswer, SinkRequest};
use crate::http_client::{Call, Client};

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

    fn signature(&self, request: &SinkRequest) -> Result<Option<String>, CallError> {
        let Some(sealed) = &request.integration.secret else { return Ok(None) };
        let context = integration_secret_context(&request.key.tenant, &request.integration.id);
        let secret = self
            .secrets
            .open(&context, sealed)
            .map_err(|error| CallError::Reject { why: error.to_string() })?;
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
            let signature = self.signature(&request)?;
            let headers: Vec<(&str, &str)> =
                signature.iter().map(|signature| ("leadline-signature", signature.as_str())).collect();
            let call = Call {
                url: &request.integration.url,
                body: Bytes::from(request.payload),
                idempotency_key: &request.idempotency_key,
                headers: &headers,
                deadline,
            };
            let body = self.client.post(call).await?;
            let id = serde_json::from_slice::<Answer>(&body).ok().and_then(|answer| answer.id);
            let remote_id = id.map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned));
            Ok(SinkAnswer { remote_id })
        })
    }
}
