//! Serving: the routes of a process, and how it is.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use leadline_connectors::api_http::{self, ApiParts, Health, LinkedBlobs, Probes};
use leadline_connectors::contract::source::Intake;
use leadline_connectors::contract::store::RecordReader;
use leadline_connectors::http_server::Problem;
use leadline_connectors::source_audio::{NotificationParts, notification_routes};
use leadline_connectors::source_http::{self, HttpSourceParts, Stopping};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::config::Config;
use crate::handover::{Phase, Phases};
use crate::layout::follow::Workplace;
use crate::parts::Parts;

/// Why a part does not get on; none when it does.
pub(crate) type Trouble = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// Of a process that works. One that stands by, or has handed over, has no part in the group and misses none.
pub(crate) fn dataflow_trouble(workplace: &Arc<Workplace>, phases: &Arc<Phases>) -> Trouble {
    let (workplace, phases) = (Arc::clone(workplace), Arc::clone(phases));
    Box::new(move || {
        let takes_part = [Phase::Running, Phase::Stopping].contains(&phases.now());
        workplace.trouble(takes_part)
    })
}

/// What a router shows of its process.
pub(crate) struct Shown {
    pub(crate) reader: Option<Arc<dyn RecordReader>>,
    pub(crate) metrics: PrometheusHandle,
    pub(crate) phases: Arc<Phases>,
    pub(crate) stopping: Stopping,
    pub(crate) dataflow: Option<Trouble>,
    /// Whether it may stand by, and takes no events meanwhile.
    pub(crate) stands_by: bool,
}

/// All routes of a process. While it stands by only its probes answer.
pub(crate) fn router(parts: &Parts, config: &Config, shown: Shown) -> Router {
    let Shown { reader, metrics, phases, stopping, dataflow, stands_by } = shown;
    let intake: Arc<dyn Intake> = parts.settings.clone();
    let asked = Arc::clone(&phases);
    let probes = Probes {
        health: health(parts, reader.clone(), dataflow),
        not_ready: Arc::new(move || asked.now().not_ready()),
        metrics: Arc::new(move || metrics.render()),
        clock: Arc::clone(&parts.clock),
    };
    let mut router = Router::new();
    if config.role.takes_events() {
        let sources = HttpSourceParts {
            intake: Arc::clone(&intake),
            secrets: parts.secrets.clone(),
            blob: parts.blob.clone(),
            clock: Arc::clone(&parts.clock),
            records: reader.clone(),
            requests_max: config.requests_max,
            process_timeout: Duration::from_secs(config.process_timeout_s),
            doubts: Arc::clone(&parts.doubts),
        };
        router = router.merge(source_http::routes_until(sources, stopping));
        if let (Some(key), Some(bucket)) = (&config.google_notification_key, &config.audio_storage_bucket) {
            router = router.merge(notification_routes(NotificationParts {
                intake: Arc::clone(&intake),
                clock: Arc::clone(&parts.clock),
                key: key.clone(),
                bucket: bucket.clone(),
            }));
        }
    }
    if let (true, Some(records)) = (config.role.answers(), reader) {
        let (blob, clock) = (Arc::clone(&parts.blob), Arc::clone(&parts.clock));
        router = router.merge(api_http::routes(ApiParts { records, intake, blob, clock }));
        if let Some(connect) = parts.crms.connect_routes(parts) {
            router = router.merge(connect);
        }
        if let Some(links) = parts.links.clone() {
            let (blob, clock) = (Arc::clone(&parts.blob), Arc::clone(&parts.clock));
            router = router.merge(api_http::link_routes(LinkedBlobs { blob, links, clock }));
        }
    }
    if stands_by {
        router = router.layer(from_fn_with_state(phases, only_when_it_works));
    }
    api_http::with_fallbacks(router.merge(api_http::probe_routes(probes)))
}

/// Whoever has been sent to a standby too early comes again, or goes to the old process.
async fn only_when_it_works(State(phases): State<Arc<Phases>>, request: Request, next: Next) -> Response {
    match phases.now() {
        // What was on its way when a stop began is answered.
        Phase::Replaced | Phase::Stopping => next.run(request).await,
        phase => match phase.not_ready() {
            None => next.run(request).await,
            Some(why) => Problem::unavailable(why, 1).into_response(),
        },
    }
}

fn health(
    parts: &Parts,
    reader: Option<Arc<dyn RecordReader>>,
    dataflow: Option<Trouble>,
) -> Arc<dyn Fn() -> Health + Send + Sync> {
    let log = parts.log.clone();
    Arc::new(move || {
        let mut health = Health::default();
        let state = log.health();
        let full = state.full.then(|| "no room for another segment: free disk space".to_owned());
        health.dependencies.insert("log", state.failed.or(state.unavailable).or(full));
        if let Some(reader) = &reader {
            health.dependencies.insert("records", reader.ping().err().map(|error| error.to_string()));
        }
        if let Some(dataflow) = &dataflow {
            health.dependencies.insert("dataflow", dataflow());
        }
        health
    })
}
