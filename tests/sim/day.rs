//! A day on which CallRail loses webhooks: every call is stored within 45 minutes of its end, all the same.
//!
//! The whole pipeline in simulated time. Webhooks come as late as CallRail sends them, some never; its list has a call as
//! soon as it rings, refuses at times, and is asked by the quarter of an hour.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use leadline::engine::{EngineParts, Part, Responders, SteppedEngine};
use leadline::pipeline;
use leadline_connectors::conformance::Seeded;
use leadline_connectors::contract::BoxFuture;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::provider::{CallError, Provider, ProviderAnswer};
use leadline_connectors::log_memory::MemoryLog;
use leadline_connectors::state_memory::MemoryState;
use leadline_connectors::store_memory::MemoryStore;
use leadline_schemas::audit::Audit;
use leadline_schemas::call::{CallRecord, CallStage};
use leadline_schemas::command::Command;
use leadline_schemas::frame::Output;
use leadline_schemas::inbound::{EventKind, Inbound, Origin};
use leadline_schemas::partitioning::{Key, Layout};
use leadline_schemas::pull::{Listing, PullJob, Pulled, account_key};
use leadline_schemas::reply::PendingJob;
use leadline_schemas::settings::{CallRail, Sealed, Settings};
use leadline_schemas::{EventId, Millis, Partition, Topic, avro};
use serde_json::json;

use crate::chance::Chance;
use crate::clock::{BEGIN, SimClock};
use crate::tenants::tenant;
use crate::world::yield_some;
use leadline_connectors::blob_memory::MemoryBlob;

const TENANT: &str = "alpha";
const ACCOUNT: &str = "ACC1";
const CALLS: u64 = 2_000;
/// Webhooks of a thousand that never come.
const LOST_PERMILLE: u64 = 20;
/// Pages of a thousand that CallRail refuses.
const REFUSED_PERMILLE: u64 = 50;
const STORED_MS_MAX: i64 = 45 * Millis::MINUTE;
const ROUND_MS: i64 = 15 * Millis::MINUTE;
const STEP_MS: u64 = 20_000;
const PAGE: usize = 250;
const PARTITIONS: u16 = 4;

/// What really was.
struct Call {
    id: String,
    caller: String,
    started_at: Millis,
    ended_at: Millis,
    /// When each of its webhooks comes, if it does.
    pre_call: Option<Millis>,
    post_call: Option<Millis>,
}

impl Call {
    fn body(&self, is_over: bool, is_listed: bool) -> Bytes {
        let duration_s = if is_over { self.ended_at.since(self.started_at) / 1_000 } else { 0 };
        let mut body = json!({
            "resource_id": self.id, "company_resource_id": "COM1", "answered": is_over, "direction": "inbound",
            "call_type": if is_over { "answered" } else { "missed" }, "voicemail": false, "duration": duration_s,
            "customer_phone_number": self.caller, "tracking_phone_number": "+13035550100",
            "start_time": self.started_at.to_string(),
        });
        if !is_listed {
            body["timestamp"] = json!(self.started_at.to_string());
        }
        Bytes::from(body.to_string())
    }
}

fn calls(chance: &mut Seeded) -> Vec<Call> {
    let mut calls: Vec<Call> = (0..CALLS)
        .map(|n| {
            let started_at = BEGIN.plus(chance.below(Millis::DAY as u64) as i64);
            // Most are short; one of a hundred goes on for hours.
            let longest = if chance.happens(10) { 3 * Millis::HOUR } else { 12 * Millis::MINUTE };
            let ended_at = started_at.plus(1_000 + chance.below(longest as u64) as i64);
            let late = if chance.happens(100) { 20 * Millis::MINUTE } else { Millis::MINUTE };
            let late = chance.below(late as u64) as i64;
            let mut comes = |at: Millis| (!chance.happens(LOST_PERMILLE)).then_some(at);
            Call {
                id: format!("CAL{n:032x}"),
                caller: format!("+1303555{:04}", n % 2_000),
                started_at,
                ended_at,
                pre_call: comes(started_at.plus(1_000)),
                post_call: comes(ended_at.plus(late)),
            }
        })
        .collect();
    calls.sort_by_key(|call| call.started_at);
    calls
}

/// The log's front door.
#[derive(Clone)]
struct Door {
    log: Arc<MemoryLog>,
    clock: Arc<SimClock>,
}

impl Door {
    fn take(&self, key: Key, caller: &str, origin: Origin, kind: EventKind, body: Bytes) {
        let received_at = self.clock.wall();
        let event_id = EventId::of(&[&body, format!("{origin:?}{kind:?}{received_at}").as_bytes()]);
        let inbound = Inbound::new(event_id, key, caller, (origin, kind), (received_at, 1), body);
        let layout = Layout { generation: 1, partitions: PARTITIONS };
        let value = Bytes::from(avro::encode(&inbound).unwrap());
        self.log.push(Topic::Inbound, layout.partition(inbound.key_group), value);
    }

    fn call(&self, call: &Call, origin: Origin, kind: EventKind, body: Bytes) {
        let key = Key::new(tenant(TENANT).tenant, &call.caller, 1);
        self.take(key, &call.caller, origin, kind, body);
    }
}

/// CallRail's list.
struct List {
    calls: Arc<Vec<Call>>,
    door: Door,
    chance: Mutex<Seeded>,
}

impl List {
    fn page(&self, job: &PullJob) -> Pulled {
        let now = self.door.clock.wall();
        if job.listing != Listing::Calls {
            return Pulled::default();
        }
        let inside = |call: &&Call| (job.from..=job.to.min(now)).contains(&call.started_at);
        let found: Vec<&Call> = self.calls.iter().filter(inside).collect();
        let from: usize = job.page.as_deref().map_or(0, |page| page.parse().unwrap());
        let rows = found.iter().skip(from).take(PAGE);
        let (over, open): (Vec<&&Call>, Vec<&&Call>) = rows.partition(|call| call.ended_at <= now);
        for call in &over {
            self.door.call(call, Origin::CallrailPull, EventKind::PostCall, call.body(true, true));
        }
        Pulled {
            listed: (over.len() + open.len()) as i64,
            appended: over.len() as i64,
            open_since: open.iter().map(|call| call.started_at).min(),
            next: (found.len() > from + PAGE).then(|| (from + PAGE).to_string()),
            total: None,
        }
    }
}

impl Provider for List {
    fn name(&self) -> &str {
        "callrail"
    }
    fn call(&self, job: PendingJob, _: Duration) -> BoxFuture<'_, Result<ProviderAnswer, CallError>> {
        Box::pin(async move {
            if self.chance.lock().unwrap().happens(REFUSED_PERMILLE) {
                return Err(CallError::Retry { after: None, why: "429".to_owned() });
            }
            let body = match job.request.kind.as_str() {
                "pull" => {
                    serde_json::to_vec(&self.page(&serde_json::from_slice(&job.request.payload).unwrap()))
                }
                // What a missed call would ask; of these all are answered.
                _ => serde_json::to_vec(
                    &json!({"answered": true, "voicemail": false, "call_type": "answered"}),
                ),
            };
            Ok(ProviderAnswer { body: Bytes::from(body.unwrap()), cost_micros: 0 })
        })
    }
}

/// When each call was first stored as one that is over, and which were told of as missed by webhooks.
#[derive(Default)]
struct Stored {
    calls: BTreeMap<String, Millis>,
    missed: Vec<String>,
}

impl Stored {
    fn take(&mut self, outputs: &[Output], now: Millis) {
        for output in outputs {
            match output.topic {
                Topic::Calls => {
                    let call: CallRecord = avro::decode(&output.value).unwrap();
                    if call.stage == CallStage::Completed {
                        self.calls.entry(call.call_id).or_insert(now);
                    }
                }
                Topic::Audit => {
                    let line: Audit = avro::decode(&output.value).unwrap();
                    if line.kind == "missed_by_webhooks" {
                        self.missed.push(line.subject);
                    }
                }
                _ => {}
            }
        }
    }
}

/// Runs the day of a seed. Answers what it came to, in a line.
pub fn run(seed: u64) -> Result<String, String> {
    let mut chance = Seeded::new(seed);
    let clock = Arc::new(SimClock::new());
    let calls = Arc::new(calls(&mut chance));
    let door = Door { log: Arc::new(MemoryLog::new(PARTITIONS)), clock: Arc::clone(&clock) };
    let list = List { calls: Arc::clone(&calls), door: door.clone(), chance: Mutex::new(chance) };
    let stored = Arc::<Mutex<Stored>>::default();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let mut engine = engine(&door, list, &stored, &runtime);
    let all: Vec<Partition> = (0..PARTITIONS).map(Partition).collect();
    engine.own(&all).map_err(|error| error.to_string())?;

    let mut webhooks: BTreeMap<(Millis, usize, bool), &Call> = BTreeMap::new();
    for (at, call) in calls.iter().enumerate() {
        webhooks.extend(call.pre_call.map(|when| ((when, at, false), call)));
        webhooks.extend(call.post_call.map(|when| ((when, at, true), call)));
    }
    let until = BEGIN.plus(Millis::DAY + 4 * Millis::HOUR);
    let mut round = 0;
    while clock.wall() < until {
        let now = clock.wall();
        while let Some(entry) = webhooks.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((_, _, is_over), call) = entry.remove_entry();
            let kind = if is_over { EventKind::PostCall } else { EventKind::PreCall };
            door.call(call, Origin::CallrailWebhook, kind, call.body(is_over, false));
        }
        if now.0.div_euclid(ROUND_MS) > round {
            round = now.0.div_euclid(ROUND_MS);
            let command = Command::PullAccount { account_id: ACCOUNT.to_owned(), round };
            let body = Bytes::from(serde_json::to_vec(&command).unwrap());
            door.take(account_key(ACCOUNT), ACCOUNT, Origin::Command, EventKind::Command, body);
        }
        settle(&mut engine, &runtime);
        clock.advance(STEP_MS);
        runtime.block_on(tokio::time::advance(Duration::from_millis(STEP_MS)));
    }
    settle(&mut engine, &runtime);
    judge(&calls, &stored.lock().unwrap())
}

fn engine(
    door: &Door,
    list: List,
    stored: &Arc<Mutex<Stored>>,
    runtime: &tokio::runtime::Runtime,
) -> SteppedEngine {
    let mut alpha = tenant(TENANT);
    alpha.integrations.clear();
    alpha.callrail = Some(CallRail {
        account_id: ACCOUNT.to_owned(),
        api_key: Sealed::default(),
        public_url: String::new(),
        write_back: false,
        connected_at: BEGIN,
    });
    let settings = Arc::new(Settings::default().with(alpha, 1));
    let list: Arc<dyn Provider> = Arc::new(list);
    let of_kind = |kind: &str| (kind.to_owned(), HashMap::from([("callrail".to_owned(), Arc::clone(&list))]));
    let providers = HashMap::from([of_kind("pull"), of_kind("get_call")]);
    let (noted, clock) = (Arc::clone(stored), Arc::clone(&door.clock));
    SteppedEngine::start(EngineParts {
        pipeline: pipeline::pipeline,
        pipeline_name: pipeline::NAME,
        generation: 1,
        origin: None,
        workers: 1,
        shared: false,
        log: door.log.clone(),
        state: Arc::new(MemoryState::new()),
        blob: Arc::new(MemoryBlob::new()),
        clock: door.clock.clone(),
        settings: Arc::new(move || Arc::clone(&settings)),
        responders: Responders { providers, ..Responders::default() },
        writer: Some(Box::new(MemoryStore::new())),
        stored: Arc::new(move |outputs| noted.lock().unwrap().take(outputs, clock.wall())),
        runtime: runtime.handle().clone(),
        suspects: None,
        snapshot_interval: Duration::from_secs(3_600),
        fatal: Arc::new(|why| panic!("{why}")),
    })
}

fn settle(engine: &mut SteppedEngine, runtime: &tokio::runtime::Runtime) {
    loop {
        let progressed = Part::ALL.into_iter().fold(false, |any, part| any | engine.turn(part));
        runtime.block_on(yield_some());
        if !progressed {
            return;
        }
    }
}

fn judge(calls: &[Call], stored: &Stored) -> Result<String, String> {
    let mut after_ms = Vec::new();
    for call in calls {
        let Some(at) = stored.calls.get(&call.id) else {
            return Err(format!("call {} of {} is not stored", call.id, call.started_at));
        };
        let took_ms = at.since(call.ended_at);
        if took_ms > STORED_MS_MAX {
            return Err(format!("call {} was stored {} s after its end", call.id, took_ms / 1_000));
        }
        after_ms.push(took_ms);
    }
    after_ms.sort_unstable();
    let lost = calls.iter().filter(|call| call.post_call.is_none());
    let mut lost: Vec<&str> = lost.map(|call| call.id.as_str()).collect();
    let mut missed: Vec<&str> = stored.missed.iter().map(String::as_str).collect();
    lost.sort_unstable();
    missed.sort_unstable();
    if missed != lost {
        return Err(format!("{} webhooks were lost, and {} were told of", lost.len(), missed.len()));
    }
    let at = |permille: usize| {
        after_ms.get(after_ms.len() * permille / 1_000).copied().unwrap_or_default() / 1_000
    };
    Ok(format!(
        "a day of {} calls, {} post-calls lost: stored after p50 {} s, p99 {} s, at worst {} s",
        calls.len(),
        lost.len(),
        at(500),
        at(990),
        after_ms.last().copied().unwrap_or_default() / 1_000
    ))
}
