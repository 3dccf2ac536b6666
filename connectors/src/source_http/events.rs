//! The direct API: events from a tenant's own systems.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, Request, StatusCode};
use leadline_schemas::direct;
use leadline_schemas::inbound::{EventKind, Origin};
use leadline_schemas::{EventId, TenantId};

use super::HttpSource;
use super::accept::Judged;
use super::limits::{BODY_BYTES_MAX, IDEMPOTENCY_KEY_BYTES_MAX};
use crate::http_server::{Problem, json};

/// `POST /v1/tenants/{tenant}/events`. The same `Idempotency-Key` names the same event.
pub(super) async fn accept(
    State(source): State<Arc<HttpSource>>,
    Path(tenant): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (head, content) = request.into_parts();
    let tenant = source.tenant_of_token(&tenant, &head.headers).await?;
    source.limit("events", &tenant)?;
    let content = source.bodies.read(&head.headers, content, BODY_BYTES_MAX).await?;
    let event_id = event_id(&source, &tenant.tenant, &head.headers)?;
    let event = direct::decode(&content.bytes, &event_id.to_string())
        .map_err(|error| Problem::bad_request(format!("the event cannot be taken: {error}")))?;
    let caller = event.caller().unwrap_or_else(|| event.subject_id()).to_owned();
    let kind = match &event {
        leadline_schemas::event::Event::CallEvent(call) => call.kind,
        leadline_schemas::event::Event::TextEvent(text) => text.kind,
        leadline_schemas::event::Event::FormEvent(_) => EventKind::FormSubmission,
    };
    let settings = source.parts.intake.settings();
    let judged = Judged {
        event_id,
        tenant: &tenant,
        settings: &settings,
        caller: &caller,
        origin: Origin::Direct,
        kind,
        content_type: "application/json".into(),
        body: content.bytes.clone(),
    };
    let accepted = source.accept(judged, &head.headers).await?;
    Ok(json(StatusCode::ACCEPTED, &accepted))
}

/// The client's idempotency key as an event id, else a random one.
pub(super) fn event_id(
    source: &HttpSource,
    tenant: &TenantId,
    headers: &HeaderMap,
) -> Result<EventId, Problem> {
    let Some(key) = headers.get("idempotency-key") else {
        return Ok(EventId(uuid::Uuid::from_bytes(source.random_id())));
    };
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX {
        let bytes = key.len();
        return Err(Problem::bad_request(format!(
            "Idempotency-Key has {bytes} bytes; send 1 to {IDEMPOTENCY_KEY_BYTES_MAX}"
        )));
    }
    Ok(EventId::of(&[tenant.as_str().as_bytes(), key.as_bytes()]))
}
