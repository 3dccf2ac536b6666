//! Objects: contacts by batch upsert, notes and calls, and the properties of contacts.

use serde_json::{Map, Value, json};

use super::{Engagements, State, VERSION, failure};
use crate::crm::{Asked, Reply};

const NOTE_PROPERTIES: [&str; 3] = ["hs_timestamp", "hs_note_body", "hubspot_owner_id"];
const CALL_PROPERTIES: [&str; 10] = [
    "hs_timestamp",
    "hs_call_title",
    "hs_call_body",
    "hs_call_direction",
    "hs_call_status",
    "hs_call_duration",
    "hs_call_from_number",
    "hs_call_to_number",
    "hs_call_recording_url",
    "hubspot_owner_id",
];

pub(super) fn answer(state: &mut State, asked: &Asked) -> Reply {
    let path: Vec<&str> = asked.path.trim_start_matches('/').split('/').collect();
    match (asked.method.as_str(), path.as_slice()) {
        (method, ["crm", "properties", VERSION, "contacts", rest @ ..]) => {
            property(state, asked, method, rest)
        }
        ("POST", ["crm", "objects", VERSION, "contacts", "batch", "upsert"]) => upsert(state, asked),
        ("GET", ["crm", "objects", VERSION, "contacts", id]) => contact(state, asked, id),
        ("POST", ["crm", "objects", VERSION, object @ ("notes" | "calls")]) => create(state, asked, object),
        ("PATCH", ["crm", "objects", VERSION, object @ ("notes" | "calls"), id]) => {
            change(state, asked, object, id)
        }
        ("POST", ["crm", "objects", VERSION, object @ ("notes" | "calls"), "batch", "read"]) => {
            read(state, asked, object)
        }
        _ => failure(404, "OBJECT_NOT_FOUND", "resource not found"),
    }
}

fn invalid(message: impl AsRef<str>) -> Reply {
    failure(400, "VALIDATION_ERROR", message.as_ref())
}

/// The members of a body, if there are no others than these.
fn members(value: Option<Value>, known: &[&str]) -> Result<Map<String, Value>, Reply> {
    let Some(Value::Object(members)) = value else { return Err(invalid("Invalid input JSON")) };
    match members.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(invalid(format!("Unrecognized field \"{name}\""))),
        None => Ok(members),
    }
}

fn property(state: &mut State, asked: &Asked, method: &str, rest: &[&str]) -> Reply {
    match (method, rest) {
        ("GET", [name]) => match state.properties.get(*name) {
            Some(unique) => Reply::json(200, &json!({ "name": name, "hasUniqueValue": unique })),
            None => failure(404, "OBJECT_NOT_FOUND", "property does not exist"),
        },
        ("POST", []) => {
            let known = ["name", "label", "groupName", "type", "fieldType", "description", "hasUniqueValue"];
            let body = match members(asked.json(), &known) {
                Ok(body) => body,
                Err(refused) => return refused,
            };
            for name in ["name", "label", "groupName", "type", "fieldType"] {
                if !body.get(name).is_some_and(Value::is_string) {
                    return invalid(format!("{name} is required"));
                }
            }
            let name = body["name"].as_str().unwrap().to_owned();
            if state.properties.contains_key(&name) {
                return failure(409, "CONFLICT", "A property named that already exists");
            }
            let unique = body.get("hasUniqueValue") == Some(&json!(true));
            state.properties.insert(name, unique);
            Reply::json(201, &Value::Object(body))
        }
        _ => failure(404, "OBJECT_NOT_FOUND", "resource not found"),
    }
}

fn upsert(state: &mut State, asked: &Asked) -> Reply {
    let body = match members(asked.json(), &["inputs"]) {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let Some(inputs) = body.get("inputs").and_then(Value::as_array) else {
        return invalid("inputs is required");
    };
    if inputs.is_empty() || inputs.len() > 100 {
        return invalid("a batch has 1 to 100 inputs");
    }
    let mut all = Vec::new();
    for input in inputs {
        match members(Some(input.clone()), &["idProperty", "id", "properties", "objectWriteTraceId"]) {
            Ok(input) => all.push(input),
            Err(refused) => return refused,
        }
    }
    let mut ids: Vec<_> = all.iter().map(|input| input.get("id").map(Value::to_string)).collect();
    ids.sort();
    ids.dedup();
    if ids.len() < all.len() {
        return invalid("Duplicate IDs found in batch input");
    }
    // What is wrong with a property refuses the whole batch.
    let mut wrong = Vec::new();
    for input in &all {
        wrong.extend(wrong_properties(state, input));
    }
    if !wrong.is_empty() {
        return invalid(format!("Property values were not valid: {}", Value::Array(wrong)));
    }
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for input in &all {
        match upsert_one(state, input) {
            Ok(result) => results.push(result),
            Err(error) => errors.push(error),
        }
    }
    let mut answer = json!({
        "status": "COMPLETE", "results": results,
        "startedAt": "2026-03-04T16:00:00Z", "completedAt": "2026-03-04T16:00:00Z",
    });
    if errors.is_empty() {
        return Reply::json(200, &answer);
    }
    answer["numErrors"] = json!(errors.len());
    answer["errors"] = json!(errors);
    Reply::json(207, &answer)
}

fn wrong_properties(state: &State, input: &Map<String, Value>) -> Vec<Value> {
    let by = input.get("idProperty").and_then(Value::as_str).unwrap_or("hs_object_id").to_owned();
    let given = input.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut wrong = Vec::new();
    for (name, value) in given.iter().chain([(&by, &json!(""))]) {
        let code = match (state.properties.contains_key(name), value.as_str(), name.as_str()) {
            (false, ..) => "PROPERTY_DOESNT_EXIST",
            (true, None, _) => "INVALID_STRING",
            (true, Some(text), "email") if name != &by && !text.contains('@') => "INVALID_EMAIL",
            (true, Some(text), "leadline_score") if text.parse::<f64>().is_err() => "INVALID_NUMBER",
            (true, Some(_), "createdate") => "READ_ONLY_VALUE",
            _ => continue,
        };
        let message = format!("Property \"{name}\": {code}");
        wrong.push(json!({ "isValid": false, "message": message, "error": code, "name": name }));
    }
    wrong
}

fn upsert_one(state: &mut State, input: &Map<String, Value>) -> Result<Value, Value> {
    let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (by, id, trace) = (text("idProperty"), text("id"), text("objectWriteTraceId"));
    let error = |category: &str, message: String| {
        json!({
            "status": "error", "category": category, "message": message,
            "context": { "objectWriteTraceId": [trace] },
        })
    };
    if state.properties.get(&by) != Some(&true) {
        return Err(error("VALIDATION_ERROR", format!("{by} is not a unique property")));
    }
    let mut properties = input.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    properties.insert(by.clone(), json!(id));
    let holder = |name: &str, value: &Value| {
        let has = |members: &Map<String, Value>| members.get(name) == Some(value);
        state.contacts.iter().find(|(_, members)| has(members)).map(|(id, _)| *id)
    };
    let found = holder(&by, &json!(id));
    for (name, value) in &properties {
        if state.properties.get(name) != Some(&true) {
            continue;
        }
        if let Some(other) = holder(name, value).filter(|other| Some(*other) != found) {
            return Err(error("CONFLICT", format!("Contact already exists. Existing ID: {other}")));
        }
    }
    let contact = found.unwrap_or_else(|| state.id());
    state.contacts.entry(contact).or_default().extend(properties.clone());
    Ok(json!({
        "id": contact.to_string(), "new": found.is_none(), "properties": properties, "objectWriteTraceId": trace,
        "createdAt": "2026-03-04T16:00:00Z", "updatedAt": "2026-03-04T16:00:00Z", "archived": false,
    }))
}

fn engagements<'a>(state: &'a mut State, object: &str) -> (&'a mut Engagements, &'static [&'static str]) {
    match object {
        "notes" => (&mut state.notes, &NOTE_PROPERTIES),
        _ => (&mut state.calls, &CALL_PROPERTIES),
    }
}

/// A contact with the ids of its notes or calls.
fn contact(state: &mut State, asked: &Asked, id: &str) -> Reply {
    let id: u64 = id.parse().unwrap_or(0);
    let Some(members) = state.contacts.get(&id).cloned() else {
        return failure(404, "OBJECT_NOT_FOUND", "Object not found");
    };
    let mut body = json!({ "id": id.to_string(), "properties": members, "archived": false });
    for (name, object) in &asked.query {
        if name != "associations" || !["notes", "calls"].contains(&object.as_str()) {
            return invalid(format!("unknown parameter {name}={object}"));
        }
        let (all, _) = engagements(state, object);
        let own = all.iter().filter(|(_, (_, contact))| *contact == id);
        let results: Vec<Value> = own
            .map(|(id, _)| json!({ "id": id.to_string(), "type": format!("contact_to_{object}") }))
            .collect();
        if !results.is_empty() {
            body["associations"][object] = json!({ "results": results });
        }
    }
    Reply::json(200, &body)
}

fn create(state: &mut State, asked: &Asked, object: &str) -> Reply {
    let body = match members(asked.json(), &["properties", "associations"]) {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let wanted = if object == "notes" { 202 } else { 194 };
    let association = json!({ "associationCategory": "HUBSPOT_DEFINED", "associationTypeId": wanted });
    let to = body.get("associations").and_then(|all| all.pointer("/0"));
    if to.and_then(|to| to.pointer("/types/0")) != Some(&association) {
        return invalid("the association type does not fit these objects");
    }
    let contact = to.and_then(|to| to.pointer("/to/id")).and_then(Value::as_str);
    let contact: u64 = contact.and_then(|id| id.parse().ok()).unwrap_or(0);
    if !state.contacts.contains_key(&contact) {
        return invalid("the contact of the association does not exist");
    }
    let (_, known) = engagements(state, object);
    let properties = match members(body.get("properties").cloned(), known) {
        Ok(properties) => properties,
        Err(refused) => return refused,
    };
    if properties.get("hs_timestamp").is_none_or(|at| !at.is_string()) {
        return invalid("hs_timestamp is required");
    }
    let id = state.id();
    engagements(state, object).0.insert(id, (properties.clone(), contact));
    Reply::json(201, &json!({ "id": id.to_string(), "properties": properties, "archived": false }))
}

fn change(state: &mut State, asked: &Asked, object: &str, id: &str) -> Reply {
    let (all, known) = engagements(state, object);
    let body = members(asked.json(), &["properties"]);
    let properties = body.and_then(|body| members(body.get("properties").cloned(), known));
    match (properties, id.parse().ok().and_then(|id: u64| all.get_mut(&id))) {
        (Err(refused), _) => refused,
        (_, None) => failure(404, "OBJECT_NOT_FOUND", "Object not found"),
        (Ok(properties), Some((members, _))) => {
            members.extend(properties);
            Reply::json(200, &json!({ "id": id, "properties": members }))
        }
    }
}

fn read(state: &mut State, asked: &Asked, object: &str) -> Reply {
    let body = match members(asked.json(), &["properties", "inputs"]) {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let inputs = body.get("inputs").and_then(Value::as_array).cloned().unwrap_or_default();
    if inputs.is_empty() || inputs.len() > 100 {
        return invalid("a batch has 1 to 100 inputs");
    }
    let (all, _) = engagements(state, object);
    let ids = inputs.iter().filter_map(|input| input.get("id")?.as_str()?.parse::<u64>().ok());
    let found = ids.filter_map(|id| Some(json!({ "id": id.to_string(), "properties": all.get(&id)?.0 })));
    Reply::json(200, &json!({ "status": "COMPLETE", "results": found.collect::<Vec<_>>() }))
}
