//! Switch: how a sink says that an integration is dead: its address is gone, its token revoked. Every delivery to it would
//! fail until a person has changed something, so it is switched off, and the tenant is told.

use leadline_schemas::TenantId;

use super::BoxFuture;

/// Switches integrations off.
pub trait Switch: Send + Sync + 'static {
    /// Switches it off and tells the tenant's other integrations why, in one line. Once is enough: what is off stays off
    /// until a person switches it on.
    fn off<'a>(&'a self, tenant: &'a TenantId, integration: &'a str, why: &'a str) -> BoxFuture<'a, ()>;
}
