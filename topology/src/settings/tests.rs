//! Where events go while the layout changes.

use std::sync::atomic::{AtomicBool, Ordering};

use leadline_connectors::clock_system::SystemClock;
use leadline_connectors::contract::log::{Chunk, Commit, CommitAnswer, LogHealth};
use leadline_connectors::log_memory::MemoryLog;
use leadline_connectors::log_spool::{SpooledLog, Turn};
use leadline_connectors::secrets_file::FileSecrets;
use leadline_connectors::state_memory::MemoryState;
use leadline_schemas::inbound::{EventKind, Origin};
use leadline_schemas::layout::LayoutRecord;
use leadline_schemas::partitioning::Key;
use leadline_schemas::{EventId, Millis, TenantId};

use super::*;
use crate::admin::{self, Fresh, TenantSpec};
use crate::routed::RoutedLog;

const CALLER: &str = "+13035550142";
const HERE: Remote = Remote { is_remote: false, may_be_away: false };

/// A log whose `inbound` can be closed, as a change of layout does.
struct Closable {
    log: MemoryLog,
    is_closed: AtomicBool,
    is_away: AtomicBool,
}

impl Closable {
    fn new(partitions: u16) -> Arc<Self> {
        Arc::new(Self {
            log: MemoryLog::new(partitions),
            is_closed: AtomicBool::new(false),
            is_away: AtomicBool::new(false),
        })
    }

    /// The events of all partitions, with where they lie.
    fn events(&self) -> Vec<(Partition, Inbound)> {
        let of = |number| {
            let all = self.log.all(Topic::Inbound, Partition(number)).into_iter();
            all.map(move |value| (Partition(number), Inbound::decode(&value).unwrap()))
        };
        (0..self.log.partitions()).flat_map(of).collect()
    }
}

impl Log for Closable {
    fn partitions(&self) -> u16 {
        self.log.partitions()
    }
    fn append(&self, records: Vec<Append>) -> BoxFuture<'static, Result<Vec<Offset>, AppendError>> {
        let is_event = records.iter().any(|record| record.topic == Topic::Inbound);
        if is_event && self.is_closed.load(Ordering::SeqCst) {
            return Box::pin(async { Err(AppendError::Refused("closed".to_owned())) });
        }
        if is_event && self.is_away.load(Ordering::SeqCst) {
            return Box::pin(async { Err(AppendError::Unavailable("away".to_owned())) });
        }
        self.log.append(records)
    }
    fn commit(&self, commit: Commit, done: Box<dyn FnOnce(CommitAnswer) + Send>) {
        self.log.commit(commit, done);
    }
    fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit: usize,
    ) -> Result<Chunk, ReadError> {
        self.log.read(topic, partition, from, limit)
    }
    fn range(&self, topic: Topic, partition: Partition) -> Result<(Offset, Offset), ReadError> {
        self.log.range(topic, partition)
    }
    fn listen(&self, topic: Topic, partition: Partition, listener: Arc<dyn Fn() + Send + Sync>) {
        self.log.listen(topic, partition, listener);
    }
    fn set_floor(&self, topic: Topic, partition: Partition, floor: Offset) {
        self.log.set_floor(topic, partition, floor);
    }
    fn health(&self) -> LogHealth {
        self.log.health()
    }
}

fn summit() -> TenantId {
    TenantId::new("summit").unwrap()
}

/// Settings with one tenant, on the first layout.
fn open(log: &Arc<Closable>, folder: &Path) -> Arc<SettingsService> {
    let state: Arc<dyn State> = Arc::new(MemoryState::new());
    let copy = folder.join("settings.avro");
    let shape = Shape::first(log.partitions());
    let service = SettingsService::open(log.clone(), state, shape, copy, HERE).unwrap();
    let secrets = FileSecrets::open(&folder.join("secret.key")).unwrap();
    let spec = TenantSpec { tenant: "summit".to_owned(), ..TenantSpec::default() };
    let fresh = Fresh { token: None, source_key: "key".to_owned() };
    let tenant = admin::apply(&Settings::default(), &spec, &fresh, &secrets, Millis(0)).unwrap();
    let value = Bytes::from(avro::encode(&tenant).unwrap());
    put(&service, value);
    service
}

fn put(service: &SettingsService, value: Bytes) {
    let append = Append { topic: Topic::Settings, partition: SETTINGS, key: Bytes::new(), value };
    futures_util::FutureExt::now_or_never(service.log.append(vec![append])).unwrap().unwrap();
    service.refresh().unwrap();
}

/// The same partitions, and the tenant over eight slots.
fn spread() -> LayoutRecord {
    let (mut from, mut to) = (Shape::first(8), Shape { generation: 2, ..Shape::first(8) });
    from.set_spread(&summit(), 1);
    to.set_spread(&summit(), 8);
    LayoutRecord { shape: to, origin: Some(from), done: false, at: Millis(1) }
}

/// An event as a source makes it under the settings of now.
fn event(service: &SettingsService, n: u8) -> Inbound {
    let settings = service.current();
    let key = Key::new(summit(), CALLER, settings.tenant(&summit()).unwrap().policy.spread);
    Inbound {
        event_id: EventId::of(&[&[n]]),
        tenant: key.tenant,
        key_group: key.key_group,
        bucket: key.bucket,
        caller: CALLER.to_owned(),
        origin: Origin::Direct,
        kind: EventKind::PostCall,
        received_at: Millis(0),
        settings_version: settings.version,
        attempt: 0,
        key_id: None,
        trace: None,
        content_type: "application/json".into(),
        body: Bytes::new(),
        body_ref: None,
    }
}

fn place(spread: u16) -> (Partition, leadline_schemas::KeyGroup) {
    let key = Key::new(summit(), CALLER, spread);
    (Shape::first(8).layout().partition(key.key_group), key.key_group)
}

#[tokio::test]
async fn an_event_lies_where_the_layout_that_it_goes_to_has_its_caller() {
    let (log, next, folder) = (Closable::new(8), Closable::new(8), tempfile::tempdir().unwrap());
    let service = open(&log, folder.path());
    let early = event(&service, 1);
    put(&service, Bytes::from(avro::encode(&spread()).unwrap()));
    assert_eq!(service.current().tenant(&summit()).unwrap().policy.spread, 8, "sources spread at once");
    assert_eq!(
        service.of_generation(1).tenant(&summit()).unwrap().policy.spread,
        1,
        "the old layout does not"
    );
    // Judged under the new settings, and the new layout is not open here yet.
    service.accept(event(&service, 2)).await.unwrap();
    service.lead_to(spread().shape, next.clone());
    // Judged under the old settings, and the new layout is open by now.
    service.accept(early).await.unwrap();
    let placed = |log: &Closable| {
        let events = log.events().into_iter();
        events.map(|(at, event)| (at, event.key_group)).collect::<Vec<_>>()
    };
    assert_ne!(place(1), place(8));
    assert_eq!((placed(&log), placed(&next)), (vec![place(1)], vec![place(8)]));
}

#[tokio::test]
async fn an_event_that_the_old_layout_refuses_is_in_the_new_one_when_it_is_acknowledged() {
    let (log, next, folder) = (Closable::new(8), Closable::new(8), tempfile::tempdir().unwrap());
    let service = open(&log, folder.path());
    log.is_closed.store(true, Ordering::SeqCst);
    let refused = service.accept(event(&service, 1)).await;
    assert!(matches!(refused, Err(AppendError::Refused(_))), "no layout is known that takes it: {refused:?}");
    put(&service, Bytes::from(avro::encode(&spread()).unwrap()));
    let accepting = tokio::spawn({
        let service = Arc::clone(&service);
        async move { service.accept(event(&service, 2)).await }
    });
    tokio::task::yield_now().await;
    service.lead_to(spread().shape, next.clone());
    assert_eq!(accepting.await.unwrap(), Ok(Offset(0)));
    assert!(log.events().is_empty());
    assert_eq!(next.events().iter().map(|(at, _)| *at).collect::<Vec<_>>(), [place(8).0]);
}

#[tokio::test]
async fn an_event_that_waited_in_the_spool_goes_where_the_layout_of_then_has_its_caller() {
    let (log, next, folder) = (Closable::new(8), Closable::new(8), tempfile::tempdir().unwrap());
    let service = open(&log, folder.path());
    let way = Arc::new(RoutedLog::new(&service, log.clone()));
    let spool = Arc::new(MemoryLog::new(1));
    let (spooled, mut forwarder) =
        SpooledLog::open_stepped(way, spool, Arc::new(SystemClock)).expect("an empty spool");
    service.spool_through(Arc::new(spooled));
    log.is_away.store(true, Ordering::SeqCst);
    service.accept(event(&service, 1)).await.unwrap();
    assert!(log.events().is_empty(), "it is spooled");
    let command = Inbound { origin: Origin::Command, ..event(&service, 2) };
    let refused = service.accept(command).await;
    assert!(matches!(refused, Err(AppendError::Unavailable(_))), "somebody waits for it: {refused:?}");

    log.is_away.store(false, Ordering::SeqCst);
    log.is_closed.store(true, Ordering::SeqCst);
    put(&service, Bytes::from(avro::encode(&spread()).unwrap()));
    assert_eq!(
        forwarder.turn().await,
        Turn::Refused,
        "the old layout is closed, and the new one not open yet"
    );
    service.lead_to(spread().shape, next.clone());
    assert!(matches!(forwarder.turn().await, Turn::Forwarded(_)));
    let placed: Vec<_> = next.events().into_iter().map(|(at, event)| (at, event.key_group)).collect();
    assert_eq!(placed, [place(8)]);
    assert!(log.events().is_empty());
}
