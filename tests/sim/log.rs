//! The real embedded log, seen through a pane that loses answers of commits and notes what was accepted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use leadline_connectors::contract::BoxFuture;
use leadline_connectors::contract::log::*;
use leadline_connectors::log_embedded::EmbeddedLog;
use leadline_schemas::avro;
use leadline_schemas::inbound::Inbound;
use leadline_schemas::{EventId, Offset, Partition, Topic};

/// What happens to the next commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFault {
    /// It is not written, and the engine hears so.
    Aborted,
    /// It is not written, and the engine hears nothing certain.
    UnknownLost,
    /// It is written, and the engine hears nothing certain.
    UnknownWritten,
}

/// A partition of a layout, by its generation.
pub type Place = (u32, Partition);

/// The events that the logs have made readable, by layout and partition in the order of their offsets; none is a record
/// that only asked whether the topic is closed. It outlives crashes: what was readable once must be there for ever.
#[derive(Default)]
pub struct Accepted(Mutex<BTreeMap<Place, Vec<Option<EventId>>>>);

impl Accepted {
    /// Takes in what has become readable.
    pub fn follow(&self, log: &EmbeddedLog, (generation, partition): Place) {
        let mut all = self.0.lock().unwrap();
        let known = all.entry((generation, partition)).or_default();
        loop {
            let from = Offset(known.len() as u64);
            let chunk = log.read(Topic::Inbound, partition, from, 1 << 20).expect("new records are kept");
            if chunk.records.is_empty() {
                return;
            }
            let id_of = |value: &[u8]| avro::decode::<Inbound>(value).unwrap().event_id;
            let values = chunk.records.iter().map(|record| &record.value);
            known.extend(values.map(|value| (!value.is_empty()).then(|| id_of(value))));
        }
    }

    /// Says what is wrong when a layout's log after a crash has less than was readable before.
    pub fn check_kept(&self, log: &EmbeddedLog, of: u32) -> Result<(), String> {
        for ((_, partition), known) in self.0.lock().unwrap().iter().filter(|((at, _), _)| *at == of) {
            let (_, end) = log.range(Topic::Inbound, *partition).map_err(|error| error.to_string())?;
            if end.0 < known.len() as u64 {
                let lost = known.len() as u64 - end.0;
                return Err(format!("partition {partition} lost {lost} accepted events in a crash"));
            }
        }
        Ok(())
    }

    /// All of them, a layout's behind those of the one before.
    pub fn events(&self) -> Vec<EventId> {
        self.0.lock().unwrap().values().flatten().flatten().copied().collect()
    }
}

type Listener = Arc<dyn Fn() + Send + Sync>;

/// What the members of a layout's group share, and what its brokers know: who owns what, who listens, and which
/// leaders take no more events.
#[derive(Default)]
pub struct Group {
    owners: Mutex<BTreeMap<Partition, (usize, Stay)>>,
    listeners: Mutex<BTreeMap<(Topic, Partition), BTreeMap<usize, Listener>>>,
    /// Commits that are out.
    out: Mutex<BTreeMap<(Partition, Stay), u32>>,
    /// How long each leader takes to hear that its topic is closed.
    deafness_ms: Vec<u64>,
    /// Since when it is.
    closed_boot_ms: Mutex<Option<u64>>,
    /// When a fence has last asked each leader.
    asked_boot_ms: Mutex<BTreeMap<Partition, u64>>,
}

/// Counts the owners of a partition, one after the other.
type Stay = u32;

impl Group {
    pub fn new(deafness_ms: Vec<u64>) -> Self {
        Self { deafness_ms, ..Self::default() }
    }

    /// Sets `inbound` to take nothing more; done again it changes nothing.
    pub fn close(&self, boot_ms: u64) {
        self.closed_boot_ms.lock().unwrap().get_or_insert(boot_ms);
    }

    /// Whether the leader of a partition takes no events any more.
    pub fn refuses(&self, partition: Partition, boot_ms: u64) -> bool {
        let deaf_ms = self.deafness_ms.get(usize::from(partition.0)).copied().unwrap_or(0);
        self.closed_boot_ms.lock().unwrap().is_some_and(|closed_ms| boot_ms >= closed_ms + deaf_ms)
    }

    /// Whether a leader may be asked once more whether it refuses; notes that it is.
    pub fn may_be_asked(&self, partition: Partition, boot_ms: u64, pause_ms: u64) -> bool {
        let mut asked = self.asked_boot_ms.lock().unwrap();
        let may = asked.get(&partition).is_none_or(|at| *at + pause_ms <= boot_ms);
        if may {
            asked.insert(partition, boot_ms);
        }
        may
    }

    pub fn owner(&self, partition: Partition) -> Option<usize> {
        self.owners.lock().unwrap().get(&partition).map(|(owner, _)| *owner)
    }

    /// A partition goes to a member: another, or the same once more.
    pub fn hand(&self, partition: Partition, to: usize) {
        let mut owners = self.owners.lock().unwrap();
        let stay = owners.get(&partition).map_or(0, |(_, stay)| stay + 1);
        owners.insert(partition, (to, stay));
    }

    fn stay(&self, partition: Partition) -> Stay {
        self.owners.lock().unwrap().get(&partition).map_or(0, |(_, stay)| *stay)
    }

    /// The log starts anew: what was out was written or is gone.
    pub fn forget_commits(&self) {
        self.out.lock().unwrap().clear();
    }

    /// Whether a commit of an owner before may still be written, be it of the same member: then nobody knows yet where
    /// the partition ends.
    fn is_open(&self, partition: Partition) -> bool {
        let now = self.stay(partition);
        let out = self.out.lock().unwrap();
        out.iter().any(|((of, stay), count)| *of == partition && *stay != now && *count > 0)
    }

    fn tell(&self, topic: Topic, partition: Partition) {
        let listeners = self.listeners.lock().unwrap().get(&(topic, partition)).cloned().unwrap_or_default();
        listeners.values().for_each(|listener| listener());
    }
}

/// The log as a member's engine sees it.
pub struct WatchedLog {
    pub inner: Arc<EmbeddedLog>,
    pub accepted: Arc<Accepted>,
    pub fault: Mutex<Option<CommitFault>>,
    pub generation: u32,
    pub member: usize,
    pub group: Arc<Group>,
}

impl Log for WatchedLog {
    fn partitions(&self) -> u16 {
        self.inner.partitions()
    }
    fn append(&self, records: Vec<Append>) -> BoxFuture<'static, Result<Vec<Offset>, AppendError>> {
        self.inner.append(records)
    }
    fn commit(&self, commit: Commit, done: Box<dyn FnOnce(CommitAnswer) + Send>) {
        let is_there = commit.partition.0 < self.inner.partitions();
        if is_there && self.group.owner(commit.partition) != Some(self.member) {
            return done(CommitAnswer::Fenced("another member owns the partition".to_owned()));
        }
        let stay = self.group.stay(commit.partition);
        let (group, place) = (Arc::clone(&self.group), (commit.partition, stay));
        let is_out = move |change: i32| {
            let mut out = group.out.lock().unwrap();
            let count = out.entry(place).or_default();
            *count = count.saturating_add_signed(change);
        };
        is_out(1);
        let done: Box<dyn FnOnce(CommitAnswer) + Send> = Box::new(move |answer| {
            is_out(-1);
            done(answer);
        });
        let unknown = || CommitAnswer::Unknown("the simulator lost the answer".to_owned());
        match self.fault.lock().unwrap().take() {
            None => self.inner.commit(commit, done),
            Some(CommitFault::Aborted) => done(CommitAnswer::Aborted("the simulator aborts".to_owned())),
            Some(CommitFault::UnknownLost) => done(unknown()),
            Some(CommitFault::UnknownWritten) => {
                self.inner.commit(commit, Box::new(move |_| done(unknown())));
            }
        }
    }
    fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit_bytes: usize,
    ) -> Result<Chunk, ReadError> {
        self.inner.read(topic, partition, from, limit_bytes)
    }
    fn range(&self, topic: Topic, partition: Partition) -> Result<(Offset, Offset), ReadError> {
        if topic == Topic::State && self.group.is_open(partition) {
            return Err(ReadError::Unavailable("a commit of the owner before is still out".to_owned()));
        }
        self.inner.range(topic, partition)
    }
    fn range_so_far(&self, partition: Partition) -> Result<(Offset, Offset), ReadError> {
        self.inner.range(Topic::State, partition)
    }
    fn listen(&self, topic: Topic, partition: Partition, listener: Arc<dyn Fn() + Send + Sync>) {
        let all = &mut *self.group.listeners.lock().unwrap();
        all.entry((topic, partition)).or_default().insert(self.member, listener);
        let (log, accepted) = (Arc::downgrade(&self.inner), Arc::clone(&self.accepted));
        let (group, generation) = (Arc::clone(&self.group), self.generation);
        let noted = move || {
            if let (Topic::Inbound, Some(log)) = (topic, log.upgrade()) {
                accepted.follow(&log, (generation, partition));
            }
            group.tell(topic, partition);
        };
        self.inner.listen(topic, partition, Arc::new(noted));
    }
    fn set_floor(&self, topic: Topic, partition: Partition, floor: Offset) {
        self.inner.set_floor(topic, partition, floor);
    }
    fn health(&self) -> LogHealth {
        self.inner.health()
    }
}
