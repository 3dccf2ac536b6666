//! One log on one simulated disk, driven by hand on one thread, with a model of what it owes.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use leadline_connectors::conformance::log::read_all;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::{Append, AppendError, Commit, CommitAnswer, Log};
use leadline_connectors::disk_simulated::SimulatedDisk;
use leadline_connectors::log_embedded::{EmbeddedLogConfig, LogCore, LogHandle, OpenError, Retention};
use leadline_schemas::{CommitNumber, Millis, Offset, Partition, Topic};

pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Vec<Offset>, AppendError>> + Send>>;

/// A clock that moves when it is looked at.
#[derive(Default)]
pub(crate) struct StepClock(AtomicI64);

impl Clock for StepClock {
    fn wall(&self) -> Millis {
        Millis(self.0.fetch_add(10, Ordering::Relaxed))
    }
    fn boot_ms(&self) -> u64 {
        self.0.fetch_add(10, Ordering::Relaxed) as u64
    }
}

/// SplitMix64, as the disk's.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}

/// Everything small, so that a few kilobytes roll, evict, part and read cold.
pub(crate) fn small() -> EmbeddedLogConfig {
    EmbeddedLogConfig {
        partitions: 2,
        segment_bytes: 16 << 10,
        group_bytes_max: 4 << 10,
        part_bytes: 512,
        tail_cache_bytes_max: 2 << 10,
        index_cache_bytes_max: 4 << 10,
        max_bytes: 16 << 20,
        retention: Retention { inbound_ms: 0, replies_ms: 0, settings_ms: 0, state_ms: 0 },
        ..EmbeddedLogConfig::default()
    }
}

pub(crate) fn open(disk: &SimulatedDisk, seed: u64, config: EmbeddedLogConfig) -> Result<LogCore, OpenError> {
    let mut random = Random(seed);
    let clock = Arc::new(StepClock::default());
    LogCore::open(config, Arc::new(disk.clone()), clock, move || random.below(u64::MAX))
}

pub(crate) fn append(topic: Topic, partition: u16, value: Bytes) -> Append {
    Append { topic, partition: Partition(partition), value }
}

pub(crate) fn poll(answer: &mut Answer) -> Option<Result<Vec<Offset>, AppendError>> {
    match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

/// Appends one record and works until it is answered.
pub(crate) fn append_now(core: &mut LogCore, record: Append) -> Result<Offset, AppendError> {
    let mut answer = core.handle().append(vec![record]);
    while core.pump() {}
    poll(&mut answer).unwrap().map(|offsets| offsets[0])
}

/// Commits and works until it is answered.
pub(crate) fn commit_now(core: &mut LogCore, partition: u16, number: u64, frame: Bytes) -> CommitAnswer {
    let answers = Arc::new(Mutex::new(Vec::new()));
    submit_commit(&core.handle(), partition, number, frame, &answers);
    while core.pump() {}
    let mut answers = answers.lock().unwrap();
    assert_eq!(answers.len(), 1, "a commit is answered exactly once");
    answers.remove(0).1
}

pub(crate) type CommitAnswers = Arc<Mutex<Vec<(u16, CommitAnswer)>>>;

pub(crate) fn submit_commit(
    log: &LogHandle,
    partition: u16,
    number: u64,
    frame: Bytes,
    answers: &CommitAnswers,
) {
    let answers = Arc::clone(answers);
    let commit = Commit {
        partition: Partition(partition),
        number: CommitNumber(number),
        inbound_next: Offset(0),
        replies_next: Offset(0),
        outputs: Arc::default(),
        frame,
    };
    log.commit(commit, Box::new(move |answer| answers.lock().unwrap().push((partition, answer))));
}

/// Bytes that tell where they belong, of `bytes` or a little more.
pub(crate) fn value(topic: Topic, partition: u16, n: u64, salt: u64, bytes: usize) -> Bytes {
    let mut value = format!("{topic}/{partition}/{n}/{salt}/").into_bytes();
    value.resize(value.len().max(bytes), (salt % 251) as u8);
    value.into()
}

type Place = (Topic, u16);

/// What was handed in at one place, in order; offsets are positions here.
#[derive(Default)]
struct Owed {
    values: Vec<Bytes>,
    acknowledged: usize,
    floor: u64,
}

/// The model beside the log.
pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) disk: SimulatedDisk,
    pub(crate) core: LogCore,
    config: EmbeddedLogConfig,
    owed: BTreeMap<Place, Owed>,
    appends: Vec<(Answer, Vec<Place>)>,
    commits: CommitAnswers,
    committing: [bool; 2],
    salt: u64,
}

const PLACES: [Place; 4] =
    [(Topic::Inbound, 0), (Topic::Inbound, 1), (Topic::Replies, 1), (Topic::Settings, 0)];

impl World {
    pub(crate) fn new(seed: u64, config: EmbeddedLogConfig) -> Self {
        let disk = SimulatedDisk::new(seed);
        let core = open(&disk, seed ^ 0xABCD, config.clone()).unwrap();
        Self {
            random: Random(seed),
            disk,
            core,
            config,
            owed: BTreeMap::new(),
            appends: Vec::new(),
            commits: CommitAnswers::default(),
            committing: [false; 2],
            salt: 0,
        }
    }

    /// Does one thing of those that happen to a log.
    pub(crate) fn step(&mut self) {
        match self.random.below(16) {
            0..=4 => self.submit_append(),
            5..=6 => self.submit_commit(),
            7..=11 => drop(self.core.pump()),
            12..=13 => drop(self.core.upkeep()),
            14 => self.core.idle(),
            _ => self.raise_floor(),
        }
        self.collect();
    }

    fn submit_append(&mut self) {
        let places: Vec<Place> =
            (0..=self.random.below(3)).map(|_| PLACES[self.random.below(4) as usize]).collect();
        let records = places.iter().map(|(topic, partition)| {
            self.salt += 1;
            let bytes = match self.random.below(20) {
                0 => self.random.below(14_000),
                _ => self.random.below(900),
            };
            let owed = self.owed.entry((*topic, *partition)).or_default();
            let value = value(*topic, *partition, owed.values.len() as u64, self.salt, bytes as usize);
            owed.values.push(value.clone());
            append(*topic, *partition, value)
        });
        let records = records.collect();
        self.appends.push((self.core.handle().append(records), places));
    }

    fn submit_commit(&mut self) {
        let partition = self.random.below(2) as u16;
        if std::mem::replace(&mut self.committing[usize::from(partition)], true) {
            return;
        }
        self.salt += 1;
        let bytes = [0, 300, 5_000, 20_000][self.random.below(4) as usize];
        let owed = self.owed.entry((Topic::State, partition)).or_default();
        let frame = value(Topic::State, partition, owed.values.len() as u64, self.salt, bytes);
        owed.values.push(frame.clone());
        let number = owed.values.len() as u64;
        submit_commit(&self.core.handle(), partition, number, frame, &self.commits);
    }

    /// Only below what was acknowledged: nobody gives up what it has not seen.
    fn raise_floor(&mut self) {
        for ((topic, partition), owed) in &mut self.owed {
            let up = self.random.below(owed.acknowledged as u64 + 1);
            owed.floor = owed.floor.max(up);
            self.core.handle().set_floor(*topic, Partition(*partition), Offset(owed.floor));
        }
    }

    fn collect(&mut self) {
        for (partition, answer) in self.commits.lock().unwrap().drain(..) {
            let owed = self.owed.get_mut(&(Topic::State, partition)).unwrap();
            match answer {
                CommitAnswer::Committed => owed.acknowledged = owed.values.len(),
                CommitAnswer::Aborted(_) => drop(owed.values.pop()),
                CommitAnswer::Unknown(_) | CommitAnswer::Fenced(_) => continue,
            }
            self.committing[usize::from(partition)] = false;
        }
        self.appends.retain_mut(|(answer, places)| {
            let Some(answer) = poll(answer) else { return true };
            match answer {
                Ok(offsets) => {
                    for (offset, place) in offsets.into_iter().zip(places.iter()) {
                        let owed = self.owed.get_mut(place).unwrap();
                        assert_eq!(offset.0, owed.acknowledged as u64, "offsets are given out in order");
                        owed.acknowledged += 1;
                    }
                }
                Err(AppendError::Failed(_)) => {}
                Err(other) => panic!("nothing else is wrong with this append: {other}"),
            }
            false
        });
    }

    /// The machine goes down, at once or in the middle of something, and comes up again, maybe not at first.
    pub(crate) fn crash(&mut self) {
        if self.random.below(4) > 0 {
            self.disk.cut_power_after(self.random.below(25));
            for _ in 0..40 {
                self.step();
            }
        }
        self.come_up(SimulatedDisk::crash);
    }

    /// The process ends and begins again; the machine goes on.
    pub(crate) fn restart(&mut self) {
        self.come_up(SimulatedDisk::restart);
    }

    fn come_up(&mut self, go_down: impl Fn(&SimulatedDisk)) {
        go_down(&self.disk);
        self.appends.clear();
        self.committing = [false; 2];
        loop {
            if self.random.below(3) == 0 {
                self.disk.cut_power_after(1 + self.random.below(30));
            }
            match open(&self.disk, self.random.below(u64::MAX), self.config.clone()) {
                Ok(core) => {
                    self.core = core;
                    break;
                }
                Err(error) => assert!(error.to_string().contains("the power is gone"), "{error}"),
            }
            self.disk.crash();
        }
        self.commits.lock().unwrap().clear();
        self.check();
    }

    /// Everything acknowledged is there, in order, once; what was not may be there, in order; nothing else is.
    pub(crate) fn check(&mut self) {
        let log = self.core.handle();
        for ((topic, partition), owed) in &mut self.owed {
            let (first, next) = log.range(*topic, Partition(*partition)).unwrap();
            let at = format!("{topic}/{partition}: {first}..{next} of {}", owed.values.len());
            assert!(next.0 >= owed.acknowledged as u64, "acknowledged {} at {at}", owed.acknowledged);
            assert!(next.0 <= owed.values.len() as u64, "nobody wrote {at}");
            assert!(first.0 <= owed.floor, "dropped above the floor {} at {at}", owed.floor);
            match read_all(&log, *topic, *partition, first.0, 4_000) {
                Ok(found) => {
                    assert_eq!(found.len() as u64, next.0 - first.0, "{at}");
                    for record in found {
                        assert!(
                            record.value == owed.values[record.offset.0 as usize],
                            "{} of {at}",
                            record.offset
                        );
                    }
                }
                // The power may have gone while the log was opened; the next life looks again.
                Err(error) => assert!(error.to_string().contains("the power is gone"), "{error} at {at}"),
            }
            owed.values.truncate(next.0 as usize);
            owed.acknowledged = owed.values.len();
            log.set_floor(*topic, Partition(*partition), Offset(owed.floor));
        }
    }
}
