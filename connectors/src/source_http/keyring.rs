//! The signing keys of all companies, opened once per version of the settings.

use std::sync::{Arc, PoisonError, RwLock};

use hashbrown::HashMap;
use leadline_schemas::TenantId;
use leadline_schemas::settings::{Company, Settings, Tenant};

use super::signature::SigningKey;
use crate::contract::secrets::Secrets;

/// Whose webhooks are signed with which keys: current, then previous.
pub(super) struct Signer {
    pub(super) tenant: Arc<Tenant>,
    pub(super) keys: Vec<SigningKey>,
}

/// Opened keys by company id.
pub(super) struct KeyRing {
    version: u64,
    by_company: HashMap<String, Arc<Signer>>,
    by_tenant: HashMap<TenantId, Signer>,
}

/// The current ring, made anew when the settings have changed.
pub(super) struct KeyRings {
    secrets: Arc<dyn Secrets>,
    current: RwLock<Arc<KeyRing>>,
}

/// What a company's keys are sealed for.
pub fn signing_key_context(tenant: &TenantId, company: &Company) -> String {
    format!("{tenant}/{}", company.ids.first().map_or("", String::as_str))
}

impl KeyRings {
    pub(super) fn new(secrets: Arc<dyn Secrets>) -> Self {
        let empty = KeyRing { version: u64::MAX, by_company: HashMap::new(), by_tenant: HashMap::new() };
        Self { secrets, current: RwLock::new(Arc::new(empty)) }
    }

    /// The ring of these settings.
    pub(super) fn of(&self, settings: &Settings) -> Arc<KeyRing> {
        let current = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        if current.version == settings.version {
            return current;
        }
        let made = Arc::new(self.open(settings));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&made);
        made
    }

    fn open(&self, settings: &Settings) -> KeyRing {
        let (mut by_company, mut by_tenant) = (HashMap::new(), HashMap::new());
        for tenant in settings.tenants() {
            let mut all = Vec::new();
            for company in &tenant.companies {
                let context = signing_key_context(&tenant.tenant, company);
                let sealed = [Some(&company.signing_key), company.previous_signing_key.as_ref()];
                let mut keys = Vec::new();
                for sealed in sealed.into_iter().flatten() {
                    match self.secrets.open(&context, sealed) {
                        Ok(key) => keys.extend(SigningKey::new(&key)),
                        Err(error) => {
                            tracing::error!(tenant = %tenant.tenant, %error, "a signing key cannot be opened")
                        }
                    }
                }
                all.extend(keys.iter().cloned());
                let signer = Arc::new(Signer { tenant: Arc::clone(tenant), keys });
                for id in &company.ids {
                    by_company.insert(id.clone(), Arc::clone(&signer));
                }
            }
            let signer = Signer { tenant: Arc::clone(tenant), keys: all };
            by_tenant.insert(tenant.tenant.clone(), signer);
        }
        KeyRing { version: settings.version, by_company, by_tenant }
    }
}

impl KeyRing {
    /// Who signs for the first of these companies that is known.
    pub(super) fn company<'a>(&self, mut ids: impl Iterator<Item = &'a str>) -> Option<&Signer> {
        ids.find_map(|id| self.by_company.get(id)).map(Arc::as_ref)
    }

    /// Who signs for any of a tenant's companies.
    pub(super) fn tenant(&self, tenant: &TenantId) -> Option<&Signer> {
        self.by_tenant.get(tenant)
    }
}
