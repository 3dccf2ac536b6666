//! Companies of a tenant, and the keys that their webhooks are signed with.

use leadline_connectors::contract::secrets::Secrets;
use leadline_connectors::source_http::signing_key_context;
use leadline_schemas::TenantId;
use leadline_schemas::settings::{Company, Sealed, Settings, Tenant};

use super::{AdminError, TenantSpec, extend, invalid};

/// Adds a company, or more ids of one that is there.
pub(super) fn add(
    settings: &Settings,
    spec: &TenantSpec,
    tenant: &mut Tenant,
    secrets: &dyn Secrets,
) -> Result<(), AdminError> {
    for id in &spec.company_ids {
        if id.is_empty() || id.len() > 64 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(invalid(format!(
                "company id {id:?} is not valid: use COM and 32 hex digits, or the decimal number"
            )));
        }
        if let Some(owner) = settings.by_company(id).filter(|owner| owner.tenant != tenant.tenant) {
            let what = "remove that tenant first, or check the id";
            return Err(invalid(format!(
                "company id {id:?} belongs to tenant {} already: {what}",
                owner.tenant
            )));
        }
    }
    let Some(first) = spec.company_ids.first() else { return Ok(()) };
    let known = tenant
        .companies
        .iter()
        .position(|company| spec.company_ids.iter().any(|id| company.ids.contains(id)));
    match known {
        Some(at) => {
            if let Some(company) = tenant.companies.get_mut(at) {
                extend(&mut company.ids, &spec.company_ids);
            }
            match &spec.signing_key {
                Some(key) => rotate(tenant, first, key, secrets),
                None => Ok(()),
            }
        }
        None => {
            let key = spec.signing_key.as_ref().ok_or_else(|| {
                invalid(format!("company {first} has no signing key: give --signing-key, from its Webhooks page at CallRail"))
            })?;
            push(tenant, spec.company_ids.clone(), key, secrets)
        }
    }
}

/// Adds a company that CallRail has told of, by its id and the key that it signs with.
pub fn add_company(
    tenant: &mut Tenant,
    company_id: &str,
    key: &str,
    secrets: &dyn Secrets,
) -> Result<(), AdminError> {
    push(tenant, vec![company_id.to_owned()], key, secrets)
}

fn push(tenant: &mut Tenant, ids: Vec<String>, key: &str, secrets: &dyn Secrets) -> Result<(), AdminError> {
    let mut company = Company::new(ids, Sealed::default());
    company.signing_key = seal_key(&tenant.tenant, &company, key, secrets)?;
    tenant.companies.push(company);
    Ok(())
}

fn seal_key(
    tenant: &TenantId,
    company: &Company,
    key: &str,
    secrets: &dyn Secrets,
) -> Result<Sealed, AdminError> {
    if key.len() < 8 || key.len() > 256 {
        return Err(invalid(format!(
            "the signing key has {} characters: 8 to 256 are taken (CallRail's have 32)",
            key.len()
        )));
    }
    Ok(secrets.seal(&signing_key_context(tenant, company), key.as_bytes())?)
}

/// Gives a company a new key; the one before stays accepted until the next rotation.
pub fn rotate(
    tenant: &mut Tenant,
    company_id: &str,
    key: &str,
    secrets: &dyn Secrets,
) -> Result<(), AdminError> {
    let id = tenant.tenant.clone();
    let Some(company) =
        tenant.companies.iter_mut().find(|company| company.ids.iter().any(|known| known == company_id))
    else {
        return Err(invalid(format!(
            "tenant {id} has no company {company_id:?}: `leadline tenant list` shows them"
        )));
    };
    let sealed = seal_key(&id, company, key, secrets)?;
    let current = secrets.open(&signing_key_context(&id, company), &company.signing_key);
    if current.is_ok_and(|current| current == key.as_bytes()) {
        return Ok(()); // Told again: the key before must not be pushed out by the one in use.
    }
    let before = std::mem::replace(&mut company.signing_key, sealed);
    company.previous_signing_key = Some(before);
    Ok(())
}
