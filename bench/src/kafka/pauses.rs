//! Pauses: when commits of each partition become visible, seen from outside, and how long there were none.

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

    /// The longest time without a commit of each partition since `since`, in seconds; the one that it began in counts
    /// from the commit before.
    pub(super) fn longest_s(&self, since: Instant) -> Vec<f64> {
        let now = Instant::now();
        let of = |commits: &Vec<Instant>| {
            let first = commits.partition_point(|at| *at < since).saturating_sub(1);
            let seen = commits.get(first..).unwrap_or_default();
            let ends = seen.iter().skip(1).chain(std::iter::once(&now));
            seen.iter().zip(ends).map(|(from, to)| (*to - *from).as_secs_f64()).fold(0.0, f64::max)
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
        assert_eq!(watch.longest_s(at(22))[0], 33.0);
        assert!((1.0..2.0).contains(&watch.longest_s(at(59))[1]), "{:?}", watch.longest_s(at(59)));
        assert!(watch.wait_live(begin, Duration::ZERO, Duration::ZERO).is_err());
    }
}
