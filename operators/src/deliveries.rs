//! placeholder
use leadline_schemas::{TenantId, delivery::DeliveryKey};
/// p
#[derive(serde::Deserialize)]
pub struct DeliverJob { /// p
pub payload: String, /// p
pub remote_id: Option<String> }
impl DeliverJob { /// p
pub fn key(&self, tenant: &TenantId, integration: &str) -> DeliveryKey { DeliveryKey{tenant: tenant.clone(), integration: integration.to_owned(), subject: String::new()} } }
