//! The read API, health and metrics, and a page for people.

mod blobs;
mod deliveries;
mod feedback;
mod lists;
mod shape;
mod windows;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use leadline_schemas::settings::Tenant;
use ring::rand::SystemRandom;
use serde_json::json;
use tokio::sync::Semaphore;

pub use blobs::{LinkedBlobs, link_routes};
pub use deliveries::{Replay, caller_of, to_replay};
pub use shape::{call_json, delivery_detail_json, delivery_json, lead_json, request_json};

use crate::contract::blob::Blob;
use crate::contract::clock::Clock;
use crate::contract::source::Intake;
use crate::contract::store::{RecordReader, StoreError};
use crate::http_server::{Problem, json as answer};
use crate::source_http::authorised;

/// Queries that run at once; each holds a thread and a connection of the read pool.
const QUERIES_MAX: usize = 16;

/// What the API is given.
pub struct ApiParts {
    /// The record store.
    pub records: Arc<dyn RecordReader>,
    /// Settings, and the way in for commands.
    pub intake: Arc<dyn Intake>,
    /// Where recordings lie.
    pub blob: Arc<dyn Blob>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// How the process is.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// Name of each part to what is wrong with it; none = nothing.
    pub dependencies: BTreeMap<&'static str, Option<String>>,
}

/// What `/health`, `/ready` and `/metrics` ask.
pub struct Probes {
    /// How the process is.
    pub health: Arc<dyn Fn() -> Health + Send + Sync>,
    /// Why it takes no events; none when it does.
    pub not_ready: Arc<dyn Fn() -> Option<&'static str> + Send + Sync>,
    /// Prometheus text.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

pub(crate) struct Api {
    parts: ApiParts,
    queries: Semaphore,
    random: SystemRandom,
}

/// The routes of the read API and the page.
pub fn routes(parts: ApiParts) -> Router {
    let api = Arc::new(Api { parts, queries: Semaphore::new(QUERIES_MAX), random: SystemRandom::new() });
    Router::new()
        .route("/", get(|| async { Redirect::temporary("/ui") }))
        .route("/ui", get(page))
        .route("/v1/tenants/{tenant}/requests", get(lists::requests))
        .route("/v1/tenants/{tenant}/requests/{id}", get(lists::request))
        .route("/v1/tenants/{tenant}/calls", get(lists::calls))
        .route("/v1/tenants/{tenant}/calls/{id}", get(lists::call))
        .route("/v1/tenants/{tenant}/leads", get(lists::leads))
        .route("/v1/tenants/{tenant}/leads/{id}", get(lists::lead))
        .route("/v1/tenants/{tenant}/leads/{id}/feedback", post(feedback::feedback))
        .route("/v1/tenants/{tenant}/deliveries", get(lists::deliveries))
        .route("/v1/tenants/{tenant}/deliveries/replay", post(deliveries::replay))
        .route("/v1/tenants/{tenant}/deliveries/{integration}/{subject}", get(deliveries::show))
        .route("/v1/tenants/{tenant}/deliveries/{integration}/{subject}/{action}", post(deliveries::act))
        .route("/v1/tenants/{tenant}/metrics/windows", get(windows::windows))
        .with_state(api)
}

/// The routes that say how the process is.
pub fn probe_routes(probes: Probes) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(prometheus))
        .with_state(Arc::new(probes))
}

/// Answers for paths that are not there, and for methods that they do not have.
pub fn with_fallbacks(router: Router) -> Router {
    router
        .fallback(|uri: http::Uri| async move {
            let path: String = uri.path().chars().take(200).collect();
            Problem::not_found(format!("there is nothing at {path:?}"))
        })
        .method_not_allowed_fallback(|method: http::Method| async move {
            let method: String = method.as_str().chars().take(20).collect();
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not a method of this address"))
        })
}

async fn health(State(probes): State<Arc<Probes>>) -> Response {
    // The record store is asked, which may be on another machine.
    let asked = Arc::clone(&probes.health);
    let Ok(health) = tokio::task::spawn_blocking(move || asked()).await else {
        return Problem::unavailable("the health was not found out", 1).into_response();
    };
    let well = health.dependencies.values().all(Option::is_none);
    let parts: BTreeMap<_, _> = health
        .dependencies
        .iter()
        .map(|(name, wrong)| {
            (*name, json!({ "status": if wrong.is_none() { "ok" } else { "failing" }, "detail": wrong }))
        })
        .collect();
    let body = json!({
        "status": if well { "ok" } else { "degraded" },
        "timestamp": probes.clock.wall().to_string(),
        "version": env!("CARGO_PKG_VERSION"),
        "dependencies": parts,
    });
    answer(if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &body)
}

async fn ready(State(probes): State<Arc<Probes>>) -> Response {
    match (probes.not_ready)() {
        None => answer(StatusCode::OK, &json!({ "ready": true })),
        Some(why) => Problem::unavailable(why, 1).into_response(),
    }
}

async fn prometheus(State(probes): State<Arc<Probes>>) -> Response {
    let mut response = (probes.metrics)().into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    response
}

/// One file without outside parts; scripts and styles are its own.
async fn page() -> Response {
    let mut response = include_str!("ui.html").into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    );
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

impl Api {
    fn tenant(&self, tenant: &str, headers: &HeaderMap) -> Result<Arc<Tenant>, Problem> {
        authorised(&self.parts.intake.settings(), tenant, headers)
    }

    /// Runs a query off the async threads, a bounded number at a time.
    async fn query<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&dyn RecordReader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        let _permit = self.queries.acquire().await.map_err(|_| Problem::unavailable("stopping", 1))?;
        let records = Arc::clone(&self.parts.records);
        match tokio::task::spawn_blocking(move || ask(&*records)).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error @ StoreError::Cursor(_))) => Err(Problem::bad_request(error.to_string())),
            Ok(Err(error)) => {
                tracing::error!(%error, "a query failed");
                Err(Problem::unavailable("the record store did not answer; ask again", 2))
            }
            Err(_) => Err(Problem::unavailable("the query was given up", 2)),
        }
    }
}
