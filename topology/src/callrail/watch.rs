//! Watch: whether connected companies still send.
//!
//! CallRail switches an integration off after some webhooks have failed, and tells nobody; a key that was rotated shows
//! as nothing but refused signatures. So each integration is looked at once an hour, and at once, though at most every few
//! minutes, when a signature of its company was refused. What is found is a log line, a gauge, and a notice to the
//! company; a new key is stored as the current one, and the one before stays accepted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use leadline_connectors::callrail::hooks::Webhooks;
use leadline_connectors::callrail::{Access, CallRailError, Priority};
use leadline_schemas::TenantId;
use leadline_schemas::command::Command;
use leadline_schemas::settings::{Company, Tenant};

use super::{addresses, connect, is_mine};
use crate::control::Admin;
use crate::layout::follow::Workplace;
use crate::parts::Parts;

/// How often it is looked who is due.
const LOOK: Duration = Duration::from_secs(1);
/// After a refused signature a company is looked at no sooner than this long after it last was: anybody can send one.
const DOUBT_MS: u64 = 5 * 60_000;
/// Companies of one account that are looked at in an hour; with more, each has its turn less often. A tenth of what
/// CallRail allows the account.
const LOOKS_PER_HOUR_MAX: u64 = 100;

/// One company's integration.
#[derive(Debug, Default)]
struct Watched {
    /// When it was last looked at, by the boot-time clock.
    looked_ms: Option<u64>,
    /// What was wrong then.
    trouble: Option<String>,
}

/// Watches for as long as the runtime lives.
pub(crate) fn watch(
    runtime: &tokio::runtime::Runtime,
    parts: &Parts,
    workplace: &Arc<Workplace>,
    interval: Duration,
) {
    let watch = Watch {
        admin: Admin::new(parts),
        workplace: Arc::clone(workplace),
        interval_ms: u64::try_from(interval.as_millis()).unwrap_or(u64::MAX),
        companies: HashMap::new(),
    };
    let doubts = Arc::clone(&parts.doubts);
    runtime.spawn(async move {
        let mut watch = watch;
        loop {
            tokio::time::sleep(LOOK).await;
            watch.round(&doubts.take()).await;
        }
    });
}

struct Watch {
    admin: Admin,
    workplace: Arc<Workplace>,
    interval_ms: u64,
    companies: HashMap<(TenantId, String), Watched>,
}

impl Watch {
    /// Looks at whoever is due, one after the other.
    async fn round(&mut self, doubted: &[String]) {
        let settings = self.admin.settings.current();
        let mut by_account: HashMap<&str, u64> = HashMap::new();
        let connected: Vec<(&Arc<Tenant>, &Company, &str)> =
            settings.tenants().flat_map(connected).collect();
        for (tenant, ..) in &connected {
            let account = tenant.callrail.as_ref().map_or("", |callrail| callrail.account_id.as_str());
            *by_account.entry(account).or_default() += 1;
        }
        for (tenant, company, id) in connected {
            let Some(callrail) = &tenant.callrail else { continue };
            let now_ms = self.admin.clock.boot_ms();
            let is_doubted = company.ids.iter().any(|id| doubted.contains(id));
            let key = (tenant.tenant.clone(), id.to_owned());
            let since_ms = self
                .companies
                .get(&key)
                .and_then(|known| known.looked_ms)
                .map(|at| now_ms.saturating_sub(at));
            let turns = by_account
                .get(callrail.account_id.as_str())
                .map_or(1, |count| count.div_ceil(LOOKS_PER_HOUR_MAX));
            let is_due = since_ms.is_none_or(|since| since >= self.interval_ms.saturating_mul(turns));
            let is_doubt_due =
                is_doubted && since_ms.is_none_or(|since| since >= DOUBT_MS.min(self.interval_ms));
            if is_doubt_due || (is_due && is_mine(&self.admin, &self.workplace, &callrail.account_id)) {
                self.look(tenant, id, now_ms).await;
            }
        }
        let troubled = self.companies.values().filter(|watched| watched.trouble.is_some()).count();
        metrics::gauge!("leadline_callrail_integrations_troubled").set(troubled as f64);
    }

    async fn look(&mut self, tenant: &Tenant, company: &str, now_ms: u64) {
        let found = self.ask(tenant, company).await;
        let watched = self.companies.entry((tenant.tenant.clone(), company.to_owned())).or_default();
        watched.looked_ms = Some(now_ms);
        let trouble = match found {
            Ok(trouble) => trouble,
            // It may be well: nobody knows, and the next look tells.
            Err(error) if error.may_pass() => {
                tracing::debug!(tenant = %tenant.tenant, company, %error, "an integration could not be looked at");
                return;
            }
            Err(error) => Some(error.to_string()),
        };
        let before = std::mem::replace(&mut watched.trouble, trouble.clone());
        if before == trouble {
            return;
        }
        match &trouble {
            Some(why) => {
                metrics::counter!("leadline_callrail_alerts_total").increment(1);
                tracing::error!(tenant = %tenant.tenant, company, why, "CallRail's webhooks do not come");
            }
            None => tracing::info!(tenant = %tenant.tenant, company, "CallRail's webhooks come again"),
        }
        self.tell(tenant, company, trouble).await;
    }

    /// What is wrong with a company's integration; none where nothing is.
    async fn ask(&self, tenant: &Tenant, company: &str) -> Result<Option<String>, CallRailError> {
        let access = Access::of(tenant, &*self.admin.secrets, Priority::Background);
        let access = match access {
            Ok(Some(access)) => access,
            Ok(None) => return Ok(None),
            Err(error) => return Ok(Some(error.to_string())),
        };
        let remedy = format!("`leadline tenant connect-callrail {} --apply` mends it", tenant.tenant);
        let Some(found) = self.admin.callrail.webhooks(&access, company).await? else {
            return Ok(Some(format!("the company has no Webhooks integration any more: {remedy}")));
        };
        self.take_key(tenant, company, &found).await;
        if !found.is_active() {
            let state = &found.state;
            return Ok(Some(format!("its Webhooks integration is {state:?}, so nothing is sent: {remedy}")));
        }
        let public_url = tenant.callrail.as_ref().map_or("", |callrail| callrail.public_url.as_str());
        let wanted = addresses(tenant, public_url).unwrap_or_default();
        let missing: Vec<&str> = wanted
            .iter()
            .filter(|(list, address)| !found.addresses(list).contains(&address.as_str()))
            .map(|(list, _)| *list)
            .collect();
        match missing.is_empty() {
            true => Ok(None),
            false => {
                Ok(Some(format!("leadline's address was taken out of {}: {remedy}", missing.join(", "))))
            }
        }
    }

    /// A rotated key is the current one from now on; the one before stays accepted.
    async fn take_key(&self, tenant: &Tenant, company: &str, found: &Webhooks) {
        let before = self.admin.settings.current().version;
        let learned = self
            .admin
            .change(&tenant.tenant, |tenant| connect::learn(tenant, company, found, &self.admin))
            .await;
        match learned {
            Ok(()) if self.admin.settings.current().version != before => {
                metrics::counter!("leadline_callrail_keys_rotated_total").increment(1);
                tracing::warn!(tenant = %tenant.tenant, company, "CallRail signs with another key: it was stored");
            }
            Ok(()) => {}
            Err(error) => {
                tracing::error!(tenant = %tenant.tenant, company, %error, "a key could not be stored")
            }
        }
    }

    /// The company hears of it where it hears of missed calls.
    async fn tell(&self, tenant: &Tenant, company: &str, trouble: Option<String>) {
        let command = Command::Notice {
            subject: format!("callrail:{company}"),
            at: self.admin.clock.wall(),
            is_trouble: trouble.is_some(),
            text: trouble.unwrap_or_else(|| "CallRail's webhooks come again".to_owned()),
        };
        if let Err(error) = self.admin.notice(tenant, &format!("callrail:{company}"), &command).await {
            tracing::error!(tenant = %tenant.tenant, company, %error, "the company could not be told");
        }
    }
}

/// Companies whose integration leadline has installed its addresses in.
fn connected(tenant: &Arc<Tenant>) -> impl Iterator<Item = (&Arc<Tenant>, &Company, &str)> {
    let with = tenant
        .companies
        .iter()
        .filter(|company| tenant.callrail.is_some() && company.integration_id.is_some());
    with.filter_map(move |company| {
        let id = company.ids.iter().find(|id| id.starts_with("COM"))?;
        Some((tenant, company, id.as_str()))
    })
}
