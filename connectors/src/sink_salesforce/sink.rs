//! The sink: a lead and its call, alone or together with others.

use std::time::Duration;

use tokio::time::Instant;

use super::batch::{Answered, Ids, request as upsert_request};
use super::client::{SalesforceClient, account_of};
use super::config::{Config, KIND, Record};
use super::judge::Failure;
use crate::contract::BoxFuture;
use crate::contract::provider::CallError;
use crate::contract::sink::{Guarantee, Sink, SinkAnswer, SinkRequest};
use crate::contract::wire::{Trace, WireRequest};
use crate::crm::{RemoteIds, Told, until};

/// Delivers to Salesforce.
pub struct SalesforceSink {
    client: SalesforceClient,
}

impl SalesforceSink {
    /// By this client.
    pub fn new(client: SalesforceClient) -> Self {
        Self { client }
    }

    async fn send(&self, request: &SinkRequest, deadline: Duration) -> Result<SinkAnswer, CallError> {
        let Some((config, record)) = read(request)? else { return Ok(SinkAnswer::default()) };
        let (until, account) = (until(deadline), account_of(request));
        let answered = match record.known {
            // It is an update first, which a collection cannot be.
            Some(_) => self.write(request, &config, vec![record], until).await.pop(),
            None => {
                let send = |records| self.write(request, &config, records, until);
                // A sender that hangs holds nobody longer than itself would.
                let sent = self.client.gather.send(&account, record, send);
                tokio::time::timeout_at(until, sent).await.ok().flatten()
            }
        };
        let Some((result, exchanges)) = answered else {
            return Err(CallError::Retry { after: None, why: "did not answer in time".to_owned() });
        };
        exchanges.into_iter().for_each(|exchange| request.trace.add(exchange));
        let Ids { lead, task } = result.map_err(Failure::into_call)?;
        let mut ids = RemoteIds::read(request.remote_id.as_deref());
        ids.set("lead", &lead);
        task.iter().for_each(|id| ids.set("task", id));
        Ok(SinkAnswer { remote_id: ids.kept() })
    }

    /// Writes records of one account; each hears what became of it, and of all requests.
    async fn write(
        &self,
        request: &SinkRequest,
        config: &Config,
        records: Vec<Record>,
        until: Instant,
    ) -> Vec<Answered> {
        let trace = Trace::default();
        let results = match self.client.session(request, config, &trace, until).await {
            Ok(mut session) => session.write(&records).await,
            Err(error) => records.iter().map(|_| Err(Failure::Call(error.clone()))).collect(),
        };
        let exchanges = trace.take();
        results.into_iter().map(|result| (result, exchanges.clone())).collect()
    }
}

fn read(request: &SinkRequest) -> Result<Option<(Config, Record)>, CallError> {
    let config = Config::of(&request.integration).map_err(|why| CallError::Reject { why })?;
    let record = match Told::read(&request.payload, &request.key.tenant)? {
        Told::Lead(lead) => config.record(&lead, false),
        Told::MissedCall(lead) => config.record(&lead, true),
        Told::Other => return Ok(None),
    };
    Ok(Some((config, record)))
}

impl Sink for SalesforceSink {
    fn kind(&self) -> &str {
        KIND
    }

    /// Leads and tasks are upserted by our keys.
    fn guarantee(&self) -> Guarantee {
        Guarantee::Once
    }

    fn deliver(
        &self,
        request: SinkRequest,
        deadline: Duration,
    ) -> BoxFuture<'_, Result<SinkAnswer, CallError>> {
        Box::pin(async move { self.send(&request, deadline).await })
    }

    fn preview(&self, request: &SinkRequest) -> Result<Vec<WireRequest>, CallError> {
        let Some((config, record)) = read(request)? else { return Ok(Vec::new()) };
        let mut wires = Vec::new();
        if let Some(known) = &record.known {
            wires.push(upsert_request(&config, &record, known, true));
        }
        wires.push(upsert_request(&config, &record, &record.lead, false));
        let shown = wires.into_iter().map(|wire| {
            WireRequest { url: format!("{{instance url}}{}", wire.url), ..wire }.bearer("{token}")
        });
        Ok(shown.collect())
    }
}
