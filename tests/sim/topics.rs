//! The topics of one layout: a log of its own on the machine's disk, and what its brokers know of its group.

use std::sync::Arc;

use leadline_connectors::conformance::Seeded;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::Log;
use leadline_connectors::log_embedded::{EmbeddedLog, EmbeddedLogConfig, LogSteps, Retention};
use leadline_schemas::layout::Shape;
use leadline_schemas::{Partition, Topic};

use crate::folder::Folder;
use crate::log::Group;
use crate::world::World;

/// Small segments, so that the log rolls and drops them all the time.
const SEGMENT_BYTES: u64 = 128 << 10;

/// What outlives all processes.
pub struct Brokers {
    pub shape: Shape,
    pub group: Arc<Group>,
}

/// What lives as long as a life: the log of a layout, and who does its work.
pub struct Topics {
    pub log: Arc<EmbeddedLog>,
    pub steps: LogSteps,
}

impl World {
    /// Opens the log of a layout, or makes it; notes from now on what it accepts.
    pub fn open_topics(&mut self, generation: u32) -> Result<Topics, String> {
        let config = EmbeddedLogConfig {
            partitions: self.layouts[&generation].shape.partitions,
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
        let folder = Arc::new(Folder::new(&self.disk, &format!("g{generation}")));
        let opened = EmbeddedLog::open_stepped(config, folder, clock, random);
        let (log, steps) = opened.map_err(|error| error.to_string())?;
        self.accepted.check_kept(&log, generation)?;
        let log = Arc::new(log);
        for partition in (0..log.partitions()).map(Partition) {
            self.accepted.follow(&log, (generation, partition));
            let (accepted, weak) = (Arc::clone(&self.accepted), Arc::downgrade(&log));
            let follow = move || {
                if let Some(log) = weak.upgrade() {
                    accepted.follow(&log, (generation, partition));
                }
            };
            // Until an engine listens: sources are in a layout before those who work.
            log.listen(Topic::Inbound, partition, Arc::new(follow));
        }
        Ok(Topics { log, steps })
    }
}
