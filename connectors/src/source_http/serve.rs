//! Connections: accepted from a listener that may have come from systemd, bounded in number and time, ended in order.
//!
//! `axum::serve` has neither a bound on connections nor a timeout for heads, and waits for its last connection
//! without end.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tower::Service;

use super::limits::{HEAD_BYTES_MAX, HEADERS_MAX, Limits, URL_BYTES_MAX};
use super::problem::Problem;
use super::socket::{Progress, Socket};
use super::stop::Stop;

/// After an accept that failed for want of files or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `router` until `stop` is raised; then answers what has been asked and resolves within
/// `limits.stop_timeout`. The listener is left to its owner: where systemd has it, what comes now waits there.
pub async fn serve(
    listener: std::net::TcpListener,
    router: Router,
    limits: Limits,
    stop: Stop,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let room = Arc::new(Semaphore::new(limits.connections_max.max(1)));
    let server = Arc::new(Server { router, limits, stop: stop.clone() });
    let mut connections = JoinSet::new();
    let mut stopped = pin!(stop.stopped());
    loop {
        tokio::select! {
            biased;
            () = &mut stopped => break,
            Some(_) = connections.join_next() => {}
            accepted = accept(&listener, &room) => match accepted {
                Ok((stream, place)) => {
                    connections.spawn(Arc::clone(&server).run(stream, place));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let draining = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(server.limits.stop_timeout, draining).await.is_err() {
        tracing::warn!(connections = connections.len(), "connections were cut: they did not end in time");
        connections.shutdown().await;
    }
    Ok(())
}

/// The next connection, when there is room for one; others wait in the backlog of the system.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, Option<OwnedSemaphorePermit>)> {
    // The semaphore is never closed, so there is a place.
    let place = Arc::clone(room).acquire_owned().await.ok();
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

struct Server {
    router: Router,
    limits: Limits,
    stop: Stop,
}

impl Server {
    async fn run(self: Arc<Self>, stream: TcpStream, _place: Option<OwnedSemaphorePermit>) {
        // Answers are small and whole: nothing is gained by waiting for more.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        let progress = Arc::new(Progress::default());
        let socket = TokioIo::new(Socket::new(stream, Arc::clone(&progress), &self.limits));
        let service = service_fn(|request| self.answer(&progress, request));
        let connection = http1::Builder::new()
            .max_headers(HEADERS_MAX)
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(HEAD_BYTES_MAX * 2)
            .serve_connection(socket, service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = self.stop.stopped() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }

    async fn answer(
        &self,
        progress: &Progress,
        request: Request<Incoming>,
    ) -> Result<Response, Infallible> {
        progress.begin();
        let response = match request.uri().path_and_query() {
            Some(url) if url.as_str().len() > URL_BYTES_MAX => {
                let detail = format!("the URL is longer than the {URL_BYTES_MAX} bytes that are taken here");
                Problem::new(StatusCode::URI_TOO_LONG, detail).into_response()
            }
            _ => {
                let Ok(response) = self.router.clone().call(request.map(Body::new)).await;
                response
            }
        };
        progress.end();
        Ok(response)
    }
}
