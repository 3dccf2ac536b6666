//! The client: one request, what it costs, and what its answer means.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::callers::{Caller, Callers};
use super::config::{Config, cost};
use super::judge::{Failure, judged};
use crate::contract::clock::Clock;
use crate::contract::provider::CallError;
use crate::contract::sink::SinkRequest;
use crate::contract::wire::WireRequest;
use crate::crm::access::Credential;
use crate::crm::limiter::Limiter;
use crate::crm::{Credentials, left, until};
use crate::http_client::Client;

/// Asks Pipedrive. Cheap to clone; all clones share the limiters, so a process has one.
#[derive(Clone)]
pub struct PipedriveClient {
    http: Client,
    credentials: Credentials,
    /// Requests.
    bursts: Limiter,
    /// Tokens.
    days: Limiter,
    callers: Callers,
}

/// A delivery under way.
pub(super) struct Session<'a> {
    client: &'a PipedriveClient,
    pub(super) request: &'a SinkRequest,
    pub(super) config: &'a Config,
    credential: Credential,
    until: Instant,
}

/// One request of the API, without an address.
pub(super) struct Ask {
    pub(super) method: Method,
    /// With its version: `/api/v2/persons`.
    pub(super) path: String,
    pub(super) body: Map<String, Value>,
    /// In tokens.
    pub(super) cost: u32,
}

impl Ask {
    pub(super) fn get(path: String, cost: u32) -> Self {
        Self { method: Method::GET, path, body: Map::new(), cost }
    }

    pub(super) fn wire(&self, base: &str) -> WireRequest {
        let url = format!("{}{}", base.trim_end_matches('/'), self.path);
        match self.method {
            Method::GET => WireRequest::new(Method::GET, url),
            _ => WireRequest {
                method: self.method.clone(),
                ..WireRequest::json(url, &Value::Object(self.body.clone()))
            },
        }
    }
}

impl PipedriveClient {
    /// With nothing asked yet.
    pub fn new(http: Client, credentials: Credentials, clock: Arc<dyn Clock>) -> Self {
        let (bursts, days) = (Limiter::new(Arc::clone(&clock)), Limiter::new(clock));
        Self { http, credentials, bursts, days, callers: Callers::default() }
    }

    /// The tokens that accounts have used.
    pub fn tokens(&self) -> &Limiter {
        &self.days
    }

    pub(super) async fn session<'a>(
        &'a self,
        request: &'a SinkRequest,
        config: &'a Config,
        until: Instant,
    ) -> Result<Session<'a>, CallError> {
        let credential = self.credentials.of(request).await?;
        Ok(Session { client: self, request, config, credential, until })
    }
}

/// The company and user that an integration's token belongs to, for a person who sets it up.
pub async fn whose(
    client: &PipedriveClient,
    request: &SinkRequest,
    deadline: Duration,
) -> Result<String, CallError> {
    let config = Config::of(&request.integration).map_err(|why| CallError::Reject { why })?;
    let mut session = client.session(request, &config, until(deadline)).await?;
    let user =
        session.ask(Ask::get("/v1/users/me".to_owned(), cost::SELF)).await.map_err(Failure::into_call)?;
    let text = |name: &str| user.get(name).and_then(Value::as_str).unwrap_or("?").to_owned();
    Ok(format!("{} of {}", text("name"), text("company_name")))
}

impl Session<'_> {
    /// The budget is the company's, and so are its persons; an integration is one.
    fn account(&self) -> String {
        format!("{}/{}", self.request.key.tenant, self.request.integration.id)
    }

    /// The turn at a caller, by its key.
    pub(super) async fn caller(&self, key: &str) -> Result<Caller, CallError> {
        let account = self.account();
        let turn = self.client.callers.turn(&account, key);
        tokio::time::timeout_at(self.until, turn).await.map_err(|_| CallError::Retry {
            after: None,
            why: "another delivery about the same caller was still under way".to_owned(),
        })
    }

    /// The `data` of the answer; null where what was answered cannot be read.
    pub(super) async fn ask(&mut self, ask: Ask) -> Result<Value, Failure> {
        match self.once(&ask).await {
            Err(Failure::Denied(why)) => {
                let next = self.client.credentials.after_refusal(self.request, &self.credential).await?;
                let Some(next) = next else { return Err(Failure::Denied(why)) };
                self.credential = next;
                self.once(&ask).await
            }
            answer => answer,
        }
    }

    async fn once(&self, ask: &Ask) -> Result<Value, Failure> {
        let account = self.account();
        let (client, config) = (self.client, self.config);
        client.bursts.pay(&account, &[config.burst], 1, self.until).await?;
        client.days.pay(&account, &[config.day], ask.cost, self.until).await?;
        let base = self.credential.api_url().unwrap_or(&config.base);
        let wire = match &self.credential {
            Credential::Entered(token) => ask.wire(base).header("x-api-token", &token.0),
            Credential::Granted(token) => ask.wire(base).bearer(&token.bearer),
        };
        let wire = wire.secret(self.credential.secret());
        let answer = client.http.exchange(&wire, left(self.until)?, &self.request.trace).await?;
        let judged = judged(&answer, &ask.body);
        if let Err(Failure::Limited(wait, _)) = &judged {
            client.bursts.close(&account, *wait);
        }
        let outcome = if judged.is_ok() { "answered" } else { "refused" };
        metrics::counter!("leadline_sink_requests_total", "kind" => super::KIND, "outcome" => outcome)
            .increment(1);
        judged
    }
}
