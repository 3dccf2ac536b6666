//! In whose name CallRail is asked.

use std::time::Duration;

use leadline_schemas::TenantId;
use leadline_schemas::settings::Tenant;

use super::budget::Priority;
use super::config::REQUEST_TIMEOUT;
use crate::contract::secrets::{SecretError, Secrets};

/// What an API key is sealed for.
pub fn api_key_context(tenant: &TenantId) -> String {
    format!("{tenant}/callrail")
}

/// An account, one of its keys, and how urgent it is.
#[derive(Clone)]
pub struct Access {
    /// `ACC...`; empty while accounts are only being looked for.
    pub account_id: String,
    /// Live work before backfills.
    pub priority: Priority,
    /// How long one request may take.
    pub timeout: Duration,
    key: String,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("account_id", &self.account_id)
            .field("priority", &self.priority)
            .finish()
    }
}

impl Access {
    /// An account by a key of its API.
    pub fn new(account_id: impl Into<String>, key: impl Into<String>, priority: Priority) -> Self {
        Self { account_id: account_id.into(), priority, timeout: REQUEST_TIMEOUT, key: key.into() }
    }

    /// A tenant's account; none when it is not connected.
    pub fn of(
        tenant: &Tenant,
        secrets: &dyn Secrets,
        priority: Priority,
    ) -> Result<Option<Self>, SecretError> {
        let Some(callrail) = &tenant.callrail else { return Ok(None) };
        let context = api_key_context(&tenant.tenant);
        let key = secrets.open(&context, &callrail.api_key)?;
        let key = String::from_utf8(key)
            .map_err(|_| SecretError { context, why: "the API key is not text".to_owned() })?;
        Ok(Some(Self::new(callrail.account_id.clone(), key, priority)))
    }

    /// The same with less time.
    #[must_use]
    pub fn within(mut self, deadline: Duration) -> Self {
        self.timeout = self.timeout.min(deadline);
        self
    }

    /// The `Authorization` header, with the quotes of the reference.
    pub(super) fn authorization(&self) -> String {
        format!("Token token=\"{}\"", self.key)
    }
}
