//! Retention where a store has no lifecycle of its own: a sweep that deletes recordings whose time has passed.
//!
//! Only what lies under `{tenant}/{yyyy}/{mm}/` and has a custom time, a recording and the note beside it, ever goes:
//! snapshots and bodies have neither. Classes of storage a folder does not have.

use leadline_schemas::Millis;

use crate::contract::blob::{Blob, BlobError};

/// Days from its call after which a recording is deleted: seven years with two leap days.
pub const DELETE_DAYS: i64 = 2_557;
/// Names that one step looks at.
const STEP_NAMES: usize = 1_000;

/// How far a sweep has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// The last name that was looked at; the next step begins behind it. None before the first.
    pub after: Option<String>,
    /// Whether all names were looked at.
    pub is_over: bool,
    /// Objects that were deleted.
    pub deleted: u64,
}

impl Sweep {
    /// Looks at the next names; some milliseconds, and a removal for each object whose time has passed.
    pub async fn step(&mut self, blob: &dyn Blob, now: Millis) -> Result<(), BlobError> {
        let names = blob.list_page("", self.after.as_deref(), STEP_NAMES).await?;
        let begins = now.plus(-DELETE_DAYS * Millis::DAY);
        for name in names.iter().filter(|name| may_be_older(name, begins)) {
            let stat = match blob.stat(name).await {
                Ok(Some(stat)) => stat,
                Ok(None) => continue,
                // Nobody knows its time; it does not keep those behind it.
                Err(error @ BlobError::Damaged { .. }) => {
                    tracing::warn!(%error, "a recording is kept whose time cannot be known");
                    continue;
                }
                Err(error) => return Err(error),
            };
            if stat.about.custom_time.is_some_and(|time| time < begins) {
                blob.remove(name).await?;
                self.deleted += 1;
            }
        }
        self.is_over = names.len() < STEP_NAMES;
        self.after = names.last().cloned().or(self.after.take());
        Ok(())
    }
}

/// Whether a name says a month that began before this. Most do not, and are not looked at.
fn may_be_older(name: &str, begins: Millis) -> bool {
    let mut parts = name.split('/');
    let (Some(_), Some(year), Some(month), Some(_)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    if year.len() != 4 || month.len() != 2 {
        return false;
    }
    Millis::parse(&format!("{year}-{month}-01T00:00:00Z")).is_some_and(|first| first < begins)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::stream;

    use super::*;
    use crate::blob_folder::FolderBlob;
    use crate::contract::blob::About;

    async fn put(blob: &dyn Blob, name: &str, custom_time: Option<Millis>) {
        let about = About { custom_time, ..About::default() };
        let content = Box::pin(stream::iter([Ok(Bytes::from_static(b"sound"))]));
        blob.create_from(name, about, content).await.unwrap();
    }

    async fn swept(blob: &dyn Blob, now: Millis) -> u64 {
        let mut sweep = Sweep::default();
        while !sweep.is_over {
            sweep.step(blob, now).await.unwrap();
        }
        sweep.deleted
    }

    #[tokio::test]
    async fn a_recording_goes_seven_years_after_its_call_and_nothing_else_goes() {
        let folder = tempfile::tempdir().unwrap();
        let blob = FolderBlob::open(folder.path()).unwrap();
        let called = Millis::parse("2019-11-20T12:00:00Z").unwrap();
        let names = ["summit/2019/11/CAL1", "summit/2019/11/CAL1.json"];
        for name in names {
            put(&blob, name, Some(called)).await;
        }
        let kept =
            ["bodies/summit/abc", "snapshots/g1/0/1.json", "summit/2019/11/no-time", "summit/2026/11/CAL2"];
        put(&blob, kept[0], None).await;
        put(&blob, kept[1], None).await;
        put(&blob, kept[2], None).await;
        put(&blob, kept[3], Some(Millis::parse("2026-11-20T12:00:00Z").unwrap())).await;

        let ends = called.plus(DELETE_DAYS * Millis::DAY);
        assert_eq!(ends.to_string(), "2026-11-20T12:00:00.000Z", "seven years");
        assert_eq!(swept(&blob, ends).await, 0);
        assert_eq!(blob.list("").await.unwrap().len(), 6);
        assert_eq!(swept(&blob, ends.plus(1)).await, 2);
        assert_eq!(blob.list("").await.unwrap(), kept);
    }

    #[tokio::test]
    async fn a_damaged_recording_does_not_keep_those_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        let blob = FolderBlob::open(folder.path()).unwrap();
        let called = Millis::parse("2019-11-20T12:00:00Z").unwrap();
        for name in ["summit/2019/11/CAL1", "summit/2019/11/CAL2"] {
            put(&blob, name, Some(called)).await;
        }
        std::fs::write(folder.path().join("summit/2019/11/CAL1"), b"so").unwrap();
        let now = called.plus(DELETE_DAYS * Millis::DAY + 1);
        assert_eq!(swept(&blob, now).await, 1);
        assert_eq!(blob.list("").await.unwrap(), ["summit/2019/11/CAL1"]);
    }

    #[tokio::test]
    async fn a_step_is_bounded_and_the_next_goes_on_behind_it() {
        let blob = crate::blob_memory::MemoryBlob::default();
        for number in 0..2_500 {
            put(&blob, &format!("summit/2001/01/CAL{number:04}"), Some(Millis(978_400_000_000))).await;
        }
        let (mut sweep, now) = (Sweep::default(), Millis::parse("2026-11-26T00:00:00Z").unwrap());
        for (deleted, is_over) in [(1_000, false), (2_000, false), (2_500, true)] {
            sweep.step(&blob, now).await.unwrap();
            assert_eq!((sweep.deleted, sweep.is_over), (deleted, is_over));
        }
        assert!(blob.list("").await.unwrap().is_empty());
    }
}
