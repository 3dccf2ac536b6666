//! Watches the state store for what only a new start can mend.
//!
//! A damaged store is marked in the data folder: the next start moves it aside and rebuilds it. One that has failed for
//! good (fjall takes no writes after a failed one) only has to be opened again. Either way this process must end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use leadline_connectors::contract::state::{Change, PartitionState, State, StateError, StateView, Visit};
use leadline_connectors::disk_room::{DiskRoom, Purpose};
use leadline_schemas::{CommitNumber, Partition};

/// The mark's name in the data folder.
const MARK: &str = "state.damaged";

/// Who ends the process, and why.
type Fatal = Arc<dyn Fn(String) + Send + Sync>;

/// What all handles of one store share.
struct Watch {
    mark: PathBuf,
    room: DiskRoom,
    fatal: OnceLock<Fatal>,
}

/// A state store that says so when it can no longer be used.
pub struct GuardedState {
    inner: Arc<dyn State>,
    watch: Arc<Watch>,
}

/// Whether an earlier process has found this data folder's store damaged.
pub fn is_marked(data: &Path) -> bool {
    data.join(MARK).exists()
}

/// Takes the mark away, once the store has been moved aside.
pub fn unmark(data: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(data.join(MARK)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl GuardedState {
    /// Guards `inner`, which lies in this data folder.
    pub fn new(inner: Arc<dyn State>, data: &Path) -> Self {
        let watch = Watch { mark: data.join(MARK), room: DiskRoom::of(data), fatal: OnceLock::new() };
        Self { inner, watch: Arc::new(watch) }
    }

    /// Says who ends the process; what was found before is still in the error that it caused, and in the mark.
    pub fn on_end(&self, fatal: Fatal) {
        let _ = self.watch.fatal.set(fatal);
    }
}

impl Watch {
    /// Runs a call on the store. A panic is damage too: fjall asserts what it expects of its files.
    fn over<T>(&self, call: impl FnOnce() -> Result<T, StateError>) -> Result<T, StateError> {
        let answer = catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| {
            Err(StateError::Damaged("the store's code panicked on its files".to_owned()))
        });
        if let Err(error) = &answer {
            self.judge(error);
        }
        answer
    }

    fn judge(&self, error: &StateError) {
        let remedy = match error {
            StateError::Damaged(why) => {
                if let Err(error) = std::fs::write(&self.mark, why) {
                    tracing::error!(%error, mark = %self.mark.display(), "the damage cannot be noted");
                }
                "the next start moves it aside and rebuilds it from snapshot and log"
            }
            StateError::Closed(_) => "the next start opens it again",
            StateError::Full(_) | StateError::Failed(_) => return,
        };
        if let Some(fatal) = self.fatal.get() {
            fatal(format!("{error}; {remedy}"));
        }
    }
}

impl State for GuardedState {
    fn open(&self, partition: Partition) -> Result<Arc<dyn PartitionState>, StateError> {
        let inner = self.watch.over(|| self.inner.open(partition))?;
        Ok(Arc::new(Guarded { inner, watch: Arc::clone(&self.watch) }))
    }

    fn clear(&self, partition: Partition) -> Result<(), StateError> {
        self.watch.over(|| self.inner.clear(partition))
    }

    fn sync(&self) -> Result<(), StateError> {
        self.watch.over(|| self.inner.sync())
    }

    fn disk_bytes(&self) -> u64 {
        self.inner.disk_bytes()
    }
}

/// A partition's rows, or a view of them.
struct Guarded<T: ?Sized> {
    watch: Arc<Watch>,
    inner: T,
}

impl PartitionState for Guarded<Arc<dyn PartitionState>> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StateError> {
        self.watch.over(|| self.inner.get(key))
    }

    fn scan(&self, from: &[u8], to: Option<&[u8]>, visit: Visit<'_>) -> Result<(), StateError> {
        self.watch.over(|| self.inner.scan(from, to, visit))
    }

    fn apply(&self, changes: &[Change], applied: CommitNumber) -> Result<(), StateError> {
        // fjall closes itself after a write for which there was no room, so it is not asked for one.
        self.watch.room.check(Purpose::Ends).map_err(|error| StateError::Full(error.to_string()))?;
        self.watch.over(|| self.inner.apply(changes, applied))
    }

    fn applied(&self) -> Result<CommitNumber, StateError> {
        self.watch.over(|| self.inner.applied())
    }

    fn view(&self) -> Result<Box<dyn StateView>, StateError> {
        let inner = self.watch.over(|| self.inner.view())?;
        Ok(Box::new(Guarded { watch: Arc::clone(&self.watch), inner }))
    }
}

impl StateView for Guarded<Box<dyn StateView>> {
    fn scan(&self, from: &[u8], to: Option<&[u8]>, visit: Visit<'_>) -> Result<(), StateError> {
        self.watch.over(|| self.inner.scan(from, to, visit))
    }

    fn applied(&self) -> Result<CommitNumber, StateError> {
        self.watch.over(|| self.inner.applied())
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;
    use std::sync::Mutex;

    use leadline_connectors::conformance::state::{StateUnderTest, suite};
    use leadline_connectors::state_fjall::{FjallConfig, FjallState};
    use leadline_connectors::state_memory::MemoryState;

    use super::*;

    /// A store whose `sync` answers what it is told.
    struct Scripted(MemoryState, StateError);

    impl State for Scripted {
        fn open(&self, partition: Partition) -> Result<Arc<dyn PartitionState>, StateError> {
            self.0.open(partition)
        }
        fn clear(&self, partition: Partition) -> Result<(), StateError> {
            self.0.clear(partition)
        }
        fn sync(&self) -> Result<(), StateError> {
            Err(self.1.clone())
        }
        fn disk_bytes(&self) -> u64 {
            0
        }
    }

    fn told(error: StateError) -> (Vec<String>, bool) {
        let folder = tempfile::tempdir().unwrap();
        let state = GuardedState::new(Arc::new(Scripted(MemoryState::default(), error)), folder.path());
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        state.on_end(Arc::new(move |why| heard.lock().unwrap().push(why)));
        assert!(state.sync().is_err());
        let told = told.lock().unwrap().clone();
        (told, is_marked(folder.path()))
    }

    struct OnDisk(tempfile::TempDir);

    impl StateUnderTest for OnDisk {
        fn start(&mut self) -> Arc<dyn State> {
            let store = FjallState::open(&FjallConfig::new(self.0.path().join("state"))).unwrap();
            Arc::new(GuardedState::new(Arc::new(store), self.0.path()))
        }
    }

    #[test]
    fn it_passes_the_suite() {
        suite(&|| Box::new(OnDisk(tempfile::tempdir().unwrap())));
    }

    #[test]
    fn damage_ends_the_process_and_marks_the_store_and_a_full_disk_does_neither() {
        let (why, marked) = told(StateError::Damaged("a bad block".to_owned()));
        assert!(
            marked && why.len() == 1 && why[0].contains("a bad block") && why[0].contains("rebuilds"),
            "{why:?}"
        );
        let (why, marked) = told(StateError::Closed("a write failed".to_owned()));
        assert!(!marked && why.len() == 1 && why[0].contains("opens it again"), "{why:?}");
        assert_eq!(told(StateError::Full("no room".to_owned())), (Vec::new(), false));
    }

    #[test]
    fn a_panic_in_the_store_is_damage_and_not_a_poisoned_record() {
        let folder = tempfile::tempdir().unwrap();
        let state = GuardedState::new(Arc::new(MemoryState::default()), folder.path());
        let rows = state.open(Partition(0)).unwrap();
        let change = Change { key: Bytes::from_static(b"a"), value: Some(Bytes::new()) };
        rows.apply(&[change], CommitNumber(1)).unwrap();
        let seen = rows.scan(b"", None, &mut |_, _| -> ControlFlow<()> { panic!("as fjall does") });
        assert!(matches!(seen, Err(StateError::Damaged(_))), "{seen:?}");
        assert!(is_marked(folder.path()));
        unmark(folder.path()).unwrap();
        assert!(!is_marked(folder.path()));
    }
}
