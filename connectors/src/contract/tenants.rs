//! Tenants as a record store shows them: names for who joins records with them by the store's own means. The settings
//! are topic `settings`; nothing reads them here, and nothing secret is here.

use leadline_schemas::settings::{Integration, Tenant};
use leadline_schemas::{Millis, TenantId};

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantRow {
    /// Its id.
    pub tenant: TenantId,
    /// Its name for people.
    pub name: String,
    /// IANA time zone.
    pub time_zone: String,
    /// When it was first added.
    pub created_at: Millis,
    /// Whether it was removed.
    pub removed: bool,
    /// Where its leads go.
    pub integrations: Vec<IntegrationRow>,
}

/// An integration of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntegrationRow {
    /// Its id, unique within the tenant.
    pub integration: String,
    /// The sink that serves it.
    pub kind: String,
    /// Whether it is switched on.
    pub enabled: bool,
    /// Why leadline has switched it off by itself.
    pub disabled_reason: Option<String>,
}

impl TenantRow {
    /// In words, for a column.
    pub fn status(&self) -> &'static str {
        if self.removed { "removed" } else { "active" }
    }
}

impl From<&Tenant> for TenantRow {
    fn from(tenant: &Tenant) -> Self {
        Self {
            tenant: tenant.tenant.clone(),
            name: tenant.name.clone(),
            time_zone: tenant.profile.time_zone.clone(),
            created_at: tenant.created_at,
            removed: tenant.removed,
            integrations: tenant.integrations.iter().map(IntegrationRow::from).collect(),
        }
    }
}

impl From<&Integration> for IntegrationRow {
    fn from(integration: &Integration) -> Self {
        Self {
            integration: integration.id.clone(),
            kind: integration.kind.clone(),
            enabled: !integration.disabled,
            disabled_reason: integration.disabled_why.clone(),
        }
    }
}
