//! The control socket: how commands reach a running instance. One JSON request a line, one JSON answer a line.

mod change;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use base64::Engine as _;
use leadline_connectors::callrail::CallRailClient;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::secrets::Secrets;
use leadline_connectors::contract::source::Intake as _;
use leadline_connectors::sink_email::EmailServer;
use leadline_schemas::command::Command;
use leadline_schemas::inbound::Inbound;
use leadline_schemas::partitioning::Key;
use leadline_schemas::settings::Tenant;
use leadline_schemas::{Bucket, EventId, KeyGroup, TenantId};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

pub(crate) use self::change::change_tenant;
use self::change::known;
use crate::admin::{self, Fresh, Services, TenantSpec};
use crate::callrail::{self, BackfillStep, ConnectStep};
use crate::crms::{self, CrmStep, Crms};
use crate::integrations::{self, IntegrationStep};
use crate::parts::Parts;
use crate::settings::SettingsService;

/// A request's line at most: a replayed input of 1 MiB in base64, and room.
const LINE_BYTES_MAX: u64 = 4 << 20;

/// What a command asks of an instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Ask {
    /// Add or change a tenant; answers its record's names and, for a new tenant, its token.
    PutTenant {
        /// What is to be.
        spec: Box<TenantSpec>,
    },
    /// Give a company a new signing key.
    RotateKey {
        /// The tenant.
        tenant: String,
        /// The company, by any of its ids.
        company_id: String,
        /// The key.
        signing_key: String,
    },
    /// Refuse the tenant's webhooks from now on.
    RemoveTenant {
        /// The tenant.
        tenant: String,
    },
    /// All tenants, without secrets.
    ListTenants,
    /// One step of connecting a tenant's CallRail account.
    ConnectCallrail {
        /// What is to be found out or done.
        step: Box<ConnectStep>,
    },
    /// List a tenant's calls of the past.
    Backfill {
        /// Which.
        step: BackfillStep,
    },
    /// Set up, or connect, an integration with a CRM.
    Crm {
        /// Whose.
        tenant: String,
        /// Which.
        integration: String,
        /// What.
        step: CrmStep,
    },
    /// Change, list or try a tenant's integrations.
    Integrations {
        /// Whose.
        tenant: String,
        /// What.
        step: Box<IntegrationStep>,
    },
    /// Put a command where a caller's rows lie.
    AboutCaller {
        /// Whose.
        tenant: String,
        /// The caller, or what a notice is about.
        caller: String,
        /// The command.
        command: Command,
    },
    /// Put a command into `inbound`.
    Command {
        /// Whose.
        tenant: String,
        /// The key group and bucket that it concerns, where the tenant alone does not say.
        place: Option<(u16, u8)>,
        /// The command.
        command: Command,
    },
    /// A tenant's profile and policy, as scores are made by them.
    Scoring {
        /// The tenant.
        tenant: String,
    },
}

/// What answers: the same on the socket of a running instance and on a stopped one.
#[derive(Clone)]
pub struct Admin {
    pub(crate) settings: Arc<SettingsService>,
    pub(crate) secrets: Arc<dyn Secrets>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) callrail: CallRailClient,
    /// Names that tenants' chains may have.
    services: Arc<Services>,
    pub(crate) crms: Arc<Crms>,
    pub(crate) email: Option<EmailServer>,
    /// As in [`Parts`].
    changing: Arc<tokio::sync::Mutex<()>>,
}

impl Admin {
    /// Of these parts.
    pub fn new(parts: &Parts) -> Self {
        Self {
            settings: Arc::clone(&parts.settings),
            secrets: parts.secrets.clone(),
            clock: Arc::clone(&parts.clock),
            callrail: parts.callrail.clone(),
            services: Arc::clone(&parts.services),
            crms: Arc::clone(&parts.crms),
            email: parts.email.clone(),
            changing: Arc::clone(&parts.changing),
        }
    }

    /// Does what is asked.
    pub async fn answer(&self, ask: Ask) -> anyhow::Result<Value> {
        if let Ask::ConnectCallrail { step } = ask {
            // It asks CallRail: others do not wait for that.
            return callrail::step(self, &step).await;
        }
        if let Ask::Crm { tenant, integration, step } = ask {
            return crms::step(self, &tenant, &integration, step).await;
        }
        if let Ask::Integrations { tenant, step } = ask {
            return integrations::step(self, &tenant, *step).await;
        }
        let _changing = self.changing.lock().await;
        let settings = self.settings.fresh_settings().await;
        match ask {
            Ask::PutTenant { spec } => {
                self.services.check(&spec)?;
                let is_new = TenantId::new(&spec.tenant).is_ok_and(|id| settings.tenant(&id).is_none());
                let token = if is_new || spec.new_token { Some(new_token()?) } else { None };
                let random = Fresh { token, source_key: new_source_key()? };
                let tenant = admin::apply(&settings, &spec, &random, &*self.secrets, self.clock.wall())?;
                let version = self.settings.put(&tenant).await?;
                let mut shown = shown(&tenant);
                if let Some(fields) = shown.as_object_mut() {
                    if let Some(token) = random.token {
                        fields.insert("api_token".to_owned(), json!(token));
                    }
                    if let Some(key) = &tenant.source_key {
                        let address = format!("/v1/sources/{key}/callrail/{{event}}");
                        fields.insert("webhook_address".to_owned(), json!(address));
                    }
                    fields.insert("settings_version".to_owned(), json!(version));
                }
                Ok(shown)
            }
            Ask::RotateKey { tenant, company_id, signing_key } => {
                let mut tenant = known(&settings, &tenant)?;
                admin::rotate(&mut tenant, &company_id, &signing_key, &*self.secrets)?;
                self.settings.put(&tenant).await?;
                Ok(shown(&tenant))
            }
            Ask::RemoveTenant { tenant } => {
                let tenant = Tenant { removed: true, ..known(&settings, &tenant)? };
                self.settings.put(&tenant).await?;
                Ok(json!({ "tenant": tenant.tenant.as_str(), "removed": true }))
            }
            Ask::ListTenants => {
                let mut tenants: Vec<_> = settings.tenants().collect();
                tenants.sort_by_key(|tenant| tenant.tenant.clone());
                Ok(tenants.into_iter().map(|tenant| shown(tenant)).collect())
            }
            Ask::Command { tenant, place, command } => {
                self.command(&known(&settings, &tenant)?, place, &command).await
            }
            Ask::Scoring { tenant } => {
                let tenant = known(&settings, &tenant)?;
                Ok(json!({ "profile": tenant.profile, "policy": tenant.policy }))
            }
            Ask::Backfill { step } => callrail::backfill(self, &step).await,
            Ask::AboutCaller { tenant, caller, command } => {
                let tenant = known(&settings, &tenant)?;
                let key = Key::new(tenant.tenant, &caller, tenant.policy.spread);
                self.command_at(key, &caller, &command).await
            }
            Ask::ConnectCallrail { .. } | Ask::Crm { .. } | Ask::Integrations { .. } => {
                Err(anyhow!("it was answered before"))
            }
        }
    }

    /// A tenant as of now.
    pub(crate) async fn tenant(&self, tenant: &str) -> anyhow::Result<Tenant> {
        known(&*self.settings.fresh_settings().await, tenant)
    }

    /// Changes a tenant's record, and nobody else does meanwhile. Nothing is written where nothing differs.
    pub(crate) async fn change(
        &self,
        tenant: &TenantId,
        change: impl FnOnce(&mut Tenant) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        change_tenant(&self.settings, &self.changing, tenant, change).await
    }

    /// Has the tenant told of something; notices of one subject are told in their order.
    pub(crate) async fn notice(
        &self,
        tenant: &Tenant,
        subject: &str,
        command: &Command,
    ) -> anyhow::Result<()> {
        let key = Key::new(tenant.tenant.clone(), subject, tenant.policy.spread);
        self.command_at(key, subject, command).await.map(|_| ())
    }

    async fn command(
        &self,
        tenant: &Tenant,
        place: Option<(u16, u8)>,
        command: &Command,
    ) -> anyhow::Result<Value> {
        let caller = EventId(uuid::Uuid::from_bytes(random()?)).to_string();
        let mut key = Key::new(tenant.tenant.clone(), &caller, tenant.policy.spread);
        if let Some((key_group, bucket)) = place {
            (key.key_group, key.bucket) = (KeyGroup(key_group), Bucket(bucket));
        }
        self.command_at(key, &caller, command).await
    }

    /// Puts a command where what it is about lies.
    pub(crate) async fn command_at(
        &self,
        key: Key,
        caller: &str,
        command: &Command,
    ) -> anyhow::Result<Value> {
        let event_id = EventId(uuid::Uuid::from_bytes(random()?));
        let at = (self.clock.wall(), self.settings.current().version);
        let event = Inbound::command(event_id, key, caller, command, at)?;
        self.settings.accept(event).await?;
        Ok(json!({ "request_id": event_id.to_string() }))
    }
}

/// A tenant without its secrets.
fn shown(tenant: &Tenant) -> Value {
    json!({
        "tenant": tenant.tenant.as_str(),
        "name": tenant.name,
        "companies": tenant.companies.iter().map(|company| &company.ids).collect::<Vec<_>>(),
        "callrail": tenant.callrail.as_ref().map(|callrail| json!({ "account": callrail.account_id, "public_url": callrail.public_url, "write_back": callrail.write_back })),
        "forms": tenant.forms.iter().map(|form| json!({ "form_key": form.form_key, "origins": form.origins, "honeypot": form.honeypot, "fields": form.field_map })).collect::<Vec<_>>(),
        "integrations": tenant.integrations.iter().map(|one| json!({ "id": one.id, "kind": one.kind, "url": one.url, "band_min": one.band_min, "signed": one.secret.is_some(), "disabled": one.disabled })).collect::<Vec<_>>(),
        "trades": tenant.profile.trades,
        "cities": tenant.profile.cities,
        "min_budget": tenant.profile.min_budget,
        "time_zone": tenant.profile.time_zone,
        "score_provider": tenant.policy.score_provider,
        "score_fallbacks": tenant.policy.score_fallbacks,
        "ai_budget_soft_micros": tenant.policy.ai_budget_soft_micros,
        "ai_budget_hard_micros": tenant.policy.ai_budget_hard_micros,
        "prompt_version": tenant.policy.prompt_version,
        "transcribe": tenant.policy.transcribe_provider.iter().chain(&tenant.policy.transcribe_fallbacks).collect::<Vec<_>>(),
        "language": tenant.profile.language,
        "no_ai_processing": tenant.policy.no_ai_processing,
        "fetch_recordings": tenant.policy.fetch_recordings,
        "recording_disclosure_attested": tenant.policy.recording_disclosure_attested,
        "missed_call_timer_s": tenant.policy.missed_call_timer_s,
        "lead_window_days": tenant.policy.lead_window_days,
        "rate_per_s": tenant.policy.rate_per_s,
        "created_at": tenant.created_at.to_string(),
    })
}

pub(crate) fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow!("the system has no randomness"))?;
    Ok(bytes)
}

/// Part of an address, so in digits that every person can read out.
fn new_source_key() -> anyhow::Result<String> {
    Ok(random::<16>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn new_token() -> anyhow::Result<String> {
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random::<32>()?))
}

/// The socket of a running instance; removed when the value is dropped.
pub struct ControlServer {
    path: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.task.abort();
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "the control socket was gone already");
        }
    }
}

/// Answers on the socket; only the owner of the data folder may connect.
pub fn serve(
    runtime: &tokio::runtime::Runtime,
    path: PathBuf,
    parts: &Parts,
) -> anyhow::Result<ControlServer> {
    // This process owns the data folder, so a socket that is there was left behind.
    let _ = std::fs::remove_file(&path);
    let _entered = runtime.enter();
    let listener = UnixListener::bind(&path).with_context(|| format!("{} cannot be made", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let admin = Admin::new(parts);
    let task = runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let admin = admin.clone();
            tokio::spawn(async move {
                if let Err(error) = answer_all(stream, &admin).await {
                    tracing::debug!(%error, "a control connection ended early");
                }
            });
        }
    });
    Ok(ControlServer { path, task })
}

async fn answer_all(stream: tokio::net::UnixStream, admin: &Admin) -> anyhow::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = tokio::io::BufReader::new(read.take(LINE_BYTES_MAX)).lines();
    while let Some(line) = lines.next_line().await? {
        let answer = match serde_json::from_str::<Ask>(&line) {
            Ok(ask) => admin.answer(ask).await,
            Err(error) => Err(anyhow!("the request cannot be read: {error}")),
        };
        let answer = match answer {
            Ok(value) => json!({ "ok": value }),
            Err(error) => json!({ "error": format!("{error:#}") }),
        };
        write.write_all(format!("{answer}\n").as_bytes()).await?;
    }
    Ok(())
}

/// Asks the running instance on this socket; none when nobody listens there.
pub fn ask_running(socket: &Path, ask: &Ask) -> anyhow::Result<Option<Value>> {
    let Ok(mut stream) = UnixStream::connect(socket) else { return Ok(None) };
    stream.set_read_timeout(Some(std::time::Duration::from_secs(60)))?;
    stream.write_all(format!("{}\n", serde_json::to_string(ask)?).as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let mut answer: Value = serde_json::from_str(&line).context("the running instance gave no answer")?;
    match answer.get_mut("ok") {
        Some(value) => Ok(Some(value.take())),
        None => {
            Err(anyhow!("{}", answer.get("error").and_then(Value::as_str).unwrap_or("no reason was given")))
        }
    }
}
