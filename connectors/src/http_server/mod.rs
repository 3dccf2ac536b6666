//! The HTTP server: hyper connections with our own limits, a stop that finishes what was begun, and problem+json.

mod problem;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

pub use problem::{Problem, json};

use crate::contract::BoxFuture;

/// Bounds of connections, with their reasons.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Open connections; above it new ones wait in the kernel's queue. CallRail and browsers need a few dozens.
    pub connections_max: usize,
    /// Time to send a request's headers; slower clients only hold connections.
    pub header_timeout: Duration,
    /// Bytes of request line and headers: CallRail mirrors fields in the query, so 8 KiB of URL and room for the rest.
    pub head_bytes_max: usize,
    /// Header fields of a request.
    pub headers_max: usize,
    /// How long open requests may go on after a stop.
    pub drain: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            header_timeout: Duration::from_secs(10),
            head_bytes_max: 64 << 10,
            headers_max: 100,
            drain: Duration::from_secs(3),
        }
    }
}

/// Serves `router` until `stop` resolves, then lets open requests finish.
pub async fn serve(
    listener: std::net::TcpListener,
    router: Router,
    limits: ServerLimits,
    stop: BoxFuture<'static, ()>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.head_bytes_max)
        .max_headers(limits.headers_max)
        .pipeline_flush(true);
    let graceful = GracefulShutdown::new();
    let open = Arc::new(AtomicUsize::new(0));
    let mut stop = stop;
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, or a client that went away: the next accept may succeed.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        if open.load(Ordering::Relaxed) >= limits.connections_max {
            drop(stream);
            metrics::counter!("leadline_http_connections_refused_total").increment(1);
            continue;
        }
        let _ = stream.set_nodelay(true); // Only a matter of speed.
        let service = TowerToHyperService::new(infallible(router.clone()));
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        let open = Arc::clone(&open);
        open.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests that were still open after {:?} were cut", limits.drain);
    }
    Ok(())
}

/// A router as the service that hyper wants: bodies of hyper, no errors.
fn infallible(
    router: Router,
) -> impl tower::Service<
    http::Request<hyper::body::Incoming>,
    Response = axum::response::Response,
    Error = Infallible,
    Future: Send + 'static,
> + Clone
+ Send
+ 'static {
    router
}
