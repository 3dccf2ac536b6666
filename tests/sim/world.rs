//! One simulated machine: the real engine and log, on a disk, clocks, stores and an outside that can fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leadline::engine::{EngineParts, Part, SteppedEngine};
use leadline::layout::{GenerationState, course};
use leadline::pipeline;
use leadline_connectors::blob_memory::MemoryBlob;
use leadline_connectors::conformance::Seeded;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::Log;
use leadline_connectors::disk_simulated::SimulatedDisk;
use leadline_connectors::state_memory::MemoryState;
use leadline_connectors::store_memory::MemoryStore;
use leadline_schemas::inbound::Inbound;
use leadline_schemas::layout::{LayoutRecord, Shape};
use leadline_schemas::settings::Settings;
use leadline_schemas::{EventId, Partition, Topic};

use crate::chance::Chance;
use crate::clock::SimClock;
use crate::layout::{Asking, Command};
use crate::log::{Accepted, Group, WatchedLog};
use crate::outside::Outside;
use crate::published::Published;
use crate::script::{Planned, TENANTS};
use crate::tenants::{responders, tenant};
use crate::topics::{Brokers, Topics};

/// Few partitions, so that tenants share them; a change of layout makes others of it.
pub const PARTITIONS: u16 = 3;
/// Snapshots are taken often, so that restores have something to choose from.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(90);

/// Rounds of turns at one instant; a run needs some dozens.
const ROUNDS_MAX: u32 = 5_000;
/// How often blobs refuse in a row at most.
pub const REFUSALS_MAX: u64 = 6;

/// What lives from a start to an end: the logs of all layouts, and who works on them.
pub struct Life {
    pub topics: BTreeMap<u32, Topics>,
    /// Where sources wait for their appends.
    pub runtime: tokio::runtime::Runtime,
    /// Those that have handed over stand behind the others, until their calls have ended.
    pub members: Vec<Option<Member>>,
}

/// One process. A single one owns all partitions; two share them, as on a log on other machines.
pub struct Member {
    /// The layout that it works in.
    pub generation: u32,
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
    /// The layouts whose topics are made, by generation.
    pub layouts: BTreeMap<u32, Brokers>,
    /// The layout that sources append to.
    pub sources: u32,
    /// `leadline layout apply`, while it runs, and what it was asked for.
    pub command: Option<Command>,
    pub asking: Option<Asking>,
    /// Whether other processes may own partitions: then layouts may change.
    pub shared: bool,
    /// Losses of partitions that the member will hear of at that time.
    pub untold: Vec<(u64, usize, Partition)>,
    pub store: MemoryStore,
    pub blob: MemoryBlob,
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
            layouts: BTreeMap::from([(
                1,
                Brokers { shape: Shape::first(PARTITIONS), group: Arc::default() },
            )]),
            sources: 1,
            command: None,
            asking: None,
            shared: members > 1,
            untold: Vec::new(),
            store: MemoryStore::new(),
            blob: MemoryBlob::new(),
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
        let mut topics = BTreeMap::new();
        for generation in self.layouts.keys().copied().collect::<Vec<_>>() {
            topics.insert(generation, self.open_topics(generation)?);
        }
        self.untold.clear();
        self.layouts.values().for_each(|brokers| brokers.group.forget_commits());
        self.sources = self.record().shape.generation;
        let members = self.states.iter().map(|_| None).collect();
        self.life = Some(Life { topics, runtime: runtime()?, members });
        for member in 0..self.states.len() {
            self.start_member(member)?;
        }
        for index in 0..self.states.len() {
            let (group, partitions) = self.group_of(index);
            for partition in partitions.clone().filter(|partition| group.owner(*partition).is_none()) {
                group.hand(partition, usize::from(partition.0) % self.states.len());
            }
            let owned: Vec<_> = partitions.filter(|p| group.owner(*p) == Some(index)).collect();
            let Some(member) = self.member(index) else { continue };
            member.engine.own(&owned).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    pub fn member(&mut self, member: usize) -> Option<&mut Member> {
        self.life.as_mut()?.members.get_mut(member)?.as_mut()
    }

    /// The layout that a member works in.
    pub fn generation_of(&self, member: usize) -> Option<u32> {
        Some(self.life.as_ref()?.members.get(member)?.as_ref()?.generation)
    }

    /// The layout as settings have it.
    pub fn record(&self) -> LayoutRecord {
        let settings = self.settings.lock().unwrap();
        settings
            .layout()
            .map_or_else(|| leadline::layout::plan::first(PARTITIONS), |layout| (**layout).clone())
    }

    /// The group that a member is in, and the partitions of its layout.
    pub fn group_of(&self, member: usize) -> (Arc<Group>, impl Iterator<Item = Partition> + Clone + use<>) {
        let generation = self.generation_of(member).unwrap_or(1);
        let Brokers { shape, group } = &self.layouts[&generation];
        (Arc::clone(group), (0..shape.partitions).map(Partition))
    }

    /// Starts a process that owns nothing yet, in the place of one that has ended or as a further one: in the layout
    /// where the others are.
    pub fn start_member(&mut self, member: usize) -> Result<(), String> {
        if self.life.is_none() {
            return Ok(());
        }
        let record = self.record();
        if let Some(origin) = record.origin.as_ref().filter(|_| record.done) {
            self.forget_rows(member, origin)?;
        }
        let is_handed_over = match course::is_left(&record) {
            // Blobs that are away are asked until they are back, which is before long.
            Some(generation) => {
                let mut asked = (0..=REFUSALS_MAX).map(|_| self.is_handed_over(generation));
                asked.find_map(Result::ok).ok_or("simulated blobs stay away")?
            }
            None => true,
        };
        let generation = course::begins_in(&record, is_handed_over);
        let runtime = runtime()?;
        let (log, engine) = self.engine(member, generation, &record, runtime.handle());
        let started = Member { generation, log, engine, runtime, frozen_until_ms: 0, missed_ms: 0 };
        if let Some(life) = &mut self.life {
            life.members[member] = Some(started);
        }
        Ok(())
    }

    /// An engine that works in a layout, and the log as it sees it.
    pub fn engine(
        &self,
        member: usize,
        generation: u32,
        record: &LayoutRecord,
        runtime: &tokio::runtime::Handle,
    ) -> (Arc<WatchedLog>, SteppedEngine) {
        let life = self.life.as_ref().expect("whoever starts an engine lives");
        let log = Arc::new(WatchedLog {
            inner: Arc::clone(&life.topics[&generation].log),
            accepted: Arc::clone(&self.accepted),
            fault: Mutex::new(None),
            generation,
            member,
            group: Arc::clone(&self.layouts[&generation].group),
        });
        let (settings, fatal) = (Arc::clone(&self.settings), Arc::clone(&self.fatal));
        let published = Arc::clone(&self.published);
        let engine = SteppedEngine::start(EngineParts {
            pipeline: pipeline::pipeline,
            pipeline_name: pipeline::NAME,
            generation,
            origin: record.change().filter(|change| change.to.generation == generation),
            workers: 1,
            shared: self.shared,
            log: log.clone(),
            state: Arc::new(GenerationState::new(Arc::new(self.states[member].clone()), generation)),
            blob: Arc::new(self.blob.clone()),
            clock: self.clock.clone(),
            settings: Arc::new(move || {
                let current = settings.lock().unwrap();
                let is_newest = current.layout().is_none_or(|layout| layout.shape.generation == generation);
                let earlier = if is_newest { None } else { current.of_generation(generation) };
                earlier.map_or_else(|| Arc::clone(&current), Arc::new)
            }),
            responders: responders(&self.outside),
            writer: Some(Box::new(self.store.clone())),
            stored: Arc::new(move |outputs| published.lock().unwrap().take(outputs)),
            runtime: runtime.clone(),
            suspects: None,
            snapshot_interval: SNAPSHOT_INTERVAL,
            fatal: Arc::new(move |why| *fatal.lock().unwrap() = Some(why)),
        });
        (log, engine)
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
            0 => return life.topics.values_mut().fold(false, |worked, topics| worked | topics.steps.turn()),
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
            progressed |= self.turn_layout(&mut |_| true)?;
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
        if let Some(Life { topics, runtime, members }) = self.life.take() {
            let logs: Vec<_> = topics.into_values().map(|Topics { log, steps }| (log, drop(steps))).collect();
            drop(members);
            drop(runtime);
            drop(logs);
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
    /// How many commits the logs have, over all layouts and partitions.
    pub fn commits(&self) -> u64 {
        let Some(life) = &self.life else { return 0 };
        let of = |topics: &Topics| -> u64 {
            let all = (0..topics.log.partitions()).map(Partition);
            all.map(|p| topics.log.range(Topic::State, p).map_or(0, |(_, end)| end.0)).sum()
        };
        life.topics.values().map(of).sum()
    }
}
