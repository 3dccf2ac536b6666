//! Model: what was sent to the log in which order, and how much of it a life must find.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

pub(super) type Place = (Topic, Partition);

/// A record or commit that was sent.
#[derive(Clone, Debug)]
struct Sent {
    /// The call that it was part of.
    call: u64,
    place: Place,
    value: Bytes,
    acknowledged: bool,
}

/// Everything that was sent and not refused, in order: of each place the log must find a beginning.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    sent: Vec<Sent>,
    /// How many of each place were dropped at most: the highest floor.
    floors: BTreeMap<Place, u64>,
}

impl Model {
    pub(super) fn send(&mut self, call: u64, place: Place, value: Bytes) {
        self.sent.push(Sent { call, place, value, acknowledged: false });
    }

    pub(super) fn acknowledge(&mut self, call: u64) {
        for sent in self.sent.iter_mut().filter(|sent| sent.call == call) {
            sent.acknowledged = true;
        }
    }

    pub(super) fn refuse(&mut self, call: u64) {
        self.sent.retain(|sent| sent.call != call);
    }

    /// The offsets that the records of a call have if the log has taken all before them.
    pub(super) fn offsets(&self, call: u64) -> Vec<Offset> {
        let mut next: BTreeMap<Place, u64> = BTreeMap::new();
        let mut offsets = Vec::new();
        for sent in &self.sent {
            let offset = next.entry(sent.place).or_default();
            if sent.call == call {
                offsets.push(Offset(*offset));
            }
            *offset += 1;
        }
        offsets
    }

    pub(super) fn count(&self, place: Place) -> u64 {
        self.sent.iter().filter(|sent| sent.place == place).count() as u64
    }

    pub(super) fn values(&self, place: Place) -> Vec<Bytes> {
        self.sent.iter().filter(|sent| sent.place == place).map(|sent| sent.value.clone()).collect()
    }

    pub(super) fn acknowledged(&self, place: Place) -> u64 {
        self.sent.iter().filter(|sent| sent.place == place && sent.acknowledged).count() as u64
    }

    pub(super) fn set_floor(&mut self, place: Place, floor: u64) {
        let known = self.floors.entry(place).or_default();
        *known = floor.max(*known);
    }

    /// Checks that the log holds of each place a beginning of what was sent, with all that was acknowledged; the rest is
    /// given up.
    pub(super) fn check(&mut self, log: &EmbeddedLog) {
        let mut found: BTreeMap<Place, Found> = BTreeMap::new();
        for place in self.sent.iter().map(|sent| sent.place) {
            found.entry(place).or_insert_with(|| Found::read(log, place));
        }
        for (place, found) in &found {
            let floor = self.floors.get(place).copied().unwrap_or(0);
            assert!(found.first <= floor, "{place:?} starts at {}, above its floor {floor}", found.first);
        }
        let mut next: BTreeMap<Place, u64> = BTreeMap::new();
        let mut ended: BTreeSet<Place> = BTreeSet::new();
        let mut kept = Vec::with_capacity(self.sent.len());
        for sent in &self.sent {
            let offset = next.entry(sent.place).or_default();
            let there = found[&sent.place].at(*offset);
            match there {
                There::Beyond => {
                    assert!(!sent.acknowledged, "acknowledged {:?}/{offset} is lost", sent.place);
                    ended.insert(sent.place);
                    continue;
                }
                There::Dropped => {}
                There::Value(value) => assert!(*value == sent.value, "{:?}/{offset} is another", sent.place),
            }
            let is_beginning = !ended.contains(&sent.place);
            assert!(is_beginning, "{:?}/{offset} is there though an earlier one is lost", sent.place);
            *offset += 1;
            kept.push(Sent { acknowledged: true, ..sent.clone() }); // What was read once stays.
        }
        for (place, found) in &found {
            assert_eq!(found.end, next.get(place).copied().unwrap_or(0), "{place:?} has more than was sent");
        }
        self.sent = kept;
    }
}

struct Found {
    first: u64,
    end: u64,
    values: Vec<Bytes>,
}

enum There<'f> {
    Dropped,
    Value(&'f Bytes),
    Beyond,
}

impl Found {
    fn read(log: &EmbeddedLog, (topic, partition): Place) -> Self {
        let (first, end) = log.range(topic, partition).unwrap();
        Self { first: first.0, end: end.0, values: all(log, topic, partition.0) }
    }

    fn at(&self, offset: u64) -> There<'_> {
        match offset.checked_sub(self.first) {
            None => There::Dropped,
            Some(at) => self.values.get(at as usize).map_or(There::Beyond, There::Value),
        }
    }
}
