//! `process`: score one conversation now, and wait for the result.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use leadline_schemas::EventId;
use leadline_schemas::command::Command;
use leadline_schemas::direct::{self, Process};
use leadline_schemas::inbound::{EventKind, Origin};
use leadline_schemas::request::RequestStatus;
use leadline_schemas::settings::Tenant;

use super::HttpSource;
use super::accept::Judged;
use super::events::event_id;
use super::limits::BODY_BYTES_MAX;
use super::upload::{self, uploaded};
use crate::api_http::{call_json, request_json};
use crate::contract::store::RecordReader;
use crate::http_server::{Problem, json};

/// First and longest pause between looks at the record store.
const LOOK_FIRST: Duration = Duration::from_millis(5);
const LOOK_MAX: Duration = Duration::from_millis(250);

/// `POST /v1/tenants/{tenant}/process`: 200 with the result, or 202 with the request's address when time is up.
pub(super) async fn process(
    State(source): State<Arc<HttpSource>>,
    Path(tenant): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (head, content) = request.into_parts();
    let tenant = source.tenant_of_token(&tenant, &head.headers).await?;
    source.limit("process", &tenant)?;
    let id = event_id(&source, &tenant.tenant, &head.headers)?;
    let (read, content) = match uploaded(&head.headers) {
        Some(how) => {
            let how = (how, &head.headers);
            (None, upload::store(&source, &tenant, id, how, content).await?)
        }
        None => {
            let read = source.bodies.read(&head.headers, content, BODY_BYTES_MAX).await?;
            let content = read.bytes.clone();
            (Some(read), content)
        }
    };
    let asked = direct::process(&content, &id.to_string())
        .map_err(|error| Problem::bad_request(format!("the request cannot be processed: {error}")))?;
    let (caller, origin, kind, content) = match &asked {
        Process::New(event) => {
            let caller = event.caller().unwrap_or_else(|| event.subject_id()).to_owned();
            (caller, Origin::Process, EventKind::PostCall, content)
        }
        Process::Known(call_id) => {
            let (caller, call_id) = known_call(&source, &tenant, call_id.as_str()).await?;
            let command = Command::ProcessCall { call_id };
            let command =
                serde_json::to_vec(&command).map_err(|error| Problem::bad_request(error.to_string()))?;
            (caller, Origin::Command, EventKind::Command, Bytes::from(command))
        }
    };
    let settings = source.parts.intake.settings();
    let judged = Judged {
        event_id: id,
        tenant: &tenant,
        settings: &settings,
        caller: &caller,
        origin,
        kind,
        content_type: "application/json".into(),
        body: content,
    };
    source.accept(judged, &head.headers).await?;
    drop(read); // The wait may take minutes.
    Ok(wait(&source, &tenant, id).await)
}

/// The caller of a known call, which says in which partition it lies, and the id that it goes by.
async fn known_call(
    source: &HttpSource,
    tenant: &Tenant,
    call_id: &str,
) -> Result<(String, String), Problem> {
    let Some(records) = source.parts.records.clone() else {
        return Err(Problem::unavailable(
            "this process has no record store; ask one with role api or all",
            60,
        ));
    };
    let (tenant, id) = (tenant.tenant.clone(), call_id.to_owned());
    let found = look(move || records.call(&tenant, &id)).await?;
    found
        .map(|call| (call.caller, call.call_id))
        .ok_or_else(|| Problem::not_found(format!("there is no call {call_id:?}")))
}

async fn look<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, crate::contract::store::StoreError> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(ask).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(Problem::unavailable(error.to_string(), 2)),
        Err(_) => Err(Problem::unavailable("the record store did not answer", 2)),
    }
}

async fn wait(source: &HttpSource, tenant: &Tenant, id: EventId) -> Response {
    let deadline = tokio::time::Instant::now() + source.parts.process_timeout;
    let mut pause = LOOK_FIRST;
    let mut stopping = (source.stopping)();
    if let Some(records) = source.parts.records.clone() {
        while tokio::time::Instant::now() < deadline {
            tokio::select! {
                () = tokio::time::sleep(pause.min(deadline - tokio::time::Instant::now())) => {}
                () = &mut stopping => break, // The next process will have the result.
            }
            pause = (pause * 2).min(LOOK_MAX);
            let (records, tenant) = (Arc::clone(&records), tenant.tenant.clone());
            // A store that does not answer now may answer at the next look.
            if let Ok(Some(body)) = look(move || result_of(&*records, &tenant, id)).await {
                return json(StatusCode::OK, &body);
            }
        }
    }
    let address = format!("/v1/tenants/{}/requests/{id}", tenant.tenant);
    let mut response =
        json(StatusCode::ACCEPTED, &serde_json::json!({ "request_id": id.to_string(), "location": address }));
    if let Ok(address) = HeaderValue::from_str(&address) {
        response.headers_mut().insert(header::LOCATION, address);
    }
    response
}

/// The request and its call, once the request has come to its end.
fn result_of(
    records: &dyn RecordReader,
    tenant: &leadline_schemas::TenantId,
    id: EventId,
) -> Result<Option<serde_json::Value>, crate::contract::store::StoreError> {
    let Some(request) = records.request(tenant, &id.to_string())? else { return Ok(None) };
    if request.status == RequestStatus::Processing {
        return Ok(None);
    }
    let call = match &request.call_id {
        Some(call_id) => records.call(tenant, call_id)?,
        None => None,
    };
    Ok(Some(serde_json::json!({ "request": request_json(&request), "call": call.as_ref().map(call_json) })))
}
