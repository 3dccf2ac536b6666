//! Pauses: when commits of each partition become visible, seen from outside, and how long there were none.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use leadline_schemas::Topic;
use rdkafka::Offset;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;

use super::scene::Scene;

/// One poll of the consumer.
const POLL: Duration = Duration::from_millis(50);
/// Between two looks whether all partitions get on.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A partition that has committed within so long gets on.
const LIVE: Duration = Duration::from_secs(1);

/// A time without a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Pause {
    /// How long it was, in seconds.
    pub(super) s: f64,
    /// How long after the beginning of its window it began; 0 where that was before.
    pub(super) began_s: f64,
}

type Commits = Arc<Mutex<Vec<Vec<Instant>>>>;

/// Reads topic `state` until it is dropped.
pub(super) struct Watch {
    commits: Commits,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// From now on.
    pub(super) fn start(scene: &Scene) -> Result<Self> {
        let reader = scene.reader(&[Topic::State], Offset::End)?;
        let commits: Commits = Arc::new(Mutex::new(vec![Vec::new(); usize::from(scene.partitions)]));
        let stop = Arc::<AtomicBool>::default();
        let (noted, told) = (Arc::clone(&commits), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("watch".to_owned()).spawn(move || {
            while !told.load(Ordering::Relaxed) {
                note(&reader, &noted);
            }
        })?;
        Ok(Self { commits, stop, thread: Some(thread) })
    }

    /// Waits until every partition gets on, has committed since `since`, and so long has passed since then.
    pub(super) fn wait_live(&self, since: Instant, at_least: Duration, within: Duration) -> Result<()> {
        loop {
            let gets_on = |commits: &Vec<Instant>| {
                commits.last().is_some_and(|last| *last > since && last.elapsed() < LIVE)
            };
            let stuck: Vec<usize> = lock(&self.commits)
                .iter()
                .enumerate()
                .filter(|(_, commits)| !gets_on(commits))
                .map(|(partition, _)| partition)
                .collect();
            if stuck.is_empty() && since.elapsed() >= at_least {
                return Ok(());
            }
            ensure!(since.elapsed() < within, "partitions {stuck:?} do not commit after {within:?}");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// The longest time without a commit of each partition in a window; the one that it begins in counts from the commit
    /// before, and the one that it ends in to its end.
    pub(super) fn longest(&self, window: &Range<Instant>) -> Vec<Pause> {
        let of = |commits: &Vec<Instant>| {
            let first = commits.partition_point(|at| *at < window.start).saturating_sub(1);
            let last = commits.partition_point(|at| *at < window.end);
            let seen = commits.get(first..last).unwrap_or_default();
            let ends = seen.iter().skip(1).chain(std::iter::once(&window.end));
            let pauses = seen.iter().zip(ends).map(|(from, to)| Pause {
                s: (*to - *from).as_secs_f64(),
                began_s: from.saturating_duration_since(window.start).as_secs_f64(),
            });
            pauses.max_by(|a, b| a.s.total_cmp(&b.s)).unwrap_or_default()
        };
        lock(&self.commits).iter().map(of).collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // Its panic has been told already.
        }
    }
}

fn note(reader: &BaseConsumer, commits: &Commits) {
    match reader.poll(POLL) {
        Some(Ok(message)) => {
            let now = Instant::now();
            let partition = usize::try_from(message.partition()).unwrap_or(usize::MAX);
            if let Some(commits) = lock(commits).get_mut(partition) {
                commits.push(now);
            }
        }
        None | Some(Err(KafkaError::PartitionEOF(_))) => {}
        Some(Err(error)) => eprintln!("the reader of commits goes on: {error}"),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_counts_from_the_commit_before_it_and_ends_with_the_next() {
        let begin = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
        let at = |second: u64| begin + Duration::from_secs(second);
        let commits = vec![vec![at(0), at(20), at(21), at(25), at(26), at(59)], vec![at(58), at(59)]];
        let watch = Watch { commits: Arc::new(Mutex::new(commits)), stop: Arc::default(), thread: None };
        let longest = |from: u64, to: u64, partition: usize| {
            let Pause { s, began_s } = watch.longest(&(at(from)..at(to)))[partition];
            (s, began_s)
        };
        assert_eq!(longest(22, 60, 0), (33.0, 4.0));
        assert_eq!(longest(5, 24, 0), (20.0, 0.0), "it began before");
        assert_eq!(longest(59, 70, 1), (11.0, 0.0), "it has not ended");
        assert!(watch.wait_live(begin, Duration::ZERO, Duration::ZERO).is_err());
    }
}
