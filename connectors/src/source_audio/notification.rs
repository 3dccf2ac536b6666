//! Notifications of a bucket: a Pub/Sub push subscription POSTs each object that was finished
//! (<https://cloud.google.com/storage/docs/pubsub-notifications>).
//!
//! Objects below `{tenant}/inbox/` are recordings that somebody has put there; all others are our own. A key in the
//! path says that it is the subscription that asks. Pub/Sub sends again what it does not hear 2xx for.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use leadline_schemas::{EventId, Millis, TenantId};
use serde::Deserialize;

use super::event;
use crate::contract::blob::checked_name;
use crate::contract::clock::Clock;
use crate::contract::source::Intake;
use crate::http_server::Problem;
use crate::provider_recording::inbox_tenant;
use crate::source_http::same;

/// What the endpoint is given.
pub struct NotificationParts {
    /// The one way in.
    pub intake: Arc<dyn Intake>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// What the path has to end with.
    pub key: String,
    /// The bucket that is ours.
    pub bucket: String,
}

/// What Pub/Sub pushes, as far as it is needed.
#[derive(Deserialize)]
struct Push {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    attributes: Attributes,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attributes {
    event_type: String,
    bucket_id: String,
    object_id: String,
    object_generation: String,
    event_time: Option<String>,
}

/// `POST /v1/storage/notifications/{key}`.
pub fn notification_routes(parts: NotificationParts) -> Router {
    Router::new().route("/v1/storage/notifications/{key}", post(notified)).with_state(Arc::new(parts))
}

async fn notified(
    State(parts): State<Arc<NotificationParts>>,
    Path(key): Path<String>,
    push: Result<Json<Push>, axum::extract::rejection::JsonRejection>,
) -> Result<StatusCode, Problem> {
    if !same(key.as_bytes(), parts.key.as_bytes()) {
        return Err(Problem::not_found("there is nothing at this address"));
    }
    let Json(Push { message: Message { attributes: object } }) = push.map_err(|error| {
        Problem::bad_request(format!("this is no notification of a bucket: {}", error.body_text()))
    })?;
    let is_ours = object.event_type == "OBJECT_FINALIZE" && object.bucket_id == parts.bucket;
    let name = checked_name(&object.object_id).filter(|_| is_ours);
    // Heard and not wanted: it must not come again.
    let Some((name, tenant)) = name.and_then(|name| Some((name, inbox_tenant(name)?))) else {
        return Ok(StatusCode::NO_CONTENT);
    };
    let Ok(tenant) = TenantId::new(tenant) else { return Ok(StatusCode::NO_CONTENT) };
    let mut settings = parts.intake.settings();
    if settings.tenant(&tenant).is_none() {
        settings = parts.intake.fresh_settings().await;
    }
    let Some(tenant) = settings.tenant(&tenant) else {
        tracing::warn!(object = name, "a recording was put into the inbox of a tenant that is not known");
        return Ok(StatusCode::NO_CONTENT);
    };
    let generation = object.object_generation.as_bytes();
    let id = EventId::of(&[tenant.tenant.as_str().as_bytes(), b"audio object", name.as_bytes(), generation]);
    let now = parts.clock.wall();
    let at = object.event_time.as_deref().and_then(Millis::parse).unwrap_or(now).min(now);
    let accepted = parts.intake.accept(event(tenant, (settings.version, now), id, name, at)).await;
    accepted.map_err(|error| Problem::unavailable(error.to_string(), 2))?;
    Ok(StatusCode::ACCEPTED)
}
