//! Health: whether a broker answers.

use std::sync::Mutex;

use super::lock;

/// What all clients of a log know about its brokers.
#[derive(Debug, Default)]
pub(super) struct Health {
    unavailable: Mutex<Option<String>>,
    failed: Mutex<Option<String>>,
}

impl Health {
    /// A request was not answered.
    pub(super) fn away(&self, why: &str) {
        let mut unavailable = lock(&self.unavailable);
        if unavailable.is_none() {
            tracing::warn!(why, "no Kafka broker answers");
            *unavailable = Some(why.to_owned());
        }
    }

    /// A request was answered.
    pub(super) fn back(&self) {
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
