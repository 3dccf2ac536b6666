//! `POST /v1/tenants/{tenant}/deliveries/{integration}/{subject}/retry` and `/skip`: what a person decides of a
//! delivery. Commands travel through the log like events; the answer says that one will take effect, not that it has.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use leadline_schemas::command::Command;
use leadline_schemas::inbound::{EventKind, Origin};
use leadline_schemas::settings::Tenant;
use leadline_schemas::{EventId, TenantId};
use serde_json::json;

use super::Api;
use crate::contract::store::{RecordReader, StoreError};
use crate::source_http::{Draft, EventIds, Problem, Purpose, idempotency_key, traceparent};

type Of = Result<Path<(String, String, String)>, PathRejection>;

pub(super) async fn retry(State(api): State<Arc<Api>>, path: Of, headers: HeaderMap) -> Response {
    let command = |integration, subject| Command::RetryDelivery { integration, subject };
    answer(api.command(path, &headers, command).await)
}

pub(super) async fn skip(State(api): State<Arc<Api>>, path: Of, headers: HeaderMap) -> Response {
    let command = |integration, subject| Command::SkipDelivery { integration, subject };
    answer(api.command(path, &headers, command).await)
}

fn answer(result: Result<EventId, Problem>) -> Response {
    match result {
        Ok(id) => (StatusCode::ACCEPTED, axum::Json(json!({ "request_id": id }))).into_response(),
        Err(problem) => problem.into_response(),
    }
}

impl Api {
    async fn command(
        &self,
        path: Of,
        headers: &HeaderMap,
        command: impl FnOnce(String, String) -> Command,
    ) -> Result<EventId, Problem> {
        let Path((tenant, integration, subject)) = path.map_err(|_| Problem::unauthorized())?;
        let tenant = self.tenant(&tenant, headers).await?;
        self.take_rate(Purpose::Direct, &tenant)?;
        let key = idempotency_key(headers)?;
        let caller = self.caller_of_subject(&tenant, &integration, &subject).await?;
        let received_at = self.clock.wall();
        let event_id = match key {
            Some(key) => EventIds::of_key(&tenant.tenant, Origin::Command, key),
            None => self.ids.next(received_at),
        };
        let body = serde_json::to_vec(&command(integration, subject))
            .map_err(|_| Problem::bad_request("subject", "the command cannot be written as JSON"))?;
        let draft = Draft {
            event_id,
            tenant: &tenant,
            settings_version: self.acceptance.intake().settings().version,
            origin: Origin::Command,
            kind: EventKind::Command,
            caller,
            received_at,
            trace: traceparent(headers),
            content_type: "application/json".to_owned(),
            body: body.into(),
        };
        self.acceptance.accept(draft.into_inbound()).await?;
        Ok(event_id)
    }

    /// A delivery is filed under the caller of its lead or call.
    async fn caller_of_subject(
        &self,
        tenant: &Tenant,
        integration: &str,
        subject: &str,
    ) -> Result<String, Problem> {
        let none = || Problem::not_found("there is no delivery of this integration and subject");
        if tenant.integration(integration).is_none() {
            return Err(none());
        }
        let (tenant, subject) = (tenant.tenant.clone(), subject.to_owned());
        self.reading.read(move |reader| caller_of(reader, &tenant, &subject)).await?.ok_or_else(none)
    }
}

/// The subject is a lead's id, or `missed:` and a call's.
fn caller_of(
    reader: &dyn RecordReader,
    tenant: &TenantId,
    subject: &str,
) -> Result<Option<String>, StoreError> {
    match subject.strip_prefix("missed:") {
        Some(call_id) => Ok(reader.call(tenant, call_id)?.map(|call| call.caller)),
        None => Ok(reader.lead(tenant, subject)?.map(|lead| lead.caller)),
    }
}
