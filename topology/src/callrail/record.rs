//! What onboarding changes in a tenant's record.

use anyhow::anyhow;
use leadline_connectors::callrail::hooks::Webhooks;
use leadline_schemas::settings::{Company, Integration, Tenant};

use crate::admin;
use crate::control::Admin;

/// Kind and id of the integration that write-backs are delivered to.
const WRITE_BACK: &str = "callrail";

/// Takes a company's integration and key into its tenant's record.
pub(super) fn learn(
    tenant: &mut Tenant,
    company_id: &str,
    webhooks: &Webhooks,
    admin: &Admin,
) -> anyhow::Result<()> {
    let is_it = |company: &Company| has_id(company, company_id);
    match (&webhooks.signing_key, tenant.companies.iter().any(is_it)) {
        (Some(key), true) => admin::rotate(tenant, company_id, key, &*admin.secrets)?,
        (Some(key), false) => admin::add_company(tenant, company_id, key, &*admin.secrets)?,
        (None, true) => {}
        (None, false) => {
            return Err(anyhow!(
                "CallRail told no signing key of company {company_id}: copy it from its Webhooks page: \
                 `leadline tenant add {} --company-id {company_id} --signing-key KEY`",
                tenant.tenant
            ));
        }
    }
    if let Some(company) = tenant.companies.iter_mut().find(|company| is_it(company)) {
        company.integration_id = Some(webhooks.id.clone());
    }
    Ok(())
}

/// The integration that write-backs are delivered to: there, and switched on, while the account says so.
pub(super) fn write_back(tenant: &mut Tenant) {
    let wanted = tenant.callrail.as_ref().is_some_and(|callrail| callrail.write_back);
    match tenant.integrations.iter_mut().find(|integration| integration.kind == WRITE_BACK) {
        Some(integration) => integration.disabled = !wanted,
        None if wanted => tenant.integrations.push(Integration::new(WRITE_BACK, WRITE_BACK, "")),
        None => {}
    }
}

/// Whether a company has this id.
pub(super) fn has_id(company: &Company, company_id: &str) -> bool {
    company.ids.iter().any(|id| id == company_id)
}
