//! Upkeep: the thread that looks for brokers and for partitions that stand still, and deletes frames that nobody needs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use leadline_schemas::{Partition, Topic};
use rdkafka::consumer::Consumer as _;

use super::admin::Admin;
use super::closing::Closing;
use super::error::describe;
use super::frames::Frames;
use super::health::Health;
use super::link::Link;
use super::lock;
use super::standstill::{Positions, Standstill};
use crate::contract::log::ReadError;

/// Floors of `state`: frames below them are deleted.
#[derive(Default)]
pub(super) struct Floors {
    wanted: Mutex<BTreeMap<Partition, u64>>,
}

impl Floors {
    pub(super) fn set(&self, partition: Partition, floor: u64) {
        let mut wanted = lock(&self.wanted);
        let known = wanted.entry(partition).or_default();
        *known = floor.max(*known);
    }
}

pub(super) struct Upkeep {
    pub(super) frames: Arc<Frames>,
    pub(super) health: Arc<Health>,
    pub(super) floors: Arc<Floors>,
    pub(super) link: Link,
    pub(super) standstill: Standstill,
}

impl Upkeep {
    /// Runs until the log is closed.
    pub(super) fn run(&self, closing: &Closing) {
        let config = &self.frames.history.config;
        let probe = Duration::from_millis(config.probe_ms);
        let upkeep = Duration::from_millis(config.upkeep_ms);
        let (mut done, mut last, mut positions) = (BTreeMap::new(), Instant::now(), Positions::default());
        while !closing.wait(probe.min(upkeep)) {
            self.probe();
            self.standstill.look(&mut positions);
            if last.elapsed() >= upkeep {
                last = Instant::now();
                self.frames.history.tidy();
                self.delete(&mut done);
            }
        }
    }

    /// Asks whoever is there: an idle log has no other way to notice.
    fn probe(&self) {
        let history = &self.frames.history;
        let topic = history.config.topic(Topic::Inbound);
        let patience = Duration::from_millis(history.config.append_timeout_ms);
        match history.asked.client().fetch_metadata(Some(&topic), patience) {
            Ok(_) => self.health.back(),
            Err(error) => self.health.away(&describe(&error)),
        }
    }

    fn delete(&self, done: &mut BTreeMap<Partition, u64>) {
        let wanted = lock(&self.floors.wanted).clone();
        for (partition, floor) in wanted {
            if floor <= done.get(&partition).copied().unwrap_or(0) || self.health.unavailable().is_some() {
                continue;
            }
            match self.delete_below(partition, floor) {
                Ok(()) => {
                    done.insert(partition, floor);
                }
                Err(error) => tracing::warn!(%partition, floor, %error, "old frames were not deleted"),
            }
        }
    }

    /// Deletes all frames below an offset of the contract; the newest frame always stays.
    fn delete_below(&self, partition: Partition, floor: u64) -> Result<(), ReadError> {
        let frame = floor.saturating_add(1).min(self.frames.end(partition)?);
        if frame <= 1 {
            return Ok(());
        }
        let Some(offset) = self.frames.offset_of(partition, frame)? else { return Ok(()) };
        let config = &self.frames.history.config;
        let (topic, number) = (config.topic(Topic::State), i32::from(partition.0));
        let below = i64::try_from(offset).unwrap_or(i64::MAX);
        Admin::open(config, "upkeep", self.link.clone())
            .and_then(|admin| admin.delete_below(&topic, number, below))
            .map_err(ReadError::Unavailable)
    }
}
