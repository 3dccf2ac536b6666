//! `leadline tenant connect-callrail`: one step at a time, each of a few requests, so that a command with many companies
//! shows how far it is, and an instance that runs is kept by none of them.
//!
//! Nothing is lost on the way: a company's signing key is stored before CallRail is told to send anything, and what the
//! customer's other tools have installed is read, and written again, beside ours.

use std::collections::BTreeMap;
use std::time::Duration;

use super::record::{has_id, learn, write_back};
use super::{addresses, is_ours};
use crate::control::Admin;
use anyhow::{Context as _, anyhow};
use leadline_connectors::callrail::account::Account;
use leadline_connectors::callrail::hooks::{Webhooks, merged};
use leadline_connectors::callrail::{Access, Priority, api_key_context};
use leadline_connectors::contract::source::Intake as _;
use leadline_schemas::settings::{CallRail, Tenant};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// How long one request may take: a step has at most five of them, and who asks waits a minute.
const REQUEST_MAX: Duration = Duration::from_secs(10);
/// Companies that are named in an error.
const NAMED_MAX: usize = 20;

/// One step. Without `company` it is about the account, else about that company.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectStep {
    /// The tenant; it exists.
    pub tenant: String,
    /// A key of CallRail's API; none = the one that is stored.
    pub api_key: Option<String>,
    /// `ACC...`; none = the stored one, else the only one that the key may see.
    pub account: Option<String>,
    /// Companies to connect; none = those of the tenant, else the only one of the account.
    pub companies: Vec<String>,
    /// The company of this step.
    pub company: Option<String>,
    /// What CallRail calls it.
    pub company_name: Option<String>,
    /// Where CallRail reaches leadline; none = the stored one.
    pub public_url: Option<String>,
    /// Whether scores are written to its calls; none = as it is.
    pub write_back: Option<bool>,
    /// Whether anything is changed; else it is only said what would be.
    pub apply: bool,
    /// Take our addresses out, instead of putting them in.
    pub disconnect: bool,
}

/// What a step works on.
struct Scene<'a> {
    admin: &'a Admin,
    step: &'a ConnectStep,
    tenant: Tenant,
    access: Access,
    public_url: String,
}

/// Does one step; answers what it found and changed.
pub(crate) async fn step(admin: &Admin, step: &ConnectStep) -> anyhow::Result<Value> {
    let scene = Scene::new(admin, step).await?;
    match (&step.company, step.disconnect) {
        (Some(company), _) => scene.company(company).await,
        (None, false) => scene.account().await,
        (None, true) => scene.leave().await,
    }
}

impl<'a> Scene<'a> {
    async fn new(admin: &'a Admin, step: &'a ConnectStep) -> anyhow::Result<Self> {
        let tenant = admin.tenant(&step.tenant).await?;
        let stored = tenant.callrail.as_ref();
        let given = step.public_url.as_deref().map(public_url).transpose()?;
        let public_url =
            given.or_else(|| stored.map(|callrail| callrail.public_url.clone())).ok_or_else(|| {
                anyhow!(
                    "CallRail has to reach leadline: give --public-url, such as https://hooks.example.com"
                )
            })?;
        let account = step.account.clone().or_else(|| stored.map(|callrail| callrail.account_id.clone()));
        let access = match &step.api_key {
            Some(key) => Access::new(account.unwrap_or_default(), key.trim(), Priority::Live),
            None => Access::of(&tenant, &*admin.secrets, Priority::Live)?.ok_or_else(|| {
                anyhow!(
                    "tenant {} has no key of CallRail's API: give --api-key-file, a file with one (CallRail: Settings, API keys)",
                    tenant.tenant
                )
            })?,
        };
        Ok(Self { admin, step, tenant, access: access.within(REQUEST_MAX), public_url })
    }

    /// Which account and which of its companies; stored with `apply`.
    async fn account(mut self) -> anyhow::Result<Value> {
        let account = self.the_account().await?;
        self.access.account_id.clone_from(&account.id);
        let all = self.admin.callrail.companies(&self.access).await?;
        let wanted =
            self.wanted(&account, all.iter().map(|company| (company.id.as_str(), company.name.as_str())))?;
        let named: Vec<Value> = wanted
            .iter()
            .map(|id| {
                let found = all.iter().find(|company| company.id == *id);
                json!({
                    "id": id,
                    "name": found.map(|company| company.name.as_str()),
                    "active": found.is_some_and(|company| company.is_active),
                })
            })
            .collect();
        if self.step.apply {
            self.store(&account.id).await?;
        }
        Ok(json!({
            "account": account.id, "name": account.name, "hipaa": account.is_hipaa, "companies": named,
            "public_url": self.public_url, "stored": self.step.apply,
        }))
    }

    async fn the_account(&self) -> anyhow::Result<Account> {
        let all = self.admin.callrail.accounts(&self.access).await?;
        let list = |all: &[Account]| {
            let names: Vec<String> = all
                .iter()
                .take(NAMED_MAX)
                .map(|account| format!("{} ({})", account.id, account.name))
                .collect();
            names.join(", ")
        };
        let wanted = &self.access.account_id;
        if !wanted.is_empty() {
            let found = all.iter().find(|account| account.id == *wanted).cloned();
            return found
                .ok_or_else(|| anyhow!("this key does not see account {wanted:?}: it sees {}", list(&all)));
        }
        match all.as_slice() {
            [only] => Ok(only.clone()),
            [] => Err(anyhow!("this key sees no account: make one as a user who belongs to the account")),
            several => Err(anyhow!(
                "this key sees {} accounts: name one with --account: {}",
                several.len(),
                list(several)
            )),
        }
    }

    /// The companies to connect.
    fn wanted<'c>(
        &self,
        account: &Account,
        all: impl Iterator<Item = (&'c str, &'c str)>,
    ) -> anyhow::Result<Vec<String>> {
        let all: Vec<(&str, &str)> = all.collect();
        let has = |id: &str| all.iter().any(|(known, _)| *known == id);
        if let Some(unknown) = self.step.companies.iter().find(|id| !has(id)) {
            return Err(anyhow!("account {} has no company {unknown:?} that this key may see", account.id));
        }
        if !self.step.companies.is_empty() {
            return Ok(self.step.companies.clone());
        }
        let ids = self.tenant.companies.iter().flat_map(|company| &company.ids);
        let own: Vec<String> = ids.filter(|id| has(id)).cloned().collect();
        match (own.is_empty(), all.as_slice()) {
            (false, _) => Ok(own),
            (true, [(only, _)]) => Ok(vec![(*only).to_owned()]),
            (true, _) => {
                let names: Vec<String> =
                    all.iter().take(NAMED_MAX).map(|(id, name)| format!("{id} ({name})")).collect();
                Err(anyhow!(
                    "account {} has {} companies: name those of this tenant with --company: {}",
                    account.id,
                    all.len(),
                    names.join(", ")
                ))
            }
        }
    }

    async fn store(&self, account: &str) -> anyhow::Result<()> {
        let sealed = self
            .step
            .api_key
            .as_ref()
            .map(|key| self.admin.secrets.seal(&api_key_context(&self.tenant.tenant), key.trim().as_bytes()))
            .transpose()?;
        let now = self.admin.clock.wall();
        self.admin
            .change(&self.tenant.tenant, |tenant| {
                let before = tenant.callrail.take();
                let api_key = sealed.or_else(|| before.as_ref().map(|before| before.api_key.clone()));
                let same = before.filter(|before| before.account_id == account);
                tenant.callrail = Some(CallRail {
                    account_id: account.to_owned(),
                    api_key: api_key.context("there is no key to store")?,
                    public_url: self.public_url.clone(),
                    write_back: self
                        .step
                        .write_back
                        .unwrap_or_else(|| same.as_ref().is_some_and(|before| before.write_back)),
                    connected_at: same.map_or(now, |before| before.connected_at),
                });
                write_back(tenant);
                Ok(())
            })
            .await
    }

    /// The tenant's account is forgotten; signing keys stay, for webhooks that are on their way.
    async fn leave(self) -> anyhow::Result<Value> {
        let account = self.tenant.callrail.as_ref().map(|callrail| callrail.account_id.clone());
        let with = self.tenant.companies.iter().filter(|company| company.integration_id.is_some());
        let companies: Vec<Value> = with
            .filter_map(|company| {
                let id = company.ids.iter().find(|id| id.starts_with("COM"))?;
                Some(json!({ "id": id, "name": company.name, "active": true }))
            })
            .collect();
        // The companies come first, each by a step of its own; they need the key.
        let stored = self.step.apply && companies.is_empty();
        if stored {
            self.admin
                .change(&self.tenant.tenant, |tenant| {
                    tenant.callrail = None;
                    write_back(tenant);
                    Ok(())
                })
                .await?;
        }
        Ok(json!({
            "account": account, "companies": companies, "public_url": self.public_url, "stored": stored,
        }))
    }

    /// What a company's integration has, and would have; changed with `apply`.
    async fn company(self, company: &str) -> anyhow::Result<Value> {
        let client = &self.admin.callrail;
        let found = client.webhooks(&self.access, company).await?;
        let mut warnings = self.warnings(company).await?;
        let none = Map::new();
        let before = found.as_ref().map_or(&none, |found| &found.config);
        let wanted = match self.step.disconnect {
            true => BTreeMap::new(),
            false => addresses(&self.tenant, &self.public_url).ok_or_else(|| {
                let tenant = &self.tenant.tenant;
                anyhow!(
                    "tenant {tenant} has no webhook address yet: `leadline tenant add {tenant}` gives it one"
                )
            })?,
        };
        let ours = |address: &str| is_ours(&self.tenant, &self.public_url, address);
        let (config, changes) = merged(before, &wanted, ours);
        let activates = !self.step.disconnect && found.as_ref().is_none_or(|found| !found.is_active());
        if let Some(found) = found.as_ref().filter(|found| !found.is_active() && !self.step.disconnect) {
            warnings.push(format!(
                "the integration is {:?}: CallRail sends nothing; --apply activates it for all of its addresses",
                found.state
            ));
        }
        let state = found.as_ref().map(|found| found.state.clone());
        let others: BTreeMap<&str, Vec<&str>> = wanted
            .keys()
            .map(|list| (*list, found.as_ref().map(|found| found.addresses(list)).unwrap_or_default()))
            .map(|(list, all)| (list, all.into_iter().filter(|address| !ours(address)).collect()))
            .collect();
        let shown = json!({
            "company": company, "state": state, "others": others, "warnings": warnings,
            "changes": changes.iter().map(|change| json!({
                "list": change.list, "address": change.address, "adds": change.adds,
            })).collect::<Vec<_>>(),
            "activates": activates, "applied": self.step.apply,
        });
        if self.step.apply {
            let is_needed = !changes.is_empty() || activates;
            self.apply(company, found, is_needed.then_some(&config)).await?;
        }
        Ok(shown)
    }

    /// What keeps events back.
    async fn warnings(&self, company: &str) -> anyhow::Result<Vec<String>> {
        if self.step.disconnect {
            return Ok(Vec::new());
        }
        let filters = self.admin.callrail.filters(&self.access, company).await?;
        let warning = |words: &[String]| {
            format!(
                "a filter of the company keeps events back: {}; change it in CallRail if calls are missing",
                words.join(", ")
            )
        };
        Ok(filters.iter().map(|filter| warning(&filter.words)).collect())
    }

    /// The key first, then the addresses.
    async fn apply(
        &self,
        company: &str,
        found: Option<Webhooks>,
        config: Option<&Map<String, Value>>,
    ) -> anyhow::Result<()> {
        let client = &self.admin.callrail;
        let there = match (found, self.step.disconnect) {
            (Some(found), _) => found,
            (None, true) => return self.remember(company, None).await,
            // Without addresses it sends nothing until its key is known here.
            (None, false) => client.create_webhooks(&self.access, company, &Map::new()).await?,
        };
        if !self.step.disconnect {
            self.remember(company, Some(&there)).await?;
        }
        if let Some(config) = config {
            let state = (!self.step.disconnect).then_some("active");
            client.update_webhooks(&self.access, &there.id, config, state).await?;
        }
        if self.step.disconnect {
            self.remember(company, None).await?;
        }
        Ok(())
    }

    /// Notes a company's integration and key in the settings; or that it has none any more.
    async fn remember(&self, company_id: &str, webhooks: Option<&Webhooks>) -> anyhow::Result<()> {
        let settings = self.admin.settings.fresh_settings().await;
        let owner = settings.by_company(company_id).filter(|owner| owner.tenant != self.tenant.tenant);
        if let (Some(owner), Some(_)) = (owner, webhooks) {
            return Err(anyhow!("company {company_id} belongs to tenant {} already", owner.tenant));
        }
        self.admin
            .change(&self.tenant.tenant, |tenant| {
                let known = tenant.companies.iter().position(|company| has_id(company, company_id));
                let Some(webhooks) = webhooks else {
                    if let Some(company) = known.and_then(|at| tenant.companies.get_mut(at)) {
                        company.integration_id = None;
                    }
                    return Ok(());
                };
                learn(tenant, company_id, webhooks, self.admin)?;
                if let Some(company) = tenant.companies.iter_mut().find(|company| has_id(company, company_id))
                {
                    company.name = self.step.company_name.clone().or_else(|| company.name.take());
                }
                Ok(())
            })
            .await
    }
}

/// Scheme and host, perhaps a path, without a slash at the end.
fn public_url(text: &str) -> anyhow::Result<String> {
    let is_one = reqwest::Url::parse(text).is_ok_and(|url| {
        ["http", "https"].contains(&url.scheme())
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    match is_one {
        true => Ok(text.trim_end_matches('/').to_owned()),
        false => Err(anyhow!(
            "{text:?} is no address that CallRail could reach: use one such as https://hooks.example.com"
        )),
    }
}
