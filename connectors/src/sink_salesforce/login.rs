//! Signing in: a session and the instance that it belongs to. Sessions have no known end; one that has ended is refused,
//! and had anew.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::Method;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};

use super::config::{Config, SignIn};
use crate::contract::provider::CallError;
use crate::contract::wire::WireRequest;

/// How long an assertion is good: at most five minutes are taken.
const ASSERTION_S: i64 = 180;

/// A session.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) bearer: String,
    pub(super) instance: String,
}

/// The request that signs in. `secret` is a private key or the application's secret.
pub(super) fn request(config: &Config, secret: &str, now_s: i64) -> Result<WireRequest, CallError> {
    let client_id = config.client_id.as_deref().unwrap_or_default();
    let assertion;
    let form: Vec<(&str, &str)> = match &config.sign_in {
        SignIn::Jwt { username, audience } => {
            assertion = assert(client_id, username, audience, secret, now_s)?;
            vec![("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", &assertion)]
        }
        SignIn::ClientCredentials => {
            vec![("grant_type", "client_credentials"), ("client_id", client_id), ("client_secret", secret)]
        }
    };
    let body =
        serde_urlencoded::to_string(&form).map_err(|error| CallError::Reject { why: error.to_string() })?;
    let secret_parts = form.iter().filter(|(name, _)| ["assertion", "client_secret"].contains(name));
    let encoded: Vec<String> =
        secret_parts.filter_map(|(name, value)| serde_urlencoded::to_string([(name, value)]).ok()).collect();
    let mut wire = WireRequest::new(Method::POST, format!("{}/services/oauth2/token", config.login_url))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Bytes::from(body));
    for part in encoded {
        wire = wire.secret(part);
    }
    Ok(wire.secret(secret))
}

/// A JWT that says who leadline is, signed by the key.
fn assert(
    client_id: &str,
    username: &str,
    audience: &str,
    pem: &str,
    now_s: i64,
) -> Result<String, CallError> {
    let claims = json!({ "iss": client_id, "sub": username, "aud": audience, "exp": now_s + ASSERTION_S });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({ "alg": "RS256" })), part(&claims));
    let key = key(pem)?;
    let mut signature = vec![0; key.public().modulus_len()];
    let sign = key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature);
    sign.map_err(|_| CallError::Reject { why: "the private key cannot sign".to_owned() })?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// A private key in PEM, as PKCS#8 or as RSA's own form.
fn key(pem: &str) -> Result<RsaKeyPair, CallError> {
    let reject = |why: &str| CallError::Reject {
        why: format!("the secret is no private key for JWT ({why}): use RSA of 2048 bits or more in PEM"),
    };
    let lines = pem.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("-----"));
    let der = STANDARD.decode(lines.collect::<String>()).map_err(|_| reject("not base64"))?;
    let key = match pem.contains("BEGIN RSA PRIVATE KEY") {
        true => RsaKeyPair::from_der(&der),
        false => RsaKeyPair::from_pkcs8(&der),
    };
    key.map_err(|error| reject(&error.to_string()))
}

/// What the sign-in answered.
pub(super) fn read(body: &Value) -> Result<Login, CallError> {
    let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    match (text("access_token"), text("instance_url")) {
        (Some(bearer), Some(instance)) => {
            Ok(Login { bearer: bearer.to_owned(), instance: instance.trim_end_matches('/').to_owned() })
        }
        _ => Err(CallError::Reject {
            why: "Salesforce's answer to the sign-in has no token or no instance_url".to_owned(),
        }),
    }
}
