//! A database of its own on a front.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use leadline_connectors::conformance::store::shared::{Fault, SharedStoreUnderTest};
use leadline_connectors::conformance::store::{OpenStore, StoreUnderTest};
use leadline_connectors::contract::schema::StoreSchema;
use leadline_connectors::contract::store::RecordWriter;
use leadline_connectors::store_spanner::{SpannerConfig, SpannerReader, SpannerSchema, SpannerWriter};
use leadline_tests::spanner::{Lost, SpannerFront};

/// How a database is asked that a front has: as it is now, for tests look at what they have just written.
pub(crate) fn config(front: &SpannerFront) -> SpannerConfig {
    static DATABASES: AtomicU32 = AtomicU32::new(0);
    SpannerConfig {
        database: format!("agent_platform_{}", DATABASES.fetch_add(1, Ordering::Relaxed)),
        endpoint: Some(front.host()),
        staleness: Duration::ZERO,
        ..SpannerConfig::new("test-project")
    }
}

pub(crate) struct Scene {
    front: Arc<SpannerFront>,
    pub(crate) config: SpannerConfig,
}

impl Scene {
    /// With all tables, and no row.
    pub(crate) fn new(front: &Arc<SpannerFront>) -> Self {
        let config = config(front);
        SpannerSchema::new(config.clone()).unwrap().apply().unwrap();
        Self { front: Arc::clone(front), config }
    }

    pub(crate) fn open(&self) -> (SpannerWriter, SpannerReader) {
        let reader = SpannerReader::open(self.config.clone()).unwrap();
        (reader.writer(), reader)
    }
}

impl StoreUnderTest for Scene {
    fn start(&mut self) -> OpenStore {
        let (writer, reader) = self.open();
        (Box::new(writer), Arc::new(reader))
    }
}

impl SharedStoreUnderTest for Scene {
    fn other_writer(&mut self) -> Box<dyn RecordWriter> {
        Box::new(SpannerWriter::open(self.config.clone()).unwrap())
    }

    fn fail_next(&mut self, fault: Fault) {
        match fault {
            Fault::LostAnswer => self.front.faults().lose_answers(1, Lost::Gone),
            Fault::Refused => self.front.faults().refuse_commits(0, 1),
            Fault::RefusedInTheMiddle => self.front.faults().refuse_commits(1, 1),
        }
    }
}
