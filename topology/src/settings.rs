//! The settings service: topic `settings` as an immutable snapshot that every part of the process shares.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use leadline_connectors::contract::BoxFuture;
use leadline_connectors::contract::log::{Append, AppendError, Log, ReadError};
use leadline_connectors::contract::source::Intake;
use leadline_connectors::contract::state::{Change, PartitionState, State, StateError};
use leadline_schemas::avro::{self, AvroError};
use leadline_schemas::inbound::{Inbound, Origin};
use leadline_schemas::partitioning::Layout;
use leadline_schemas::settings::{Settings, Tenant};
use leadline_schemas::{CommitNumber, Offset, Partition, Topic};

use crate::appends::Appends;

/// `settings` has one partition.
const SETTINGS: Partition = Partition(0);
/// Where the store keeps the rows of `settings`: beside the partitions of the dataflow, which end at 1,023.
const SETTINGS_ROWS: Partition = Partition(u16::MAX);
/// Records read at a time.
const READ_BYTES: usize = 1 << 20;
/// Brokers are asked for new settings at most this often.
const ASK_INTERVAL: Duration = Duration::from_millis(100);
/// How long a signature that looks wrong waits to be judged by newer settings.
const FRESH_MAX: Duration = Duration::from_secs(1);
/// What an envelope adds to its body, and a little more: it is written without a second allocation.
const ENVELOPE_BYTES: usize = 256;

/// Why settings cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The log cannot be read.
    #[error("settings: {0}")]
    Read(#[from] ReadError),
    /// The log does not take the record.
    #[error("settings: {0}")]
    Append(#[from] AppendError),
    /// The rows cannot be read or written.
    #[error("settings: {0}")]
    State(#[from] StateError),
    /// The copy beside the store cannot be read or written.
    #[error("settings: {0}")]
    Copy(String),
    /// A record cannot be read.
    #[error("settings: {0}")]
    Record(#[from] AvroError),
    /// The brokers did not answer in time.
    #[error("settings: no answer within {0:?}")]
    Slow(Duration),
    /// The runtime is ending.
    #[error("settings: {0}")]
    Ended(String),
}

/// Reads `settings` and hands out snapshots of them; also the process's one way into `inbound`.
pub struct SettingsService {
    log: Arc<dyn Log>,
    appends: Appends,
    /// Past the spool.
    direct: Appends,
    state: Arc<dyn State>,
    rows: Arc<dyn PartitionState>,
    layout: Layout,
    /// All rows in one file beside the store: what a lost store is filled from.
    copy: PathBuf,
    current: RwLock<Arc<Settings>>,
    /// Held while records are taken in, so that they are taken in once and in order.
    reading: Mutex<()>,
    changed: Mutex<Option<Box<dyn Fn() + Send + Sync>>>,
    /// When the brokers of a log on other machines were last asked for the end; held while they are.
    asked: Mutex<Option<Instant>>,
    is_remote: bool,
    me: Weak<Self>,
}

/// What there is to know of a log on other machines.
pub struct Remote {
    /// The log without a spool before it.
    pub direct: Arc<dyn Log>,
    /// Whether it is on other machines: then it is asked off the runtime's threads.
    pub is_remote: bool,
    /// Whether a start may go on with what is kept here when nobody answers.
    pub may_be_away: bool,
}

impl SettingsService {
    /// Reads the rows of before and what has come since.
    pub fn open(
        log: Arc<dyn Log>,
        state: Arc<dyn State>,
        layout: Layout,
        copy: PathBuf,
        Remote { direct, is_remote, may_be_away }: Remote,
    ) -> Result<Arc<Self>, SettingsError> {
        let rows = state.open(SETTINGS_ROWS)?;
        let first = match log.range(Topic::Settings, SETTINGS) {
            Ok((first, _)) => first.0,
            // Whatever has not been kept is in the copy.
            Err(ReadError::Unavailable(_)) if may_be_away && copy.exists() => 1,
            Err(error) => return Err(error.into()),
        };
        if rows.applied()?.0 < first {
            // The state store was lost, and the log no longer has what was in it.
            read_copy(&copy, &*rows)?;
        }
        let mut settings = Settings::default();
        let version = rows.applied()?.0;
        let mut damaged = None;
        rows.scan(&[], None, &mut |_, value| match avro::decode::<Tenant>(value) {
            Ok(tenant) => {
                settings = settings.with(tenant, version);
                std::ops::ControlFlow::Continue(())
            }
            Err(error) => {
                damaged = Some(error);
                std::ops::ControlFlow::Break(())
            }
        })?;
        if let Some(error) = damaged {
            return Err(error.into());
        }
        settings.version = version;
        let current = RwLock::new(Arc::new(settings));
        let service = Arc::new_cyclic(|me| Self {
            appends: Appends::new(Arc::clone(&log)),
            direct: Appends::new(direct),
            log,
            state,
            rows,
            layout,
            copy,
            current,
            reading: Mutex::new(()),
            changed: Mutex::new(None),
            asked: Mutex::new(None),
            is_remote,
            me: Weak::clone(me),
        });
        let version = match service.refresh() {
            // They are read when somebody answers: the log calls its listeners then.
            Err(SettingsError::Read(ReadError::Unavailable(_))) if may_be_away => service.current().version,
            refreshed => refreshed?.version,
        };
        service.keep(version)?;
        let listener = Arc::downgrade(&service);
        let listen = move || {
            if let Some(service) = listener.upgrade()
                && let Some(changed) = &*service.changed.lock().unwrap_or_else(PoisonError::into_inner)
            {
                changed();
            }
        };
        service.log.listen(Topic::Settings, SETTINGS, Arc::new(listen));
        Ok(service)
    }

    /// Registers who is called, from a thread of the log, when there is something to [`Self::refresh`].
    pub fn on_change(&self, changed: impl Fn() + Send + Sync + 'static) {
        *self.changed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(changed));
    }

    /// The settings as of now.
    pub fn current(&self) -> Arc<Settings> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes in what `settings` has up to its current end.
    pub fn refresh(&self) -> Result<Arc<Settings>, SettingsError> {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, end) = self.log.range(Topic::Settings, SETTINGS)?;
        let mut settings = self.current();
        while settings.version < end.0 {
            let chunk = self.log.fetch(Topic::Settings, SETTINGS, Offset(settings.version), READ_BYTES)?;
            let mut next = (*settings).clone();
            let mut rows = Vec::new();
            for record in &chunk.records {
                let tenant: Tenant = avro::decode(&record.value)?;
                let key = Bytes::copy_from_slice(tenant.tenant.as_str().as_bytes());
                rows.push(Change { key, value: (!tenant.removed).then(|| record.value.clone()) });
                next = next.with(tenant, record.offset.0 + 1);
            }
            if rows.is_empty() {
                break;
            }
            self.rows.apply(&rows, CommitNumber(next.version))?;
            settings = Arc::new(next);
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&settings);
            // Settings change rarely: they are made durable at once, so that the log need not keep them.
            self.keep(settings.version)?;
        }
        // What comes next is sent for; the listener tells of it.
        self.log.read(Topic::Settings, SETTINGS, Offset(settings.version), READ_BYTES)?;
        Ok(settings)
    }

    /// As `refresh`, for many who ask at once: who waited while another asked shares the answer, and brokers are asked
    /// at most ten times a second. It waits.
    fn refresh_shared(&self) -> Result<Arc<Settings>, SettingsError> {
        let came = Instant::now();
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.is_some_and(|asked| asked > came) {
            return Ok(self.current());
        }
        if let Some(asked) = *asked {
            std::thread::sleep(ASK_INTERVAL.saturating_sub(asked.elapsed()));
        }
        *asked = Some(Instant::now());
        self.refresh()
    }

    /// Makes the rows durable, in the store and in the copy, and lets the log drop their records.
    fn keep(&self, version: u64) -> Result<(), SettingsError> {
        self.state.sync()?;
        write_copy(&self.copy, &*self.rows, version)?;
        self.log.set_floor(Topic::Settings, SETTINGS, Offset(version));
        Ok(())
    }

    /// Makes a tenant's record durable and effective: it resolves when webhooks are judged by it.
    pub async fn put(&self, tenant: &Tenant) -> Result<u64, SettingsError> {
        let value = Bytes::from(avro::encode(tenant)?);
        let key = tenant.tenant.to_bytes();
        self.log.append(vec![Append { topic: Topic::Settings, partition: SETTINGS, key, value }]).await?;
        Ok(self.refresh_apart().await?.version)
    }

    /// Refreshes without holding the runtime's threads: brokers have to be asked. The embedded log knows its end, so
    /// only records that are really new cost anything.
    async fn refresh_apart(&self) -> Result<Arc<Settings>, SettingsError> {
        let Some(me) = self.me.upgrade().filter(|_| self.is_remote) else { return self.refresh() };
        let asking = tokio::task::spawn_blocking(move || me.refresh_shared());
        asking.await.unwrap_or_else(|ended| Err(SettingsError::Ended(ended.to_string())))
    }
}

/// Version, then each row as length and record.
fn write_copy(path: &Path, rows: &dyn PartitionState, version: u64) -> Result<(), SettingsError> {
    let failed = |error: std::io::Error| SettingsError::Copy(format!("{}: {error}", path.display()));
    let mut content = version.to_be_bytes().to_vec();
    rows.scan(&[], None, &mut |_, value| {
        content.extend_from_slice(&(value.len() as u64).to_be_bytes());
        content.extend_from_slice(value);
        std::ops::ControlFlow::Continue(())
    })?;
    let unfinished = path.with_extension("tmp");
    let mut file = std::fs::File::create(&unfinished).map_err(failed)?;
    file.write_all(&content).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&unfinished, path).map_err(failed)
}

/// Fills empty rows from the copy.
fn read_copy(path: &Path, rows: &dyn PartitionState) -> Result<(), SettingsError> {
    let failed = |why: &str| {
        SettingsError::Copy(format!("{}: {why}; the settings are lost, restore the file", path.display()))
    };
    let content = std::fs::read(path).map_err(|error| failed(&error.to_string()))?;
    let (version, mut rest) = content.split_first_chunk::<8>().ok_or_else(|| failed("it is cut"))?;
    let mut changes = Vec::new();
    while let Some((length, tail)) = rest.split_first_chunk::<8>() {
        let length = usize::try_from(u64::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let (value, tail) = tail.split_at_checked(length).ok_or_else(|| failed("it is cut"))?;
        let tenant: Tenant = avro::decode(value)?;
        let key = Bytes::copy_from_slice(tenant.tenant.as_str().as_bytes());
        changes.push(Change { key, value: Some(Bytes::copy_from_slice(value)) });
        rest = tail;
    }
    Ok(rows.apply(&changes, CommitNumber(u64::from_be_bytes(*version)))?)
}

impl Intake for SettingsService {
    fn settings(&self) -> Arc<Settings> {
        self.current()
    }

    fn fresh_settings(&self) -> BoxFuture<'_, Arc<Settings>> {
        Box::pin(async {
            let refreshed = match tokio::time::timeout(FRESH_MAX, self.refresh_apart()).await {
                Ok(refreshed) => refreshed,
                Err(_) => Err(SettingsError::Slow(FRESH_MAX)),
            };
            refreshed.unwrap_or_else(|error| {
                tracing::error!(%error, "settings could not be read anew");
                self.current()
            })
        })
    }

    fn accept(&self, event: Inbound) -> BoxFuture<'_, Result<Offset, AppendError>> {
        let partition = self.layout.partition(event.key_group);
        let key = event.tenant.to_bytes();
        let mut value = Vec::with_capacity(event.body.len() + ENVELOPE_BYTES);
        let encoded = avro::append(&event, &mut value);
        Box::pin(async move {
            encoded.map_err(|error| AppendError::Failed(error.to_string()))?;
            // A person waits for what comes of these, and does not want it done at some later time.
            let appends = match event.origin {
                Origin::Command | Origin::Process => &self.direct,
                _ => &self.appends,
            };
            appends.append(partition, key, Bytes::from(value)).await
        })
    }
}
