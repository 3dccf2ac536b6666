//! Stands before the server: mends what it does otherwise than Google, counts, and lets requests fail.
//!
//! - Google's client names a host without its port, and the server builds the address of an upload from that.
//! - Asked how much of an upload it has, the server takes that for the upload's end.
//! - The server takes the media type of a piece for that of the object; Google goes by what the upload began with.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt;

#[derive(Clone)]
pub(crate) struct Front {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server: u16,
    http: reqwest::Client,
    uploaded: AtomicU64,
    /// Bytes of each upload, by what its pieces are sent to.
    uploads: Mutex<BTreeMap<String, u64>>,
    /// The requests until one fails; below 1 none will.
    until_failure: AtomicI64,
    status: AtomicU64,
    /// Whether the failure is a connection that breaks.
    cuts: AtomicI64,
    /// Whether the next upload's answer is lost.
    loses_answer: AtomicI64,
    patch: Mutex<Option<(String, Bytes)>>,
}

impl Front {
    pub(crate) async fn start(server: u16) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            server,
            http: leadline_connectors::http_client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
            uploaded: AtomicU64::new(0),
            uploads: Mutex::default(),
            until_failure: AtomicI64::new(0),
            status: AtomicU64::new(0),
            cuts: AtomicI64::new(0),
            loses_answer: AtomicI64::new(0),
            patch: Mutex::default(),
        });
        let front = Self { port, shared };
        let router = Router::new().fallback(pass).with_state(front.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        front
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Lets the `number`-th request from now, counted from 1, fail with this status, unseen by the server.
    pub(crate) fn fail(&self, number: i64, status: u16) {
        self.shared.status.store(u64::from(status), SeqCst);
        self.shared.until_failure.store(number, SeqCst);
    }

    /// Lets the connection of the `number`-th request from now break.
    pub(crate) fn cut(&self, number: i64) {
        self.shared.cuts.store(1, SeqCst);
        self.shared.until_failure.store(number, SeqCst);
    }

    /// Lets the next upload reach the server, and its answer be lost.
    pub(crate) fn lose_answer(&self) {
        self.shared.loses_answer.store(1, SeqCst);
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.shared.until_failure.load(SeqCst) <= 0 && self.shared.loses_answer.load(SeqCst) <= 0
    }

    /// Bytes of uploads that the server has taken.
    pub(crate) fn uploaded(&self) -> u64 {
        self.shared.uploaded.load(SeqCst)
    }

    /// Query and body of the last PATCH.
    pub(crate) fn last_patch(&self) -> Option<(String, Bytes)> {
        self.shared.patch.lock().unwrap().clone()
    }

    async fn forward(&self, request: Request<Body>) -> Response {
        let (head, body) = request.into_parts();
        let path = head.uri.path_and_query().unwrap().as_str();
        let body = body.collect().await.unwrap().to_bytes();
        let is_piece = head.method == Method::PUT && path.contains("upload_id=");
        if head.method == Method::PATCH {
            *self.shared.patch.lock().unwrap() = Some((path.to_owned(), body.clone()));
        }
        if is_piece && head.headers.get(header::CONTENT_RANGE).is_some_and(|range| range == "bytes */*") {
            return self.progress(path);
        }
        let bytes = body.len() as u64;
        let mut headers = head.headers;
        headers.remove(header::HOST);
        headers.remove(header::CONTENT_LENGTH);
        headers.remove(header::TRANSFER_ENCODING);
        if is_piece {
            headers.remove(header::CONTENT_TYPE);
        }
        let url = format!("http://127.0.0.1:{}{path}", self.shared.server);
        let answer =
            self.shared.http.request(head.method, url).headers(headers).body(body).send().await.unwrap();
        if is_piece && answer.status() != StatusCode::PRECONDITION_FAILED {
            self.shared.uploaded.fetch_add(bytes, SeqCst);
            *self.shared.uploads.lock().unwrap().entry(path.to_owned()).or_default() += bytes;
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = answer.status();
        *response.headers_mut() = answer.headers().clone();
        response.headers_mut().remove(header::TRANSFER_ENCODING);
        let mend = |location: &HeaderValue| {
            let text = location.to_str().unwrap();
            let (_, path) = text.split_once("://").unwrap().1.split_once('/').unwrap();
            HeaderValue::from_str(&format!("{}/{path}", self.url())).unwrap()
        };
        if let Some(location) = response.headers().get(header::LOCATION).map(mend) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        *response.body_mut() = Body::from_stream(answer.bytes_stream());
        response
    }
}

impl Front {
    /// How much of an upload has come.
    fn progress(&self, path: &str) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
        if let Some(bytes) = self.shared.uploads.lock().unwrap().get(path) {
            let range = HeaderValue::from_str(&format!("bytes=0-{}", bytes - 1)).unwrap();
            response.headers_mut().insert(header::RANGE, range);
        }
        response
    }
}

async fn pass(State(front): State<Front>, request: Request<Body>) -> Response {
    let is_upload = request.uri().path().starts_with("/upload/");
    let failed = front.shared.until_failure.fetch_sub(1, SeqCst) == 1;
    let lost = is_upload && front.shared.loses_answer.fetch_sub(1, SeqCst) == 1;
    let status = if lost { 503 } else { front.shared.status.load(SeqCst) };
    if lost {
        assert!(front.forward(request).await.status().is_success());
    } else if !failed {
        return front.forward(request).await;
    } else if front.shared.cuts.swap(0, SeqCst) == 1 {
        // An error in the middle of the answer's head is a connection that breaks.
        return Response::new(Body::from_stream(futures_util::stream::iter([Err::<Bytes, _>(
            std::io::Error::other("cut"),
        )])));
    } else {
        // Whole, or the client would see a broken connection.
        let _ = request.into_body().collect().await.unwrap();
    }
    let mut response = Response::new(Body::from("{\"error\":{\"code\":503,\"message\":\"not now\"}}"));
    *response.status_mut() = StatusCode::from_u16(u16::try_from(status).unwrap()).unwrap();
    response
}
