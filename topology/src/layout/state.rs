//! The state store of one layout: partition 3 of one has nothing to do with partition 3 of the next.

use std::sync::Arc;

use leadline_connectors::contract::state::{PartitionState, State, StateError};
use leadline_schemas::Partition;
use leadline_schemas::partitioning::KEY_GROUPS;

/// So many layouts have room beside each other, and the settings' rows behind them: only two are ever in use.
const LAYOUTS: u32 = 63;

/// The partitions of one layout in a store that has those of others too.
pub struct GenerationState {
    inner: Arc<dyn State>,
    first: u16,
}

impl GenerationState {
    /// The first layout's partitions lie under their own numbers.
    pub fn new(inner: Arc<dyn State>, generation: u32) -> Self {
        let place = generation.saturating_sub(1) % LAYOUTS;
        let first = u16::try_from(place).unwrap_or(0) * KEY_GROUPS;
        Self { inner, first }
    }

    fn place(&self, partition: Partition) -> Partition {
        Partition(self.first + partition.0 % KEY_GROUPS)
    }
}

impl State for GenerationState {
    fn open(&self, partition: Partition) -> Result<Arc<dyn PartitionState>, StateError> {
        self.inner.open(self.place(partition))
    }

    fn clear(&self, partition: Partition) -> Result<(), StateError> {
        self.inner.clear(self.place(partition))
    }

    fn sync(&self) -> Result<(), StateError> {
        self.inner.sync()
    }

    fn disk_bytes(&self) -> u64 {
        self.inner.disk_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leadline_connectors::conformance::state::{StateUnderTest, suite};
    use leadline_connectors::contract::state::Change;
    use leadline_connectors::state_memory::MemoryState;
    use leadline_schemas::CommitNumber;

    /// The rows of one layout, beside those of the one before.
    struct OfLayout {
        generation: u32,
        inner: Option<MemoryState>,
    }

    impl StateUnderTest for OfLayout {
        fn start(&mut self) -> Arc<dyn State> {
            let inner = self.inner.take().map_or_else(MemoryState::new, |crashed| crashed.crash(usize::MAX));
            let before = GenerationState::new(Arc::new(inner.clone()), self.generation + 1);
            let change = Change { key: "another layout's".into(), value: Some("row".into()) };
            before.open(Partition(0)).unwrap().apply(&[change], CommitNumber(7)).unwrap();
            self.inner = Some(inner.clone());
            Arc::new(GenerationState::new(Arc::new(inner), self.generation))
        }
    }

    #[test]
    fn it_passes_the_suite() {
        for generation in [1, 2, LAYOUTS] {
            suite(&|| Box::new(OfLayout { generation, inner: None }));
        }
    }

    #[test]
    fn a_layouts_rows_are_its_own() {
        let inner: Arc<dyn State> = Arc::new(MemoryState::new());
        let of = |generation| GenerationState::new(Arc::clone(&inner), generation);
        let change = |value: &'static [u8]| Change { key: "k".into(), value: Some(value.into()) };
        of(1).open(Partition(3)).unwrap().apply(&[change(b"one")], CommitNumber(7)).unwrap();
        of(2).open(Partition(3)).unwrap().apply(&[change(b"two")], CommitNumber(1)).unwrap();
        assert_eq!(of(1).open(Partition(3)).unwrap().get(b"k").unwrap().unwrap(), "one");
        of(1).clear(Partition(3)).unwrap();
        assert_eq!(of(1).open(Partition(3)).unwrap().applied().unwrap(), CommitNumber(0));
        assert_eq!(of(2).open(Partition(3)).unwrap().get(b"k").unwrap().unwrap(), "two");
        assert_eq!(
            inner.open(Partition(3)).unwrap().applied().unwrap(),
            CommitNumber(0),
            "the first is in place"
        );
        let last = GenerationState::new(Arc::clone(&inner), LAYOUTS).place(Partition(1_023));
        assert!(last < Partition(u16::MAX), "the settings' rows are nobody's");
    }
}
