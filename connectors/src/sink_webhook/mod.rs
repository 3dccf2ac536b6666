//! Sink for signed webhooks: a POST as the Standard Webhooks specification has it.
//!
//! `webhook-id` is the delivery's key, the same over attempts and crashes: a receiver that knows it has the delivery already.
//! `webhook-signature` is `v1,` and the base64 of the HMAC-SHA256 of `ID.SECONDS.BODY` under the integration's secret,
//! which is `whsec_` and base64. An address that takes nothing for days is switched off, and the tenant told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use leadline_schemas::{Millis, TenantId};
use ring::hmac;

use crate::contract::BoxFuture;
use crate::contract::clock::Clock;
use crate::contract::provider::CallError;
use crate::contract::secrets::Secrets;
use crate::contract::sink::{Guarantee, Sink, SinkAnswer, SinkRequest};
use crate::contract::switch::Switch;
use crate::contract::wire::WireRequest;
use crate::http_client::{Client, judged};
use crate::sink_http::integration_secret_context;

/// What every secret begins with.
pub const SECRET_PREFIX: &str = "whsec_";
/// Bytes of a secret, as the specification has it.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// An address that has taken nothing for this long is dead.
const FAILING_MS_MAX: i64 = 3 * Millis::DAY;
/// Integrations whose last success is remembered.
const KNOWN_MAX: usize = 10_000;

/// Delivers to addresses that check signatures.
pub struct WebhookSink {
    client: Client,
    secrets: Arc<dyn Secrets>,
    clock: Arc<dyn Clock>,
    switch: Arc<dyn Switch>,
    /// When integrations last took something: one that refuses a single delivery for days is not dead.
    took: Mutex<HashMap<(TenantId, String), Millis>>,
}

/// The key of a `whsec_` secret; what is wrong with it, for people, without the secret.
pub fn key_of(secret: &str) -> Result<Vec<u8>, &'static str> {
    let text = secret.trim().strip_prefix(SECRET_PREFIX).ok_or("a webhook's secret begins with whsec_")?;
    let key = STANDARD.decode(text).map_err(|_| "behind whsec_ comes base64")?;
    match SECRET_BYTES.contains(&key.len()) {
        true => Ok(key),
        false => Err("behind whsec_ come 24 to 64 bytes in base64"),
    }
}

/// What signs `body`.
pub fn signature(key: &[u8], id: &str, at_s: i64, body: &[u8]) -> String {
    let mut signed = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    signed.update(format!("{id}.{at_s}.").as_bytes());
    signed.update(body);
    format!("v1,{}", STANDARD.encode(signed.sign()))
}

impl WebhookSink {
    /// A sink that signs with the integrations' own secrets.
    pub fn new(
        client: Client,
        secrets: Arc<dyn Secrets>,
        clock: Arc<dyn Clock>,
        switch: Arc<dyn Switch>,
    ) -> Self {
        Self { client, secrets, clock, switch, took: Mutex::default() }
    }

    fn wire(&self, request: &SinkRequest) -> Result<WireRequest, CallError> {
        let integration = &request.integration;
        let reject = |why: &str| CallError::Reject { why: why.to_owned() };
        let sealed =
            integration.secret.as_ref().ok_or_else(|| reject("the webhook has no secret to sign with"))?;
        let context = integration_secret_context(&request.key.tenant, &integration.id);
        let secret = self.secrets.open(&context, sealed)?;
        let key = std::str::from_utf8(&secret).map_err(|_| "the secret is not text").and_then(key_of);
        let key = key.map_err(reject)?;
        let (id, at_s) = (&request.idempotency_key, self.clock.wall().0 / 1_000);
        Ok(WireRequest::new(Method::POST, &integration.url)
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", at_s.to_string())
            .header("webhook-signature", signature(&key, id, at_s, request.payload.as_bytes()))
            .body(Bytes::from(request.payload.clone())))
    }

    async fn send(&self, request: SinkRequest, deadline: Duration) -> Result<SinkAnswer, CallError> {
        let wire = self.wire(&request)?;
        let answered = self.client.exchange(&wire, deadline, &request.trace).await;
        let is_gone = answered.as_ref().is_ok_and(|answer| answer.status == 410);
        match answered.and_then(judged) {
            Ok(_) => {
                self.note(&request);
                Ok(SinkAnswer { remote_id: None })
            }
            Err(error) => {
                if let Some(why) = self.is_dead(&request, is_gone) {
                    self.switch.off(&request.key.tenant, &request.integration.id, &why).await;
                }
                Err(error)
            }
        }
    }

    fn note(&self, request: &SinkRequest) {
        let mut took = self.took.lock().unwrap_or_else(PoisonError::into_inner);
        if took.len() >= KNOWN_MAX {
            took.clear();
        }
        took.insert((request.key.tenant.clone(), request.integration.id.clone()), self.clock.wall());
    }

    /// Why the address is taken for dead: it says so itself (410), or has failed for days and taken nothing meanwhile.
    fn is_dead(&self, request: &SinkRequest, is_gone: bool) -> Option<String> {
        if is_gone {
            return Some("the address answered 410: it wants nothing more".to_owned());
        }
        let since =
            request.failing_since.filter(|since| self.clock.wall().since(*since) >= FAILING_MS_MAX)?;
        let took = self.took.lock().unwrap_or_else(PoisonError::into_inner);
        let last = took.get(&(request.key.tenant.clone(), request.integration.id.clone()));
        match last {
            Some(last) if *last >= since => None,
            _ => Some(format!("the address has taken nothing since {since}")),
        }
    }
}

impl Sink for WebhookSink {
    fn kind(&self) -> &str {
        "webhook"
    }

    /// A receiver knows a delivery again by its `webhook-id`.
    fn guarantee(&self) -> Guarantee {
        Guarantee::Once
    }

    fn deliver(
        &self,
        request: SinkRequest,
        deadline: Duration,
    ) -> BoxFuture<'_, Result<SinkAnswer, CallError>> {
        Box::pin(self.send(request, deadline))
    }

    fn preview(&self, request: &SinkRequest) -> Result<Vec<WireRequest>, CallError> {
        Ok(vec![self.wire(request)?])
    }
}

#[cfg(test)]
mod tests;
