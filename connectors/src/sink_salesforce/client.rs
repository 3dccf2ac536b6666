//! The client: one request, its price, the session it goes by, and what its answer means.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};
use tokio::time::Instant;

use super::batch::{Answered, Item};
use super::config::{COLLECTION_MAX, Config, DAY_MS, VERSION};
use super::judge::{Failure, judged, judged_login};
use super::login::{self, Login};
use crate::contract::clock::Clock;
use crate::contract::provider::CallError;
use crate::contract::sink::SinkRequest;
use crate::contract::tokens::AccessToken;
use crate::contract::wire::{Trace, WireAnswer, WireRequest};
use crate::crm::access::Credential;
use crate::crm::gather::Gather;
use crate::crm::limiter::{Limiter, Window};
use crate::crm::{Credentials, left};
use crate::http_client::Client;

/// Of the organisation's day, in percent, that leadline uses at most: the rest is for its other tools.
const SHARE_PERCENT: u64 = 90;

/// Asks Salesforce. Cheap to clone; all clones share limits and sessions, so a process has one.
#[derive(Clone)]
pub struct SalesforceClient {
    http: Client,
    credentials: Credentials,
    limiter: Limiter,
    clock: Arc<dyn Clock>,
    accounts: Arc<Mutex<HashMap<String, Account>>>,
    pub(super) gather: Arc<Gather<Item, Answered>>,
}

/// What is known of an organisation.
#[derive(Default)]
struct Account {
    /// The session in use, and the secret that it was had by.
    login: Option<(Login, String)>,
    /// Requests of 24 hours, as its answers say.
    most: Option<u32>,
}

/// A delivery, or a setup, under way.
pub(super) struct Session<'a> {
    client: &'a SalesforceClient,
    request: &'a SinkRequest,
    pub(super) config: &'a Config,
    trace: Trace,
    login: Login,
    granted: Option<AccessToken>,
    until: Instant,
}

impl SalesforceClient {
    /// With nothing asked yet.
    pub fn new(http: Client, credentials: Credentials, clock: Arc<dyn Clock>) -> Self {
        let limiter = Limiter::new(Arc::clone(&clock));
        let gather = Arc::new(Gather::new(COLLECTION_MAX));
        Self { http, credentials, limiter, clock, accounts: Arc::default(), gather }
    }

    /// What accounts have used.
    pub fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    fn with<T>(&self, account: &str, look: impl FnOnce(&mut Account) -> T) -> T {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        look(accounts.entry(account.to_owned()).or_default())
    }

    /// In the name of the request's integration, taken down in `trace`.
    pub(super) async fn session<'a>(
        &'a self,
        request: &'a SinkRequest,
        config: &'a Config,
        trace: &Trace,
        until: Instant,
    ) -> Result<Session<'a>, CallError> {
        let none = Login { bearer: String::new(), instance: String::new() };
        let mut session = Session {
            client: self,
            request,
            config,
            trace: trace.clone(),
            login: none,
            granted: None,
            until,
        };
        session.sign_in().await?;
        Ok(session)
    }
}

/// What an integration's limits and session are kept under.
pub(super) fn account_of(request: &SinkRequest) -> String {
    format!("{}/{}", request.key.tenant, request.integration.id)
}

impl Session<'_> {
    async fn sign_in(&mut self) -> Result<(), CallError> {
        match self.client.credentials.of(self.request).await? {
            Credential::Granted(token) => {
                let instance = token.api_url.clone().ok_or_else(|| CallError::Reject {
                    why: "the grant names no instance of Salesforce: connect it again".to_owned(),
                })?;
                self.login = Login {
                    bearer: token.bearer.clone(),
                    instance: instance.trim_end_matches('/').to_owned(),
                };
                self.granted = Some(token);
            }
            Credential::Entered(secret) => {
                let account = account_of(self.request);
                let known = self.client.with(&account, |known| known.login.clone());
                self.login = match known.filter(|(_, by)| *by == secret.0) {
                    Some((login, _)) => login,
                    None => {
                        let login = self.log_in(&secret.0).await?;
                        self.client.with(&account, |known| known.login = Some((login.clone(), secret.0)));
                        login
                    }
                };
            }
        }
        Ok(())
    }

    async fn log_in(&self, secret: &str) -> Result<Login, CallError> {
        let wire = login::request(self.config, secret, self.client.clock.wall().0 / 1_000)?;
        // Its answer holds the session: it is not taken down.
        let answer = self.client.http.exchange(&wire, left(self.until)?, &Trace::default()).await?;
        login::read(&judged_login(&answer)?)
    }

    /// The session was refused: another one, once.
    async fn renew(&mut self) -> Result<(), CallError> {
        match self.granted.take() {
            Some(token) => {
                let credential = Credential::Granted(token);
                let next = self.client.credentials.after_refusal(self.request, &credential).await?;
                if next.is_none() {
                    let why =
                        "Salesforce refuses the session, and there is no other: connect it again".to_owned();
                    return Err(CallError::Reject { why });
                }
            }
            None => {
                let refused = self.login.clone();
                self.client.with(&account_of(self.request), |known| {
                    known.login = known.login.take().filter(|(login, _)| *login != refused);
                });
            }
        }
        self.sign_in().await
    }

    /// The address of a path below the version.
    pub(super) fn path(path: &str) -> String {
        format!("/services/data/{VERSION}/{path}")
    }

    /// One request to a path of the instance; `sent` is what an error may be about.
    pub(super) async fn ask(
        &mut self,
        wire: &WireRequest,
        sent: &Map<String, Value>,
    ) -> Result<Value, Failure> {
        match self.once(wire, sent).await {
            Err(Failure::Ended(_)) => {
                self.renew().await?;
                self.once(wire, sent).await
            }
            answer => answer,
        }
    }

    async fn once(&self, wire: &WireRequest, sent: &Map<String, Value>) -> Result<Value, Failure> {
        let account = account_of(self.request);
        let (client, configured) = (self.client, self.config.requests_per_day);
        let most = client.with(&account, |known| known.most).map_or(configured, |most| most.min(configured));
        client.limiter.pay(&account, &[Window { length_ms: DAY_MS, most }], 1, self.until).await?;
        let url = format!("{}{}", self.login.instance, wire.url);
        let mut wire =
            WireRequest { url, ..wire.clone() }.bearer(&self.login.bearer).secret(&self.login.bearer);
        if self.config.allow_duplicates {
            wire = wire.header("sforce-duplicate-rule-header", "allowSave=true");
        }
        let answer = client.http.exchange(&wire, left(self.until)?, &self.trace).await?;
        self.learn(&account, &answer);
        let judged = judged(&answer, sent);
        if let Err(Failure::Limited(wait, _)) = &judged {
            client.limiter.close(&account, *wait);
        }
        let outcome = if judged.is_ok() { "answered" } else { "refused" };
        metrics::counter!("leadline_sink_requests_total", "kind" => super::KIND, "outcome" => outcome)
            .increment(1);
        judged
    }

    /// `Sforce-Limit-Info: api-usage=18/5000`: what the whole organisation has used of its 24 hours.
    fn learn(&self, account: &str, answer: &WireAnswer) {
        let header = answer.headers.get("sforce-limit-info").and_then(|value| value.to_str().ok());
        let Some((used, most)) = header.and_then(usage) else { return };
        let share = u32::try_from(most * SHARE_PERCENT / 100).unwrap_or(u32::MAX);
        self.client.with(account, |known| known.most = Some(share));
        self.client.limiter.told(account, DAY_MS, used);
    }
}

/// Used and allowed, of the organisation and not of an application.
pub(super) fn usage(header: &str) -> Option<(u64, u64)> {
    let pair = header.split(',').find_map(|part| part.trim().strip_prefix("api-usage="))?;
    let (used, most) = pair.split_once('/')?;
    Some((used.trim().parse().ok()?, most.trim().parse().ok()?))
}
