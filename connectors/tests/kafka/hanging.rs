//! A transaction that its coordinator has forgotten is ended by the process whose id it has.

use leadline_connectors::contract::log::{CommitAnswer, Log as _};
use leadline_schemas::{Offset, Topic};
use leadline_tests::kafka;

use crate::{P0, P1, commit, epoch, foreign, fresh, open, output};

#[test]
fn a_transaction_that_its_coordinator_has_forgotten_holds_back_nobody_for_long() {
    let Some(broker) = crate::broker() else { return };
    let mut config = fresh(broker, 2);
    (config.transaction_timeout_ms, config.fetch_timeout_ms) = (2_000, 2_000);
    let call = |number: u64| vec![output(Topic::Calls, "call", number.to_string())];
    let log = open(&config);
    for partition in [P0, P1] {
        assert_eq!(commit(&log, epoch(partition, 1, call(1))), CommitAnswer::Committed);
    }
    drop(log);
    let id = config.transactional_id(0);
    let args = [&*config.brokers, &id, &config.group_id, &config.topic_prefix, "2"];
    kafka::foreign("Hanging.java", &[], &args);

    let log = open(&config);
    assert!(log.range(Topic::State, P0).is_err(), "nobody knows yet what became of it");
    // The next transaction of the id, whichever partition's it is, must not take it along.
    for partition in [P1, P0] {
        assert_eq!(commit(&log, epoch(partition, 2, call(2))), CommitAnswer::Committed, "{partition}");
    }
    assert_eq!(log.range(Topic::State, P0).unwrap(), (Offset(0), Offset(2)));
    for (topic, expected) in [(Topic::Calls, ["1", "2"]), (Topic::State, ["0:1", "0:2"])] {
        let values = foreign(&config, topic, P0).into_iter().map(|(_, value)| value.unwrap());
        assert_eq!(values.collect::<Vec<_>>(), expected, "nothing of it is seen in {topic}");
    }
}
