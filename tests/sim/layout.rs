//! Changes of layout: the command, the fence, and how sources and members go from one layout to the next.
//!
//! Plan, decisions, drain and hand-over are the real ones. What `leadline layout apply` and the follower's thread do
//! with brokers is done here with simulated ones, step by step, so that anything may happen between two.

use std::collections::BTreeMap;
use std::sync::Arc;

use leadline::engine::{Fence, Part, handed_over, newest_size};
use leadline::layout::GenerationState;
use leadline::layout::course::{self, Step};
use leadline::layout::follow::SOURCES_MAX;
use leadline::layout::plan::{Asked, Lines, Plan, plan};
use leadline_connectors::conformance::Seeded;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::{Append, Log};
use leadline_connectors::contract::state::State;
use leadline_connectors::log_embedded::EmbeddedLog;
use leadline_schemas::layout::{Change, LayoutRecord, Shape};
use leadline_schemas::{Millis, Offset, Partition, TenantId, Topic};

use crate::chance::Chance;
use crate::clock::SimClock;
use crate::log::Group;
use crate::topics::Brokers;
use crate::world::World;

/// Partitions that a layout may have.
const PARTITIONS_MAX: u64 = 6;
/// How long a leader may take to hear that its topic is closed.
const DEAFNESS_MS_MAX: u64 = 2_000;
/// How often a fence asks a leader.
const PROBE_MS: u64 = 250;
/// Turns that a worker has to let its partitions go when it leaves a layout.
const LEAVING_TURNS: u64 = 50;

/// What the command was asked for; it is asked for the same until that is done.
pub type Asking = Asked;

/// How far `leadline layout apply` is.
pub enum Command {
    /// It makes the topics.
    Topics(Change),
    /// It writes the record: the fence.
    Record(Change),
    /// It waits for sources to leave by themselves.
    Leaving { until_ms: u64 },
    /// It waits for every partition's first commit.
    Waiting,
}

impl World {
    /// Somebody changes the layout; where the command runs already, it is killed.
    pub fn change_layout(&mut self) -> Result<(), String> {
        if self.command.take().is_some() {
            self.note("the command that changes the layout is killed");
            return Ok(());
        }
        let present = self.record();
        let asked = self.asking.take().unwrap_or_else(|| self.anything(&present));
        let settings = Arc::clone(&self.settings.lock().unwrap());
        // A command before may have been killed behind its record: then no more is asked for.
        let asked = if present.done { asked } else { Asked::default() };
        self.command = match plan(&present, &settings, &asked).map_err(|refusal| refusal.to_string())? {
            Plan::Nothing => None,
            Plan::GoOn(record) => {
                self.note(format!("the change to layout {} goes on", record.shape.generation));
                Some(Command::Leaving { until_ms: self.clock.boot_ms() })
            }
            Plan::Change(change) => {
                self.note(Lines(&change).to_string().replace('\n', " "));
                self.asking = Some(asked);
                Some(Command::Topics(change))
            }
        };
        Ok(())
    }

    /// Other partitions, or a tenant over more slots, or both.
    fn anything(&mut self, present: &LayoutRecord) -> Asked {
        let mut asked = Asked::default();
        if self.chance.happens(700) {
            asked.partitions = Some(self.chance.between(1, PARTITIONS_MAX) as u32);
        }
        if asked.partitions.is_none_or(|count| count == u32::from(present.shape.partitions))
            || self.chance.happens(400)
        {
            let name = *self.chance.pick(&["alpha", "beta", "delta"]);
            let tenant = TenantId::new(name).unwrap();
            let spread = self.settings.lock().unwrap().tenant(&tenant).map_or(1, |known| known.policy.spread);
            asked.spreads.push((name.to_owned(), u32::from(spread) * self.chance.between(2, 4) as u32));
        }
        asked
    }

    /// Brings a change that somebody has left in the middle to its end.
    pub fn finish_layout(&mut self) -> Result<(), String> {
        if self.command.is_none() && !self.record().done { self.change_layout() } else { Ok(()) }
    }

    /// What of a change of layout is not done yet; empty when all is.
    pub fn open_layout(&self) -> String {
        let record = self.record();
        let newest = record.shape.generation;
        let is_behind = |index: &usize| self.generation_of(*index) != Some(newest);
        let behind: Vec<usize> = (0..self.states.len()).filter(is_behind).collect();
        match record.done && self.command.is_none() && behind.is_empty() {
            true => String::new(),
            false => {
                let members = self.life.iter().flat_map(|life| life.members.iter().flatten());
                let troubles: Vec<String> = members.filter_map(|member| member.engine.trouble()).collect();
                let done = record.done;
                format!("layout {newest}: done {done}, {behind:?} are not there, troubles {troubles:?}")
            }
        }
    }

    /// Gives sources, members and the command the turns that are chosen. Answers whether any has come on.
    pub fn turn_layout(&mut self, chosen: &mut dyn FnMut(&mut Seeded) -> bool) -> Result<bool, String> {
        let newest = self.record().shape.generation;
        let mut progressed = false;
        if self.sources < newest && chosen(&mut self.chance) {
            self.note(format!("events go to layout {newest}"));
            self.sources = newest;
            progressed = true;
        }
        for index in 0..self.states.len() {
            if chosen(&mut self.chance) {
                progressed |= self.follow(index)?;
            }
        }
        if self.command.is_some() && chosen(&mut self.chance) {
            progressed |= self.turn_command();
        }
        Ok(progressed)
    }

    fn turn_command(&mut self) -> bool {
        let now_ms = self.clock.boot_ms();
        match self.command.take() {
            None => false,
            Some(Command::Topics(change)) => match self.make_topics(&change) {
                Ok(()) => {
                    self.command = Some(Command::Record(change));
                    true
                }
                Err(why) => {
                    self.note(format!("the layout is not changed: {why}"));
                    true
                }
            },
            Some(Command::Record(Change { from, to })) => {
                self.put(LayoutRecord { shape: to, origin: Some(from), done: false, at: Millis(0) });
                let until_ms = now_ms + u64::try_from(SOURCES_MAX.as_millis()).unwrap();
                self.command = Some(Command::Leaving { until_ms });
                true
            }
            Some(Command::Leaving { until_ms }) if now_ms >= until_ms => {
                if let Some(origin) = self.record().origin {
                    self.layouts[&origin.generation].group.close(now_ms);
                }
                self.command = Some(Command::Waiting);
                true
            }
            Some(Command::Waiting) if self.all_run() => {
                self.put(LayoutRecord { done: true, ..self.record() });
                self.asking = None;
                true
            }
            waiting => {
                self.command = waiting;
                false
            }
        }
    }

    /// Whether every partition of the newest layout has committed.
    fn all_run(&self) -> bool {
        let newest = self.record().shape.generation;
        let Some(topics) = self.life.as_ref().and_then(|life| life.topics.get(&newest)) else { return false };
        let mut all = (0..topics.log.partitions()).map(Partition);
        all.all(|partition| topics.log.range(Topic::State, partition).is_ok_and(|(_, end)| end.0 > 0))
    }

    fn make_topics(&mut self, Change { from, to }: &Change) -> Result<(), String> {
        let Some(life) = &self.life else { return Err("nothing runs".to_owned()) };
        // A layout that came from another can be left only when its rows lie in snapshots of its own.
        for partition in (0..from.partitions).map(Partition).filter(|_| from.generation > 1) {
            let size = life.runtime.block_on(newest_size(&self.blob, from.generation, partition));
            size.map_err(|error| error.to_string())?
                .ok_or(format!("partition {partition} has no snapshot"))?;
        }
        let deafness_ms = (0..to.partitions).map(|_| self.chance.below(DEAFNESS_MS_MAX)).collect();
        let made = || Brokers { shape: to.clone(), group: Arc::new(Group::new(deafness_ms)) };
        let is_new = !self.layouts.contains_key(&to.generation);
        self.layouts.entry(to.generation).or_insert_with(made);
        let is_open = life.topics.contains_key(&to.generation);
        if !is_open {
            match self.open_topics(to.generation) {
                Ok(topics) => {
                    self.life.as_mut().map(|life| life.topics.insert(to.generation, topics));
                }
                Err(why) => {
                    if is_new {
                        self.layouts.remove(&to.generation);
                    }
                    return Err(why);
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, record: LayoutRecord) {
        let done = if record.done { "is in use" } else { "is written: the fence" };
        self.note(format!("layout {} {done}", record.shape.generation));
        let mut settings = self.settings.lock().unwrap();
        let version = settings.version + 1;
        *settings = Arc::new(settings.with_layout(record, version));
    }

    /// Whether every partition of a layout has handed its rows over.
    pub fn is_handed_over(&self, generation: u32) -> Result<bool, String> {
        let Some(life) = &self.life else { return Ok(false) };
        let count = life.runtime.block_on(handed_over(&self.blob, generation));
        Ok(count.map_err(|error| error.to_string())?
            >= usize::from(self.layouts[&generation].shape.partitions))
    }

    /// A member does what it has to with its engine. Answers whether it went on to the next layout.
    fn follow(&mut self, index: usize) -> Result<bool, String> {
        let (record, now_ms) = (self.record(), self.clock.boot_ms());
        let clock = Arc::clone(&self.clock);
        let Some(life) = &mut self.life else { return Ok(false) };
        let member = life.members.get_mut(index).and_then(Option::as_mut);
        let Some(member) = member.filter(|member| member.frozen_until_ms <= now_ms) else { return Ok(false) };
        let generation = member.generation;
        match course::step(&record, Some(generation)) {
            Step::Stay => return Ok(false),
            Step::Drain => {
                let log = Arc::clone(&life.topics[&generation].log);
                let group = Arc::clone(&self.layouts[&generation].group);
                member.engine.drain(|| Arc::new(SimFence { log, group, clock, known_since_ms: now_ms }));
                // Blobs that are away are asked again.
                if !self.is_handed_over(generation).unwrap_or(false) {
                    return Ok(false);
                }
            }
            Step::Move => {}
        }
        self.leave(index);
        self.move_on(index, &record)?;
        Ok(true)
    }

    /// A member lets go what it has, and its engine ends; members that are still there get it.
    fn leave(&mut self, index: usize) {
        let (group, partitions) = self.group_of(index);
        let owned: Vec<Partition> = partitions.filter(|p| group.owner(*p) == Some(index)).collect();
        let Some(member) = self.member(index) else { return };
        let generation = member.generation;
        member.engine.release(&owned, false);
        for _ in 0..LEAVING_TURNS {
            member.engine.turn(Part::Worker);
            member.engine.turn(Part::Executor);
        }
        member.engine.release(&owned, true);
        member.engine.turn(Part::Worker);
        self.untold.retain(|(_, member, _)| *member != index);
        let mut others = (0..self.states.len()).filter(|other| *other != index);
        let other = others.find(|other| self.generation_of(*other) == Some(generation));
        if let Some(other) = other {
            owned.into_iter().for_each(|partition| self.hand(partition, other));
        }
    }

    fn move_on(&mut self, index: usize, record: &LayoutRecord) -> Result<(), String> {
        let generation = record.shape.generation;
        self.note(format!("member {index} goes on in layout {generation}"));
        // An engine that does not end in time leaves its rows behind: they are in nobody's way.
        if let Some(origin) = record.origin.as_ref().filter(|_| self.chance.happens(800)) {
            self.forget_rows(index, origin)?;
        }
        let Some(runtime) = self.member(index).map(|member| member.runtime.handle().clone()) else {
            return Ok(());
        };
        let (log, engine) = self.engine(index, generation, record, &runtime);
        let Some(member) = self.member(index) else { return Ok(()) };
        (member.log, member.engine, member.generation) = (log, engine, generation);
        self.join(index)
    }

    /// A member takes part in the group of its layout: it gets what is nobody's, and its share of what is.
    pub fn join(&mut self, index: usize) -> Result<(), String> {
        let (group, partitions) = self.group_of(index);
        let generation = self.generation_of(index);
        for partition in partitions {
            let is_there = |owner: &usize| *owner != index && self.generation_of(*owner) == generation;
            match group.owner(partition).filter(is_there) {
                None => self.hand(partition, index),
                Some(owner) if usize::from(partition.0) % self.states.len() == index => {
                    self.go_in_peace(partition, owner);
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// What is handed over is not needed by a member any more.
    pub fn forget_rows(&self, member: usize, of: &Shape) -> Result<(), String> {
        let rows = GenerationState::new(Arc::new(self.states[member].clone()), of.generation);
        let mut all = (0..of.partitions).map(Partition);
        all.try_for_each(|partition| rows.clear(partition)).map_err(|error| error.to_string())
    }
}

/// The fence of one layout: each leader hears in its own time that its topic takes nothing more. Until one refuses, it is
/// asked with an empty record, which it takes.
struct SimFence {
    log: Arc<EmbeddedLog>,
    group: Arc<Group>,
    clock: Arc<SimClock>,
    known_since_ms: u64,
}

impl Fence for SimFence {
    fn ends(&self, partitions: &[Partition]) -> Result<BTreeMap<Partition, Offset>, String> {
        let (now_ms, mut ends) = (self.clock.boot_ms(), BTreeMap::new());
        if u128::from(now_ms - self.known_since_ms) < SOURCES_MAX.as_millis() {
            return Ok(ends);
        }
        self.group.close(now_ms);
        for partition in partitions {
            if !self.group.refuses(*partition, now_ms) {
                if self.group.may_be_asked(*partition, now_ms, PROBE_MS) {
                    let (key, value) = (bytes::Bytes::from_static(b"_fence"), bytes::Bytes::new());
                    let topic = Topic::Inbound;
                    // Its answer says no more than that the leader has not heard yet.
                    drop(self.log.append(vec![Append { topic, partition: *partition, key, value }]));
                }
            } else if self.log.health().queued_bytes == 0 {
                // What was taken before is on the disk, or will never be.
                let range = self.log.range(Topic::Inbound, *partition).map_err(|error| error.to_string())?;
                ends.insert(*partition, range.1);
            }
        }
        Ok(ends)
    }
}
