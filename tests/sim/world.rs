//! One simulated machine: the real engine and log, on a disk, clocks, stores and an outside that can fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leadline::engine::{EngineParts, Part, SteppedEngine};
use leadline::pipeline;
use leadline_connectors::conformance::Seeded;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::Log;
use leadline_connectors::disk_simulated::SimulatedDisk;
use leadline_connectors::log_embedded::{EmbeddedLog, EmbeddedLogConfig, LogSteps, Retention};
use leadline_connectors::state_memory::MemoryState;
use leadline_connectors::store_memory::MemoryStore;
use leadline_schemas::inbound::Inbound;
use leadline_schemas::settings::Settings;
use leadline_schemas::{EventId, Partition, Topic};

use crate::blob::SimBlob;
use crate::chance::Chance;
use crate::clock::SimClock;
use crate::log::{Accepted, Group, WatchedLog};
use crate::outside::Outside;
use crate::published::Published;
use crate::script::{Planned, TENANTS};
use crate::tenants::{responders, tenant};

/// Few partitions, so that tenants share them.
pub const PARTITIONS: u16 = 3;
/// Small segments, so that the log rolls and drops them all the time.
const SEGMENT_BYTES: u64 = 128 << 10;
/// Snapshots are taken often, so that restores have something to choose from.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(90);

/// Rounds of turns at one instant; a run needs some dozens.
const ROUNDS_MAX: u32 = 5_000;

/// What lives from a start to an end: the log, and who works on it.
pub struct Life {
    pub log: Arc<EmbeddedLog>,
    pub steps: LogSteps,
    /// Where sources wait for their appends.
    pub runtime: tokio::runtime::Runtime,
    /// Those that have handed over stand behind the others, until their calls have ended.
    pub members: Vec<Option<Member>>,
}

/// One process. A single one owns all partitions; two share them, as on a log on other machines.
pub struct Member {
    pub log: Arc<WatchedLog>,
    pub engine: SteppedEngine,
    pub runtime: tokio::runtime::Runtime,
    /// It gets no turns before (SIGSTOP).
    pub frozen_until_ms: u64,
    /// Time that its calls have not seen pass yet.
    pub missed_ms: u64,
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
    /// The state store of each member: it survives the member.
    pub states: Vec<MemoryState>,
    pub group: Arc<Group>,
    /// Losses of partitions that the member will hear of at that time.
    pub untold: Vec<(u64, usize, Partition)>,
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
        let mut chance = Seeded::new(seed);
        let members = if chance.happens(400) { 2 } else { 1 };
        let mut settings = Settings::default();
        for (version, name) in TENANTS.into_iter().enumerate() {
            settings = settings.with(tenant(name), version as u64 + 1);
        }
        Self {
            chance,
            outside: Outside::new(seed, Arc::clone(&clock)),
            clock,
            disk: SimulatedDisk::new(),
            states: (0..members).map(|_| MemoryState::new()).collect(),
            group: Arc::default(),
            untold: Vec::new(),
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
        let log = Arc::new(log);
        for partition in (0..PARTITIONS).map(Partition) {
            self.accepted.follow(&log, partition);
            let count = self.states.len();
            if self.group.owner(partition).is_none() {
                self.group.hand(partition, usize::from(partition.0) % count);
            }
        }
        self.untold.clear();
        self.group.forget_commits();
        let members = self.states.iter().map(|_| None).collect();
        self.life = Some(Life { log, steps, runtime: runtime()?, members });
        for member in 0..self.states.len() {
            self.start_member(member)?;
            let owned = (0..PARTITIONS).map(Partition);
            let owned: Vec<_> = owned.filter(|p| self.group.owner(*p) == Some(member)).collect();
            let Some(member) = self.member(member) else { continue };
            member.engine.own(&owned).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    pub fn member(&mut self, member: usize) -> Option<&mut Member> {
        self.life.as_mut()?.members.get_mut(member)?.as_mut()
    }

    /// Starts a process that owns nothing yet, in the place of one that has ended or as a further one.
    pub fn start_member(&mut self, member: usize) -> Result<(), String> {
        let Some(life) = &mut self.life else { return Ok(()) };
        let log = Arc::new(WatchedLog {
            inner: Arc::clone(&life.log),
            accepted: Arc::clone(&self.accepted),
            fault: Mutex::new(None),
            member,
            group: Arc::clone(&self.group),
        });
        let runtime = runtime()?;
        let (settings, fatal) = (Arc::clone(&self.settings), Arc::clone(&self.fatal));
        let published = Arc::clone(&self.published);
        let engine = SteppedEngine::start(EngineParts {
            pipeline: pipeline::pipeline,
            pipeline_name: pipeline::NAME,
            generation: 1,
            origin: None,
            workers: 1,
            shared: self.states.len() > 1,
            log: log.clone(),
            state: Arc::new(self.states[member].clone()),
            blob: Arc::new(self.blob.clone()),
            clock: self.clock.clone(),
            settings: Arc::new(move || Arc::clone(&settings.lock().unwrap())),
            responders: responders(&self.outside),
            writer: Some(Box::new(self.store.clone())),
            stored: Arc::new(move |outputs| published.lock().unwrap().take(outputs)),
            runtime: runtime.handle().clone(),
            suspects: None,
            snapshot_interval: SNAPSHOT_INTERVAL,
            fatal: Arc::new(move |why| *fatal.lock().unwrap() = Some(why)),
        });
        life.members[member] = Some(Member { log, engine, runtime, frozen_until_ms: 0, missed_ms: 0 });
        Ok(())
    }

    /// How many there are to give a turn: the log, the sources, and each member's parts and calls.
    pub fn turns(&self) -> u64 {
        let members = self.life.as_ref().map_or(self.states.len(), |life| life.members.len());
        2 + members as u64 * (Part::ALL.len() as u64 + 1)
    }

    /// Gives one of them a turn.
    pub fn turn(&mut self, which: u64) -> bool {
        let now_ms = self.clock.boot_ms();
        let Some(life) = &mut self.life else { return false };
        match which {
            0 => return life.steps.turn(),
            1 => {
                life.runtime.block_on(yield_some());
                return false;
            }
            _ => {}
        }
        let (member, part) =
            ((which - 2) as usize / (Part::ALL.len() + 1), (which - 2) as usize % (Part::ALL.len() + 1));
        let member = life.members.get_mut(member).and_then(Option::as_mut);
        let Some(member) = member.filter(|member| member.frozen_until_ms <= now_ms) else { return false };
        match Part::ALL.get(part) {
            Some(part) => member.engine.turn(*part),
            None => {
                member.runtime.block_on(yield_some());
                false
            }
        }
    }

    /// Gives a part of all members and the log a turn.
    pub fn turn_all(&mut self, part: Part) {
        self.turn(0);
        let now_ms = self.clock.boot_ms();
        let members = self.life.iter_mut().flat_map(|life| life.members.iter_mut().flatten());
        for member in members.filter(|member| member.frozen_until_ms <= now_ms) {
            member.engine.turn(part);
        }
    }

    /// Gives every part turns until none has anything to do at this time.
    pub fn settle(&mut self) -> Result<(), String> {
        for _ in 0..ROUNDS_MAX {
            let mut progressed = false;
            for which in 0..self.turns() {
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
        let now_ms = self.clock.boot_ms();
        let Some(life) = &mut self.life else { return };
        life.runtime.block_on(tokio::time::advance(Duration::from_millis(ms)));
        for member in life.members.iter_mut().flatten() {
            member.missed_ms += ms;
            if member.frozen_until_ms <= now_ms {
                let missed = Duration::from_millis(std::mem::take(&mut member.missed_ms));
                member.runtime.block_on(tokio::time::advance(missed));
            }
        }
    }

    /// Ends the process at once; a crash of the machine also forgets what was not synced.
    pub fn crash(&mut self, machine: bool) {
        self.outside.name(&[]);
        // Steps first: without them dropping the log writes nothing more.
        if let Some(Life { log, steps, runtime, members }) = self.life.take() {
            drop(steps);
            drop(members);
            drop(runtime);
            drop(log);
        }
        for member in 0..self.states.len() {
            self.crash_state(member);
        }
        if machine {
            self.disk = self.disk.crash_machine(&mut self.chance);
            let kept = self.chance.below(self.store.unsynced() as u64 + 1) as usize;
            self.store = self.store.crash(kept);
        } else {
            self.disk = self.disk.crash_process();
            self.store = self.store.crash(usize::MAX);
        }
    }
}

pub async fn yield_some() {
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.map_err(|error| error.to_string())
}

impl World {
    /// How many commits the log has, over all partitions.
    pub fn commits(&self) -> u64 {
        let Some(life) = &self.life else { return 0 };
        let ends =
            (0..PARTITIONS).map(|p| life.log.range(Topic::State, Partition(p)).map_or(0, |(_, end)| end.0));
        ends.sum()
    }
}
