//! Lists and single records: `requests`, `calls`, `leads`, `deliveries`.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use leadline_schemas::TenantId;
use leadline_schemas::settings::Tenant;
use serde_json::{Value, json};

use super::query::{self, Filters};
use super::{Api, view};
use crate::contract::store::{Listed, Page, RecordReader, StoreError};
use crate::source_http::{Problem, token};

type Shared = State<Arc<Api>>;
type Of<T> = Result<Path<T>, PathRejection>;

const REQUESTS: Filters =
    Filters { band: false, statuses: &["processing", "done", "duplicate", "failed"] };
const CALLS: Filters = Filters { band: true, statuses: &[] };
const LEADS: Filters = Filters { band: true, statuses: &["open", "won", "lost", "not_a_lead"] };
const DELIVERIES: Filters =
    Filters { band: false, statuses: &["queued", "sending", "done", "parked", "unclear", "skipped"] };

/// A list of the store.
type ListOf<T> = fn(&dyn RecordReader, &TenantId, &Page) -> Result<Listed<T>, StoreError>;

/// `GET /v1/tenants/{tenant}/requests`.
pub(super) async fn requests(api: Shared, path: Of<String>, query: RawQuery, headers: HeaderMap) -> Response {
    let list: ListOf<_> = |reader, tenant, page| reader.requests(tenant, page);
    api.list(path, query, &headers, REQUESTS, list, view::request).await
}

/// `GET /v1/tenants/{tenant}/calls`.
pub(super) async fn calls(api: Shared, path: Of<String>, query: RawQuery, headers: HeaderMap) -> Response {
    api.list(path, query, &headers, CALLS, |reader, tenant, page| reader.calls(tenant, page), view::call).await
}

/// `GET /v1/tenants/{tenant}/leads`.
pub(super) async fn leads(api: Shared, path: Of<String>, query: RawQuery, headers: HeaderMap) -> Response {
    api.list(path, query, &headers, LEADS, |reader, tenant, page| reader.leads(tenant, page), view::lead).await
}

/// `GET /v1/tenants/{tenant}/deliveries`.
pub(super) async fn deliveries(
    api: Shared,
    path: Of<String>,
    query: RawQuery,
    headers: HeaderMap,
) -> Response {
    let list: ListOf<_> = |reader, tenant, page| reader.deliveries(tenant, page);
    api.list(path, query, &headers, DELIVERIES, list, view::delivery).await
}

/// `GET /v1/tenants/{tenant}/requests/{id}`.
pub(super) async fn request(api: Shared, path: Of<(String, String)>, headers: HeaderMap) -> Response {
    let one = |reader: &dyn RecordReader, tenant: &TenantId, id: &str| {
        Ok(reader.request(tenant, id)?.as_ref().map(view::request))
    };
    api.one(path, &headers, "request", one).await
}

/// `GET /v1/tenants/{tenant}/calls/{id}`, by CallRail's id or an alias.
pub(super) async fn call(api: Shared, path: Of<(String, String)>, headers: HeaderMap) -> Response {
    let one = |reader: &dyn RecordReader, tenant: &TenantId, id: &str| {
        Ok(reader.call(tenant, id)?.as_ref().map(view::call))
    };
    api.one(path, &headers, "call", one).await
}

/// `GET /v1/tenants/{tenant}/leads/{id}`, with its history.
pub(super) async fn lead(api: Shared, path: Of<(String, String)>, headers: HeaderMap) -> Response {
    let one = |reader: &dyn RecordReader, tenant: &TenantId, id: &str| {
        let Some(lead) = reader.lead(tenant, id)? else { return Ok(None) };
        let history: Vec<_> = reader.lead_events(tenant, id)?.iter().map(view::lead_event).collect();
        let mut lead = view::lead(&lead);
        if let Some(members) = lead.as_object_mut() {
            members.insert("history".to_owned(), Value::Array(history));
        }
        Ok(Some(lead))
    };
    api.one(path, &headers, "lead", one).await
}

/// An answer that no cache keeps: it is one tenant's.
pub(super) fn answer(value: &Value) -> Response {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    (headers, value.to_string()).into_response()
}

impl Api {
    /// The tenant that the path names and the token proves.
    pub(super) async fn tenant(&self, path: &str, headers: &HeaderMap) -> Result<Arc<Tenant>, Problem> {
        token::tenant_of(self.acceptance.intake(), path, headers).await
    }

    async fn list<T: Send + 'static>(
        &self,
        path: Of<String>,
        RawQuery(query): RawQuery,
        headers: &HeaderMap,
        filters: Filters,
        list: ListOf<T>,
        view: fn(&T) -> Value,
    ) -> Response {
        let listing = async {
            let Path(tenant) = path.map_err(|_| Problem::unauthorized())?;
            let tenant = self.tenant(&tenant, headers).await?.tenant.clone();
            let page = query::page(query.as_deref(), filters)?;
            let listed = self.reading.read(move |reader| {
                let listed = list(reader, &tenant, &page)?;
                let items: Vec<_> = listed.items.iter().map(view).collect();
                Ok(json!({ "items": items, "next_cursor": listed.next_cursor }))
            });
            listed.await
        };
        match listing.await {
            Ok(page) => answer(&page),
            Err(problem) => problem.into_response(),
        }
    }

    async fn one(
        &self,
        path: Of<(String, String)>,
        headers: &HeaderMap,
        what: &'static str,
        one: fn(&dyn RecordReader, &TenantId, &str) -> Result<Option<Value>, StoreError>,
    ) -> Response {
        let finding = async {
            let Path((tenant, id)) = path.map_err(|_| Problem::unauthorized())?;
            let tenant = self.tenant(&tenant, headers).await?.tenant.clone();
            let found = self.reading.read(move |reader| one(reader, &tenant, &id)).await?;
            found.ok_or_else(|| Problem::not_found(format!("there is no {what} of this id")))
        };
        match finding.await {
            Ok(value) => answer(&value),
            Err(problem) => problem.into_response(),
        }
    }
}
