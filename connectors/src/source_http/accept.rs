//! From a judged request to a durable record.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};
use leadline_schemas::inbound::{EventKind, Inbound, Origin};
use leadline_schemas::partitioning::Key;
use leadline_schemas::settings::{Settings, Tenant};
use leadline_schemas::{EventId, Offset};
use serde::Serialize;

use super::HttpSource;
use super::limits::{BUSY_PAUSE, INLINE_BODY_BYTES_MAX, RETRY_AFTER_S, SLOT_WAIT_MAX};
use crate::contract::log::AppendError;
use crate::http_server::Problem;

/// W3C Trace Context.
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What was found out about a request.
pub(super) struct Judged<'a> {
    pub(super) event_id: EventId,
    pub(super) tenant: &'a Tenant,
    pub(super) settings: &'a Settings,
    pub(super) caller: &'a str,
    pub(super) origin: Origin,
    pub(super) kind: EventKind,
    pub(super) content_type: Cow<'static, str>,
    pub(super) body: Bytes,
}

/// The answer to an accepted event.
#[derive(Serialize)]
pub(super) struct Accepted {
    pub(super) request_id: EventId,
}

impl HttpSource {
    /// Makes the event durable. Only after this may the client hear 2xx.
    ///
    /// The slot is taken here and not before: only what is known to be its tenant's comes so far, so neither slow
    /// bodies nor bad signatures can keep rightly signed webhooks out.
    pub(super) async fn accept(&self, judged: Judged<'_>, headers: &HeaderMap) -> Result<Accepted, Problem> {
        let deadline = tokio::time::Instant::now() + SLOT_WAIT_MAX;
        let _slot = self.slot().await?;
        let event_id = judged.event_id;
        let key = Key::new(judged.tenant.tenant.clone(), judged.caller, judged.tenant.policy.spread);
        let (body, body_ref) = match judged.body.len() <= INLINE_BODY_BYTES_MAX {
            true => (judged.body.clone(), None),
            false => (Bytes::new(), Some(Box::pin(self.place_body(&judged)).await?)),
        };
        let trace =
            headers.get(&TRACEPARENT).and_then(|value| value.to_str().ok()).filter(|text| text.len() == 55);
        let received_at = self.parts.clock.wall();
        let inbound = || Inbound {
            event_id,
            key_group: key.key_group,
            bucket: key.bucket,
            tenant: key.tenant.clone(),
            caller: judged.caller.to_owned(),
            origin: judged.origin,
            kind: judged.kind,
            received_at,
            settings_version: judged.settings.version,
            attempt: 0,
            key_id: None,
            trace: trace.map(str::to_owned),
            content_type: judged.content_type.clone(),
            body: body.clone(),
            body_ref: body_ref.clone(),
        };
        let appended = match self.parts.intake.accept(inbound()).await {
            Err(busy @ AppendError::Busy { .. }) => {
                Box::pin(self.append_again(inbound, busy, deadline)).await
            }
            answer => answer,
        };
        match appended {
            Ok(_) => {
                self.accepted.increment(1);
                Ok(Accepted { request_id: event_id })
            }
            Err(error) => Err(self.not_written(&error)),
        }
    }

    /// A busy log is asked again until the deadline: CallRail does not send a refused webhook again.
    async fn append_again(
        &self,
        event: impl Fn() -> Inbound,
        busy: AppendError,
        deadline: tokio::time::Instant,
    ) -> Result<Offset, AppendError> {
        let (mut answer, mut pause) = (Err(busy), BUSY_PAUSE);
        while matches!(answer, Err(AppendError::Busy { .. }))
            && tokio::time::Instant::now() + pause < deadline
        {
            tokio::time::sleep(pause).await;
            pause *= 2;
            answer = self.parts.intake.accept(event()).await;
        }
        answer
    }

    /// A body that does not fit a record goes to the blob store first, under the hash of its content. Answers its name.
    async fn place_body(&self, judged: &Judged<'_>) -> Result<String, Problem> {
        let digest = ring::digest::digest(&ring::digest::SHA256, &judged.body);
        let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let name = format!("bodies/{}/{hex}", judged.tenant.tenant);
        self.parts.blob.create(&name, judged.body.clone()).await.map_err(|error| {
            tracing::error!(%error, "a large body could not be stored");
            Problem::unavailable("the body could not be stored; send it again", RETRY_AFTER_S)
        })?;
        Ok(name)
    }

    fn not_written(&self, error: &AppendError) -> Problem {
        metrics::counter!("leadline_append_errors_total").increment(1);
        tracing::error!(%error, "an event could not be written");
        match error {
            AppendError::TooLarge { bytes } => {
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a record of {bytes} bytes is too large"))
            }
            _ => Problem::unavailable(
                "the event could not be written to the log; send it again",
                RETRY_AFTER_S,
            ),
        }
    }
}
