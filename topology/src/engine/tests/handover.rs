//! One process takes another's place: what runs is named and left alone, everything else goes on at once.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use leadline_connectors::contract::BoxFuture;
use leadline_connectors::contract::provider::{CallError, Provider, ProviderAnswer};
use leadline_connectors::contract::state::State;
use leadline_schemas::reply::PendingJob;
use leadline_schemas::{CommitNumber, Partition};
use tokio::sync::Semaphore;

use super::{Bench, TestState};
use crate::engine::handover::Handed;
use crate::engine::limits::LEASE_MS;
use crate::engine::start::Engine;

const P: Partition = Partition(0);
const PATIENCE: Duration = Duration::from_secs(10);

/// A provider that counts its calls and answers as many as it is let.
struct Gate {
    calls: AtomicUsize,
    answers: Semaphore,
    /// What it says of its attempts.
    attempt: Option<Duration>,
}

impl Gate {
    fn new(answers: usize) -> Arc<Self> {
        Self::taking(None, answers)
    }

    fn taking(attempt: Option<Duration>, answers: usize) -> Arc<Self> {
        Arc::new(Self { calls: AtomicUsize::new(0), answers: Semaphore::new(answers), attempt })
    }

    fn calls(&self) -> usize {
        self.calls.load(Relaxed)
    }
}

impl Provider for Gate {
    fn name(&self) -> &str {
        "gate"
    }
    fn attempt_timeout(&self) -> Option<Duration> {
        self.attempt
    }
    fn call(&self, job: PendingJob, _: Duration) -> BoxFuture<'_, Result<ProviderAnswer, CallError>> {
        Box::pin(async move {
            self.calls.fetch_add(1, Relaxed);
            self.answers.acquire().await.unwrap().forget();
            Ok(ProviderAnswer { body: job.request.payload, cost_micros: 0 })
        })
    }
}

/// A process with a state store of its own on the same log.
fn member(bench: &Bench, provider: &Arc<Gate>) -> (Bench, Engine) {
    let state = Arc::<TestState>::default();
    let member = Bench { state, is_shared: true, provider: provider.clone(), ..bench.clone() };
    let engine = member.start_owning(&[]);
    (member, engine)
}

/// The first process has a job of `a` running and hands over; what it says.
fn hand_over(bench: &Bench, first: &Engine, gate: &Gate) -> Handed {
    first.owner().assigned(&[P]);
    bench.send(0, "a", "job");
    bench.until("the job runs", |_| gate.calls() == 1);
    assert_eq!((first.holding())().jobs.len(), 1, "who asks before hears of it too");
    first.begin_hand_over();
    first.owner().revoked(&[P], PATIENCE);
    let handed = first.hand_over();
    assert_eq!(handed.commits, [(P, CommitNumber(bench.frames().len() as u64))].into());
    assert!(!bench.frames().pop().unwrap().released, "what runs is named, not waited for");
    assert_eq!(handed.jobs.len(), 1);
    handed
}

#[test]
fn a_call_that_runs_is_answered_by_the_old_process_while_the_new_one_starts_others() {
    let (bench, slow, quick) = (Bench::new(), Gate::new(0), Gate::new(9));
    let ((_, first), (_, second)) = (member(&bench, &slow), member(&bench, &quick));
    let handed = hand_over(&bench, &first, &slow);
    assert!((1..=31_000).contains(&handed.jobs[0].left_ms), "{handed:?}");
    second.inherit(handed);
    second.owner().assigned(&[P]);
    bench.send(1, "b", "job");
    bench.until("the new process makes its own call", |b| b.count("answer:b") == 1);
    assert_eq!((quick.calls(), bench.count("answer:a")), (1, 0), "the named job is left alone");
    assert!(!first.wait_quiet(Duration::from_millis(1)), "it runs still");
    slow.answers.add_permits(1);
    bench.until("the old process answers", |b| b.count("answer:a") == 1);
    assert!(first.wait_quiet(PATIENCE));
    // Its place in the lane is free again, and it is not started when its time has come.
    bench.clock.boot.fetch_add(LEASE_MS, Relaxed);
    for n in 2..20 {
        bench.send(n, "c", "{}");
    }
    bench.until("counted", |b| b.count("c") == 18);
    assert_eq!((slow.calls(), quick.calls(), bench.count("answer:a")), (1, 1, 1));
    assert!(first.stop() && second.stop());
}

#[test]
fn a_call_that_nobody_answers_is_made_again_behind_its_deadline() {
    let (bench, slow, quick) = (Bench::new(), Gate::new(0), Gate::new(9));
    let ((_, first), (_, second)) = (member(&bench, &slow), member(&bench, &quick));
    let handed = hand_over(&bench, &first, &slow);
    let left_ms = handed.jobs[0].left_ms;
    second.inherit(handed);
    second.owner().assigned(&[P]);
    bench.send(1, "b", "job");
    bench.until("the new process makes its own call", |b| b.count("answer:b") == 1);
    assert_eq!(quick.calls(), 1);
    bench.clock.boot.fetch_add(left_ms, Relaxed);
    bench.until("the call is made again", |b| b.count("answer:a") == 1);
    assert_eq!((slow.calls(), quick.calls()), (1, 2));
    assert!(second.stop());
    first.stop();
}

/// Recognition in one request may take two minutes, and is billed by each request.
#[test]
fn a_call_that_takes_minutes_is_left_alone_for_as_long_by_every_successor() {
    let (bench, slow) = (Bench::new(), Gate::taking(Some(Duration::from_secs(120)), 0));
    let quick = Gate::taking(Some(Duration::from_secs(120)), 9);
    let ((_, first), (_, second)) = (member(&bench, &slow), member(&bench, &quick));
    let handed = hand_over(&bench, &first, &slow);
    assert!((110_000..=121_000).contains(&handed.jobs[0].left_ms), "{handed:?}");
    second.inherit(handed);
    second.owner().assigned(&[P]);
    bench.clock.boot.fetch_add(60_000, Relaxed);
    bench.send(1, "b", "job");
    bench.until("the new process makes its own call", |b| b.count("answer:b") == 1);
    assert_eq!(quick.calls(), 1, "twice the usual time has passed");
    // Its place is taken in turn while the call still runs in the first.
    second.begin_hand_over();
    second.owner().revoked(&[P], PATIENCE);
    let handed = second.hand_over();
    assert_eq!(handed.jobs.len(), 1, "{handed:?}");
    assert!((50_000..=61_000).contains(&handed.jobs[0].left_ms), "{handed:?}");
    let (_, third) = member(&bench, &quick);
    third.inherit(handed);
    third.owner().assigned(&[P]);
    bench.send(2, "c", "job");
    bench.until("the third makes its own call", |b| b.count("answer:c") == 1);
    assert_eq!(quick.calls(), 2);
    slow.answers.add_permits(1);
    bench.until("the first process answers", |b| b.count("answer:a") == 1);
    bench.clock.boot.fetch_add(61_000, Relaxed);
    bench.send(3, "d", "job");
    bench.until("the third goes on", |b| b.count("answer:d") == 1);
    assert_eq!((slow.calls(), quick.calls()), (1, 3), "nothing is asked, and billed, twice");
    assert!(first.stop() && second.stop() && third.stop());
}

#[test]
fn no_call_is_left_alone_for_longer_than_the_old_process_stays() {
    let (bench, slow) = (Bench::new(), Gate::taking(Some(Duration::from_secs(86_400)), 0));
    let (_, first) = member(&bench, &slow);
    let handed = hand_over(&bench, &first, &slow);
    assert_eq!(handed.jobs[0].left_ms, 601_000);
    first.stop();
}

#[test]
fn a_process_that_has_handed_over_starts_nothing() {
    let (bench, gate) = (Bench::new(), Gate::new(0));
    let (_, first) = member(&bench, &gate);
    hand_over(&bench, &first, &gate);
    first.owner().assigned(&[P]);
    bench.send(1, "b", "job");
    bench.until("it may have partitions", |b| b.count("b") == 1);
    gate.answers.add_permits(9);
    bench.until("what ran is answered", |b| b.count("answer:a") == 1);
    assert!(first.wait_quiet(PATIENCE));
    assert_eq!((gate.calls(), bench.count("answer:b")), (1, 0));
    first.stop();
}

#[test]
fn what_was_told_of_a_partition_holds_only_as_long_as_nobody_has_committed_since() {
    let (bench, gate) = (Bench::new(), Gate::new(9));
    let (_, engine) = member(&bench, &gate);
    let ownership = &engine.handles_for_tests().ownership;
    let told = Handed { commits: [(P, CommitNumber(7))].into(), jobs: Vec::new() };
    engine.inherit(told.clone());
    assert!(!ownership.inheritance(P, CommitNumber(8)).is_whole, "somebody else has had it");
    engine.inherit(told);
    assert!(!ownership.inheritance(Partition(1), CommitNumber(7)).is_whole);
    assert!(ownership.inheritance(P, CommitNumber(7)).is_whole);
    assert!(!ownership.inheritance(P, CommitNumber(7)).is_whole, "and only when it comes first");
    assert!(engine.stop());
}

#[test]
fn a_standby_follows_and_goes_on_where_the_old_process_has_stopped() {
    let (bench, gate) = (Bench::new(), Gate::new(9));
    let ((_, first), (beside, second)) = (member(&bench, &gate), member(&bench, &gate));
    first.owner().assigned(&[P]);
    for round in 1..=5 {
        for n in 0..10 {
            bench.send(round * 10 + n, "a", "{}");
        }
        bench.until("counted", |b| b.count("a") == round as i64 * 10);
        let number = second.warm(P).unwrap();
        let rows = beside.state.open(P).unwrap();
        assert!(number.0 > 0 && rows.applied().unwrap() == number, "the standby's rows follow");
    }
    first.begin_hand_over();
    first.owner().revoked(&[P], PATIENCE);
    second.inherit(first.hand_over());
    second.warm(P).unwrap();
    second.owner().assigned(&[P]);
    assert!(second.wait_running(&[P].into(), PATIENCE));
    bench.send(100, "a", "{}");
    bench.until("counted on", |b| b.count("a") == 51);
    let seen = bench.outputs(leadline_schemas::Topic::Leads).into_iter();
    let seen: Vec<i64> = seen.map(|(_, count)| String::from_utf8_lossy(&count).parse().unwrap()).collect();
    assert_eq!(seen, (1..=51).collect::<Vec<_>>(), "no count is skipped or repeated");
    assert!(first.stop() && second.stop());
}
