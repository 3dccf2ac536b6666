//! Where a tenant's leads and alerts go.

use leadline_connectors::contract::secrets::Secrets;
use leadline_connectors::sink_http::integration_secret_context;
use leadline_schemas::settings::{Integration, Tenant};

use super::{AdminError, TenantSpec, invalid};

const BANDS: [&str; 4] = ["hot", "warm", "nurture", "cold"];
/// Who takes every lead.
const BAND_MIN_DEFAULT: &str = "cold";

/// Adds the integrations that are named, or changes those that are there.
pub(super) fn add(spec: &TenantSpec, tenant: &mut Tenant, secrets: &dyn Secrets) -> Result<(), AdminError> {
    if let Some(band) = spec.band_min.as_deref().filter(|band| !BANDS.contains(band)) {
        return Err(invalid(format!("band {band:?} is not valid: use {}", BANDS.join(", "))));
    }
    if spec.integrations.is_empty() && (spec.band_min.is_some() || spec.integration_secret.is_some()) {
        return Err(invalid("a band or secret belongs to an integration: name it with --integration URL"));
    }
    for url in &spec.integrations {
        let known = tenant.integrations.iter().position(|integration| integration.url == *url);
        let at = match known {
            Some(at) => at,
            None => {
                tenant.integrations.push(fresh(url, tenant.integrations.len() + 1)?);
                tenant.integrations.len() - 1
            }
        };
        let Some(integration) = tenant.integrations.get_mut(at) else { continue };
        if let Some(band_min) = &spec.band_min {
            integration.band_min.clone_from(band_min);
        }
        if let Some(secret) = &spec.integration_secret {
            let context = integration_secret_context(&tenant.tenant, &integration.id);
            integration.secret = Some(secrets.seal(&context, secret.as_bytes())?);
        }
    }
    Ok(())
}

fn fresh(url: &str, number: usize) -> Result<Integration, AdminError> {
    let is_address =
        reqwest::Url::parse(url).is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
    if !is_address {
        return Err(invalid(format!(
            "integration {url:?} is no address: use one such as https://crm.example.com/leads"
        )));
    }
    let integration = Integration::new(format!("http{number}"), "http", url);
    Ok(Integration { band_min: BAND_MIN_DEFAULT.to_owned(), alerts: true, ..integration })
}
