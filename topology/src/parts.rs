//! The parts of an instance: opened alike by `run` and by commands on a stopped instance.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use leadline_connectors::blob_folder::FolderBlob;
use leadline_connectors::clock_system::SystemClock;
use leadline_connectors::contract::assignment::Assignment;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::Log;
use leadline_connectors::contract::state::StateError;
use leadline_connectors::secrets_file::FileSecrets;
use leadline_connectors::state_fjall::{FjallConfig, FjallState, move_aside};
use leadline_schemas::partitioning::Layout;

use crate::config::Config;
use crate::descriptors;
use crate::guard::{self, GuardedState};
use crate::logs::OpenLog;
use crate::settings::{Remote, SettingsService};

/// The generation of the embedded layout; it changes with `layout apply`, which comes with Kafka.
pub const GENERATION: u32 = 1;

/// What every command on a data folder needs.
pub struct Parts {
    /// The log; it owns the data folder.
    pub log: Arc<dyn Log>,
    /// Who deals partitions out, where several processes work on the log; else this one owns all.
    pub assignment: Option<Arc<dyn Assignment>>,
    /// The state store.
    pub state: Arc<GuardedState>,
    /// The blob store.
    pub blob: Arc<FolderBlob>,
    /// Seals and opens keys.
    pub secrets: Arc<FileSecrets>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Settings, and the way into `inbound`.
    pub settings: Arc<SettingsService>,
    opened: OpenLog,
}

impl Parts {
    /// Opens everything in the data folder, and makes what is missing.
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&config.data).with_context(|| {
            format!(
                "the data folder {} cannot be made; check the path and its permissions",
                config.data.display()
            )
        })?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let log = OpenLog::open(config, &clock)?;
        let state = open_state(config, &*clock)?;
        let blob = Arc::new(FolderBlob::open(config.blob_folder())?);
        let secrets = Arc::new(FileSecrets::open(&config.secret_key_file())?);
        let layout = Layout { generation: GENERATION, partitions: log.log.partitions() };
        let copy = config.data.join("settings.avro");
        let settings = SettingsService::open(
            Arc::clone(&log.log),
            state.clone(),
            layout,
            copy,
            Remote {
                direct: Arc::clone(&log.direct),
                is_remote: log.is_remote,
                may_be_away: log.may_be_away,
            },
        )?;
        Ok(Self {
            log: Arc::clone(&log.log),
            assignment: log.assignment.clone(),
            state,
            blob,
            secrets,
            clock,
            settings,
            opened: log,
        })
    }

    /// Writes what waits and ends the log.
    pub fn close(&self) {
        self.opened.close();
    }
}

/// A state store that cannot be read, now or by the process before, is moved aside: it is rebuilt from snapshots and
/// the log.
fn open_state(config: &Config, clock: &dyn Clock) -> anyhow::Result<Arc<GuardedState>> {
    let folder = config.state_folder();
    let mut fjall = FjallConfig::new(&folder);
    fjall.cache_bytes = config.state_cache_bytes;
    fjall.open_files_max = descriptors::state_files_max();
    if guard::is_marked(&config.data) {
        rebuild(config, clock, "an earlier process found it damaged")?;
    }
    let state = match FjallState::open(&fjall) {
        Err(StateError::Damaged(why)) => {
            rebuild(config, clock, &why)?;
            FjallState::open(&fjall)?
        }
        other => other?,
    };
    Ok(Arc::new(GuardedState::new(Arc::new(state), &config.data)))
}

fn rebuild(config: &Config, clock: &dyn Clock, why: &str) -> anyhow::Result<()> {
    let aside = set_aside(&config.state_folder(), clock)?;
    guard::unmark(&config.data)?;
    tracing::error!(why, aside, "the state store cannot be read; it was moved aside and is being rebuilt");
    Ok(())
}

/// Moves a store's folder aside; answers where it went.
pub fn set_aside(folder: &Path, clock: &dyn Clock) -> anyhow::Result<String> {
    let moved = move_aside(folder, clock.wall())
        .with_context(|| format!("{} cannot be moved aside", folder.display()))?;
    Ok(moved.map_or_else(|| "nothing was there".to_owned(), |path| path.display().to_string()))
}
