//! The fence on Kafka: the end of an `inbound` that takes nothing more.
//!
//! The topic is set to refuse every record. Each broker hears of that by itself, and what it told others is no proof
//! for the leader of a partition; so an empty record is appended until it is refused. Leaders take settings in in the
//! order of their cluster's metadata, so a later leader refuses too. From then on the end of the partition is its end
//! for good, whoever asks: nobody has to remember it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use leadline_connectors::contract::log::{Append, AppendError, Log};
use leadline_connectors::log_kafka::{KafkaConfig, topics};
use leadline_schemas::{Offset, Partition, Topic};

use super::follow::SOURCES_MAX;
use crate::engine::{Fence, lock};

/// What a fence record is called; its value is empty.
const FENCE_KEY: &[u8] = b"_fence";

/// The fence of one layout.
pub struct KafkaFence {
    log: Arc<dyn Log>,
    config: KafkaConfig,
    runtime: tokio::runtime::Handle,
    known_since: Instant,
    is_closed: AtomicBool,
    /// Why the topic could not be closed from here; somebody else may have.
    refused: Mutex<Option<String>>,
}

impl KafkaFence {
    /// For the layout of this log and configuration. Sources get [`SOURCES_MAX`] from now on to leave by themselves.
    pub fn new(log: Arc<dyn Log>, config: KafkaConfig, runtime: tokio::runtime::Handle) -> Self {
        let (is_closed, refused) = (AtomicBool::new(false), Mutex::default());
        Self { log, config, runtime, known_since: Instant::now(), is_closed, refused }
    }

    fn close(&self) {
        if self.is_closed.load(Ordering::Acquire) {
            return;
        }
        match topics::close(&self.config) {
            Ok(()) => {
                self.is_closed.store(true, Ordering::Release);
                lock(&self.refused).take();
            }
            Err(error) => *lock(&self.refused) = Some(error.to_string()),
        }
    }

    /// Whether the partition refuses records; asked of all at once, for a producer takes its time over a refusal.
    async fn refuses(&self, partition: Partition) -> Result<bool, String> {
        let fence = Append {
            topic: Topic::Inbound,
            partition,
            key: Bytes::from_static(FENCE_KEY),
            value: Bytes::new(),
        };
        match self.log.append(vec![fence]).await {
            Err(AppendError::Refused(_)) => Ok(true),
            Ok(_) => match lock(&self.refused).clone() {
                Some(why) => Err(format!(
                    "inbound cannot be closed from here ({why}); run `leadline layout apply` again, with rights to set topics"
                )),
                None => Ok(false),
            },
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Fence for KafkaFence {
    fn ends(&self, partitions: &[Partition]) -> Result<BTreeMap<Partition, Offset>, String> {
        if self.known_since.elapsed() < SOURCES_MAX {
            return Ok(BTreeMap::new());
        }
        self.close();
        let asked = partitions.iter().map(|partition| self.refuses(*partition));
        let refuse = self.runtime.block_on(futures_util::future::try_join_all(asked))?;
        let mut ends = BTreeMap::new();
        for (partition, _) in partitions.iter().zip(refuse).filter(|(_, refuses)| *refuses) {
            let range = self.log.range(Topic::Inbound, *partition);
            ends.insert(*partition, range.map_err(|error| error.to_string())?.1);
        }
        Ok(ends)
    }
}
