//! A tenant's CallRail account: how it is connected, and how that is watched.

mod connect;
mod watch;

pub use connect::ConnectStep;
pub(crate) use connect::step;
pub(crate) use watch::watch;

use std::collections::BTreeMap;

use leadline_connectors::callrail::hooks::LISTS;
use leadline_schemas::partitioning::key_group;
use leadline_schemas::settings::Tenant;
use leadline_schemas::{KeyGroup, TenantId};

/// The key group that work for a whole account belongs to: whoever owns it does what has to be done once.
pub(crate) fn key_group_of(account: &str) -> KeyGroup {
    // Ids of accounts are letters and digits; what is no such id has one place all the same.
    TenantId::new(&account.to_ascii_lowercase()).map_or(KeyGroup(0), |account| key_group(&account, 0))
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
