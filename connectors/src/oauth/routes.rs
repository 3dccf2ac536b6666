//! The way of a browser: to the vendor, and back.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use leadline_schemas::Millis;
use ring::rand::{SecureRandom, SystemRandom};
use serde::Deserialize;

use super::flow::{About, Flow};
use super::tokens::OAuthTokens;
use crate::contract::provider::CallError;
use crate::contract::source::Intake;
use crate::http_server::Problem;
use crate::source_http::authorised;

/// Ties the way back to the browser that went away.
const COOKIE: &str = "leadline_oauth";
/// Longest id of an integration.
const ID_CHARS_MAX: usize = 40;
/// As long as a state is good.
const COOKIE_S: u32 = 600;

/// What the routes are given.
pub struct ConnectParts {
    /// Whose tokens are known.
    pub intake: Arc<dyn Intake>,
    /// Who takes codes.
    pub tokens: Arc<OAuthTokens>,
    /// Signs states, and knows links.
    pub flow: Flow,
    /// Where browsers reach this API, without a slash at its end.
    pub public_url: String,
}

#[derive(Deserialize)]
struct Start {
    tenant: Option<String>,
    integration: Option<String>,
    link: Option<String>,
}

#[derive(Deserialize)]
struct Back {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// `GET /oauth/{kind}/start` and `GET /oauth/callback`.
pub fn routes(parts: ConnectParts) -> Router {
    Router::new()
        .route("/oauth/{kind}/start", get(start))
        .route("/oauth/callback", get(callback))
        .with_state(Arc::new(parts))
}

impl ConnectParts {
    fn now(&self) -> Millis {
        self.tokens.clock.wall()
    }

    /// What vendors have to be told to send browsers back to.
    fn redirect_uri(&self) -> String {
        format!("{}/oauth/callback", self.public_url)
    }

    /// What it is about: a link says it, or whoever has the tenant's token.
    async fn about(&self, kind: &str, asked: Start, headers: &HeaderMap) -> Result<About, Problem> {
        if let Some(link) = &asked.link {
            let about = self.flow.of_link(link, self.now()).filter(|about| about.kind == kind);
            return about.ok_or_else(|| {
                Problem::new(
                    StatusCode::FORBIDDEN,
                    "this link has ended or is not whole: print another with `leadline integration connect`",
                )
            });
        }
        let tenant = asked.tenant.ok_or_else(|| Problem::bad_request("parameter tenant is missing"))?;
        let id = asked.integration.ok_or_else(|| Problem::bad_request("parameter integration is missing"))?;
        let settings = self.intake.fresh_settings().await;
        let tenant = authorised(&settings, &tenant, headers)?;
        let is_id = (1..=ID_CHARS_MAX).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if !is_id {
            let what =
                format!("integration {id:?} is not valid: use 1 to {ID_CHARS_MAX} letters, digits, - and _");
            return Err(Problem::bad_request(what));
        }
        if let Some(other) = tenant.integration(&id).filter(|one| one.kind != kind) {
            return Err(Problem::bad_request(format!(
                "integration {id:?} is of kind {}, not {kind}",
                other.kind
            )));
        }
        let (tenant, kind) = (tenant.tenant.clone(), kind.to_owned());
        Ok(About { tenant, integration: id, kind, nonce: String::new(), until: Millis(0) })
    }
}

async fn start(
    State(parts): State<Arc<ConnectParts>>,
    Path(kind): Path<String>,
    Query(asked): Query<Start>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let app = parts.tokens.apps.of(&kind).map_err(Problem::not_found)?;
    let about = parts.about(&kind, asked, &headers).await?;
    let broken =
        || Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the system has no randomness or no keys");
    let mut nonce = [0; 16];
    SystemRandom::new().fill(&mut nonce).map_err(|_| broken())?;
    let nonce = URL_SAFE_NO_PAD.encode(nonce);
    let state = parts.flow.state(about, &nonce, parts.now()).ok_or_else(broken)?;
    let url = parts.flow.authorize_url(app, &parts.redirect_uri(), &state).ok_or_else(broken)?;
    let secure = if parts.public_url.starts_with("https://") { "; Secure" } else { "" };
    let cookie =
        format!("{COOKIE}={nonce}; Path=/oauth/callback; Max-Age={COOKIE_S}; HttpOnly; SameSite=Lax{secure}");
    let mut response = StatusCode::SEE_OTHER.into_response();
    for (name, value) in [(header::LOCATION, url), (header::SET_COOKIE, cookie)] {
        let value = HeaderValue::from_str(&value).map_err(|_| broken())?;
        response.headers_mut().insert(name, value);
    }
    Ok(kept_to_itself(response))
}

async fn callback(
    State(parts): State<Arc<ConnectParts>>,
    Query(back): Query<Back>,
    headers: HeaderMap,
) -> Response {
    let refused = |why: &str| page(StatusCode::BAD_REQUEST, "Not connected", why);
    let state = back.state.unwrap_or_default();
    let Some(about) = parts.flow.of_state(&state, parts.now()) else {
        return refused(
            "This page has ended, or was not reached from leadline: begin again with a new link.",
        );
    };
    if cookie(&headers) != Some(&about.nonce) {
        return refused("This is not the browser that began: open the link again in this one.");
    }
    if let Some(error) = &back.error {
        let more = back.error_description.as_deref().unwrap_or_default();
        return refused(&format!("{} says: {error} {more}", about.kind));
    }
    let (Some(code), Some(verifier)) = (back.code, parts.flow.verifier(&state)) else {
        return refused("There is no code in the address: begin again with a new link.");
    };
    let key = (about.tenant.clone(), about.integration.clone());
    match parts.tokens.take_code(&key, &about.kind, (&code, &parts.redirect_uri(), &verifier)).await {
        Ok(()) => {
            tracing::info!(tenant = %about.tenant, integration = about.integration, kind = about.kind, "connected");
            let text = format!("{} is connected. You may close this page.", about.kind);
            page(StatusCode::OK, "Connected", &text)
        }
        Err(CallError::Retry { why, .. }) => page(StatusCode::BAD_GATEWAY, "Not connected", &why),
        Err(CallError::Reject { why } | CallError::Unclear { why }) => refused(&why),
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

fn page(status: StatusCode, title: &str, text: &str) -> Response {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><h1>{title}</h1><p>{escaped}</p></html>"
    );
    let mut response = (status, Html(html)).into_response();
    let policy = HeaderValue::from_static("default-src 'none'");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    kept_to_itself(response)
}

/// Codes stand in addresses: no cache keeps them, and no other page hears of them.
fn kept_to_itself(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
