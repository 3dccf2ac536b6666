//! The sink: person, lead, note; of a missed call person and note.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Ask, PipedriveClient, Session};
use super::config::{Config, KIND};
use super::judge::Failure;
use super::thing::{Thing, find, mark, number, origin_id, put};
use super::{missed, person};
use crate::contract::BoxFuture;
use crate::contract::provider::CallError;
use crate::contract::sink::{Guarantee, Sink, SinkAnswer, SinkRequest};
use crate::contract::wire::WireRequest;
use crate::crm::{Lead, RemoteIds, Told, until};

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
        let (config, told) = read(request)?;
        if told == Told::Other {
            return Ok(SinkAnswer::default());
        }
        let mut session = self.client.session(request, &config, until(deadline)).await?;
        let mut ids = RemoteIds::read(request.remote_id.as_deref());
        let written = match &told {
            Told::Lead(lead) => write(&mut session, lead, &mut ids).await,
            Told::MissedCall(call) => missed::write(&mut session, call, &mut ids).await,
            Told::Other => Ok(()),
        };
        match written.map_err(Failure::into_call) {
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

/// What is to be written, and how.
fn read(request: &SinkRequest) -> Result<(Config, Told), CallError> {
    let config = Config::of(&request.integration).map_err(|why| CallError::Reject { why })?;
    Ok((config, Told::read(&request.payload, &request.key.tenant)?))
}

async fn write(session: &mut Session<'_>, lead: &Lead, ids: &mut RemoteIds) -> Result<(), Failure> {
    let may_be_there = session.request.may_have_arrived;
    let person_id = person::of_lead(session, lead, ids).await?;
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
        let found = find(session, path, "content", |text| text.contains(&mark(&origin_id(lead)))).await?;
        found.iter().for_each(|id| ids.set("note", id));
    }
    put(session, &thing, ids).await.map(|_| ())
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
        let (config, told) = read(request)?;
        let ids = RemoteIds::read(request.remote_id.as_deref());
        let person_id = ids.get("person").map_or_else(|| json!("{person id}"), number);
        let asks = match &told {
            Told::Other => Vec::new(),
            Told::MissedCall(call) => {
                let person = Thing::person(&config, call).create;
                let is_known = ids.get("person").is_some();
                missed::preview(&request.key.subject, call, person, &person_id, is_known)?
            }
            Told::Lead(lead) => previewed(&config, lead, &ids, &person_id),
        };
        let shown = asks.iter().map(|ask| ask.wire(&config.base).header("x-api-token", "{token}"));
        Ok(shown.collect())
    }
}

/// The requests of a lead.
fn previewed(config: &Config, lead: &Lead, ids: &RemoteIds, person_id: &Value) -> Vec<Ask> {
    let lead_id = ids.get("lead").unwrap_or("{lead id}");
    let mut things = vec![Thing::person(config, lead), Thing::lead(config, lead, person_id)];
    things.extend(config.notes.then(|| Thing::note(lead, lead_id, person_id)));
    things.into_iter().map(|thing| thing.create).collect()
}
