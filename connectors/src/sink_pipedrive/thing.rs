//! Things of Pipedrive's: how each is made, changed and found again.

use http::Method;
use serde_json::{Map, Value, json};

use super::client::{Ask, Session};
use super::config::{Config, SEARCH_LAG, cost};
use super::judge::Failure;
use crate::contract::provider::CallError;
use crate::crm::{Lead, RemoteIds};

/// One thing.
pub(super) struct Thing {
    pub(super) name: &'static str,
    pub(super) create: Ask,
    /// What changes it is sent to; an id follows.
    change: (Method, &'static str, Map<String, Value>),
}

impl Thing {
    pub(super) fn person(config: &Config, lead: &Lead) -> Self {
        let body = config.person(lead);
        let create = ask(Method::POST, "/api/v2/persons", body.clone(), cost::PERSON);
        Self { name: "person", create, change: (Method::PATCH, "/api/v2/persons", body) }
    }

    pub(super) fn lead(config: &Config, lead: &Lead, person_id: &Value) -> Self {
        let body = config.lead(lead);
        let mut made = body.clone();
        made.insert("person_id".to_owned(), person_id.clone());
        made.insert("origin_id".to_owned(), json!(origin_id(lead)));
        made.insert("was_seen".to_owned(), json!(false));
        let create = ask(Method::POST, "/v1/leads", made, cost::LEAD);
        Self { name: "lead", create, change: (Method::PATCH, "/v1/leads", body) }
    }

    pub(super) fn note(lead: &Lead, lead_id: &str, person_id: &Value) -> Self {
        let at = [
            ("lead_id", json!(lead_id)),
            ("person_id", person_id.clone()),
            ("pinned_to_lead_flag", json!(1)),
        ];
        Self::note_at(&at, &lead.summary(), &mark(&origin_id(lead)))
    }

    /// A note of these lines at a person, which carries a mark.
    pub(super) fn note_of_person(text: &str, mark: &str, person_id: &Value) -> Self {
        Self::note_at(&[("person_id", person_id.clone())], text, mark)
    }

    fn note_at(at: &[(&str, Value)], text: &str, mark: &str) -> Self {
        let html = text.replace('&', "&amp;").replace('<', "&lt;").replace('\n', "<br>");
        let content = json!(format!("{html}<br>{mark}"));
        let body: Map<String, Value> = [("content".to_owned(), content)].into_iter().collect();
        let mut made = body.clone();
        made.extend(at.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let create = ask(Method::POST, "/v1/notes", made, cost::NOTE);
        Self { name: "note", create, change: (Method::PUT, "/v1/notes", body) }
    }

    /// What was written last, in few letters: the same again is not written.
    fn hash(&self) -> String {
        let text = Value::Object(self.change.2.clone()).to_string();
        format!("{:016x}", xxhash_rust::xxh3::xxh3_64(text.as_bytes()))
    }
}

fn ask(method: Method, path: &str, body: Map<String, Value>, cost: u32) -> Ask {
    Ask { method, path: path.to_owned(), body, cost }
}

/// What carries our key at a lead.
pub(super) fn origin_id(lead: &Lead) -> String {
    format!("leadline:{}", lead.text("lead_id").unwrap_or_default())
}

/// What carries our key in a note.
pub(super) fn mark(of: &str) -> String {
    format!("[{of}]")
}

/// An id of a person, as Pipedrive has it: a number.
pub(super) fn number(id: &str) -> Value {
    id.parse::<u64>().map_or_else(|_| json!(id), |id| json!(id))
}

/// Makes a thing, or changes the one that is known; one that somebody has deleted is made anew.
pub(super) async fn put(
    session: &mut Session<'_>,
    thing: &Thing,
    ids: &mut RemoteIds,
) -> Result<String, Failure> {
    let written = format!("{}_is", thing.name);
    if let Some(id) = ids.get(thing.name).map(str::to_owned) {
        if ids.get(&written) == Some(&thing.hash()) {
            return Ok(id);
        }
        let (method, path, body) = &thing.change;
        let change = ask(method.clone(), &format!("{path}/{id}"), body.clone(), thing.create.cost);
        match session.ask(change).await {
            Err(Failure::Gone(_)) => ids.forget(thing.name),
            answer => {
                answer?;
                ids.set(&written, &thing.hash());
                return Ok(id);
            }
        }
    }
    let Ask { method, path, body, cost } = &thing.create;
    let answer = session.ask(ask(method.clone(), path, body.clone(), *cost)).await;
    let id = match answer {
        Ok(data) => data.get("id").and_then(id_of),
        // It may be there: the next attempt looks, when search shows it.
        Err(Failure::Call(CallError::Retry { after, why })) => {
            let after = Some(after.unwrap_or(SEARCH_LAG).max(SEARCH_LAG));
            return Err(Failure::Call(CallError::Retry { after, why }));
        }
        Err(other) => return Err(other),
    };
    let id = id.ok_or_else(|| {
        let why = format!("Pipedrive's answer names no {}; it is looked for", thing.name);
        Failure::Call(CallError::Retry { after: Some(SEARCH_LAG), why })
    })?;
    ids.set(thing.name, &id);
    ids.set(&written, &thing.hash());
    Ok(id)
}

/// The id of the thing in a list whose member says that it is ours.
pub(super) async fn find(
    session: &mut Session<'_>,
    path: String,
    member: &str,
    is_ours: impl Fn(&str) -> bool,
) -> Result<Option<String>, Failure> {
    let data = session.ask(Ask::get(path, cost::LIST)).await?;
    let all = match &data {
        Value::Array(all) => all.as_slice(),
        // An empty list comes as null.
        Value::Null => &[],
        _ => return Err(unreadable()),
    };
    let found = all.iter().find(|one| one.get(member).and_then(Value::as_str).is_some_and(&is_ours));
    Ok(found.and_then(|one| id_of(one.get("id")?)))
}

pub(super) fn unreadable() -> Failure {
    Failure::Call(CallError::Retry {
        after: None,
        why: "Pipedrive's answer cannot be read; it is asked again".to_owned(),
    })
}

/// Persons and notes have numbers, leads have UUIDs.
pub(super) fn id_of(value: &Value) -> Option<String> {
    match value {
        Value::String(id) if !id.is_empty() => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}
