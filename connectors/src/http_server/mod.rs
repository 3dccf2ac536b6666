//! The HTTP server: hyper connections with our own limits, a stop that finishes what was begun, and problem+json.

mod problem;
mod socket;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::{HeaderValue, header};
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulConnection;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
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
    /// How long a connection without an open request is listened to after a stop: what its client has sent already, or
    /// is sending just now, is answered, with `Connection: close`. A webhook that meets a reset comes never again.
    pub linger: Duration,
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
            linger: Duration::from_millis(500),
            drain: Duration::from_secs(3),
        }
    }
}

/// Pause after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

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
    http.max_buf_size(limits.head_bytes_max).max_headers(limits.headers_max);
    // Every connection holds a receiver: the channel is closed when the last has ended.
    let (stop_sender, stopping) = watch::channel(false);
    let room = Arc::new(Semaphore::new(limits.connections_max.clamp(1, Semaphore::MAX_PERMITS)));
    let (mut stop, mut failing) = (stop, false);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &room) => accepted,
        };
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or a client that went away: the next accept may succeed. Those who wait stay
                // in the kernel's queue. Said once: it comes fifty times a second.
                if !failing {
                    tracing::warn!(%error, "connections cannot be accepted; they wait");
                }
                failing = true;
                metrics::counter!("leadline_accept_errors_total").increment(1);
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if std::mem::take(&mut failing) {
            tracing::info!("connections are accepted again");
        }
        let _ = stream.set_nodelay(true); // Only a matter of speed.
        let progress = Arc::new(Progress::default());
        let socket = TokioIo::new(Socket::new(stream, Arc::clone(&progress), &limits));
        let service = service(router.clone(), Arc::clone(&progress));
        let connection = http.serve_connection(socket, service);
        let (stopping, linger) = (stopping.clone(), limits.linger);
        tokio::spawn(async move {
            if let Err(error) = until_stopped(connection, stopping, &progress, linger).await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop((listener, stopping));
    stop_sender.send_replace(true);
    if tokio::time::timeout(limits.drain, stop_sender.closed()).await.is_err() {
        tracing::warn!("requests that were still open after {:?} were cut", limits.drain);
    }
    Ok(())
}

/// A connection to its end, or to that of its open request after a stop.
async fn until_stopped<C: GracefulConnection>(
    connection: C,
    mut stopping: watch::Receiver<bool>,
    progress: &Progress,
    linger: Duration,
) -> Result<(), C::Error> {
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = &mut connection => return ended,
        // An error says that the server is gone: a stop as well.
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
    progress.stop();
    // hyper's own shutdown closes a connection that has read nothing yet, with the request that is on its way to it.
    if let Ok(ended) = tokio::time::timeout(linger, &mut connection).await {
        return ended;
    }
    connection.as_mut().graceful_shutdown();
    connection.await
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

/// A router as the service that hyper wants, telling the socket when a request is being answered, and after a stop the
/// client that this was the last one.
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
            let mut response = router.call(request).await;
            if let (true, Ok(response)) = (progress.is_last(), &mut response) {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            progress.end();
            response
        }
    })
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    /// Sends a request and reads on until the answer's body `here` has come, or the end.
    async fn ask(stream: &mut TcpStream) -> String {
        stream.write_all(REQUEST).await.unwrap();
        let (mut answer, mut piece) = (Vec::new(), [0; 1_024]);
        while !answer.ends_with(b"here") {
            let read = stream.read(&mut piece).await.unwrap();
            assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&piece[..read]);
        }
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn a_request_on_its_way_when_the_server_stops_is_answered() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let limits = ServerLimits { linger: Duration::from_secs(20), ..ServerLimits::default() };
        let router = Router::new().route("/", get(|| async { "here" }));
        let stopped = Box::pin(async move { drop(stopped.await) });
        let server = tokio::spawn(serve(listener, router, limits, stopped));
        let mut fresh = TcpStream::connect(address).await.unwrap();
        let mut used = TcpStream::connect(address).await.unwrap();
        // Connections are accepted in their order, so both are when the second has its answer.
        assert!(!ask(&mut used).await.contains("connection: close"));
        stop.send(()).unwrap();
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        for stream in [&mut fresh, &mut used] {
            assert!(
                ask(stream).await.contains("connection: close"),
                "the client must know that it was the last"
            );
        }
        server.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn what_is_no_request_of_ours_is_answered_too() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "here" }));
        tokio::spawn(serve(listener, router, ServerLimits::default(), Box::pin(std::future::pending())));
        let many: String = (0..150).map(|n| format!("A{n}: x\r\n")).collect();
        let cases = [
            ("GARBAGE\r\n\r\n".to_owned(), "400"),
            (format!("GET /?{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(70_000)), "414"),
            (format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n"), "431"),
        ];
        for (request, status) in cases {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer:?}");
        }
    }
}
