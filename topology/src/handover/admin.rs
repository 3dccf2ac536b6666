//! The admin listener: its routes, and who may ask.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use leadline_connectors::contract::BoxFuture;
use leadline_connectors::http_server::{self, Problem, ServerLimits};
use ring::digest::{SHA256, digest};

use super::{Asking, Giver};
use crate::config::Config;

/// An [`Asking`] has some 300 bytes.
const BODY_BYTES_MAX: usize = 16 << 10;
/// A standby, and a person who looks.
const CONNECTIONS_MAX: usize = 16;

/// Serves the admin address, where one is configured, until `stop` resolves.
pub(crate) fn serve(
    runtime: &tokio::runtime::Runtime,
    config: &Config,
    giver: &Arc<Giver>,
    stop: BoxFuture<'static, ()>,
) -> anyhow::Result<()> {
    let Some(address) = config.admin_listen else { return Ok(()) };
    let token = config.admin_token_file.as_deref().map(read_token).transpose()?;
    let listener = TcpListener::bind(address).with_context(|| {
        format!("{address} cannot be listened on; is another process there? choose another --admin-listen")
    })?;
    let limits =
        ServerLimits { connections_max: CONNECTIONS_MAX, linger: Duration::ZERO, ..ServerLimits::default() };
    let served = http_server::serve(listener, routes(giver, token), limits, stop);
    runtime.spawn(async move {
        if let Err(error) = served.await {
            tracing::error!(%error, "the admin address is not served any more");
        }
    });
    tracing::info!(%address, "asks for a hand-over are taken");
    Ok(())
}

/// The token in a file, without the line's end.
pub(super) fn read_token(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("admin.token_file {} cannot be read", path.display()))?;
    let token = text.trim();
    anyhow::ensure!(!token.is_empty(), "admin.token_file {} is empty: put a secret into it", path.display());
    Ok(token.to_owned())
}

fn routes(giver: &Arc<Giver>, token: Option<String>) -> Router {
    let expected = token.map(|token| Arc::new(format!("Bearer {token}")));
    Router::new()
        .route("/v1/handover", get(holding))
        .route("/v1/handover/take", post(take))
        .route("/v1/handover/ready", post(ready))
        .with_state(Arc::clone(giver))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(expected, only_with_token))
}

/// Digests are compared, so that how long it takes tells nothing of the token.
async fn only_with_token(
    State(expected): State<Option<Arc<String>>>,
    request: Request,
    next: Next,
) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION).map_or(&[][..], |value| value.as_bytes());
    let may = expected.is_none_or(|expected| {
        digest(&SHA256, shown).as_ref() == digest(&SHA256, expected.as_bytes()).as_ref()
    });
    match may {
        true => next.run(request).await,
        false => {
            let why = "show the token of admin.token_file as a bearer token";
            Problem::unauthorized("Bearer", why).into_response()
        }
    }
}

async fn holding(State(giver): State<Arc<Giver>>) -> Response {
    // The executor is waited for.
    match tokio::task::spawn_blocking(move || giver.holding()).await {
        Ok(holding) => Json(holding).into_response(),
        Err(_) => Problem::unavailable("ending", 1).into_response(),
    }
}

async fn take(State(giver): State<Arc<Giver>>, Json(asking): Json<Asking>) -> Response {
    // Goes on though the standby may be gone: what was begun has to be answered when it asks again.
    let given = tokio::spawn(async move { giver.take(&asking).await });
    match given.await {
        Ok(Ok(holding)) => Json(holding).into_response(),
        Ok(Err(why)) => Problem::new(StatusCode::CONFLICT, why).into_response(),
        Err(_) => Problem::unavailable("ending", 1).into_response(),
    }
}

async fn ready(State(giver): State<Arc<Giver>>) -> StatusCode {
    giver.successor_is_ready();
    StatusCode::NO_CONTENT
}
