//! Deliveries: one whole, a person's word about one, and many once more.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use leadline_schemas::command::Command;
use leadline_schemas::delivery::{Delivery, about, is_notice};
use leadline_schemas::inbound::Inbound;
use leadline_schemas::partitioning::Key;
use leadline_schemas::settings::Tenant;
use leadline_schemas::{EventId, Millis, TenantId};
use ring::rand::SecureRandom as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Api;
use super::lists::{DELIVERY_STATUSES, one_of, time};
use super::shape::delivery_detail_json;
use crate::contract::store::{Page, RecordReader, StoreError};
use crate::http_server::{Problem, json as answer};

/// Deliveries that one request sends once more: it answers when they are all in the log.
const REPLAYED_MAX: usize = 1_000;
/// Rows of a page of the store.
const PAGE_ROWS: usize = 200;

/// Which deliveries are sent once more.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// Queued at this time or later.
    pub from: Option<Millis>,
    /// Queued before this time.
    pub to: Option<Millis>,
    /// Only those of this integration.
    pub integration: Option<String>,
    /// Only those that are so.
    pub status: Option<String>,
}

/// The deliveries that a replay would send, newest first, each with the caller whose partition it lies in; and whether
/// there are more than a replay takes.
pub fn to_replay(
    records: &dyn RecordReader,
    tenant: &TenantId,
    replay: &Replay,
) -> Result<(Vec<(Delivery, String)>, bool), StoreError> {
    let status = replay.status.clone();
    let mut page = Page { limit: PAGE_ROWS, from: replay.from, to: replay.to, status, ..Page::default() };
    let mut found = Vec::new();
    loop {
        let listed = records.deliveries(tenant, &page)?;
        let wanted =
            |line: &Delivery| replay.integration.as_ref().is_none_or(|wanted| *wanted == line.integration);
        for line in listed.items.into_iter().filter(wanted) {
            if found.len() == REPLAYED_MAX {
                return Ok((found, true));
            }
            if let Some(caller) = caller_of(records, tenant, &line.subject)? {
                found.push((line, caller));
            }
        }
        page.cursor = listed.next_cursor;
        if page.cursor.is_none() {
            return Ok((found, false));
        }
    }
}

/// The caller that a delivery's subject (a lead, or `missed:` and a call) belongs to; none when nothing is known of it.
pub fn caller_of(
    records: &dyn RecordReader,
    tenant: &TenantId,
    subject: &str,
) -> Result<Option<String>, StoreError> {
    if is_notice(subject) {
        return Ok(Some(subject.to_owned())); // A notice is filed under what it is about.
    }
    let subject = about(subject);
    match subject.strip_prefix("missed:") {
        Some(call_id) => Ok(records.call(tenant, call_id)?.map(|call| call.caller)),
        None => Ok(records.lead(tenant, subject)?.map(|lead| lead.caller)),
    }
}

/// `GET .../deliveries/{integration}/{subject}`.
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Path((tenant, integration, subject)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let tenant = api.tenant(&tenant, &headers)?.tenant.clone();
    let asked = (integration.clone(), subject.clone());
    let found = api.query(move |records| records.delivery(&tenant, &asked.0, &asked.1)).await?;
    let found = found.ok_or_else(|| no_delivery(&integration, &subject))?;
    Ok(answer(StatusCode::OK, &delivery_detail_json(&found)))
}

fn no_delivery(integration: &str, subject: &str) -> Problem {
    let short = |text: &str| text.chars().take(80).collect::<String>();
    Problem::not_found(format!("there is no delivery to {:?} about {:?}", short(integration), short(subject)))
}

/// `POST .../deliveries/{integration}/{subject}/retry` or `/skip`: a person's word, as a command through the log.
pub(super) async fn act(
    State(api): State<Arc<Api>>,
    Path((tenant, integration, subject, action)): Path<(String, String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let tenant = api.tenant(&tenant, &headers)?;
    let (owner, asked) = (tenant.tenant.clone(), (integration.clone(), subject.clone()));
    let caller = api
        .query(move |records| match records.delivery(&owner, &asked.0, &asked.1)? {
            Some(_) => caller_of(records, &owner, &asked.1),
            None => Ok(None),
        })
        .await?;
    let caller = caller.ok_or_else(|| no_delivery(&integration, &subject))?;
    let command = match action.as_str() {
        "retry" => Command::RetryDelivery { integration, subject },
        "skip" => Command::SkipDelivery { integration, subject },
        other => {
            let other: String = other.chars().take(40).collect();
            return Err(Problem::not_found(format!(
                "{other:?} is no action of a delivery; use retry or skip"
            )));
        }
    };
    let event_id = api.command(&tenant, &caller, &command).await?;
    Ok(answer(StatusCode::ACCEPTED, &json!({ "request_id": event_id.to_string() })))
}

/// What `POST .../deliveries/replay` is told.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplayBody {
    from: String,
    to: String,
    #[serde(default)]
    integration: Option<String>,
    #[serde(default)]
    status: Option<String>,
    /// Unless this is said to be false, nothing is sent.
    #[serde(default = "yes")]
    dry_run: bool,
}

fn yes() -> bool {
    true
}

/// `POST .../deliveries/replay`: the deliveries of a time range once more, newest first.
pub(super) async fn replay(
    State(api): State<Arc<Api>>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Result<Response, Problem> {
    let tenant = api.tenant(&tenant, &headers)?;
    let asked: ReplayBody = serde_json::from_slice(&body)
        .map_err(|error| Problem::bad_request(format!("the body cannot be read: {error}")))?;
    let status = asked.status.map(|status| one_of("status", status, &DELIVERY_STATUSES)).transpose()?;
    let replay = Replay {
        from: Some(time("from", &asked.from)?),
        to: Some(time("to", &asked.to)?),
        integration: asked.integration,
        status,
    };
    let owner = tenant.tenant.clone();
    let (found, more) = api.query(move |records| to_replay(records, &owner, &replay)).await?;
    if !asked.dry_run {
        for (line, caller) in &found {
            let (integration, subject) = (line.integration.clone(), line.subject.clone());
            api.command(&tenant, caller, &Command::RetryDelivery { integration, subject }).await?;
        }
    }
    let items: Vec<Value> = found.iter().map(|(line, _)| replayed_json(line)).collect();
    let status = if asked.dry_run { StatusCode::OK } else { StatusCode::ACCEPTED };
    let oldest = found.last().map(|(line, _)| line.queued_at.to_string());
    let body = json!({ "dry_run": asked.dry_run, "items": items, "more": more, "oldest": oldest });
    Ok(answer(status, &body))
}

fn replayed_json(line: &Delivery) -> Value {
    json!({
        "integration": line.integration,
        "subject": line.subject,
        "kind": line.kind,
        "status": line.status.name(),
        "queued_at": line.queued_at.to_string(),
    })
}

impl Api {
    /// Puts a command where its caller's rows lie.
    pub(super) async fn command(
        &self,
        tenant: &Tenant,
        caller: &str,
        command: &Command,
    ) -> Result<EventId, Problem> {
        let mut id = [0; 16];
        self.random.fill(&mut id).map_err(|_| Problem::unavailable("no randomness", 1))?;
        let event_id = EventId(uuid::Uuid::from_bytes(id));
        let key = Key::new(tenant.tenant.clone(), caller, tenant.policy.spread);
        let at = (self.parts.clock.wall(), self.parts.intake.settings().version);
        let event = Inbound::command(event_id, key, caller, command, at)
            .map_err(|error| Problem::bad_request(error.to_string()))?;
        let accepted = self.parts.intake.accept(event).await;
        accepted.map_err(|error| Problem::unavailable(error.to_string(), 2))?;
        Ok(event_id)
    }
}
