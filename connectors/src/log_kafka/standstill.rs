//! Standstill: partitions of this process in which events wait and nothing is committed, whatever the reason.
//!
//! Each part behind a partition goes on by itself when a broker is back, and says what it waits for. This one trusts none
//! of them: it compares what is committed with what the brokers have.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use leadline_schemas::{Partition, Topic};

use super::buffers::Buffers;
use super::history::History;
use super::lock;
use super::membership::Membership;

/// A partition that commits nothing for so long is asked about.
const QUIET: Duration = Duration::from_secs(10);
/// How long events may be seen to wait there: a session, a transaction and a restore take their time-outs, 10 s each,
/// without anything being wrong, and the first events after a quiet night wait for a moment too.
const WAITING_MAX: Duration = Duration::from_secs(20);
/// How often it is told again.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// What everybody else sees of it.
#[derive(Default)]
pub(super) struct Still(Mutex<Option<String>>);

impl Still {
    /// The first partition that stands still, in words.
    pub(super) fn trouble(&self) -> Option<String> {
        lock(&self.0).clone()
    }
}

/// Looks at the partitions of this process.
pub(super) struct Standstill {
    pub(super) buffers: Arc<Buffers>,
    pub(super) membership: Arc<Membership>,
    pub(super) history: Arc<History>,
    pub(super) still: Arc<Still>,
}

/// Where partitions stand, and since when.
#[derive(Default)]
pub(super) struct Positions(BTreeMap<Partition, Seen>);

struct Seen {
    /// Below this offset of `inbound` everything is committed; none while the partition is not up.
    committed: Option<u64>,
    /// When that was new, or nothing waited.
    since: Instant,
    /// When something was first seen to wait behind it.
    waiting: Option<Instant>,
    told: Option<Instant>,
}

impl Positions {
    /// Notes where a partition stands. Answers whether it is so quiet there that the brokers are asked.
    fn note(&mut self, partition: Partition, committed: Option<u64>, now: Instant) -> bool {
        let fresh = || Seen { committed, since: now, waiting: None, told: None };
        let seen = self.0.entry(partition).or_insert_with(fresh);
        if seen.committed != committed {
            *seen = fresh();
        }
        now.saturating_duration_since(seen.since) >= QUIET
    }

    /// Nothing waits there: only from now on it counts.
    fn rest(&mut self, partition: Partition, now: Instant) {
        self.0.entry(partition).and_modify(|seen| (seen.since, seen.waiting, seen.told) = (now, None, None));
    }

    /// Something waits there. Answers for how long the partition stands still, if that is long.
    fn wait(&mut self, partition: Partition, now: Instant) -> Option<Duration> {
        let seen = self.0.get_mut(&partition)?;
        let waiting = *seen.waiting.get_or_insert(now);
        let is_long = now.saturating_duration_since(waiting) >= WAITING_MAX;
        is_long.then(|| now.saturating_duration_since(seen.since))
    }

    /// Whether it is to be told, now and then.
    fn is_news(&mut self, partition: Partition, now: Instant) -> bool {
        let Some(seen) = self.0.get_mut(&partition) else { return false };
        let is_news = seen.told.is_none_or(|told| now.saturating_duration_since(told) >= TELL_EVERY);
        if is_news {
            seen.told = Some(now);
        }
        is_news
    }
}

impl Standstill {
    /// One look at all partitions; asks the brokers about those that have not moved.
    pub(super) fn look(&self, positions: &mut Positions) {
        let (now, owned) = (Instant::now(), self.membership.owned());
        positions.0.retain(|partition, _| owned.contains(partition));
        let mut all = Vec::new();
        for partition in owned {
            let (committed, read) = self.buffers.position((Topic::Inbound, partition)).unzip();
            if !positions.note(partition, committed, now) {
                continue;
            }
            // Brokers that are away are told of by the log's health.
            let Ok((first, end)) = self.history.watermarks(Topic::Inbound, partition) else { continue };
            let waiting = end.saturating_sub(committed.unwrap_or(first));
            if waiting == 0 {
                positions.rest(partition, now);
                continue;
            }
            let Some(time) = positions.wait(partition, now) else { continue };
            let stands = match (committed, read) {
                (Some(committed), Some(read)) => format!("it is read to {read} and committed to {committed}"),
                _ => "its state is not restored yet".to_owned(),
            };
            let (seconds, why) =
                (time.as_secs(), "see what this process and the brokers say; a restart moves it");
            let text = format!(
                "partition {partition} has stood still for {seconds} s though inbound goes to offset {end}: {stands}; {why}"
            );
            if positions.is_news(partition, now) {
                tracing::warn!(partition = partition.0, waiting, "{text}");
            }
            all.push(text);
        }
        metrics::gauge!("leadline_partitions_still").set(all.len() as f64);
        *lock(&self.still.0) = all.into_iter().next();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: Partition = Partition(3);

    #[test]
    fn a_partition_that_commits_nothing_is_noticed_and_told_now_and_then() {
        let (mut positions, start) = (Positions::default(), Instant::now());
        let mut at = |seconds: u64, committed: Option<u64>| {
            let now = start + Duration::from_secs(seconds);
            let still = positions.note(P, committed, now) && positions.wait(P, now).is_some();
            (still, still && positions.is_news(P, now))
        };
        assert_eq!(at(0, None), (false, false), "it has only come");
        assert_eq!(at(10, None), (false, false), "something waits");
        assert_eq!(at(29, None), (false, false));
        assert_eq!(at(30, None), (true, true), "it does not come up");
        assert_eq!(at(40, None), (true, false));
        assert_eq!(at(90, None), (true, true));
        assert_eq!(at(95, Some(7)), (false, false), "it is up");
        assert_eq!(at(124, Some(8)), (false, false), "it moves");
        assert_eq!(at(134, Some(8)), (false, false));
        assert_eq!(at(154, Some(8)), (true, true));
    }

    #[test]
    fn one_in_which_nothing_waits_begins_to_stand_still_with_the_next_event() {
        let (mut positions, start) = (Positions::default(), Instant::now());
        let later = |seconds: u64| start + Duration::from_secs(seconds);
        assert!(!positions.note(P, Some(7), start));
        assert!(positions.note(P, Some(7), later(300)), "the brokers are asked");
        positions.rest(P, later(300));
        assert!(!positions.note(P, Some(7), later(309)));
        // After a quiet night the first events have only just come.
        assert!(positions.note(P, Some(7), later(400)));
        assert_eq!(positions.wait(P, later(400)), None);
        assert_eq!(positions.wait(P, later(419)), None);
        assert_eq!(positions.wait(P, later(420)), Some(Duration::from_secs(120)));
    }
}
