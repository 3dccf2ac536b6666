//! Processes share the partitions, and hand them over in peace.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use leadline_connectors::contract::assignment::{Assignment as _, Owner};
use leadline_connectors::contract::log::{CommitAnswer, Log};
use leadline_connectors::log_kafka::rdkafka::ClientConfig;
use leadline_connectors::log_kafka::rdkafka::consumer::{BaseConsumer, Consumer as _};
use leadline_connectors::log_kafka::rdkafka::producer::{BaseProducer, Producer as _};
use leadline_connectors::log_kafka::{KafkaAssignment, KafkaConfig, KafkaLog};
use leadline_schemas::{Partition, Topic};
use leadline_tests::until;

use crate::{PATIENCE, commit, epoch, fresh, open};

/// What was told to whom, in order, of all processes.
type Story = Arc<Mutex<Vec<String>>>;

/// One process: its log, its part in the group, and what it owns.
struct Process {
    log: Arc<KafkaLog>,
    assignment: KafkaAssignment,
    engine: Arc<Engine>,
}

struct Engine {
    name: &'static str,
    log: Arc<KafkaLog>,
    owned: Mutex<BTreeSet<Partition>>,
    story: Story,
    /// Where it stands still for good when it is to give partitions away, as one does that was killed.
    grave: Mutex<Option<mpsc::Receiver<()>>>,
}

impl Engine {
    fn note(&self, what: &str, partitions: &[Partition]) {
        let mut story = self.story.lock().unwrap();
        for partition in partitions {
            story.push(format!("{} {what} {partition}", self.name));
        }
    }

    /// Commits one more epoch, as an owner may.
    fn commit_next(&self, partition: Partition) -> CommitAnswer {
        let next = self.log.range(Topic::State, partition).unwrap().1.0 + 1;
        commit(&*self.log, epoch(partition, next, Vec::new()))
    }
}

impl Owner for Engine {
    fn assigned(&self, partitions: &[Partition]) {
        self.note("gets", partitions);
        self.owned.lock().unwrap().extend(partitions);
    }

    fn revoked(&self, partitions: &[Partition], _: Duration) {
        if let Some(grave) = self.grave.lock().unwrap().take() {
            self.note("dies with", partitions);
            let _ = grave.recv();
            return;
        }
        for partition in partitions {
            assert!(self.owned.lock().unwrap().contains(partition), "only what it has");
            let last = self.commit_next(*partition);
            assert_eq!(last, CommitAnswer::Committed, "the open epoch of {partition} may end in peace");
        }
        self.owned.lock().unwrap().retain(|partition| !partitions.contains(partition));
        self.note("gives", partitions);
    }

    fn lost(&self, partitions: &[Partition]) {
        self.note("loses", partitions);
        self.owned.lock().unwrap().retain(|partition| !partitions.contains(partition));
    }
}

impl Process {
    fn start(config: &KafkaConfig, name: &'static str, story: &Story) -> Self {
        let process = Self::new(config, name, story);
        process.join();
        process
    }

    /// One that does not take part yet.
    fn new(config: &KafkaConfig, name: &'static str, story: &Story) -> Self {
        let mut config = config.clone();
        name.clone_into(&mut config.instance_id);
        let log = Arc::new(open(&config));
        let assignment = KafkaAssignment::new(&log);
        let engine = Arc::new(Engine {
            name,
            log: Arc::clone(&log),
            owned: Mutex::default(),
            story: Arc::clone(story),
            grave: Mutex::default(),
        });
        assert!(assignment.trouble().is_some());
        Self { log, assignment, engine }
    }

    fn owner(&self) -> Arc<dyn Owner> {
        Arc::clone(&self.engine) as Arc<dyn Owner>
    }

    fn join(&self) {
        self.assignment.join(self.owner()).unwrap();
    }

    fn owned(&self) -> Vec<Partition> {
        self.engine.owned.lock().unwrap().iter().copied().collect()
    }
}

fn config(partitions: u16) -> Option<KafkaConfig> {
    let mut config = fresh(crate::broker()?, partitions);
    config.session_timeout_ms = 3_000;
    config.workers = 2;
    Some(config)
}

#[test]
fn two_processes_share_the_partitions_and_hand_over_in_peace() {
    let Some(config) = config(4) else { return };
    let story = Story::default();
    let one = Process::start(&config, "one", &story);
    until("one has all", PATIENCE, || one.owned().len() == 4);
    assert_eq!(one.assignment.trouble(), None);
    for partition in one.owned() {
        assert_eq!(one.engine.commit_next(partition), CommitAnswer::Committed);
    }

    let two = Process::start(&config, "two", &story);
    until("each has two", PATIENCE, || one.owned().len() == 2 && two.owned().len() == 2);
    for process in [&one, &two] {
        for partition in process.owned() {
            // A commit that meets the end of the rebalance is aborted, and comes again.
            until("an owner commits", PATIENCE, || match process.engine.commit_next(partition) {
                CommitAnswer::Committed => true,
                CommitAnswer::Aborted(_) => false,
                other => panic!("{other:?}"),
            });
        }
    }
    for partition in two.owned() {
        let next = two.log.range(Topic::State, partition).unwrap().1.0 + 1;
        assert_eq!(next, 4, "one's two commits, two's one");
        let zombie = commit(&*one.log, epoch(partition, next, Vec::new()));
        assert!(matches!(zombie, CommitAnswer::Fenced(_)), "{zombie:?}");
        let told = story.lock().unwrap();
        let at = |what: String| told.iter().position(|line| *line == what).unwrap();
        assert!(at(format!("one gives {partition}")) < at(format!("two gets {partition}")), "{told:?}");
    }

    two.assignment.leave();
    assert!(two.owned().is_empty() && two.assignment.trouble().is_some());
    until("one has all again", PATIENCE, || one.owned().len() == 4);
    for partition in one.owned() {
        until("an owner commits", PATIENCE, || match one.engine.commit_next(partition) {
            CommitAnswer::Committed => true,
            CommitAnswer::Aborted(_) => false,
            other => panic!("{other:?}"),
        });
    }
    one.assignment.leave();
    let told = story.lock().unwrap();
    assert!(told.iter().all(|line| !line.contains("loses")), "nothing was lost: {told:?}");
}

#[test]
fn a_successor_of_the_same_instance_takes_over_and_the_old_process_loses_all() {
    let Some(config) = config(2) else { return };
    let story = Story::default();
    let old = Process::start(&config, "same", &story);
    until("the old process has all", PATIENCE, || old.owned().len() == 2);
    for partition in old.owned() {
        assert_eq!(old.engine.commit_next(partition), CommitAnswer::Committed);
    }
    let new = Process::start(&config, "same", &story);
    until("the new process has all", PATIENCE, || new.owned().len() == 2);
    until("the old one knows", PATIENCE, || old.owned().is_empty());
    assert!(old.assignment.trouble().is_some());
    for partition in new.owned() {
        assert_eq!(new.engine.commit_next(partition), CommitAnswer::Committed);
        let zombie = commit(&*old.log, epoch(partition, 3, Vec::new()));
        assert!(matches!(zombie, CommitAnswer::Fenced(_)), "{zombie:?}");
    }
    let says = |what: &str| old.assignment.trouble().is_some_and(|why| why.contains(what));
    until("the old one finds its name taken", PATIENCE, || says("give each a kafka.instance of its own"));
    assert_eq!(new.owned().len(), 2, "and lets the new one be");
}

#[test]
fn whoever_has_only_prepared_fences_nobody_and_commits_once_it_has_joined() {
    let Some(config) = config(2) else { return };
    let story = Story::default();
    let old = Process::start(&config, "same", &story);
    until("the old process has all", PATIENCE, || old.owned().len() == 2);
    let new = Process::new(&config, "same", &story);
    new.assignment.prepare(new.owner()).unwrap();
    for partition in old.owned().repeat(2) {
        assert_eq!(old.engine.commit_next(partition), CommitAnswer::Committed);
    }
    new.join();
    until("the new process has all", PATIENCE, || new.owned().len() == 2);
    for partition in new.owned() {
        assert_eq!(new.engine.commit_next(partition), CommitAnswer::Committed);
    }
}

#[test]
fn a_process_that_was_put_out_of_its_group_comes_back_when_its_name_is_free() {
    let Some(config) = config(2) else { return };
    let story = Story::default();
    let one = Process::start(&config, "one", &story);
    until("one has all", PATIENCE, || one.owned().len() == 2);
    // Somebody takes its name, and is gone.
    let intruder: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &config.brokers)
        .set("group.id", &config.group_id)
        .set("group.instance.id", "one")
        .set("session.timeout.ms", "3000")
        .set("heartbeat.interval.ms", "500")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .create()
        .unwrap();
    intruder.subscribe(&[&config.topic(Topic::Inbound)]).unwrap();
    until("one is put out", PATIENCE, || {
        intruder.poll(Duration::from_millis(10));
        one.owned().is_empty()
    });
    drop(intruder);
    until("one has all again", PATIENCE, || one.owned().len() == 2);
    for partition in one.owned() {
        assert_eq!(one.engine.commit_next(partition), CommitAnswer::Committed);
    }
    assert_eq!(one.assignment.trouble(), None);
}

#[test]
fn partitions_that_a_killed_process_had_just_let_go_get_an_owner_though_it_is_back_at_once() {
    let Some(config) = config(4) else { return };
    let story = Story::default();
    let told = |what: &str| story.lock().unwrap().iter().filter(|line| line.starts_with(what)).count();
    let old = Process::start(&config, "one", &story);
    until("one has all", PATIENCE, || old.owned().len() == 4);
    let (gone, grave) = mpsc::channel();
    *old.engine.grave.lock().unwrap() = Some(grave);
    let two = Process::start(&config, "two", &story);
    until("one is killed while it gives two of them away", PATIENCE, || told("one dies with") == 2);
    // Before its session ends; the group gives it what it has given it before.
    let new = Process::start(&config, "one", &story);
    until("each has two", PATIENCE, || new.owned().len() == 2 && two.owned().len() == 2);
    let all: BTreeSet<Partition> = new.owned().into_iter().chain(two.owned()).collect();
    assert_eq!(all.len(), 4);
    for process in [&new, &two] {
        assert_eq!(process.assignment.trouble(), None);
        for partition in process.owned() {
            until("an owner commits", PATIENCE, || match process.engine.commit_next(partition) {
                CommitAnswer::Committed => true,
                CommitAnswer::Aborted(_) => false,
                other => panic!("{other:?}"),
            });
        }
    }
    drop(gone);
}

#[test]
fn a_producer_that_was_fenced_by_a_time_out_gets_its_partitions_again() {
    let Some(config) = config(2) else { return };
    let story = Story::default();
    let one = Process::start(&config, "one", &story);
    until("one has all", PATIENCE, || one.owned().len() == 2);
    for partition in one.owned() {
        assert_eq!(one.engine.commit_next(partition), CommitAnswer::Committed);
    }
    // What the broker does when a transaction takes too long: the producer's epoch moves on.
    let mut same = config;
    "one".clone_into(&mut same.instance_id);
    let other: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &same.brokers)
        .set("transactional.id", same.transactional_id(0))
        .create()
        .unwrap();
    other.init_transactions(PATIENCE).unwrap();
    let answer = one.engine.commit_next(Partition(0));
    assert!(matches!(answer, CommitAnswer::Fenced(_)), "{answer:?}");
    let told = || story.lock().unwrap().clone();
    until("it is told", PATIENCE, || told().ends_with(&["one loses 0".to_owned(), "one gets 0".to_owned()]));
    assert_eq!(one.engine.commit_next(Partition(0)), CommitAnswer::Committed);
    assert_eq!(one.engine.commit_next(Partition(1)), CommitAnswer::Committed);
    assert!(!told().contains(&"one loses 1".to_owned()), "the other committer's partition goes on");
}
