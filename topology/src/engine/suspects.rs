//! Inputs that may have taken the process down: noted on disk before they run alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use leadline_schemas::Partition;

/// Notes of the input that runs alone, one small file per partition. A note survives the process, not the machine:
/// a machine that goes down is not an input's fault.
#[derive(Clone, Debug)]
pub(super) struct Suspects {
    folder: Option<Arc<Path>>,
    after_abort: bool,
}

impl Suspects {
    /// `after_abort` says that the process before this one did not stop by itself.
    pub(super) fn new(folder: Option<&Path>, after_abort: bool) -> Self {
        Self { folder: folder.map(Arc::from), after_abort }
    }

    pub(super) fn after_abort(&self) -> bool {
        self.after_abort
    }

    /// Notes that the input at `offset` is about to run alone; answers how often it was noted before without
    /// having come to an end.
    pub(super) fn note(&self, partition: Partition, offset: i64) -> u32 {
        let Some(path) = self.path(partition).filter(|_| offset >= 0) else { return 0 };
        let before = fs::read_to_string(&path).unwrap_or_default();
        let mut words = before.split_whitespace();
        let same = words.next() == Some(&offset.to_string());
        let times: u32 =
            if same { words.next().and_then(|times| times.parse().ok()).unwrap_or(0) } else { 0 };
        if let Err(error) = fs::write(&path, format!("{offset} {}", times + 1)) {
            tracing::warn!(%error, path = %path.display(), "a suspect input could not be noted");
        }
        times
    }

    /// The inputs of this partition have come to an end.
    pub(super) fn clear(&self, partition: Partition) {
        if let Some(path) = self.path(partition)
            && path.exists()
            && let Err(error) = fs::remove_file(&path)
        {
            tracing::warn!(%error, path = %path.display(), "a note of a suspect input could not be removed");
        }
    }

    fn path(&self, partition: Partition) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(format!("suspect-{partition}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_that_never_came_to_an_end_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let suspects = Suspects::new(Some(folder.path()), true);
        assert_eq!(suspects.note(Partition(3), 7), 0);
        assert_eq!(suspects.note(Partition(3), 7), 1);
        assert_eq!(suspects.note(Partition(3), 7), 2);
        assert_eq!(suspects.note(Partition(3), 8), 0, "another input starts anew");
        suspects.clear(Partition(3));
        assert_eq!(suspects.note(Partition(3), 8), 0);
    }
}
