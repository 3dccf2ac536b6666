//! Members of a group: partitions that go from one to another, in peace and not.

use std::sync::Arc;

use leadline::engine::Part;
use leadline::layout::GenerationState;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::state::State;
use leadline_connectors::state_memory::MemoryState;
use leadline_schemas::Partition;
use leadline_schemas::layout::Shape;

use crate::chance::Chance;
use crate::world::{World, yield_some};

/// Turns that a member has to let a partition go in peace.
const PATIENCE_TURNS: u64 = 400;

/// Rows of all partitions, as their owners have them.
pub type Rows = std::collections::BTreeMap<Partition, std::collections::BTreeMap<Vec<u8>, Vec<u8>>>;

impl World {
    /// A partition and its owner, where there is somebody else to have it.
    fn partition_and_owner(&mut self) -> Option<(Partition, usize)> {
        // Those that are in two layouts have nothing to give each other.
        let generation = self.generation_of(0)?;
        let (group, partitions) = self.group_of(0);
        let partition = Partition(self.chance.below(partitions.count() as u64) as u16);
        let owner = group.owner(partition)?;
        let there_are_two = self.states.len() > 1 && self.generation_of(1) == Some(generation);
        if there_are_two {
            // What comes now knows nothing of what was named before.
            self.outside.name(&[]);
        }
        there_are_two.then_some((partition, owner))
    }

    /// In peace: the owner finishes what is open, or has its patience run out; then another one gets it.
    pub fn rebalance(&mut self) -> Result<(), String> {
        if let Some((partition, owner)) = self.partition_and_owner() {
            self.go_in_peace(partition, owner);
        }
        Ok(())
    }

    /// A partition goes to the member that is not its owner.
    pub fn go_in_peace(&mut self, partition: Partition, owner: usize) {
        self.note(format!("partition {partition} goes from member {owner} to {}", 1 - owner));
        self.tell_losses(|_, _| true);
        if let Some(member) = self.member(owner) {
            member.engine.release(&[partition], false);
        }
        let turns = self.chance.below(PATIENCE_TURNS);
        for _ in 0..turns {
            if self.has_left(owner, partition) {
                break;
            }
            let which = self.chance.below(self.turns());
            self.turn(which);
            if which == 0 {
                self.advance(1);
            }
        }
        if !self.has_left(owner, partition) {
            self.note("it does not let go in time");
        }
        self.take_from(owner, partition);
        self.hand(partition, 1 - owner);
    }

    /// Another member has it before the owner knows.
    pub fn take_partition(&mut self) {
        let Some((partition, owner)) = self.partition_and_owner() else { return };
        let now_ms = self.clock.boot_ms();
        let untold_ms = self.chance.between(0, 90_000);
        self.note(format!(
            "partition {partition} of member {owner} is taken; it will hear of it in {untold_ms} ms"
        ));
        if self.chance.happens(500) {
            let frozen_until_ms = now_ms + self.chance.between(0, untold_ms);
            self.note(format!("member {owner} is frozen until {frozen_until_ms} ms"));
            if let Some(member) = self.member(owner) {
                member.frozen_until_ms = frozen_until_ms;
            }
        }
        self.untold.push((now_ms + untold_ms, owner, partition));
        self.hand(partition, 1 - owner);
    }

    /// A member ends at once, the other one takes over, and a new process comes in its place with the state it left.
    pub fn crash_a_member(&mut self) -> Result<(), String> {
        let owner = self.chance.below(self.states.len() as u64) as usize;
        let generations = [0, 1].map(|index| self.generation_of(index));
        if generations.contains(&None) {
            return Ok(());
        }
        self.outside.name(&[]);
        let (group, partitions) = self.group_of(owner);
        let owned: Vec<Partition> = partitions.filter(|p| group.owner(*p) == Some(owner)).collect();
        self.note(format!("member {owner} ends: kill -9"));
        if let Some(life) = &mut self.life {
            life.members[owner] = None;
        }
        self.untold.retain(|(_, member, _)| *member != owner);
        self.crash_state(owner);
        let is_shared = generations[0] == generations[1];
        if is_shared {
            owned.iter().for_each(|partition| self.hand(*partition, 1 - owner));
        }
        self.start_member(owner)?;
        // One that was alone in its layout, or has come up in the next, gets what is nobody's there.
        let is_alone = !is_shared || self.generation_of(owner) != generations[owner];
        if is_alone { self.join(owner) } else { Ok(()) }
    }

    /// A process that stands by with a store of its own takes a member's place.
    pub fn hand_over(&mut self) -> Result<(), String> {
        let Some((_, index)) = self.partition_and_owner() else { return Ok(()) };
        let (group, partitions) = self.group_of(index);
        let owned: Vec<Partition> = partitions.filter(|of| group.owner(*of) == Some(index)).collect();
        self.tell_losses(|_, _| true);
        let now_ms = self.clock.boot_ms();
        let awake = self.member(index).filter(|old| old.frozen_until_ms <= now_ms);
        let Some(old) = awake else { return Ok(()) };
        old.engine.begin_hand_over();
        let turns = self.chance.below(PATIENCE_TURNS);
        for _ in 0..turns {
            if owned.iter().all(|partition| self.has_left(index, *partition)) {
                break;
            }
            let which = self.chance.below(self.turns());
            self.turn(which);
            if which == 0 {
                self.advance(1);
            }
        }
        for partition in &owned {
            self.take_from(index, *partition);
        }
        let Some(life) = &mut self.life else { return Ok(()) };
        let Some(mut old) = life.members.get_mut(index).and_then(Option::take) else { return Ok(()) };
        let generation = old.generation;
        // Calls that are to be made are made now, or never.
        old.runtime.block_on(yield_some());
        let handed = old.engine.hand_over();
        let mut retired = life.members.split_off(self.states.len());
        retired.retain(|member| member.as_ref().is_some_and(|member| !member.engine.is_quiet()));
        retired.push(Some(old));
        life.members.extend(retired);
        self.note(format!("member {index} hands over {owned:?}, and {} calls run on", handed.jobs.len()));
        self.outside.name(&handed.jobs);
        self.states[index] = MemoryState::new();
        self.start_member(index)?;
        if self.generation_of(index) != Some(generation) {
            return self.join(index); // The others have gone on to the next layout meanwhile.
        }
        let warm = self.chance.below(3) as usize;
        if let Some(new) = self.member(index) {
            for partition in owned.iter().take(warm) {
                let _ = new.engine.warm(*partition); // Blobs may be away: then it comes when it is assigned.
            }
            new.engine.inherit(handed);
        }
        owned.into_iter().for_each(|partition| self.hand(partition, index));
        Ok(())
    }

    /// The state store of a member that has ended: its newest rows may be lost.
    pub fn crash_state(&mut self, member: usize) {
        let lost = self.states[member].unsynced() as u64;
        let kept = self.chance.below(lost + 1) as usize;
        self.states[member] = self.states[member].crash(kept);
    }

    fn has_left(&mut self, member: usize, partition: Partition) -> bool {
        self.member(member).is_none_or(|member| member.engine.have_left(&[partition]))
    }

    /// Whatever the member has open is dropped.
    fn take_from(&mut self, member: usize, partition: Partition) {
        if let Some(member) = self.member(member) {
            member.engine.release(&[partition], true);
            member.engine.turn(Part::Worker);
        }
    }

    pub fn hand(&mut self, partition: Partition, to: usize) {
        // A member hears that a partition is gone before it hears that it has come again.
        self.tell_losses(|member, lost| (member, lost) == (to, partition));
        let (group, _) = self.group_of(to);
        group.hand(partition, to);
        if let Some(member) = self.member(to) {
            member.engine.assigned(&[partition]);
        }
    }

    /// Members hear of losses whose time has come, and of those that are chosen.
    pub fn tell_losses(&mut self, chosen: impl Fn(usize, Partition) -> bool) {
        let now_ms = self.clock.boot_ms();
        let untold = std::mem::take(&mut self.untold);
        for (at_ms, member, partition) in untold {
            if at_ms <= now_ms || chosen(member, partition) {
                if let Some(member) = self.member(member) {
                    member.frozen_until_ms = member.frozen_until_ms.min(now_ms);
                }
                self.take_from(member, partition);
            } else {
                self.untold.push((at_ms, member, partition));
            }
        }
    }

    /// All rows of all partitions, as their owners have them.
    pub fn rows(&self) -> Result<Rows, String> {
        let mut all = Rows::new();
        let Shape { generation, partitions, .. } = self.record().shape;
        for partition in (0..partitions).map(Partition) {
            let owner = self.layouts[&generation].group.owner(partition).unwrap_or(0);
            let state = GenerationState::new(Arc::new(self.states[owner].clone()), generation);
            let store = state.open(partition).map_err(|error| error.to_string())?;
            let rows = all.entry(partition).or_default();
            let mut take = |key: &[u8], value: &[u8]| {
                rows.insert(key.to_vec(), value.to_vec());
                std::ops::ControlFlow::Continue(())
            };
            store.scan(&[], None, &mut take).map_err(|error| error.to_string())?;
        }
        Ok(all)
    }
}
