//! States and links: signed texts, so that any process can take a browser back that another has sent away.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leadline_schemas::{Millis, TenantId};
use ring::{digest, hmac};
use serde::{Deserialize, Serialize};

use super::apps::App;

/// How long a person may take at the vendor.
const STATE_MAX_MS: i64 = 10 * 60_000;
/// How long a printed link is good.
pub const LINK_MAX_MS: i64 = 24 * 3_600_000;

/// Signs and knows again.
#[derive(Clone)]
pub struct Flow {
    keys: Vec<hmac::Key>,
}

/// What a state or link is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct About {
    pub(super) tenant: TenantId,
    pub(super) integration: String,
    pub(super) kind: String,
    /// What the browser's cookie has to say; empty in a link.
    pub(super) nonce: String,
    pub(super) until: Millis,
}

impl Flow {
    /// By these keys, the newest first.
    pub fn new(keys: &[[u8; 32]]) -> Self {
        Self { keys: keys.iter().map(|key| hmac::Key::new(hmac::HMAC_SHA256, key)).collect() }
    }

    /// A link that lets whoever has it connect this integration, until it ends.
    pub fn link(&self, tenant: &TenantId, integration: &str, kind: &str, now: Millis) -> Option<String> {
        let until = now.plus(LINK_MAX_MS);
        let (tenant, integration) = (tenant.clone(), integration.to_owned());
        self.sign("link", &About { tenant, integration, kind: kind.to_owned(), nonce: String::new(), until })
    }

    pub(super) fn of_link(&self, text: &str, now: Millis) -> Option<About> {
        self.verify("link", text, now)
    }

    /// The state of a browser that is sent away.
    pub(super) fn state(&self, about: About, nonce: &str, now: Millis) -> Option<String> {
        self.sign("state", &About { nonce: nonce.to_owned(), until: now.plus(STATE_MAX_MS), ..about })
    }

    pub(super) fn of_state(&self, text: &str, now: Millis) -> Option<About> {
        self.verify("state", text, now)
    }

    /// The secret of PKCE: whoever has the keys can make it again of the state.
    pub(super) fn verifier(&self, state: &str) -> Option<String> {
        let tag = hmac::sign(self.keys.first()?, format!("pkce {state}").as_bytes());
        Some(URL_SAFE_NO_PAD.encode(tag.as_ref()))
    }

    /// Where the browser goes.
    pub(super) fn authorize_url(&self, app: &App, redirect_uri: &str, state: &str) -> Option<String> {
        let mut query = vec![
            ("response_type", "code".to_owned()),
            ("client_id", app.client_id.clone()),
            ("redirect_uri", redirect_uri.to_owned()),
            ("state", state.to_owned()),
        ];
        if !app.scopes().is_empty() {
            query.push(("scope", app.scopes().to_owned()));
        }
        if app.has_pkce() {
            let hash = digest::digest(&digest::SHA256, self.verifier(state)?.as_bytes());
            query.push(("code_challenge", URL_SAFE_NO_PAD.encode(hash.as_ref())));
            query.push(("code_challenge_method", "S256".to_owned()));
        }
        Some(format!("{}?{}", app.authorize_url, serde_urlencoded::to_string(&query).ok()?))
    }

    fn sign(&self, purpose: &str, about: &About) -> Option<String> {
        let text = URL_SAFE_NO_PAD.encode(serde_json::to_vec(about).ok()?);
        let tag = hmac::sign(self.keys.first()?, format!("{purpose} {text}").as_bytes());
        Some(format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref())))
    }

    fn verify(&self, purpose: &str, signed: &str, now: Millis) -> Option<About> {
        let (text, tag) = signed.split_once('.')?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        let message = format!("{purpose} {text}");
        self.keys.iter().find(|key| hmac::verify(key, message.as_bytes(), &tag).is_ok())?;
        let about: About = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        (about.until.0 >= now.0).then_some(about)
    }
}
