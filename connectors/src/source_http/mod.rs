//! Sources over HTTP: CallRail's webhooks, web forms and direct events. (`process` reads what it has caused and so
//! stands in [`crate::api_http`].)
//!
//! Each answers 2xx only after [`Intake::accept`] has made the event durable. [`router`] has the addresses,
//! [`serve()`] the connections, [`limits`] every bound with its reason.

mod acceptance;
mod body;
mod direct;
mod envelope;
mod form_body;
mod forms;
mod judge;
mod keys;
pub mod limits;
mod meter;
mod problem;
mod rate;
mod serve;
mod socket;
mod stop;
pub mod token;
mod webhook;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use leadline_schemas::TenantId;

use crate::contract::clock::Clock;
use crate::contract::secrets::Secrets;
use crate::contract::source::Intake;

pub use acceptance::Acceptance;
pub(crate) use body::BodyReader;
pub(crate) use direct::{caller_of, check_json, kind_of};
pub use envelope::EventIds;
pub(crate) use envelope::{Draft, idempotency_key, traceparent};
pub use keys::signing_key_context;
pub use limits::Limits;
pub use problem::Problem;
pub(crate) use rate::{Purpose, Rates};
pub use serve::serve;
pub use stop::{Stop, StopTrigger};

/// What the sources need.
pub struct SourceConfig {
    /// The way in; shared with the API, so that one number of slots bounds both.
    pub acceptance: Arc<Acceptance>,
    /// Opens signing keys.
    pub secrets: Arc<dyn Secrets>,
    /// Time of receipt.
    pub clock: Arc<dyn Clock>,
    /// Ids of events that bring none.
    pub ids: Arc<EventIds>,
    /// Bounds.
    pub limits: Limits,
}

/// What all handlers share.
pub(crate) struct Sources {
    acceptance: Arc<Acceptance>,
    keys: keys::KeyRings,
    clock: Arc<dyn Clock>,
    ids: Arc<EventIds>,
    rates: Rates,
    bodies: BodyReader,
}

impl Sources {
    fn intake(&self) -> &dyn Intake {
        self.acceptance.intake()
    }

    fn take_rate(&self, purpose: Purpose, tenant: Option<(&TenantId, i32)>) -> Result<(), Problem> {
        self.rates.take(purpose, tenant).map_err(|seconds| {
            self.acceptance.meters.rate.increment(1);
            Problem::too_many(seconds)
        })
    }
}

/// The addresses of all sources.
pub fn router(config: SourceConfig) -> Router {
    let sources = Arc::new(Sources {
        acceptance: config.acceptance,
        keys: keys::KeyRings::new(config.secrets),
        rates: Rates::new(Arc::clone(&config.clock)),
        clock: config.clock,
        ids: config.ids,
        bodies: BodyReader::new(config.limits.body_timeout),
    });
    // GET answers HEAD too.
    let hook = || get(webhook::probe).fallback(|| async { Problem::method_not_allowed("GET, HEAD, POST") });
    let only_post = || async { Problem::method_not_allowed("POST") };
    Router::new()
        .route("/v1/callrail/webhook", hook().post(webhook::any_kind))
        .route("/v1/callrail/webhook/{event}", hook().post(webhook::one_kind))
        .route("/v1/sources/{source_key}/callrail/{event}", hook().post(webhook::of_source))
        .route(
            "/v1/forms/{form_key}",
            post(forms::submit)
                .options(forms::preflight)
                .fallback(|| async { Problem::method_not_allowed("OPTIONS, POST") }),
        )
        .route("/v1/tenants/{tenant}/events", post(direct::submit).fallback(only_post))
        .with_state(sources)
}
