//! The signing keys of all companies, opened once per version of the settings.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use leadline_schemas::TenantId;
use leadline_schemas::settings::{Company, Sealed, Settings, Tenant};
use ring::hmac;

use crate::contract::secrets::Secrets;

/// The context that a company's signing key is sealed for: `tenant/company`, by the company's first id.
pub fn signing_key_context(tenant: &TenantId, company_id: &str) -> String {
    format!("{tenant}/{company_id}")
}

/// Who may have signed, as of one version of the settings. Immutable.
#[derive(Debug)]
pub(crate) struct KeyRing {
    /// The settings that it was made of.
    pub(crate) settings: Arc<Settings>,
    by_company: HashMap<String, Signer>,
    tenants: HashMap<TenantId, Arc<TenantKeys>>,
}

/// A company and its tenant.
#[derive(Clone, Debug)]
pub(crate) struct Signer {
    /// The tenant.
    pub(crate) tenant: Arc<Tenant>,
    keys: Arc<CompanyKeys>,
}

/// What a company may sign with.
#[derive(Debug)]
struct CompanyKeys {
    ids: Vec<String>,
    /// The current key, then the previous one. Empty when neither opens: then nothing verifies.
    keys: Vec<hmac::Key>,
}

#[derive(Debug)]
struct TenantKeys {
    tenant: Arc<Tenant>,
    companies: Vec<Arc<CompanyKeys>>,
}

impl Signer {
    /// Whether `signature` is this company's under `body`; compared in constant time.
    pub(crate) fn verifies(&self, body: &[u8], signature: &[u8]) -> bool {
        self.keys.keys.iter().any(|key| hmac::verify(key, body, signature).is_ok())
    }

    /// Whether the company has this id.
    pub(crate) fn is(&self, company_id: &str) -> bool {
        self.keys.ids.iter().any(|id| id == company_id)
    }
}

impl KeyRing {
    /// Opens all keys; those of tenants that have not changed are taken from `before`.
    fn new(settings: Arc<Settings>, secrets: &dyn Secrets, before: Option<&Self>) -> Self {
        let mut ring = Self { by_company: HashMap::new(), tenants: HashMap::new(), settings };
        for tenant in ring.settings.tenants() {
            let known = before.and_then(|ring| ring.tenants.get(&tenant.tenant));
            let keys = match known.filter(|keys| Arc::ptr_eq(&keys.tenant, tenant)) {
                Some(keys) => Arc::clone(keys),
                None => Arc::new(TenantKeys::open(tenant, secrets)),
            };
            for company in &keys.companies {
                let signer = Signer { tenant: Arc::clone(tenant), keys: Arc::clone(company) };
                // The settings say whose an id is that two tenants claim.
                let owned = company.ids.iter().filter(|id| {
                    ring.settings.by_company(id).is_some_and(|owner| owner.tenant == tenant.tenant)
                });
                ring.by_company.extend(owned.map(|id| (id.clone(), signer.clone())));
            }
            ring.tenants.insert(tenant.tenant.clone(), keys);
        }
        ring
    }

    /// The company of this id.
    pub(crate) fn company(&self, id: &str) -> Option<&Signer> {
        self.by_company.get(id)
    }

    /// The companies of a tenant.
    pub(crate) fn companies(&self, tenant: &TenantId) -> impl Iterator<Item = Signer> {
        self.tenants.get(tenant).into_iter().flat_map(|keys| {
            let tenant = &keys.tenant;
            keys.companies.iter().map(|keys| Signer { tenant: Arc::clone(tenant), keys: Arc::clone(keys) })
        })
    }
}

impl TenantKeys {
    fn open(tenant: &Arc<Tenant>, secrets: &dyn Secrets) -> Self {
        let companies =
            tenant.companies.iter().map(|company| Arc::new(CompanyKeys::open(tenant, company, secrets)));
        Self { companies: companies.collect(), tenant: Arc::clone(tenant) }
    }
}

impl CompanyKeys {
    fn open(tenant: &Tenant, company: &Company, secrets: &dyn Secrets) -> Self {
        let sealed = std::iter::once(&company.signing_key).chain(&company.previous_signing_key);
        let opened = sealed.filter_map(|sealed| open_key(tenant, company, sealed, secrets));
        let keys = opened.map(|plain| hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &plain));
        Self { ids: company.ids.clone(), keys: keys.collect() }
    }
}

/// Ids may be added to a company in any order, so each is tried as the one the key was sealed for.
fn open_key(
    tenant: &Tenant,
    company: &Company,
    sealed: &Sealed,
    secrets: &dyn Secrets,
) -> Option<Vec<u8>> {
    let mut refusal = None;
    for id in &company.ids {
        match secrets.open(&signing_key_context(&tenant.tenant, id), sealed) {
            Ok(plain) => return Some(plain),
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    if let Some(error) = refusal {
        tracing::error!(tenant = %tenant.tenant, %error, "a signing key does not open; its webhooks are refused");
    }
    None
}

/// Keeps the key ring of the newest settings.
pub(crate) struct KeyRings {
    secrets: Arc<dyn Secrets>,
    newest: RwLock<Option<Arc<KeyRing>>>,
}

impl KeyRings {
    /// No ring yet.
    pub(crate) fn new(secrets: Arc<dyn Secrets>) -> Self {
        Self { secrets, newest: RwLock::new(None) }
    }

    /// The ring of these settings; made when they are new, once for all who ask.
    pub(crate) fn of(&self, settings: Arc<Settings>) -> Arc<KeyRing> {
        // The ring holds its settings, so no others can come to lie at their address.
        let is_of = |ring: &Arc<KeyRing>| Arc::ptr_eq(&ring.settings, &settings);
        if let Some(ring) = &*self.newest.read().unwrap_or_else(PoisonError::into_inner)
            && is_of(ring)
        {
            return Arc::clone(ring);
        }
        let mut newest = self.newest.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(ring) = newest.as_ref().filter(|ring| is_of(ring)) {
            return Arc::clone(ring);
        }
        let ring = Arc::new(KeyRing::new(settings, &*self.secrets, newest.as_deref()));
        // A request that was held up may come with older settings: it gets its ring, the newer one stays.
        if newest.as_ref().is_none_or(|kept| kept.settings.version <= ring.settings.version) {
            *newest = Some(Arc::clone(&ring));
        }
        ring
    }
}

impl std::fmt::Debug for KeyRings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRings").finish_non_exhaustive()
    }
}
