//! CRMs: their sinks, how their accounts are set up and connected, and where grants are kept.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::anyhow;
use axum::Router;
use leadline_connectors::contract::BoxFuture;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::secrets::Secrets;
use leadline_connectors::contract::sink::{Sink, SinkRequest};
use leadline_connectors::contract::source::Intake;
use leadline_connectors::contract::tokens::Tokens;
use leadline_connectors::contract::wire::Trace;
use leadline_connectors::crm::{self, Credentials, SetupStep};
use leadline_connectors::http_client::Client;
use leadline_connectors::oauth::{self, ConnectParts, FLOW_PURPOSE, Flow, GrantStore, OAuthTokens};
use leadline_connectors::secrets_file::FileSecrets;
use leadline_connectors::sink_hubspot::{self, HubSpotClient, HubSpotSink};
use leadline_connectors::sink_pipedrive::{self, PipedriveClient, PipedriveSink};
use leadline_connectors::sink_salesforce::{self, SalesforceClient, SalesforceSink};
use leadline_schemas::TenantId;
use leadline_schemas::delivery::DeliveryKey;
use leadline_schemas::partitioning::Key;
use leadline_schemas::settings::{Grant, Integration};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::Config;
use crate::control::{Admin, change_tenant};
use crate::layout::follow::Workplace;
use crate::parts::Parts;
use crate::settings::SettingsService;

/// How long a step may ask a CRM; who asks for the step waits a minute.
const STEP_MAX: Duration = Duration::from_secs(40);
/// How often it is looked whose token ends soon.
const LOOK: Duration = Duration::from_secs(10);

/// One step of a person who sets an integration up.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum CrmStep {
    /// Look at the fields that are needed, and make those that are missing.
    Setup {
        /// Whether anything is made; else it is only said what would be.
        apply: bool,
    },
    /// Print a link by which a person allows leadline to use the account.
    Connect {
        /// The integration's kind, for one that is not there yet.
        kind: Option<String>,
    },
}

/// Who asks CRMs.
pub struct Crms {
    hubspot: HubSpotClient,
    pipedrive: PipedriveClient,
    salesforce: SalesforceClient,
    tokens: Arc<OAuthTokens>,
    flow: Flow,
    public_url: Option<String>,
    records: Arc<Records>,
}

/// Grants as they stand in tenants' records.
struct Records {
    settings: Arc<SettingsService>,
    changing: Arc<tokio::sync::Mutex<()>>,
    /// Known once this process works.
    workplace: OnceLock<Arc<Workplace>>,
}

impl Crms {
    /// Of these parts; nothing is asked yet.
    pub(crate) fn new(
        config: &Config,
        settings: &Arc<SettingsService>,
        secrets: Arc<FileSecrets>,
        clock: &Arc<dyn Clock>,
        changing: &Arc<tokio::sync::Mutex<()>>,
    ) -> anyhow::Result<Self> {
        let (settings, changing) = (Arc::clone(settings), Arc::clone(changing));
        let records = Arc::new(Records { settings, changing, workplace: OnceLock::new() });
        let flow = Flow::new(&secrets.derived(FLOW_PURPOSE));
        let (http, apps, clock) = (Client::new()?, config.oauth.open()?, || Arc::clone(clock));
        let secrets: Arc<dyn Secrets> = secrets;
        let store: Arc<dyn GrantStore> = records.clone();
        let tokens = Arc::new(OAuthTokens::new(store, Arc::clone(&secrets), clock(), http.clone(), apps));
        let credentials = Credentials::new(secrets, Arc::clone(&tokens) as Arc<dyn Tokens>);
        Ok(Self {
            hubspot: HubSpotClient::new(http.clone(), credentials.clone(), clock()),
            pipedrive: PipedriveClient::new(http.clone(), credentials.clone(), clock()),
            salesforce: SalesforceClient::new(http, credentials, clock()),
            tokens,
            flow,
            public_url: config.public_url.as_deref().map(|url| url.trim_end_matches('/').to_owned()),
            records,
        })
    }

    /// Their sinks.
    pub fn sinks(&self) -> [Arc<dyn Sink>; 3] {
        [
            Arc::new(HubSpotSink::new(self.hubspot.clone())),
            Arc::new(PipedriveSink::new(self.pipedrive.clone())),
            Arc::new(SalesforceSink::new(self.salesforce.clone())),
        ]
    }

    /// Access tokens of whatever was connected.
    pub fn tokens(&self) -> Arc<dyn Tokens> {
        Arc::clone(&self.tokens) as Arc<dyn Tokens>
    }

    /// The way of browsers; none where nobody outside knows this API's address.
    pub(crate) fn connect_routes(&self, parts: &Parts) -> Option<Router> {
        let public_url = self.public_url.clone()?;
        let (intake, tokens): (Arc<dyn Intake>, _) = (parts.settings.clone(), Arc::clone(&self.tokens));
        Some(oauth::routes(ConnectParts { intake, tokens, flow: self.flow.clone(), public_url }))
    }

    /// Refreshes tokens ahead of their end, for as long as the runtime lives.
    pub(crate) fn keep_grants(&self, runtime: &tokio::runtime::Runtime, workplace: &Arc<Workplace>) {
        // Only the first one is kept; there is one workplace in a process.
        let _ = self.records.workplace.set(Arc::clone(workplace));
        let (tokens, records) = (Arc::clone(&self.tokens), Arc::clone(&self.records));
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                let settings = records.settings.current();
                for tenant in settings.tenants() {
                    let granted =
                        tenant.integrations.iter().filter(|one| one.grant.is_some() && !one.disabled);
                    for integration in granted {
                        if let Err(error) = tokens.refresh_ahead(&tenant.tenant, integration).await {
                            tracing::debug!(tenant = %tenant.tenant, %error, "a token was not refreshed");
                        }
                    }
                }
            }
        });
    }

    fn link(
        &self,
        tenant: &TenantId,
        integration: &str,
        kind: &str,
        admin: &Admin,
    ) -> anyhow::Result<String> {
        let public_url = self.public_url.as_deref().ok_or_else(|| {
            anyhow!("browsers have to reach leadline: set http.public_url, such as https://leads.example.com")
        })?;
        self.tokens.knows(kind).map_err(|why| anyhow!(why))?;
        let link = self.flow.link(tenant, integration, kind, admin.clock.wall());
        let link = link.ok_or_else(|| anyhow!("there is no key to sign a link with"))?;
        Ok(format!("{public_url}/oauth/{kind}/start?link={link}"))
    }
}

/// Does a step.
pub(crate) async fn step(admin: &Admin, tenant: &str, id: &str, step: CrmStep) -> anyhow::Result<Value> {
    let tenant = admin.tenant(tenant).await?;
    let known = tenant.integration(id).cloned();
    match step {
        CrmStep::Connect { kind } => {
            let of_known = known.as_ref().map(|one| one.kind.clone());
            if let (Some(kind), Some(of_known)) = (&kind, &of_known)
                && kind != of_known
            {
                return Err(anyhow!("integration {id:?} is of kind {of_known}, not {kind}"));
            }
            let kind = of_known.or(kind).ok_or_else(|| {
                anyhow!("{} has no integration {id:?}: name its kind with --kind", tenant.tenant)
            })?;
            let link = admin.crms.link(&tenant.tenant, id, &kind, admin)?;
            Ok(json!({ "link": link, "hours": oauth::LINK_MAX_MS / 3_600_000 }))
        }
        CrmStep::Setup { apply } => {
            let integration = known.ok_or_else(|| anyhow!("{} has no integration {id:?}", tenant.tenant))?;
            let steps = setup(&admin.crms, &tenant.tenant, integration, apply).await?;
            let shown = steps
                .iter()
                .map(|step| json!({ "field": step.field, "found": step.found, "good": step.good }));
            Ok(json!({ "fields": shown.collect::<Vec<_>>(), "applied": apply }))
        }
    }
}

async fn setup(
    crms: &Crms,
    tenant: &TenantId,
    integration: Integration,
    apply: bool,
) -> anyhow::Result<Vec<SetupStep>> {
    crm::check(&integration).map_err(|why| anyhow!(why))?;
    let kind = integration.kind.clone();
    let request = SinkRequest {
        key: DeliveryKey {
            tenant: tenant.clone(),
            integration: integration.id.clone(),
            subject: "setup".to_owned(),
        },
        home: Key::new(tenant.clone(), "", 1),
        idempotency_key: String::new(),
        integration,
        payload: String::new(),
        remote_id: None,
        may_have_arrived: false,
        failing_since: None,
        trace: Trace::default(),
    };
    match kind.as_str() {
        sink_hubspot::KIND => Ok(sink_hubspot::setup(&crms.hubspot, &request, apply, STEP_MAX).await?),
        sink_salesforce::KIND => {
            Ok(sink_salesforce::setup(&crms.salesforce, &request, apply, STEP_MAX).await?)
        }
        sink_pipedrive::KIND => {
            let whose = sink_pipedrive::whose(&crms.pipedrive, &request, STEP_MAX).await?;
            Ok(vec![SetupStep::new("token", format!("is that of {whose}"), true)])
        }
        other => Err(anyhow!("integrations of kind {other} need no setup")),
    }
}

impl GrantStore for Records {
    fn current(&self, tenant: &TenantId, integration: &str) -> Option<Integration> {
        self.settings.current().tenant(tenant)?.integration(integration).cloned()
    }

    fn fresh<'a>(&'a self, tenant: &'a TenantId, integration: &'a str) -> BoxFuture<'a, Option<Integration>> {
        Box::pin(async move {
            self.settings.fresh_settings().await.tenant(tenant)?.integration(integration).cloned()
        })
    }

    fn replace<'a>(
        &'a self,
        tenant: &'a TenantId,
        integration: &'a str,
        of_generation: i64,
        grant: Grant,
    ) -> BoxFuture<'a, Result<bool, String>> {
        Box::pin(async move {
            let mut was_first = false;
            let changed = change_tenant(&self.settings, &self.changing, tenant, |tenant| {
                let held = tenant.integrations.iter_mut().find(|one| one.id == integration);
                let held = held.and_then(|one| one.grant.as_mut());
                if let Some(held) = held.filter(|held| held.generation == of_generation) {
                    *held = grant;
                    was_first = true;
                }
                Ok(())
            });
            changed.await.map_err(|error| format!("{error:#}"))?;
            Ok(was_first)
        })
    }

    fn connect<'a>(
        &'a self,
        tenant: &'a TenantId,
        integration: &'a str,
        kind: &'a str,
        grant: Grant,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let changed = change_tenant(&self.settings, &self.changing, tenant, |tenant| {
                let place = tenant.integrations.iter().position(|one| one.id == integration);
                let place = place.unwrap_or_else(|| {
                    tenant.integrations.push(Integration::new(integration, kind, ""));
                    tenant.integrations.len() - 1
                });
                let Some(one) = tenant.integrations.get_mut(place) else { return Ok(()) };
                if one.kind != kind {
                    return Err(anyhow!("integration {integration:?} is of kind {}, not {kind}", one.kind));
                }
                let generation = one.grant.as_ref().map_or(1, |before| before.generation + 1);
                one.grant = Some(Grant { generation, ..grant });
                (one.disabled, one.disabled_why) = (false, None);
                Ok(())
            });
            changed.await.map_err(|error| format!("{error:#}"))
        })
    }

    /// The owner of the partition that most of the tenant's deliveries come from.
    fn is_mine(&self, tenant: &TenantId) -> bool {
        let Some(running) = self.workplace.get().and_then(|workplace| workplace.now()) else { return false };
        let partition = self.settings.layout().partition(Key::new(tenant.clone(), "", 1).key_group);
        running.engine.owns(partition)
    }
}
