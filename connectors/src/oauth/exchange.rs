//! What is asked at a vendor's token address, and what it answers.

use base64::Engine as _;
use bytes::Bytes;
use http::Method;
use leadline_schemas::Millis;
use serde_json::Value;

use super::apps::App;
use crate::contract::provider::CallError;
use crate::contract::wire::{WireAnswer, WireRequest};
use crate::http_client::{one_line, retry_after};

/// Tokens, opened.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Fresh {
    pub(super) access: String,
    /// None where the one before stays good.
    pub(super) refresh: Option<String>,
    pub(super) expires_at: Millis,
    pub(super) scopes: Vec<String>,
    pub(super) api_url: Option<String>,
}

/// Why there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The code or refresh token is not good any more: a person has to allow it again.
    Denied(String),
    /// Whatever else.
    Call(CallError),
}

/// For a code that a browser has brought.
pub(super) fn code_request(app: &App, code: &str, redirect_uri: &str, verifier: &str) -> WireRequest {
    let mut form = vec![("grant_type", "authorization_code"), ("code", code), ("redirect_uri", redirect_uri)];
    form.extend(app.has_pkce().then_some(("code_verifier", verifier)));
    request(app, form)
}

/// For the next token.
pub(super) fn refresh_request(app: &App, refresh_token: &str) -> WireRequest {
    request(app, vec![("grant_type", "refresh_token"), ("refresh_token", refresh_token)])
}

fn request<'a>(app: &'a App, mut form: Vec<(&'a str, &'a str)>) -> WireRequest {
    let wire = WireRequest::new(Method::POST, &app.token_url)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("accept", "application/json");
    let wire = match app.is_basic() {
        true => {
            let pair = format!("{}:{}", app.client_id, app.client_secret);
            let pair = base64::engine::general_purpose::STANDARD.encode(pair);
            wire.header("authorization", format!("Basic {pair}"))
        }
        false => {
            form.extend([
                ("client_id", app.client_id.as_str()),
                ("client_secret", app.client_secret.as_str()),
            ]);
            wire
        }
    };
    // Pairs of text always make a form.
    let body = serde_urlencoded::to_string(&form).unwrap_or_default();
    wire.body(Bytes::from(body))
}

/// What was answered at `now`.
pub(super) fn read(app: &App, answer: &WireAnswer, now: Millis) -> Result<Fresh, Refused> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let said = match (text("error"), text("error_description").or_else(|| text("message"))) {
        (Some(error), Some(more)) => format!("{error}: {}", one_line(more.as_bytes())),
        (Some(error), None) => error.to_owned(),
        (None, Some(more)) => one_line(more.as_bytes()),
        (None, None) => one_line(&answer.body),
    };
    // Slack says no inside 200.
    let is_no = body.get("ok").and_then(Value::as_bool) == Some(false);
    let why = format!("{} answered {} for a token: {said}", app.kind, answer.status);
    let is_busy = is_no
        && ["ratelimited", "internal_error", "fatal_error"].contains(&text("error").unwrap_or_default());
    match answer.status {
        200..300 if !is_no => {}
        408 | 425 | 429 | 500.. => {
            return Err(Refused::Call(CallError::Retry { after: retry_after(&answer.headers), why }));
        }
        _ if is_busy => return Err(Refused::Call(CallError::Retry { after: None, why })),
        _ => return Err(Refused::Denied(why)),
    }
    let Some(access) = text("access_token") else {
        let why = format!("{} answered without a token", app.kind);
        return Err(Refused::Call(CallError::Retry { after: None, why }));
    };
    let lasts_s = body.get("expires_in").and_then(Value::as_i64);
    // Salesforce and Slack do not say: such a token is good until it is refused.
    let expires_at = lasts_s.map_or(Millis(i64::MAX), |lasts_s| now.plus(lasts_s.saturating_mul(1_000)));
    let scopes =
        text("scope").map(|all| all.split([' ', ',']).map(str::to_owned).collect()).unwrap_or_default();
    let api_url = text("instance_url").or_else(|| text("api_domain"));
    Ok(Fresh {
        access: access.to_owned(),
        refresh: text("refresh_token").map(str::to_owned),
        expires_at,
        scopes,
        api_url: api_url.map(|url| url.trim_end_matches('/').to_owned()),
    })
}
