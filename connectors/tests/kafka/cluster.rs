//! A cluster of three that loses one goes on: also when that one coordinated the group while its offsets were sent.

use leadline_connectors::contract::log::{CommitAnswer, Log as _};
use leadline_connectors::log_kafka::topics::apply;
use leadline_schemas::{Offset, Partition, Topic};
use leadline_tests::kafka::Cluster;
use leadline_tests::until;

use crate::{PATIENCE, append, commit, epoch, named, open};

#[test]
fn a_cluster_of_three_that_loses_one_loses_nothing_and_goes_on() {
    let Some(mut cluster) = Cluster::start(3) else { return };
    let config = named(&cluster);
    // Brokers join one by one; three copies need all of them.
    until("all brokers", PATIENCE, || apply(&config, 3, 3).is_ok());
    let log = open(&config);
    let partitions: Vec<Partition> = (0..3).map(Partition).collect();
    let mut written = [0_u64; 3];
    let mut committed = [0_u64; 3];
    let mut round = |log: &leadline_connectors::log_kafka::KafkaLog| {
        for (at, partition) in partitions.iter().enumerate() {
            until("an append", PATIENCE, || match append(log, Topic::Inbound, *partition, "event") {
                Ok(offsets) => {
                    // What was answered Unavailable may have been written all the same.
                    assert!(offsets[0] >= Offset(written[at]));
                    written[at] = offsets[0].0 + 1;
                    true
                }
                Err(_) => false,
            });
            let next = committed[at] + 1;
            until("a commit", PATIENCE, || match commit(log, epoch(*partition, next, Vec::new())) {
                CommitAnswer::Committed => true,
                CommitAnswer::Aborted(_) => false,
                other => panic!("{other:?}"),
            });
            committed[at] = next;
        }
    };
    round(&log);
    for lost in 0..2 {
        cluster.kill(lost);
        (0..3).for_each(|_| round(&log));
        cluster.restart(lost);
        round(&log);
        // The next may be lost only when this one has all that it missed.
        until("all copies are in sync", PATIENCE, || in_sync(&config.brokers) == 3);
    }
    for (at, partition) in partitions.iter().enumerate() {
        assert_eq!(log.range(Topic::State, *partition).unwrap(), (Offset(0), Offset(committed[at])));
        assert_eq!(log.range(Topic::Inbound, *partition).unwrap(), (Offset(0), Offset(written[at])));
        let chunk = log.fetch(Topic::Inbound, *partition, Offset(0), 1 << 20).unwrap();
        assert_eq!(chunk.records.len() as u64, written[at]);
    }
}

/// The fewest copies in sync that any partition has.
fn in_sync(brokers: &str) -> usize {
    use leadline_connectors::log_kafka::rdkafka::ClientConfig;
    use leadline_connectors::log_kafka::rdkafka::producer::{BaseProducer, Producer as _};
    let client: BaseProducer = ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    let Ok(metadata) = client.client().fetch_metadata(None, PATIENCE) else { return 0 };
    let topics = metadata.topics().iter();
    topics.flat_map(|topic| topic.partitions()).map(|partition| partition.isr().len()).min().unwrap_or(0)
}
