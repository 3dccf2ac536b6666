//! Setup: the fields that the sink writes to, and the external ids, made where they are missing.

use std::time::Duration;

use http::Method;
use serde_json::{Map, Value, json};

use super::client::{SalesforceClient, Session};
use super::config::Config;
use super::judge::Failure;
use crate::contract::provider::CallError;
use crate::contract::sink::SinkRequest;
use crate::contract::wire::WireRequest;
use crate::crm::{SetupStep, until};

/// Longest key.
const KEY_CHARS: u32 = 255;
/// What follows a field that was made: nobody may see it yet.
const MADE: &str =
    "was made: now give leadline's user the right to read and edit it (permission set, field-level security)";

/// Looks at the fields that are needed and, with `apply`, makes external ids that are missing. `request` names the
/// integration; its payload is not looked at.
pub async fn setup(
    client: &SalesforceClient,
    request: &SinkRequest,
    apply: bool,
    deadline: Duration,
) -> Result<Vec<SetupStep>, CallError> {
    let config = Config::of(&request.integration).map_err(|why| CallError::Reject { why })?;
    let mut session = client.session(request, &config, &request.trace, until(deadline)).await?;
    let fields: Vec<&str> = config.fields.theirs().collect();
    let mut steps = object(&mut session, "Lead", &config.lead_key, &fields, apply).await?;
    if config.tasks {
        steps
            .extend(object(&mut session, "Task", &config.task_key, &["Subject", "CallObject"], apply).await?);
    }
    Ok(steps)
}

async fn object(
    session: &mut Session<'_>,
    object: &str,
    key: &str,
    fields: &[&str],
    apply: bool,
) -> Result<Vec<SetupStep>, CallError> {
    let describe = WireRequest::new(Method::GET, Session::path(&format!("sobjects/{object}/describe")));
    let described = session.ask(&describe, &Map::new()).await.map_err(Failure::into_call)?;
    let known = described.get("fields").and_then(Value::as_array).cloned().unwrap_or_default();
    let find =
        |name: &str| known.iter().find(|field| field.get("name").and_then(Value::as_str) == Some(name));
    let is = |field: &Value, what: &str| field.get(what).and_then(Value::as_bool) == Some(true);
    let name = |field: &str| format!("{object}.{field}");
    let mut steps = vec![match find(key) {
        Some(field) if is(field, "externalId") && is(field, "unique") => {
            SetupStep::new(&name(key), "is there", true)
        }
        Some(_) => SetupStep::new(&name(key), "is there, but has to be an External ID, and unique", false),
        None if !apply => SetupStep::new(
            &name(key),
            "is missing, or leadline's user may not see it; it would be made",
            false,
        ),
        None => make(session, object, key).await?,
    }];
    steps.extend(fields.iter().map(|field| match find(field) {
        Some(found) if is(found, "createable") && is(found, "updateable") => {
            SetupStep::new(&name(field), "is there", true)
        }
        Some(_) => SetupStep::new(&name(field), "is there, but leadline's user may not write it", false),
        None => SetupStep::new(
            &name(field),
            "is missing in Salesforce: make it there, or map another field",
            false,
        ),
    }));
    Ok(steps)
}

async fn make(session: &mut Session<'_>, object: &str, key: &str) -> Result<SetupStep, CallError> {
    let field = format!("{object}.{key}");
    // Custom fields of tasks belong to activities.
    let owner = if object == "Task" { "Activity" } else { object };
    let body = json!({ "FullName": format!("{owner}.{key}"), "Metadata": {
        "type": "Text", "label": "leadline key", "length": KEY_CHARS, "externalId": true, "unique": true,
        "caseSensitive": true, "description": "Written by leadline.",
    }});
    let wire = WireRequest::json(Session::path("tooling/sobjects/CustomField"), &body);
    match session.ask(&wire, &Map::new()).await {
        Ok(_) => Ok(SetupStep::new(&field, MADE, true)),
        // It is there, and hidden from leadline's user.
        Err(Failure::Raced(_)) => {
            Ok(SetupStep::new(&field, "is there, but leadline's user may not see it", false))
        }
        Err(Failure::Call(CallError::Reject { why })) if why.contains("DUPLICATE_DEVELOPER_NAME") => {
            Ok(SetupStep::new(&field, "is there, but leadline's user may not see it", false))
        }
        Err(other) => Err(other.into_call()),
    }
}
