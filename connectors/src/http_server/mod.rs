//! The HTTP server: hyper connections with our own limits, a stop that finishes what was begun, and problem+json.

mod problem;
mod socket;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::Service as _;

pub use problem::{Problem, json};

use self::socket::{Progress, Socket};
use crate::contract::BoxFuture;

/// Bounds of connections, with their reasons.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Open connections; above it new ones wait in the kernel's queue. CallRail and browsers need a few dozens.
    pub connections_max: usize,
    /// Time to send a request's headers; slower clients only hold connections.
    pub header_timeout: Duration,
    /// Time until the next request on an open connection. Longer than the 60 s of the usual proxies, so that it is the
    /// proxy that closes and no webhook meets a closing connection.
    pub idle_timeout: Duration,
    /// Time in which a client takes something of its answer.
    pub write_timeout: Duration,
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
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
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
    http.max_buf_size(limits.head_bytes_max).max_headers(limits.headers_max).pipeline_flush(true);
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(limits.connections_max.clamp(1, Semaphore::MAX_PERMITS)));
    let mut stop = stop;
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &room) => accepted,
        };
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or a client that went away: the next accept may succeed.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true); // Only a matter of speed.
        let progress = Arc::new(Progress::default());
        let socket = TokioIo::new(Socket::new(stream, Arc::clone(&progress), &limits));
        let service = service(router.clone(), progress);
        let connection = graceful.watch(http.serve_connection(socket, service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests that were still open after {:?} were cut", limits.drain);
    }
    Ok(())
}

/// The next connection, when there is room for one; others wait in the kernel's queue and are not refused.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, Option<OwnedSemaphorePermit>)> {
    // The semaphore is never closed, so there is a place.
    let place = Arc::clone(room).acquire_owned().await.ok();
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

/// A router as the service that hyper wants, telling the socket when a request is being answered.
fn service(
    router: Router,
    progress: Arc<Progress>,
) -> impl hyper::service::Service<
    http::Request<hyper::body::Incoming>,
    Response = axum::response::Response,
    Error = Infallible,
    Future: Send,
> {
    hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let (mut router, progress) = (router.clone(), Arc::clone(&progress));
        async move {
            progress.begin();
            let response = router.call(request).await;
            progress.end();
            response
        }
    })
}
