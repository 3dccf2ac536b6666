//! Lists and single records.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use leadline_schemas::Millis;
use leadline_schemas::call::{CallRecord, Channel};
use serde_json::{Value, json};

use super::Api;
use super::shape::{call_json, delivery_json, lead_event_json, lead_json, request_json};
use crate::contract::store::{Listed, Page};
use crate::http_server::{Problem, json as answer};
use crate::provider_recording::{is_medium, media_prefix};

/// Rows of a page when nothing is said, and at most.
const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 200;
/// How long a link to a recording lasts: long enough to listen, too short to be passed around.
const LINK_MS: i64 = 15 * 60_000;
/// A text has at most ten media, each with a note beside it.
const MEDIA_NAMES_MAX: usize = 20;
/// What the `status` of each kind of record can be.
const REQUEST_STATUSES: [&str; 4] = ["processing", "done", "duplicate", "failed"];
const LEAD_STATUSES: [&str; 1] = ["open"];
pub(super) const DELIVERY_STATUSES: [&str; 6] = ["queued", "sending", "done", "parked", "unclear", "skipped"];

/// Reads `limit`, `cursor` and filters; refuses what it does not know, for a filter with a typo shows too much.
///
/// `statuses` are those that the records of this list can have.
fn page_of(query: Option<String>, known: &[&str], statuses: &[&str]) -> Result<Page, Problem> {
    let mut page = Page { limit: LIMIT_DEFAULT, ..Page::default() };
    for (name, value) in parameters(query)? {
        if !known.contains(&name.as_str()) {
            let name: String = name.chars().take(60).collect();
            return Err(Problem::bad_request(format!(
                "{name:?} is not a parameter here; known are {}",
                known.join(", ")
            )));
        }
        match name.as_str() {
            "limit" => {
                page.limit =
                    value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit)).ok_or_else(|| {
                        let value: String = value.chars().take(40).collect();
                        Problem::bad_request(format!("limit is {value:?}: use 1 to {LIMIT_MAX}"))
                    })?;
            }
            "cursor" => page.cursor = Some(value),
            "from" => page.from = Some(time(&name, &value)?),
            "to" => page.to = Some(time(&name, &value)?),
            "band" => page.band = Some(one_of(&name, value, &["hot", "warm", "nurture", "cold"])?),
            _ => page.status = Some(one_of(&name, value, statuses)?),
        }
    }
    Ok(page)
}

pub(super) fn parameters(query: Option<String>) -> Result<Vec<(String, String)>, Problem> {
    serde_urlencoded::from_str(&query.unwrap_or_default())
        .map_err(|error| Problem::bad_request(format!("the query cannot be read: {error}")))
}

pub(super) fn time(name: &str, value: &str) -> Result<Millis, Problem> {
    Millis::parse(value).ok_or_else(|| {
        let value: String = value.chars().take(60).collect();
        Problem::bad_request(format!("{name} is {value:?}: use a time such as 2026-03-04T16:12:33Z"))
    })
}

pub(super) fn one_of(name: &str, value: String, allowed: &[&str]) -> Result<String, Problem> {
    if allowed.contains(&value.as_str()) {
        return Ok(value);
    }
    let value: String = value.chars().take(40).collect();
    Err(Problem::bad_request(format!("{name} is {value:?}: use one of {}", allowed.join(", "))))
}

fn listed<T>(listed: &Listed<T>, shape: impl Fn(&T) -> Value) -> Response {
    let items: Vec<Value> = listed.items.iter().map(shape).collect();
    answer(StatusCode::OK, &json!({ "items": items, "next_cursor": listed.next_cursor }))
}

fn single<T>(
    what: &str,
    id: &str,
    found: Option<&T>,
    shape: impl Fn(&T) -> Value,
) -> Result<Response, Problem> {
    let found = found.ok_or_else(|| {
        let id: String = id.chars().take(80).collect();
        Problem::not_found(format!("there is no {what} {id:?}"))
    })?;
    Ok(answer(StatusCode::OK, &shape(found)))
}

pub(super) async fn requests(
    State(api): State<Arc<Api>>,
    Path(tenant): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let tenant = api.tenant(&tenant, &headers)?.tenant.clone();
    let page = page_of(query, &["limit", "cursor", "from", "to", "status"], &REQUEST_STATUSES)?;
    let found = api.query(move |records| records.requests(&tenant, &page)).await?;
    Ok(listed(&found, request_json))
}

pub(super) async fn request(
    State(api): State<Arc<Api>>,
    Path((tenant, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let tenant = api.tenant(&tenant, &headers)?.tenant.clone();
    let asked = id.clone();
    let found = api.query(move |records| records.request(&tenant, &asked)).await?;
    single("request", &id, found.as_ref(), request_json)
}

pub(super) async fn calls(
    State(api): State<Arc<Api>>,
    Path(tenant): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let tenant = api.tenant(&tenant, &headers)?.tenant.clone();
    let page = page_of(query, &["limit", "cursor", "from", "to", "band"], &[])?;
    let found = api.query(move |records| records.calls(&tenant, &page)).await?;
    Ok(listed(&found, call_json))
}

pub(super) async fn call(
    State(api): State<Arc<Api>>,
    Path((tenant, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let tenant = api.tenant(&tenant, &headers)?.tenant.clone();
    let asked = id.clone();
    let found = api.query(move |records| records.call(&tenant, &asked)).await?;
    let link = match found.as_ref().and_then(|call| call.recording.blob.as_deref()) {
        Some(blob) => recording_link(&api, blob).await,
        None => None,
    };
    let media = match found.as_ref().filter(|call| call.channel == Channel::Text) {
        Some(text) => media(&api, text).await,
        None => Vec::new(),
    };
    single("call", &id, found.as_ref(), |call| {
        let mut shown = call_json(call);
        if let Some(fields) = shown.as_object_mut().filter(|_| !media.is_empty()) {
            fields.insert("media".to_owned(), json!(media));
        }
        if let (Some(recording), Some(link)) = (shown.get_mut("recording"), &link)
            && let Some(fields) = recording.as_object_mut()
        {
            fields.insert("link".to_owned(), link.clone());
        }
        shown
    })
}

/// What was sent with a text and could be fetched, each with a link.
async fn media(api: &Api, text: &CallRecord) -> Vec<Value> {
    let prefix = media_prefix(&text.tenant, text.started_at, &text.call_id);
    let names = match api.parts.blob.list_page(&prefix, None, MEDIA_NAMES_MAX).await {
        Ok(names) => names,
        Err(error) => {
            tracing::warn!(%error, prefix, "the media of a text could not be looked for");
            return Vec::new();
        }
    };
    let mut shown = Vec::new();
    for blob in names.into_iter().filter(|name| is_medium(name)) {
        let link = recording_link(api, &blob).await;
        shown.push(json!({ "blob": blob, "link": link }));
    }
    shown
}

/// The address of a recording, and when it ends; a call is shown without where none can be made.
async fn recording_link(api: &Api, blob: &str) -> Option<Value> {
    let until = Millis(api.parts.clock.wall().0.saturating_add(LINK_MS));
    match api.parts.blob.link(blob, until).await {
        Ok(url) => Some(json!({ "url": url, "expires_at": until.to_string() })),
        Err(error) => {
            tracing::warn!(%error, blob, "a recording could not be linked to");
            None
        }
    }
}

pub(super) async fn leads(
    State(api): State<Arc<Api>>,
    Path(tenant): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let tenant = api.tenant(&tenant, &headers)?.tenant.clone();
    let page = page_of(query, &["limit", "cursor", "from", "to", "band", "status"], &LEAD_STATUSES)?;
    let found = api.query(move |records| records.leads(&tenant, &page)).await?;
    Ok(listed(&found, lead_json))
}

pub(super) async fn lead(
    State(api): State<Arc<Api>>,
    Path((tenant, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let tenant = api.tenant(&tenant, &headers)?.tenant.clone();
    let asked = id.clone();
    let found = api
        .query(move |records| {
            let Some(lead) = records.lead(&tenant, &asked)? else { return Ok(None) };
            let history = records.lead_events(&tenant, &asked)?;
            Ok(Some((lead, history)))
        })
        .await?;
    single("lead", &id, found.as_ref(), |(lead, history)| {
        let mut shown = lead_json(lead);
        if let Some(fields) = shown.as_object_mut() {
            fields.insert("history".to_owned(), history.iter().map(lead_event_json).collect());
        }
        shown
    })
}

pub(super) async fn deliveries(
    State(api): State<Arc<Api>>,
    Path(tenant): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let tenant = api.tenant(&tenant, &headers)?.tenant.clone();
    let page = page_of(query, &["limit", "cursor", "from", "to", "status"], &DELIVERY_STATUSES)?;
    let found = api.query(move |records| records.deliveries(&tenant, &page)).await?;
    Ok(listed(&found, delivery_json))
}
