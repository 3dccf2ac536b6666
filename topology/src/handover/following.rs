//! Following: how a standby keeps up with all partitions of the old process, and when it is near enough to take them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use leadline_schemas::{CommitNumber, Partition};

/// A look at a partition that took no longer leaves no more than that to catch up with.
const LAG_MAX: Duration = Duration::from_millis(500);
/// A look that brought no more leaves about as many to the next, each of which takes a few milliseconds to read and apply.
/// On a busy machine a look takes longer than [`LAG_MAX`] for other reasons.
const LAG_COMMITS_MAX: u64 = 32;

/// What one look at a partition brought.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Its newest commit; none if it could not be read.
    pub(super) newest: Option<CommitNumber>,
    /// How long that took.
    pub(super) took: Duration,
}

/// Where the partitions stood at the last pass over them.
#[derive(Default)]
pub(super) struct Following {
    at: BTreeMap<Partition, CommitNumber>,
}

impl Following {
    /// Notes a pass; answers whether little would be missing of any partition if it were taken now.
    pub(super) fn is_near(&mut self, looks: &[(Partition, Look)]) -> bool {
        let mut is_near = true;
        for (partition, look) in looks {
            let Some(newest) = look.newest else {
                is_near = false;
                continue;
            };
            let before = self.at.insert(*partition, newest);
            let brought = before.map_or(u64::MAX, |before| newest.0.saturating_sub(before.0));
            is_near &= brought <= LAG_COMMITS_MAX || look.took <= LAG_MAX;
        }
        is_near
    }
}

/// Does something for each partition, for `at_once` of them at a time: most of it is waiting for brokers. The first error
/// ends it.
pub(super) fn side_by_side<T: Send, E: Send>(
    partitions: &[Partition],
    at_once: usize,
    work: impl Fn(Partition) -> Result<T, E> + Sync,
) -> Result<Vec<(Partition, T)>, E> {
    let todo = Mutex::new(partitions.iter().copied());
    let next = || todo.lock().unwrap_or_else(PoisonError::into_inner).next();
    let done = Mutex::new(Ok(Vec::with_capacity(partitions.len())));
    let run = || {
        while let Some(partition) = next() {
            let result = work(partition);
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            match (&mut *done, result) {
                (Ok(done), Ok(value)) => done.push((partition, value)),
                (Ok(_), Err(error)) => {
                    *done = Err(error);
                    return;
                }
                (Err(_), _) => return,
            }
        }
    };
    std::thread::scope(|threads| {
        for _ in 1..at_once.min(partitions.len()) {
            let spawned = std::thread::Builder::new().spawn_scoped(threads, run);
            drop(spawned); // Without it the others take longer.
        }
        run();
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const SLOW: Duration = Duration::from_secs(3);

    fn looks(newest: &[Option<u64>], took: Duration) -> Vec<(Partition, Look)> {
        let look = |newest: &Option<u64>| Look { newest: newest.map(CommitNumber), took };
        (0..).map(Partition).zip(newest.iter().map(look)).collect()
    }

    #[test]
    fn a_busy_machine_is_near_by_what_is_missing_and_not_by_how_long_it_took() {
        let mut following = Following::default();
        assert!(!following.is_near(&looks(&[Some(900), Some(900)], SLOW)), "nobody knows how much that was");
        assert!(!following.is_near(&looks(&[Some(932), Some(933)], SLOW)), "of one 33 commits came");
        assert!(following.is_near(&looks(&[Some(964), Some(935)], SLOW)));
        assert!(!following.is_near(&looks(&[Some(964), None], SLOW)), "one could not be read");
        assert!(!following.is_near(&looks(&[Some(965), Some(968)], SLOW)), "of it two passes came at once");
        let mut quick = Following::default();
        assert!(
            quick.is_near(&looks(&[Some(900), Some(900)], LAG_MAX)),
            "what took so little takes little again"
        );
    }

    #[test]
    fn partitions_are_looked_at_side_by_side_until_one_cannot_be() {
        let partitions: Vec<_> = (0..12).map(Partition).collect();
        // The first one ends only after two others have begun.
        let (came, comes) = channel();
        let (senders, comes) = (Mutex::new(came), Mutex::new(comes));
        let together = |partition: Partition| {
            senders.lock().unwrap().send(partition).unwrap();
            if partition.0 == 0 {
                let comes = comes.lock().unwrap();
                let others = (0..3).map(|_| comes.recv_timeout(Duration::from_secs(30)));
                others.collect::<Result<Vec<_>, _>>().map_err(|_| "one waits for the other")?;
            }
            Ok::<_, &str>(partition.0 * 2)
        };
        let mut done = side_by_side(&partitions, 3, together).unwrap();
        done.sort_unstable();
        assert_eq!(done, partitions.iter().map(|it| (*it, it.0 * 2)).collect::<Vec<_>>());
        let fails = |partition: Partition| if partition.0 == 5 { Err("five") } else { Ok(()) };
        assert_eq!(side_by_side(&partitions, 3, fails).unwrap_err(), "five");
    }
}
