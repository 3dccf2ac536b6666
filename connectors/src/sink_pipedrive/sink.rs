//! The sink: person, lead, note.

use std::time::Duration;

use http::Method;
use serde_json::{Map, Value, json};

use super::client::{Ask, PipedriveClient, Session};
use super::config::{Config, KIND, SEARCH_LAG, cost};
use super::judge::Failure;
use crate::contract::BoxFuture;
use crate::contract::provider::CallError;
use crate::contract::sink::{Guarantee, Sink, SinkAnswer, SinkRequest};
use crate::contract::wire::WireRequest;
use crate::crm::{Lead, RemoteIds, Told, until};

/// Persons of one number whose leads are looked through.
const PERSONS_MAX: usize = 3;

/// Delivers to Pipedrive.
pub struct PipedriveSink {
    client: PipedriveClient,
}

impl PipedriveSink {
    /// By this client.
    pub fn new(client: PipedriveClient) -> Self {
        Self { client }
    }

    async fn send(&self, request: &SinkRequest, deadline: Duration) -> Result<SinkAnswer, CallError> {
        let Some((config, lead)) = read(request)? else { return Ok(SinkAnswer::default()) };
        let mut session = self.client.session(request, &config, until(deadline)).await?;
        let mut ids = RemoteIds::read(request.remote_id.as_deref());
        match write(&mut session, &lead, &mut ids).await.map_err(Failure::into_call) {
            Ok(()) => Ok(SinkAnswer { remote_id: ids.kept() }),
            // What is made already is found again by the next attempt; a person is told of it.
            Err(CallError::Reject { why }) if ids.get("person").is_some() && request.remote_id.is_none() => {
                let person = ids.get("person").unwrap_or_default();
                Err(CallError::Reject { why: format!("person {person} was written, but: {why}") })
            }
            Err(error) => Err(error),
        }
    }
}

/// What is to be written; nothing of what is not a lead.
fn read(request: &SinkRequest) -> Result<Option<(Config, Lead)>, CallError> {
    let config = Config::of(&request.integration).map_err(|why| CallError::Reject { why })?;
    match Told::read(&request.payload, &request.key.tenant)? {
        Told::Lead(lead) => Ok(Some((config, lead))),
        Told::MissedCall(_) | Told::Other => Ok(None),
    }
}

/// One thing of Pipedrive's: how it is made, changed and found again.
struct Thing {
    name: &'static str,
    create: Ask,
    /// What changes it is sent to; an id follows.
    change: (Method, &'static str, Map<String, Value>),
}

impl Thing {
    fn person(config: &Config, lead: &Lead) -> Self {
        let body = config.person(lead);
        let create = ask(Method::POST, "/api/v2/persons", body.clone(), cost::PERSON);
        Self { name: "person", create, change: (Method::PATCH, "/api/v2/persons", body) }
    }

    fn lead(config: &Config, lead: &Lead, person_id: &Value) -> Self {
        let body = config.lead(lead);
        let mut made = body.clone();
        made.insert("person_id".to_owned(), person_id.clone());
        made.insert("origin_id".to_owned(), json!(origin_id(lead)));
        made.insert("was_seen".to_owned(), json!(false));
        let create = ask(Method::POST, "/v1/leads", made, cost::LEAD);
        Self { name: "lead", create, change: (Method::PATCH, "/v1/leads", body) }
    }

    fn note(lead: &Lead, lead_id: &str, person_id: &Value) -> Self {
        let html = lead.summary().replace('&', "&amp;").replace('<', "&lt;").replace('\n', "<br>");
        let content = format!("{html}<br>{}", mark(lead));
        let body: Map<String, Value> = [("content".to_owned(), json!(content))].into_iter().collect();
        let mut made = body.clone();
        made.insert("lead_id".to_owned(), json!(lead_id));
        made.insert("person_id".to_owned(), person_id.clone());
        made.insert("pinned_to_lead_flag".to_owned(), json!(1));
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
fn origin_id(lead: &Lead) -> String {
    format!("leadline:{}", lead.text("lead_id").unwrap_or_default())
}

/// What carries our key in a note.
fn mark(lead: &Lead) -> String {
    format!("[{}]", origin_id(lead))
}

/// An id of a person, as Pipedrive has it: a number.
fn number(id: &str) -> Value {
    id.parse::<u64>().map_or_else(|_| json!(id), |id| json!(id))
}

async fn write(session: &mut Session<'_>, lead: &Lead, ids: &mut RemoteIds) -> Result<(), Failure> {
    let may_be_there = session.request.may_have_arrived;
    let thing = Thing::person(session.config, lead);
    if ids.get("person").is_none() && (may_be_there || session.config.find_first) {
        look(session, lead, ids).await?;
    }
    let person_id = put(session, &thing, ids).await?;
    let path = format!("/v1/leads?person_id={person_id}");
    let person_id = number(&person_id);
    if ids.get("lead").is_none() && session.request.remote_id.is_some() && may_be_there {
        let found = find(session, path, "origin_id", |text| text == origin_id(lead)).await?;
        found.iter().for_each(|id| ids.set("lead", id));
    }
    let thing = Thing::lead(session.config, lead, &person_id);
    let lead_id = put(session, &thing, ids).await?;
    if !session.config.notes {
        return Ok(());
    }
    let thing = Thing::note(lead, &lead_id, &person_id);
    if ids.get("note").is_none() && may_be_there {
        let path = format!("/v1/notes?lead_id={lead_id}");
        let found = find(session, path, "content", |text| text.contains(&mark(lead))).await?;
        found.iter().for_each(|id| ids.set("note", id));
    }
    put(session, &thing, ids).await.map(|_| ())
}

/// Makes a thing, or changes the one that is known; one that somebody has deleted is made anew.
async fn put(session: &mut Session<'_>, thing: &Thing, ids: &mut RemoteIds) -> Result<String, Failure> {
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

/// Looks for the caller's person, and for the lead at each who may be it; without a lead the oldest person is taken, so
/// that each attempt takes the same.
async fn look(session: &mut Session<'_>, lead: &Lead, ids: &mut RemoteIds) -> Result<(), Failure> {
    let persons = find_persons(session, lead).await?;
    persons.first().iter().for_each(|id| ids.set("person", id));
    if !session.request.may_have_arrived {
        return Ok(());
    }
    for person in persons.iter().take(PERSONS_MAX) {
        let path = format!("/v1/leads?person_id={person}");
        if let Some(id) = find(session, path, "origin_id", |text| text == origin_id(lead)).await? {
            ids.set("person", person);
            ids.set("lead", &id);
            break;
        }
    }
    Ok(())
}

/// The persons of the caller's number, else of its address, oldest first.
async fn find_persons(session: &mut Session<'_>, lead: &Lead) -> Result<Vec<String>, Failure> {
    let by = lead.text("phone").map(|phone| ("phone", phone));
    let Some((field, term)) = by.or_else(|| lead.text("email").map(|email| ("email", email))) else {
        return Ok(Vec::new());
    };
    let query = serde_urlencoded::to_string([("term", term), ("fields", field), ("exact_match", "true")]);
    let query = query.map_err(|error| CallError::Reject { why: error.to_string() })?;
    let data = session.ask(Ask::get(format!("/api/v2/persons/search?{query}"), cost::SEARCH)).await?;
    let items = data.get("items").and_then(Value::as_array).ok_or_else(unreadable)?;
    let mut ids: Vec<String> = items.iter().filter_map(|item| id_of(item.pointer("/item/id")?)).collect();
    ids.sort_by_key(|id| id.parse::<u64>().unwrap_or(u64::MAX));
    Ok(ids)
}

/// The id of the thing in a list whose member says that it is ours.
async fn find(
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

fn unreadable() -> Failure {
    Failure::Call(CallError::Retry {
        after: None,
        why: "Pipedrive's answer cannot be read; it is asked again".to_owned(),
    })
}

/// Persons and notes have numbers, leads have UUIDs.
fn id_of(value: &Value) -> Option<String> {
    match value {
        Value::String(id) if !id.is_empty() => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

impl Sink for PipedriveSink {
    fn kind(&self) -> &str {
        KIND
    }

    /// Nothing can be upserted; what may be there is looked for.
    fn guarantee(&self) -> Guarantee {
        Guarantee::Reconciled
    }

    fn deliver(
        &self,
        request: SinkRequest,
        deadline: Duration,
    ) -> BoxFuture<'_, Result<SinkAnswer, CallError>> {
        Box::pin(async move { self.send(&request, deadline).await })
    }

    fn preview(&self, request: &SinkRequest) -> Result<Vec<WireRequest>, CallError> {
        let Some((config, lead)) = read(request)? else { return Ok(Vec::new()) };
        let ids = RemoteIds::read(request.remote_id.as_deref());
        let person_id = ids.get("person").map_or_else(|| json!("{person id}"), number);
        let lead_id = ids.get("lead").unwrap_or("{lead id}");
        let mut things = vec![Thing::person(&config, &lead), Thing::lead(&config, &lead, &person_id)];
        things.extend(config.notes.then(|| Thing::note(&lead, lead_id, &person_id)));
        let shown =
            things.iter().map(|thing| thing.create.wire(&config.base).header("x-api-token", "{token}"));
        Ok(shown.collect())
    }
}
