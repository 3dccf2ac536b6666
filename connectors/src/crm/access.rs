//! In whose name an account is asked: a token or key that was entered, or what a person has allowed by OAuth.

use std::sync::Arc;

use crate::contract::provider::CallError;
use crate::contract::secrets::Secrets;
use crate::contract::sink::SinkRequest;
use crate::contract::tokens::{AccessToken, Tokens};
use crate::sink_http::integration_secret_context;

/// Opens secrets and asks for tokens.
#[derive(Clone)]
pub struct Credentials {
    secrets: Arc<dyn Secrets>,
    tokens: Arc<dyn Tokens>,
}

/// What a request is sent with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// What was entered: a token, a key.
    Entered(Entered),
    /// What somebody has allowed.
    Granted(AccessToken),
}

/// A secret that was entered; not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Entered(pub String);

impl std::fmt::Debug for Entered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Credential {
    /// The secret itself.
    pub fn secret(&self) -> &str {
        match self {
            Self::Entered(secret) => &secret.0,
            Self::Granted(token) => &token.bearer,
        }
    }

    /// Where the account's API is, where the grant says so.
    pub fn api_url(&self) -> Option<&str> {
        match self {
            Self::Entered(_) => None,
            Self::Granted(token) => token.api_url.as_deref(),
        }
    }
}

impl Credentials {
    /// Of these.
    pub fn new(secrets: Arc<dyn Secrets>, tokens: Arc<dyn Tokens>) -> Self {
        Self { secrets, tokens }
    }

    /// What the delivery's integration has: its grant before its secret.
    pub async fn of(&self, request: &SinkRequest) -> Result<Credential, CallError> {
        let integration = &request.integration;
        if integration.grant.is_some() {
            return self.tokens.access(&request.key.tenant, integration).await.map(Credential::Granted);
        }
        Ok(Credential::Entered(self.entered(request)?))
    }

    /// What was entered.
    pub fn entered(&self, request: &SinkRequest) -> Result<Entered, CallError> {
        let (tenant, integration) = (&request.key.tenant, &request.integration);
        let sealed = integration.secret.as_ref().ok_or_else(|| CallError::Reject {
            why: format!(
                "integration {:?} has neither a token nor a grant: enter its token, or run `leadline integration connect {tenant} {}`",
                integration.id, integration.id
            ),
        })?;
        let bytes = self.secrets.open(&integration_secret_context(tenant, &integration.id), sealed)?;
        let text = String::from_utf8_lossy(&bytes).trim().to_owned();
        Ok(Entered(text))
    }

    /// The other side has refused a token: what was granted may be had anew, what was entered may not.
    pub async fn after_refusal(
        &self,
        request: &SinkRequest,
        refused: &Credential,
    ) -> Result<Option<Credential>, CallError> {
        let Credential::Granted(token) = refused else { return Ok(None) };
        self.tokens.refused(&request.key.tenant, &request.integration, token);
        let next = self.of(request).await?;
        Ok((next != *refused).then_some(next))
    }
}
