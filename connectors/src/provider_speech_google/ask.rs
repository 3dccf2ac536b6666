//! One request, with a token that is good.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use leadline_schemas::reply::PendingJob;
use serde_json::Value;

use super::GoogleSpeech;
use super::error::meaning;
use crate::contract::provider::CallError;
use crate::contract::wire::{WireAnswer, WireRequest};
use crate::speech::reject;

/// The largest answer: an hour of two channels with every word's time has some 6 MB.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// The status of a token that has ended.
const UNAUTHENTICATED: u16 = 401;

impl GoogleSpeech {
    /// The body of a good answer to a GET: it costs nothing.
    pub(super) async fn ask(&self, path: &str, deadline: Duration) -> Result<Bytes, CallError> {
        read(self.exchange(path, None, deadline).await?)
    }

    /// Whatever is answered; to a POST where there is a body, else to a GET. A token that ends on the way is replaced, once: what was refused for it was not begun.
    pub(super) async fn exchange(
        &self,
        path: &str,
        body: Option<(&Value, &PendingJob)>,
        deadline: Duration,
    ) -> Result<WireAnswer, CallError> {
        let began = tokio::time::Instant::now();
        let token = self.tokens.token().await?;
        let answered = self.send(path, body, &token, deadline).await?;
        if answered.status != UNAUTHENTICATED {
            return Ok(answered);
        }
        self.tokens.refused(&token);
        let another = self.tokens.token().await?;
        if another == token {
            return Ok(answered);
        }
        self.send(path, body, &another, deadline.saturating_sub(began.elapsed())).await
    }

    async fn send(
        &self,
        path: &str,
        body: Option<(&Value, &PendingJob)>,
        token: &str,
        deadline: Duration,
    ) -> Result<WireAnswer, CallError> {
        let address = self.address(path);
        let request = match body {
            // Google has no use for the key; whoever reads logs on the way has.
            Some((body, job)) => {
                WireRequest::json(address, body).header("idempotency-key", job.job_id.to_string())
            }
            None => WireRequest::new(Method::GET, address),
        };
        self.client.exchange_large(&request.bearer(token), deadline, ANSWER_BYTES_MAX).await
    }
}

/// The body of an answer, if it is a good one.
pub(super) fn read(answer: WireAnswer) -> Result<Bytes, CallError> {
    let answered = meaning(answer)?;
    if answered.too_large {
        return Err(reject(format!("Google answered more than the {ANSWER_BYTES_MAX} bytes that are read")));
    }
    Ok(answered.body)
}
