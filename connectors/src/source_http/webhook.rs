//! CallRail's webhooks: judged by their signature before anything in them counts.
//!
//! CallRail sends each webhook once. So one that is rightly signed is never refused for its tenant's rate, for an
//! odd field or for the content type it claims; it gets 2xx as soon as it is durable.
//!
//! The body must be looked at before it is judged only on the shared addresses, where it alone tells the company;
//! `peek` is one bounded pass. An unknown company, a body that names none and a wrong signature are one answer.
//! (A flipped bit that makes the Signature header no header at all - a control character - is refused by the HTTP
//! parser with 400, as any such request is.)

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use leadline_schemas::EventId;
use leadline_schemas::inbound::{EventKind, Origin};

use super::Sources;
use super::envelope::{Draft, traceparent};
use super::judge::{Judged, Refusal, Signature, judge};
use super::keys::KeyRing;
use super::limits::{HASH_INLINE_BYTES_MAX, SIGNED_BODY_BYTES_MAX};
use super::problem::Problem;
use super::rate::Purpose;

type Shared = State<Arc<Sources>>;

/// `POST /v1/callrail/webhook`: tenant and kind by the body.
pub(super) async fn any_kind(State(sources): Shared, request: Request) -> Response {
    answer(sources.webhook(None, None, request).await)
}

/// `POST /v1/callrail/webhook/{event}`: tenant by the body, kind by the path.
pub(super) async fn one_kind(
    State(sources): Shared,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let Some(kind) = path.ok().and_then(|Path(event)| EventKind::from_path(&event)) else {
        return no_such_event().into_response();
    };
    answer(sources.webhook(None, Some(kind), request).await)
}

/// `POST /v1/sources/{source_key}/callrail/{event}`: tenant and kind by the path.
pub(super) async fn of_source(
    State(sources): Shared,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Response {
    let Ok(Path((source_key, event))) = path else { return no_such_event().into_response() };
    let Some(kind) = EventKind::from_path(&event) else { return no_such_event().into_response() };
    answer(sources.webhook(Some(&source_key), Some(kind), request).await)
}

/// `GET` and `HEAD` there: a probe, which learns nothing.
pub(super) async fn probe() -> StatusCode {
    StatusCode::OK
}

fn no_such_event() -> Problem {
    Problem::not_found(
        "there is no such event: the address ends in pre_call, call_routing_complete, post_call, call_modified, \
         outbound_post_call, outbound_call_modified, text_received, text_sent, form_submission or \
         convert_assist_complete",
    )
}

fn answer(result: Result<EventId, Problem>) -> Response {
    match result {
        Ok(id) => accepted(StatusCode::OK, id),
        Err(problem) => problem.into_response(),
    }
}

/// `{"request_id": "..."}`.
pub(super) fn accepted(status: StatusCode, id: EventId) -> Response {
    let mut text = uuid::Uuid::encode_buffer();
    let id = id.0.hyphenated().encode_lower(&mut text);
    let body = [r#"{"request_id":""#, id, r#""}"#].concat();
    let json = HeaderValue::from_static("application/json");
    (status, [(CONTENT_TYPE, json)], body).into_response()
}

impl Sources {
    async fn webhook(
        &self,
        source_key: Option<&str>,
        kind: Option<EventKind>,
        request: Request,
    ) -> Result<EventId, Problem> {
        let (head, body) = request.into_parts();
        let body = self.bodies.read(&head.headers, body, SIGNED_BODY_BYTES_MAX).await?;
        let since = std::time::Instant::now();
        let judged = self.judge(source_key, &head.headers, &body.bytes).await?;
        let received_at = self.clock.wall();
        let event_id = self.ids.next(received_at);
        let draft = Draft {
            event_id,
            tenant: &judged.tenant,
            settings_version: judged.settings_version,
            origin: Origin::CallrailWebhook,
            kind: kind.unwrap_or(judged.kind),
            caller: judged.caller,
            received_at,
            trace: traceparent(&head.headers),
            content_type: "application/json".to_owned(),
            body: body.bytes.clone(),
        };
        self.acceptance.accept(draft.into_inbound()).await?;
        self.acceptance.meters.accept_s.record(since.elapsed());
        Ok(event_id)
    }

    /// Judges by the settings at hand; what fails is judged again by fresh ones before it is refused.
    async fn judge(
        &self,
        source_key: Option<&str>,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Judged, Problem> {
        let signature = Signature::of(headers);
        let ring = self.keys.of(self.intake().settings());
        let first = judge_off_thread(&ring, source_key, signature, body).await?;
        let refusal = match first {
            Ok(judged) => return Ok(judged),
            Err(Refusal::Unsigned(_)) if signature.is_some() => {
                let fresh = self.keys.of(self.intake().fresh_settings().await);
                if Arc::ptr_eq(&fresh, &ring) {
                    first
                } else {
                    judge_off_thread(&fresh, source_key, signature, body).await?
                }
            }
            Err(_) => first,
        };
        match refusal {
            Ok(judged) => Ok(judged),
            Err(Refusal::Unreadable(error)) => Err(Problem::bad_request("body", error.to_string())),
            Err(Refusal::Unsigned(tenant)) => {
                self.acceptance.meters.bad_signature.increment(1);
                let tenant = tenant.as_ref().map(|tenant| (&tenant.tenant, tenant.policy.rate_per_s));
                self.take_rate(Purpose::BadSignature, tenant)?;
                Err(Problem::bad_signature())
            }
        }
    }
}

/// Judges small bodies where it is and large ones on a thread that may be busy for a while.
async fn judge_off_thread(
    ring: &Arc<KeyRing>,
    source_key: Option<&str>,
    signature: Option<Signature>,
    body: &Bytes,
) -> Result<Result<Judged, Refusal>, Problem> {
    if body.len() <= HASH_INLINE_BYTES_MAX {
        return Ok(judge(ring, source_key, signature, body));
    }
    let (ring, body, key) = (Arc::clone(ring), body.clone(), source_key.map(str::to_owned));
    tokio::task::spawn_blocking(move || judge(&ring, key.as_deref(), signature, &body))
        .await
        .map_err(|_| Problem::unavailable("the body could not be judged; send it again"))
}
