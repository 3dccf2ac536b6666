//! The parts of an instance: opened alike by `run` and by commands on a stopped instance.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use leadline_connectors::blob_folder::{LINK_PURPOSE, LinkSigner};
use leadline_connectors::callrail::CallRailClient;
use leadline_connectors::clock_system::SystemClock;
use leadline_connectors::contract::blob::Blob;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::Log;
use leadline_connectors::contract::state::StateError;
use leadline_connectors::provider_metered::DayBudget;
use leadline_connectors::secrets_file::FileSecrets;
use leadline_connectors::sink_email::EmailServer;
use leadline_connectors::source_http::Doubts;
use leadline_connectors::state_fjall::{FjallConfig, FjallState, move_aside};

use crate::admin::Services;
use crate::blobs;
use crate::config::{Config, LogKind};
use crate::crms::Crms;
use crate::descriptors;
use crate::guard::{self, GuardedState};
use crate::logs::{self, Logs};
use crate::routed::RoutedLog;
use crate::scorers;
use crate::settings::{Remote, SettingsService};
use crate::speech;
use crate::spool::Spool;

/// What every command on a data folder needs.
#[derive(Clone)]
pub struct Parts {
    /// The log that was open first, behind the spool if there is one; it has the settings, and tells how the log is.
    pub log: Arc<dyn Log>,
    /// The logs of the layouts; they own the data folder.
    pub logs: Arc<Logs>,
    /// The state store.
    pub state: Arc<GuardedState>,
    /// The blob store.
    pub blob: Arc<dyn Blob>,
    /// Signs and knows the links to blobs that this process answers itself; none where the store does.
    pub links: Option<LinkSigner>,
    /// Seals and opens keys.
    pub secrets: Arc<FileSecrets>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Settings, and the way into `inbound`.
    pub settings: Arc<SettingsService>,
    /// Asks CallRail; one for the process, for it counts what accounts have used.
    pub callrail: CallRailClient,
    /// What the process may spend on AI services, and has spent today.
    pub ai_budget: Arc<DayBudget>,
    /// Names that tenants' chains may have.
    pub services: Arc<Services>,
    /// The operator's mail server, for integrations that name none.
    pub email: Option<EmailServer>,
    /// Companies whose signatures were refused, for the watch over their keys.
    pub doubts: Arc<Doubts>,
    /// Whoever changes a tenant's record holds it: one change at a time, or two would each write the other's away.
    pub(crate) changing: Arc<tokio::sync::Mutex<()>>,
    /// Asks CRMs, and keeps the grants of integrations; one for the process, for it counts what accounts have used.
    pub crms: Arc<Crms>,
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
        // Events that are left in a spool are told of before brokers are asked, which may be away.
        let spool = match config.log_kind {
            LogKind::Kafka => Spool::open(config, &clock)?,
            LogKind::Embedded => None,
        };
        let layout = logs::layout(config)?;
        let logs = Logs::open(config, &clock, layout.as_ref(), spool)?;
        let first = logs.of(layout.as_ref().map_or(1, |layout| layout.shape.generation))?;
        let log = Arc::clone(&first.log);
        let state = open_state(config, &*clock)?;
        let secrets = Arc::new(FileSecrets::open(&config.secret_key_file())?);
        let links =
            LinkSigner::new(&secrets.derived(LINK_PURPOSE), config.public_url.as_deref().unwrap_or(""));
        let (blob, links) = blobs::open_with_links(config, &clock, links)?;
        let shape = layout.map_or_else(|| logs.first_shape(), |layout| layout.shape);
        let copy = config.settings_copy();
        let remote = Remote { is_remote: logs.are_shared(), may_be_away: first.may_be_away };
        let settings = SettingsService::open(Arc::clone(&log), state.clone(), shape, copy, remote)?;
        settings.price_speech(speech::prices(config));
        let way = Arc::new(RoutedLog::new(&settings, Arc::clone(&log)));
        let spooled = logs.spool_before(way, &clock)?;
        if let Some(spooled) = &spooled {
            settings.spool_through(Arc::clone(spooled));
        }
        let log = spooled.unwrap_or(log);
        let callrail = CallRailClient::new(&config.callrail, Arc::clone(&clock))?;
        let ai_budget = scorers::day_budget(config, &clock);
        let changing = Arc::default();
        let crms = Crms::new(config, &settings, secrets.clone(), &clock, &changing)?;
        Ok(Self {
            log,
            logs: Arc::new(logs),
            state,
            blob,
            links,
            secrets,
            clock,
            settings,
            callrail,
            ai_budget,
            services: Arc::new(Services {
                scoring: scorers::names(config),
                transcription: config.transcription.keys().cloned().collect(),
            }),
            doubts: Arc::default(),
            changing,
            crms: Arc::new(crms),
            email: email_server(config)?,
        })
    }

    /// Writes what waits and ends the log.
    pub fn close(&self) {
        self.logs.close();
    }
}

/// The mail server with its password.
fn email_server(config: &Config) -> anyhow::Result<Option<EmailServer>> {
    let Some(server) = config.email.clone().filter(|server| !server.url.is_empty()) else { return Ok(None) };
    let password = config.email_password_file.as_ref().map(|file| {
        std::fs::read_to_string(file)
            .map(|text| text.trim().to_owned())
            .with_context(|| format!("email.password_file {} cannot be read", file.display()))
    });
    Ok(Some(EmailServer { password: password.transpose()?, ..server }))
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
