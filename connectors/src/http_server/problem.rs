//! Answers: JSON, and problem+json (RFC 9457) that says what was wrong.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

/// How much is said of what was wrong: details quote what a client has sent, and that may be long.
const DETAIL_CHARS_MAX: usize = 500;

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// What was wrong, with which value, and what to do; no secrets, no other tenant's data.
    pub detail: String,
    /// Seconds after which it is worth asking again.
    pub retry_after_s: Option<u64>,
    /// How to show that one may (`WWW-Authenticate`), where that was missing.
    pub authenticate: Option<&'static str>,
}

impl Problem {
    /// A problem of `status`.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        if let Some((cut, _)) = detail.char_indices().nth(DETAIL_CHARS_MAX) {
            detail.truncate(cut);
            detail.push_str("...");
        }
        Self { status, detail, retry_after_s: None, authenticate: None }
    }

    /// The body, header or URL cannot be understood.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// Who asks has not shown that they may, by a scheme such as `Bearer`.
    pub fn unauthorized(scheme: &'static str, detail: impl Into<String>) -> Self {
        Self { authenticate: Some(scheme), ..Self::new(StatusCode::UNAUTHORIZED, detail) }
    }

    /// There is no such thing, or not for who asks.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// Something that leadline needs is away; ask again.
    pub fn unavailable(detail: impl Into<String>, retry_after_s: u64) -> Self {
        Self { retry_after_s: Some(retry_after_s), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    /// Too many requests of this kind.
    pub fn too_many(detail: impl Into<String>) -> Self {
        Self { retry_after_s: Some(1), ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail) }
    }
}

#[derive(Serialize)]
struct Body_<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = Body_ { r#type: "about:blank", title, status: self.status.as_u16(), detail: &self.detail };
        let mut response = json(self.status, &body);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(scheme) = self.authenticate {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// An answer of `status` with a JSON body.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    // Our own types serialise; an empty object is better than a panic if one ever does not.
    let text = serde_json::to_vec(body).unwrap_or_else(|_| b"{}".to_vec());
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
