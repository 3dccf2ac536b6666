//! A model that takes its time: scores calls by leadline's own rules after so many seconds, over TLS and HTTP/2.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use axum::body::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use leadline_schemas::score::ScoreInput;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::payload::number_of_call;

/// Streams that one connection may have.
const STREAMS_MAX: u32 = 2_048;

/// A call that was asked about: its number, and when its answer was given.
pub(crate) type Answered = (u64, Instant);

/// A running model.
pub(crate) struct Model {
    address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    answered: Mutex<Vec<Answered>>,
    in_flight: AtomicUsize,
    in_flight_max: AtomicUsize,
    connections: AtomicUsize,
}

impl Model {
    /// Starts it on a thread of its own; the certificate that it is known by is written to `certificate`.
    pub(crate) fn start(takes: Duration, certificate: &Path) -> Result<Self> {
        let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
        std::fs::write(certificate, own.cert.pem())?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)?;
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Seen::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (acceptor, noted) = (TlsAcceptor::from(Arc::new(tls)), Arc::clone(&seen));
        std::thread::Builder::new()
            .name("model".to_owned())
            .spawn(move || runtime.block_on(serve(listener, acceptor, noted, takes)))?;
        Ok(Self { address, seen })
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}/score", self.address.port())
    }

    /// Answers so far, in their order.
    pub(crate) fn answered(&self) -> Vec<Answered> {
        self.seen.answered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Calls that wait for an answer now.
    pub(crate) fn in_flight(&self) -> usize {
        self.seen.in_flight.load(Ordering::Relaxed)
    }

    /// The most that ever waited together, and the connections that they came over.
    pub(crate) fn most(&self) -> (usize, usize) {
        let most = self.seen.in_flight_max.load(Ordering::Relaxed);
        (most, self.seen.connections.load(Ordering::Relaxed))
    }
}

async fn serve(
    listener: std::net::TcpListener,
    acceptor: TlsAcceptor,
    seen: Arc<Seen>,
    takes: Duration,
) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (socket, _) = listener.accept().await?;
        let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(socket).await else { return };
            seen.connections.fetch_add(1, Ordering::Relaxed);
            let service = service_fn(move |request| answer(request, Arc::clone(&seen), takes));
            // A connection that is cut is the other side's matter.
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .max_concurrent_streams(STREAMS_MAX)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    seen: Arc<Seen>,
    takes: Duration,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let flying = Flying::new(&seen);
    let answer = score(request, takes).await;
    drop(flying);
    let mut response = Response::new(Full::default());
    match answer {
        Ok((number, body)) => {
            seen.answered.lock().unwrap_or_else(PoisonError::into_inner).push((number, Instant::now()));
            *response.body_mut() = Full::new(body);
        }
        Err(_) => *response.status_mut() = hyper::StatusCode::BAD_REQUEST,
    }
    Ok(response)
}

/// A call in flight; it ends when it is answered, or when whoever asked has gone.
struct Flying<'s>(&'s Seen);

impl<'s> Flying<'s> {
    fn new(seen: &'s Seen) -> Self {
        let waiting = seen.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        seen.in_flight_max.fetch_max(waiting, Ordering::Relaxed);
        Self(seen)
    }
}

impl Drop for Flying<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn score(request: Request<Incoming>, takes: Duration) -> Result<(u64, Bytes)> {
    let body = request.into_body().collect().await?.to_bytes();
    tokio::time::sleep(takes).await;
    let input: ScoreInput = serde_json::from_slice(&body)?;
    let output = leadline_operators::rules::score(&input);
    let number = number_of_call(&body).context("the input names its call")?;
    Ok((number, serde_json::to_vec(&output)?.into()))
}
