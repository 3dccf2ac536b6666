//! The suite that every log passes.

use std::sync::Arc;

use leadline_connectors::conformance::log::{LogUnderTest, suite_but};
use leadline_connectors::contract::log::Log;
use leadline_connectors::log_kafka::{KafkaConfig, KafkaLog};

struct OnKafka(KafkaConfig);

impl LogUnderTest for OnKafka {
    fn start(&mut self) -> Arc<dyn Log> {
        Arc::new(KafkaLog::open(self.0.clone()).unwrap())
    }

    fn upkeep(&mut self) {}
}

#[test]
fn it_passes_the_suite() {
    let Some(broker) = crate::broker() else { return };
    let start = || {
        let mut config = crate::fresh(broker, 2);
        // So small that readers are paused and go on.
        config.buffer_bytes_max = 16 << 10;
        Box::new(OnKafka(config)) as Box<dyn LogUnderTest>
    };
    let left_out = [(
        "what_lies_below_all_floors_is_dropped_and_said_so",
        "brokers drop inbound and replies by their age; floors of state have a test of their own",
    )];
    suite_but(&start, &left_out);
}
