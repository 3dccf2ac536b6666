//! Life: one log from its opening to its crash, driven by a seed.

use std::sync::Mutex;

use super::model::{Model, Place};
use super::*;

/// Small segments roll often, small parts make commits of many, a small cache sends readers to the disk.
pub(super) fn config() -> EmbeddedLogConfig {
    EmbeddedLogConfig {
        partitions: 2,
        segment_bytes: 16 << 10,
        max_bytes: 16 << 20,
        part_bytes_max: 8 << 10,
        commit_queue_bytes_max: 256 << 20,
        tail_cache_bytes_max: 4 << 10,
        index_cache_bytes_max: 1 << 10,
        retention: Retention { inbound_ms: 0, replies_ms: 0, settings_ms: 0, state_ms: 0 },
        ..EmbeddedLogConfig::default()
    }
}

pub(super) const PLACES: [Place; 5] = [
    (Topic::Inbound, Partition(0)),
    (Topic::Inbound, Partition(1)),
    (Topic::Replies, Partition(0)),
    (Topic::Replies, Partition(1)),
    (Topic::Settings, Partition(0)),
];

type Appending = BoxFuture<'static, Result<Vec<Offset>, AppendError>>;

/// What waits for an answer.
enum Asked {
    Append(u64, Appending),
    Commit(u64, Arc<Mutex<Option<CommitAnswer>>>),
}

pub(super) struct Life<'r> {
    pub(super) log: EmbeddedLog,
    disk: SimulatedDisk,
    steps: LogSteps,
    clock: Arc<HandClock>,
    model: &'r mut Model,
    asked: Vec<Asked>,
    next_call: u64,
}

impl<'r> Life<'r> {
    /// Opens the log and checks what it found.
    pub(super) fn begin(
        disk: &SimulatedDisk,
        clock: &Arc<HandClock>,
        model: &'r mut Model,
        number: u64,
    ) -> Result<Self, OpenError> {
        let shared = Arc::new(disk.clone());
        let (log, steps) = EmbeddedLog::open_stepped(config(), shared, clock.clone(), incarnations(number))?;
        if !disk.is_gone() {
            model.check(&log); // It may have been killed with its very last operation.
        }
        let clock = Arc::clone(clock);
        let disk = disk.clone();
        Ok(Self { log, disk, steps, clock, model, asked: Vec::new(), next_call: number << 32 })
    }

    /// One thing that a process may do to its log.
    pub(super) fn act(&mut self, chance: &mut Seeded) {
        match chance.below(20) {
            0..=6 => self.append(chance),
            7..=10 => {
                let bytes_max = if chance.below(3) == 0 { 60_000 } else { 2_000 };
                self.commit(chance, bytes_max);
            }
            11..=16 => {
                self.turn();
            }
            17 => while self.turn() {},
            18 => {
                self.clock.0.fetch_add(chance.below(600), Relaxed);
            }
            _ => self.raise_floors(chance),
        }
    }

    /// What a disk may do meanwhile: fail, or fill up and have room again.
    pub(super) fn disturb(&mut self, chance: &mut Seeded) {
        match chance.below(60) {
            0 => self.disk.fail(1 + chance.below(6), DiskFault::Device),
            1 => self.disk.fail(1 + chance.below(6), DiskFault::Full),
            2..=4 => self.disk.set_capacity(Some(self.disk.used_bytes() + chance.below(40_000))),
            5 | 6 => self.disk.set_capacity(None),
            _ => {}
        }
    }

    pub(super) fn append(&mut self, chance: &mut Seeded) {
        let call = self.next_call();
        let records: Vec<Append> = (0..=chance.below(4)).map(|n| random_record(call, n, chance)).collect();
        for record in &records {
            self.model.send(call, (record.topic, record.partition), record.value.clone());
        }
        let appending = self.log.append(records);
        self.asked.push(Asked::Append(call, appending));
        self.hear();
    }

    pub(super) fn commit(&mut self, chance: &mut Seeded, bytes_max: u64) {
        let partition = Partition(chance.below(2) as u16);
        let bytes = chance.below(bytes_max);
        let number = self.model.count((Topic::State, partition)) + 1;
        let call = self.next_call();
        let frame = random_bytes(call, 0, bytes);
        self.model.send(call, (Topic::State, partition), frame.clone());
        let answer = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&answer);
        let commit = Commit {
            partition,
            number: CommitNumber(number),
            inbound_next: Offset(0),
            replies_next: Offset(0),
            outputs: Arc::default(),
            frame,
        };
        self.log.commit(commit, Box::new(move |answer| *slot.lock().unwrap() = Some(answer)));
        self.asked.push(Asked::Commit(call, answer));
    }

    pub(super) fn turn(&mut self) -> bool {
        let worked = self.steps.turn();
        self.hear();
        worked
    }

    fn next_call(&mut self) -> u64 {
        self.next_call += 1;
        self.next_call
    }

    /// Takes in the answers that have come.
    fn hear(&mut self) {
        for asked in std::mem::take(&mut self.asked) {
            match asked {
                Asked::Append(call, mut appending) => {
                    match appending.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                        Poll::Pending => self.asked.push(Asked::Append(call, appending)),
                        Poll::Ready(Ok(offsets)) => {
                            assert_eq!(offsets, self.model.offsets(call), "offsets are contiguous");
                            self.model.acknowledge(call);
                        }
                        Poll::Ready(Err(AppendError::Failed(_))) => {}
                        Poll::Ready(Err(_)) => self.model.refuse(call),
                    }
                }
                Asked::Commit(call, answer) => {
                    let answered = answer.lock().unwrap().take();
                    match answered {
                        None => self.asked.push(Asked::Commit(call, answer)),
                        Some(CommitAnswer::Committed) => self.model.acknowledge(call),
                        Some(CommitAnswer::Unknown(_)) => {}
                        Some(CommitAnswer::Aborted(_)) => self.model.refuse(call),
                        Some(CommitAnswer::Fenced(why)) => panic!("the right number is fenced: {why}"),
                    }
                }
            }
        }
    }

    /// All readers move on together, as snapshots let them.
    fn raise_floors(&mut self, chance: &mut Seeded) {
        let keep = chance.below(40);
        for place in PLACES.into_iter().chain([0, 1].map(|p| (Topic::State, Partition(p)))) {
            let floor = self.model.acknowledged(place).saturating_sub(keep);
            self.model.set_floor(place, floor);
            self.log.set_floor(place.0, place.1, Offset(floor));
        }
    }

    /// Lets everything be answered, and the last group be witnessed.
    pub(super) fn settle(&mut self) {
        while self.turn() {}
        self.clock.0.fetch_add(5_000, Relaxed);
        while self.turn() {}
    }

    pub(super) fn check(&mut self) {
        self.model.check(&self.log);
    }
}

fn random_record(call: u64, n: u64, chance: &mut Seeded) -> Append {
    let (topic, partition) = PLACES[chance.below(PLACES.len() as u64) as usize];
    let bytes = if chance.below(12) == 0 { chance.below(30_000) } else { chance.below(900) };
    Append { topic, partition, key: Bytes::new(), value: random_bytes(call, n, bytes) }
}

/// Bytes that no other record has, so that a wrong one is noticed.
fn random_bytes(call: u64, n: u64, bytes: u64) -> Bytes {
    let mut seeded = Seeded::new(call ^ n << 56);
    (0..bytes.div_ceil(8)).flat_map(|_| seeded.next().to_le_bytes()).take(bytes as usize).collect()
}
