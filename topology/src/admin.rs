//! Changes of tenants: pure functions from a tenant's record to its next.

use leadline_connectors::contract::secrets::{SecretError, Secrets};
use leadline_connectors::sink_http::integration_secret_context;
use leadline_connectors::source_http::signing_key_context;
use leadline_schemas::settings::{Company, Form, Integration, Policy, Profile, Settings, Tenant};
use leadline_schemas::{Millis, TenantId};
use serde::{Deserialize, Serialize};

/// What `tenant add` is told. Adding a tenant that exists changes what is given and keeps the rest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TenantSpec {
    /// The tenant.
    pub tenant: String,
    /// Its name for people.
    pub name: Option<String>,
    /// CallRail company ids of both generations.
    pub company_ids: Vec<String>,
    /// The company's signing key.
    pub signing_key: Option<String>,
    /// Project types it offers.
    pub trades: Vec<String>,
    /// Cities it serves.
    pub cities: Vec<String>,
    /// Postcodes it serves.
    pub postcodes: Vec<String>,
    /// The smallest project it takes.
    pub min_budget: Option<i64>,
    /// IANA time zone.
    pub time_zone: Option<String>,
    /// Addresses that leads and alerts are POSTed to.
    pub integrations: Vec<String>,
    /// What deliveries are signed with.
    pub integration_secret: Option<String>,
    /// The lowest band that integrations want.
    pub band_min: Option<String>,
    /// Keys of web forms to accept.
    pub forms: Vec<String>,
    /// `rules` or `http`.
    pub score_provider: Option<String>,
    /// Seconds from a ring to asking whether the call was missed.
    pub missed_call_timer_s: Option<i32>,
    /// The tenant attests that callers are told of the recording.
    pub recording_disclosure_attested: Option<bool>,
}

/// Why a tenant was not changed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// A value cannot be.
    #[error("{0}")]
    Invalid(String),
    /// A secret could not be sealed.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

fn invalid(why: impl Into<String>) -> AdminError {
    AdminError::Invalid(why.into())
}

/// The tenant's next record. `token` is its new API token, if it gets one.
pub fn apply(
    settings: &Settings,
    spec: &TenantSpec,
    token: Option<&str>,
    secrets: &dyn Secrets,
    now: Millis,
) -> Result<Tenant, AdminError> {
    let id = TenantId::new(&spec.tenant).map_err(|error| invalid(error.to_string()))?;
    let mut tenant = match settings.tenant(&id) {
        Some(tenant) => (**tenant).clone(),
        None => fresh(id.clone(), now),
    };
    if let Some(name) = &spec.name {
        tenant.name.clone_from(name);
    }
    if let Some(token) = token {
        tenant.api_token_sha256 = token_sha256(token);
    }
    add_company(settings, spec, &mut tenant, secrets)?;
    extend(&mut tenant.profile.trades, &spec.trades);
    extend(&mut tenant.profile.cities, &spec.cities);
    extend(&mut tenant.profile.postcodes, &spec.postcodes);
    tenant.profile.min_budget = spec.min_budget.or(tenant.profile.min_budget);
    if let Some(time_zone) = &spec.time_zone {
        tenant.profile.time_zone.clone_from(time_zone);
    }
    if let Some(provider) = &spec.score_provider {
        tenant.policy.score_provider.clone_from(provider);
    }
    tenant.policy.missed_call_timer_s = spec.missed_call_timer_s.unwrap_or(tenant.policy.missed_call_timer_s);
    tenant.policy.recording_disclosure_attested =
        spec.recording_disclosure_attested.unwrap_or(tenant.policy.recording_disclosure_attested);
    add_integrations(spec, &mut tenant, secrets)?;
    for form_key in &spec.forms {
        if tenant.form(form_key).is_none() {
            let field_map = std::collections::BTreeMap::new();
            tenant.forms.push(Form {
                form_key: form_key.clone(),
                origins: Vec::new(),
                honeypot: None,
                field_map,
            });
        }
    }
    Ok(tenant)
}

fn fresh(id: TenantId, now: Millis) -> Tenant {
    Tenant {
        name: id.to_string(),
        tenant: id,
        removed: false,
        api_token_sha256: String::new(),
        companies: Vec::new(),
        source_key: None,
        forms: Vec::new(),
        integrations: Vec::new(),
        profile: Profile {
            currency: "USD".to_owned(),
            time_zone: "America/New_York".to_owned(),
            ..Profile::default()
        },
        policy: Policy::default(),
        created_at: now,
    }
}

fn extend(into: &mut Vec<String>, from: &[String]) {
    for value in from {
        if !into.contains(value) {
            into.push(value.clone());
        }
    }
}

/// Adds a company, or more ids of one that is there.
fn add_company(
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
            let mut company = Company {
                ids: spec.company_ids.clone(),
                signing_key: Default::default(),
                previous_signing_key: None,
            };
            company.signing_key = seal_key(&tenant.tenant, &company, key, secrets)?;
            tenant.companies.push(company);
            Ok(())
        }
    }
}

fn seal_key(
    tenant: &TenantId,
    company: &Company,
    key: &str,
    secrets: &dyn Secrets,
) -> Result<leadline_schemas::settings::Sealed, AdminError> {
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
    let before = std::mem::replace(&mut company.signing_key, sealed);
    company.previous_signing_key = Some(before);
    Ok(())
}

fn add_integrations(spec: &TenantSpec, tenant: &mut Tenant, secrets: &dyn Secrets) -> Result<(), AdminError> {
    let band_min = spec.band_min.clone().unwrap_or_else(|| "cold".to_owned());
    if !["hot", "warm", "nurture", "cold"].contains(&band_min.as_str()) {
        return Err(invalid(format!("band {band_min:?} is not valid: use hot, warm, nurture or cold")));
    }
    for url in &spec.integrations {
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(invalid(format!(
                "integration {url:?} is no address: it must begin with http:// or https://"
            )));
        }
        if tenant.integrations.iter().any(|integration| integration.url == *url) {
            continue;
        }
        let id = format!("http{}", tenant.integrations.len() + 1);
        let secret = match &spec.integration_secret {
            Some(secret) => {
                Some(secrets.seal(&integration_secret_context(&tenant.tenant, &id), secret.as_bytes())?)
            }
            None => None,
        };
        let (kind, url) = ("http".to_owned(), url.clone());
        tenant.integrations.push(Integration {
            id,
            kind,
            url,
            secret,
            band_min: band_min.clone(),
            alerts: true,
            disabled: false,
        });
    }
    Ok(())
}

/// What is kept of a token.
pub fn token_sha256(token: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
