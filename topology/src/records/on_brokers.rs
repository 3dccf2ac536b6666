//! What stopped workers have committed on Kafka, read back into a state store of its own: theirs lie on their machines,
//! each with its share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use leadline_connectors::clock_system::SystemClock;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::disk_folder::FolderDisk;
use leadline_connectors::log_kafka::{KafkaConfig, members};
use leadline_connectors::state_fjall::{FjallConfig, FjallState};
use leadline_schemas::settings::Settings;

use crate::blobs;
use crate::config::{Config, LogKind, RecordsStore};
use crate::engine::CommittedRecords;
use crate::logs;

/// Where the rows are put together, below the data folder. It takes as much room as all workers' state.
const FOLDER: &str = "read-back";
/// Beyond its session a process that is gone may be a member for so long.
const SESSION_SLACK: Duration = Duration::from_secs(5);
/// How often it is looked whether the last one has gone.
const LOOK: Duration = Duration::from_millis(500);

/// Refuses to keep records in a file of this process while others have partitions of the same log: each would have a part
/// of the records, and show it as the whole.
pub(crate) fn refuse_others_beside_a_file(config: &Config) -> anyhow::Result<()> {
    if config.log_kind != LogKind::Kafka || config.records_store != RecordsStore::Sqlite {
        return Ok(());
    }
    let generation = logs::layout(config)?.map_or(1, |layout| layout.shape.generation);
    let found = members(&logs::kafka_config(config).of_generation(generation))?;
    let others: Vec<String> =
        found.into_iter().filter(|instance| *instance != config.kafka.instance).collect();
    if others.is_empty() {
        return Ok(());
    }
    bail!(
        "records.store is sqlite, a file of one process, and {} works on the same topics: use cassandra or spanner, or none \
         and read the topics",
        others.join(", ")
    )
}

/// Rows that were put together, until they are dropped.
pub struct ReadBack {
    /// What was committed.
    pub committed: CommittedRecords,
    /// The settings of now.
    pub settings: Arc<Settings>,
    kafka: KafkaConfig,
    folder: PathBuf,
    _owned: FolderDisk,
}

impl ReadBack {
    /// Waits until no worker is in the group any more, as long as a session may last, and looks what they have
    /// committed. Refused while one runs, or while the layout changes: what is read would not stand still.
    pub fn open(config: &Config, runtime: &tokio::runtime::Runtime) -> anyhow::Result<Self> {
        // A name of its own: it takes nobody's place.
        let mut config = config.clone();
        config.kafka.instance = "db".to_owned();
        let settings = Arc::new(logs::all_settings(&config)?);
        let layout = settings.layout().map(|record| (**record).clone());
        if layout.as_ref().is_some_and(|record| !record.done) {
            bail!("the layout is being changed: let `leadline layout apply` come to its end first");
        }
        let generation = layout.as_ref().map_or(1, |record| record.shape.generation);
        let kafka = logs::kafka_config(&config).of_generation(generation);
        wait_until_empty(&kafka)?;
        let folder = config.data.join(FOLDER);
        let owned = FolderDisk::open(&folder)?;
        let rows = folder.join("state");
        // One that was cut short has left what it had.
        clear(&rows)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let committed = CommittedRecords {
            log: logs::open_layout(&config, generation)?,
            state: Arc::new(FjallState::open(&FjallConfig::new(rows))?),
            blob: blobs::open(&config, &clock)?,
            runtime: runtime.handle().clone(),
            generation,
            origin: layout.and_then(|record| record.change()),
            settings: Arc::new(settings.of_generation(generation).unwrap_or_default()),
        };
        Ok(Self { committed, settings, kafka, folder, _owned: owned })
    }

    /// Says whether a worker has come meanwhile: then what was found means nothing.
    pub fn nobody_came(&self) -> anyhow::Result<()> {
        let found = members(&self.kafka)?;
        if !found.is_empty() {
            bail!("{} started meanwhile: stop all workers and run this again", found.join(", "));
        }
        Ok(())
    }
}

impl Drop for ReadBack {
    fn drop(&mut self) {
        // The store's files are open still, which does not keep them from being removed. The next run does it else.
        if let Err(error) = std::fs::remove_dir_all(self.folder.join("state")) {
            tracing::warn!(%error, folder = %self.folder.display(), "rows that were put together are left");
        }
    }
}

fn wait_until_empty(kafka: &KafkaConfig) -> anyhow::Result<()> {
    let patience = Duration::from_millis(kafka.session_timeout_ms) + SESSION_SLACK;
    let deadline = Instant::now() + patience;
    loop {
        let found = members(kafka)?;
        if found.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!(
                "workers are running, and what they commit would look like differences: {}; stop all of them first. Those \
                 that take webhooks may go on",
                found.join(", ")
            );
        }
        std::thread::sleep(LOOK);
    }
}

fn clear(folder: &std::path::Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", folder.display()))
        }
        _ => Ok(()),
    }
}
