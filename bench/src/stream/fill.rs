//! Fills a log with events, as the HTTP source would, and a state store with the ids of earlier ones.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use leadline_connectors::clock_system::SystemClock;
use leadline_connectors::contract::BoxFuture;
use leadline_connectors::contract::clock::Clock as _;
use leadline_connectors::contract::log::{Append, AppendError, Log};
use leadline_connectors::contract::state::{Change, PartitionState, State as _};
use leadline_connectors::disk_folder::FolderDisk;
use leadline_connectors::log_embedded::{EmbeddedLog, EmbeddedLogConfig};
use leadline_connectors::state_fjall::{FjallConfig, FjallState};
use leadline_operators::contract::Operator as _;
use leadline_operators::dedupe::{Dedupe, SEEN};
use leadline_schemas::inbound::{Inbound, Origin};
use leadline_schemas::partitioning::{Key, Layout};
use leadline_schemas::state::Seen;
use leadline_schemas::{CommitNumber, EventId, Millis, Offset, Partition, TenantId, Topic, avro, callrail};

type Answer = BoxFuture<'static, Result<Vec<Offset>, AppendError>>;

use super::PARTITIONS;
use super::events::{Event, Events, mix, tenant_name};

/// Records per append, and appends under way: the source's many small ones share writes in the same manner.
const APPEND_RECORDS: u64 = 256;
const APPENDS_MAX: usize = 16;
/// After `Full`; the log makes segments meanwhile.
const FULL_PAUSE: Duration = Duration::from_millis(20);
/// Rows per commit of the store.
const STORE_ROWS: usize = 4_096;

/// Where log and state of a run lie.
pub(super) fn log_folder(folder: &Path) -> std::path::PathBuf {
    folder.join("log")
}

/// As `log_folder`.
pub(super) fn state_folder(folder: &Path) -> std::path::PathBuf {
    folder.join("state")
}

/// Opens the log of a folder.
pub(super) fn open_log(folder: &Path) -> Result<EmbeddedLog> {
    let disk = FolderDisk::open(&log_folder(folder))?;
    let config = EmbeddedLogConfig { partitions: PARTITIONS, ..EmbeddedLogConfig::default() };
    let mut incarnation = u64::from(std::process::id());
    let random = move || {
        incarnation = mix(incarnation);
        incarnation
    };
    Ok(EmbeddedLog::open(config, Arc::new(disk), Arc::new(SystemClock), random)?)
}

/// The layout of the log.
pub(super) fn layout() -> Layout {
    Layout { generation: 1, partitions: PARTITIONS }
}

/// Appends all events to a new log; with earlier ones, puts their ids into a new state store.
pub(super) fn fill(folder: &Path, events: &Events) -> Result<()> {
    let log = open_log(folder)?;
    let tenants = tenants()?;
    fill_log(&log, events, &tenants)?;
    log.close();
    if events.earlier > 0 {
        fill_state(folder, events, &tenants)?;
    }
    Ok(())
}

/// All tenants' ids.
pub(crate) fn tenants() -> Result<Vec<TenantId>> {
    (0..super::events::TENANTS).map(|tenant| Ok(TenantId::new(&tenant_name(tenant))?)).collect()
}

/// Appends all events.
pub(crate) fn fill_log(log: &dyn Log, events: &Events, tenants: &[TenantId]) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut under_way = VecDeque::new();
    for first in events.numbers().step_by(APPEND_RECORDS as usize) {
        let numbers = first..(first + APPEND_RECORDS).min(events.numbers().end);
        let records = numbers.map(|number| record(events, number, tenants)).collect::<Result<Vec<_>>>()?;
        if under_way.len() >= APPENDS_MAX
            && let Some((records, answer)) = under_way.pop_front()
        {
            runtime.block_on(appended(log, records, answer))?;
        }
        under_way.push_back((records.clone(), log.append(records)));
    }
    for (records, answer) in under_way {
        runtime.block_on(appended(log, records, answer))?;
    }
    Ok(())
}

/// Waits for an append. A new log that is filled at full speed has no segment ready at times, and says so.
async fn appended(log: &dyn Log, records: Vec<Append>, mut answer: Answer) -> Result<()> {
    while let Err(error) = answer.await {
        ensure!(
            error == AppendError::Full && log.health().failed.is_none(),
            "the log cannot be filled: {error}"
        );
        std::thread::sleep(FULL_PAUSE);
        answer = log.append(records.clone());
    }
    Ok(())
}

/// What the HTTP source makes of one webhook.
fn record(events: &Events, number: u64, tenants: &[TenantId]) -> Result<Append> {
    let event = events.of(number);
    let body = Bytes::from(event.body()?);
    let peek = callrail::peek(None, &body)?;
    let key = key(&event, peek.caller_or_subject(), tenants)?;
    let partition = layout().partition(key.key_group);
    let inbound = Inbound {
        event_id: EventId::of(&[&number.to_be_bytes()]),
        key_group: key.key_group,
        bucket: key.bucket,
        tenant: key.tenant,
        caller: peek.caller_or_subject().to_owned(),
        origin: Origin::CallrailWebhook,
        kind: peek.kind,
        received_at: event.at.plus(20 * Millis::SECOND),
        settings_version: 1,
        attempt: 0,
        key_id: None,
        trace: None,
        content_type: "application/json".into(),
        body: body.clone(),
        body_ref: None,
    };
    Ok(Append {
        topic: Topic::Inbound,
        partition,
        key: Bytes::new(),
        value: Bytes::from(avro::encode(&inbound)?),
    })
}

fn key(event: &Event, caller: &str, tenants: &[TenantId]) -> Result<Key> {
    let tenant = tenants.get(event.tenant).context("every event has a tenant")?;
    Ok(Key::new(tenant.clone(), caller, 1))
}

/// Puts a row of dedupe per earlier event into the store. Those that an event of the log repeats have the hash of
/// their content; nobody looks at the others' hashes.
fn fill_state(folder: &Path, events: &Events, tenants: &[TenantId]) -> Result<()> {
    let repeated: std::collections::HashSet<u64> =
        events.numbers().map(|number| events.of(number).root).filter(|root| *root < events.earlier).collect();
    let state = FjallState::open(&FjallConfig::new(state_folder(folder)))?;
    let mut stores: Vec<(Arc<dyn PartitionState>, Vec<Change>)> = Vec::new();
    for partition in 0..PARTITIONS {
        stores.push((state.open(Partition(partition))?, Vec::with_capacity(STORE_ROWS)));
    }
    let expires = SystemClock.wall().plus(SEEN.spec.ttl_ms.unwrap_or_default()).0;
    for number in 0..events.earlier {
        let event = events.of(number);
        let key = key(&event, &event.caller(), tenants)?;
        let hash = match repeated.contains(&number) {
            true => leadline_schemas::content_hash(&callrail::decode(None, &event.body()?)?.1),
            false => mix(number),
        };
        let seen = Seen {
            subject_id: String::new(),
            hashes: vec![i64::from_ne_bytes(hash.to_ne_bytes())],
            contents: 1,
            events: vec![i64::from_ne_bytes(mix(hash).to_ne_bytes())],
            is_told: true,
        };
        let mut value = expires.to_be_bytes().to_vec();
        value.push(SEEN.spec.version);
        avro::append_datum(&seen, &mut value)?;
        let partition = usize::from(layout().partition(key.key_group).0);
        let (store, rows) = stores.get_mut(partition).context("every key has a partition")?;
        rows.push(Change { key: seen_key(&key, &event), value: Some(Bytes::from(value)) });
        if rows.len() >= STORE_ROWS {
            apply(store, rows)?;
        }
    }
    for (store, rows) in &mut stores {
        apply(store, rows)?;
    }
    state.sync()?;
    Ok(())
}

fn apply(store: &Arc<dyn PartitionState>, rows: &mut Vec<Change>) -> Result<()> {
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    store.apply(rows, CommitNumber(0))?;
    rows.clear();
    Ok(())
}

/// The key of a row of dedupe, as `topology/src/engine/keys.rs` lays it out. The check would fail were it another:
/// old duplicates would then be new.
fn seen_key(key: &Key, event: &Event) -> Bytes {
    let mut row = vec![0x01];
    row.extend_from_slice(&key.key_group.0.to_be_bytes());
    row.extend_from_slice(key.tenant.as_str().as_bytes());
    row.extend_from_slice(&[0, 0, key.bucket.0, Dedupe::ID.number, SEEN.spec.number]);
    row.extend_from_slice(event.call_id().as_bytes());
    Bytes::from(row)
}

/// Copies a folder with its folders.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let (entry, to) = (entry?, to.to_path_buf());
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &target)?,
            false => _ = std::fs::copy(entry.path(), target)?,
        }
    }
    Ok(())
}
