//! What runs at providers, and what it will cost.

use std::collections::{BTreeMap, BTreeSet};

use leadline_schemas::JobId;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

/// How long an operation is counted that nobody asks about any more: whoever has its call now counts it. What runs is asked
/// about every twelve minutes at least.
const UNSEEN_MS_MAX: u64 = 3 * 3_600_000;
/// The time between two looks for such that are unseen: a look goes through all.
const LOOK_EVERY_MS: u64 = 60_000;

/// Operations by a short hash of their names.
pub(super) type Known = BTreeMap<String, Kept>;

/// What is known of one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    /// What it will cost, in millionths.
    micros: i64,
    /// A short hash of the job that has started it, if it was one of this process's: it may come again after a crash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job: Option<String>,
    #[serde(skip)]
    seen_boot_ms: u64,
}

/// Operations that run, as far as this process knows.
#[derive(Debug, Default)]
pub(super) struct Operations {
    known: Known,
    jobs: BTreeSet<String>,
    micros: i64,
    looked_boot_ms: u64,
}

impl Operations {
    /// Those that ran when the process before ended; they were seen just now.
    pub(super) fn new(known: Known, boot_ms: u64) -> Self {
        let mut operations = Self { looked_boot_ms: boot_ms, ..Self::default() };
        for (id, kept) in known {
            operations.keep(id, Kept { seen_boot_ms: boot_ms, ..kept });
        }
        operations
    }

    /// What all of them will cost.
    pub(super) fn micros(&self) -> i64 {
        self.micros
    }

    /// What a file is to hold of them.
    pub(super) fn known(&self) -> Known {
        self.known.clone()
    }

    /// Whether a job has started one of them: it comes again, and costs nothing more.
    pub(super) fn has_started(&self, job: JobId) -> bool {
        self.jobs.contains(&short(job.as_bytes()))
    }

    /// One runs, which `job` has started. Answers whether it was not known; what it will cost was decided when it was first seen.
    pub(super) fn seen(&mut self, name: &str, job: Option<JobId>, micros: i64, boot_ms: u64) -> bool {
        let id = short(name.as_bytes());
        if let Some(kept) = self.known.get_mut(&id) {
            kept.seen_boot_ms = boot_ms;
            return false;
        }
        let job = job.map(|job| short(job.as_bytes()));
        self.keep(id, Kept { micros: micros.max(0), job, seen_boot_ms: boot_ms });
        true
    }

    /// One has ended. Answers whether it was known.
    pub(super) fn ended(&mut self, name: &str) -> bool {
        let Some(kept) = self.known.remove(&short(name.as_bytes())) else { return false };
        self.micros = self.micros.saturating_sub(kept.micros);
        if let Some(job) = &kept.job {
            self.jobs.remove(job);
        }
        true
    }

    /// Forgets those that nobody asks about any more. Answers whether there were any.
    pub(super) fn forget_unseen(&mut self, boot_ms: u64) -> bool {
        if boot_ms < self.looked_boot_ms.saturating_add(LOOK_EVERY_MS) {
            return false;
        }
        let known = std::mem::take(&mut self.known);
        let before = known.len();
        *self = Self { looked_boot_ms: boot_ms, ..Self::default() };
        for (id, kept) in known {
            if boot_ms < kept.seen_boot_ms.saturating_add(UNSEEN_MS_MAX) {
                self.keep(id, kept);
            }
        }
        self.known.len() < before
    }

    fn keep(&mut self, id: String, kept: Kept) {
        self.micros = self.micros.saturating_add(kept.micros);
        self.jobs.extend(kept.job.clone());
        self.known.insert(id, kept);
    }
}

fn short(name: &[u8]) -> String {
    digest(&SHA256, name).as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_once_until_it_ends_or_nobody_asks_about_it_any_more() {
        let mut operations = Operations::default();
        let job = JobId::of(&[b"a start"]);
        assert!(operations.seen("operations/1", Some(job), 100, 0));
        assert!(!operations.seen("operations/1", None, 900, 10), "it costs what it was taken for at first");
        assert!(operations.seen("operations/2", None, 20, 0));
        assert_eq!((operations.micros(), operations.known().len()), (120, 2));
        assert!(operations.ended("operations/2") && !operations.ended("operations/2"));
        assert_eq!(operations.micros(), 100);

        let mut next = Operations::new(operations.known(), 5_000);
        assert!(next.has_started(job), "a restart knows it");
        assert!(!next.seen("operations/1", None, 100, 5_000));
        assert!(!next.forget_unseen(5_000 + UNSEEN_MS_MAX - 1) && next.micros() == 100);
        assert!(next.forget_unseen(5_000 + UNSEEN_MS_MAX + LOOK_EVERY_MS));
        assert_eq!((next.micros(), next.known().len(), next.has_started(job)), (0, 0, false));
    }
}
