//! The HTTP client of providers and sinks: one pool, bounded answers, and one meaning for each way to fail.

use std::sync::Once;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{StatusCode, header};

use crate::contract::blob::BlobStream;
use crate::contract::provider::CallError;
use crate::contract::wire::{Trace, WireAnswer, WireRequest};

/// Largest answer that is read; scores and ids are a few KiB.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// How much of an error's body is quoted.
const QUOTE_CHARS_MAX: usize = 200;
/// Time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A pool of connections; cheap to clone.
#[derive(Clone, Debug)]
pub struct Client(reqwest::Client);

/// No answer, or none that could be read to its end.
struct Missed {
    error: CallError,
    may_have_arrived: bool,
}

/// Gives rustls its cryptography, once for all of the process's clients.
pub(crate) fn install_cryptography() {
    static RING: Once = Once::new();
    RING.call_once(|| {
        // Somebody else may have installed one before; any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// What all clients have in common.
pub fn builder() -> reqwest::ClientBuilder {
    install_cryptography();
    reqwest::Client::builder().user_agent(concat!("leadline/", env!("CARGO_PKG_VERSION")))
}

/// One request to a service of the operator's own.
pub(crate) struct Question<'a> {
    pub(crate) url: &'a str,
    /// A POST where there is one, else a GET.
    pub(crate) body: Option<String>,
    pub(crate) content_type: &'a str,
    /// Name and password.
    pub(crate) user: Option<(&'a str, &'a str)>,
    pub(crate) deadline: Duration,
}

impl Client {
    /// A client that follows no redirects: a webhook that moved must say so to a person, and a redirect could lead
    /// our signature to another host.
    pub fn new() -> Result<Self, CallError> {
        let built = builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .pool_idle_timeout(Duration::from_secs(60))
            .build();
        built.map(Self).map_err(|error| CallError::Reject { why: format!("no HTTP client: {error}") })
    }

    /// One for which this host is there: tests ask doubles by the names that vendors have.
    #[cfg(test)]
    pub(crate) fn resolving(host: &str, to: std::net::SocketAddr) -> Self {
        Self(builder().resolve(host, to).build().unwrap())
    }

    /// Posts a body signed like CallRail's webhooks; status and text of the answer, whatever it is.
    pub async fn post_webhook(
        &self,
        url: &str,
        body: Vec<u8>,
        signature: &str,
        deadline: Duration,
    ) -> Result<(u16, String), CallError> {
        let request = self
            .0
            .post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header("signature", signature)
            .timeout(deadline)
            .body(body);
        let response = request.send().await.map_err(|error| not_sent(&error))?;
        let status = response.status().as_u16();
        let text = bounded(response).await?.unwrap_or_default();
        Ok((status, String::from_utf8_lossy(&text).into_owned()))
    }

    /// One request to a service that the operator runs, such as a schema registry; status and text of the answer.
    pub(crate) async fn ask(&self, question: Question<'_>) -> Result<(u16, String), CallError> {
        let method = if question.body.is_some() { http::Method::POST } else { http::Method::GET };
        let mut request = self.0.request(method, question.url).timeout(question.deadline);
        if let Some((user, password)) = question.user {
            request = request.basic_auth(user, Some(password));
        }
        if let Some(body) = question.body {
            request = request.header(header::CONTENT_TYPE, question.content_type).body(body);
        }
        let response = request.send().await.map_err(|error| not_sent(&error))?;
        let status = response.status().as_u16();
        let text = bounded(response).await?.unwrap_or_default();
        Ok((status, String::from_utf8_lossy(&text).into_owned()))
    }

    /// Any request, taken down in the trace; whatever was answered is an answer.
    pub async fn exchange(
        &self,
        request: &WireRequest,
        deadline: Duration,
        trace: &Trace,
    ) -> Result<WireAnswer, CallError> {
        self.exchanged(request, deadline, trace).await.map_err(|missed| missed.error)
    }

    /// As [`Client::exchange`], of a request that must not be made twice: what may have arrived is unclear.
    pub async fn exchange_once(
        &self,
        request: &WireRequest,
        deadline: Duration,
        trace: &Trace,
    ) -> Result<WireAnswer, CallError> {
        self.exchanged(request, deadline, trace).await.map_err(|missed| match missed.error {
            CallError::Retry { why, .. } if missed.may_have_arrived => CallError::Unclear { why },
            error => error,
        })
    }

    async fn exchanged(
        &self,
        request: &WireRequest,
        deadline: Duration,
        trace: &Trace,
    ) -> Result<WireAnswer, Missed> {
        let answered = self.answer(request, deadline).await;
        trace.note(request, answered.as_ref().map_err(|missed| &missed.error as _));
        answered
    }

    async fn answer(&self, request: &WireRequest, deadline: Duration) -> Result<WireAnswer, Missed> {
        self.send(request, request.body.clone().into(), deadline, ANSWER_BYTES_MAX).await
    }

    /// `exchange` for answers of up to `bytes_max`, of which nothing is taken down.
    pub(crate) async fn exchange_large(
        &self,
        request: &WireRequest,
        deadline: Duration,
        bytes_max: usize,
    ) -> Result<WireAnswer, CallError> {
        let answered = self.send(request, request.body.clone().into(), deadline, bytes_max).await;
        answered.map_err(|missed| missed.error)
    }

    /// A request with a body that is no more in memory than some of its pieces: what the request has, the content, and
    /// `end`. Its length is told ahead.
    pub(crate) async fn upload(
        &self,
        request: WireRequest,
        (content, bytes): (BlobStream, u64),
        end: Bytes,
        deadline: Duration,
    ) -> Result<WireAnswer, CallError> {
        let length = request.body.len() as u64 + bytes + end.len() as u64;
        let request = request.header("content-length", length.to_string());
        let whole = |piece| stream::iter([Ok(piece)]);
        let pieces = whole(request.body.clone()).chain(content).chain(whole(end));
        let body = reqwest::Body::wrap_stream(pieces);
        let answered = self.send(&request, body, deadline, ANSWER_BYTES_MAX).await;
        answered.map_err(|missed| missed.error)
    }

    async fn send(
        &self,
        request: &WireRequest,
        body: reqwest::Body,
        deadline: Duration,
        bytes_max: usize,
    ) -> Result<WireAnswer, Missed> {
        let mut sent = self.0.request(request.method.clone(), &request.url).timeout(deadline);
        for (name, value) in &request.headers {
            sent = sent.header(name, value);
        }
        let sent = sent.body(body).send().await;
        let response = sent.map_err(|error| Missed {
            may_have_arrived: !error.is_connect() && !error.is_builder(),
            error: not_sent(&error),
        })?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = bounded_to(response, bytes_max).await;
        let body = body.map_err(|error| Missed { may_have_arrived: true, error })?;
        let too_large = body.is_none();
        Ok(WireAnswer { status, headers, body: body.unwrap_or_default().into(), too_large })
    }
}

/// The answer if it is a good one; else what its status means: 5xx, 429, 408 and 425 may pass.
pub fn judged(answer: WireAnswer) -> Result<WireAnswer, CallError> {
    if (200..300).contains(&answer.status) {
        return Ok(answer);
    }
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let why = format!("answered {status}: {}", one_line(&answer.body));
    let again = status.is_server_error()
        || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY]
            .contains(&status);
    Err(if again {
        CallError::Retry { after: retry_after(&answer.headers), why }
    } else {
        CallError::Reject { why }
    })
}

/// What a request that brought no answer means.
pub(crate) fn not_sent(error: &reqwest::Error) -> CallError {
    let why = if error.is_timeout() {
        "did not answer in time".to_owned()
    } else if error.is_connect() {
        "could not be reached".to_owned()
    } else if error.is_builder() {
        return CallError::Reject { why: "the address is not a valid URL".to_owned() };
    } else {
        format!("the connection broke: {}", root(error))
    };
    CallError::Retry { after: None, why }
}

/// The innermost cause: the outer ones repeat the address, which may hold a secret.
fn root(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// The body; nothing when it is larger than is read.
async fn bounded(response: reqwest::Response) -> Result<Option<Vec<u8>>, CallError> {
    bounded_to(response, ANSWER_BYTES_MAX).await
}

/// The body; nothing when it is larger than `bytes_max`.
pub(crate) async fn bounded_to(
    response: reqwest::Response,
    bytes_max: usize,
) -> Result<Option<Vec<u8>>, CallError> {
    let mut body = Vec::new();
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| not_sent(&error))?;
        if body.len() + piece.len() > bytes_max {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body))
}

/// The beginning of an error's body, as one line: the status counts, whatever comes of the rest.
pub(crate) async fn quote(response: reqwest::Response) -> String {
    let mut body = Vec::new();
    let mut pieces = response.bytes_stream();
    while let Some(Ok(piece)) = pieces.next().await {
        body.extend_from_slice(&piece);
        if body.len() >= 4 * QUOTE_CHARS_MAX {
            break;
        }
    }
    one_line(&body)
}

/// The beginning of a text as one line.
pub fn one_line(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let words = text.split(|letter: char| letter.is_whitespace() || letter.is_control());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ").chars().take(QUOTE_CHARS_MAX).collect()
}

/// Retry-After in seconds; a date is rare and read as absent.
pub(crate) fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}
