//! What a refused request hears: `application/problem+json` (RFC 9457), naming what was wrong.
//!
//! Never a secret, and nothing of another tenant: an unknown tenant, a wrong token and a wrong key read alike.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

use super::limits::RETRY_AFTER_S;
use crate::contract::log::AppendError;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    detail: Cow<'static, str>,
    /// The header, parameter or field that was wrong.
    parameter: Option<String>,
    retry_after_s: Option<u32>,
    allow: Option<&'static str>,
}

impl Problem {
    /// A refusal with this status; `detail` is one sentence for a person.
    pub fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, detail: detail.into(), parameter: None, retry_after_s: None, allow: None }
    }

    /// 400.
    pub fn bad_request(parameter: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { parameter: Some(parameter.into()), ..Self::new(StatusCode::BAD_REQUEST, detail) }
    }

    /// 401 for a bearer token; the same whether tenant or token is unknown.
    pub fn unauthorized() -> Self {
        let detail = "the Authorization header carries no token of this tenant: send `Bearer TOKEN`, as \
                      `leadline tenant add` has printed it";
        Self { parameter: Some("Authorization".to_owned()), ..Self::new(StatusCode::UNAUTHORIZED, detail) }
    }

    /// 401 for a webhook; the same whether company, key or body is wrong.
    pub fn bad_signature() -> Self {
        let detail = "the Signature header is not the base64 HMAC-SHA1 of this body under the signing key of a \
                      company known here";
        Self { parameter: Some("Signature".to_owned()), ..Self::new(StatusCode::UNAUTHORIZED, detail) }
    }

    /// 404.
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 405.
    pub fn method_not_allowed(allow: &'static str) -> Self {
        let detail = format!("this address takes {allow}");
        Self { allow: Some(allow), ..Self::new(StatusCode::METHOD_NOT_ALLOWED, detail) }
    }

    /// 413.
    pub fn too_large(bytes_max: usize) -> Self {
        let detail = format!("the body is larger than the {bytes_max} bytes that are taken here");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// 415.
    pub fn unsupported(parameter: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            parameter: Some(parameter.to_owned()),
            ..Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
        }
    }

    /// 429.
    pub fn too_many(retry_after_s: u32) -> Self {
        let detail = "too many requests of this kind; wait as long as Retry-After says";
        Self { retry_after_s: Some(retry_after_s), ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail) }
    }

    /// 503.
    pub fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            retry_after_s: Some(RETRY_AFTER_S),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        }
    }

    /// The header, parameter or field that was wrong.
    pub fn parameter(&self) -> Option<&str> {
        self.parameter.as_deref()
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::TooLarge { .. } => Self::too_large(super::limits::INLINE_BODY_BYTES_MAX),
            // The reason is for the operator, who finds it in the log of the process.
            AppendError::Full | AppendError::Busy { .. } | AppendError::Failed(_) => {
                Self::unavailable("the event could not be made durable; send it again")
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = serde_json::json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Refused"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let (Some(parameter), Some(members)) = (self.parameter, body.as_object_mut()) {
            members.insert("parameter".to_owned(), parameter.into());
        }
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 9110 asks for a challenge with every 401; `Signature` is what CallRail calls its header.
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer, Signature"));
        }
        response
    }
}
