//! Topics are planned and made, once.

use std::time::Duration;

use leadline_connectors::log_kafka::rdkafka::ClientConfig;
use leadline_connectors::log_kafka::rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication,
};
use leadline_connectors::log_kafka::rdkafka::client::DefaultClientContext;
use leadline_connectors::log_kafka::topics::{Line, apply, plan};
use leadline_connectors::log_kafka::{KafkaLog, KafkaLogError};
use leadline_schemas::Topic;

use crate::{fresh, named};

fn opened(config: &leadline_connectors::log_kafka::KafkaConfig) -> KafkaLogError {
    KafkaLog::open(config.clone()).err().expect("it cannot be opened")
}

#[test]
fn topics_are_planned_made_and_then_as_planned() {
    let Some(broker) = crate::broker() else { return };
    let config = named(broker);
    assert_eq!(opened(&config), KafkaLogError::NoTopic(config.topic(Topic::Inbound)));

    let planned = plan(&config, 4, 1).unwrap();
    assert_eq!(planned.len(), Topic::ALL.len());
    assert!(planned.iter().all(Line::is_change));
    let text = planned[0].to_string();
    assert_eq!(
        text,
        format!(
            "+ {}: 4 partitions, replication 1, cleanup.policy=delete, max.message.bytes=5242880, \
             min.insync.replicas=1, retention.ms=2592000000, retention.bytes=-1",
            config.topic(Topic::Inbound)
        )
    );
    assert_eq!(plan(&config, 4, 1).unwrap(), planned, "a plan changes nothing");
    assert_eq!(apply(&config, 4, 1).unwrap(), planned);
    let same: Vec<Line> = Topic::ALL.iter().map(|topic| Line::Same { topic: config.topic(*topic) }).collect();
    assert_eq!(plan(&config, 4, 1).unwrap(), same);
    assert_eq!(apply(&config, 4, 1).unwrap(), same, "done twice it changes nothing");
    assert!(KafkaLog::open(config).is_ok());
}

#[test]
fn a_topic_that_a_broker_has_not_heard_of_yet_is_waited_for() {
    let Some(broker) = crate::broker() else { return };
    let config = named(broker);
    let early = config.clone();
    let opening = std::thread::spawn(move || KafkaLog::open(early).map(drop));
    // It has been told that there is no topic, by then.
    std::thread::sleep(Duration::from_millis(500));
    apply(&config, 2, 1).unwrap();
    assert_eq!(opening.join().unwrap(), Ok(()));
}

#[test]
fn what_somebody_changed_is_named_and_set_back_and_the_rest_stays() {
    let Some(broker) = crate::broker() else { return };
    let config = fresh(broker, 2);
    let topic = config.topic(Topic::Replies);
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &config.brokers).create().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let change = AlterConfig::new(ResourceSpecifier::Topic(&topic));
    let change = change.set("retention.ms", "1000").set("segment.ms", "777000");
    runtime.block_on(admin.alter_configs(&[change], &AdminOptions::new())).unwrap()[0].as_ref().unwrap();

    let changes = || -> Vec<String> {
        let lines = plan(&config, 2, 1).unwrap();
        lines.iter().filter(|line| line.is_change()).map(ToString::to_string).collect()
    };
    let expected = format!("~ {topic}: retention.ms 1000 -> 604800000");
    leadline_tests::until("the change is known", crate::PATIENCE, || changes().contains(&expected));
    apply(&config, 2, 1).unwrap();
    leadline_tests::until("it is set back", crate::PATIENCE, || changes().is_empty());
    let asked = [ResourceSpecifier::Topic(&topic)];
    let described = runtime.block_on(admin.describe_configs(&asked, &AdminOptions::new())).unwrap();
    let other = described[0].as_ref().unwrap().get("segment.ms").unwrap().value.clone();
    assert_eq!(other.as_deref(), Some("777000"), "what others have set is left alone");
}

#[test]
fn another_number_of_partitions_is_refused_with_all_of_the_call() {
    let Some(broker) = crate::broker() else { return };
    let config = named(broker);
    let topic = config.topic(Topic::Leads);
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &config.brokers).create().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let new = NewTopic::new(&topic, 3, TopicReplication::Fixed(1));
    runtime.block_on(admin.create_topics([&new], &AdminOptions::new())).unwrap()[0].as_ref().unwrap();

    let refused = KafkaLogError::Partitions { topic, found: 3, expected: 2 };
    leadline_tests::until("the topic is known", crate::PATIENCE, || {
        plan(&config, 2, 1).unwrap().iter().any(Line::is_refusal)
    });
    assert_eq!(apply(&config, 2, 1).unwrap_err(), refused);
    assert_eq!(opened(&config), KafkaLogError::NoTopic(config.topic(Topic::Inbound)), "nothing was made");
    assert!(refused.to_string().contains("3 partitions and 2 are needed"));
}
