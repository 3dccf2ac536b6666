//! Records: upserts by external id, in each of their shapes, and what describes and makes fields.

use serde_json::{Map, Value, json};

use super::{State, VERSION, error, fields_of};
use crate::crm::{Asked, Reply, decoded};

pub(super) fn answer(state: &mut State, asked: &Asked, path: &[&str]) -> Reply {
    let allow = asked.header("sforce-duplicate-rule-header") == Some("allowSave=true");
    match (asked.method.as_str(), path) {
        ("GET", ["sobjects", object @ ("Lead" | "Task"), "describe"]) => describe(state, object),
        ("PATCH", ["sobjects", object @ ("Lead" | "Task"), key, id]) => {
            let Some(Value::Object(fields)) = asked.json() else { return malformed() };
            let update_only = match asked.query.as_slice() {
                [] => false,
                [(name, value)] if name == "updateOnly" && value == "true" => true,
                _ => return error(400, "INVALID_QUERY_FILTER", "unknown parameter"),
            };
            upsert(state, object, key, &decoded(id), fields, update_only, allow)
        }
        ("POST", ["composite"]) => composite(state, asked, allow),
        ("PATCH", ["composite", "sobjects", object @ ("Lead" | "Task"), key]) => {
            collection(state, asked, object, key, allow)
        }
        ("POST", ["tooling", "sobjects", "CustomField"]) => make(state, asked),
        _ => error(404, "NOT_FOUND", "The requested resource does not exist"),
    }
}

fn malformed() -> Reply {
    error(400, "JSON_PARSER_ERROR", "Unexpected character")
}

fn describe(state: &State, object: &str) -> Reply {
    let keys = if object == "Lead" { &state.lead_keys } else { &state.task_keys };
    let usual = fields_of(object).iter().map(|name| {
        json!({ "name": name, "createable": true, "updateable": true, "externalId": false, "unique": false })
    });
    let own = keys.iter().map(|name| {
        json!({ "name": name, "createable": true, "updateable": true, "externalId": true, "unique": true })
    });
    Reply::json(200, &json!({ "name": object, "fields": usual.chain(own).collect::<Vec<_>>() }))
}

fn make(state: &mut State, asked: &Asked) -> Reply {
    let Some(body) = asked.json() else { return malformed() };
    let metadata = &body["Metadata"];
    if metadata["type"] != "Text" || metadata["externalId"] != true || metadata["unique"] != true {
        return error(400, "FIELD_INTEGRITY_EXCEPTION", "not a unique external id of text");
    }
    let name = body["FullName"].as_str().unwrap_or_default().to_owned();
    let made = match name.split_once('.') {
        Some(("Lead", field)) => state.lead_keys.insert(field.to_owned()),
        Some(("Activity", field)) => state.task_keys.insert(field.to_owned()),
        _ => return error(400, "INVALID_FULL_NAME", &name),
    };
    match made {
        true => Reply::json(201, &json!({ "id": "00N000000000001", "success": true, "errors": [] })),
        false => error(400, "DUPLICATE_DEVELOPER_NAME", "There is already a field of that name"),
    }
}

/// An error of a record: code, message, fields.
type Wrong = (&'static str, String, Vec<String>);

fn check(
    state: &State,
    object: &str,
    fields: &Map<String, Value>,
    is_new: bool,
    allow: bool,
) -> Result<(), Wrong> {
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    if let Some(name) = fields.keys().find(|name| !fields_of(object).contains(&name.as_str())) {
        let message = format!("No such column '{name}' on sobject of type {object}");
        return Err(("INVALID_FIELD", message, vec![name.clone()]));
    }
    if object == "Lead" {
        let missing: Vec<String> =
            state.required.iter().filter(|name| is_new && text(name).is_none()).cloned().collect();
        if !missing.is_empty() {
            let message = format!("Required fields are missing: [{}]", missing.join(", "));
            return Err(("REQUIRED_FIELD_MISSING", message, missing));
        }
        if text("Email").is_some_and(|email| !email.contains('@')) {
            let message = format!("Email: invalid email address: {}", text("Email").unwrap_or_default());
            return Err(("INVALID_EMAIL_ADDRESS", message, vec!["Email".to_owned()]));
        }
        if text("LastName").is_some_and(|name| name.len() > 80) {
            let message = "Last Name: data value too large (max length=80)".to_owned();
            return Err(("STRING_TOO_LONG", message, vec!["LastName".to_owned()]));
        }
        if !allow && is_new && text("Email").is_some_and(|email| state.duplicates.contains(email)) {
            return Err(("DUPLICATES_DETECTED", "Use one of these records?".to_owned(), Vec::new()));
        }
    } else if text("WhoId").is_none_or(|id| !state.leads.contains_key(id)) {
        return Err((
            "INVALID_CROSS_REFERENCE_KEY",
            "invalid cross reference id".to_owned(),
            vec!["WhoId".to_owned()],
        ));
    }
    Ok(())
}

/// Id, and whether it was created.
fn put(
    state: &mut State,
    object: &str,
    key: &str,
    id: &str,
    fields: Map<String, Value>,
    allow: bool,
) -> Result<(String, bool), Wrong> {
    let is_lead = object == "Lead";
    let keys = if is_lead { &state.lead_keys } else { &state.task_keys };
    if !keys.contains(key) {
        let message = format!("Provided external ID field does not exist or is not accessible: {key}");
        return Err(("NOT_FOUND", message, Vec::new()));
    }
    let all = if is_lead { &state.leads } else { &state.tasks };
    let found = all.iter().find(|(_, record)| record.get(key) == Some(&json!(id))).map(|(id, _)| id.clone());
    check(state, object, &fields, found.is_none(), allow)?;
    let record_id = match &found {
        Some(id) => id.clone(),
        None => state.id(if is_lead { "00Q" } else { "00T" }),
    };
    let all = if is_lead { &mut state.leads } else { &mut state.tasks };
    let record = all.entry(record_id.clone()).or_default();
    record.extend(fields);
    record.insert(key.to_owned(), json!(id));
    Ok((record_id, found.is_none()))
}

fn upsert(
    state: &mut State,
    object: &str,
    key: &str,
    id: &str,
    fields: Map<String, Value>,
    update_only: bool,
    allow: bool,
) -> Reply {
    let all = if object == "Lead" { &state.leads } else { &state.tasks };
    if update_only && !all.values().any(|record| record.get(key) == Some(&json!(id))) {
        return error(404, "NOT_FOUND", "The requested resource does not exist");
    }
    if fields.contains_key(key) {
        return error(400, "INVALID_FIELD", "the external id is in the address");
    }
    match put(state, object, key, id, fields, allow) {
        Ok((id, created)) => {
            let body = json!({ "id": id, "success": true, "errors": [], "created": created });
            Reply::json(if created { 201 } else { 200 }, &body)
        }
        Err((code, message, fields)) => {
            let status = if code == "NOT_FOUND" { 404 } else { 400 };
            Reply::json(status, &json!([{ "message": message, "errorCode": code, "fields": fields }]))
        }
    }
}

fn composite(state: &mut State, asked: &Asked, allow: bool) -> Reply {
    let Some(body) = asked.json() else { return malformed() };
    let parts = body["compositeRequest"].as_array().cloned().unwrap_or_default();
    if parts.is_empty() || parts.len() > 25 || body["allOrNone"] != true {
        return error(400, "INVALID_INPUT", "1 to 25 subrequests, all or none");
    }
    let before = (state.leads.clone(), state.tasks.clone());
    let mut answers: Vec<Value> = Vec::new();
    let mut failed = false;
    for part in &parts {
        let url = part["url"].as_str().unwrap_or_default();
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let Some(path) = path.strip_prefix(&format!("/services/data/{VERSION}/")) else {
            return error(400, "INVALID_INPUT", "a subrequest has another version");
        };
        let mut fields = part["body"].as_object().cloned().unwrap_or_default();
        for value in fields.values_mut() {
            let reference = value.as_str().and_then(|text| text.strip_prefix("@{")?.strip_suffix(".id}"));
            let Some(reference) = reference.map(str::to_owned) else { continue };
            let of = answers.iter().find(|answer| answer["referenceId"] == reference.as_str());
            *value = of.map_or(Value::Null, |answer| answer["body"]["id"].clone());
        }
        let path: Vec<&str> = path.split('/').collect();
        let ["sobjects", object @ ("Lead" | "Task"), key, id] = path.as_slice() else {
            return error(400, "INVALID_INPUT", "no such subrequest");
        };
        let reply = match failed {
            true => {
                let why =
                    "The transaction was rolled back since another operation in the same transaction failed.";
                error(400, "PROCESSING_HALTED", why)
            }
            false => upsert(state, object, key, &decoded(id), fields, query == "updateOnly=true", allow),
        };
        failed |= reply.status >= 300;
        answers.push(json!({
            "body": serde_json::from_slice::<Value>(&reply.body).unwrap(), "httpHeaders": {},
            "httpStatusCode": reply.status, "referenceId": part["referenceId"],
        }));
    }
    if failed {
        (state.leads, state.tasks) = before;
        let why = "The transaction was rolled back since another operation in the same transaction failed.";
        for answer in answers.iter_mut().filter(|answer| answer["httpStatusCode"].as_u64() < Some(300)) {
            answer["httpStatusCode"] = json!(400);
            answer["body"] = json!([{ "errorCode": "PROCESSING_HALTED", "message": why }]);
        }
    }
    Reply::json(200, &json!({ "compositeResponse": answers }))
}

/// HTTP 200 whatever becomes of the records.
fn collection(state: &mut State, asked: &Asked, object: &str, key: &str, allow: bool) -> Reply {
    let Some(body) = asked.json() else { return malformed() };
    let records = body["records"].as_array().cloned().unwrap_or_default();
    if records.is_empty() || records.len() > 200 || !body["allOrNone"].is_boolean() {
        return error(400, "INVALID_INPUT", "1 to 200 records");
    }
    let mut seen = Vec::new();
    let results = records.into_iter().map(|record| {
        let mut fields = record.as_object().cloned().unwrap_or_default();
        let of_type = fields.remove("attributes").is_some_and(|own| own["type"] == object);
        let id = fields.remove(key).and_then(|id| id.as_str().map(str::to_owned)).unwrap_or_default();
        let wrong = |(code, message, fields): Wrong| {
            json!({ "success": false, "errors": [{ "statusCode": code, "message": message, "fields": fields }] })
        };
        if !of_type || id.is_empty() || seen.contains(&id) {
            return wrong(("DUPLICATE_EXTERNAL_ID", "a key is missing, or there twice".to_owned(), Vec::new()));
        }
        seen.push(id.clone());
        match put(state, object, key, &id, fields, allow) {
            Ok((id, created)) => json!({ "id": id, "success": true, "created": created, "errors": [] }),
            Err(refused) => wrong(refused),
        }
    });
    let results: Vec<Value> = results.collect();
    Reply::json(200, &json!(results))
}
