//! What works in a process: its engine, who answers the engine's jobs, and the record store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leadline_connectors::callrail::{GetCall, PullPages, WriteBackSink};
use leadline_connectors::contract::provider::Provider;
use leadline_connectors::contract::secrets::Secrets;
use leadline_connectors::contract::sink::Sink;
use leadline_connectors::contract::source::Intake;
use leadline_connectors::contract::store::{RecordReader, RecordWriter};
use leadline_connectors::http_client::Client;
use leadline_connectors::provider_cached::CachedProvider;
use leadline_connectors::provider_http::HttpProvider;
use leadline_connectors::provider_recording::{CallRailRecordings, RecordingProvider};
use leadline_connectors::sink_http::HttpSink;
use leadline_schemas::layout::LayoutRecord;

use crate::config::Config;
use crate::engine::{Engine, EngineParts, Responders, Stored, lock};
use crate::layout::GenerationState;
use crate::layout::follow::StartEngine;
use crate::logs::LogOf;
use crate::parts::Parts;
use crate::pipeline;
use crate::records;
use crate::stop::Fatal;

/// The provider that `AI_MODEL_ENDPOINT` makes; a tenant's `score_provider` names it.
pub(crate) const HTTP_PROVIDER: &str = "http";

pub(crate) type Records = (Option<Box<dyn RecordWriter>>, Option<Arc<dyn RecordReader>>);

/// The record store's two sides, as far as this process needs them.
pub(crate) fn open_records(config: &Config) -> anyhow::Result<Records> {
    let asked = config.role.works() || config.role.answers();
    if !asked {
        return Ok((None, None));
    }
    let Some((writer, reader)) = records::open(config)? else { return Ok((None, None)) };
    Ok((config.role.works().then_some(writer), Some(reader)))
}

/// What starts this process's engine in a layout: once, and again for each that follows. It owns nothing yet.
pub(crate) fn engine_starter(
    parts: &Parts,
    config: &Config,
    runtime: &tokio::runtime::Runtime,
    writer: Option<Box<dyn RecordWriter>>,
    stored: &Stored,
    fatal: &Fatal,
    after_abort: bool,
) -> StartEngine {
    leadline_operators::rules::warm_up();
    let (parts, config, runtime) = (parts.clone(), config.clone(), runtime.handle().clone());
    let (writer, stored, fatal) = (Mutex::new(Some(writer)), Arc::clone(stored), Arc::clone(fatal));
    Box::new(move |log: &LogOf, record: &LayoutRecord| {
        let generation = log.generation;
        let writer = match lock(&writer).take() {
            Some(first) => first,
            None => open_records(&config)?.0,
        };
        let settings = Arc::clone(&parts.settings);
        Ok(Engine::start(EngineParts {
            pipeline: pipeline::pipeline,
            pipeline_name: pipeline::NAME,
            generation,
            origin: record.change().filter(|change| change.to.generation == generation),
            workers: config.workers,
            shared: log.assignment.is_some(),
            log: Arc::clone(&log.log),
            state: Arc::new(GenerationState::new(parts.state.clone(), generation)),
            blob: parts.blob.clone(),
            clock: Arc::clone(&parts.clock),
            settings: Arc::new(move || settings.of_generation(generation)),
            responders: responders(&parts, &config)?,
            writer,
            stored: Arc::clone(&stored),
            runtime: runtime.clone(),
            suspects: Some((config.data.clone(), after_abort)),
            snapshot_interval: Duration::from_secs(config.snapshot_interval_s),
            fatal: Arc::clone(&fatal),
        }))
    })
}

/// A provider whose answers are paid for: they are kept, as far as is configured.
fn kept(provider: Arc<dyn Provider>, version: &str, parts: &Parts, config: &Config) -> Arc<dyn Provider> {
    let kept = Duration::from_secs(u64::from(config.ai_answers_kept_days) * 86_400);
    if kept.is_zero() {
        return provider;
    }
    let (blob, clock) = (Arc::clone(&parts.blob), Arc::clone(&parts.clock));
    Arc::new(CachedProvider::new(provider, version, blob, clock, kept))
}

fn responders(parts: &Parts, config: &Config) -> anyhow::Result<Responders> {
    let client = Client::new()?;
    let secrets: Arc<dyn Secrets> = parts.secrets.clone();
    let intake: Arc<dyn Intake> = parts.settings.clone();
    let settings = Arc::clone(&parts.settings);
    let now = Arc::new(move || settings.current());
    let (callrail, clock) = (|| parts.callrail.clone(), Arc::clone(&parts.clock));
    let recordings = CallRailRecordings::new(callrail(), Arc::clone(&secrets), now.clone());
    let mut by_kind: Vec<(&str, Arc<dyn Provider>)> = vec![
        ("get_call", Arc::new(GetCall::new(callrail(), Arc::clone(&secrets), now))),
        ("pull", Arc::new(PullPages::new(callrail(), Arc::clone(&secrets), Arc::clone(&intake), clock))),
        ("fetch_recording", Arc::new(RecordingProvider::new(Arc::new(recordings), Arc::clone(&parts.blob)))),
    ];
    if let Some(url) = &config.ai_model_endpoint {
        let model = HttpProvider::new(HTTP_PROVIDER, url, client.clone()).within(config.ai_limits);
        by_kind.push(("score", kept(Arc::new(model), url, parts, config)));
    }
    let mut providers: HashMap<String, HashMap<String, Arc<dyn Provider>>> = HashMap::new();
    for (kind, provider) in by_kind {
        providers.entry(kind.to_owned()).or_default().insert(provider.name().to_owned(), provider);
    }
    let write_back =
        WriteBackSink::new(parts.callrail.clone(), Arc::clone(&secrets), intake, Arc::clone(&parts.clock));
    let sinks: [Arc<dyn Sink>; 2] =
        [Arc::new(HttpSink::new(client, secrets, Arc::clone(&parts.clock))), Arc::new(write_back)];
    let sinks = sinks.into_iter().map(|sink| (sink.kind().to_owned(), sink));
    Ok(Responders { providers, sinks: sinks.collect() })
}
