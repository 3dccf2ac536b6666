//! For whoever runs the process: `GET /health`, `/ready`, `/metrics`. Open to all, so it names no tenant.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};

use super::view;
use crate::contract::clock::Clock;
use crate::source_http::Problem;

/// The dependencies are asked at most this often, however many ask for health.
const PROBE_INTERVAL_MS: u64 = 500;

/// How something is that the process depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DependencyState {
    /// As it should be.
    Ok,
    /// It works, but not as it should.
    Degraded,
    /// It does not work.
    Down,
}

impl DependencyState {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

/// Something that the process depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// `log`, `store`, `state`.
    pub name: &'static str,
    /// How it is.
    pub state: DependencyState,
}

/// What `health`, `ready` and `metrics` tell.
pub struct OpsConfig {
    /// The version of the binary.
    pub version: &'static str,
    /// The time of the answer.
    pub clock: Arc<dyn Clock>,
    /// Asks all dependencies; it may block.
    pub dependencies: Arc<dyn Fn() -> Vec<Dependency> + Send + Sync>,
    /// Whether webhooks are taken and settings read.
    pub ready: Arc<dyn Fn() -> bool + Send + Sync>,
    /// The metrics as Prometheus text.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

struct Ops {
    config: OpsConfig,
    /// The last answers of the dependencies, and when they gave them.
    last: Mutex<Option<(u64, Vec<Dependency>)>>,
}

/// The addresses, and the answer for all that are none.
pub fn ops_router(config: OpsConfig) -> Router {
    let only_get = || async { Problem::method_not_allowed("GET, HEAD") };
    Router::new()
        .route("/health", get(health).fallback(only_get))
        .route("/ready", get(ready).fallback(only_get))
        .route("/metrics", get(metrics).fallback(only_get))
        .fallback(|| async { Problem::not_found("there is nothing at this address") })
        .with_state(Arc::new(Ops { config, last: Mutex::new(None) }))
}

async fn health(State(ops): State<Arc<Ops>>) -> Response {
    let dependencies = ops.dependencies().await;
    let worst = dependencies.iter().map(|dependency| dependency.state).max().unwrap_or(DependencyState::Ok);
    let states: Map<String, Value> = dependencies
        .iter()
        .map(|dependency| (dependency.name.to_owned(), json!({ "status": dependency.state.name() })))
        .collect();
    let body = json!({
        "status": worst.name(),
        "timestamp": view::at(ops.config.clock.wall()),
        "version": ops.config.version,
        "dependencies": states,
    });
    let status = match worst {
        DependencyState::Down => StatusCode::SERVICE_UNAVAILABLE,
        DependencyState::Ok | DependencyState::Degraded => StatusCode::OK,
    };
    (status, axum::Json(body)).into_response()
}

async fn ready(State(ops): State<Arc<Ops>>) -> Response {
    if (ops.config.ready)() {
        return axum::Json(json!({ "ready": true })).into_response();
    }
    Problem::unavailable("the process is not ready yet, or about to stop").into_response()
}

async fn metrics(State(ops): State<Arc<Ops>>) -> Response {
    let rendered = tokio::task::spawn_blocking(move || (ops.config.metrics)()).await;
    match rendered {
        Ok(text) => ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(_) => Problem::unavailable("the metrics could not be rendered").into_response(),
    }
}

impl Ops {
    async fn dependencies(self: &Arc<Self>) -> Vec<Dependency> {
        let now_ms = self.config.clock.boot_ms();
        if let Some((at_ms, known)) = &*self.last.lock().unwrap_or_else(PoisonError::into_inner)
            && now_ms.saturating_sub(*at_ms) < PROBE_INTERVAL_MS
        {
            return known.clone();
        }
        let ops = Arc::clone(self);
        let probed = tokio::task::spawn_blocking(move || (ops.config.dependencies)()).await;
        let broken = || vec![Dependency { name: "health", state: DependencyState::Down }];
        let dependencies = probed.unwrap_or_else(|_| broken());
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((now_ms, dependencies.clone()));
        dependencies
    }
}
