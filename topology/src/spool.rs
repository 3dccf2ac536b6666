//! The spool of an instance: where its events wait while brokers are away.

use std::sync::Arc;

use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::Log;
use leadline_connectors::disk_folder::FolderDisk;
use leadline_connectors::log_embedded::{EmbeddedLog, EmbeddedLogConfig, Retention};
use leadline_connectors::log_spool::{Kept, SpooledLog, kept};

use crate::config::Config;
use crate::logs::incarnation;

/// Size of its files, where the spool is large enough: four of them are there while it is empty.
const SEGMENT_BYTES: u64 = 16 << 20;

/// An opened spool.
pub struct Spool {
    embedded: Arc<EmbeddedLog>,
    /// What it says of the process before.
    pub kept: Kept,
    forwarding: Option<Arc<SpooledLog>>,
    /// Holds the folder's lock.
    _disk: Arc<FolderDisk>,
}

impl Spool {
    /// Opens the spool if the process has one. One that is switched off is refused as long as events wait in it.
    pub fn open(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<Option<Self>> {
        let (folder, wanted) = (config.spool_folder(), config.kafka.spool && config.role.takes_events());
        if !wanted && !folder.exists() {
            return Ok(None);
        }
        let disk = Arc::new(FolderDisk::open(&folder)?);
        let max_bytes = config.kafka.spool_bytes_max;
        let defaults = EmbeddedLogConfig::default();
        let log_config = EmbeddedLogConfig {
            partitions: 1,
            segment_bytes: SEGMENT_BYTES.min(max_bytes / 5),
            max_bytes,
            // Read once, by the forwarder.
            tail_cache_bytes_max: 1 << 20,
            index_cache_bytes_max: 1 << 20,
            // What was forwarded is of no use here.
            retention: Retention { inbound_ms: 0, ..defaults.retention.clone() },
            ..defaults
        };
        let embedded = EmbeddedLog::open(log_config, disk.clone(), Arc::clone(clock), incarnation)?;
        let embedded = Arc::new(embedded);
        let log: Arc<dyn Log> = embedded.clone();
        let kept = kept(&log)?;
        if wanted {
            return Ok(Some(Self { embedded, kept, forwarding: None, _disk: disk }));
        }
        anyhow::ensure!(
            kept.events == 0,
            "{} events wait in {} to be forwarded: start with kafka.spool = true (and a role that takes events) until \
             leadline_spool_records is 0",
            kept.events,
            folder.display()
        );
        Ok(None)
    }

    /// Puts it before a log, and starts to forward what lies in it.
    pub fn before(&mut self, log: Arc<dyn Log>, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Log>> {
        let spooled = Arc::new(SpooledLog::open(log, self.embedded.clone(), Arc::clone(clock))?);
        self.forwarding = Some(spooled.clone());
        Ok(spooled)
    }

    /// Ends forwarding and closes the files; what is left waits for the next start.
    pub fn close(&self) {
        if let Some(forwarding) = &self.forwarding {
            forwarding.close();
        }
        self.embedded.close();
    }
}
