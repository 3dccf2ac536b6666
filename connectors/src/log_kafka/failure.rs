//! Failure: how a transaction ended, if not well, and which of the client's errors mean what.

use rdkafka::error::{KafkaError, RDKafkaError, RDKafkaErrorCode};

use super::error::{code_of, describe};

/// How a transaction ended, if not well.
#[derive(Debug)]
pub(super) enum Failure {
    /// It left nothing behind.
    Aborted(String),
    /// It left nothing behind: the group is in another generation than its ticket says.
    Stale(String),
    /// Another producer has the transactional id, or this one is broken: it is to be dropped.
    Fenced(String),
    /// Nobody knows.
    Unknown(String),
}

/// Whether the coordinator knows of no such open transaction any more.
pub(super) fn is_over(error: &RDKafkaError) -> bool {
    error.code() == RDKafkaErrorCode::InvalidTransactionalState
}

/// What an error means before the end of a transaction was asked for.
pub(super) fn failure_of(error: &KafkaError) -> Failure {
    use RDKafkaErrorCode as Code;
    let why = describe(error);
    let fatal = matches!(error, KafkaError::Transaction(inner) if inner.is_fatal());
    match code_of(error) {
        _ if fatal => Failure::Fenced(why),
        Some(Code::Fatal | Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch) => {
            Failure::Fenced(why)
        }
        Some(Code::IllegalGeneration | Code::UnknownMemberId | Code::FencedInstanceId) => Failure::Stale(why),
        _ => Failure::Aborted(why),
    }
}
