//! Against a registry of a few lines: what goes out, what comes in, and who waits for what.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use leadline_schemas::avro::{self, AvroRecord as _};
use leadline_schemas::settings::Tenant;
use leadline_schemas::{CommitNumber, reply::Reply};
use leadline_tests::until;
use serde_json::json;

use super::*;
use crate::conformance::log::{LogUnderTest, Records, Values, suite};
use crate::conformance::registry::{PASSWORD, Registry, USER};
use crate::log_embedded::tests::suite::{End, Folder, Stepped};
use crate::log_memory::MemoryLog;
use crate::log_memory::tests::Restarted;

const P0: Partition = Partition(0);
const PATIENCE: Duration = Duration::from_secs(10);

fn password() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{PASSWORD}\n")).unwrap();
    file
}

fn config(url: &str, password: &tempfile::NamedTempFile) -> RegistryConfig {
    let password_file = Some(password.path().to_owned());
    RegistryConfig { url: url.to_owned(), user: Some(USER.to_owned()), password_file }
}

fn open(log: &MemoryLog, url: &str) -> Result<RegistryLog, RegistryError> {
    let password = password();
    RegistryLog::open(Arc::new(log.clone()), config(url, &password), |topic| format!("test.{topic}"))
}

/// As `open`, with a password file that stays.
fn opened(log: &MemoryLog, url: &str) -> (RegistryLog, tempfile::NamedTempFile) {
    let password = password();
    let config = config(url, &password);
    (RegistryLog::open(Arc::new(log.clone()), config, |topic| format!("test.{topic}")).unwrap(), password)
}

/// A value whose datum nobody looks at.
fn value(topic: Topic, text: &str) -> Bytes {
    let newest = avro::of_topic(topic).last().unwrap();
    let mut value = MARKER.to_vec();
    value.extend_from_slice(&newest.fingerprint.to_le_bytes());
    value.extend_from_slice(text.as_bytes());
    Bytes::from(value)
}

fn append(log: &RegistryLog, topic: Topic, value: Bytes) -> Result<Vec<Offset>, AppendError> {
    let appending = log.append(vec![Append { topic, partition: P0, key: Bytes::new(), value }]);
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(appending)
}

fn read(log: &RegistryLog, topic: Topic) -> Vec<Bytes> {
    log.read(topic, P0, Offset(0), 1 << 20).unwrap().records.into_iter().map(|record| record.value).collect()
}

/// A log under test, seen through a registry.
struct Registered {
    inner: Box<dyn LogUnderTest>,
    config: RegistryConfig,
}

impl LogUnderTest for Registered {
    fn start(&mut self) -> Arc<dyn Log> {
        let name = |topic: Topic| format!("test.{topic}");
        Arc::new(RegistryLog::open(self.inner.start(), self.config.clone(), name).unwrap())
    }
    fn values(&self) -> Arc<dyn Values> {
        Arc::new(Records)
    }
    fn work(&mut self) -> bool {
        self.inner.work()
    }
    fn holds_still(&self) -> bool {
        self.inner.holds_still()
    }
    fn upkeep(&mut self) {
        self.inner.upkeep();
    }
    fn fill(&mut self) -> bool {
        self.inner.fill()
    }
    fn free(&mut self) {
        self.inner.free();
    }
}

/// Runs the suite on what `fresh` makes, seen through a registry.
fn registered_suite(fresh: &dyn Fn() -> Box<dyn LogUnderTest>) {
    let (registry, url) = Registry::start();
    let password = password();
    let config = config(&url, &password);
    suite(&|| Box::new(Registered { inner: fresh(), config: config.clone() }));
    assert!(registry.asked.load(SeqCst) > 0);
}

#[test]
fn before_the_log_in_memory_it_passes_the_suite() {
    for (held, kept) in [(false, 0), (true, 3)] {
        registered_suite(&|| Box::new(Restarted { log: None, held, kept }));
    }
}

#[test]
fn before_the_embedded_log_it_passes_the_suite_with_threads_and_step_by_step() {
    registered_suite(&|| Box::new(Folder { folder: tempfile::tempdir().unwrap(), tail_cache_bytes_max: 0 }));
    registered_suite(&|| Box::new(Stepped::new(End::Machine(4))));
}

#[test]
fn values_go_out_with_ids_and_come_back_as_they_were_beside_those_of_before() {
    let (registry, url) = Registry::start();
    let memory = MemoryLog::new(1);
    let before = value(Topic::Replies, "before the registry");
    memory.push(Topic::Replies, P0, before.clone());
    let (log, _password) = opened(&memory, &url);
    let after = value(Topic::Replies, "after");
    append(&log, Topic::Replies, after.clone()).unwrap();
    assert_eq!(read(&log, Topic::Replies), [before, after.clone()]);
    let outside = memory.all(Topic::Replies, P0)[1].clone();
    let id = id_of(&outside).unwrap();
    let schemas = registry.schemas.lock().unwrap();
    let newest = *Reply::VERSIONS.last().unwrap();
    assert_eq!((schemas[id as usize - 1].as_str(), &outside[PREFIX_BYTES..]), (newest, &b"after"[..]));
    for topic in Topic::ALL {
        let registered = registry.newest.lock().unwrap().contains_key(&format!("test.{topic}-value"));
        assert_eq!(registered, topic != Topic::State, "{topic}");
    }
    let refused = append(&log, Topic::Replies, value(Topic::Settings, "of another topic"));
    assert!(matches!(refused, Err(AppendError::Failed(_))), "{refused:?}");
}

#[test]
fn outputs_of_a_commit_go_out_with_ids_and_its_frame_and_tombstones_as_they_are() {
    let (_registry, url) = Registry::start();
    let memory = Outputs::default();
    let password = password();
    let log = RegistryLog::open(Arc::new(memory.clone()), config(&url, &password), |topic| topic.to_string());
    let output = |topic, value| Output { topic, key: Bytes::from_static(b"key"), value };
    let outputs =
        vec![output(Topic::Calls, value(Topic::Calls, "a call")), output(Topic::DeadLetters, Bytes::new())];
    let frame = Bytes::from_static(b"\xC3\x01 a frame");
    let commit = Commit {
        partition: P0,
        number: CommitNumber(1),
        inbound_next: Offset(0),
        replies_next: Offset(0),
        outputs: Arc::new(outputs),
        frame: frame.clone(),
    };
    log.unwrap().commit(commit, Box::new(|_| {}));
    let sent = memory.0.lock().unwrap().pop().unwrap();
    assert_eq!((sent.frame, &sent.outputs[1].value[..]), (frame, &b""[..]));
    assert!(id_of(&sent.outputs[0].value).is_some() && sent.outputs[0].value.ends_with(b"a call"));
}

/// Keeps commits.
#[derive(Clone, Default)]
struct Outputs(Arc<Mutex<Vec<Commit>>>);

impl Log for Outputs {
    fn partitions(&self) -> u16 {
        1
    }
    fn append(&self, _: Vec<Append>) -> BoxFuture<'static, Result<Vec<Offset>, AppendError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
    fn commit(&self, commit: Commit, done: Box<dyn FnOnce(CommitAnswer) + Send>) {
        self.0.lock().unwrap().push(commit);
        done(CommitAnswer::Committed);
    }
    fn read(&self, _: Topic, _: Partition, _: Offset, _: usize) -> Result<Chunk, ReadError> {
        Ok(Chunk::default())
    }
    fn range(&self, _: Topic, _: Partition) -> Result<(Offset, Offset), ReadError> {
        Ok((Offset(0), Offset(0)))
    }
    fn listen(&self, _: Topic, _: Partition, _: Listener) {}
    fn set_floor(&self, _: Topic, _: Partition, _: Offset) {}
    fn health(&self) -> LogHealth {
        LogHealth::default()
    }
}

#[test]
fn a_record_whose_id_is_not_known_waits_with_all_behind_it_until_it_is() {
    let (registry, url) = Registry::start();
    let memory = MemoryLog::new(1);
    let (log, _password) = opened(&memory, &url);
    let heard = Arc::new(AtomicUsize::new(0));
    let listener = Arc::clone(&heard);
    log.listen(Topic::Settings, P0, Arc::new(move || _ = listener.fetch_add(1, SeqCst)));
    let first = value(Topic::Settings, "first");
    append(&log, Topic::Settings, first.clone()).unwrap();
    registry.is_down.store(true, SeqCst);
    let schema = (*Tenant::VERSIONS.last().unwrap()).to_owned() + " ";
    let id = registry.add(&schema);
    memory.push(Topic::Settings, P0, outside(&value(Topic::Settings, "second"), id));
    append(&log, Topic::Settings, value(Topic::Settings, "third")).unwrap();
    let before = heard.load(SeqCst);
    let chunk = log.read(Topic::Settings, P0, Offset(0), 1 << 20).unwrap();
    assert_eq!(
        (chunk.records.len(), chunk.next, chunk.end),
        (1, Offset(1), Offset(1)),
        "as if it had not come"
    );
    until("health says so", PATIENCE, || {
        log.health().unavailable.is_some_and(|why| why.contains("away") && why.contains(&id.to_string()))
    });
    let waits = log.fetch(Topic::Settings, P0, Offset(1), 1 << 20);
    assert!(matches!(&waits, Err(ReadError::Unavailable(why)) if why.contains("away")), "{waits:?}");
    registry.is_down.store(false, SeqCst);
    until("who listens is told", PATIENCE, || heard.load(SeqCst) > before);
    let expected = ["first", "second", "third"].map(|text| value(Topic::Settings, text));
    assert_eq!(read(&log, Topic::Settings), expected, "the same schema in other words is the same schema");
    assert_eq!(log.health().unavailable, None);

    let asked = registry.asked.load(SeqCst);
    (0..100).for_each(|_| _ = read(&log, Topic::Settings));
    assert_eq!(registry.asked.load(SeqCst), asked, "what is known is not asked for");
}

#[test]
fn what_others_registered_is_never_replaced_and_refusals_are_told() {
    let (registry, url) = Registry::start();
    let memory = MemoryLog::new(1);
    let theirs = json!({"type": "record", "name": "Theirs", "fields": [{"name": "x", "type": "long"}]});
    let subject = "test.calls-value".to_owned();
    registry.newest.lock().unwrap().insert(subject.clone(), theirs.to_string());
    let refused = open(&memory, &url).err().unwrap();
    let said = refused.to_string();
    assert!(matches!(refused, RegistryError::Incompatible { .. }), "{said}");
    assert!(
        said.contains("test.calls-value") && said.contains("call v") && said.contains("kafka.group"),
        "{said}"
    );
    assert_eq!(registry.newest.lock().unwrap()[&subject], theirs.to_string());

    let nobody = RegistryConfig { url: url.clone(), user: None, password_file: None };
    let refused =
        RegistryLog::open(Arc::new(memory.clone()), nobody, |topic| topic.to_string()).err().unwrap();
    assert!(refused.to_string().contains("who are you?"), "{refused}");
    registry.is_down.store(true, SeqCst);
    let refused = open(&memory, &url).err().unwrap();
    assert!(matches!(refused, RegistryError::Unavailable { .. }), "{refused}");
    let refused = open(&memory, "http://127.0.0.1:1").err().unwrap();
    assert!(refused.to_string().contains("could not be reached"), "{refused}");
}
