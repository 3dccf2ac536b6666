//! The caller's person: known, found, or made.

use serde_json::Value;

use super::client::{Ask, Session};
use super::config::cost;
use super::judge::Failure;
use super::thing::{Thing, find, id_of, origin_id, put, unreadable};
use crate::contract::provider::CallError;
use crate::crm::{Lead, RemoteIds};

/// Persons of one number whose leads are looked through.
const PERSONS_MAX: usize = 3;

/// The person of a lead, as the lead has it.
pub(super) async fn of_lead(
    session: &mut Session<'_>,
    lead: &Lead,
    ids: &mut RemoteIds,
) -> Result<String, Failure> {
    let thing = Thing::person(session.config, lead);
    if ids.get("person").is_some() {
        return put(session, &thing, ids).await;
    }
    let mut made = session.caller(&lead.key()).await?;
    if session.request.may_have_arrived || session.config.find_first {
        look(session, lead, ids, made.id()).await?;
    }
    if let Some(id) = made.id().filter(|_| ids.get("person").is_none()) {
        ids.set("person", id);
    }
    let id = put(session, &thing, ids).await?;
    made.is(&id);
    Ok(id)
}

/// The person who has called: one that is there is left as it is, for a call tells no more than a number.
pub(super) async fn of_caller(
    session: &mut Session<'_>,
    call: &Lead,
    ids: &mut RemoteIds,
) -> Result<String, Failure> {
    if let Some(known) = ids.get("person") {
        return Ok(known.to_owned());
    }
    let mut made = session.caller(&call.key()).await?;
    let known = match made.id() {
        Some(id) => Some(id.to_owned()),
        None => find_persons(session, call).await?.into_iter().next(),
    };
    let id = match known {
        Some(id) => {
            ids.set("person", &id);
            id
        }
        None => put(session, &Thing::person(session.config, call), ids).await?,
    };
    made.is(&id);
    Ok(id)
}

/// Looks for the caller's person, and for the lead at each who may be it; without a lead the oldest person is taken, so
/// that each attempt takes the same.
async fn look(
    session: &mut Session<'_>,
    lead: &Lead,
    ids: &mut RemoteIds,
    made: Option<&str>,
) -> Result<(), Failure> {
    let mut persons = find_persons(session, lead).await?;
    persons.extend(made.filter(|id| !persons.iter().any(|known| known == id)).map(str::to_owned));
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

/// What looks for the caller's persons; none of a caller that has neither number nor address.
pub(super) fn search_of(lead: &Lead) -> Result<Option<Ask>, CallError> {
    let by = lead.text("phone").map(|phone| ("phone", phone));
    let Some((field, term)) = by.or_else(|| lead.text("email").map(|email| ("email", email))) else {
        return Ok(None);
    };
    let query = serde_urlencoded::to_string([("term", term), ("fields", field), ("exact_match", "true")]);
    let query = query.map_err(|error| CallError::Reject { why: error.to_string() })?;
    Ok(Some(Ask::get(format!("/api/v2/persons/search?{query}"), cost::SEARCH)))
}

/// The persons of the caller's number, else of its address, oldest first.
async fn find_persons(session: &mut Session<'_>, lead: &Lead) -> Result<Vec<String>, Failure> {
    let Some(search) = search_of(lead)? else { return Ok(Vec::new()) };
    let data = session.ask(search).await?;
    let items = data.get("items").and_then(Value::as_array).ok_or_else(unreadable)?;
    let mut ids: Vec<String> = items.iter().filter_map(|item| id_of(item.pointer("/item/id")?)).collect();
    ids.sort_by_key(|id| id.parse::<u64>().unwrap_or(u64::MAX));
    Ok(ids)
}
