//! Requests over HTTP as they go out, and what came back: what a ledger shows, and what a preview shows before anything is
//! sent. Secrets are masked wherever one is shown.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method};

/// Headers whose values are never shown.
const SECRET_HEADERS: [&str; 6] =
    ["authorization", "x-api-token", "x-goog-api-key", "api-key", "leadline-signature", "webhook-signature"];
/// How much of a body an exchange keeps.
const SHOWN_BYTES_MAX: usize = 4 << 10;
/// How many exchanges of an attempt are kept: the last ones.
const EXCHANGES_MAX: usize = 8;
/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// One request.
#[derive(Clone, PartialEq, Eq)]
pub struct WireRequest {
    /// The method.
    pub method: Method,
    /// The whole address.
    pub url: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// What is sent.
    pub body: Bytes,
    /// Parts of the address or body that are secret: they are masked wherever the request is shown.
    pub secrets: Vec<String>,
}

/// An answer, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireAnswer {
    /// The status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// What was answered; nothing when `too_large`.
    pub body: Bytes,
    /// It was larger than is read.
    pub too_large: bool,
}

/// A request and its answer as people may see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The request, masked.
    pub request: String,
    /// The answer, masked; or why there is none.
    pub answer: String,
}

/// Takes down the exchanges of one attempt; clones share what they take down.
#[derive(Clone, Debug, Default)]
pub struct Trace(Arc<Mutex<Vec<Exchange>>>);

impl WireRequest {
    /// A request without a body.
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Self { method, url: url.into(), headers: Vec::new(), body: Bytes::new(), secrets: Vec::new() }
    }

    /// A POST of JSON.
    pub fn json(url: impl Into<String>, body: &serde_json::Value) -> Self {
        Self::new(Method::POST, url)
            .header("content-type", "application/json")
            .body(Bytes::from(body.to_string()))
    }

    /// With one header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// With this token.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    /// With a part that is masked where the request is shown.
    #[must_use]
    pub fn secret(mut self, secret: impl Into<String>) -> Self {
        self.secrets.push(secret.into());
        self
    }

    /// As people may see it: method and address, headers, an empty line, the body.
    pub fn shown(&self) -> String {
        let mut text = format!("{} {}\n", self.method, self.url);
        for (name, value) in &self.headers {
            let value = if SECRET_HEADERS.contains(&name.as_str()) { MASK } else { value };
            text.push_str(&format!("{name}: {value}\n"));
        }
        if !self.body.is_empty() {
            text.push('\n');
            text.push_str(&beginning(&self.body));
        }
        self.masked(text)
    }

    fn masked(&self, text: String) -> String {
        let secrets = self.secrets.iter().filter(|secret| !secret.is_empty());
        secrets.fold(text, |text, secret| text.replace(secret, MASK))
    }
}

impl std::fmt::Debug for WireRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Trace {
    /// Takes one down.
    pub fn note(&self, request: &WireRequest, answer: Result<&WireAnswer, &dyn std::fmt::Display>) {
        let answer = match answer {
            Ok(answer) => format!("{}\n\n{}", answer.status, beginning(&answer.body)),
            Err(why) => why.to_string(),
        };
        self.add(Exchange { request: request.shown(), answer: request.masked(answer) });
    }

    /// Takes down one that another attempt has made for this one too.
    pub fn add(&self, exchange: Exchange) {
        let mut exchanges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if exchanges.len() == EXCHANGES_MAX {
            exchanges.remove(0);
        }
        exchanges.push(exchange);
    }

    /// Those taken down so far, and none of them any more.
    pub fn take(&self) -> Vec<Exchange> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn beginning(body: &[u8]) -> String {
    let shown = body.get(..SHOWN_BYTES_MAX).unwrap_or(body);
    let mut text = String::from_utf8_lossy(shown).into_owned();
    if shown.len() < body.len() {
        text.push_str(&format!("… ({} bytes)", body.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_shown_nowhere() {
        let request =
            WireRequest::json("https://crm.example/v1?api_token=s3cret", &serde_json::json!({"k": "s3cret"}))
                .bearer("t0ken")
                .secret("s3cret");
        let trace = Trace::default();
        let answer = WireAnswer {
            status: 401,
            headers: HeaderMap::new(),
            body: Bytes::from("s3cret is not valid"),
            too_large: false,
        };
        trace.note(&request, Ok(&answer));
        let shown = format!("{request:?} {:?}", trace.take());
        assert!(!shown.contains("s3cret") && !shown.contains("t0ken"), "{shown}");
        assert!(shown.contains("POST https://crm.example/v1?api_token=***"), "{shown}");
    }

    #[test]
    fn an_attempt_keeps_its_last_exchanges_and_the_beginning_of_their_bodies() {
        let trace = Trace::default();
        for number in 0..20 {
            let request = WireRequest::new(Method::GET, format!("https://crm.example/{number}"))
                .body(Bytes::from(vec![b'x'; 100_000]));
            trace.note(&request, Err(&"could not be reached"));
        }
        let exchanges = trace.take();
        assert_eq!(exchanges.len(), EXCHANGES_MAX);
        assert!(exchanges.iter().all(|exchange| exchange.request.len() < SHOWN_BYTES_MAX + 100));
        assert!(exchanges.last().unwrap().request.contains("/19"));
        assert!(trace.take().is_empty());
    }
}
