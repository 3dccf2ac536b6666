//! Web forms: JSON, urlencoded or multipart, from browsers of any site that the form allows.
//!
//! A form that fills the honeypot field is answered like any other and not written: a robot that learns nothing
//! does not try again.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use leadline_schemas::EventId;
use leadline_schemas::forms::{self, FIELDS_MAX, FormError};
use leadline_schemas::inbound::{EventKind, Origin};
use leadline_schemas::settings::{Form, Settings, Tenant};

use super::HttpSource;
use super::accept::{Accepted, Judged};
use super::limits::BODY_BYTES_MAX;
use crate::http_server::{Problem, json};

/// `OPTIONS /v1/forms/{form_key}`: may a page of this origin send the form?
pub(super) async fn preflight(
    State(source): State<Arc<HttpSource>>,
    Path(form_key): Path<String>,
    headers: HeaderMap,
) -> Response {
    let settings = source.parts.intake.settings();
    let form = settings.by_form_key(&form_key).and_then(|tenant| tenant.form(&form_key).cloned());
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(origin) = form.as_ref().and_then(|form| allowed_origin(form, &headers)) {
        let allowed = response.headers_mut();
        allowed.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        allowed.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, OPTIONS"));
        allowed.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
        allowed.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        allowed.insert(header::VARY, HeaderValue::from_static("origin"));
    }
    response
}

/// `POST /v1/forms/{form_key}`. What is wrong with a form is told to the page it came from as well.
pub(super) async fn submit(
    State(source): State<Arc<HttpSource>>,
    Path(form_key): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (tenant, settings) = tenant_of_form(&source, &form_key).await?;
    let form = tenant.form(&form_key).cloned().ok_or_else(unknown_form)?;
    let allowed = allowed_origin(&form, request.headers());
    if let (None, Some(origin)) = (&allowed, request.headers().get(header::ORIGIN)) {
        let origin: String = String::from_utf8_lossy(origin.as_bytes()).chars().take(100).collect();
        let why = format!("this form is not taken from pages of {origin:?}: add it with --form-origin");
        return Err(Problem::new(StatusCode::FORBIDDEN, why));
    }
    let accepted = take(&source, (&tenant, &settings), &form, request).await;
    let mut response =
        accepted.map_or_else(Problem::into_response, |accepted| json(StatusCode::OK, &accepted));
    if let Some(origin) = allowed {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("origin"));
    }
    Ok(response)
}

async fn take(
    source: &HttpSource,
    (tenant, settings): (&Tenant, &Settings),
    form: &Form,
    request: Request<Body>,
) -> Result<Accepted, Problem> {
    source.limit("forms", tenant)?;
    let (head, content) = request.into_parts();
    let content = source.bodies.read(&head.headers, content, BODY_BYTES_MAX).await?;
    let fields = fields(&head.headers, content.bytes.clone()).await?;
    write(source, &head.headers, (tenant, settings), form, fields).await
}

fn unknown_form() -> Problem {
    Problem::not_found("no form has this key: take the address from the tenant's settings")
}

async fn tenant_of_form(
    source: &HttpSource,
    form_key: &str,
) -> Result<(Arc<Tenant>, Arc<Settings>), Problem> {
    let mut settings = source.parts.intake.settings();
    if settings.by_form_key(form_key).is_none() {
        settings = source.parts.intake.fresh_settings().await;
    }
    let tenant = settings.by_form_key(form_key).cloned().ok_or_else(unknown_form)?;
    Ok((tenant, settings))
}

/// Writes the form as JSON of its fields, whatever it came as.
async fn write(
    source: &HttpSource,
    headers: &HeaderMap,
    (tenant, settings): (&Tenant, &Settings),
    form: &Form,
    fields: Vec<(String, String)>,
) -> Result<Accepted, Problem> {
    let event_id = EventId(uuid::Uuid::from_bytes(source.random_id()));
    let filled = |name: &str| fields.iter().any(|(field, value)| field == name && !value.trim().is_empty());
    if form.honeypot.as_deref().is_some_and(filled) {
        metrics::counter!("leadline_forms_robots_total").increment(1);
        return Ok(Accepted { request_id: event_id });
    }
    let id = event_id.to_string();
    let event = forms::event(&id, fields, &form.field_map).map_err(|error| refused(&error))?;
    let caller = event.phone.as_deref().or(event.email.as_deref()).unwrap_or(&id);
    let by_name: BTreeMap<&String, &String> = event.fields.iter().collect();
    let body = serde_json::to_vec(&by_name).map_err(|error| Problem::bad_request(error.to_string()))?;
    let judged = Judged {
        event_id,
        tenant,
        settings,
        caller,
        origin: Origin::Form,
        kind: EventKind::FormSubmission,
        content_type: format!("application/json; form={}", form.form_key).into(),
        body: Bytes::from(body),
    };
    source.accept(judged, headers).await
}

async fn fields(headers: &HeaderMap, content: Bytes) -> Result<Vec<(String, String)>, Problem> {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Ok(boundary) = multer::parse_boundary(content_type) {
        return multipart(content, boundary).await;
    }
    forms::pairs(content_type, &content).map_err(|error| refused(&error))
}

async fn multipart(content: Bytes, boundary: String) -> Result<Vec<(String, String)>, Problem> {
    let malformed =
        |error: multer::Error| Problem::bad_request(format!("the multipart form cannot be read: {error}"));
    let stream = futures_util::stream::once(std::future::ready(Ok::<_, std::io::Error>(content)));
    let mut parts = multer::Multipart::new(stream, boundary);
    let mut fields = Vec::new();
    while let Some(part) = parts.next_field().await.map_err(malformed)? {
        if fields.len() >= FIELDS_MAX {
            return Err(refused(&FormError::TooMany));
        }
        // Files say nothing about a lead; their names do, and forms without a reply to them would be lost.
        let name = part.name().unwrap_or_default().to_owned();
        let file_name = part.file_name().map(str::to_owned);
        let value = match file_name {
            Some(file_name) => file_name,
            None => part.text().await.map_err(malformed)?,
        };
        fields.push((name, value));
    }
    Ok(fields)
}

fn refused(error: &FormError) -> Problem {
    let status = match error {
        FormError::MediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        FormError::Malformed { .. } | FormError::TooMany | FormError::Empty => StatusCode::BAD_REQUEST,
    };
    Problem::new(status, error.to_string())
}

/// The request's origin, if the form allows it; no list allows all.
fn allowed_origin(form: &Form, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let text = origin.to_str().ok()?;
    let listed =
        form.origins.is_empty() || form.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(text));
    listed.then(|| origin.clone())
}
