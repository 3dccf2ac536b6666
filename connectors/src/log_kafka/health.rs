//! Health: whether a broker answers.

use std::sync::Mutex;

use super::lock;

/// What all clients of a log know about its brokers.
#[derive(Debug, Default)]
pub(super) struct Health {
    unavailable: Mutex<Option<String>>,
    /// The newest word on a connection: why brokers are away, if they are.
    reason: Mutex<Option<String>>,
    failed: Mutex<Option<String>>,
}

impl Health {
    /// A connection failed; there may be others.
    pub(super) fn note(&self, reason: &str) {
        *lock(&self.reason) = Some(reason.to_owned());
    }

    /// Why connections fail, else what is known instead.
    pub(super) fn reason_or(&self, other: String) -> String {
        lock(&self.reason).clone().unwrap_or(other)
    }

    /// A request was not answered.
    pub(super) fn away(&self, why: &str) {
        let why = self.reason_or(why.to_owned());
        let mut unavailable = lock(&self.unavailable);
        if unavailable.is_none() {
            tracing::warn!(why, "no Kafka broker answers");
            *unavailable = Some(why);
        }
    }

    /// A request was answered.
    pub(super) fn back(&self) {
        *lock(&self.reason) = None;
        if lock(&self.unavailable).take().is_some() {
            tracing::info!("Kafka brokers answer again");
        }
    }

    pub(super) fn unavailable(&self) -> Option<String> {
        lock(&self.unavailable).clone()
    }

    /// The log cannot go on.
    pub(super) fn fail(&self, why: String) {
        tracing::error!(why, "the log on Kafka failed");
        lock(&self.failed).get_or_insert(why);
    }

    pub(super) fn failed(&self) -> Option<String> {
        lock(&self.failed).clone()
    }
}
