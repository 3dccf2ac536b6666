//! The way to the brokers as the spool sees it: one log, whichever layout events go to.

use std::sync::{Arc, Weak};

use leadline_connectors::contract::BoxFuture;
use leadline_connectors::contract::log::{
    Append, AppendError, Chunk, Commit, CommitAnswer, Log, LogHealth, ReadError,
};
use leadline_schemas::{Offset, Partition, Topic};

use crate::settings::SettingsService;

/// A log that appends events where the newest layout has them. All else is that of the log that was open first.
pub(crate) struct RoutedLog {
    settings: Weak<SettingsService>,
    first: Arc<dyn Log>,
}

impl RoutedLog {
    pub(crate) fn new(settings: &Arc<SettingsService>, first: Arc<dyn Log>) -> Self {
        Self { settings: Arc::downgrade(settings), first }
    }
}

impl Log for RoutedLog {
    fn partitions(&self) -> u16 {
        self.settings.upgrade().map_or_else(|| self.first.partitions(), |now| now.layout().partitions)
    }

    fn append(&self, records: Vec<Append>) -> BoxFuture<'static, Result<Vec<Offset>, AppendError>> {
        if records.iter().any(|record| record.topic != Topic::Inbound) {
            return self.first.append(records);
        }
        match self.settings.upgrade() {
            Some(settings) => settings.append_where_they_belong(records),
            None => {
                Box::pin(std::future::ready(Err(AppendError::Failed("this process is ending".to_owned()))))
            }
        }
    }

    fn commit(&self, commit: Commit, done: Box<dyn FnOnce(CommitAnswer) + Send>) {
        self.first.commit(commit, done);
    }

    fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit_bytes: usize,
    ) -> Result<Chunk, ReadError> {
        self.first.read(topic, partition, from, limit_bytes)
    }

    fn fetch(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit_bytes: usize,
    ) -> Result<Chunk, ReadError> {
        self.first.fetch(topic, partition, from, limit_bytes)
    }

    fn range(&self, topic: Topic, partition: Partition) -> Result<(Offset, Offset), ReadError> {
        self.first.range(topic, partition)
    }

    fn range_so_far(&self, partition: Partition) -> Result<(Offset, Offset), ReadError> {
        self.first.range_so_far(partition)
    }

    fn listen(&self, topic: Topic, partition: Partition, listener: Arc<dyn Fn() + Send + Sync>) {
        self.first.listen(topic, partition, listener);
    }

    fn set_floor(&self, topic: Topic, partition: Partition, floor: Offset) {
        self.first.set_floor(topic, partition, floor);
    }

    fn health(&self) -> LogHealth {
        self.settings.upgrade().map_or_else(|| self.first.health(), |settings| settings.way().health())
    }
}

#[cfg(test)]
mod tests {
    use leadline_connectors::conformance::log::{LogUnderTest, Records, Values, suite_but};
    use leadline_connectors::log_memory::MemoryLog;
    use leadline_connectors::state_memory::MemoryState;
    use leadline_schemas::layout::Shape;

    use super::*;
    use crate::settings::Remote;

    struct Routed {
        folder: tempfile::TempDir,
        log: Option<MemoryLog>,
        settings: Option<Arc<SettingsService>>,
    }

    impl LogUnderTest for Routed {
        fn start(&mut self) -> Arc<dyn Log> {
            let log = self.log.take().map_or_else(|| MemoryLog::new(2), |log| log.crash(0));
            self.log = Some(log.clone());
            let (log, state) = (Arc::new(log), Arc::new(MemoryState::new()));
            let here = Remote { is_remote: false, may_be_away: false };
            let copy = self.folder.path().join("settings");
            let settings = SettingsService::open(log.clone(), state, Shape::first(2), copy, here).unwrap();
            let routed = RoutedLog::new(&settings, log);
            self.settings = Some(settings);
            Arc::new(routed)
        }
        fn values(&self) -> Arc<dyn Values> {
            Arc::new(Records)
        }
        fn upkeep(&mut self) {}
        fn fill(&mut self) -> bool {
            self.log.as_ref().unwrap().set_full(true);
            true
        }
        fn free(&mut self) {
            self.log.as_ref().unwrap().set_full(false);
        }
    }

    #[test]
    fn it_passes_the_suite() {
        let fresh = || {
            let folder = tempfile::tempdir().unwrap();
            Box::new(Routed { folder, log: None, settings: None }) as Box<dyn LogUnderTest>
        };
        let left_out = [
            ("an_empty_record_is_a_record", "an event says where it belongs, and an empty one says nothing"),
            (
                "what_cannot_be_appended_to_is_refused",
                "an event goes where it belongs, whatever its caller says",
            ),
        ];
        suite_but(&fresh, &left_out);
    }
}
