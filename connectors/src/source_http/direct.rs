//! `POST /v1/tenants/{tenant}/events`: events of a tenant's own systems (`leadline_schemas::direct`).

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use leadline_schemas::event::Event;
use leadline_schemas::inbound::{EventKind, Origin};
use leadline_schemas::{EventId, direct};

use super::envelope::{Draft, EventIds, idempotency_key, traceparent};
use super::limits::BODY_BYTES_MAX;
use super::problem::Problem;
use super::rate::Purpose;
use super::{Sources, token, webhook};

pub(super) async fn submit(
    State(sources): State<Arc<Sources>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let Ok(Path(tenant)) = path else { return Problem::unauthorized().into_response() };
    match sources.direct(&tenant, request).await {
        Ok(id) => webhook::accepted(StatusCode::OK, id),
        Err(problem) => problem.into_response(),
    }
}

impl Sources {
    async fn direct(&self, tenant: &str, request: Request) -> Result<EventId, Problem> {
        let (head, body) = request.into_parts();
        let tenant = token::tenant_of(self.intake(), tenant, &head.headers).await?;
        self.take_rate(Purpose::Direct, Some((&tenant.tenant, tenant.policy.rate_per_s)))?;
        check_json(&head.headers)?;
        let key = idempotency_key(&head.headers)?;
        let body = self.bodies.read(&head.headers, body, BODY_BYTES_MAX).await?;
        let received_at = self.clock.wall();
        let fresh = self.ids.next(received_at);
        let fallback = fresh.to_string();
        let event = direct::decode(&body.bytes, &fallback)
            .map_err(|error| Problem::bad_request(error.field.clone(), error.to_string()))?;
        let event_id = match key {
            Some(key) => EventIds::of_key(&tenant.tenant, Origin::Direct, key),
            None if event.subject_id() == fallback => fresh,
            // The same id with other content is an update, so the content has its part in the event's id.
            None => {
                let parts = [tenant.tenant.as_str().as_bytes(), event.subject_id().as_bytes(), &body.bytes];
                EventId::of(&parts)
            }
        };
        let draft = Draft {
            event_id,
            tenant: &tenant,
            settings_version: self.intake().settings().version,
            origin: Origin::Direct,
            kind: kind_of(&event),
            caller: caller_of(&event, &fallback),
            received_at,
            trace: traceparent(&head.headers),
            content_type: "application/json".to_owned(),
            body: body.bytes.clone(),
        };
        self.acceptance.accept(draft.into_inbound()).await?;
        Ok(event_id)
    }
}

/// Refuses what says that it is something else; most clients of `curl -d` say nothing sensible.
pub(crate) fn check_json(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(value) = headers.get(http::header::CONTENT_TYPE) else { return Ok(()) };
    let media_type = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let is_json = media_type.eq_ignore_ascii_case("application/json")
        || (media_type.len() > 5 && media_type.to_ascii_lowercase().ends_with("+json"));
    if is_json {
        return Ok(());
    }
    Err(Problem::unsupported("Content-Type", "this address takes application/json"))
}

/// What the envelope says of an event's kind.
pub(crate) fn kind_of(event: &Event) -> EventKind {
    match event {
        Event::CallEvent(call) => call.kind,
        Event::TextEvent(text) => text.kind,
        Event::FormEvent(_) => EventKind::FormSubmission,
    }
}

/// Number, else email, else the subject's id, when that is not one made up here: then nothing, and the envelope
/// takes its own id.
pub(crate) fn caller_of(event: &Event, made_up: &str) -> String {
    let extra = match event {
        Event::CallEvent(call) => call.extra.as_str(),
        Event::TextEvent(text) => text.extra.as_str(),
        Event::FormEvent(_) => "{}",
    };
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Extra {
        caller_email: Option<String>,
    }
    let email = || serde_json::from_str::<Extra>(extra).unwrap_or_default().caller_email;
    let subject = || Some(event.subject_id()).filter(|id| *id != made_up).map(str::to_owned);
    event.caller().map(str::to_owned).or_else(email).or_else(subject).unwrap_or_default()
}
