//! The engine's promises, driven through a small pipeline of toy operators.

mod bounds;
mod cells;
mod doubles;
mod handover;
mod moving;
mod overlay;
mod ownership;
mod placing;
mod replay;
mod restore;
mod snapshots;
mod tenants;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use leadline_connectors::blob_memory::MemoryBlob;
use leadline_connectors::contract::state::State;
use leadline_connectors::contract::{provider::Provider, share::Share};
use leadline_connectors::log_memory::{CommitFault, MemoryLog};
use leadline_operators::contract::{
    Context, Fault, Operator, OperatorId, OperatorResult, Table, TableSpec, TimerKind,
};
use leadline_schemas::audit::Audit;
use leadline_schemas::avro;
use leadline_schemas::command::Command;
use leadline_schemas::dead_letter::{DeadLetter, InputKind};
use leadline_schemas::frame::{CommitFrame, Output};
use leadline_schemas::inbound::{EventKind, Inbound, Origin};
use leadline_schemas::layout::Change;
use leadline_schemas::partitioning::Key;
use leadline_schemas::reply::{Answered, JobFailed, JobRequest};
use leadline_schemas::settings::Settings;
use leadline_schemas::{EventId, JobId, Millis, Partition, TenantId, Topic};

use self::doubles::{Oracle, TestClock, TestRecords, TestState};
use super::assembly::EngineParts;
use super::graph::Flow;
use super::jobs::Responders;
use super::keys;
use super::start::Engine;

/// Counts what it sees per caller; some words in a body make it do other things.
struct Toy;

/// The count is kept in an audit row's text: any record will do.
const COUNTS: Table<Audit> = Table::new(1, "counts", None);
const TABLES: &[TableSpec] = &[COUNTS.spec];

impl Operator for Toy {
    const ID: OperatorId = OperatorId { number: 7, name: "toy" };
    type In = Inbound;
    type Out = (String, i64);

    fn tables() -> &'static [TableSpec] {
        TABLES
    }

    fn on_record(&mut self, cx: &mut Context<'_, Self::Out>, record: Inbound) -> OperatorResult {
        let body = String::from_utf8_lossy(&record.body).into_owned();
        count(cx, &record.caller)?;
        if body.contains("poison") && record.attempt == 0 {
            return Err(Fault::poison("the body says so"));
        }
        assert!(!body.contains("panic"), "the body says panic");
        if body.contains("loud") {
            cx.emit(("loud".repeat(2 << 10), 1));
        }
        if body.contains("job") {
            cx.job(JobRequest {
                kind: "ask".to_owned(),
                target: "oracle".to_owned(),
                payload: Bytes::from(record.caller.clone()),
                not_before: if body.contains("later") { cx.now.plus(1_000) } else { Millis(0) },
                revision: 1,
            });
        }
        if body.contains("timer") {
            cx.timer(TimerKind::Now, record.caller.as_bytes(), cx.now.plus(50))?;
        }
        Ok(())
    }

    fn on_reply(
        &mut self,
        cx: &mut Context<'_, Self::Out>,
        _: JobId,
        answer: Result<Answered, JobFailed>,
    ) -> OperatorResult {
        let caller = match answer {
            Ok(answered) => format!("answer:{}", String::from_utf8_lossy(&answered.body)),
            Err(failed) => format!("failed:{}", failed.why),
        };
        replay::check(cx, caller.trim_start_matches("answer:"))?;
        count(cx, &caller)
    }

    fn on_timer(
        &mut self,
        cx: &mut Context<'_, Self::Out>,
        _: TimerKind,
        name: &[u8],
        _: Millis,
    ) -> OperatorResult {
        replay::check(cx, &String::from_utf8_lossy(name))?;
        count(cx, &format!("timer:{}", String::from_utf8_lossy(name)))
    }
}

fn count(cx: &mut Context<'_, (String, i64)>, name: &str) -> OperatorResult {
    let tenant = cx.key.tenant.clone();
    let event_id = cx.cause.event_id();
    let fresh = || Audit {
        tenant,
        id: event_id,
        kind: String::new(),
        subject: String::new(),
        text: "0".to_owned(),
        event_id,
        at: Millis(0),
    };
    let seen = cx.update(&COUNTS, name.as_bytes(), fresh, |row| {
        let seen: i64 = row.text.parse::<i64>().unwrap() + 1;
        row.text = seen.to_string();
        seen
    })?;
    cx.emit((name.to_owned(), seen));
    Ok(())
}

fn toy_pipeline(inbound: Flow<Inbound>) {
    let counted = inbound.operator(Toy);
    counted.publish(|(name, seen)| {
        let (key, value) = (Bytes::from(name.clone()), Bytes::from(seen.to_string()));
        Some(Ok(Output { topic: Topic::Leads, key, value }))
    });
}

/// One engine on parts that outlive it.
#[derive(Clone)]
struct Bench {
    log: Arc<MemoryLog>,
    state: Arc<TestState>,
    clock: Arc<TestClock>,
    blob: Arc<MemoryBlob>,
    runtime: Arc<tokio::runtime::Runtime>,
    fatal: Arc<Mutex<Vec<String>>>,
    is_shared: bool,
    provider: Arc<dyn Provider>,
    share: Arc<Share>,
    suspects: Option<(std::path::PathBuf, bool)>,
    generation: u32,
    origin: Option<Change>,
    records: Option<TestRecords>,
    settings: Arc<Mutex<Arc<Settings>>>,
    /// Where the tests' tenant lies.
    home: Partition,
}

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(TestClock::default());
        clock.wall.store(1_000_000, Relaxed);
        Self {
            log: Arc::new(MemoryLog::new(2)),
            state: Arc::default(),
            clock,
            blob: Arc::default(),
            runtime: Arc::new(tokio::runtime::Runtime::new().unwrap()),
            fatal: Arc::default(),
            is_shared: false,
            provider: Arc::new(Oracle),
            share: Arc::default(),
            suspects: None,
            generation: 1,
            origin: None,
            records: None,
            settings: Arc::default(),
            home: Partition(0),
        }
    }

    fn start(&self) -> Engine {
        self.start_owning(&[Partition(0), Partition(1)])
    }

    fn start_owning(&self, partitions: &[Partition]) -> Engine {
        let mut responders = Responders { share: Arc::clone(&self.share), ..Responders::default() };
        let oracle = ("oracle".to_owned(), Arc::clone(&self.provider));
        responders.providers.insert("ask".to_owned(), [oracle].into());
        let fatal = Arc::clone(&self.fatal);
        let engine = Engine::start(EngineParts {
            pipeline: toy_pipeline,
            pipeline_name: "toy",
            generation: self.generation,
            origin: self.origin.clone(),
            workers: 1,
            shared: self.is_shared,
            log: self.log.clone(),
            state: self.state.clone(),
            blob: self.blob.clone(),
            clock: self.clock.clone(),
            settings: {
                let settings = Arc::clone(&self.settings);
                Arc::new(move || Arc::clone(&settings.lock().unwrap()))
            },
            responders,
            writer: self.records.clone().map(|records| Box::new(records) as _),
            stored: Arc::new(|_| {}),
            runtime: self.runtime.handle().clone(),
            suspects: self.suspects.clone(),
            snapshot_interval: Duration::from_secs(3_600),
            fatal: Arc::new(move |why| fatal.lock().unwrap().push(why)),
        });
        engine.own(partitions).unwrap();
        engine
    }

    fn send(&self, n: usize, caller: &str, body: &str) {
        self.append(&inbound(n, caller, body, Origin::Direct, EventKind::PostCall));
    }

    fn append(&self, inbound: &Inbound) {
        self.log.push(Topic::Inbound, self.home, Bytes::from(avro::encode(inbound).unwrap()));
    }

    fn frames(&self) -> Vec<CommitFrame> {
        let frames = self.log.all(Topic::State, self.home);
        frames.iter().map(|bytes| avro::decode(bytes).unwrap()).collect()
    }

    /// All outputs of a topic, key and value as text, in the order of their commits.
    fn outputs(&self, topic: Topic) -> Vec<(String, Bytes)> {
        let all = self.frames().into_iter().flat_map(|frame| frame.outputs().unwrap());
        all.filter(|o| o.topic == topic)
            .map(|o| (String::from_utf8_lossy(&o.key).into_owned(), o.value))
            .collect()
    }

    /// The last count of a name.
    fn count(&self, name: &str) -> i64 {
        let counts = self.outputs(Topic::Leads);
        let last = counts.iter().rev().find(|(key, _)| key == name);
        last.map_or(0, |(_, value)| String::from_utf8_lossy(value).parse().unwrap())
    }

    fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !done(self) {
            assert!(Instant::now() < deadline, "{what}; fatal: {:?}", self.fatal.lock().unwrap());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn inbound(n: usize, caller: &str, body: &str, origin: Origin, kind: EventKind) -> Inbound {
    let key = Key::new(TenantId::new("summit").unwrap(), caller, 1);
    Inbound {
        event_id: EventId::of(&[caller.as_bytes(), &n.to_be_bytes()]),
        tenant: key.tenant.clone(),
        key_group: key.key_group,
        bucket: key.bucket,
        caller: caller.to_owned(),
        origin,
        kind,
        received_at: Millis(1_000_000),
        settings_version: 0,
        attempt: 0,
        key_id: None,
        trace: None,
        content_type: "application/json".into(),
        body: Bytes::from(body.to_owned()),
        body_ref: None,
    }
}

#[test]
fn each_event_has_its_effect_once_over_restarts() {
    let bench = Bench::new();
    for round in 0..5 {
        let engine = bench.start();
        for n in 0..100 {
            bench.send(round * 100 + n, &format!("caller-{}", n % 10), "{}");
        }
        bench.until("all counted", |b| b.count("caller-9") == (round as i64 + 1) * 10);
        assert!(engine.stop());
    }
    for caller in 0..10 {
        assert_eq!(bench.count(&format!("caller-{caller}")), 50);
    }
}

#[test]
fn a_store_that_lost_its_rows_is_rebuilt_from_the_log() {
    let bench = Bench::new();
    let engine = bench.start();
    for n in 0..50 {
        bench.send(n, "a", "{}");
    }
    bench.until("counted", |b| b.count("a") == 50);
    engine.stop();
    bench.state.clear(Partition(0)).unwrap();
    let engine = bench.start();
    bench.send(50, "a", "{}");
    bench.until("counted on top of the rebuilt rows", |b| b.count("a") == 51);
    engine.stop();
}

#[test]
fn an_aborted_commit_leaves_nothing_and_runs_again() {
    let bench = Bench::new();
    for fault in [
        CommitFault::Aborted,
        CommitFault::Unknown { written: true },
        CommitFault::Aborted,
        CommitFault::Unknown { written: false },
    ] {
        bench.log.fail_commit(fault);
    }
    let engine = bench.start();
    for n in 0..20 {
        bench.send(n, "a", "{}");
    }
    bench.until("counted once each", |b| b.count("a") == 20);
    engine.stop();
    let seen: Vec<String> = bench
        .outputs(Topic::Leads)
        .iter()
        .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        .collect();
    let expected: Vec<String> = (1..=20).map(|n| n.to_string()).collect();
    assert_eq!(seen, expected, "no count is skipped or repeated");
}

#[test]
fn poison_and_panics_become_dead_letters_alone() {
    let bench = Bench::new();
    for n in 0..30 {
        let body = match n {
            7 => "poison",
            19 => "panic",
            _ => "{}",
        };
        bench.send(n, "a", body);
    }
    let engine = bench.start();
    bench.until("the others counted", |b| b.count("a") == 28);
    engine.stop();
    let letters: Vec<DeadLetter> =
        bench.outputs(Topic::DeadLetters).iter().map(|(_, value)| avro::decode(value).unwrap()).collect();
    let reasons: Vec<&str> = letters.iter().map(|letter| letter.reason.as_str()).collect();
    assert_eq!(letters.len(), 2, "{reasons:?}");
    assert_eq!(reasons[0], "the body says so");
    assert!(reasons[1].contains("the body says panic"), "{reasons:?}");
    assert_eq!(letters[0].offset, 7);
    assert_eq!(letters[0].operator, "toy");

    // A replay feeds the same record once more; its letter goes.
    let command = Command::Replay {
        dead_letter: letters[0].id.to_string(),
        operator: "toy".to_owned(),
        input_kind: InputKind::Record,
        input: letters[0].input.clone().unwrap(),
    };
    let body = serde_json::to_string(&command).unwrap();
    let engine = bench.start();
    bench.append(&inbound(100, "a", &body, Origin::Command, EventKind::Command));
    bench.until("the replayed record counted", |b| b.count("a") == 29);
    engine.stop();
    let (key, value) = bench.outputs(Topic::DeadLetters).pop().unwrap();
    assert_eq!((key, value.len()), (letters[0].id.to_string(), 0), "a tombstone");
}

#[test]
fn inputs_that_ran_alone_do_not_run_on_top_of_themselves_when_the_epoch_is_fed_more() {
    // A backlog of several reads, with poison in each of them: one epoch, whose inputs run alone again and again.
    let filler = "x".repeat(40_000);
    for after_abort in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let suspects = Some((folder.path().to_owned(), after_abort));
        let bench = Bench { suspects, ..Bench::new() };
        for n in 0..100 {
            bench.send(n, "a", &if n % 9 == 4 { format!("poison {filler}") } else { filler.clone() });
        }
        let engine = bench.start();
        bench.until("the last is done", |b| {
            b.frames().last().is_some_and(|frame| frame.inbound_next.0 == 100)
        });
        engine.stop();
        assert_eq!(bench.count("a"), 89, "each good input counts once");
        assert_eq!(bench.outputs(Topic::DeadLetters).len(), 11);
    }
}

#[test]
fn a_job_is_answered_once_and_a_duplicate_reply_changes_nothing() {
    let bench = Bench::new();
    let engine = bench.start();
    bench.send(1, "a", "job");
    bench.until("answered", |b| b.count("answer:a") == 1);
    let reply = bench.log.all(Topic::Replies, Partition(0))[0].clone();
    bench.log.push(Topic::Replies, Partition(0), reply);
    bench.send(2, "b", "{}");
    bench.until("b counted", |b| b.count("b") == 1);
    engine.stop();
    assert_eq!(bench.count("answer:a"), 1);
}

#[test]
fn a_job_without_provider_fails_as_a_reply() {
    let bench = Bench::new();
    let engine = bench.start();
    bench.send(1, "a", "job");
    bench.until("answered", |b| b.count("answer:a") == 1);
    engine.stop();
    let frames = bench.frames();
    let job_rows = frames.iter().flat_map(|frame| &frame.rows).filter(|row| {
        keys::parse_row(&row.key).is_some_and(|row| row.operator == keys::ENGINE && row.table == keys::JOBS)
    });
    let (put, deleted): (Vec<_>, Vec<_>) = job_rows.partition(|row| row.value.is_some());
    assert_eq!((put.len(), deleted.len()), (1, 1), "the pending row came and went in frames");
}

#[test]
fn a_timer_fires_once_when_it_is_due_also_after_a_restart() {
    let bench = Bench::new();
    let engine = bench.start();
    bench.send(1, "a", "timer");
    bench.until("set", |b| b.count("a") == 1);
    assert_eq!(bench.count("timer:a"), 0);
    engine.stop();
    bench.clock.wall.fetch_add(60, Relaxed);
    let engine = bench.start();
    bench.until("fired", |b| b.count("timer:a") == 1);
    bench.clock.wall.fetch_add(600, Relaxed);
    bench.send(2, "b", "{}");
    bench.until("b counted", |b| b.count("b") == 1);
    engine.stop();
    assert_eq!(bench.count("timer:a"), 1, "not again");
}
