//! `POST /v1/forms/{form_key}`: web forms, from browsers and form builders.
//!
//! A form whose honeypot is filled is answered like any other and written nowhere: a robot that learns of its
//! failure tries again otherwise. Origins are compared as browsers send them; a form without origins takes any.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, CONTENT_TYPE, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use leadline_schemas::forms::{self, FormError};
use leadline_schemas::inbound::{EventKind, Origin};
use leadline_schemas::settings::{Form, Tenant};
use leadline_schemas::{EventId, settings::Settings};

use super::envelope::{Draft, EventIds, idempotency_key, traceparent};
use super::form_body::FormBody;
use super::limits::BODY_BYTES_MAX;
use super::problem::Problem;
use super::rate::Purpose;
use super::{Sources, webhook};

/// For how long a browser may remember a preflight: what Chromium takes at most.
const PREFLIGHT_AGE_S: &str = "7200";

pub(super) async fn submit(
    State(sources): State<Arc<Sources>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let (tenant, settings, key) = match sources.form_of(path).await {
        Ok(found) => found,
        Err(problem) => return problem.into_response(),
    };
    let Some(form) = tenant.form(&key) else { return no_such_form().into_response() };
    let origin = match allowed_origin(form, request.headers()) {
        Ok(origin) => origin,
        Err(problem) => return problem.into_response(),
    };
    let mut response = match sources.form(&tenant, form, settings.version, request).await {
        Ok(id) => webhook::accepted(StatusCode::OK, id),
        Err(problem) => problem.into_response(),
    };
    allow(&mut response, origin);
    response
}

/// What a browser asks before it sends JSON from another site.
pub(super) async fn preflight(
    State(sources): State<Arc<Sources>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let (tenant, _, key) = match sources.form_of(path).await {
        Ok(found) => found,
        Err(problem) => return problem.into_response(),
    };
    let Some(form) = tenant.form(&key) else { return no_such_form().into_response() };
    let origin = match allowed_origin(form, &headers) {
        Ok(origin) => origin,
        Err(problem) => return problem.into_response(),
    };
    let mut response = StatusCode::NO_CONTENT.into_response();
    allow(&mut response, origin);
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("Content-Type, Idempotency-Key, traceparent"),
    );
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_AGE_S));
    response
}

fn no_such_form() -> Problem {
    Problem::not_found("there is no form at this address")
}

/// What `Access-Control-Allow-Origin` is to say; none where no browser asks.
fn allowed_origin(form: &Form, headers: &HeaderMap) -> Result<Option<HeaderValue>, Problem> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(None) };
    if form.origins.is_empty() {
        return Ok(Some(HeaderValue::from_static("*")));
    }
    let listed = form.origins.iter().any(|known| {
        known.trim_end_matches('/').as_bytes().eq_ignore_ascii_case(origin.as_bytes())
    });
    if listed {
        return Ok(Some(origin.clone()));
    }
    Err(Problem::bad_request("Origin", "this form is not taken from pages of this origin"))
}

fn allow(response: &mut Response, origin: Option<HeaderValue>) {
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
}

impl Sources {
    /// The tenant that a form's address belongs to.
    async fn form_of(
        &self,
        path: Result<Path<String>, PathRejection>,
    ) -> Result<(Arc<Tenant>, Arc<Settings>, String), Problem> {
        let Ok(Path(key)) = path else { return Err(no_such_form()) };
        let mut settings = self.intake().settings();
        if settings.by_form_key(&key).is_none() {
            settings = self.intake().fresh_settings().await;
        }
        let tenant = settings.by_form_key(&key).cloned();
        match tenant {
            Some(tenant) => Ok((tenant, settings, key)),
            None => {
                self.take_rate(Purpose::Form, None)?;
                Err(no_such_form())
            }
        }
    }

    async fn form(
        &self,
        tenant: &Tenant,
        form: &Form,
        settings_version: u64,
        request: Request,
    ) -> Result<EventId, Problem> {
        let (head, body) = request.into_parts();
        self.take_rate(Purpose::Form, Some((&tenant.tenant, tenant.policy.rate_per_s)))?;
        let key = idempotency_key(&head.headers)?;
        let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let body = self.bodies.read(&head.headers, body, BODY_BYTES_MAX).await?;
        let body = FormBody::read(content_type.unwrap_or_default(), body.bytes.clone()).await?;
        let received_at = self.clock.wall();
        let event_id = match key {
            Some(key) => EventIds::of_key(&tenant.tenant, Origin::Form, key),
            None => self.ids.next(received_at),
        };
        if form.honeypot.as_ref().is_some_and(|honeypot| body.has(honeypot)) {
            self.acceptance.meters.honeypot.increment(1);
            return Ok(event_id);
        }
        let id = event_id.to_string();
        let event = forms::event(&id, body.pairs, &form.field_map)?;
        let draft = Draft {
            event_id,
            tenant,
            settings_version,
            origin: Origin::Form,
            kind: EventKind::FormSubmission,
            caller: event.phone.or(event.email).unwrap_or_default(),
            received_at,
            trace: traceparent(&head.headers),
            // The field map belongs to the form, so decode must know which one it was.
            content_type: format!("{}; form={}", body.media_type, form.form_key),
            body: body.raw,
        };
        self.acceptance.accept(draft.into_inbound()).await?;
        Ok(event_id)
    }
}

impl From<FormError> for Problem {
    fn from(error: FormError) -> Self {
        match error {
            FormError::MediaType { .. } => Self::unsupported(
                "Content-Type",
                "a form is sent as application/json, application/x-www-form-urlencoded or multipart/form-data",
            ),
            FormError::Malformed { .. } | FormError::Empty => Self::bad_request("body", error.to_string()),
        }
    }
}
