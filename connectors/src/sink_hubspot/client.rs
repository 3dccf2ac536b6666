//! The client: one request, its price, and what its answer means.

use std::collections::HashSet;
use std::sync::Arc;

use http::Method;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::config::{BATCH_MAX, Config, DAY_MS};
use super::judge::{Failure, judged, judged_item};
use crate::contract::clock::Clock;
use crate::contract::provider::CallError;
use crate::contract::sink::SinkRequest;
use crate::contract::wire::{Exchange, Trace, WireAnswer, WireRequest};
use crate::crm::access::Credential;
use crate::crm::gather::Gather;
use crate::crm::limiter::Limiter;
use crate::crm::{Credentials, left};
use crate::http_client::Client;

/// Asks HubSpot. Cheap to clone; all clones share the limiter, so a process has one.
#[derive(Clone)]
pub struct HubSpotClient {
    http: Client,
    credentials: Credentials,
    limiter: Limiter,
    gather: Arc<Gather<Input, Answered>>,
}

/// What became of one input, and the requests that were made for all.
type Answered = (Result<String, Failure>, Vec<Exchange>);

/// A delivery, or a setup, under way.
pub(super) struct Session<'a> {
    client: &'a HubSpotClient,
    pub(super) request: &'a SinkRequest,
    pub(super) config: &'a Config,
    credential: Credential,
    trace: Trace,
    until: Instant,
}

/// One input of a batch upsert.
#[derive(Clone, Debug)]
pub(super) struct Input {
    /// The property that names the contact.
    pub(super) by: String,
    /// Its value.
    pub(super) id: String,
    /// What is written.
    pub(super) properties: Map<String, Value>,
}

impl Input {
    fn wire(&self, place: usize) -> Value {
        json!({
            "idProperty": self.by, "id": self.id, "properties": self.properties,
            "objectWriteTraceId": trace_id(place),
        })
    }
}

fn trace_id(place: usize) -> String {
    format!("leadline-{place}")
}

/// The upsert of these contacts.
pub(super) fn upsert_request(config: &Config, inputs: &[Input]) -> WireRequest {
    let inputs: Vec<Value> = inputs.iter().enumerate().map(|(place, input)| input.wire(place)).collect();
    WireRequest::json(config.objects("contacts/batch/upsert"), &json!({ "inputs": inputs }))
}

impl HubSpotClient {
    /// With nothing asked yet.
    pub fn new(http: Client, credentials: Credentials, clock: Arc<dyn Clock>) -> Self {
        Self { http, credentials, limiter: Limiter::new(clock), gather: Arc::new(Gather::new(BATCH_MAX)) }
    }

    /// What accounts have used.
    pub fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    /// In the name of the request's integration, taken down in `trace`.
    pub(super) async fn session<'a>(
        &'a self,
        request: &'a SinkRequest,
        config: &'a Config,
        trace: &Trace,
        until: Instant,
    ) -> Result<Session<'a>, CallError> {
        let credential = self.credentials.of(request).await?;
        Ok(Session { client: self, request, config, credential, trace: trace.clone(), until })
    }

    /// Upserts inputs of one account; each hears what became of it, and of all requests.
    async fn send(
        &self,
        request: &SinkRequest,
        config: &Config,
        inputs: Vec<Input>,
        until: Instant,
    ) -> Vec<Answered> {
        let trace = Trace::default();
        let results = match self.session(request, config, &trace, until).await {
            Ok(mut session) => session.upsert_each(&inputs).await,
            Err(error) => inputs.iter().map(|_| Err(Failure::Call(error.clone()))).collect(),
        };
        let exchanges = trace.take();
        results.into_iter().map(|result| (result, exchanges.clone())).collect()
    }
}

impl Session<'_> {
    /// Limits count per account; an integration is one.
    fn account(&self) -> String {
        format!("{}/{}", self.request.key.tenant, self.request.integration.id)
    }

    /// One request; `sent` is what a validation error may be about.
    pub(super) async fn ask(
        &mut self,
        wire: WireRequest,
        sent: &Map<String, Value>,
    ) -> Result<WireAnswer, Failure> {
        match self.once(&wire, sent).await {
            Err(Failure::Denied(why)) => {
                let next = self.client.credentials.after_refusal(self.request, &self.credential).await?;
                let Some(next) = next else { return Err(Failure::Denied(why)) };
                self.credential = next;
                self.once(&wire, sent).await
            }
            answer => answer,
        }
    }

    async fn once(&self, wire: &WireRequest, sent: &Map<String, Value>) -> Result<WireAnswer, Failure> {
        let (limiter, account) = (&self.client.limiter, self.account());
        limiter.pay(&account, &self.config.windows, 1, self.until).await?;
        let secret = self.credential.secret();
        let wire = wire.clone().bearer(secret).secret(secret);
        let answer = self.client.http.exchange(&wire, left(self.until)?, &self.trace).await?;
        self.learn(&account, &answer);
        let answer = judged(answer, sent);
        if let Err(Failure::Limited(wait, _)) = &answer {
            limiter.close(&account, *wait);
        }
        let outcome = if answer.is_ok() { "answered" } else { "refused" };
        metrics::counter!("leadline_sink_requests_total", "kind" => super::KIND, "outcome" => outcome)
            .increment(1);
        answer
    }

    /// What HubSpot says of the day; it does not for OAuth.
    fn learn(&self, account: &str, answer: &WireAnswer) {
        let number =
            |name: &str| -> Option<u64> { answer.headers.get(name)?.to_str().ok()?.trim().parse().ok() };
        let daily = number("x-hubspot-ratelimit-daily");
        if let (Some(most), Some(remaining)) = (daily, number("x-hubspot-ratelimit-daily-remaining")) {
            self.client.limiter.told(account, DAY_MS, most.saturating_sub(remaining));
        }
    }

    /// Upserts a contact, together with those of deliveries that come at the same time.
    pub(super) async fn upsert_together(&mut self, input: Input) -> Result<String, Failure> {
        let (client, request, config, until) = (self.client, self.request, self.config, self.until);
        let account = self.account();
        let sent = client.gather.send(&account, input, |inputs| client.send(request, config, inputs, until));
        // A sender that hangs holds nobody longer than itself would.
        let answered = tokio::time::timeout_at(until, sent).await.ok().flatten();
        let Some((result, exchanges)) = answered else {
            let why = "did not answer in time".to_owned();
            return Err(Failure::Call(CallError::Retry { after: None, why }));
        };
        exchanges.into_iter().for_each(|exchange| self.trace.add(exchange));
        // Whoever sent may have had a token anew.
        self.credential = client.credentials.of(request).await?;
        result
    }

    /// Upserts these: those whose contact is there twice one after the other, and each alone where what is wrong with
    /// one has refused them all.
    async fn upsert_each(&mut self, inputs: &[Input]) -> Vec<Result<String, Failure>> {
        let mut seen = HashSet::new();
        let is_first: Vec<bool> = inputs.iter().map(|input| seen.insert(input.id.as_str())).collect();
        let firsts =
            inputs.iter().zip(&is_first).filter(|(_, first)| **first).map(|(input, _)| input.clone());
        let firsts: Vec<Input> = firsts.collect();
        let together = self.upsert(&firsts).await;
        let one_by_one = firsts.len() > 1
            && matches!(together, Err(Failure::Call(CallError::Reject { .. }) | Failure::Conflict(_)));
        let mut together = match together {
            Ok(answers) => answers,
            Err(failure) => firsts.iter().map(|_| Err(failure.clone())).collect(),
        }
        .into_iter();
        let mut all = Vec::with_capacity(inputs.len());
        for (input, first) in inputs.iter().zip(is_first) {
            let answer = if first { together.next() } else { None };
            all.push(match answer {
                Some(answer) if !one_by_one => answer,
                _ => self.upsert_one(input).await,
            });
        }
        all
    }

    /// Upserts one alone.
    pub(super) async fn upsert_one(&mut self, input: &Input) -> Result<String, Failure> {
        let mut answers = self.upsert(std::slice::from_ref(input)).await?;
        answers.pop().unwrap_or_else(|| {
            let why = "HubSpot's answer names no contact".to_owned();
            Err(Failure::Call(CallError::Retry { after: None, why }))
        })
    }

    /// Upserts at most [`BATCH_MAX`] contacts; what became of each, in their order. A bare 2xx says nothing of the single
    /// ones (207, or errors inside 200).
    pub(super) async fn upsert(&mut self, inputs: &[Input]) -> Result<Vec<Result<String, Failure>>, Failure> {
        debug_assert!(inputs.len() <= BATCH_MAX, "a batch has at most {BATCH_MAX} inputs");
        let wire = upsert_request(self.config, inputs);
        // An error of the whole batch is about its only input, or about none.
        let sent = match inputs {
            [only] => only.properties.clone(),
            _ => Map::new(),
        };
        let answer = self.ask(wire, &sent).await?;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        let list = |name: &str| body.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let (results, errors) = (list("results"), list("errors"));
        let of = |place: usize, input: &Input| {
            if let Some(error) = errors.iter().find(|error| is_about(error, place, inputs.len())) {
                return Err(judged_item(error, &input.properties));
            }
            let is_it = |result: &&Value| match result.get("objectWriteTraceId").and_then(Value::as_str) {
                Some(id) => id == trace_id(place),
                None => inputs.len() == 1,
            };
            let found = results.iter().find(is_it).and_then(|result| id_of(result.get("id")?));
            found.ok_or_else(|| {
                Failure::Call(CallError::Retry {
                    after: None,
                    why: "HubSpot's answer names no contact; it is asked again, which changes nothing"
                        .to_owned(),
                })
            })
        };
        Ok(inputs.iter().enumerate().map(|(place, input)| of(place, input)).collect())
    }
}

/// Whether an error is about the input at this place: its trace id says so, where there is one.
fn is_about(error: &Value, place: usize, count: usize) -> bool {
    let own = error.get("objectWriteTraceId").or_else(|| error.pointer("/context/objectWriteTraceId"));
    match own {
        Some(Value::Array(ids)) => ids.iter().any(|id| id.as_str() == Some(&trace_id(place))),
        Some(id) => id.as_str() == Some(&trace_id(place)),
        None => count == 1,
    }
}

/// An id, whether it comes as text or as a number.
pub(super) fn id_of(value: &Value) -> Option<String> {
    match value {
        Value::String(id) if !id.is_empty() => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

/// A request with a body by another method than POST.
pub(super) fn with_method(method: Method, wire: WireRequest) -> WireRequest {
    WireRequest { method, ..wire }
}
