//! Changes of a tenant's record.

use anyhow::anyhow;
use leadline_connectors::contract::source::Intake as _;
use leadline_schemas::TenantId;
use leadline_schemas::settings::{Settings, Tenant};

use crate::settings::SettingsService;

/// Changes a tenant's record under the lock of all changes. Nothing is written where nothing differs.
pub(crate) async fn change_tenant(
    settings: &SettingsService,
    changing: &tokio::sync::Mutex<()>,
    tenant: &TenantId,
    change: impl FnOnce(&mut Tenant) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let _changing = changing.lock().await;
    let before = known(&*settings.fresh_settings().await, tenant.as_str())?;
    let mut next = before.clone();
    change(&mut next)?;
    if next != before {
        settings.put(&next).await?;
    }
    Ok(())
}

/// A tenant of these settings; what is to be done where there is none.
pub(super) fn known(settings: &Settings, tenant: &str) -> anyhow::Result<Tenant> {
    let id = TenantId::new(tenant)?;
    let found = settings
        .tenant(&id)
        .ok_or_else(|| anyhow!("there is no tenant {tenant:?}: `leadline tenant list` shows them"))?;
    Ok((**found).clone())
}
