//! `POST /v1/tenants/{tenant}/process`: scores a known call again, or a transcript, and waits for the result.
//!
//! The event takes the same way as any other, so it survives whatever ends the waiting.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{HeaderValue, LOCATION};
use http::{HeaderMap, StatusCode};
use leadline_schemas::direct::{self, Process};
use leadline_schemas::inbound::{EventKind, Inbound, Origin};
use leadline_schemas::settings::Tenant;
use leadline_schemas::{EventId, TenantId};
use serde_json::{Value, json};

use super::{Api, lists, view};
use crate::source_http::limits::BODY_BYTES_MAX;
use crate::source_http::{
    Draft, EventIds, Problem, Purpose, caller_of, check_json, idempotency_key, kind_of, traceparent,
};

pub(super) async fn submit(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    match api.process(path, request).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

impl Api {
    async fn process(
        &self,
        path: Result<Path<String>, PathRejection>,
        request: Request,
    ) -> Result<Response, Problem> {
        let Path(tenant) = path.map_err(|_| Problem::unauthorized())?;
        let (head, body) = request.into_parts();
        let tenant = self.tenant(&tenant, &head.headers).await?;
        self.take_rate(Purpose::Direct, &tenant)?;
        check_json(&head.headers)?;
        let body = self.bodies.read(&head.headers, body, BODY_BYTES_MAX).await?;
        let event = self.event(&tenant, &head.headers, body.bytes.clone()).await?;
        let id = event.event_id;
        self.acceptance.accept(event).await?;
        drop(body);
        match self.wait(&tenant.tenant, id).await {
            Some(answer) => Ok(lists::answer(&answer)),
            None => Ok(later(&tenant.tenant, id)),
        }
    }

    async fn event(&self, tenant: &Tenant, headers: &HeaderMap, body: Bytes) -> Result<Inbound, Problem> {
        let received_at = self.clock.wall();
        let event_id = match idempotency_key(headers)? {
            Some(key) => EventIds::of_key(&tenant.tenant, Origin::Process, key),
            None => self.ids.next(received_at),
        };
        let made_up = event_id.to_string();
        let asked = direct::process(&body, &made_up)
            .map_err(|error| Problem::bad_request(error.field.clone(), error.to_string()))?;
        let (kind, caller) = match asked {
            // What is kept of a call is filed under its caller, so the command must go there.
            Process::Known(call_id) => (EventKind::Command, self.caller_of_call(tenant, call_id.0).await?),
            Process::New(event) => (kind_of(&event), caller_of(&event, &made_up)),
        };
        let draft = Draft {
            event_id,
            tenant,
            settings_version: self.acceptance.intake().settings().version,
            origin: Origin::Process,
            kind,
            caller,
            received_at,
            trace: traceparent(headers),
            content_type: "application/json".to_owned(),
            body,
        };
        Ok(draft.into_inbound())
    }

    async fn caller_of_call(&self, tenant: &Tenant, call_id: String) -> Result<String, Problem> {
        let tenant = tenant.tenant.clone();
        let call = self.reading.read(move |reader| reader.call(&tenant, &call_id)).await?;
        let call = call.ok_or_else(|| Problem::not_found("there is no call of this call_id"))?;
        Ok(call.caller)
    }

    /// The finished request and its call. Who finds all places to wait taken, or comes while the process stops, is
    /// not kept waiting.
    async fn wait(&self, tenant: &TenantId, id: EventId) -> Option<Value> {
        let _place = self.waiting.try_acquire().ok()?;
        let finished = self.watch.finished(tenant.clone(), id, self.process_timeout);
        let request = tokio::select! {
            finished = finished => finished?,
            () = self.stop.stopped() => return None,
        };
        let mut answer = json!({ "request_id": id, "request": view::request(&request), "call": null });
        if let Some(call_id) = request.call_id {
            let tenant = tenant.clone();
            let call = self.reading.read(move |reader| reader.call(&tenant, &call_id)).await.ok()??;
            answer = json!({
                "request_id": id,
                "request": answer.get("request"),
                "call": view::call(&call),
            });
        }
        Some(answer)
    }
}

/// 202: where to ask for the result.
fn later(tenant: &TenantId, id: EventId) -> Response {
    let mut response = (StatusCode::ACCEPTED, axum::Json(json!({ "request_id": id }))).into_response();
    if let Ok(location) = HeaderValue::try_from(format!("/v1/tenants/{tenant}/requests/{id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}
