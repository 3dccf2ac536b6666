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
use leadline_connectors::contract::switch::Switch;
use leadline_connectors::http_client::Client;
use leadline_connectors::provider_cached::CachedProvider;
use leadline_connectors::provider_recording::{CallRailRecordings, RecordingProvider};
use leadline_connectors::sink_email::EmailSink;
use leadline_connectors::sink_http::HttpSink;
use leadline_connectors::sink_slack::SlackSink;
use leadline_connectors::sink_webhook::WebhookSink;
use leadline_operators::recording::BACKGROUND_TARGET;
use leadline_schemas::layout::LayoutRecord;

use crate::config::Config;
use crate::control::Admin;
use crate::engine::{Engine, EngineParts, Responders, Stored, lock};
use crate::integrations::SwitchOff;
use crate::layout::GenerationState;
use crate::layout::follow::StartEngine;
use crate::logs::LogOf;
use crate::parts::Parts;
use crate::pipeline;
use crate::records;
use crate::scorers;
use crate::speech;
use crate::stop::Fatal;

pub(crate) type Records = (Option<Box<dyn RecordWriter>>, Option<Arc<dyn RecordReader>>);

/// The record store's two sides, as far as this process needs them.
pub(crate) fn open_records(config: &Config) -> anyhow::Result<Records> {
    let asked = config.role.works() || config.role.answers();
    if !asked {
        return Ok((None, None));
    }
    #[cfg(feature = "kafka")]
    records::refuse_others_beside_a_file(config)?;
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
    let Some(kept) = config.answers_kept() else { return provider };
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
    for scorer in scorers::scorers(config, &client, &parts.ai_budget)? {
        by_kind.push(("score", kept(scorer.provider, &scorer.version, parts, config)));
    }
    by_kind.extend(speech::providers(parts, config, &client)?);
    let mut providers: HashMap<String, HashMap<String, Arc<dyn Provider>>> = HashMap::new();
    for (kind, provider) in by_kind {
        providers.entry(kind.to_owned()).or_default().insert(provider.name().to_owned(), provider);
    }
    // What has time is asked of the same, in a queue of its own.
    if let Some(named) = providers.get_mut("fetch_recording") {
        named.extend(named.get("callrail").cloned().map(|same| (BACKGROUND_TARGET.to_owned(), same)));
    }
    let sinks = sinks(&Admin::new(parts))?.into_iter().map(|sink| (sink.kind().to_owned(), sink));
    Ok(Responders { providers, sinks: sinks.collect(), share: parts.ai_budget.share() })
}

/// Every sink of this leadline.
pub(crate) fn sinks(admin: &Admin) -> anyhow::Result<Vec<Arc<dyn Sink>>> {
    let client = Client::new()?;
    let (secrets, clock) = (|| Arc::clone(&admin.secrets), || Arc::clone(&admin.clock));
    let switch: Arc<dyn Switch> = Arc::new(SwitchOff(admin.clone()));
    let intake: Arc<dyn Intake> = admin.settings.clone();
    let own: [Arc<dyn Sink>; 5] = [
        Arc::new(HttpSink::new(client.clone(), secrets(), clock())),
        Arc::new(WriteBackSink::new(admin.callrail.clone(), secrets(), intake, clock())),
        Arc::new(SlackSink::new(client.clone(), secrets(), Some(admin.crms.tokens()), Arc::clone(&switch))),
        Arc::new(WebhookSink::new(client, secrets(), clock(), switch)),
        Arc::new(EmailSink::new(secrets(), admin.email.clone())),
    ];
    Ok(own.into_iter().chain(admin.crms.sinks()).collect())
}
