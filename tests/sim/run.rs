//! One run: a script of events, a schedule of turns and a set of faults, all decided by one seed.

use std::collections::BTreeSet;

use leadline::engine::{Part, SteppedEngine};
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::Log;
use leadline_connectors::contract::state::StateError;
use leadline_connectors::contract::store::StoreError;
use leadline_connectors::disk_simulated::DiskFault;
use leadline_connectors::state_memory::MemoryState;
use leadline_connectors::store_memory::MemoryStore;
use leadline_schemas::delivery::DeliveryStatus;
use leadline_schemas::request::RequestStatus;

use crate::blob::snapshots;
use crate::chance::Chance;
use crate::check::{UNSETTLED, check};
use crate::faults::{FAULTS, Fault, MEMBERSHIP};
use crate::log::CommitFault;
use crate::outside::Weather;
use crate::script::{Planned, script};
use crate::world::{REFUSALS_MAX, World};

/// Virtual time that a run may take to come to rest after its faults are healed.
const REST_MS_MAX: u64 = 3 * 3_600_000;
/// How long nothing may happen before a run counts as at rest: longer than any timer of the pipeline.
const QUIET_MS: u64 = 150_000;

/// How a run ended.
pub struct Outcome {
    pub found: Result<(), String>,
    pub trace: Vec<String>,
    pub lives: u32,
    pub events: usize,
}

/// Runs a seed.
pub fn run(seed: u64) -> Outcome {
    let mut run = Run::new(seed);
    let found = run.all();
    Outcome {
        found,
        events: run.world.sent.len(),
        lives: run.world.lives,
        trace: std::mem::take(&mut run.world.trace),
    }
}

struct Run {
    world: World,
    active: Vec<Fault>,
    wall_offset_ms: i64,
    /// Snapshots that were damaged.
    damaged: BTreeSet<String>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        let active: Vec<Fault> = FAULTS.into_iter().filter(|_| world.chance.happens(400)).collect();
        world.shared |= active.contains(&Fault::Layout);
        Self { world, active, wall_offset_ms: 0, damaged: BTreeSet::new() }
    }

    fn all(&mut self) -> Result<(), String> {
        let script = script(&mut self.world.chance);
        for (call_id, truth) in script.truths {
            self.world.outside.tell(&call_id, truth);
        }
        let faults = format!("faults {:?}", self.active);
        self.world.note(faults);
        self.restart()?;
        self.play(script.events)?;
        self.heal()?;
        self.rest()?;
        check(&self.world)?;
        self.world.outside.check_named()?;
        self.rebuild()
    }

    /// Sends the script's events at their times, and does everything else in between.
    fn play(&mut self, events: Vec<Planned>) -> Result<(), String> {
        let mut events = events.into_iter().peekable();
        let begin = self.world.clock.boot_ms();
        let rate = self.world.chance.between(5, 60);
        while events.peek().is_some() {
            let passed_ms = (self.world.clock.boot_ms() - begin) as i64;
            let due = |planned: &Planned| planned.at.since(crate::clock::BEGIN) <= passed_ms;
            while self.world.life.is_some() && events.peek().is_some_and(due) {
                let Some(planned) = events.next() else { break };
                self.world.send(planned);
            }
            for _ in 0..self.world.chance.between(1, 40) {
                let turns = self.world.turns();
                let which = self.world.chance.below(turns);
                self.world.turn(which);
            }
            if self.world.chance.happens(rate) {
                self.fault()?;
            }
            self.mind_the_process()?;
            self.world.tell_losses(|_, _| false);
            self.world.turn_layout(&mut |chance| chance.happens(300))?;
            let step = match self.world.chance.below(10) {
                0..=5 => self.world.chance.between(1, 50),
                6..=8 => self.world.chance.between(50, 3_000),
                _ => self.world.chance.between(3_000, 60_000),
            };
            self.world.advance(step);
        }
        Ok(())
    }

    fn fault(&mut self) -> Result<(), String> {
        let shared = self.world.states.len() > 1 && self.world.chance.happens(400);
        let fault = match shared {
            true => *self.world.chance.pick(&MEMBERSHIP),
            false if self.active.is_empty() => return Ok(()),
            false => *self.world.chance.pick(&self.active),
        };
        match fault {
            Fault::CrashProcess => self.crash(false)?,
            Fault::CrashMachine => self.crash(true)?,
            Fault::KillInWrite => {
                let after = self.world.chance.between(1, 12);
                self.world.note(format!("the process will end after {after} operations of the disk"));
                self.world.disk.kill_after(after);
            }
            Fault::DiskError => {
                let nth = self.world.chance.between(1, 20);
                let kind = *self.world.chance.pick(&[DiskFault::Device, DiskFault::ReadOnly]);
                self.world.note(format!("operation {nth} of the disk will fail: {kind:?}"));
                self.world.disk.fail(nth, kind);
            }
            Fault::DiskFull => {
                let room = self.world.chance.between(0, 200_000);
                let full = self.world.disk.used_bytes() + room;
                self.world.note(format!("the disk has room for {room} bytes"));
                self.world.disk.set_capacity(Some(full));
            }
            Fault::CommitLost => {
                let kinds = [CommitFault::Aborted, CommitFault::UnknownLost, CommitFault::UnknownWritten];
                let kind = *self.world.chance.pick(&kinds);
                self.world.note(format!("the next commit: {kind:?}"));
                let member = self.world.chance.below(self.world.states.len() as u64) as usize;
                if let Some(member) = self.world.member(member) {
                    *member.log.fault.lock().unwrap() = Some(kind);
                }
            }
            Fault::StateRefuses => {
                let after = self.world.chance.below(4);
                self.world.note("the state store will refuse a commit");
                let member = self.world.chance.below(self.world.states.len() as u64) as usize;
                self.world.states[member].fail_apply_after(after, StateError::Full("simulated".to_owned()));
            }
            Fault::StoreRefuses => {
                let (refused, lost) = (self.world.chance.below(4) as u32, self.world.chance.below(3) as u32);
                self.world
                    .note(format!("the record store refuses {refused} writes and loses {lost} answers"));
                self.world.store.fail_writes(refused, StoreError::Unavailable("simulated".to_owned()));
                self.world.store.lose_answers(lost);
            }
            Fault::BlobRefuses => {
                let (after, count) =
                    (self.world.chance.below(8) as u32, self.world.chance.between(1, REFUSALS_MAX) as u32);
                self.world.note("the blob store will refuse");
                self.world.blob.refuse(after, count);
            }
            Fault::SnapshotDamaged => self.damage_snapshot(),
            Fault::Weather => {
                let kinds =
                    [Weather::Calm, Weather::Rough, Weather::Rough, Weather::Hanging, Weather::Refusing];
                let weather = *self.world.chance.pick(&kinds);
                self.world.note(format!("weather outside: {weather:?}"));
                self.world.outside.set_weather(weather);
            }
            Fault::ClockJumps => self.jump(),
            Fault::RepliesRepeated => self.world.repeat_reply(),
            Fault::SettingsChange => self.change_settings(),
            Fault::Commands => self.world.speak(),
            Fault::StateLost => {
                self.world.note("the state store is lost");
                self.crash(false)?;
                self.lose_state();
            }
            Fault::StoreLost => {
                self.world.note("the record store is lost");
                if self.world.chance.happens(500) {
                    self.world.store.put_back();
                } else {
                    self.crash(false)?;
                    self.world.store = MemoryStore::new();
                }
            }
            Fault::Stop => self.stop()?,
            Fault::Layout => self.world.change_layout()?,
            Fault::Rebalance => self.world.rebalance()?,
            Fault::PartitionTaken => self.world.take_partition(),
            Fault::MemberCrashes => self.world.crash_a_member()?,
            Fault::HandOver => self.world.hand_over()?,
        }
        Ok(())
    }

    fn crash(&mut self, machine: bool) -> Result<(), String> {
        self.world.note(if machine { "the machine crashes" } else { "kill -9" });
        self.world.crash(machine);
        Ok(())
    }

    /// A damaged newest snapshot must not matter; two damaged ones are more than is promised.
    fn damage_snapshot(&mut self) {
        let candidates = snapshots(&self.world.blob);
        let Some((newest, _)) = candidates
            .into_iter()
            .find(|(newest, second)| !self.damaged.contains(second) && !self.damaged.contains(newest))
        else {
            return;
        };
        self.world.note(format!("{newest} is damaged, and the state store is lost"));
        self.world.blob.damage(&newest);
        self.damaged.insert(newest);
        self.world.crash(false);
        self.lose_state();
    }

    fn lose_state(&mut self) {
        self.world.states.iter_mut().for_each(|state| *state = MemoryState::new());
    }

    /// Within nine minutes of the true time: calls are told of later than that.
    fn jump(&mut self) {
        let to = self.world.chance.between(0, 18 * 60_000) as i64 - 9 * 60_000;
        self.world.note(format!("the wall clock is set to {to} ms off"));
        self.world.clock.set_wall(to - self.wall_offset_ms);
        self.wall_offset_ms = to;
    }

    fn change_settings(&mut self) {
        let what = self.world.chance.below(8);
        self.world.note(format!("settings of {UNSETTLED} change ({what})"));
        self.world.change(UNSETTLED, |tenant| match what {
            0 => tenant.removed = true,
            _ => {
                for integration in &mut tenant.integrations {
                    integration.disabled = what.is_multiple_of(2);
                }
            }
        });
    }

    /// SIGTERM: the open epochs are finished, the rest comes again.
    fn stop(&mut self) -> Result<(), String> {
        self.world.note("SIGTERM");
        let members = |world: &World, is: fn(&SteppedEngine) -> bool| {
            let life = world.life.as_ref();
            life.is_none_or(|life| life.members.iter().flatten().all(|member| is(&member.engine)))
        };
        members(&self.world, |engine| {
            engine.stop();
            true
        });
        for _ in 0..200 {
            if members(&self.world, SteppedEngine::has_ended) {
                break;
            }
            for part in [Part::Worker, Part::Applier] {
                self.world.turn_all(part);
            }
            self.world.advance(5);
            if self.world.fatal.lock().unwrap().is_some() {
                break;
            }
        }
        self.world.crash(false);
        Ok(())
    }

    /// Starts a process where there is none, and where it has ended by itself.
    fn mind_the_process(&mut self) -> Result<(), String> {
        let life = self.world.life.as_ref();
        let failed = life.and_then(|life| life.topics.values().find_map(|topics| topics.log.health().failed));
        let fatal = self.world.fatal.lock().unwrap().clone().or(failed);
        if let Some(why) = fatal {
            // A process may end because its machine does.
            let machine = self.active.contains(&Fault::CrashMachine) && self.world.chance.happens(400);
            self.world
                .note(format!("the process ends{}: {why}", if machine { " with its machine" } else { "" }));
            self.world.crash(machine);
        }
        if self.world.life.is_none() {
            self.restart()?;
        }
        Ok(())
    }

    /// Starts; where the disk is full or fails, somebody makes room first.
    fn restart(&mut self) -> Result<(), String> {
        for attempt in 0..5 {
            match self.world.start() {
                Ok(()) => {
                    self.world.note("ready");
                    return Ok(());
                }
                Err(why) if attempt < 4 && is_of_the_simulator(&why) => {
                    self.world.note(format!("it does not start: {why}; somebody makes room and tries again"));
                    self.world.crash(false);
                    self.heal_stores();
                }
                Err(why) => return Err(format!("it does not start: {why}")),
            }
        }
        Err("it does not start".to_owned())
    }

    fn heal_stores(&mut self) {
        self.world.disk.heal();
        self.world.blob.heal();
        self.world.states.iter().for_each(MemoryState::heal);
    }

    fn heal(&mut self) -> Result<(), String> {
        self.world.note("everything is healed");
        self.heal_stores();
        self.world.store.fail_writes(0, StoreError::Unavailable(String::new()));
        self.world.store.lose_answers(0);
        self.world.outside.set_weather(Weather::Calm);
        self.world.tell_losses(|_, _| true);
        if self.world.disk.is_gone() {
            self.world.crash(false);
        }
        self.mind_the_process()?;
        self.world.finish_layout()
    }

    /// Goes on until nothing happens any more.
    fn rest(&mut self) -> Result<(), String> {
        let (mut waited_ms, mut quiet_ms) = (0, 0);
        while quiet_ms < QUIET_MS {
            if waited_ms > REST_MS_MAX {
                return Err(format!("it does not come to rest: {}", self.what_is_open()));
            }
            self.world.settle()?;
            let before = self.world.commits();
            let step = if self.what_is_open().is_empty() { 10_000 } else { 500 };
            self.world.advance(step);
            waited_ms += step;
            self.world.settle()?;
            let still = self.what_is_open().is_empty() && self.world.commits() == before;
            quiet_ms = if still { quiet_ms + step } else { 0 };
        }
        self.world.note("at rest");
        Ok(())
    }

    /// Names something that is not at its end yet; empty when everything is.
    fn what_is_open(&self) -> String {
        let layout = self.world.open_layout();
        if !layout.is_empty() {
            return layout;
        }
        let contents = self.world.store.contents();
        let request = contents.requests.iter().find(|row| row.status == RequestStatus::Processing);
        let open = [DeliveryStatus::Queued, DeliveryStatus::Sending];
        let delivery = contents.deliveries.iter().find(|line| open.contains(&line.status));
        match (request, delivery) {
            (Some(request), _) => format!("{request:?}"),
            (None, Some(delivery)) => format!("{delivery:?}"),
            (None, None) => String::new(),
        }
    }

    /// A state store made anew from snapshots and the log is the same as the one that was lost.
    fn rebuild(&mut self) -> Result<(), String> {
        let before = self.world.rows()?;
        self.world.crash(false);
        self.lose_state();
        self.restart()?;
        let after = self.world.rows()?;
        for (partition, rows) in &before {
            let rebuilt = &after[partition];
            if let Some((key, _)) = rows.iter().find(|(key, value)| rebuilt.get(*key) != Some(value)) {
                return Err(format!("partition {partition}: row {key:02x?} is not as before the rebuild"));
            }
            if let Some(key) = rebuilt.keys().find(|key| !rows.contains_key(*key)) {
                return Err(format!("partition {partition}: row {key:02x?} came with the rebuild"));
            }
        }
        Ok(())
    }
}

/// Whether a start failed for a fault that the simulator made.
fn is_of_the_simulator(why: &str) -> bool {
    ["simulat", "no room", "No space", "os error", "os code"].iter().any(|mark| why.contains(mark))
}
