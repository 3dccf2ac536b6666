//! Setup: the contact properties that the sink writes to, made where they are missing.

use std::time::Duration;

use http::Method;
use serde_json::{Map, Value, json};

use super::client::{HubSpotClient, Session};
use super::config::Config;
use super::judge::Failure;
use crate::contract::provider::CallError;
use crate::contract::sink::SinkRequest;
use crate::contract::wire::WireRequest;
use crate::crm::{SetupStep, until};

/// Where HubSpot shows them.
const GROUP: &str = "contactinformation";

/// Looks at the properties that are needed and, with `apply`, makes those that are missing and ours. `request` names the
/// integration; its payload is not looked at.
pub async fn setup(
    client: &HubSpotClient,
    request: &SinkRequest,
    apply: bool,
    deadline: Duration,
) -> Result<Vec<SetupStep>, CallError> {
    let config = Config::of(&request.integration).map_err(|why| CallError::Reject { why })?;
    let mut session = client.session(request, &config, &request.trace, until(deadline)).await?;
    let mut steps = vec![property(&mut session, &config.lead_key, true, apply).await?];
    for name in config.fields.theirs() {
        steps.push(property(&mut session, name, false, apply).await?);
    }
    Ok(steps)
}

async fn property(
    session: &mut Session<'_>,
    name: &str,
    unique: bool,
    apply: bool,
) -> Result<SetupStep, CallError> {
    let step = |found: &str, good: bool| SetupStep::new(name, found, good);
    let get = WireRequest::new(Method::GET, session.config.properties(&format!("/{name}")));
    match session.ask(get, &Map::new()).await {
        Ok(answer) => {
            let found: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
            let is_unique = found.get("hasUniqueValue").and_then(Value::as_bool) == Some(true);
            return Ok(match unique && !is_unique {
                true => step(
                    "is there, but its values are not unique, which cannot be changed: name another property by option lead_key",
                    false,
                ),
                false => step("is there", true),
            });
        }
        Err(Failure::NotFound(_)) => {}
        Err(other) => return Err(other.into_call()),
    }
    if !unique && !name.starts_with("leadline_") {
        return Ok(step("is missing in HubSpot: make it there, or map another field", false));
    }
    if !apply {
        return Ok(step("is missing, and would be made", false));
    }
    let is_number = session.config.fields.ours(name) == Some("score");
    let (kind, field_type) = if is_number { ("number", "number") } else { ("string", "text") };
    let label = name.replace('_', " ");
    let mut body = json!({
        "name": name, "label": label, "groupName": GROUP, "type": kind, "fieldType": field_type,
        "description": "Written by leadline.",
    });
    if let (true, Some(members)) = (unique, body.as_object_mut()) {
        members.insert("hasUniqueValue".to_owned(), json!(true));
    }
    match session.ask(WireRequest::json(session.config.properties(""), &body), &Map::new()).await {
        Ok(_) => Ok(step("was made", true)),
        // Somebody else was quicker.
        Err(Failure::Conflict(_)) => Ok(step("is there", true)),
        Err(other) => Err(other.into_call()),
    }
}
