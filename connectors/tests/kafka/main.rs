//! The log on Kafka, against real brokers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod conformance;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use leadline_connectors::log_kafka::{KafkaConfig, topics};
use leadline_tests::kafka::Cluster;

/// The broker that all tests share but those that stop it. None where it cannot be had, which was said.
fn broker() -> Option<&'static Cluster> {
    static BROKER: OnceLock<Option<Cluster>> = OnceLock::new();
    BROKER.get_or_init(|| Cluster::start(1)).as_ref()
}

/// A log of its own on these brokers: topics that are there, and a group that nobody is in.
fn fresh(brokers: &Cluster, partitions: u16) -> KafkaConfig {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("test{}", NEXT.fetch_add(1, Ordering::SeqCst));
    let mut config = KafkaConfig::new(&brokers.bootstrap(), &name, "one");
    config.probe_ms = 200;
    config.upkeep_ms = 200;
    topics::apply(&config, partitions, 1).unwrap();
    config
}
