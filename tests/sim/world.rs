//! One simulated machine: the real engine and log, on a disk, clocks, stores and an outside that can fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use leadline::engine::{EngineParts, Part, SteppedEngine};
use leadline::pipeline;
use leadline_connectors::conformance::Seeded;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::{Append, AppendError, Log};
use leadline_connectors::disk_simulated::SimulatedDisk;
use leadline_connectors::log_embedded::{EmbeddedLog, EmbeddedLogConfig, LogSteps, Retention};
use leadline_connectors::state_memory::MemoryState;
use leadline_connectors::store_memory::MemoryStore;
use leadline_schemas::command::Command;
use leadline_schemas::inbound::{EventKind, Inbound, Origin};
use leadline_schemas::partitioning::{Key, Layout};
use leadline_schemas::reply::{FailureKind, JobFailed, Reply, ReplyOutcome};
use leadline_schemas::settings::{Settings, Tenant};
use leadline_schemas::{EventId, Offset, Partition, TenantId, Topic, avro};

use crate::blob::SimBlob;
use crate::chance::Chance;
use crate::clock::SimClock;
use crate::log::{Accepted, WatchedLog};
use crate::outside::Outside;
use crate::published::Published;
use crate::script::{Planned, TENANTS, Told};
use crate::tenants::{responders, tenant};

/// Few partitions, so that tenants share them.
const PARTITIONS: u16 = 3;
/// Small segments, so that the log rolls and drops them all the time.
const SEGMENT_BYTES: u64 = 128 << 10;
/// Snapshots are taken often, so that restores have something to choose from.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(90);

/// Rounds of turns at one instant; a run needs some dozens.
const ROUNDS_MAX: u32 = 5_000;

/// What lives from the start of a process to its end.
pub struct Life {
    pub log: Arc<WatchedLog>,
    pub steps: LogSteps,
    pub engine: SteppedEngine,
    pub runtime: tokio::runtime::Runtime,
}

/// What was sent, and whether it was acknowledged.
#[derive(Clone)]
pub struct Sent {
    pub inbound: Inbound,
    pub planned: Planned,
}

/// The machine and what is around it.
pub struct World {
    pub chance: Seeded,
    pub clock: Arc<SimClock>,
    pub disk: SimulatedDisk,
    pub state: MemoryState,
    pub store: MemoryStore,
    pub blob: SimBlob,
    pub outside: Outside,
    pub settings: Arc<Mutex<Arc<Settings>>>,
    pub accepted: Arc<Accepted>,
    pub sent: BTreeMap<EventId, Sent>,
    /// Events that were answered 2xx.
    pub acknowledged: Arc<Mutex<Vec<EventId>>>,
    pub fatal: Arc<Mutex<Option<String>>>,
    pub published: Arc<Mutex<Published>>,
    pub life: Option<Life>,
    pub lives: u32,
    pub trace: Vec<String>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let clock = Arc::new(SimClock::new());
        let mut settings = Settings::default();
        for (version, name) in TENANTS.into_iter().enumerate() {
            settings = settings.with(tenant(name), version as u64 + 1);
        }
        Self {
            chance: Seeded::new(seed),
            outside: Outside::new(seed, Arc::clone(&clock)),
            clock,
            disk: SimulatedDisk::new(),
            state: MemoryState::new(),
            store: MemoryStore::new(),
            blob: SimBlob::default(),
            settings: Arc::new(Mutex::new(Arc::new(settings))),
            accepted: Arc::default(),
            sent: BTreeMap::new(),
            acknowledged: Arc::default(),
            fatal: Arc::default(),
            published: Arc::default(),
            life: None,
            lives: 0,
            trace: Vec::new(),
        }
    }

    pub fn note(&mut self, what: impl AsRef<str>) {
        let at = self.clock.boot_ms() as f64 / 1e3;
        self.trace.push(format!("{at:>9.3} s  {}", what.as_ref()));
    }

    /// Starts a process on what the machine has. An error is what it would end with.
    pub fn start(&mut self) -> Result<(), String> {
        self.lives += 1;
        *self.fatal.lock().unwrap() = None;
        let config = EmbeddedLogConfig {
            partitions: PARTITIONS,
            segment_bytes: SEGMENT_BYTES,
            max_bytes: 64 << 20,
            tail_cache_bytes_max: 48 << 10,
            index_cache_bytes_max: 4 << 10,
            retention: Retention { inbound_ms: 0, replies_ms: 0, settings_ms: 0, state_ms: 0 },
            ..EmbeddedLogConfig::default()
        };
        let mut incarnations = Seeded::new(self.chance.next());
        let clock: Arc<dyn Clock> = self.clock.clone();
        let random = move || incarnations.next();
        let (log, steps) =
            EmbeddedLog::open_stepped(config, Arc::new(self.disk.clone()), clock.clone(), random)
                .map_err(|error| error.to_string())?;
        self.accepted.check_kept(&log)?;
        let log = Arc::new(WatchedLog {
            inner: Arc::new(log),
            accepted: Arc::clone(&self.accepted),
            fault: Mutex::new(None),
        });
        for partition in 0..PARTITIONS {
            self.accepted.follow(&log.inner, Partition(partition));
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .map_err(|error| error.to_string())?;
        let (settings, fatal) = (Arc::clone(&self.settings), Arc::clone(&self.fatal));
        let published = Arc::clone(&self.published);
        let engine = SteppedEngine::start(EngineParts {
            pipeline: pipeline::pipeline,
            pipeline_name: pipeline::NAME,
            generation: 1,
            workers: 1,
            log: log.clone(),
            state: Arc::new(self.state.clone()),
            blob: Arc::new(self.blob.clone()),
            clock,
            settings: Arc::new(move || Arc::clone(&settings.lock().unwrap())),
            responders: responders(&self.outside),
            writer: Some(Box::new(self.store.clone())),
            stored: Arc::new(move |outputs| published.lock().unwrap().take(outputs)),
            runtime: runtime.handle().clone(),
            suspects: None,
            snapshot_interval: SNAPSHOT_INTERVAL,
            fatal: Arc::new(move |why| *fatal.lock().unwrap() = Some(why)),
        })
        .map_err(|error| error.to_string())?;
        self.life = Some(Life { log, steps, engine, runtime });
        Ok(())
    }

    /// The source accepts an event, as far as the log lets it.
    pub fn send(&mut self, planned: Planned) {
        let settings = Arc::clone(&self.settings.lock().unwrap());
        let tenant = TenantId::new(planned.tenant).unwrap();
        let Some(known) = settings.tenant(&tenant).cloned() else { return };
        if self.life.is_none() {
            return;
        }
        let number = self.sent.len() as u64;
        let event_id = EventId::of(&[b"sent", &number.to_be_bytes()]);
        let key = Key::new(tenant, &planned.caller, known.policy.spread);
        let inbound = Inbound {
            event_id,
            key_group: key.key_group,
            bucket: key.bucket,
            tenant: key.tenant,
            caller: planned.caller.clone(),
            origin: planned.origin,
            kind: planned.kind,
            received_at: self.clock.wall(),
            settings_version: settings.version,
            attempt: 0,
            key_id: None,
            trace: None,
            content_type: match planned.origin {
                Origin::Form => format!("{}; form={}-form", planned.content_type, planned.tenant),
                _ => planned.content_type.to_owned(),
            },
            body: planned.body.clone(),
            body_ref: None,
        };
        let inbound = self.perhaps_by_reference(inbound);
        let partition = Layout { generation: 1, partitions: PARTITIONS }.partition(inbound.key_group);
        let value = Bytes::from(avro::encode(&inbound).unwrap());
        let Some(life) = &self.life else { return };
        let appended =
            life.log.append(vec![Append { topic: Topic::Inbound, partition, key: Bytes::new(), value }]);
        let acknowledged = Arc::clone(&self.acknowledged);
        life.runtime.spawn(async move {
            match appended.await {
                Ok(_) => acknowledged.lock().unwrap().push(event_id),
                // 503: nobody was promised anything.
                Err(
                    AppendError::Full
                    | AppendError::Busy { .. }
                    | AppendError::Unavailable(_)
                    | AppendError::Failed(_),
                ) => {}
                Err(error @ AppendError::TooLarge { .. }) => panic!("{error}"),
            }
        });
        self.note(format!("send {} {} of {}", inbound.kind.name(), number, planned.tenant));
        self.sent.insert(event_id, Sent { inbound, planned });
    }

    /// Some bodies go to the blob store first, as those of over 4 MiB do.
    fn perhaps_by_reference(&mut self, mut inbound: Inbound) -> Inbound {
        if self.chance.happens(60) {
            let name = format!("bodies/{}/{}", inbound.tenant, inbound.event_id);
            self.blob.hold(&name, std::mem::take(&mut inbound.body));
            inbound.body_ref = Some(name);
        }
        inbound
    }

    /// A person's word, on its way through `inbound` like everything else.
    pub fn command(&mut self, like: &Inbound, command: &Command) {
        let planned = Planned {
            at: self.clock.wall(),
            tenant: TENANTS.into_iter().find(|name| *name == like.tenant.as_str()).unwrap(),
            caller: like.caller.clone(),
            subject: None,
            origin: Origin::Command,
            kind: EventKind::Command,
            content_type: "application/json",
            body: Bytes::from(serde_json::to_vec(command).unwrap()),
            told: Told::Command,
            happened_at: None,
        };
        self.send(planned);
    }

    /// Replays a dead letter, or speaks about a delivery.
    pub fn speak(&mut self) {
        let contents = self.store.contents();
        if self.chance.happens(500) && !contents.dead_letters.is_empty() {
            let letter = self.chance.pick(&contents.dead_letters).clone();
            let input = letter.input.unwrap();
            let origin: Inbound = avro::decode(&input).unwrap();
            let (dead_letter, operator) = (letter.id.to_string(), letter.operator);
            let command = Command::Replay { dead_letter, operator, input_kind: letter.input_kind, input };
            self.note(format!("dead letter {} is replayed", letter.id));
            self.command(&origin, &command);
        } else if !contents.deliveries.is_empty() {
            let line = self.chance.pick(&contents.deliveries).clone();
            let Some(lead) = contents.leads.iter().find(|lead| Some(lead.lead_id) == line.lead_id) else {
                return;
            };
            let Some(like) = self
                .sent
                .values()
                .find(|sent| sent.inbound.tenant == line.tenant && sent.inbound.caller == lead.caller)
            else {
                return;
            };
            let like = like.inbound.clone();
            self.note(format!("delivery {} to {} is sent again", line.subject, line.integration));
            let command = Command::RetryDelivery { integration: line.integration, subject: line.subject };
            self.command(&like, &command);
        }
    }

    /// Gives one of the process's parts a turn; 5 is the log, 6 the calls outside.
    pub fn turn(&mut self, which: u64) -> bool {
        let Some(life) = &mut self.life else { return false };
        match which {
            part @ 0..=4 => life.engine.turn(Part::ALL[part as usize]),
            5 => life.steps.turn(),
            _ => {
                life.runtime.block_on(async {
                    for _ in 0..3 {
                        tokio::task::yield_now().await;
                    }
                });
                false
            }
        }
    }

    /// Gives every part turns until none has anything to do at this time.
    pub fn settle(&mut self) -> Result<(), String> {
        for _ in 0..ROUNDS_MAX {
            let mut progressed = false;
            for which in 0..7 {
                progressed |= self.turn(which);
            }
            if let Some(why) = self.fatal.lock().unwrap().clone() {
                return Err(why);
            }
            if !progressed {
                return Ok(());
            }
        }
        Err(format!("{ROUNDS_MAX} rounds of turns did not bring it to rest"))
    }

    /// Lets time pass, for the machine and for the calls that run.
    pub fn advance(&mut self, ms: u64) {
        self.clock.advance(ms);
        if let Some(life) = &self.life {
            life.runtime.block_on(tokio::time::advance(Duration::from_millis(ms)));
        }
    }

    /// Ends the process at once; a crash of the machine also forgets what was not synced.
    pub fn crash(&mut self, machine: bool) {
        // Steps first: without them dropping the log writes nothing more.
        if let Some(Life { log, steps, engine, runtime }) = self.life.take() {
            drop(steps);
            drop(engine);
            drop(runtime);
            drop(log);
        }
        let lost = self.state.unsynced() as u64;
        let kept = self.chance.below(lost + 1) as usize;
        self.state = self.state.crash(kept);
        if machine {
            self.disk = self.disk.crash_machine(&mut self.chance);
            let kept = self.chance.below(self.store.unsynced() as u64 + 1) as usize;
            self.store = self.store.crash(kept);
        } else {
            self.disk = self.disk.crash_process();
            self.store = self.store.crash(usize::MAX);
        }
    }

    /// Changes a tenant's settings.
    pub fn change(&mut self, name: &str, change: impl FnOnce(&mut Tenant)) {
        let mut settings = self.settings.lock().unwrap();
        let id = TenantId::new(name).unwrap();
        let Some(mut tenant) = settings.tenant(&id).map(|tenant| (**tenant).clone()) else { return };
        change(&mut tenant);
        let version = settings.version + 1;
        *settings = Arc::new(settings.with(tenant, version));
    }
}

impl World {
    /// How many commits the log has, over all partitions.
    pub fn commits(&self) -> u64 {
        let Some(life) = &self.life else { return 0 };
        let ends =
            (0..PARTITIONS).map(|p| life.log.range(Topic::State, Partition(p)).map_or(0, |(_, end)| end.0));
        ends.sum()
    }

    /// Appends a reply that the log has already once more: as it was, or saying something else.
    pub fn repeat_reply(&mut self) {
        let partition = Partition(self.chance.below(u64::from(PARTITIONS)) as u16);
        let Some(life) = &self.life else { return };
        let Ok((first, end)) = life.log.range(Topic::Replies, partition) else { return };
        if first == end {
            return;
        }
        let at = Offset(first.0 + self.chance.below(end.0 - first.0));
        let Ok(chunk) = life.log.read(Topic::Replies, partition, at, 1) else { return };
        let Some(record) = chunk.records.first() else { return };
        let mut reply: Reply = avro::decode(&record.value).unwrap();
        let contradicts = self.chance.happens(500) && !matches!(reply.outcome, ReplyOutcome::Started(_));
        if contradicts {
            reply.outcome = ReplyOutcome::JobFailed(JobFailed {
                kind: FailureKind::Rejected,
                why: "the simulator contradicts".to_owned(),
                attempts: 1,
            });
        }
        let value = Bytes::from(avro::encode(&reply).unwrap());
        let appended =
            life.log.append(vec![Append { topic: Topic::Replies, partition, key: Bytes::new(), value }]);
        life.runtime.spawn(async move {
            let _ = appended.await;
        });
        self.note(format!(
            "the reply to job {} comes again{}",
            reply.job_id,
            if contradicts { ", changed" } else { "" }
        ));
    }
}
