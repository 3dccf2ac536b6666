//! The HTTP sources: CallRail's webhooks, web forms, direct events and `process`.
//!
//! A request is judged (who is it, may it, what is it), its envelope is appended, and only then it hears 2xx. What a
//! CallRail webhook says is not judged here beyond what filing it needs: it comes once and never again.

mod accept;
mod body;
mod doubts;
mod events;
mod forms;
mod keyring;
pub mod limits;
mod process;
mod random;
mod rate;
mod signature;
mod upload;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use http::StatusCode;
use leadline_schemas::TenantId;
use leadline_schemas::settings::Tenant;
use ring::rand::SystemRandom;
use tokio::sync::{Semaphore, SemaphorePermit};

pub use doubts::Doubts;
pub use keyring::signing_key_context;
pub use signature::SigningKey;

use self::keyring::KeyRings;
use self::rate::Rates;
use crate::contract::BoxFuture;
use crate::contract::blob::Blob;
use crate::contract::clock::Clock;
use crate::contract::secrets::Secrets;
use crate::contract::source::Intake;
use crate::contract::store::RecordReader;
use crate::http_server::Problem;

/// What the sources are given.
pub struct HttpSourceParts {
    /// The one way in.
    pub intake: Arc<dyn Intake>,
    /// Opens signing keys.
    pub secrets: Arc<dyn Secrets>,
    /// Takes bodies of over 4 MiB.
    pub blob: Arc<dyn Blob>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Where `process` looks for what became of its request; none where this process has no record store.
    pub records: Option<Arc<dyn RecordReader>>,
    /// Requests that are worked on at once (`MAX_CONCURRENT_REQUESTS`).
    pub requests_max: usize,
    /// How long `process` waits for its result (`WEBHOOK_TIMEOUT_SECONDS`).
    pub process_timeout: Duration,
    /// Where it is noted whose signatures were refused.
    pub doubts: Arc<Doubts>,
}

/// The sources' state, shared by all requests.
pub(crate) struct HttpSource {
    parts: HttpSourceParts,
    stopping: Stopping,
    keys: KeyRings,
    slots: Semaphore,
    uploads: Semaphore,
    rates: Rates,
    bodies: body::BodyReader,
    random: SystemRandom,
    accepted: metrics::Counter,
    refused: metrics::Counter,
}

/// Makes a future that resolves when the server begins to stop: who only waits ends then.
pub type Stopping = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// The routes of all HTTP sources, on a server that never stops.
pub fn routes(parts: HttpSourceParts) -> Router {
    routes_until(parts, Arc::new(|| Box::pin(std::future::pending())))
}

/// The routes of all HTTP sources.
pub fn routes_until(parts: HttpSourceParts, stopping: Stopping) -> Router {
    let source = Arc::new(HttpSource {
        stopping,
        keys: KeyRings::new(Arc::clone(&parts.secrets)),
        slots: Semaphore::new(parts.requests_max.clamp(1, Semaphore::MAX_PERMITS)),
        uploads: Semaphore::new(limits::UPLOADS_MAX),
        rates: Rates::default(),
        bodies: body::BodyReader::new(limits::BODY_TIMEOUT),
        random: SystemRandom::new(),
        accepted: metrics::counter!("leadline_events_accepted_total"),
        refused: metrics::counter!("leadline_requests_refused_total"),
        parts,
    });
    // GET and HEAD answer 200 without a body: a receiver once saw a probe.
    let hook = || get(|| async { StatusCode::OK });
    Router::new()
        .route("/v1/callrail/webhook", hook().post(webhook::any_kind))
        .route("/v1/callrail/webhook/{event}", hook().post(webhook::of_kind))
        .route("/v1/sources/{source_key}/callrail/{event}", hook().post(webhook::of_source))
        .route("/v1/forms/{form_key}", post(forms::submit).options(forms::preflight))
        .route("/v1/tenants/{tenant}/events", post(events::accept))
        .route("/v1/tenants/{tenant}/process", post(process::process))
        .with_state(source)
}

impl HttpSource {
    /// One of the slots; waits a bounded time for it.
    async fn slot(&self) -> Result<SemaphorePermit<'_>, Problem> {
        match self.slots.try_acquire() {
            Ok(permit) => Ok(permit),
            Err(_) => Box::pin(self.wait_for_slot()).await,
        }
    }

    async fn wait_for_slot(&self) -> Result<SemaphorePermit<'_>, Problem> {
        match tokio::time::timeout(limits::SLOT_WAIT_MAX, self.slots.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Problem::unavailable(
                format!(
                    "all {} slots were busy for {:?}; send it again",
                    self.parts.requests_max,
                    limits::SLOT_WAIT_MAX
                ),
                limits::RETRY_AFTER_S,
            )),
        }
    }

    /// What tells an event from all others.
    fn random_id(&self) -> [u8; 16] {
        // The system has no randomness: the clock still tells events of one process apart.
        random::random_id(&self.random)
            .unwrap_or_else(|| u128::from(self.parts.clock.boot_ms()).to_be_bytes())
    }

    /// The tenant of a path, if the bearer token is its own. A wrong token and an unknown tenant answer alike.
    async fn tenant_of_token(&self, tenant: &str, headers: &http::HeaderMap) -> Result<Arc<Tenant>, Problem> {
        match authorised(&self.parts.intake.settings(), tenant, headers) {
            // The tenant or its token may be newer than what this process has read.
            Err(_) => authorised(&*self.parts.intake.fresh_settings().await, tenant, headers),
            known => known,
        }
    }

    fn limit(&self, what: &str, tenant: &Tenant) -> Result<(), Problem> {
        let per_s = f64::from(tenant.policy.rate_per_s.max(1));
        let key = format!("{what}/{}", tenant.tenant);
        if self.rates.take(&key, per_s, self.parts.clock.boot_ms()) {
            return Ok(());
        }
        self.refused.increment(1);
        Err(Problem::too_many(format!("more than {per_s} {what} a second; slow down")))
    }
}

/// The tenant named in a path, for whoever has its token; else the same answer whether it exists or not.
pub(crate) fn authorised(
    settings: &leadline_schemas::settings::Settings,
    tenant: &str,
    headers: &http::HeaderMap,
) -> Result<Arc<Tenant>, Problem> {
    let denied = || {
        Problem::unauthorized(
            "Bearer",
            "the bearer token is missing or not one of this tenant: send `Authorization: Bearer TOKEN`",
        )
    };
    let token =
        headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token =
        token.strip_prefix("Bearer ").or_else(|| token.strip_prefix("bearer ")).unwrap_or_default().trim();
    let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
    let found = TenantId::new(tenant).ok().and_then(|id| settings.tenant(&id).cloned());
    let expected = found.as_ref().map_or_else(String::new, |tenant| tenant.api_token_sha256.clone());
    let given: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    if token.is_empty() || !same(given.as_bytes(), expected.as_bytes()) {
        return Err(denied());
    }
    found.ok_or_else(denied)
}

/// Compares digests without telling by time where they differ.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}
