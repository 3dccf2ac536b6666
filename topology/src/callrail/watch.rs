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

use super::{addresses, is_mine, record};
use crate::control::Admin;
use crate::layout::follow::Workplace;
use crate::parts::Parts;

/// How often it is looked who is due.
const LOOK: Duration = Duration::from_secs(1);
/// Refused signatures bring a look forward once in this time: anybody can send one.
const DOUBT_MS: u64 = 5 * 60_000;
/// How long after CallRail could not be asked it is asked again.
const AGAIN_MS: u64 = 60_000;
/// Companies of one account that are looked at in an hour; with more, each has its turn less often. A tenth of what
/// CallRail allows the account.
const LOOKS_PER_HOUR_MAX: u64 = 100;

/// One company's integration.
#[derive(Debug, Default)]
struct Watched {
    /// When it was last looked at, by the boot-time clock.
    looked_ms: Option<u64>,
    /// Whether that brought an answer.
    answered: bool,
    /// When it was last looked at because its signatures were refused.
    doubted_ms: Option<u64>,
    /// What was wrong then.
    trouble: Option<String>,
}

impl Watched {
    /// Whether it is its turn at `now_ms`, by time, and if its signatures are doubted.
    fn is_due(&self, now_ms: u64, interval_ms: u64) -> (bool, bool) {
        let Some(looked_ms) = self.looked_ms else { return (true, true) };
        let since_ms = now_ms.saturating_sub(looked_ms);
        let wait_ms = if self.answered { interval_ms } else { AGAIN_MS.min(interval_ms) };
        let is_new_doubt = self.doubted_ms.is_none_or(|at| now_ms.saturating_sub(at) >= DOUBT_MS);
        (since_ms >= wait_ms, is_new_doubt)
    }
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
        let connected: Vec<(&Arc<Tenant>, &Company, &str)> = settings.tenants().flat_map(connected).collect();
        for (tenant, ..) in &connected {
            let account = tenant.callrail.as_ref().map_or("", |callrail| callrail.account_id.as_str());
            *by_account.entry(account).or_default() += 1;
        }
        for (tenant, company, id) in connected {
            let Some(callrail) = &tenant.callrail else { continue };
            let now_ms = self.admin.clock.boot_ms();
            let is_doubted = company.ids.iter().any(|id| doubted.contains(id));
            let turns = by_account
                .get(callrail.account_id.as_str())
                .map_or(1, |count| count.div_ceil(LOOKS_PER_HOUR_MAX));
            let interval_ms = self.interval_ms.saturating_mul(turns);
            let known = self.companies.get(&(tenant.tenant.clone(), id.to_owned()));
            let (by_time, by_doubt) = known.map_or((true, true), |known| known.is_due(now_ms, interval_ms));
            if is_doubted && by_doubt {
                self.look(tenant, id, now_ms).await.doubted_ms = Some(now_ms);
            } else if by_time && is_mine(&self.admin, &self.workplace, &callrail.account_id) {
                self.look(tenant, id, now_ms).await;
            }
        }
        let troubled = self.companies.values().filter(|watched| watched.trouble.is_some()).count();
        metrics::gauge!("leadline_callrail_integrations_troubled").set(troubled as f64);
    }

    async fn look(&mut self, tenant: &Tenant, company: &str, now_ms: u64) -> &mut Watched {
        let found = self.ask(tenant, company).await;
        let key = (tenant.tenant.clone(), company.to_owned());
        let before = self.companies.get(&key).and_then(|known| known.trouble.clone());
        let answered = !matches!(&found, Err(error) if error.may_pass());
        let trouble = match found {
            Ok(trouble) => trouble,
            // It may be well: nobody knows, and the next look tells.
            Err(error) if error.may_pass() => {
                tracing::debug!(tenant = %tenant.tenant, company, %error, "an integration could not be looked at");
                before.clone()
            }
            Err(error) => Some(error.to_string()),
        };
        if before != trouble {
            self.tell(tenant, company, trouble.as_deref()).await;
        }
        let watched = self.companies.entry(key).or_default();
        (watched.looked_ms, watched.answered, watched.trouble) = (Some(now_ms), answered, trouble);
        watched
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
            .change(&tenant.tenant, |tenant| record::learn(tenant, company, found, &self.admin))
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

    /// Operators read it in the log; the company hears of it where it hears of missed calls.
    async fn tell(&self, tenant: &Tenant, company: &str, trouble: Option<&str>) {
        match trouble {
            Some(why) => {
                metrics::counter!("leadline_callrail_alerts_total").increment(1);
                tracing::error!(tenant = %tenant.tenant, company, why, "CallRail's webhooks do not come");
            }
            None => tracing::info!(tenant = %tenant.tenant, company, "CallRail's webhooks come again"),
        }
        let subject = format!("callrail:{company}");
        let command = Command::Notice {
            subject: subject.clone(),
            at: self.admin.clock.wall(),
            is_trouble: trouble.is_some(),
            text: trouble.unwrap_or("CallRail's webhooks come again").to_owned(),
        };
        if let Err(error) = self.admin.notice(tenant, &subject, &command).await {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_turn_an_hour_and_a_doubt_brings_it_forward_but_not_again_and_again() {
        let hour_ms = 3_600_000;
        assert_eq!(Watched::default().is_due(0, hour_ms), (true, true));
        let looked = Watched { looked_ms: Some(1_000), answered: true, ..Watched::default() };
        assert_eq!(looked.is_due(2_000, hour_ms), (false, true));
        assert_eq!(looked.is_due(1_000 + hour_ms, hour_ms), (true, true));
        let doubted = Watched { doubted_ms: Some(1_000), ..looked };
        assert_eq!(doubted.is_due(1_000 + DOUBT_MS - 1, hour_ms), (false, false));
        assert_eq!(doubted.is_due(1_000 + DOUBT_MS, hour_ms), (false, true));
        // CallRail did not answer, or the account's limit was used up.
        let unheard = Watched { answered: false, ..doubted };
        assert!(
            !unheard.is_due(1_000 + AGAIN_MS - 1, hour_ms).0 && unheard.is_due(1_000 + AGAIN_MS, hour_ms).0
        );
    }
}
