//! Error: why a log on Kafka cannot be opened, and what librdkafka's errors say.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Why a log on Kafka cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KafkaLogError {
    /// A key of its configuration.
    #[error("the configuration of Kafka is wrong: {0}")]
    Config(String),
    /// Nobody answers.
    #[error("no Kafka broker answers at {brokers}: {why}")]
    Unavailable {
        /// Who was asked.
        brokers: String,
        /// What came of it.
        why: String,
    },
    /// A topic is missing.
    #[error("topic {0} is not there: run `leadline topics apply`")]
    NoTopic(String),
    /// A topic has not the partitions that the others have.
    #[error(
        "topic {topic} has {found} partitions and {expected} are needed: they never change in place; use another topic prefix or `leadline layout`"
    )]
    Partitions {
        /// The topic.
        topic: String,
        /// How many it has.
        found: usize,
        /// How many it should have.
        expected: usize,
    },
}

/// One line of a client's error: the broker's or librdkafka's own word for it.
pub(super) fn describe(error: &KafkaError) -> String {
    match error {
        KafkaError::Transaction(inner) => inner.string(),
        other => match code_of(other) {
            Some(code) => code.to_string(),
            None => other.to_string(),
        },
    }
}

pub(super) fn code_of(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        KafkaError::Transaction(inner) => Some(inner.code()),
        other => other.rdkafka_error_code(),
    }
}
