//! A strict double of an authorisation server over real HTTP: codes for one redirect address, with PKCE where it is asked
//! for, and refresh tokens that are good once.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::crm::{Asked, Reply, Server};

pub const CLIENT_ID: &str = "leadline-client";
pub const CLIENT_SECRET: &str = "s3cr3t-of-the-application";

/// The double.
pub type AuthServer = Server<State>;

/// What it has given out.
pub struct State {
    /// HubSpot, Salesforce and Slack take the secret in the form, Pipedrive in the header.
    pub basic: bool,
    /// Whether a code's challenge is asked for.
    pub pkce: bool,
    /// As Slack does: no is told inside 200.
    pub ok_false: bool,
    /// In seconds; none is told where there is none.
    pub expires_in: Option<i64>,
    /// Members that are added to an answer: `api_domain`, `instance_url`.
    pub more: Value,
    /// Codes: redirect address and challenge.
    pub codes: BTreeMap<String, (String, Option<String>)>,
    /// The refresh token that is good.
    pub refresh: String,
    /// Access tokens given out, oldest first.
    pub given: Vec<String>,
    pub refreshes: usize,
}

/// Starts one as HubSpot's is.
pub fn start() -> AuthServer {
    let state = State {
        basic: false,
        pkce: false,
        ok_false: false,
        expires_in: Some(1_800),
        more: json!({}),
        codes: BTreeMap::new(),
        refresh: "refresh-0".to_owned(),
        given: Vec::new(),
        refreshes: 0,
    };
    Server::start(state, answer)
}

fn answer(state: &mut State, asked: &Asked) -> Reply {
    match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", "/authorize") => authorize(state, asked),
        ("POST", "/token") => token(state, asked),
        _ => Reply::json(404, &json!({ "error": "not_found" })),
    }
}

/// The person says yes at once: back to the redirect address, with a code.
fn authorize(state: &mut State, asked: &Asked) -> Reply {
    let value = |name: &str| asked.parameter(name).unwrap_or_default().to_owned();
    let challenge = asked.parameter("code_challenge").map(str::to_owned);
    let is_good = value("client_id") == CLIENT_ID
        && value("response_type") == "code"
        && !value("state").is_empty()
        && challenge.is_some() == state.pkce
        && (!state.pkce || value("code_challenge_method") == "S256");
    if !is_good {
        return Reply::json(400, &json!({ "error": "invalid_request" }));
    }
    let code = format!("code-{}", state.codes.len());
    state.codes.insert(code.clone(), (value("redirect_uri"), challenge));
    let location = format!("{}?code={code}&state={}", value("redirect_uri"), value("state"));
    Reply { status: 302, headers: Vec::new(), body: Vec::new() }.header("location", location)
}

fn token(state: &mut State, asked: &Asked) -> Reply {
    let form = asked.form();
    let value =
        |name: &str| form.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str());
    let no = |state: &State, error: &str| match state.ok_false {
        true => Reply::json(200, &json!({ "ok": false, "error": error })),
        false => {
            Reply::json(400, &json!({ "error": error, "error_description": "it is not good (any more)" }))
        }
    };
    let basic = format!("Basic {}", STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}")));
    let in_header = asked.header("authorization") == Some(&basic);
    let in_form = value("client_id") == CLIENT_ID && value("client_secret") == CLIENT_SECRET;
    if asked.header("content-type") != Some("application/x-www-form-urlencoded")
        || (state.basic, !state.basic) != (in_header, in_form)
    {
        return no(state, "invalid_client");
    }
    match value("grant_type") {
        "authorization_code" => {
            let Some((redirect_uri, challenge)) = state.codes.remove(value("code")) else {
                return no(state, "invalid_code");
            };
            let hash = ring::digest::digest(&ring::digest::SHA256, value("code_verifier").as_bytes());
            let is_its = challenge.is_none_or(|challenge| challenge == URL_SAFE_NO_PAD.encode(hash.as_ref()));
            if redirect_uri != value("redirect_uri") || !is_its {
                return no(state, "invalid_grant");
            }
        }
        "refresh_token" => {
            if value("refresh_token") != state.refresh {
                return no(state, "invalid_grant");
            }
            state.refreshes += 1;
        }
        _ => return no(state, "unsupported_grant_type"),
    }
    let number = state.given.len() + 1;
    let access = format!("s3cr3t-access-{number}");
    state.given.push(access.clone());
    state.refresh = format!("s3cr3t-refresh-{number}");
    let mut body = json!({
        "access_token": access, "refresh_token": state.refresh, "token_type": "bearer", "scope": "api contacts",
    });
    if let Some(seconds) = state.expires_in {
        body["expires_in"] = json!(seconds);
    }
    if state.ok_false {
        body["ok"] = json!(true);
    }
    for (name, value) in state.more.as_object().cloned().unwrap_or_default() {
        body[name] = value;
    }
    Reply::json(200, &body)
}
