//! A tenant's CallRail account: how it is connected, how that is watched, and when it is listed.

mod backfill;
mod connect;
mod record;
mod rounds;
mod watch;

pub use backfill::BackfillStep;
pub(crate) use backfill::step as backfill;
pub use connect::ConnectStep;
pub(crate) use connect::step;
pub(crate) use rounds::keep_rounds;
pub(crate) use watch::watch;

use std::collections::BTreeMap;

use leadline_connectors::callrail::hooks::LISTS;
use leadline_schemas::pull::account_key;
use leadline_schemas::settings::Tenant;

use crate::control::Admin;
use crate::layout::follow::Workplace;

/// Whether this process works for an account: the owner of its key does, and so nobody does it twice.
pub(crate) fn is_mine(admin: &Admin, workplace: &Workplace, account: &str) -> bool {
    let Some(running) = workplace.now() else { return false };
    let partition = admin.settings.layout().partition(account_key(account).key_group);
    running.engine.owns(partition)
}

/// The addresses that a tenant's integrations have to have, by list: those of its own webhook address, so that texts and
/// older forms, which name no company, are known too. None for a tenant without one.
fn addresses(tenant: &Tenant, public_url: &str) -> Option<BTreeMap<&'static str, String>> {
    let key = tenant.source_key.as_deref()?;
    let address = |kind: &str| format!("{public_url}/v1/sources/{key}/callrail/{kind}");
    Some(LISTS.iter().map(|(list, kind)| (*list, address(kind.name()))).collect())
}

/// Whether an address of an integration is one that leadline has installed, or that somebody entered by hand for it: with
/// both, each webhook would come twice. The source key is random, so it is ours under whatever host.
fn is_ours(tenant: &Tenant, public_url: &str, address: &str) -> bool {
    let by_key = tenant
        .source_key
        .as_deref()
        .is_some_and(|key| address.contains(&format!("/v1/sources/{key}/callrail/")));
    by_key || address.starts_with(&format!("{public_url}/v1/callrail/webhook"))
}
