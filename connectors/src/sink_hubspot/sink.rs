//! The sink: contact, note, call.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::client::{HubSpotClient, Input, Session, upsert_request};
use super::config::{Config, KIND};
use super::engagements::Engagement;
use super::judge::Failure;
use crate::contract::BoxFuture;
use crate::contract::provider::CallError;
use crate::contract::sink::{Guarantee, Sink, SinkAnswer, SinkRequest};
use crate::contract::wire::WireRequest;
use crate::crm::{Lead, RemoteIds, Told, until};

/// Delivers to HubSpot.
pub struct HubSpotSink {
    client: HubSpotClient,
}

impl HubSpotSink {
    /// By this client.
    pub fn new(client: HubSpotClient) -> Self {
        Self { client }
    }

    async fn send(&self, request: &SinkRequest, deadline: Duration) -> Result<SinkAnswer, CallError> {
        let config = Config::of(&request.integration).map_err(|why| CallError::Reject { why })?;
        let (lead, missed) = match Told::read(&request.payload, &request.key.tenant)? {
            Told::Lead(lead) => (lead, false),
            Told::MissedCall(lead) => (lead, true),
            Told::Other => return Ok(SinkAnswer::default()),
        };
        let mut session = self.client.session(request, &config, &request.trace, until(deadline)).await?;
        let mut ids = RemoteIds::read(request.remote_id.as_deref());
        let contact_id = upsert(&mut session, &lead).await.map_err(Failure::into_call)?;
        ids.set("contact", &contact_id);
        let engaged = engage(&mut session, &lead, missed, &contact_id, &mut ids).await;
        match engaged.map_err(Failure::into_call) {
            Ok(()) => Ok(SinkAnswer { remote_id: ids.kept() }),
            Err(CallError::Reject { why }) => {
                Err(CallError::Reject { why: format!("contact {contact_id} was written, but: {why}") })
            }
            Err(error) => Err(error),
        }
    }
}

/// The contact's properties, all of them text.
fn properties(config: &Config, lead: &Lead) -> Map<String, Value> {
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    let mut properties: Map<String, Value> = config
        .fields
        .fill(lead)
        .into_iter()
        .map(|(name, value)| (name.to_owned(), json!(text(value))))
        .collect();
    properties.extend(config.owner_id.iter().map(|id| ("hubspot_owner_id".to_owned(), json!(id))));
    properties
}

fn by_key(config: &Config, lead: &Lead) -> Input {
    Input { by: config.lead_key.clone(), id: lead.key(), properties: properties(config, lead) }
}

/// The contact's id. Where its email address is another contact's, that one is taken for it, unless it has the key of
/// another caller: then the address stays where it is.
async fn upsert(session: &mut Session<'_>, lead: &Lead) -> Result<String, Failure> {
    let first = by_key(session.config, lead);
    let refused = match session.upsert_together(first.clone()).await {
        Err(Failure::Conflict(why)) => why,
        answer => return answer,
    };
    let Some(email) = first.properties.get("email").and_then(Value::as_str).map(str::to_owned) else {
        return Err(Failure::Conflict(refused));
    };
    let mut second = Input { by: "email".to_owned(), id: email, properties: first.properties.clone() };
    second.properties.insert(first.by.clone(), json!(first.id));
    match session.upsert_one(&second).await {
        Err(Failure::Conflict(_)) => {}
        answer => return answer,
    }
    let mut third = first;
    third.properties.remove("email");
    session.upsert_one(&third).await
}

async fn engage(
    session: &mut Session<'_>,
    lead: &Lead,
    missed: bool,
    contact_id: &str,
    ids: &mut RemoteIds,
) -> Result<(), Failure> {
    let may_be_there = session.request.may_have_arrived;
    let note = (session.config.notes && !missed).then(|| Engagement::note(session.config, lead)).flatten();
    if let Some(note) = note {
        let known = ids.get("note").map(str::to_owned);
        let id = session.engage(&note, contact_id, known.as_deref(), may_be_there).await?;
        id.iter().for_each(|id| ids.set("note", id));
    }
    let call = session.config.calls.then(|| Engagement::call(session.config, lead, missed)).flatten();
    let Some((call, call_id)) = call.zip(lead.last_call_id()) else { return Ok(()) };
    if ids.get("call") != Some(call_id) {
        // Its alert, which is another delivery, may have entered it before.
        session.engage(&call, contact_id, None, true).await?;
        ids.set("call", call_id);
    }
    Ok(())
}

impl Sink for HubSpotSink {
    fn kind(&self) -> &str {
        KIND
    }

    /// Contacts are upserted; notes and calls are looked for before they are made again.
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
        let config = Config::of(&request.integration).map_err(|why| CallError::Reject { why })?;
        let (lead, missed) = match Told::read(&request.payload, &request.key.tenant)? {
            Told::Lead(lead) => (lead, false),
            Told::MissedCall(lead) => (lead, true),
            Told::Other => return Ok(Vec::new()),
        };
        let mut wires = vec![upsert_request(&config, &[by_key(&config, &lead)])];
        let contact_id = RemoteIds::read(request.remote_id.as_deref()).get("contact").map(str::to_owned);
        let contact_id = contact_id.unwrap_or_else(|| "{contact id}".to_owned());
        let note = (config.notes && !missed).then(|| Engagement::note(&config, &lead)).flatten();
        let call = config.calls.then(|| Engagement::call(&config, &lead, missed)).flatten();
        wires.extend(note.iter().chain(&call).map(|one| one.create(&config, &contact_id)));
        Ok(wires.into_iter().map(|wire| wire.bearer("{token}")).collect())
    }
}
