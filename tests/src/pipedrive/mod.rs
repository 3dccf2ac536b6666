//! A strict double of Pipedrive over real HTTP: persons by version 2, leads and notes by version 1, of one company. What
//! Pipedrive refuses is refused; so are unknown paths, members and parameters. Its search is behind as far as it is told.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::crm::{Asked, Reply, Server};

/// The double.
pub type Pipedrive = Server<State>;

/// A company.
pub struct State {
    pub token: String,
    pub persons: BTreeMap<u64, Map<String, Value>>,
    pub leads: BTreeMap<String, Map<String, Value>>,
    pub notes: BTreeMap<u64, Map<String, Value>>,
    /// Searches that do not see the newest person yet.
    pub search_lags: usize,
    /// Tokens of the day.
    pub budget: u32,
    pub spent: u32,
    /// Requests in two seconds.
    pub burst: usize,
    recent: VecDeque<Instant>,
    next_id: u64,
}

/// Starts one with this token.
pub fn start(token: &str) -> Pipedrive {
    let state = State {
        token: token.to_owned(),
        persons: BTreeMap::new(),
        leads: BTreeMap::new(),
        notes: BTreeMap::new(),
        search_lags: 0,
        budget: 30_000,
        spent: 0,
        burst: 20,
        recent: VecDeque::new(),
        next_id: 0,
    };
    Server::start(state, answer)
}

fn failure(status: u16, error: &str) -> Reply {
    let body = json!({
        "success": false, "error": error, "error_info": "Please check developers.pipedrive.com for more information",
        "data": null, "additional_data": null,
    });
    Reply::json(status, &body)
}

fn good(status: u16, data: Value) -> Reply {
    Reply::json(status, &json!({ "success": true, "data": data }))
}

fn answer(state: &mut State, asked: &Asked) -> Reply {
    let bearer = format!("Bearer {}", state.token);
    let by_token = asked.header("x-api-token") == Some(&state.token);
    if !by_token && asked.header("authorization") != Some(&bearer) {
        return failure(401, "unauthorized access");
    }
    let path: Vec<&str> = asked.path.trim_start_matches('/').split('/').collect();
    let Some(cost) = cost_of(&asked.method, &path) else { return failure(404, "Unknown method .") };
    let now = Instant::now();
    while state.recent.front().is_some_and(|at| now.duration_since(*at) >= Duration::from_secs(2)) {
        state.recent.pop_front();
    }
    let room = state.burst.saturating_sub(state.recent.len());
    if room == 0 || state.spent + cost > state.budget {
        let reply = failure(429, "request over limit");
        return reply.header("x-ratelimit-remaining", room).header("x-ratelimit-reset", 2);
    }
    state.recent.push_back(now);
    state.spent += cost;
    let reply = match (asked.method.as_str(), path.as_slice()) {
        ("POST", ["api", "v2", "persons"]) => person(state, asked, None),
        ("PATCH", ["api", "v2", "persons", id]) => person(state, asked, Some(id)),
        ("GET", ["api", "v2", "persons", "search"]) => search(state, asked),
        ("POST", ["v1", "leads"]) => lead(state, asked),
        ("PATCH", ["v1", "leads", id]) => change_lead(state, asked, id),
        ("GET", ["v1", "leads"]) => list(asked, "person_id", state.leads.values()),
        ("POST", ["v1", "notes"]) => note(state, asked),
        ("PUT", ["v1", "notes", id]) => change_note(state, asked, id),
        ("GET", ["v1", "notes"]) => match asked.parameter("person_id") {
            Some(_) => list(asked, "person_id", state.notes.values()),
            None => list(asked, "lead_id", state.notes.values()),
        },
        _ => good(200, json!({ "id": 1, "name": "Ada", "company_name": "Summit Kitchens" })),
    };
    reply.header("x-ratelimit-limit", state.burst).header("x-ratelimit-remaining", room - 1)
}

fn cost_of(method: &str, path: &[&str]) -> Option<u32> {
    match (method, path) {
        ("POST", ["api", "v2", "persons"]) | ("PATCH", ["api", "v2", "persons", _]) => Some(5),
        ("GET", ["api", "v2", "persons", "search"]) | ("GET", ["v1", "leads" | "notes"]) => Some(20),
        ("POST", ["v1", "leads" | "notes"]) => Some(10),
        ("PATCH", ["v1", "leads", _]) | ("PUT", ["v1", "notes", _]) => Some(10),
        ("GET", ["v1", "users", "me"]) => Some(2),
        _ => None,
    }
}

/// The members of a body, if there are no others than these; custom fields have 40 digits for a name.
fn members(asked: &Asked, known: &[&str], custom: bool) -> Result<Map<String, Value>, Reply> {
    let Some(Value::Object(members)) = asked.json() else { return Err(failure(400, "Invalid JSON")) };
    let is_custom = |name: &str| custom && is_hash(name);
    match members.keys().find(|name| !known.contains(&name.as_str()) && !is_custom(name)) {
        Some(name) => Err(failure(400, &format!("Validation failed: {name}: is not allowed"))),
        None => Ok(members),
    }
}

fn is_hash(name: &str) -> bool {
    name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn person(state: &mut State, asked: &Asked, id: Option<&str>) -> Reply {
    let known = ["name", "emails", "phones", "owner_id", "label_ids", "custom_fields"];
    let body = match members(asked, &known, false) {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    for name in ["emails", "phones"] {
        let is_list = |value: &Value| value.pointer("/0/value").is_some_and(Value::is_string);
        if body.get(name).is_some_and(|value| !is_list(value)) {
            return failure(422, &format!("Validation failed: {name}: must be an array of values"));
        }
    }
    let custom = body.get("custom_fields").and_then(Value::as_object);
    if custom.is_some_and(|custom| custom.keys().any(|name| !is_hash(name))) {
        return failure(422, "Validation failed: custom_fields: unknown field");
    }
    let id = match id {
        None if body.get("name").is_none_or(|name| !name.is_string()) => {
            return failure(422, "Validation failed: name: is required");
        }
        None => {
            state.next_id += 1;
            state.next_id
        }
        Some(id) => match id.parse().ok().filter(|id| state.persons.contains_key(id)) {
            Some(id) => id,
            None => return failure(404, "Person not found"),
        },
    };
    let members = state.persons.entry(id).or_default();
    members.extend(body);
    members.insert("id".to_owned(), json!(id));
    good(200, Value::Object(members.clone()))
}

fn search(state: &mut State, asked: &Asked) -> Reply {
    if let Some((name, _)) =
        asked.query.iter().find(|(name, _)| !["term", "fields", "exact_match"].contains(&name.as_str()))
    {
        return failure(400, &format!("Validation failed: {name}: is not allowed"));
    }
    let term = asked.parameter("term").unwrap_or_default();
    let list = match asked.parameter("fields") {
        Some("phone") => "phones",
        Some("email") => "emails",
        _ => return failure(400, "Validation failed: fields: is not valid"),
    };
    if term.len() < 2 || asked.parameter("exact_match") != Some("true") {
        return failure(400, "Validation failed: term: is too short");
    }
    let newest = state.persons.keys().next_back().copied();
    let unseen = newest.filter(|_| state.search_lags > 0);
    state.search_lags = state.search_lags.saturating_sub(1);
    let has = |person: &Map<String, Value>| {
        person
            .get(list)
            .and_then(Value::as_array)
            .is_some_and(|all| all.iter().any(|one| one["value"] == term))
    };
    let found = state.persons.iter().filter(|(id, person)| Some(**id) != unseen && has(person));
    let items: Vec<Value> = found
        .map(|(_, person)| json!({ "result_score": 0.5, "item": Value::Object(person.clone()) }))
        .collect();
    good(200, json!({ "items": items }))
}

fn lead(state: &mut State, asked: &Asked) -> Reply {
    let known = [
        "title",
        "person_id",
        "organization_id",
        "value",
        "label_ids",
        "expected_close_date",
        "origin_id",
        "channel",
        "channel_id",
        "was_seen",
        "owner_id",
    ];
    let mut body = match members(asked, &known, true) {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    if body.get("title").is_none_or(|title| !title.is_string()) {
        return failure(400, "title: is required");
    }
    let person = body.get("person_id").and_then(Value::as_u64);
    if person.is_none_or(|id| !state.persons.contains_key(&id)) {
        return failure(400, "A lead must be linked to a person or an organization");
    }
    state.next_id += 1;
    let id = format!("adf21080-0e10-11eb-879b-{:012}", state.next_id);
    body.insert("id".to_owned(), json!(id));
    state.leads.insert(id, body.clone());
    good(201, Value::Object(body))
}

fn change_lead(state: &mut State, asked: &Asked, id: &str) -> Reply {
    let known = [
        "title",
        "person_id",
        "value",
        "label_ids",
        "expected_close_date",
        "channel",
        "channel_id",
        "owner_id",
    ];
    match (members(asked, &known, true), state.leads.get_mut(id)) {
        (Err(refused), _) => refused,
        (_, None) => failure(404, "Lead not found"),
        (Ok(body), Some(lead)) => {
            lead.extend(body);
            good(200, Value::Object(lead.clone()))
        }
    }
}

fn note(state: &mut State, asked: &Asked) -> Reply {
    let known = ["content", "lead_id", "person_id", "pinned_to_lead_flag"];
    let mut body = match members(asked, &known, false) {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let lead = body.get("lead_id").and_then(Value::as_str).map(|id| state.leads.contains_key(id));
    let person =
        body.get("person_id").map(|id| id.as_u64().is_some_and(|id| state.persons.contains_key(&id)));
    let is_at_something =
        lead.unwrap_or(true) && person.unwrap_or(true) && (lead.is_some() || person.is_some());
    if !is_at_something || body.get("content").is_none_or(|text| !text.is_string()) {
        return failure(400, "content and an existing lead or person are required");
    }
    if body.contains_key("pinned_to_lead_flag") && lead.is_none() {
        return failure(400, "pinned_to_lead_flag: a lead is required");
    }
    if body.get("pinned_to_lead_flag").is_some_and(|flag| flag != &json!(1) && flag != &json!(0)) {
        return failure(400, "pinned_to_lead_flag: must be 0 or 1");
    }
    state.next_id += 1;
    body.insert("id".to_owned(), json!(state.next_id));
    state.notes.insert(state.next_id, body.clone());
    good(201, Value::Object(body))
}

fn change_note(state: &mut State, asked: &Asked, id: &str) -> Reply {
    let note = id.parse().ok().and_then(|id: u64| state.notes.get_mut(&id));
    match (members(asked, &["content"], false), note) {
        (Err(refused), _) => refused,
        (_, None) => failure(404, "Note not found"),
        (Ok(body), Some(note)) => {
            note.extend(body);
            good(200, Value::Object(note.clone()))
        }
    }
}

/// An empty list comes as null.
fn list<'a>(asked: &Asked, by: &str, all: impl Iterator<Item = &'a Map<String, Value>>) -> Reply {
    let [(name, wanted)] = asked.query.as_slice() else { return failure(400, "one filter is expected") };
    if name != by {
        return failure(400, &format!("Validation failed: {name}: is not allowed"));
    }
    let is_it = |one: &&Map<String, Value>| {
        one.get(by).is_some_and(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned) == *wanted)
    };
    let found: Vec<Value> = all.filter(is_it).map(|one| Value::Object(one.clone())).collect();
    good(200, if found.is_empty() { Value::Null } else { json!(found) })
}
