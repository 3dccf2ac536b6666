//! The API: what a tenant may read of its records and decide of its deliveries, `process`, a page for people, and
//! `health`, `ready`, `metrics` for whoever runs the process.
//!
//! Every address of a tenant takes the tenant's own token; any other, and any tenant that does not exist, is 401.

mod commands;
mod lists;
mod ops;
mod process;
mod query;
mod reading;
mod ui;
mod view;
mod watch;
mod windows;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use leadline_schemas::settings::Tenant;
use tokio::sync::Semaphore;

use crate::contract::clock::Clock;
use crate::contract::store::RecordReader;
use crate::source_http::{Acceptance, BodyReader, EventIds, Limits, Problem, Purpose, Rates, Stop};

pub use ops::{Dependency, DependencyState, OpsConfig, ops_router};
use reading::Reading;
pub use watch::{PollingWatch, RequestWatch};

/// What the API needs.
pub struct ApiConfig {
    /// The way in for commands and `process`; shared with the sources.
    pub acceptance: Arc<Acceptance>,
    /// The record store.
    pub reader: Arc<dyn RecordReader>,
    /// Tells when a request is finished: [`PollingWatch`], or something that is told.
    pub watch: Arc<dyn RequestWatch>,
    /// Time of receipt.
    pub clock: Arc<dyn Clock>,
    /// Ids of events that bring none; shared with the sources.
    pub ids: Arc<EventIds>,
    /// Ends the waiting of `process`.
    pub stop: Stop,
    /// Bounds.
    pub limits: Limits,
}

/// What all handlers share.
pub(crate) struct Api {
    acceptance: Arc<Acceptance>,
    reading: Reading,
    watch: Arc<dyn RequestWatch>,
    clock: Arc<dyn Clock>,
    ids: Arc<EventIds>,
    rates: Rates,
    bodies: BodyReader,
    stop: Stop,
    /// Places for those who wait for `process`: apart from the slots of webhooks, which nobody may hold for minutes.
    waiting: Semaphore,
    process_timeout: Duration,
}

impl Api {
    fn take_rate(&self, purpose: Purpose, tenant: &Tenant) -> Result<(), Problem> {
        let rate = Some((&tenant.tenant, tenant.policy.rate_per_s));
        self.rates.take(purpose, rate).map_err(Problem::too_many)
    }
}

/// The addresses of the API and its page. [`ops_router`] has the others.
pub fn router(config: ApiConfig) -> Router {
    let api = Arc::new(Api {
        acceptance: config.acceptance,
        reading: Reading::new(config.reader),
        watch: config.watch,
        rates: Rates::new(Arc::clone(&config.clock)),
        clock: config.clock,
        ids: config.ids,
        bodies: BodyReader::new(config.limits.body_timeout),
        stop: config.stop,
        waiting: Semaphore::new(config.limits.concurrent_requests_max.max(1)),
        process_timeout: config.limits.process_timeout,
    });
    let only_get = || async { Problem::method_not_allowed("GET, HEAD") };
    let only_post = || async { Problem::method_not_allowed("POST") };
    let of_tenant = Router::new()
        .route("/requests", get(lists::requests).fallback(only_get))
        .route("/requests/{id}", get(lists::request).fallback(only_get))
        .route("/calls", get(lists::calls).fallback(only_get))
        .route("/calls/{id}", get(lists::call).fallback(only_get))
        .route("/leads", get(lists::leads).fallback(only_get))
        .route("/leads/{id}", get(lists::lead).fallback(only_get))
        .route("/metrics/windows", get(windows::windows).fallback(only_get))
        .route("/deliveries", get(lists::deliveries).fallback(only_get))
        .route("/deliveries/{integration}/{subject}/retry", post(commands::retry).fallback(only_post))
        .route("/deliveries/{integration}/{subject}/skip", post(commands::skip).fallback(only_post))
        .route("/process", post(process::submit).fallback(only_post));
    Router::new()
        .route("/", get(ui::root).fallback(only_get))
        .route("/ui", get(ui::page).fallback(only_get))
        .nest("/v1/tenants/{tenant}", of_tenant)
        .with_state(api)
}
