//! The client: one request, its price, and what its answer means.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode, header};
use reqwest::{Response, Url};

use super::access::Access;
use super::budget::Budgets;
use super::config::{ANSWER_BYTES_MAX, CONNECT_TIMEOUT, CallRailConfig, REQUEST_FROM};
use super::error::CallRailError;
use super::fields::Fields;
use super::guard::UrlGuard;
use crate::contract::clock::Clock;
use crate::http_client::{self, bounded_to, not_sent, quote, retry_after};

/// Asks CallRail. Cheap to clone; all clones share the budgets, so a process has one.
#[derive(Clone)]
pub struct CallRailClient {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) http: reqwest::Client,
    pub(super) guard: UrlGuard,
    pub(super) budgets: Budgets,
    pub(super) fields: Fields,
    pub(super) clock: Arc<dyn Clock>,
}

/// One request of the API.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// Below `/v3`, with `.json`.
    pub(super) path: String,
    pub(super) query: &'a [(&'a str, String)],
    /// JSON.
    pub(super) body: Option<String>,
    /// What it is about, for a person: "call CAL1".
    pub(super) what: String,
}

impl<'a> Ask<'a> {
    /// A GET.
    pub(super) fn get(path: String, query: &'a [(&'a str, String)], what: impl Into<String>) -> Self {
        Self { method: Method::GET, path, query, body: None, what: what.into() }
    }
}

impl CallRailClient {
    /// A client of the API that is configured.
    pub fn new(config: &CallRailConfig, clock: Arc<dyn Clock>) -> Result<Self, CallRailError> {
        let refused = |why: String| CallRailError::Refused { status: 0, why };
        let guard = UrlGuard::new(&config.base_url)
            .map_err(|_| refused(format!("callrail.base_url {:?} is no address", config.base_url)))?;
        let http = http_client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(guard.resolver().shared())
            .build()
            .map_err(|error| refused(format!("there is no HTTP client: {error}")))?;
        let budgets = Budgets::new(config);
        Ok(Self { shared: Arc::new(Shared { http, guard, budgets, fields: Fields::default(), clock }) })
    }

    /// What accounts have used and may use.
    pub fn budgets(&self) -> &Budgets {
        &self.shared.budgets
    }

    /// Which addresses are fetched.
    pub fn guard(&self) -> &UrlGuard {
        &self.shared.guard
    }

    /// The body of the answer, for 2xx.
    pub(super) async fn ask(&self, access: &Access, ask: Ask<'_>) -> Result<Vec<u8>, CallRailError> {
        self.pay(access)?;
        let url = self.address(&ask)?;
        let sent = self.request(access, url, &ask).send().await;
        let response = match sent {
            Ok(response) => response,
            Err(error) => {
                let why = not_sent(&error).to_string();
                // Whoever never connected has created nothing.
                let may_have_acted = ask.method == Method::POST && !error.is_connect();
                let error = match may_have_acted {
                    true => CallRailError::Unclear { why },
                    false => CallRailError::Unavailable { why },
                };
                return counted("unavailable", Err(error));
            }
        };
        let answer = self.judged(&access.account_id, response, &ask.what).await;
        let outcome = if answer.is_ok() { "answered" } else { "refused" };
        counted(outcome, answer)
    }

    /// Pays for a request of an account.
    fn pay(&self, access: &Access) -> Result<(), CallRailError> {
        let now_ms = self.shared.clock.boot_ms();
        self.shared.budgets.take(&access.account_id, access.priority, now_ms).map_err(|after| {
            metrics::counter!("leadline_callrail_waits_total").increment(1);
            CallRailError::Limited {
                after,
                why: "CallRail's limit of requests of this account is used up".to_owned(),
            }
        })
    }

    fn request(&self, access: &Access, url: Url, ask: &Ask<'_>) -> reqwest::RequestBuilder {
        let request = self
            .shared
            .http
            .request(ask.method.clone(), url)
            .header(header::AUTHORIZATION, access.authorization())
            .header("request-from", REQUEST_FROM)
            .header(header::ACCEPT, "application/json")
            .timeout(access.timeout);
        match &ask.body {
            Some(body) => request.header(header::CONTENT_TYPE, "application/json").body(body.clone()),
            None => request,
        }
    }

    /// The address of a request, which is below the configured base whatever its parts say.
    fn address(&self, ask: &Ask<'_>) -> Result<Url, CallRailError> {
        let odd = || CallRailError::Odd { why: format!("{} makes no address of the API", ask.what) };
        let mut url = self.shared.guard.base().join(&format!("/v3{}", ask.path)).map_err(|_| odd())?;
        if !ask.query.is_empty() {
            url.query_pairs_mut().extend_pairs(ask.query.iter().map(|(name, value)| (name, value)));
        }
        if !self.shared.guard.is_api(&url) {
            return Err(odd());
        }
        Ok(url)
    }

    /// What an answer says.
    async fn judged(&self, account: &str, response: Response, what: &str) -> Result<Vec<u8>, CallRailError> {
        let status = response.status();
        if status.is_success() {
            self.shared.budgets.answered(account);
            let body = bounded_to(response, ANSWER_BYTES_MAX)
                .await
                .map_err(|error| CallRailError::Unavailable { why: error.to_string() })?;
            return body.ok_or(CallRailError::TooLarge { bytes_max: ANSWER_BYTES_MAX });
        }
        Err(self.failure(account, response, what).await)
    }

    /// What an answer that is none means.
    pub(super) async fn failure(&self, account: &str, response: Response, what: &str) -> CallRailError {
        let status = response.status();
        let after = retry_after(response.headers());
        if status == StatusCode::TOO_MANY_REQUESTS {
            let pause = self.shared.budgets.refused(account, self.shared.clock.boot_ms());
            // The reference knows no Retry-After; should one come, it counts.
            return CallRailError::Limited {
                after: after.map_or(pause, |after| after.max(Duration::from_secs(1))),
                why: "CallRail says that this account has asked too often (429)".to_owned(),
            };
        }
        let why = quote(response).await;
        let number = status.as_u16();
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => CallRailError::Denied { status: number, why },
            StatusCode::NOT_FOUND | StatusCode::GONE => CallRailError::NotFound { what: what.to_owned() },
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => {
                CallRailError::Unavailable { why: format!("answered {number}: {why}") }
            }
            _ if status.is_server_error() => {
                CallRailError::Unavailable { why: format!("answered {number}: {why}") }
            }
            _ if is_retention(&why) => CallRailError::BeyondRetention { why },
            _ => CallRailError::Refused { status: number, why },
        }
    }
}

fn counted<T>(outcome: &'static str, answer: Result<T, CallRailError>) -> Result<T, CallRailError> {
    metrics::counter!("leadline_callrail_requests_total", "outcome" => outcome).increment(1);
    answer
}

/// CallRail publishes no codes; its error for a range that begins too early speaks of the retention.
fn is_retention(why: &str) -> bool {
    let why = why.to_ascii_lowercase();
    ["retention", "25 months", "25-month", "retained"].iter().any(|words| why.contains(words))
}

/// An id as a part of a path. Ids come from payloads too, so none may hold a slash or dots.
pub(super) fn segment<'a>(what: &str, id: &'a str) -> Result<&'a str, CallRailError> {
    if id.is_empty()
        || id.len() > 64
        || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    {
        let id: String = id.chars().take(80).collect();
        return Err(CallRailError::Odd { why: format!("{id:?} is no id of {what}") });
    }
    Ok(id)
}
