//! Acknowledged is forwarded, in order, whatever happens between; and nobody waits who need not.

use std::collections::HashMap;
use std::time::Duration;

use leadline_schemas::inbound::{EventKind, Origin};
use leadline_schemas::partitioning::Key;
use leadline_schemas::{EventId, Millis, TenantId, avro};
use leadline_tests::until;
use proptest::prelude::*;

use super::forwarder::Turn;
use super::*;
use crate::clock_system::SystemClock;
use crate::disk_folder::FolderDisk;
use crate::log_embedded::{EmbeddedLog, EmbeddedLogConfig, Retention};
use crate::log_memory::{AppendFault, CommitFault, MemoryLog};

const PARTITIONS: u16 = 4;

/// A spool before a log, both in memory.
struct Site {
    behind: MemoryLog,
    spool: MemoryLog,
    log: SpooledLog,
    forwarder: Forwarder,
}

impl Site {
    fn new() -> Self {
        Self::on(MemoryLog::new(PARTITIONS), MemoryLog::new(1))
    }

    fn on(behind: MemoryLog, spool: MemoryLog) -> Self {
        let (before, after) = (Arc::new(spool.clone()), Arc::new(behind.clone()));
        let (log, forwarder) = SpooledLog::open_stepped(after, before, Arc::new(SystemClock)).unwrap();
        Self { behind, spool, log, forwarder }
    }

    /// The next process finds the log behind as it is, and the spool as it was made durable.
    fn restart(self) -> Self {
        let spool = self.spool.crash(0);
        Self::on(self.behind, spool)
    }

    fn append(&self, record: Append) -> Result<Vec<Offset>, AppendError> {
        block_on(self.log.append(vec![record]))
    }

    fn turn(&mut self) -> Turn {
        block_on(self.forwarder.turn())
    }

    /// Forwards until nothing waits.
    fn drain(&mut self) {
        self.behind.set_away(false);
        for _ in 0..1_000 {
            if self.turn() == Turn::Idle && self.log.shared.waiting() == 0 {
                return;
            }
        }
        panic!("{:?}", self.log.health());
    }

    /// What the log behind has, by partition, as numbers.
    fn behind(&self) -> Vec<Vec<u64>> {
        let numbers = |partition| {
            let values = self.behind.all(Topic::Inbound, Partition(partition));
            values.iter().map(number_of).collect()
        };
        (0..PARTITIONS).map(numbers).collect()
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// An event whose caller, and so its partition, depends on its number.
fn event(number: u64) -> Append {
    let tenant = TenantId::new("summit").unwrap();
    let key = Key::new(tenant.clone(), &format!("caller {}", number % 16), PARTITIONS);
    let inbound = Inbound {
        event_id: EventId::of(&[&number.to_be_bytes()]),
        tenant: tenant.clone(),
        key_group: key.key_group,
        bucket: key.bucket,
        caller: String::new(),
        origin: Origin::CallrailWebhook,
        kind: EventKind::PostCall,
        received_at: Millis(1_772_625_600_000),
        settings_version: 1,
        attempt: 0,
        key_id: None,
        trace: None,
        content_type: "".into(),
        body: Bytes::from(number.to_string()),
        body_ref: None,
    };
    let layout = leadline_schemas::partitioning::Layout { generation: 1, partitions: PARTITIONS };
    Append {
        topic: Topic::Inbound,
        partition: layout.partition(key.key_group),
        key: tenant.to_bytes(),
        value: Bytes::from(avro::encode(&inbound).unwrap()),
    }
}

fn number_of(value: &Bytes) -> u64 {
    String::from_utf8(Inbound::decode(value).unwrap().body.to_vec()).unwrap().parse().unwrap()
}

/// Numbers 0 to `end`, by the partition that each event named itself.
fn expected(numbers: impl IntoIterator<Item = u64>) -> Vec<Vec<u64>> {
    let mut expected = vec![Vec::new(); usize::from(PARTITIONS)];
    for number in numbers {
        expected[usize::from(event(number).partition.0)].push(number);
    }
    expected
}

#[test]
fn what_nobody_takes_waits_and_is_forwarded_in_order_with_all_that_came_behind_it() {
    let mut site = Site::new();
    site.append(event(0)).unwrap();
    assert_eq!(site.behind(), expected([0]), "nothing is in the way");
    site.behind.set_away(true);
    for number in 1..40 {
        site.append(event(number)).unwrap();
    }
    assert_eq!(site.turn(), Turn::Idle);
    assert_eq!(site.behind(), expected([0]));
    let said = site.log.health().unavailable.unwrap();
    assert!(said.contains("taken away by the test") && said.contains("39 wait"), "{said}");
    site.behind.set_away(false);
    // Somebody is there again, but 39 events came before these.
    (40..50).for_each(|number| drop(site.append(event(number)).unwrap()));
    assert_eq!(site.behind(), expected([0]));
    site.drain();
    assert_eq!(site.behind(), expected(0..50));
    let health = site.log.health();
    assert_eq!((health.unavailable, health.failed), (None, None));
    site.append(event(50)).unwrap();
    assert_eq!((site.behind(), site.log.shared.waiting()), (expected(0..51), 0), "and out of the way again");
}

#[test]
fn an_answer_that_was_lost_is_an_event_twice_and_a_full_queue_is_no_refusal() {
    let mut site = Site::new();
    site.behind.fail_append(AppendFault::Unavailable { written: true });
    site.append(event(7)).unwrap();
    site.drain();
    assert_eq!(site.behind(), expected([7, 7]));
    site.behind.fail_append(AppendFault::Busy);
    site.append(event(8)).unwrap();
    site.drain();
    assert_eq!(site.behind(), expected([7, 7, 8]));
    site.behind.fail_append(AppendFault::Failed { written: false });
    let refused = site.append(event(9));
    assert!(matches!(refused, Err(AppendError::Failed(_))), "what is broken is said: {refused:?}");
}

#[test]
fn a_full_spool_refuses_and_forwarding_makes_room() {
    let mut site = Site::new();
    site.behind.set_away(true);
    site.append(event(1)).unwrap();
    site.spool.set_full(true);
    assert_eq!(site.append(event(2)), Err(AppendError::Full));
    assert!(site.log.health().full);
    let bytes = site.log.shared.bytes.load(Ordering::Relaxed);
    assert_eq!(bytes, event(1).value.len() as u64, "what was refused is not counted");
    site.drain();
    assert!(!site.log.health().full, "a spool that nobody needs may be full");
    assert_eq!(site.log.shared.bytes.load(Ordering::Relaxed), 0);
    site.append(event(3)).unwrap();
    assert_eq!(site.behind(), expected([1, 3]));
}

#[test]
fn what_is_no_event_is_refused_and_one_of_a_newer_leadline_waits() {
    let mut site = Site::new();
    site.behind.set_away(true);
    let refused = site.append(Append { value: Bytes::from_static(b"no event"), ..event(1) });
    assert!(matches!(refused, Err(AppendError::Failed(_))), "{refused:?}");
    site.append(event(1)).unwrap();
    let mut newer = event(2).value.to_vec();
    newer[2] ^= 1; // The fingerprint of a schema that nobody here knows.
    site.spool.push(Topic::Inbound, P0, Bytes::from(newer));
    site.behind.set_away(false);
    assert_eq!(site.turn(), Turn::Refused, "nothing is skipped");
    let said = site.log.health().unavailable.unwrap();
    assert!(said.contains("a newer leadline wrote it"), "{said}");
    site.append(event(3)).unwrap();
    assert_eq!((site.turn(), site.behind()), (Turn::Refused, expected([])));
}

#[test]
fn replies_and_settings_are_not_spooled() {
    let site = Site::new();
    site.behind.set_away(true);
    for topic in [Topic::Replies, Topic::Settings] {
        let refused = site.append(Append { topic, partition: P0, ..event(1) });
        assert!(matches!(refused, Err(AppendError::Unavailable(_))), "{topic}: {refused:?}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append,
    Turn,
    Away(bool),
    Behind(AppendFault),
    Note(CommitFault),
    Restart,
}

fn any_step() -> impl Strategy<Value = Step> {
    let written = any::<bool>();
    prop_oneof![
        6 => Just(Step::Append),
        3 => Just(Step::Turn),
        2 => any::<bool>().prop_map(Step::Away),
        1 => Just(Step::Behind(AppendFault::Busy)),
        2 => written.prop_map(|written| Step::Behind(AppendFault::Unavailable { written })),
        1 => Just(Step::Note(CommitFault::Aborted)),
        1 => written.prop_map(|written| Step::Note(CommitFault::Unknown { written })),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn each_acknowledged_event_is_forwarded_and_none_overtakes_another(steps in prop::collection::vec(any_step(), 1..80)) {
        let (mut site, mut accepted, mut next) = (Site::new(), Vec::new(), 0);
        for step in steps {
            match step {
                Step::Append => {
                    if site.append(event(next)).is_ok() {
                        accepted.push(next);
                    }
                    next += 1;
                }
                Step::Turn => drop(site.turn()),
                Step::Away(away) => site.behind.set_away(away),
                Step::Behind(fault) => site.behind.fail_append(fault),
                Step::Note(fault) => site.spool.fail_commit(fault),
                Step::Restart => site = site.restart(),
            }
        }
        prop_assert_eq!(accepted.len() as u64, next, "a spool with room refuses nothing");
        site.drain();
        let mut firsts = site.behind();
        for numbers in &mut firsts {
            let mut seen = HashMap::new();
            numbers.retain(|number| seen.insert(*number, ()).is_none());
        }
        prop_assert_eq!(firsts, expected(accepted));
    }
}

#[test]
fn a_restart_forwards_only_what_was_not_forwarded() {
    let mut site = Site::new();
    site.behind.set_away(true);
    (0..5).for_each(|number| drop(site.append(event(number)).unwrap()));
    site.drain();
    site.behind.set_away(true);
    (5..9).for_each(|number| drop(site.append(event(number)).unwrap()));
    let spool: Arc<dyn Log> = Arc::new(site.spool.clone());
    assert_eq!(kept(&spool).unwrap(), Kept { partitions: Some(PARTITIONS), events: 4 });
    let mut site = site.restart();
    let waiting: usize = (5..9).map(|number| event(number).value.len()).sum();
    assert_eq!(site.log.shared.bytes.load(Ordering::Relaxed), waiting as u64);
    site.drain();
    assert_eq!(site.behind(), expected(0..9));
    let mut site = site.restart();
    assert_eq!((site.turn(), site.behind()), (Turn::Idle, expected(0..9)));
}

/// Polls once.
fn poll<T>(future: &mut BoxFuture<'_, T>) -> Option<T> {
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(answer) => Some(answer),
        std::task::Poll::Pending => None,
    }
}

#[test]
fn events_that_come_without_end_wait_for_the_last_batch_and_go_past_the_spool_then() {
    for is_taken in [true, false] {
        let mut site = Site::new();
        site.behind.set_away(true);
        site.append(event(1)).unwrap();
        site.behind.set_away(false);
        site.behind.hold();
        if !is_taken {
            site.behind.fail_append(AppendFault::Unavailable { written: false });
        }
        let (log, spool, behind) = (site.log, site.spool, site.behind);
        let mut turn: BoxFuture<'_, Turn> = Box::pin(site.forwarder.turn());
        assert_eq!(poll(&mut turn), None, "the batch is under way");
        let mut waiting = log.append(vec![event(2)]);
        assert_eq!((poll(&mut waiting), spool.all(Topic::Inbound, P0).len()), (None, 1), "it is not spooled");
        behind.let_go();
        assert!(poll(&mut turn).is_some());
        drop(turn);
        block_on(waiting).unwrap();
        // It went past the spool, or behind the one that still waits there.
        assert_eq!(spool.all(Topic::Inbound, P0).len(), if is_taken { 0 } else { 2 });
        let mut site = Site { log, spool, behind, forwarder: site.forwarder };
        site.drain();
        assert_eq!(site.behind(), expected([1, 2]));
    }
}

#[test]
fn it_closes_while_somebody_behind_does_not_answer() {
    let (behind, spool) = (MemoryLog::new(PARTITIONS), MemoryLog::new(1));
    behind.set_away(true);
    let clock = Arc::new(SystemClock);
    let log = SpooledLog::open(Arc::new(behind.clone()), Arc::new(spool.clone()), clock).unwrap();
    block_on(log.append(vec![event(1)])).unwrap();
    behind.hold();
    behind.set_away(false);
    until("the forwarder waits for an answer", Duration::from_secs(10), || behind.waiting() == 1);
    log.close();
    let spool: Arc<dyn Log> = Arc::new(spool);
    assert_eq!(kept(&spool).unwrap().events, 1, "it is there for the next process");
}

#[test]
fn what_was_forwarded_leaves_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let config = EmbeddedLogConfig {
        partitions: 1,
        segment_bytes: 64 << 10,
        upkeep_interval_ms: 20,
        retention: Retention { inbound_ms: 0, ..Retention::default() },
        ..EmbeddedLogConfig::default()
    };
    let disk = Arc::new(FolderDisk::open(folder.path()).unwrap());
    let spool = Arc::new(EmbeddedLog::open(config, disk, Arc::new(SystemClock), || 7).unwrap());
    until("spare segments", Duration::from_secs(10), || spool.health().disk_bytes >= 4 * (64 << 10));
    let behind = MemoryLog::new(PARTITIONS);
    let log = SpooledLog::open(Arc::new(behind.clone()), spool.clone(), Arc::new(SystemClock)).unwrap();
    behind.set_away(true);
    for number in 0..40 {
        let mut large = event(number);
        let mut inbound = Inbound::decode(&large.value).unwrap();
        inbound.trace = Some("x".repeat(20_000));
        large.value = Bytes::from(avro::encode(&inbound).unwrap());
        block_on(log.append(vec![large])).unwrap();
    }
    assert!(spool.health().disk_bytes > 800_000);
    behind.set_away(false);
    until("all of it is forwarded and gone", Duration::from_secs(10), || {
        log.shared.waiting() == 0 && spool.health().disk_bytes <= 5 * (64 << 10)
    });
}
